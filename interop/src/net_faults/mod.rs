//! Transfers between two of our clients over a line that goes wrong, and between networks that change. Needs no other
//! client.

mod net;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::{Case, ensure_quick};
use crate::clients::first_missing;
use crate::lab::Lab;
use crate::link::Line;
use crate::net_faults::net::{Family, Net};
use crate::netns::ip;
use crate::proc::{command_with, run, wait_until};

/// Every case. They wait most of the time.
pub(crate) fn cases() -> Vec<Case> {
    let bad_lines = BAD_LINES
        .iter()
        .map(|bad| case(format!("net-faults/{}", bad.name), move |lab, dir| completes(lab, dir, bad)));
    let outages = OUTAGES
        .iter()
        .map(|outage| case(format!("net-faults/{}", outage.name), move |lab, dir| resumes(lab, dir, outage)));
    let others: [(&str, Run); 6] = [
        ("connections-forgotten", survives_a_nat_that_forgets),
        ("reset-storm", survives_resets),
        ("address-change", follows_an_address_change),
        ("suspended", goes_on_after_a_stop),
        ("ipv6-only", works_over_ipv6_alone),
        ("broken-ipv6", is_not_held_up_by_broken_ipv6),
    ];
    let others = others.into_iter().map(|(name, run)| case(format!("net-faults/{name}"), run));
    outages.chain(others).chain(bad_lines).collect()
}

type Run = fn(&Lab, &Path) -> Result<()>;

fn case(name: String, run: impl Fn(&Lab, &Path) -> Result<()> + Send + Sync + 'static) -> Case {
    let needs = |lab: &Lab| Line::missing(lab).or_else(|| first_missing(&["kill"]));
    Case::new(name, needs, run).waiting()
}

/// A line that is bad all the time.
struct BadLine {
    name: &'static str,
    command: &'static str,
    mib: u64,
}

//= H3f-1
const BAD_LINES: &[BadLine] = &[
    BadLine { name: "loss-1", command: "loss 1", mib: 8 },
    BadLine { name: "loss-5", command: "loss 5", mib: 4 },
    BadLine { name: "loss-20", command: "loss 20", mib: 1 },
    BadLine { name: "duplicates-5", command: "dup 5", mib: 8 },
    BadLine { name: "reorder-25", command: "reorder 25", mib: 8 },
    BadLine { name: "corrupt-1", command: "corrupt 1", mib: 4 },
    BadLine { name: "jitter-200", command: "jitter 200", mib: 8 },
];

/// The transfer completes, and no piece had to be fetched twice.
fn completes(lab: &Lab, dir: &Path, bad: &BadLine) -> Result<()> {
    let mut net = Net::new(lab, dir, bad.name, bad.mib, Family::V4)?;
    net.say(bad.command)?;
    let seed = net.seed()?;
    let get = net.get(seed.at)?;
    net.complete(get)
}

/// A line that lets nothing, or not everything, through for a while.
struct Outage {
    name: &'static str,
    begin: &'static str,
    lasts: Duration,
    end: &'static str,
}

//= H3f-2
const OUTAGES: &[Outage] = &[
    Outage { name: "partition-30", begin: "cut both", lasts: Duration::from_secs(30), end: "cut none" },
    Outage { name: "partition-150", begin: "cut both", lasts: Duration::from_secs(150), end: "cut none" },
    Outage { name: "one-way", begin: "cut 0", lasts: Duration::from_secs(20), end: "cut none" },
    // the system finds the smaller size by itself where it is told to look for it
    Outage { name: "mtu-hole", begin: "mtu 1280", lasts: Duration::ZERO, end: "" },
];

/// The transfer goes on within a minute of the outage's end. The peer came from a tracker, which is not asked again for
/// an hour: who forgets it while it cannot be reached is alone.
fn resumes(lab: &Lab, dir: &Path, outage: &Outage) -> Result<()> {
    let mut net = Net::new(lab, dir, outage.name, 8, Family::V4)?;
    let mut tracker = net.track(3600)?;
    let _seed = net.seed()?;
    tracker.wait_for_output("announce 10.77.0.1 started", RESUMES_WITHIN)?;
    let get = net.get_untold()?;
    net.wait_for_share(0.2)?;
    net.say(outage.begin)?;
    std::thread::sleep(outage.lasts);
    net.say(outage.end)?;
    net.goes_on_within(RESUMES_WITHIN)?;
    net.complete(get)
}

//= H3f-3
/// A NAT forgot the connection: nothing says so to either side, both have to notice.
fn survives_a_nat_that_forgets(lab: &Lab, dir: &Path) -> Result<()> {
    let mut net = Net::new(lab, dir, "forgets", 8, Family::V4)?;
    let seed = net.seed()?;
    let get = net.get(seed.at)?;
    net.wait_for_share(0.2)?;
    net.say("forget")?;
    // a minute until a silent connection is given up, and the dial
    net.goes_on_within(Duration::from_secs(75))?;
    net.complete(get)
}

//= H3f-2
fn survives_resets(lab: &Lab, dir: &Path) -> Result<()> {
    let mut net = Net::new(lab, dir, "resets", 64, Family::V4)?;
    let seed = net.seed()?;
    let get = net.get(seed.at)?;
    net.wait_for_share(0.1)?;
    for _ in 0..10 {
        net.say("reset")?;
        std::thread::sleep(Duration::from_secs(1));
    }
    net.goes_on_within(RESUMES_WITHIN)?;
    net.complete(get)
}

//= H3f-3
/// The downloader's address changes: it is reached again and the transfer goes on within seconds, and its tracker knows
/// within a minute although it asks for an hour of peace.
fn follows_an_address_change(lab: &Lab, dir: &Path) -> Result<()> {
    let net = Net::new(lab, dir, "moves", 4, Family::V4)?;
    let mut tracker = net.track(3600)?;
    let seed = net.seed()?;
    let get = net.get(seed.at)?;
    tracker.wait_for_output("announce 10.77.0.2 started", RESUMES_WITHIN)?;
    net.wait_for_share(0.2)?;
    let [_, b] = net.names();
    ip(&format!("-n {b} addr add 10.77.0.9/24 dev long1"))?;
    ip(&format!("-n {b} addr del 10.77.0.2/24 dev long1"))?;
    ip(&format!("-n {b} addr replace 10.77.0.9/24 dev long1"))?;
    wait_until("the new address to be listened on", Duration::from_secs(5), || {
        net.is_listening("10.77.0.9")
    })?;
    // the seeder still has the old connection, and finds out that it is dead when the new one comes
    net.goes_on_within(RESUMES_WITHIN)?;
    tracker.wait_for_output("announce 10.77.0.9 ", RESUMES_WITHIN)?;
    net.complete(get)
}

//= H3f-8
/// A machine that slept: the process is stopped for longer than any request lives.
fn goes_on_after_a_stop(lab: &Lab, dir: &Path) -> Result<()> {
    let net = Net::new(lab, dir, "slept", 8, Family::V4)?;
    let seed = net.seed()?;
    let get = net.get(seed.at)?;
    net.wait_for_share(0.2)?;
    let pid = get.pid().to_string();
    let signal = |name: &str| run(&mut command_with("kill", [name, pid.as_str()]), Duration::from_secs(5));
    signal("-STOP")?;
    std::thread::sleep(Duration::from_secs(90));
    signal("-CONT")?;
    net.goes_on_within(RESUMES_WITHIN)?;
    net.complete(get)
}

//= H3f-4
/// Tracker, dial and transfer where there is no IPv4.
fn works_over_ipv6_alone(lab: &Lab, dir: &Path) -> Result<()> {
    let net = Net::new(lab, dir, "six", 4, Family::V6)?;
    let mut tracker = net.track(60)?;
    let _seed = net.seed()?;
    tracker.wait_for_output("announce fd77::1 started", RESUMES_WITHIN)?;
    let get = net.get_untold()?;
    net.complete(get)
}

//= H3f-4
/// A tracker whose name has an IPv6 address first that nothing answers on.
fn is_not_held_up_by_broken_ipv6(lab: &Lab, dir: &Path) -> Result<()> {
    let mut net = Net::new(lab, dir, "halfsix", 4, Family::V4)?;
    let [_, b] = net.names();
    // there is a way, and nobody at its end
    ip(&format!("-n {b} addr add fd77::2/64 dev long1 nodad"))?;
    net.rename_tracker(&["fd77::dead", "10.77.0.1"])?;
    let mut tracker = net.track(60)?;
    let _seed = net.seed()?;
    let begin = Instant::now();
    let get = net.get_untold()?;
    tracker.wait_for_output("announce 10.77.0.2 started", RESUMES_WITHIN)?;
    let took = begin.elapsed();
    net.complete(get).context("after the announce")?;
    ensure_quick(took < Duration::from_millis(1500), || format!("the announce took {took:?}"))
}

/// Until a transfer goes on after a fault is over.
const RESUMES_WITHIN: Duration = Duration::from_secs(60);
