//! `unchoke dht sample`: which torrents nodes know of (BEP 51).

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;
use unchoke_runtime::dht::{Command, Event, NodeId};
use unchoke_wire::WireHash;

use super::asker::{Asker, Heard, Open, Setup};
use crate::args::SampleArgs;
use crate::{random, units};

pub(super) fn run(args: &SampleArgs) -> Result<ExitCode> {
    let target = match args.target {
        Some(target) => target,
        None => NodeId(random::bytes()?),
    };
    let mut asker = Asker::start(Setup::lookup(&args.lookup))?;
    asker.join()?;
    asker.ask(Command::Sample { target });
    let mut open = Open::new(asker.ready(), [target]);
    let mut hashes: BTreeSet<WireHash> = BTreeSet::new();
    let (mut nodes, mut stored_in_all) = (0_usize, 0_u64);
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { event: Event::Sampled { from, interval, stored, samples, .. }, .. } => {
                nodes += 1;
                stored_in_all = stored_in_all.saturating_add(stored);
                let fields = json!({
                    "node": from.addr.to_string(),
                    "id": from.id.to_string(),
                    "interval": interval.as_secs(),
                    "stored": stored,
                    "samples": samples.iter().map(ToString::to_string).collect::<Vec<_>>(),
                });
                asker.tell().event("sample", fields)?;
                for hash in samples {
                    if hashes.insert(hash) {
                        asker.tell().line(hash)?;
                    }
                }
            }
            Heard::Event { is_v6, event: Event::SampleDone { target: of, .. } } if of == target => {
                open.close(is_v6, target);
            }
            Heard::TimedOut => break,
            _ => {}
        }
    }
    asker.tell().finish();
    if nodes == 0 {
        bail!("no node near {target} gives samples; try another ID, or more time with --timeout");
    }
    let elapsed = asker.elapsed();
    let fields = json!({
        "nodes": nodes,
        "info_hashes": hashes.len(),
        "stored": stored_in_all,
        "elapsed": elapsed.as_secs_f64(),
    });
    asker.tell().event("done", fields)?;
    let (found, nodes) = (units::count(hashes.len(), "torrent"), units::count(nodes, "node"));
    let took = units::took(elapsed);
    asker.tell().say(format_args!("{found} of {stored_in_all} that {nodes} store, in {took}"));
    Ok(if hashes.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
