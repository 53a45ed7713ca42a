//! `unchoke-interop bench-dht`: queries that a DHT node answers per CPU second, ours and libtorrent's in one run, and
//! what 20,000 junk datagrams a second cost ours while it goes on answering.
//!
//! Both nodes fill their tables from the same stand-ins, store the same peers, and are asked the same by the same
//! askers, in turns. Time is the node's own, user and system, as `/proc` has it. The exit code is 1 when a figure is
//! missed.

mod junk;
mod krpc;
mod load;
mod network;
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clients::{Client, Job, Role, Source};
use crate::lab::Lab;
use crate::netns::Host;
use crate::ports::free_port;
use junk::Flood;
use load::{Askers, Mix, Tally, to_f64};
use network::Network;
use server::Server;

/// Stand-ins that fill the tables.
const STAND_INS: u8 = 200;
/// Turns of each node at each mix; the middle one counts.
const ROUNDS: usize = 3;
/// Junk datagrams a second.
const JUNK_RATE: u32 = 20_000;
/// Honest queries a second meanwhile.
const HONEST_RATE: f64 = 500.0;
/// How often libtorrent's answers per CPU second ours should be, at least.
const RATIO: f64 = 2.0;
/// What the flood may cost, as a part of a core.
const JUNK_SHARE: f64 = 0.15;
/// Honest queries that must be answered under the flood.
const HONEST_SHARE: f64 = 0.99;
/// How long a download whose only way to its peer is the flooded node may take.
const GET_LIMIT: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The binary under test; `None`: build it.
    pub(crate) unchoke: Option<PathBuf>,
    /// Seconds of one turn; the flood lasts four of them, and ten at least.
    seconds: u64,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self { unchoke: None, seconds: 4 };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--unchoke" => parsed.unchoke = Some(args.next().context("--unchoke needs a path")?.into()),
                "--seconds" => {
                    let seconds = args.next().context("--seconds needs a number")?;
                    parsed.seconds = seconds.parse().context("--seconds needs a number")?;
                }
                _ => bail!("unchoke-interop bench-dht [--unchoke PATH] [--seconds N]"),
            }
        }
        parsed.seconds = parsed.seconds.max(1);
        Ok(parsed)
    }
}

/// Runs both figures with the binary `unchoke`; whether both are reached.
pub(crate) fn run(args: &Args, unchoke: PathBuf) -> Result<bool> {
    let lab = Lab::new(unchoke)?;
    let dir = lab.case_dir("bench-dht")?;
    let torrent = dir.join("small.torrent");
    lab.unchoke.create(&lab.payloads.small, &torrent, &[])?;
    let network = Network::start(91, STAND_INS)?;
    let ours = Server::unchoke(&lab, &torrent, &dir.join("ours"), network.entry())?;
    let is_cheap = flood(args, &lab, &torrent, &dir, &ours)?;
    let is_fast = match lab.libtorrent.missing() {
        Some(missing) => {
            println!("answers per CPU second: skipped, missing: {missing}");
            true
        }
        None => {
            let theirs = Server::libtorrent(&lab, &dir.join("theirs"), network.entry())?;
            throughput(args, &[ours, theirs])?
        }
    };
    Ok(is_cheap && is_fast)
}

/// Waits until the node names eight nodes whatever it is asked.
fn warm(askers: &mut Askers, server: &Server) -> Result<()> {
    let begin = Instant::now();
    loop {
        let named = askers.nodes_named(50)?;
        if named >= 8.0 {
            return Ok(());
        }
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("{} names only {named:.1} nodes in a reply after a minute", server.name);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Measures answers per CPU second of both, in turns, and says whether ours are often enough theirs.
fn throughput(args: &Args, servers: &[Server; 2]) -> Result<bool> {
    let mut askers = Vec::new();
    for (server, net) in servers.iter().zip(100..) {
        let mut of_it = Askers::new(net, server.addr)?;
        warm(&mut of_it, server)?;
        of_it.announce().with_context(|| format!("announce to {}", server.name))?;
        askers.push(of_it);
    }
    println!(
        "{:<28}{:<12}{:>12}{:>12}{:>10}{:>10}",
        "answers per CPU second", "", "answers/s", "per CPU s", "bytes", "lost"
    );
    let mut is_fast = true;
    for mix in Mix::ALL {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((server, askers), rates) in servers.iter().zip(&mut askers).zip(&mut rates) {
                rates.push(turn(mix, args, server, askers)?);
            }
        }
        let [ours, theirs] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[ROUNDS / 2]
        });
        println!("{:<28}ratio {:.2}", mix.name(), ours / theirs);
        // the figure is that of the mix
        is_fast &= mix != Mix::Mixed || ours >= RATIO * theirs;
    }
    Ok(is_fast)
}

/// One turn of one node: its answers per CPU second.
fn turn(mix: Mix, args: &Args, server: &Server, askers: &mut Askers) -> Result<f64> {
    let (cpu, begin) = (server.cpu_seconds()?, Instant::now());
    let tally = askers.run(mix, Duration::from_secs(args.seconds), None)?;
    let (cpu, wall) = (server.cpu_seconds()? - cpu, begin.elapsed().as_secs_f64());
    if tally.answers == 0 {
        bail!("{} answered nothing", server.name);
    }
    let answers = to_f64(tally.answers);
    println!(
        "{:<28}{:<12}{:>12.0}{:>12.0}{:>10.0}{:>9.1}%",
        mix.name(),
        server.name,
        answers / wall,
        answers / cpu,
        to_f64(tally.bytes) / answers,
        100.0 * (1.0 - answers / to_f64(tally.asked)),
    );
    Ok(answers / cpu)
}

/// Measures what junk costs our node, and whether it still serves: honest queries, and a download that knows nobody
/// else. Says whether all is as it should be.
fn flood(args: &Args, lab: &Lab, torrent: &Path, dir: &Path, ours: &Server) -> Result<bool> {
    let mut askers = Askers::new(90, ours.addr)?;
    warm(&mut askers, ours)?;
    let time = Duration::from_secs((args.seconds * 4).max(10));
    let (quiet, _) = share(&mut askers, ours, time / 2)?;
    let flood = Flood::start(92, ours.addr, JUNK_RATE)?;
    let begin = Instant::now();
    let (loud, tally) = share(&mut askers, ours, time)?;
    let rate = to_f64(flood.sent()) / begin.elapsed().as_secs_f64();
    let got = download(lab, torrent, dir, ours);
    flood.end();
    let answered = to_f64(tally.answers) / to_f64(tally.asked);
    println!(
        "junk: {rate:.0} a second cost {:.1} % of a core ({:.1} % without them); of {} honest queries {:.2} % \
         answered",
        loud * 100.0,
        quiet * 100.0,
        tally.asked,
        answered * 100.0
    );
    match &got {
        Ok(took) => println!("junk: a magnet through the flooded node was complete after {took:.1} s"),
        Err(e) => println!("junk: a magnet through the flooded node FAILED: {e:#}"),
    }
    Ok(loud <= JUNK_SHARE && answered >= HONEST_SHARE && got.is_ok())
}

/// The part of a core a node uses while honest askers keep to their rate, and what they got.
fn share(askers: &mut Askers, server: &Server, time: Duration) -> Result<(f64, Tally)> {
    let (cpu, begin) = (server.cpu_seconds()?, Instant::now());
    let tally = askers.run(Mix::Mixed, time, Some(HONEST_RATE))?;
    Ok(((server.cpu_seconds()? - cpu) / begin.elapsed().as_secs_f64(), tally))
}

/// Seconds until a magnet is complete whose only known node is the flooded one.
fn download(lab: &Lab, torrent: &Path, dir: &Path, ours: &Server) -> Result<f64> {
    let state = dir.join("get");
    std::fs::create_dir_all(&state)?;
    let magnet = lab.unchoke.magnet(torrent)?;
    let (host, begin) = (Host::loopback(), Instant::now());
    let job = Job {
        role: Role::Get,
        host: &host,
        port: free_port()?,
        source: Source::Magnet(&magnet),
        dir: &state,
        state: &state,
        dial: None,
        dht_nodes: &[ours.addr],
        lsd: false,
        pex: false,
        rate_limit: None,
    };
    let mut peer = lab.unchoke.start(&job)?;
    crate::proc::wait_until("download", GET_LIMIT, || lab.unchoke.is_complete(&mut peer))?;
    Ok(begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_benchmark_are_read_and_others_refused() {
        let parse = |line: &str| Args::parse(line.split_whitespace().map(String::from));
        let args = parse("--seconds 9 --unchoke /bin/unchoke").unwrap();
        assert_eq!(args, Args { unchoke: Some("/bin/unchoke".into()), seconds: 9 });
        assert!(parse("--fast").is_err());
    }
}
