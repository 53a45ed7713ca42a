//! `unchoke ls`.

use std::process::ExitCode;

use anyhow::Result;

use super::client::Client;
use super::{names, table};
use crate::api::model::Torrent;
use crate::args::LsArgs;
use crate::errors::one_line;
use crate::output::{bytes, line};
use crate::units;

pub(super) fn run(client: &Client, args: &LsArgs) -> Result<ExitCode> {
    let torrents = names::torrents(client)?;
    let mut out = String::new();
    if args.json {
        for torrent in &torrents {
            out.push_str(&serde_json::to_string(torrent)?);
            out.push('\n');
        }
        bytes(out.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["HASH", "STATE", "DONE", "SIZE", "DOWN", "UP", "PEERS", "NAME"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(torrents.iter().map(row)).collect();
    match torrents.is_empty() {
        true => line("no torrents; `unchoke add` adds one")?,
        false => bytes((table::lines(&rows, &[2, 3, 4, 5, 6]).join("\n") + "\n").as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn row(t: &Torrent) -> Vec<String> {
    vec![
        names::short(&t.hash).to_owned(),
        t.state.clone(),
        done(t),
        t.total_size.map(|n| units::bytes(n).to_string()).unwrap_or_else(|| "-".to_owned()),
        rate(t.down_rate),
        rate(t.up_rate),
        t.peers.to_string(),
        one_line(t.name.as_deref().unwrap_or("-")),
    ]
}

/// How much of it is there, in whole percent; 100 when all of it is.
pub(super) fn done(t: &Torrent) -> String {
    match (t.total_size, t.left) {
        (Some(total), Some(left)) if total > 0 => {
            let percent = u128::from(total.saturating_sub(left)) * 100 / u128::from(total);
            format!("{percent}%")
        }
        (Some(_), Some(0)) => "100%".to_owned(),
        _ => "-".to_owned(),
    }
}

fn rate(bytes_per_s: u64) -> String {
    match bytes_per_s {
        0 => "-".to_owned(),
        n => format!("{}/s", units::bytes(n)),
    }
}
