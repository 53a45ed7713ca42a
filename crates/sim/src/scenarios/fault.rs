//! One scenario for each kind of fault: it had its effect, what must hold under it held, and once it was over everybody
//! completed. And mixes of kinds, drawn from the seed.

use super::stage::{Shape, Stage};
use super::{Played, Scenario, Setup, ensure};
use crate::fault::{Fault, FaultKind, FaultPlan, Profile};
use crate::log::words;
use unchoke_engine::Event;
use unchoke_engine::input::Discovery;
use unchoke_wire::time::Duration;

/// One kind, who is spared, how long it lasts in milliseconds, and what must hold when it is over.
struct Case {
    kind: FaultKind,
    spared: usize,
    lasts_ms: (u64, u64),
    shape: Shape,
    claim: fn(&Stage) -> Result<(), String>,
}

impl Case {
    const fn new(kind: FaultKind) -> Self {
        Case { kind, spared: 0, lasts_ms: (1_000, 4_000), shape: SHAPE, claim: |_| Ok(()) }
    }
}

const SHAPE: Shape = Shape {
    seeds: 2,
    hosts: 6,
    pieces: 32,
    seed_rate: 60_000,
    discovery: Discovery { trackers: true, dht: true, lsd: true, dial: true },
    has_named_tracker: false,
};
/// Peers are found in the DHT alone.
const DHT_ONLY: Shape =
    Shape { discovery: Discovery { trackers: false, dht: true, lsd: false, dial: true }, ..SHAPE };
/// Peers are found by the tracker alone, which has a name.
const NAMED: Shape = Shape {
    discovery: Discovery { trackers: true, dht: false, lsd: false, dial: true },
    has_named_tracker: true,
    ..SHAPE
};
/// Once nothing goes wrong any more. A peer that failed often is dialled again after four minutes at the latest.
const PATIENCE: Duration = Duration::from_secs(600);

macro_rules! fault {
    ($name:literal, $what:literal, $case:expr) => {
        Scenario {
            name: concat!("fault/", $name),
            what: $what,
            run: |setup| {
                const CASE: Case = $case;
                of_kind(setup, &CASE)
            },
        }
    };
}

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    fault!("loss", "datagrams lost, segments sent again", Case { shape: DHT_ONLY, ..net(FaultKind::Loss) }),
    fault!("duplicate", "datagrams that come twice", Case { shape: DHT_ONLY, ..net(FaultKind::Duplicate) }),
    fault!(
        "reorder",
        "datagrams that overtake each other",
        Case { shape: DHT_ONLY, ..net(FaultKind::Reorder) }
    ),
    fault!("jitter", "packets that take half a second longer", net(FaultKind::Jitter)),
    fault!(
        "corrupt-datagram",
        "datagrams with a wrong byte",
        Case { shape: DHT_ONLY, ..net(FaultKind::CorruptDatagram) }
    ),
    Scenario { name: "fault/partition", what: "seeds and leeches cut off from each other", run: partition },
    fault!("one-way-loss", "a host that is heard by nobody", Case::new(FaultKind::OneWayLoss)),
    fault!(
        "reset-storm",
        "connections reset once a second",
        Case { claim: little_waste, ..Case::new(FaultKind::ResetStorm) }
    ),
    fault!("stuck-streams", "connections on which nothing comes through", Case::new(FaultKind::StuckStreams)),
    fault!("half-open", "connections that one side only has lost", Case::new(FaultKind::HalfOpen)),
    Scenario { name: "fault/slow-line", what: "a leech on a very slow line", run: slow_line },
    Scenario { name: "fault/nat", what: "leeches that cannot be dialled at first", run: nat },
    fault!("nat-rebind", "a NAT that forgets connections and ports", Case::new(FaultKind::NatRebind)),
    fault!("ip-change", "hosts that get another address", Case::new(FaultKind::IpChange)),
    fault!("mtu-hole", "large datagrams lost", Case { shape: DHT_ONLY, ..net(FaultKind::MtuHole) }),
    fault!("kill", "processes killed and begun anew", Case { claim: kept_bytes, ..leech(FaultKind::Kill) }),
    fault!("power-cut", "unsynced writes lost", leech(FaultKind::PowerCut)),
    fault!("torn-write", "unsynced pieces half there", leech(FaultKind::TornWrite)),
    fault!(
        "freeze",
        "hosts suspended for a minute",
        Case { lasts_ms: (5_000, 60_000), ..leech(FaultKind::Freeze) }
    ),
    Scenario { name: "fault/sleep-8h", what: "a leech suspended for eight hours", run: sleep },
    Scenario { name: "fault/no-descriptors", what: "hosts that cannot open sockets", run: no_descriptors },
    Scenario { name: "fault/dns-down", what: "names that do not resolve", run: dns_down },
    fault!(
        "disk-full",
        "full disks that get room again",
        Case { claim: asks_nothing_of_a_full_disk, ..leech(FaultKind::DiskFull) }
    ),
    fault!("read-error", "disks that cannot be read", Case::new(FaultKind::ReadError)),
    fault!("write-error", "disks on which every other write fails", leech(FaultKind::WriteError)),
    fault!("slow-disk", "disks a hundred times as slow", leech(FaultKind::SlowDisk)),
    fault!("disk-stall", "disks that do nothing for a while", leech(FaultKind::DiskStall)),
    fault!("bit-rot", "blocks read wrong", Case { lasts_ms: (5_000, 9_000), ..leech(FaultKind::BitRot) }),
    fault!(
        "corrupting",
        "a peer that spoils blocks",
        Case { lasts_ms: (5_000, 9_000), ..leech(FaultKind::Corrupting) }
    ),
    tracker_fault("fault/tracker-down", "a tracker that is silent at first", |s| {
        of_tracker(s, FaultKind::TrackerDown)
    }),
    tracker_fault("fault/tracker-garbage", "a tracker that answers garbage at first", |s| {
        of_tracker(s, FaultKind::TrackerGarbage)
    }),
    tracker_fault("fault/tracker-slow", "a tracker that takes twelve seconds", |s| {
        of_tracker(s, FaultKind::TrackerSlow)
    }),
    tracker_fault("fault/tracker-wrong-peers", "a tracker that names nobody", |s| {
        of_tracker(s, FaultKind::TrackerWrongPeers)
    }),
    tracker_fault("fault/tracker-intervals", "a tracker that lies about intervals", |s| {
        of_tracker(s, FaultKind::TrackerIntervals)
    }),
    Scenario { name: "mix/net", what: "a mix of faults of the network", run: |s| mix(s, NET, (6, 16)) },
    Scenario { name: "mix/disk", what: "a mix of faults of disks", run: |s| mix(s, DISK, (6, 16)) },
    Scenario { name: "mix/host", what: "a mix of faults of hosts", run: |s| mix(s, HOST, (4, 12)) },
    Scenario {
        name: "mix/tracker",
        what: "a mix of faults of the tracker",
        run: |s| mix(s, TRACKER, (3, 8)),
    },
    Scenario {
        name: "mix/address",
        what: "addresses and ports that change",
        run: |s| mix(s, ADDRESS, (4, 10)),
    },
    Scenario { name: "mix/churn", what: "hosts that go and come back", run: churn },
    Scenario {
        name: "mix/liars",
        what: "a spoiling peer while the network fails",
        run: |s| mix(s, LIARS, (6, 14)),
    },
    Scenario { name: "mix/all", what: "a mix of all faults", run: |s| mix(s, FaultKind::ALL, (8, 24)) },
];

const fn tracker_fault(
    name: &'static str,
    what: &'static str,
    run: fn(&Setup) -> Result<Played, String>,
) -> Scenario {
    Scenario { name, what, run }
}

const fn net(kind: FaultKind) -> Case {
    Case { lasts_ms: (3_000, 8_000), ..Case::new(kind) }
}

/// A fault that only leeches have.
const fn leech(kind: FaultKind) -> Case {
    Case { spared: 2, ..Case::new(kind) }
}

const NET: &[FaultKind] = &[
    FaultKind::Loss,
    FaultKind::Duplicate,
    FaultKind::Reorder,
    FaultKind::Jitter,
    FaultKind::CorruptDatagram,
    FaultKind::Partition,
    FaultKind::OneWayLoss,
    FaultKind::ResetStorm,
    FaultKind::StuckStreams,
    FaultKind::HalfOpen,
    FaultKind::SlowLine,
    FaultKind::MtuHole,
    FaultKind::DnsDown,
];
const DISK: &[FaultKind] = &[
    FaultKind::DiskFull,
    FaultKind::ReadError,
    FaultKind::WriteError,
    FaultKind::SlowDisk,
    FaultKind::DiskStall,
    FaultKind::PowerCut,
    FaultKind::TornWrite,
];
const HOST: &[FaultKind] =
    &[FaultKind::Kill, FaultKind::PowerCut, FaultKind::Freeze, FaultKind::NoDescriptors, FaultKind::SlowDisk];
const TRACKER: &[FaultKind] = &[
    FaultKind::TrackerDown,
    FaultKind::TrackerGarbage,
    FaultKind::TrackerSlow,
    FaultKind::TrackerWrongPeers,
    FaultKind::TrackerIntervals,
    FaultKind::ResetStorm,
];
const ADDRESS: &[FaultKind] =
    &[FaultKind::Nat, FaultKind::NatRebind, FaultKind::IpChange, FaultKind::HalfOpen, FaultKind::ResetStorm];
const LIARS: &[FaultKind] = &[
    FaultKind::Corrupting,
    FaultKind::BitRot,
    FaultKind::ResetStorm,
    FaultKind::StuckStreams,
    FaultKind::Kill,
    FaultKind::WriteError,
];

fn of_kind(setup: &Setup, case: &Case) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &case.shape);
    stage.plan(&Profile {
        kinds: &[case.kind],
        count: (3, 6),
        within: Duration::from_secs(6),
        lasts_ms: case.lasts_ms,
        spared: case.spared,
    });
    (case.claim)(&stage).map_err(|e| stage.with_plan(&e))?;
    stage.completes(PATIENCE)
}

fn mix(setup: &Setup, kinds: &[FaultKind], count: (u64, u64)) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &Shape::default());
    let within = Duration::from_secs(15);
    stage.plan(&Profile { kinds, count, within, lasts_ms: (200, 8_000), spared: 0 });
    stage.completes(PATIENCE)
}

/// Leeches go without a word or after one, for up to a minute, again and again.
fn churn(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &Shape { hosts: 8, seed_rate: 30_000, ..Shape::default() });
    stage.plan(&Profile {
        kinds: &[FaultKind::Kill, FaultKind::PowerCut, FaultKind::Freeze],
        count: (10, 20),
        within: Duration::from_secs(30),
        lasts_ms: (500, 60_000),
        spared: 2,
    });
    stage.completes(PATIENCE)
}

fn one(kind: FaultKind, whom: usize, after: Duration, lasts: Duration) -> FaultPlan {
    FaultPlan { faults: vec![Fault { after, kind, whom, lasts }] }
}

/// For 30 s nothing passes between the seeds and the leeches; the leeches complete once it does.
fn partition(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &Shape::default());
    stage.play(one(FaultKind::Partition, 1, Duration::from_secs(1), Duration::from_secs(30)));
    ensure(setup.faults.is_some() || stage.done() == 0, || {
        "a leech completed across a partition".to_owned()
    })?;
    let begin = stage.world.now();
    let is_done = stage.world.run_while(Duration::from_secs(60), |w| {
        stage.members.iter().all(|(h, t)| crate::swarm::is_complete(w, *h, *t))
    });
    let took = stage.world.now().since(begin);
    ensure(is_done, || stage.with_plan(&format!("not complete {took:?} after the partition")))?;
    stage.completes(PATIENCE)
}

/// One leech has a hundredth of its rate: the others do not wait for it.
fn slow_line(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &Shape::default());
    let lasts = Duration::from_secs(40);
    stage.play(one(FaultKind::SlowLine, 2, Duration::from_secs(1), lasts));
    let done = stage.done();
    let others = stage.members.len() - stage.seeds - 1;
    ensure(done >= others, || {
        stage.with_plan(&format!("{done} of {others} leeches on good lines are done"))
    })?;
    stage.completes(PATIENCE)
}

/// A leech is suspended for eight hours: it goes on at once, and nobody spun meanwhile.
fn sleep(setup: &Setup) -> Result<Played, String> {
    let discovery = Discovery { dht: false, lsd: false, ..Discovery::default() };
    let shape = Shape { seeds: 1, hosts: 3, pieces: 16, seed_rate: 20_000, discovery, ..Shape::default() };
    let mut stage = Stage::new(setup, &shape);
    stage.world.tracker_mut(stage.tracker).interval_s = 1800;
    stage.play(one(FaultKind::Freeze, 1, Duration::from_secs(3), Duration::from_secs(8 * 3600)));
    let due = stage.members.len() - 2;
    ensure(stage.done() >= due, || stage.with_plan("the others did not complete meanwhile"))?;
    stage.completes(Duration::from_secs(90))
}

/// The same kind of fault at hosts from this number on, from the beginning.
fn at_once(stage: &Stage, kind: FaultKind, spared: usize, lasts: Duration) -> FaultPlan {
    let hosts = spared..stage.members.len();
    let faults = hosts.map(|whom| Fault { after: Duration::ZERO, kind, whom, lasts });
    FaultPlan { faults: faults.take(crate::fault::FAULTS_MAX).collect() }
}

/// Only the seeds can be dialled at first: leeches dial them, and complete.
fn nat(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &NAMED);
    let plan = at_once(&stage, FaultKind::Nat, stage.seeds, Duration::from_secs(30));
    stage.play(plan);
    let leeches = stage.members.len() - stage.seeds;
    let done = stage.done();
    ensure(done == leeches, || stage.with_plan(&format!("{done} of {leeches} completed behind a NAT")))?;
    stage.completes(PATIENCE)
}

/// For ten seconds no leech can open a socket: it does not try without end, and completes when it can.
fn no_descriptors(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &NAMED);
    let plan = at_once(&stage, FaultKind::NoDescriptors, stage.seeds, Duration::from_secs(10));
    stage.play(plan);
    few_dials(&stage).map_err(|e| stage.with_plan(&e))?;
    stage.completes(PATIENCE)
}

/// The tracker has a name that does not resolve for the first 20 s; nobody hears of anybody before.
fn dns_down(setup: &Setup) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &NAMED);
    let plan = at_once(&stage, FaultKind::DnsDown, 0, Duration::from_secs(20));
    stage.play(plan);
    stage.completes(PATIENCE)
}

/// The tracker fails while everybody looks for peers, and again later.
fn of_tracker(setup: &Setup, kind: FaultKind) -> Result<Played, String> {
    let mut stage = Stage::new(setup, &NAMED);
    let at = |s| Duration::from_secs(s);
    let mut plan = one(kind, 0, at(0), at(25));
    plan.faults.push(Fault { after: at(60), kind, whom: 0, lasts: at(100) });
    stage.play(plan);
    if kind == FaultKind::TrackerIntervals {
        stage.world.run_for(at(1200));
    }
    // whatever the tracker says, nobody asks it more than once a minute but for what has happened
    let seconds = stage.world.now().as_micros() / 1_000_000;
    for (host, _) in &stage.members {
        let addr = stage.world.host(*host).addr();
        let heard = stage.world.tracker(stage.tracker).heard.iter().filter(|a| a.addr == addr).count() as u64;
        let most = seconds / 60 + 5;
        ensure(heard <= most, || stage.with_plan(&format!("host {} announced {heard} times", host.0)))?;
    }
    // the back-off may be long by now
    stage.completes(Duration::from_secs(3700))
}

/// Resets cost little: what was received is not asked for again.
fn little_waste(stage: &Stage) -> Result<(), String> {
    for (host, _) in &stage.members {
        let waste = stage.world.checkers().waste(*host);
        let is_little = waste.useless <= waste.received / 4 + (64 << 10);
        ensure(is_little, || format!("host {} wasted much: {waste:?}", host.0))?;
    }
    Ok(())
}

/// A killed process goes on with all that was written: it receives no more than the pieces it was in the middle of
/// once more.
fn kept_bytes(stage: &Stage) -> Result<(), String> {
    let len = stage.content.data.len() as u64;
    for (host, _) in stage.members.iter().skip(stage.seeds) {
        let kills = stage.world.plan().faults.iter().filter(|f| f.whom == host.0).count() as u64;
        let waste = stage.world.checkers().waste(*host);
        // up to sixteen pieces are under way at once here
        let most = len + (kills + 1) * (16 << 14);
        ensure(waste.received <= most, || format!("host {} received {} bytes", host.0, waste.received))?;
    }
    Ok(())
}

/// Who cannot open sockets does not try without end.
fn few_dials(stage: &Stage) -> Result<(), String> {
    for (host, _) in &stage.members {
        let dialled = stage.world.host(*host).dialled.len();
        ensure(dialled <= 200, || format!("host {} dialled {dialled} times in a few seconds", host.0))?;
    }
    Ok(())
}

/// From the moment its disk is known to be full until it is told to go on, a torrent asks for nothing.
fn asks_nothing_of_a_full_disk(stage: &Stage) -> Result<(), String> {
    for (host, _) in stage.members.iter().skip(stage.seeds) {
        let events: Vec<_> = stage.world.log().events(*host).collect();
        for (at, _) in events.iter().filter(|(_, e)| matches!(e, Event::StorageFailed { .. })) {
            let faults = stage.world.plan().faults.iter().filter(|f| f.whom == host.0);
            let begin = unchoke_wire::time::Instant::from_micros(1_000_000);
            let until = faults.map(|f| begin + f.after + f.lasts).find(|end| *end > *at);
            let Some(until) = until else { continue };
            let mut talk = stage.world.log().traces(*host).filter(|(t, _)| t > at && *t < until);
            let asked = talk.find(|(_, t)| words(t).starts_with("> request"));
            ensure(asked.is_none(), || format!("host {} asked for more: {asked:?}", host.0))?;
        }
    }
    Ok(())
}
