//! `unchoke info`.

use std::process::ExitCode;

use anyhow::Result;

use super::client::{Client, Method};
use super::{list, names, table};
use crate::api::model::Details;
use crate::args::InfoArgs;
use crate::errors::one_line;
use crate::output::line;
use crate::units;

pub(super) fn run(client: &Client, args: &InfoArgs) -> Result<ExitCode> {
    for (n, torrent) in names::find(client, &args.torrents)?.iter().enumerate() {
        let details: Details = client.send(Method::GET, &torrent.path(), None)?;
        if args.json {
            line(serde_json::to_string(&details)?)?;
            continue;
        }
        if n > 0 {
            line("")?;
        }
        for text in told(&details) {
            line(one_line(&text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A time in seconds as `5 s`, `3 min` or `49 h 2 min`.
fn span(secs: u64) -> String {
    match (secs / 3600, secs / 60 % 60) {
        (0, 0) => format!("{secs} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn told(d: &Details) -> Vec<String> {
    let t = &d.torrent;
    let mut rows: Vec<(&str, String)> = vec![
        ("name", t.name.clone().unwrap_or_else(|| "not known yet".to_owned())),
        ("hash", t.hash.clone()),
        ("state", t.error.as_ref().map_or(t.state.clone(), |why| format!("{}: {why}", t.state))),
    ];
    if let Some(total) = t.total_size {
        rows.push(("size", units::bytes(total).to_string()));
        rows.push(("done", list::done(t)));
        rows.push(("pieces", format!("{} of {}", d.pieces[0], d.pieces[1])));
    }
    if let Some(dir) = d.dir.as_ref().filter(|dir| !dir.is_empty()) {
        rows.push(("folder", dir.clone()));
    }
    rows.push(("downloaded", units::bytes(t.downloaded).to_string()));
    rows.push(("uploaded", units::bytes(t.uploaded).to_string()));
    rows.push(("peers", format!("{}, {} of them seeds", t.peers, t.seeds)));
    rows.push(("active", span(d.active_time)));
    rows.push(("seeding", span(d.seeding_time)));
    if d.super_seeding {
        rows.push(("super-seeding", "yes".to_owned()));
    }
    if d.private == Some(true) {
        rows.push(("private", "yes".to_owned()));
    }
    rows.extend(d.trackers.iter().map(|tier| ("tracker", tier.join(", "))));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(k, v)| vec![k.to_owned(), v]).collect();
    let mut out = table::lines(&rows, &[]);
    let files: Vec<Vec<String>> =
        d.files.iter().map(|f| vec![units::bytes(f.length).to_string(), f.path.clone()]).collect();
    out.extend(table::lines(&files, &[0]).into_iter().map(|text| format!("  {text}")));
    let peers = d.connected.iter().map(|p| {
        let client = p.client.clone().unwrap_or_default();
        vec![
            p.address.clone(),
            format!("{}/s down, {}/s up", units::bytes(p.down_rate), units::bytes(p.up_rate)),
            client,
        ]
    });
    let peers: Vec<Vec<String>> = peers.collect();
    out.extend(table::lines(&peers, &[]).into_iter().map(|text| format!("  {text}")));
    out
}
