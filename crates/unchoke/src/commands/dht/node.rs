//! `unchoke dht node`: runs a node of the DHT and shows what it does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use unchoke_runtime::dht::{Event, Family};
use unchoke_runtime::{DhtView, Role, Traffic};

use super::asker::{Asker, Heard, Setup};
use crate::args::NodeArgs;
use crate::errors::about;
use crate::output::lookup::Told;
use crate::{state, units};

pub(super) fn run(args: &NodeArgs) -> Result<ExitCode> {
    args.state.as_deref().map(check_state).transpose()?;
    let own_file = || state::dht_node().filter(|_| args.net.nodes.is_empty());
    let mut asker = Asker::start(Setup {
        net: &args.net,
        role: Role::DhtNode,
        nodes: Vec::new(),
        asks: Vec::new(),
        has_usual_port: true,
        dht_file: args.state.clone().or_else(own_file),
        timeout: None,
        steps: false,
    })?;
    for view in asker.views() {
        let (id, listen) = (view.id.to_string(), listens(&asker, &view));
        let fields = || json!({"id": id, "listen": listen.map(|a| a.to_string())});
        let listen = listen.map_or_else(String::new, |addr| format!(" on {addr}"));
        asker.tell().result(format_args!("node {id}{listen}"), "listening", fields)?;
    }
    let is_drawn = asker.tell().told() == Told::Words && io::stderr().is_terminal();
    let every = args.every.unwrap_or(if is_drawn { EVERY_DRAWN } else { EVERY });
    let mut watch = Watch { is_drawn, every, ..Watch::default() };
    watch.run(&mut asker)
}

/// Refuses a file that holds something else, and a place where none can be kept.
fn check_state(path: &Path) -> Result<()> {
    let mut head = Vec::new();
    match File::open(path).and_then(|f| f.take(STATE_HEAD_LEN).read_to_end(&mut head)) {
        Ok(_) if head.is_empty() || head == STATE_HEAD => {}
        Ok(_) => bail!("{} is no state of a node and is left as it is; name another file", path.display()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(about("read the state", path, &e)),
    }
    // the state is written beside its place, then moved there
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let made = File::create(&beside).and_then(|_| std::fs::remove_file(&beside));
    made.map_err(|e| about("keep the state in", path, &e))
}

fn listens(asker: &Asker, view: &DhtView) -> Option<SocketAddr> {
    asker.local_addrs().iter().copied().find(|a| a.is_ipv4() == (view.family == Family::V4))
}

/// What is followed of the nodes.
#[derive(Default)]
struct Watch {
    /// Whether it is drawn over and over, rather than told in lines.
    is_drawn: bool,
    every: Duration,
    /// Our addresses as others see them: IPv6 is `true`.
    external: BTreeMap<bool, IpAddr>,
    /// What had passed the sockets at the last look.
    before: BTreeMap<bool, Traffic>,
}

/// Datagrams and bytes a second, in and out.
#[derive(Clone, Copy, Debug)]
struct Rates {
    received: f64,
    sent: f64,
    bytes_received: f64,
    bytes_sent: f64,
}

impl Watch {
    /// Follows the nodes until the user ends it.
    fn run(&mut self, asker: &mut Asker) -> Result<ExitCode> {
        let bar = self.is_drawn.then(|| {
            let style = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
            ProgressBar::new_spinner().with_style(style)
        });
        let mut looked = Instant::now();
        loop {
            let heard = asker.hear();
            if let Ok(Heard::Event { is_v6, event: Event::AddressVoted { ip, id } }) = &heard {
                self.external.insert(*is_v6, *ip);
                let fields = || json!({"ip": ip.to_string(), "id": id.to_string()});
                asker.tell().result(format_args!("external address {ip}, id {id}"), "external_ip", fields)?;
            }
            if heard.is_ok() && looked.elapsed() < self.every {
                continue;
            }
            if let Err(interrupted) = heard {
                if let Some(bar) = &bar {
                    bar.finish_and_clear();
                }
                return Err(interrupted);
            }
            let elapsed = looked.elapsed();
            looked = Instant::now();
            let mut drawn = String::new();
            for view in asker.views() {
                let rates = self.rates(&view, elapsed);
                match &bar {
                    Some(_) => drawn.push_str(&self.drawing(&view, rates, listens(asker, &view))),
                    None => {
                        asker.tell().result(line(&view, rates), "node_state", || self.fields(&view, rates))?
                    }
                }
            }
            if let Some(bar) = &bar {
                bar.set_message(drawn);
                bar.tick();
            }
        }
    }

    fn rates(&mut self, view: &DhtView, elapsed: Duration) -> Rates {
        let before = self.before.insert(view.family == Family::V6, view.traffic).unwrap_or_default();
        let rate = |now: u64, then: u64| units::quotient(now.saturating_sub(then), 1) / elapsed.as_secs_f64();
        let now = view.traffic;
        Rates {
            received: rate(now.received, before.received),
            sent: rate(now.sent, before.sent),
            bytes_received: rate(now.bytes_received, before.bytes_received),
            bytes_sent: rate(now.bytes_sent, before.bytes_sent),
        }
    }

    /// One node as a few lines.
    fn drawing(&self, view: &DhtView, rates: Rates, listen: Option<SocketAddr>) -> String {
        let mut text = String::new();
        let mut row = |name: &str, what: String| {
            writeln!(text, "{name:<10}{what}").expect("a String takes all text");
        };
        let listen = listen.map_or_else(String::new, |addr| format!("  on {addr}"));
        row(family(view), format!("{}{listen}", view.id));
        if let Some(ip) = self.external.get(&(view.family == Family::V6)) {
            row("external", ip.to_string());
        }
        let (good, all) = (good(view), view.table.len());
        row("nodes", format!("{all}: {good} good, {} questionable", all - good));
        row("traffic", traffic(rates));
        row("stored", stored(view));
        row("lookups", format!("{} under way", view.lookups));
        row("buckets", "shared bits, nodes (# good, . questionable), median time to answer".to_owned());
        for (bits, bucket) in buckets(view) {
            let rtt = bucket.rtt.map_or_else(String::new, |rtt| format!("{} ms", rtt.as_millis()));
            let bar = "#".repeat(bucket.good.min(BAR_MAX));
            let rest = (bucket.nodes - bucket.good).min(BAR_MAX - bar.len());
            let bar = bar + &".".repeat(rest);
            row("", format!("{bits:>4}  {:>4}  {bar:<BAR_MAX$}  {rtt}", bucket.nodes));
        }
        text.push('\n');
        text
    }

    fn fields(&self, view: &DhtView, rates: Rates) -> Value {
        let buckets: Vec<Value> = buckets(view)
            .into_iter()
            .map(|(bits, b)| {
                let rtt = b.rtt.map(|rtt| rtt.as_secs_f64());
                json!({"shared_bits": bits, "nodes": b.nodes, "good": b.good, "rtt": rtt})
            })
            .collect();
        json!({
            "id": view.id.to_string(),
            "ipv6": view.family == Family::V6,
            "external_ip": self.external.get(&(view.family == Family::V6)).map(ToString::to_string),
            "nodes": view.table.len(),
            "good": good(view),
            "lookups": view.lookups,
            "stored_peers": view.stored_peers,
            "stored_items": view.stored_items,
            "received": view.traffic.received,
            "sent": view.traffic.sent,
            "rate_received": rates.received,
            "rate_sent": rates.sent,
            "rate_bytes_received": rates.bytes_received,
            "rate_bytes_sent": rates.bytes_sent,
            "buckets": buckets,
        })
    }
}

/// One node as a line.
fn line(view: &DhtView, rates: Rates) -> String {
    let nodes = units::count(view.table.len(), "node");
    format!("{}: {nodes}, {} good; {}; {} stored", family(view), good(view), traffic(rates), stored(view))
}

fn stored(view: &DhtView) -> String {
    let (peers, items) = (units::count(view.stored_peers, "peer"), units::count(view.stored_items, "item"));
    format!("{peers}, {items}")
}

fn traffic(rates: Rates) -> String {
    format!("{:.1}/s in, {:.1}/s out", rates.received, rates.sent)
}

fn family(view: &DhtView) -> &'static str {
    match view.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn good(view: &DhtView) -> usize {
    view.table.iter().filter(|row| row.is_good).count()
}

/// Nodes of one distance from ours.
struct Bucket {
    nodes: usize,
    good: usize,
    /// The median.
    rtt: Option<Duration>,
}

/// The nodes by the bits they share with ours.
fn buckets(view: &DhtView) -> BTreeMap<usize, Bucket> {
    let mut rows: BTreeMap<usize, (Bucket, Vec<Duration>)> = BTreeMap::new();
    for row in &view.table {
        let bits = row.node.id.distance(&view.id).shared_bits();
        let empty = || (Bucket { nodes: 0, good: 0, rtt: None }, Vec::new());
        let (bucket, rtts) = rows.entry(bits).or_insert_with(empty);
        bucket.nodes += 1;
        bucket.good += usize::from(row.is_good);
        rtts.extend(row.rtt);
    }
    let with_median = |(bits, (bucket, mut rtts)): (usize, (Bucket, Vec<Duration>))| {
        rtts.sort_unstable();
        (bits, Bucket { rtt: rtts.get(rtts.len() / 2).copied(), ..bucket })
    };
    rows.into_iter().map(with_median).collect()
}

/// How a state file begins, whatever its version.
const STATE_HEAD: &[u8] = b"unchoke dht ";
const STATE_HEAD_LEN: u64 = 12;
/// Between two looks, when told in lines and when drawn.
const EVERY: Duration = Duration::from_secs(10);
const EVERY_DRAWN: Duration = Duration::from_secs(1);
/// Characters of a bucket's bar.
const BAR_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_where_nothing_else_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert!(check_state(&path).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(&path, "unchoke dht 1\n").unwrap();
        assert!(check_state(&path).is_ok());
        std::fs::write(&path, "a diary").unwrap();
        assert!(check_state(&path).is_err());
        assert!(check_state(dir.path()).is_err());
        assert!(check_state(&dir.path().join("no/state")).is_err());
    }
}
