//! `unchoke dht find-node`: the nodes closest to a point.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use unchoke_runtime::dht::{Command, Event, NodeInfo};

use super::asker::{Asker, Heard, Open, Setup};
use crate::args::FindNodeArgs;
use crate::units;

pub(super) fn run(args: &FindNodeArgs) -> Result<ExitCode> {
    let target = args.target;
    let mut asker = Asker::start(Setup::lookup(&args.lookup))?;
    asker.join()?;
    asker.ask(Command::FindNode { target });
    let mut open = Open::new(asker.ready(), [target]);
    let mut found: Vec<NodeInfo> = Vec::new();
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { is_v6, event: Event::NodesFound { target: of, closest } } if of == target => {
                open.close(is_v6, target);
                found.extend(closest);
            }
            Heard::TimedOut => break,
            _ => {}
        }
    }
    asker.tell().finish();
    found.sort_by_key(|node| node.id.distance(&target));
    for NodeInfo { id, addr } in &found {
        let shared_bits = id.distance(&target).shared_bits();
        asker.tell().result(
            format_args!("{:>8}  {id}  {addr}", units::count(shared_bits, "bit")),
            "node",
            || json!({"node": addr.to_string(), "id": id.to_string(), "shared_bits": shared_bits}),
        )?;
    }
    let elapsed = asker.elapsed();
    asker.tell().event("done", json!({"nodes": found.len(), "elapsed": elapsed.as_secs_f64()}))?;
    let (nodes, took) = (units::count(found.len(), "node"), units::took(elapsed));
    asker.tell().say(format_args!("{nodes} in {took}"));
    Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
