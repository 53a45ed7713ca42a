//! The DHT: swarms of real hosts that have nothing else to find each other by, and networks of hundreds of nodes with
//! attackers among them.

use super::{Played, Scenario, Setup, ensure, home_link, played};
use crate::dht::{self, Attack, Plan, Share};
use crate::host::{HostId, HostSettings, PORT};
use crate::marks::Mark;
use crate::swarm::{self, About, Content};
use crate::world::World;
use std::collections::BTreeSet;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, HostPort};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "dht/bootstrap", what: "a swarm that knows one node", run: |s| swarm_of(s, V4, 1) },
    Scenario { name: "dht/v6", what: "the same in IPv6", run: |s| swarm_of(s, V6, 1) },
    Scenario { name: "dht/dual-stack", what: "the same with both families", run: |s| swarm_of(s, BOTH, 1) },
    Scenario {
        name: "dht/dead-nodes",
        what: "nine of ten nodes it knows are gone",
        run: |s| swarm_of(s, V4, 10),
    },
    Scenario { name: "dht/private", what: "a private torrent is never looked for", run: private },
    Scenario { name: "dht/first-gone", what: "the node all began with goes", run: first_gone },
    Scenario {
        name: "dht/eclipse",
        what: "64 addresses want a key",
        run: |s| attacked(s, Attack::Eclipse, 0.6, 0.6),
    },
    Scenario {
        name: "dht/poison",
        what: "attackers name each other",
        run: |s| attacked(s, Attack::Poison, 0.6, 0.6),
    },
    Scenario {
        name: "dht/values",
        what: "attackers name false peers",
        run: |s| attacked(s, Attack::Values, 0.6, 1.0),
    },
    Scenario {
        name: "dht/liars",
        what: "attackers invent nodes",
        run: |s| attacked(s, Attack::Liars, 0.6, 0.6),
    },
    Scenario {
        name: "dht/droppers",
        what: "attackers answer pings only",
        run: |s| attacked(s, Attack::Droppers, 0.6, 0.6),
    },
];

const ONLY: Discovery = Discovery { trackers: false, dht: true, lsd: false, dial: true };
const PIECES: u32 = 8;
/// Whether hosts have an address of IPv4, and one of IPv6.
type Families = (bool, bool);
const V4: Families = (true, false);
const V6: Families = (false, true);
const BOTH: Families = (true, true);

fn host(world: &mut World, families: Families, nodes: &[HostPort]) -> HostId {
    let (v4, v6) = (world.next_ip(), world.next_ip6());
    let link = home_link(world);
    let settings = HostSettings {
        link,
        engine: Settings { pex: false, ..Settings::default() },
        bootstrap: nodes.to_vec(),
        other_ip: (families == BOTH).then_some(v6),
        ..HostSettings::default()
    };
    world.add_host_at(if families.0 { v4 } else { v6 }, settings)
}

fn nodes(world: &World, families: Families, known: usize) -> Vec<HostPort> {
    let first = if families.0 { world.next_ip() } else { world.next_ip6() };
    let alive = HostPort::new(&first.to_string(), PORT).expect("an address and a port");
    let dead =
        (1..known).map(|n| HostPort::new(&format!("99.7.{n}.1"), PORT).expect("an address and a port"));
    dead.chain(core::iter::once(alive)).collect()
}

fn content(setup: &Setup, is_private: bool) -> Rc<Content> {
    let about = About { is_private, ..About::default() };
    Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, about)
}

/// A node without torrents, a seed, and leeches.
fn cast(
    world: &mut World,
    setup: &Setup,
    families: Families,
    known: usize,
    is_private: bool,
) -> Vec<(HostId, TorrentId)> {
    let nodes = nodes(world, families, known);
    let content = content(setup, is_private);
    host(world, families, &[]);
    (0..setup.peers.unwrap_or(4).max(2))
        .map(|n| {
            let host = host(world, families, &nodes);
            let have = if n == 0 { Bitfield::all(PIECES) } else { Bitfield::none(PIECES) };
            (host, swarm::add(world, host, &content, have, ONLY))
        })
        .collect()
}

fn all_complete(world: &World, members: &[(HostId, TorrentId)]) -> bool {
    members.iter().all(|(h, t)| swarm::is_complete(world, *h, *t))
}

fn swarm_of(setup: &Setup, families: Families, known: usize) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let members = cast(&mut world, setup, families, known, false);
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(400), |w| all_complete(w, &members));
    let took = world.now().since(begin);
    ensure(is_done, || "the swarm did not find itself in the DHT".to_owned())?;
    if families == BOTH {
        for (host, _) in &members {
            let nodes = world.host(*host).hub.dht_nodes();
            ensure(nodes.len() == 2, || format!("host {} has {} nodes of the DHT", host.0, nodes.len()))?;
        }
    }
    played(world, vec![("complete in", format!("{took:?}"))])
}

fn private(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let members = cast(&mut world, setup, V4, 1, true);
    world.run_for(Duration::from_secs(300));
    let is_silent = members
        .iter()
        .skip(1)
        .all(|(h, t)| world.host(*h).engine.torrent_stats(*t).is_some_and(|s| s.peers == (0, 0)));
    ensure(is_silent, || "a peer of a private torrent was found".to_owned())?;
    ensure(!world.marks().hit().contains(&Mark::DhtFound), || "the DHT was asked".to_owned())?;
    played(world, Vec::new())
}

/// Everybody began with one node; it goes, and a newcomer that knows another one still finds the seed.
fn first_gone(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let members = cast(&mut world, setup, V4, 1, false);
    let is_done = world.run_while(Duration::from_secs(400), |w| all_complete(w, &members));
    ensure(is_done, || "the swarm did not find itself in the DHT".to_owned())?;
    world.kill(HostId(0));
    world.run_for(Duration::from_secs(60));
    let known = world.host(members[1].0).ip.to_string();
    let known = HostPort::new(&known, PORT).expect("an address and a port");
    let late = host(&mut world, V4, &[known]);
    let torrent = swarm::add(&mut world, late, &content(setup, false), Bitfield::none(PIECES), ONLY);
    let is_done = world.run_while(Duration::from_secs(400), |w| swarm::is_complete(w, late, torrent));
    ensure(is_done, || "a newcomer found nobody".to_owned())?;
    played(world, Vec::new())
}

/// A network of two hundred nodes under attack: so many lookups find a peer, and no more are captured.
fn attacked(setup: &Setup, attack: Attack, success: f64, captured: f64) -> Result<Played, String> {
    let plan = Plan {
        seed: setup.seed,
        nodes: 200,
        lookups: 5,
        attack: Some(attack),
        dead: Share::per_mille(200),
        ..Plan::default()
    };
    let report = dht::look_up(&plan);
    let (found, taken) = (report.success(), report.captured());
    ensure(found >= success, || format!("{:.0} % of lookups found a peer", found * 100.0))?;
    ensure(taken <= captured, || format!("{:.0} % of lookups were captured", taken * 100.0))?;
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    for lookup in &report.lookups {
        let took = lookup.done.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        digest = (digest ^ took ^ u64::from(lookup.queries) << 40).wrapping_mul(0x0100_0000_01b3);
    }
    let figures =
        vec![("found", format!("{:.0} %", found * 100.0)), ("captured", format!("{:.0} %", taken * 100.0))];
    Ok(Played {
        hosts: 200,
        time: report.lookups.iter().filter_map(|l| l.done).max().unwrap_or_default(),
        digest,
        marks: BTreeSet::new(),
        figures,
    })
}
