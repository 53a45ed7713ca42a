//! `unchoke sim dht`: a DHT in virtual time, and what its lookups cost.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use unchoke_sim::dht::{self, Churn, Life, Mode, NetSettings, Plan, Report, Spread, Start};

use crate::args::{ChurnArg, DhtSimArgs, StartArg};
use crate::errors;
use crate::output;

/// How long a network lives unless it is said.
const LIFE: Duration = Duration::from_secs(2 * 3600);

/// Plays the network and prints its figures.
///
/// # Errors
/// The output or the drawing cannot be written.
pub(crate) fn run(args: &DhtSimArgs) -> Result<ExitCode> {
    // a drawing that cannot be written is told before the time is spent
    args.svg.as_deref().map(open).transpose()?;
    let report = dht::play(&plan_of(args));
    if args.json {
        output::line(to_json(&report))?;
    } else {
        lines(&report).iter().try_for_each(output::line)?;
    }
    if let Some(path) = &args.svg {
        fs::write(path, dht::draw(&report)).map_err(|error| errors::about("write", path, &error))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file of a drawing, with what it holds.
fn open(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.map_err(|error| errors::about("write", path, &error))
}

fn plan_of(args: &DhtSimArgs) -> Plan {
    let lives = args.hours.is_some() || args.churn.is_some() || args.start.is_some();
    let churn = args.churn.map(|churn| match churn {
        ChurnArg::Calm => Churn { median: Duration::from_secs(3600), shape: 0.5 },
        ChurnArg::Medium => Churn { median: Duration::from_secs(1800), shape: 0.5 },
        ChurnArg::Harsh => Churn { median: Duration::from_secs(600), shape: 0.6 },
    });
    let start = match args.start {
        None | Some(StartArg::Warm) => Start::Warm,
        Some(StartArg::Waves) => Start::Waves,
        Some(StartArg::Rush) => Start::Rush,
    };
    let mode = match (lives, args.full) {
        (true, _) => Mode::Life(Life { time: args.hours.unwrap_or(LIFE), churn, start }),
        (false, true) => Mode::Full,
        (false, false) => Mode::Snapshot,
    };
    Plan {
        seed: args.seed,
        nodes: args.nodes.unwrap_or(if lives { 1000 } else { 100_000 }),
        dead: args.dead,
        lookups: args.lookups,
        mode,
        net: NetSettings {
            rtt_median: Duration::from_millis(args.rtt.into()),
            keeps_rtt_of_pair: args.pair_rtt,
            loss: args.loss,
            has_nats: args.nat,
            ..NetSettings::default()
        },
        foreign: args.foreign,
        attack: args.attack,
        hostile: args.hostile,
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Snapshot => "snapshot",
        Mode::Full => "full",
        Mode::Life(_) => "life",
    }
}

fn lines(report: &Report) -> Vec<String> {
    let (done, first) = (report.done_ms(), report.first_ms());
    let (queries, hops, recall) = (report.queries(), report.hops(), report.recall());
    let (bytes, served, load) = (report.bytes(), report.served, report.load);
    let mut lines = vec![
        head(report),
        format!("found a peer      {:.2} %", report.success() * 100.0),
        format!("first peer        p50 {:.0} ms, p95 {:.0} ms", first.p50, first.p95),
        format!("done              p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms", done.p50, done.p95, done.max),
        format!("queries           mean {:.1}, p95 {:.0}, max {:.0}", queries.mean, queries.p95, queries.max),
        format!("hops              mean {:.2}, max {:.0}", hops.mean, hops.max),
        format!("closest 8 found   {:.1} %", recall.mean * 100.0),
        format!("bytes a lookup    mean {:.0}, p95 {:.0}", bytes.mean, bytes.p95),
        format!("stored at         mean {:.2} nodes", report.replicas().mean),
        format!(
            "nodes in replies  {}, dead {:.1} %, against BEP 42 {:.1} %, of one site {:.2} %, hostile {:.1} %",
            served.nodes,
            percent(served.dead, served.nodes),
            percent(served.not_compliant, served.nodes),
            percent(served.same_site, served.nodes),
            percent(served.hostile, served.nodes),
        ),
        format!("upkeep            {:.0} bytes a node and minute", report.upkeep),
        format!("datagrams a node  mean {:.1}, p95 {:.0}, max {:.0}", load.mean, load.p95, load.max),
    ];
    lines.extend(attack_lines(report));
    lines.extend(life_lines(report));
    lines.push(format!(
        "machines {}, events {}, digest {:016x}",
        report.machines, report.events, report.digest
    ));
    lines
}

fn head(report: &Report) -> String {
    let plan = &report.plan;
    let attack = plan.attack.map_or(String::new(), |a| format!(", attack {}", a.name()));
    let network = match plan.mode {
        Mode::Life(life) => format!("that live for {:.1} hours", life.time.as_secs_f64() / 3600.0),
        mode => format!("({}), {:.0} % of tables dead", mode_name(mode), plan.dead.as_f64() * 100.0),
    };
    format!("{} nodes {network}{attack}, {} lookups, seed {}", plan.nodes, report.lookups.len(), plan.seed)
}

fn attack_lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if report.plan.attack.is_some() {
        lines.push(format!(
            "attackers         captured {:.2} % of the lookups, are {:.1} % of the closest, {:.1} false peers a lookup",
            report.captured() * 100.0,
            report.hostile_closest() * 100.0,
            report.false_peers()
        ));
    }
    let reflected = report.reflected;
    if reflected.sent > 0 {
        lines.push(format!(
            "reflection        {} bytes sent, {} reached for the victim: {:.2} times, largest {} bytes",
            reflected.sent,
            reflected.reflected,
            percent(reflected.reflected, reflected.sent) / 100.0,
            reflected.largest
        ));
    }
    lines
}

fn life_lines(report: &Report) -> Vec<String> {
    let Mode::Life(_) = report.plan.mode else { return Vec::new() };
    let joins = report.join_ms();
    let mut lines = vec![
        format!(
            "joins             {}, p50 {:.0} ms, p95 {:.0} ms to the own neighbourhood",
            report.joins.len(),
            joins.p50,
            joins.p95
        ),
        format!("own address       {} right, {} wrong votes", report.votes.right, report.votes.wrong),
    ];
    if let Some(last) = report.surveys.last() {
        let dead = Spread::of(report.surveys.iter().map(|s| s.dead));
        lines.push(format!(
            "tables            {:.0} nodes at the end, {:.1} % of good ones dead (worst hour {:.1} %), {} nodes up",
            last.entries,
            dead.mean * 100.0,
            dead.max * 100.0,
            last.up
        ));
    }
    let worst = report.success_by_hour().into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((hour, success)) = worst {
        lines.push(format!("worst hour        {:.2} % found a peer in hour {hour}", success * 100.0));
    }
    lines
}

fn to_json(report: &Report) -> Value {
    let (plan, served) = (&report.plan, report.served);
    let pairs = |pairs: Vec<(u64, f64)>| -> Vec<Value> {
        pairs.into_iter().map(|(at, share)| json!({ "at": at, "success": share })).collect()
    };
    let surveys: Vec<Value> = report
        .surveys
        .iter()
        .map(|s| json!({ "at_s": s.at.as_secs(), "up": s.up, "entries": s.entries, "dead": s.dead }))
        .collect();
    json!({
        "mode": mode_name(plan.mode),
        "seed": plan.seed,
        "nodes": plan.nodes,
        "dead": plan.dead.as_f64(),
        "attack": plan.attack.map(dht::Attack::name),
        "lookups": report.lookups.len(),
        "success": report.success(),
        "first_ms": spread(report.first_ms()),
        "done_ms": spread(report.done_ms()),
        "queries": spread(report.queries()),
        "hops": spread(report.hops()),
        "recall": report.recall().mean,
        "bytes": spread(report.bytes()),
        "replicas": spread(report.replicas()),
        "replies": {
            "nodes": served.nodes,
            "dead": percent(served.dead, served.nodes) / 100.0,
            "not_compliant": percent(served.not_compliant, served.nodes) / 100.0,
            "same_site": percent(served.same_site, served.nodes) / 100.0,
            "hostile": percent(served.hostile, served.nodes) / 100.0,
        },
        "upkeep_bytes_per_minute": report.upkeep,
        "datagrams_per_node": spread(report.load),
        "captured": report.captured(),
        "hostile_closest": report.hostile_closest(),
        "false_peers": report.false_peers(),
        "reflected": {
            "sent": report.reflected.sent,
            "reflected": report.reflected.reflected,
            "largest": report.reflected.largest,
        },
        "join_ms": spread(report.join_ms()),
        "votes": { "right": report.votes.right, "wrong": report.votes.wrong },
        "surveys": surveys,
        "success_by_hour": pairs(report.success_by_hour()),
        "success_by_minutes_since_announce": pairs(report.success_by_age()),
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
