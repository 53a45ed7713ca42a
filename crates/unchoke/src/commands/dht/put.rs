//! `unchoke dht put`: stores a value (BEP 44), or names the newest version of a torrent (BEP 46).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use unchoke_engine::input::TorrentSource;
use unchoke_runtime::dht::item::SecretKey;
use unchoke_runtime::dht::{Command, Event};
use unchoke_wire::bencode::Document;
use unchoke_wire::item::{Item, ItemKey};
use unchoke_wire::mutable_torrent::{self, Publisher};
use unchoke_wire::{InfoHashes, Magnet, WireHash, limits};

use super::asker::{Asker, Heard, Open, Setup};
use super::get::newest;
use super::key_file;
use super::value;
use crate::args::PutArgs;
use crate::describe::hex;
use crate::errors::{about, warn};
use crate::{source, units};

pub(super) fn run(args: &PutArgs) -> Result<ExitCode> {
    let value = read_value(args)?;
    let key = match (&args.key, args.new_key) {
        (Some(path), true) => Some(key_file::create(path)?),
        (Some(path), false) => Some(key_file::read(path)?),
        (None, _) => None,
    };
    let mut asker = Asker::start(Setup::store(&args.lookup, args.keep))?;
    asker.join()?;
    let item = match &key {
        None => Item::Immutable { value },
        Some(key) => {
            let salt = args.salt.clone().unwrap_or_default().into_bytes();
            let seq = match args.seq {
                Some(seq) => seq,
                None => next_seq(&mut asker, key, &salt)?,
            };
            Item::Mutable(key.sign(salt, seq, value))
        }
    };
    let stored = store(&mut asker, &item, args.cas)?;
    asker.tell().finish();
    if stored.to == 0 {
        match stored.refusal {
            Some(refusal) => bail!("not stored: {}", why(&refusal)),
            None => bail!("not stored: no node took it; try again, or name a node with --node HOST:PORT"),
        }
    }
    tell(&mut asker, args, &item, &stored)?;
    if args.keep { keep(asker, &item) } else { Ok(ExitCode::SUCCESS) }
}

/// The bencoded value to store.
fn read_value(args: &PutArgs) -> Result<Vec<u8>> {
    let (name, bytes) = match (&args.value, &args.file, &args.torrent) {
        (Some(text), ..) => ("the value".to_owned(), text.as_bytes().to_vec()),
        (_, Some(path), _) => (path.display().to_string(), read_file(path)?),
        (_, _, Some(torrent)) => return Ok(mutable_torrent::encode_value(hash_of(torrent)?)),
        (None, None, None) => unreachable!("the command line names one of them"),
    };
    let value = if args.bencoded { bytes } else { value::string(&bytes) };
    let max = limits::ITEM_VALUE_LEN_MAX;
    if value.len() > max {
        bail!(
            "{name} is too long: nodes store {max} bytes, the bencoding of a text included; store the hash of a torrent instead"
        );
    }
    match Document::parse(&value) {
        Ok(document) if !document.root().is_canonical() => {
            bail!(
                "{name} is not bencoded in the one way nodes take: the keys of its dictionaries are not sorted"
            )
        }
        Ok(_) => Ok(value),
        Err(e) => bail!("{name} is not bencoded: {e}; leave out --bencoded to store it as text"),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // what is longer is refused by its length
    let most = u64::try_from(limits::ITEM_VALUE_LEN_MAX).expect("a thousand fits") + 1;
    let read = File::open(path).and_then(|f| f.take(most).read_to_end(&mut bytes));
    read.map_err(|e| about("read", path, &e))?;
    Ok(bytes)
}

/// The torrent that is to be the newest version.
fn hash_of(torrent: &str) -> Result<WireHash> {
    let hashes = match source::read(torrent)? {
        TorrentSource::Metainfo(m) if m.info.private => {
            bail!("{torrent} is private: its peers come from its trackers only")
        }
        TorrentSource::Metainfo(m) => m.info_hashes,
        TorrentSource::Magnet(m) => m.info_hashes,
    };
    match hashes.v1 {
        Some(hash) => Ok(WireHash(hash)),
        None if hashes == InfoHashes::default() => bail!("{torrent} names no info-hash"),
        None => bail!("{torrent}: torrents of version 2 alone are not supported"),
    }
}

/// One more than the newest version that is found.
fn next_seq(asker: &mut Asker, key: &SecretKey, salt: &[u8]) -> Result<i64> {
    let key = ItemKey::Mutable { key: key.public(), salt: salt.to_vec() };
    match newest(asker, &key)? {
        Some((Item::Mutable(item), _)) => match item.seq.checked_add(1) {
            Some(seq) => Ok(seq),
            None => bail!("the version {} is the last there can be; use another salt or key", item.seq),
        },
        _ => Ok(1),
    }
}

/// What came of storing.
#[derive(Debug, Default)]
struct Stored {
    to: usize,
    refusal: Option<(i64, String)>,
}

fn store(asker: &mut Asker, item: &Item, cas: Option<i64>) -> Result<Stored> {
    asker.ask(Command::PutItem { item: item.clone(), cas });
    let key = item.key();
    let mut open = Open::new(asker.ready(), [key.clone()]);
    let mut stored = Stored::default();
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { is_v6, event: Event::ItemStored { key: of, to, refusal } } if of == key => {
                open.close(is_v6, of);
                stored.to += to;
                stored.refusal = stored.refusal.or(refusal);
            }
            Heard::TimedOut => break,
            _ => {}
        }
    }
    Ok(stored)
}

/// A refusal in words: what it means, and what to do.
fn why((code, text): &(i64, String)) -> String {
    match code {
        301 => {
            "another version than --cas names is there (error 301); `unchoke dht get` shows which".to_owned()
        }
        302 => {
            "a newer version is there (error 302); `unchoke dht get` shows which, --seq names a greater one"
                .to_owned()
        }
        _ => format!("a node says {text:?} (error {code})"),
    }
}

fn tell(asker: &mut Asker, args: &PutArgs, item: &Item, stored: &Stored) -> Result<()> {
    let target = item.key().target().to_string();
    let mut fields = json!({"target": target, "nodes": stored.to, "bencoded": hex(item.value())});
    let mut lines = Vec::new();
    if let Item::Mutable(item) = item {
        let mut row = |name: &str, text: String, value: Value| {
            lines.push(format!("{name:<8}{text}"));
            fields[name] = value;
        };
        row("key", hex(&item.key), hex(&item.key).into());
        if let Some(salt) = args.salt.as_ref().filter(|salt| !salt.is_empty()) {
            row("salt", salt.clone(), hex(&item.salt).into());
        }
        row("seq", item.seq.to_string(), item.seq.into());
        if args.torrent.is_some() {
            let publisher = Some(Publisher { key: item.key, salt: item.salt.clone() });
            let magnet = Magnet { publisher, ..Magnet::default() }.to_string();
            row("magnet", magnet.clone(), magnet.into());
        }
    }
    lines.push(format!("{:<8}{target}", "target"));
    for text in lines {
        asker.tell().line(text)?;
    }
    asker.tell().event("stored", fields)?;
    asker.tell().say(format_args!("stored at {}", units::count(stored.to, "node")));
    Ok(())
}

/// Stays, and stores the item again every hour, until the user ends it.
fn keep(mut asker: Asker, item: &Item) -> Result<ExitCode> {
    asker.wait(None);
    let mut next = Instant::now() + INTERVAL;
    loop {
        asker.hear()?;
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + INTERVAL;
        asker.wait(Some(ROUND_MAX));
        // the version is there or has gone: whichever was to be replaced is no matter
        let stored = store(&mut asker, item, None)?;
        asker.wait(None);
        match stored.refusal {
            Some(refusal) if stored.to == 0 => warn(format_args!("not stored again: {}", why(&refusal))),
            _ => {
                let fields = json!({"target": item.key().target().to_string(), "nodes": stored.to});
                asker.tell().event("stored", fields)?;
                asker.tell().say(format_args!("stored again at {}", units::count(stored.to, "node")));
            }
        }
    }
}

/// Between two times a value is stored: nodes forget it after two hours.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long one of them may take.
const ROUND_MAX: Duration = Duration::from_secs(60);
