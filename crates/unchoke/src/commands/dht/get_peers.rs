//! `unchoke dht get-peers`: who has a torrent, as told by the DHT.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use unchoke_runtime::dht::{Command, Event};
use unchoke_wire::WireHash;

use super::Wanted;
use super::asker::{Asker, Heard, Open, Setup};
use crate::args::GetPeersArgs;
use crate::units;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Search(WireHash),
    Scrape(WireHash),
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    peers: BTreeSet<(WireHash, SocketAddr)>,
    queries: usize,
    /// Estimates of seeds and downloaders, and the answers they are made from. The families of one torrent hold
    /// different peers.
    swarm: BTreeMap<WireHash, (u64, u64, usize)>,
}

pub(super) fn run(args: &GetPeersArgs) -> Result<ExitCode> {
    let Wanted { hashes, nodes } = Wanted::read(&args.source)?;
    let mut asker = Asker::start(Setup { nodes, ..Setup::lookup(&args.lookup) })?;
    asker.join()?;
    let mut parts = Vec::new();
    for target in hashes.iter().copied() {
        asker.ask(Command::Search { target, announce: None, is_urgent: true });
        parts.push(Part::Search(target));
        if args.scrape {
            asker.ask(Command::Scrape { target });
            parts.push(Part::Scrape(target));
        }
    }
    let mut open = Open::new(asker.ready(), parts);
    let mut found = Found::default();
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { is_v6, event } => found.take(&mut asker, &mut open, is_v6, event)?,
            Heard::TimedOut => break,
            _ => {}
        }
    }
    asker.tell().finish();
    found.tell(&mut asker, hashes.len() > 1)
}

impl Found {
    fn take(&mut self, asker: &mut Asker, open: &mut Open<Part>, is_v6: bool, event: Event) -> Result<()> {
        match event {
            Event::PeersFound { target, peers } => {
                for peer in peers {
                    if self.peers.insert((target, peer)) {
                        asker.tell().result(
                            peer,
                            "peer",
                            || json!({"info_hash": target.to_string(), "peer": peer.to_string()}),
                        )?;
                    }
                }
            }
            Event::SearchDone { target, queries_sent, .. } => {
                self.queries += queries_sent;
                open.close(is_v6, Part::Search(target));
            }
            Event::Scraped { target, seeds, downloaders, answers } => {
                let all = self.swarm.entry(target).or_default();
                *all = (all.0 + seeds, all.1 + downloaders, all.2 + answers);
                open.close(is_v6, Part::Scrape(target));
            }
            _ => {}
        }
        Ok(())
    }

    fn tell(&self, asker: &mut Asker, names_hash: bool) -> Result<ExitCode> {
        for (hash, (seeds, downloaders, answers)) in &self.swarm {
            let fields = json!({
                "info_hash": hash.to_string(),
                "seeds": seeds,
                "downloaders": downloaders,
                "answers": answers,
            });
            asker.tell().event("scrape", fields)?;
            let of = if names_hash { format!("{hash}: ") } else { String::new() };
            let (seeds, downloaders) =
                (units::count(*seeds, "seed"), units::count(*downloaders, "downloader"));
            let nodes = units::count(*answers, "node");
            asker.tell().say(match answers {
                0 => format!("{of}no node estimates the swarm"),
                _ => format!("{of}about {seeds} and {downloaders}, as {nodes} say"),
            });
        }
        let (peers, queries) = (self.peers.len(), self.queries);
        let elapsed = asker.elapsed();
        let fields = json!({"peers": peers, "queries": queries, "elapsed": elapsed.as_secs_f64()});
        asker.tell().event("done", fields)?;
        let peers = units::count(peers, "peer");
        let queries = if queries == 1 { "1 query".to_owned() } else { format!("{queries} queries") };
        asker.tell().say(format_args!("{peers} in {}, {queries}", units::took(elapsed)));
        let is_counted = self.swarm.values().any(|(seeds, downloaders, _)| seeds + downloaders > 0);
        let is_found = is_counted || !self.peers.is_empty();
        Ok(if is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
