//! `unchoke sim dht`: a DHT in virtual time, and what its lookups cost.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use unchoke_sim::dht::{self, Mode, NetSettings, Plan, Report, Spread};

use crate::args::DhtSimArgs;
use crate::output;

/// Plays the network and prints its figures.
///
/// # Errors
/// The output or the drawing cannot be written.
pub(crate) fn run(args: &DhtSimArgs) -> Result<ExitCode> {
    let plan = Plan {
        seed: args.seed,
        nodes: args.nodes,
        dead: args.dead,
        lookups: args.lookups,
        mode: if args.full { Mode::Full } else { Mode::Snapshot },
        net: NetSettings { loss: args.loss, keeps_rtt_of_pair: args.pair_rtt, ..NetSettings::default() },
        foreign: args.foreign,
    };
    let report = dht::play(&plan);
    if args.json {
        output::line(to_json(&report))?;
    } else {
        lines(&report).iter().try_for_each(output::line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(report: &Report) -> Vec<String> {
    let (done, first) = (report.done_ms(), report.first_ms());
    let (queries, hops, recall) = (report.queries(), report.hops(), report.recall());
    let (bytes, served, load) = (report.bytes(), report.served, report.load);
    vec![
        format!(
            "{} nodes, {:.0} % of what tables hold is dead, {} lookups, seed {}",
            report.plan.nodes,
            report.plan.dead.as_f64() * 100.0,
            report.lookups.len(),
            report.plan.seed,
        ),
        format!("found a peer      {:.2} %", report.success() * 100.0),
        format!("first peer        p50 {:.0} ms, p95 {:.0} ms", first.p50, first.p95),
        format!("done              p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms", done.p50, done.p95, done.max),
        format!("queries           mean {:.1}, p95 {:.0}, max {:.0}", queries.mean, queries.p95, queries.max),
        format!("hops              mean {:.2}, max {:.0}", hops.mean, hops.max),
        format!("closest 8 found   {:.1} %", recall.mean * 100.0),
        format!("bytes             mean {:.0}, p95 {:.0}", bytes.mean, bytes.p95),
        format!("stored at         mean {:.2} nodes", report.replicas().mean),
        format!(
            "nodes in replies  {}, dead {:.1} %, against BEP 42 {:.1} %, of one site {:.2} %",
            served.nodes,
            percent(served.dead, served.nodes),
            percent(served.not_compliant, served.nodes),
            percent(served.same_site, served.nodes),
        ),
        format!("datagrams a node  mean {:.1}, p95 {:.0}, max {:.0}", load.mean, load.p95, load.max),
        format!("machines {}, events {}, digest {:016x}", report.machines, report.events, report.digest),
    ]
}

fn to_json(report: &Report) -> Value {
    let plan = &report.plan;
    json!({
        "seed": plan.seed,
        "nodes": plan.nodes,
        "dead": plan.dead.as_f64(),
        "lookups": report.lookups.len(),
        "success": report.success(),
        "first_ms": spread(report.first_ms()),
        "done_ms": spread(report.done_ms()),
        "queries": spread(report.queries()),
        "hops": spread(report.hops()),
        "recall": report.recall().mean,
        "bytes": spread(report.bytes()),
        "replicas": report.replicas().mean,
        "machines": report.machines,
        "events": report.events,
        "digest": format!("{:016x}", report.digest),
    })
}

fn spread(spread: Spread) -> Value {
    json!({ "mean": spread.mean, "p50": spread.p50, "p95": spread.p95, "max": spread.max })
}

fn percent(part: u64, whole: u64) -> f64 {
    let number = |n: u64| u32::try_from(n).map_or(f64::MAX, f64::from);
    if whole == 0 { 0.0 } else { number(part) / number(whole) * 100.0 }
}
