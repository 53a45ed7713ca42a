//! `unchoke show`: what a torrent is, without touching the network unless it is asked to fetch a URL.

use std::fmt::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use unchoke_engine::input::TorrentSource;
use unchoke_wire::metainfo::{FileEntry, Metainfo};
use unchoke_wire::mutable_torrent::Publisher;
use unchoke_wire::{HostPort, InfoHashes, Magnet};

use crate::args::ShowArgs;
use crate::describe::hex;
use crate::errors::one_line;
use crate::output::{self, json};
use crate::{source, units};

pub(super) fn run(args: &ShowArgs) -> Result<ExitCode> {
    let source = source::read(&args.source)?;
    match (&source, args.json) {
        (TorrentSource::Metainfo(m), true) => output::line(serde_json::to_string(&json::Torrent::of(m))?)?,
        (TorrentSource::Magnet(m), true) => output::line(json::magnet(m))?,
        (TorrentSource::Metainfo(m), false) => output::bytes(of_torrent(m).as_bytes())?,
        (TorrentSource::Magnet(m), false) => output::bytes(of_magnet(m).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_torrent(m: &Metainfo) -> String {
    let layout = &m.info.layout;
    let mut text = Table::default();
    text.row("name", &m.info.name);
    text.hashes(&m.info_hashes);
    let stored = m.info.files.iter().filter(|f| !f.is_pad).count();
    let size = m.info.payload_len();
    let files = units::count(stored, "file");
    text.row("size", format_args!("{} in {files} ({size} bytes)", units::bytes(size)));
    let piece_len = u64::from(layout.piece_len());
    text.row("pieces", format_args!("{} of {}", layout.piece_count(), units::bytes(piece_len)));
    if m.info.private {
        text.row("private", "yes: peers come from its trackers only");
    }
    text.maybe("source", m.info.source.as_deref());
    text.maybe("comment", m.comment.as_deref());
    text.maybe("created by", m.created_by.as_deref());
    if let Some(date) = m.creation_date {
        text.row("created", units::date(date.0));
    }
    for (number, tier) in (1..).zip(&m.trackers) {
        text.row(&format!("tier {number}"), tier.join("  "));
    }
    text.found(&m.web_seeds, &m.nodes);
    for warning in &m.warnings {
        text.row("note", warning);
    }
    text.0.push_str("files\n");
    for file in &m.info.files {
        text.file(file);
    }
    text.0
}

fn of_magnet(m: &Magnet) -> String {
    let mut text = Table::default();
    text.maybe("name", m.display_name.as_deref());
    text.hashes(&m.info_hashes);
    if let Some(Publisher { key, salt }) = &m.publisher {
        text.row("mutable", "its publisher says in the DHT which torrent is the newest version");
        text.row("public key", hex(key));
        if !salt.is_empty() {
            text.row("salt", format_args!("{} ({})", hex(salt), salt.escape_ascii()));
        }
    }
    if let Some(length) = m.length {
        text.row("size", format_args!("{} ({length} bytes), as claimed", units::bytes(length)));
    }
    m.trackers.iter().for_each(|t| text.row("tracker", t));
    text.found(&m.web_seeds, &m.nodes);
    m.peers.iter().for_each(|p| text.row("peer", p));
    text.row("files", "told by peers; `unchoke get` asks them");
    text.0
}

/// Rows of a name and a value.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, name: &str, value: impl fmt::Display) {
        let value = one_line(&value.to_string());
        self.write(format_args!("{name:<13}{value}\n"));
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.row(name, value);
        }
    }

    fn hashes(&mut self, hashes: &InfoHashes) {
        let (v1, v2) = json::hashes(hashes);
        self.maybe("info-hash", v1.as_deref());
        self.maybe("info-hash v2", v2.as_deref());
    }

    fn found(&mut self, web_seeds: &[String], nodes: &[HostPort]) {
        web_seeds.iter().for_each(|s| self.row("web seed", s));
        nodes.iter().for_each(|n| self.row("DHT node", n));
    }

    fn file(&mut self, f: &FileEntry) {
        let marks = [(f.is_pad, "pad"), (f.is_executable, "executable"), (f.is_hidden, "hidden")];
        let marks: Vec<&str> =
            marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark).collect();
        let length = units::bytes(f.length).to_string();
        self.write(format_args!("{length:>12}  {}", one_line(&f.display_path())));
        if let Some(target) = &f.symlink {
            self.write(format_args!(" -> {}", one_line(&target.join("/"))));
        }
        if !marks.is_empty() {
            self.write(format_args!("  ({})", marks.join(", ")));
        }
        self.0.push('\n');
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes all text");
    }
}
