//! `unchoke dht announce`: tells the DHT that this machine has a torrent.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use unchoke_runtime::dht::{Announce, Command, Event};
use unchoke_wire::WireHash;

use super::Wanted;
use super::asker::{Asker, Heard, Open, Setup};
use crate::args::AnnounceArgs;
use crate::units;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Search(WireHash),
    Announce(WireHash),
}

pub(super) fn run(args: &AnnounceArgs) -> Result<ExitCode> {
    let Wanted { hashes, nodes } = Wanted::read(&args.source)?;
    let setup = Setup::store(&args.lookup, args.keep);
    let mut asker = Asker::start(Setup { nodes, ..setup })?;
    asker.join()?;
    let announce = Announce { port: args.port, implied_port: false, is_seed: args.seed };
    for target in hashes.iter().copied() {
        asker.ask(Command::Search { target, announce: Some(announce), is_urgent: true });
    }
    let parts: Vec<Part> = hashes.iter().flat_map(|h| [Part::Search(*h), Part::Announce(*h)]).collect();
    let mut open = Open::new(asker.ready(), parts);
    let mut stored: BTreeMap<WireHash, usize> = BTreeMap::new();
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { is_v6, event: Event::SearchDone { target, closest, .. } } => {
                open.close(is_v6, Part::Search(target));
                if closest.is_empty() {
                    open.close(is_v6, Part::Announce(target));
                }
                if !open.any(|part| matches!(part, Part::Search(_))) {
                    // nodes that gave no token are never announced to
                    asker.hurry(ANSWERS);
                }
            }
            Heard::Event { is_v6, event: Event::Announced { target, to } } => {
                open.close(is_v6, Part::Announce(target));
                *stored.entry(target).or_default() += to;
            }
            Heard::TimedOut => break,
            _ => {}
        }
    }
    asker.tell().finish();
    for hash in &hashes {
        tell(&mut asker, args, *hash, stored.get(hash).copied().unwrap_or_default())?;
    }
    if args.keep {
        return keep(asker, args);
    }
    if stored.values().all(|to| *to == 0) {
        bail!("no node took the announcement; try again, or name a node with --node HOST:PORT");
    }
    Ok(ExitCode::SUCCESS)
}

/// Stays, and tells of every round, until the user ends it.
fn keep(mut asker: Asker, args: &AnnounceArgs) -> Result<ExitCode> {
    asker.wait(None);
    loop {
        if let Heard::Event { event: Event::Announced { target, to }, .. } = asker.hear()? {
            tell(&mut asker, args, target, to)?;
        }
    }
}

fn tell(asker: &mut Asker, args: &AnnounceArgs, hash: WireHash, to: usize) -> Result<()> {
    let (port, nodes) = (args.port, units::count(to, "node"));
    let text = format!("announced {hash} on port {port} to {nodes}");
    let fields = || json!({"info_hash": hash.to_string(), "port": port, "seed": args.seed, "nodes": to});
    if to > 0 { asker.tell().result(text, "announced", fields) } else { Ok(()) }
}

/// How long nodes may take to answer an announcement.
const ANSWERS: Duration = Duration::from_secs(10);
