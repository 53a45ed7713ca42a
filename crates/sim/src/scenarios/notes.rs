//! The exchanges of the notes.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::Manner;
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::log::{What, words};
use crate::swarm::{self, About, BY_HAND, Content, QUIET};
use crate::world::World;
use core::net::IpAddr;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_wire::message::Message;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, HostPort, PieceIndex};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "golden-a", what: "two peers, the notes' example flow", run: golden_a },
    Scenario {
        name: "golden-a-plain",
        what: "the same with a peer of BEP 3 and no extension, message by message",
        run: golden_a_plain,
    },
    Scenario { name: "golden-b", what: "the notes' three peers without a tracker", run: golden_b },
    Scenario { name: "golden-b-far", what: "the same on lines of any make", run: golden_b_far },
    Scenario {
        name: "golden-b-plain",
        what: "the bitfields 0xE0 and 0xC0 as a plain peer sees them",
        run: golden_b_plain,
    },
    Scenario {
        name: "golden-b-stopped",
        what: "the notes' C completes from A after B has stopped",
        run: golden_b_stopped,
    },
    Scenario { name: "idle", what: "ten idle minutes: every link is kept alive", run: idle },
];

/// What a host said to and heard from another, in words.
fn talk(world: &World, host: HostId, other: IpAddr) -> Vec<String> {
    world.log().traces(host).filter(|(_, t)| t.remote.ip() == other).map(|(_, t)| words(t)).collect()
}

/// The words the notes' example uses; extensions speak other ones.
fn is_of_the_notes(words: &str) -> bool {
    let kinds = ["handshake", "bitfield", "interested", "unchoke", "request", "piece", "have ", "keep-alive"];
    kinds.iter().any(|k| words[2..].starts_with(k))
}

/// One piece of one block.
fn one_block() -> Rc<Content> {
    Content::random(7, 16_384, 16_384, About::default())
}

/// The first words of a conversation, up to the first keep-alive.
fn until_keep_alive(talk: &[String]) -> Vec<&str> {
    let words = talk.iter().map(String::as_str).filter(|w| is_of_the_notes(w));
    words.take_while(|w| !w.ends_with("keep-alive")).collect()
}

fn golden_a(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let content = one_block();
    let of_b = swarm::add(&mut world, b, &content, Bitfield::all(1), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(1), BY_HAND);
    ensure(swarm::is_complete(&world, b, of_b), || "B does not begin as a seed".to_owned())?;
    swarm::introduce(&mut world, a, of_a, b);
    let is_done = world.run_while(Duration::from_secs(5), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete in 5 s".to_owned())?;
    world.run_for(Duration::from_secs(150));
    let talk = talk(&world, a, world.host(b).ip);
    let expected = [
        "> handshake",
        "< handshake",
        "> interested",
        "< unchoke",
        "> request 0 0",
        "< piece 0 0",
        "> have 0",
    ];
    let got = until_keep_alive(&talk);
    ensure(got == expected, || format!("the exchange was {got:?}"))?;
    for word in ["> keep-alive", "< keep-alive"] {
        ensure(talk.iter().any(|t| t == word), || format!("no `{word}` in {talk:?}"))?;
    }
    played(world, Vec::new())
}

fn golden_a_plain(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let a = home(&mut world, false);
    let content = one_block();
    let b = world.add_bad_peer(&content, Manner::plain_seed(1));
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(1), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(130));
    let talk = talk(&world, a, world.host(b).ip);
    let expected = [
        "> handshake",
        "< handshake",
        "< bitfield 80",
        "> interested",
        "< unchoke",
        "> request 0 0",
        "< piece 0 0",
        "> not-interested",
        "> have 0",
        "> keep-alive",
    ];
    ensure(talk == expected, || format!("the exchange was {talk:?}"))?;
    played(world, Vec::new())
}

/// The notes' swarm: a plain DHT node that has no torrent, B with 111, C with 110, and A with nothing, not added yet.
struct Notes {
    world: World,
    content: Rc<Content>,
    a: HostId,
    b: (HostId, TorrentId),
    c: (HostId, TorrentId),
}

/// Four lines of the same make, 5 to 60 ms one way and a jitter of up to a third of it, 20 ms at most: so B and C are
/// found and reached at about the same time, as the notes tell it.
fn alike(world: &mut World) -> HostId {
    let mut rng = ChaCha8Rng::seed_from_u64(world.seed());
    let latency = rng.random_range(5_000..60_000);
    let jitter = rng.random_range(0..=(latency / 3).min(20_000));
    let link = LinkSettings {
        latency: Duration::from_micros(latency),
        jitter: Duration::from_micros(jitter),
        ..LinkSettings::default()
    };
    world.add_host(HostSettings { link, ..HostSettings::default() })
}

/// Four home lines, each of its own make.
fn various(world: &mut World) -> HostId {
    home(world, true)
}

impl Notes {
    fn new(seed: u64, line: fn(&mut World) -> HostId) -> Self {
        let mut world = World::new(seed, true);
        let router = line(&mut world);
        let host = world.host(router).ip.to_string();
        let nodes = vec![HostPort::new(&host, 6881).expect("an address and a port")];
        let content = Content::three_pieces(nodes);
        let (b, c) = (line(&mut world), line(&mut world));
        let of_b = swarm::add(&mut world, b, &content, Bitfield::all(3), QUIET);
        let mut two = Bitfield::all(3);
        two.clear(PieceIndex(2));
        let of_c = swarm::add(&mut world, c, &content, two, QUIET);
        let a = line(&mut world);
        // B and C announce themselves, which the notes leave out
        world.run_for(Duration::from_secs(10));
        Notes { world, content, a, b: (b, of_b), c: (c, of_c) }
    }

    fn start_a(&mut self) -> TorrentId {
        swarm::add(&mut self.world, self.a, &self.content, Bitfield::none(3), Discovery::default())
    }

    /// What the engines and hubs told, line by line.
    fn story(&self) -> String {
        let told = self.world.log().entries().iter().filter(|e| !matches!(e.what, What::DatagramSent { .. }));
        let line = |e: &crate::log::Entry| match &e.what {
            What::Peer(t) => format!("{:?} host {} {} {}\n", e.at, e.host.0, t.remote, words(t)),
            what => format!("{:?} host {} {what:?}\n", e.at, e.host.0),
        };
        told.map(line).collect()
    }

    /// A and C have everything; when that is not so in time, an error.
    fn complete(&mut self, of_a: TorrentId) -> Result<(), String> {
        let (a, c) = (self.a, self.c);
        let is_done = self.world.run_while(Duration::from_secs(30), |w| {
            swarm::is_complete(w, a, of_a) && swarm::is_complete(w, c.0, c.1)
        });
        ensure(is_done, || format!("A and C did not complete in 30 s\n{}", self.story()))
    }
}

/// What A asked of whom: the first digits are pieces.
struct Asked {
    with_b: Vec<String>,
    with_c: Vec<String>,
    of_b: Vec<String>,
    of_c: Vec<String>,
}

impl Asked {
    fn new(n: &Notes) -> Self {
        let with = |host: HostId| talk(&n.world, n.a, n.world.host(host).ip);
        let (with_b, with_c) = (with(n.b.0), with(n.c.0));
        let asked = |talk: &[String]| -> Vec<String> {
            talk.iter().filter_map(|w| w.strip_prefix("> request ")).map(|w| w[..1].to_owned()).collect()
        };
        Asked { of_b: asked(&with_b), of_c: asked(&with_c), with_b, with_c }
    }

    fn story(&self) -> String {
        format!("A with B: {:#?}\nA with C: {:#?}", self.with_b, self.with_c)
    }

    /// What holds whatever the lines: who has what is told at once, interest and unchoke come before requests, and
    /// piece 2 comes from B.
    fn check(&self) -> Result<(), String> {
        for (talk, told) in [(&self.with_b, "< have-all"), (&self.with_c, "< bitfield c0")] {
            let ours: Vec<&str> = talk.iter().map(String::as_str).filter(|w| w.starts_with('>')).collect();
            let theirs: Vec<&str> = talk.iter().map(String::as_str).filter(|w| w.starts_with('<')).collect();
            ensure(ours.first() == Some(&"> handshake"), || format!("no handshake: {}", self.story()))?;
            let greeting = theirs.get(..2) == Some(&["< handshake", told]);
            ensure(greeting, || format!("no `{told}`: {}", self.story()))?;
            let place = |word: &str| talk.iter().position(|w| w.starts_with(word));
            let asked = (place("> interested"), place("< unchoke"), place("> request"));
            let is_ordered = asked.2.is_none() || asked.0.is_some() && asked.0 < asked.1 && asked.1 < asked.2;
            ensure(is_ordered, || format!("requests without interest and unchoke: {}", self.story()))?;
        }
        let is_2_from_b = self.of_b.contains(&"2".to_owned()) && !self.of_c.contains(&"2".to_owned());
        ensure(is_2_from_b, || format!("not piece 2 from B: {}", self.story()))
    }
}

fn golden_b(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed, alike);
    let of_a = n.start_a();
    n.complete(of_a)?;
    n.world.run_for(Duration::from_secs(5));
    let is_dht = |e: &Event| matches!(e, Event::PeersFound { source: unchoke_engine::input::PeerSource::Dht, new, .. } if *new > 0);
    ensure(n.world.log().events(n.a).any(|(_, e)| is_dht(e)), || "A found nobody in the DHT".to_owned())?;
    let asked = Asked::new(&n);
    asked.check()?;
    for talk in [&asked.with_b, &asked.with_c] {
        let ours: Vec<&str> = talk.iter().map(String::as_str).filter(|w| w.starts_with('>')).collect();
        let begins = ours.starts_with(&["> handshake", "> have-none"]);
        ensure(begins, || format!("A began otherwise: {}", asked.story()))?;
        let haves: BTreeSet<&str> = ours.iter().copied().filter(|w| w.starts_with("> have ")).collect();
        let all = BTreeSet::from(["> have 0", "> have 1", "> have 2"]);
        ensure(haves == all, || format!("not every piece was told: {}", asked.story()))?;
        ensure(ours.contains(&"> not-interested"), || format!("A stays interested: {}", asked.story()))?;
    }
    ensure(asked.of_b.iter().all(|p| p == "2"), || format!("not 2 alone from B: {}", asked.story()))?;
    let from_c: BTreeSet<&str> = asked.of_c.iter().map(String::as_str).collect();
    ensure(from_c == BTreeSet::from(["0", "1"]), || format!("not 0 and 1 from C: {}", asked.story()))?;
    let (b_ip, c_ip) = (n.world.host(n.b.0).ip, n.world.host(n.c.0).ip);
    let (ready_b, ready_c) = (unchoked_at(&n.world, n.a, b_ip), unchoked_at(&n.world, n.a, c_ip));
    let first = first_asked(&n.world, n.a);
    // a C that unchokes before B does is not kept waiting
    if ready_b < ready_c {
        ensure(first == Some(PieceIndex(2)), || {
            format!("{first:?} was asked for first, {ready_b:?} {ready_c:?}: {}", asked.story())
        })?;
    }
    played(n.world, Vec::new())
}

/// The same on lines that have nothing in common: B may be found long before C, and is not kept waiting.
fn golden_b_far(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed, various);
    let of_a = n.start_a();
    n.complete(of_a)?;
    n.world.run_for(Duration::from_secs(5));
    let asked = Asked::new(&n);
    asked.check()?;
    played(n.world, Vec::new())
}

fn first_asked(world: &World, host: HostId) -> Option<PieceIndex> {
    world.log().traces(host).filter(|(_, t)| t.is_sent).find_map(|(_, t)| {
        let words = words(t);
        let piece = words.strip_prefix("> request ")?.split(' ').next()?.parse().ok()?;
        Some(PieceIndex(piece))
    })
}

fn unchoked_at(world: &World, host: HostId, by: IpAddr) -> Option<Instant> {
    let mut traces = world.log().traces(host).filter(|(_, t)| t.remote.ip() == by);
    traces.find(|(_, t)| words(t) == "< unchoke").map(|(at, _)| at)
}

/// A is a plain peer that only looks: its view of B and C is that of the notes, bit for bit.
fn golden_b_plain(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed, various);
    let manner = Manner { first: Message::Bitfield(&[0]).to_vec(), ..Manner::default() };
    let a = n.world.add_bad_peer(&n.content, manner);
    for (host, _) in [n.b, n.c] {
        n.world.bad_peer_dials(a, host);
    }
    n.world.run_for(Duration::from_secs(5));
    let heard: Vec<&str> =
        n.world.bad_peer(a).pipes().filter_map(|p| p.heard.first()).map(|(_, w)| w.as_str()).collect();
    ensure(heard == ["bitfield e0", "bitfield c0"], || format!("A saw {heard:?}"))?;
    played(n.world, Vec::new())
}

fn golden_b_stopped(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed, various);
    let of_a = n.start_a();
    let (a, b, c) = (n.a, n.b, n.c);
    // B stops as soon as A has piece 2, before C can have it
    let has_2 = |w: &World| w.host(a).engine.have(of_a).is_some_and(|h| h.has(PieceIndex(2)));
    ensure(n.world.run_while(Duration::from_secs(30), has_2), || "A never got piece 2".to_owned())?;
    n.world.command(b.0, Command::Stop);
    n.complete(of_a)?;
    let ip = n.world.host(a).ip;
    let got: Vec<String> =
        talk(&n.world, c.0, ip).into_iter().filter(|w| w.starts_with("< piece 2")).collect();
    ensure(!got.is_empty(), || "C did not get piece 2 from A".to_owned())?;
    played(n.world, Vec::new())
}

fn idle(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed, various);
    let of_a = n.start_a();
    n.complete(of_a)?;
    let begin = n.world.now();
    n.world.run_for(Duration::from_secs(600));
    for host in [n.a, n.b.0, n.c.0] {
        let lost = n.world.log().events(host).find(|(_, e)| matches!(e, Event::PeerDisconnected { .. }));
        ensure(lost.is_none(), || format!("host {} lost a link: {lost:?}", host.0))?;
    }
    for (host, other) in [(n.a, n.b.0), (n.b.0, n.a), (n.a, n.c.0), (n.c.0, n.a)] {
        let ip = n.world.host(other).ip;
        let sent =
            n.world.log().traces(host).filter(|(at, t)| *at > begin && t.is_sent && t.remote.ip() == ip);
        let mut last = begin;
        let mut keep_alives = 0;
        for (at, trace) in sent {
            ensure(at.since(last) < Duration::from_secs(120), || {
                format!("host {} was silent for {:?}", host.0, at.since(last))
            })?;
            last = at;
            keep_alives += usize::from(words(trace) == "> keep-alive");
        }
        ensure(n.world.now().since(last) < Duration::from_secs(120), || "silent at the end".to_owned())?;
        ensure(keep_alives >= 4, || format!("host {} sent {keep_alives} keep-alives", host.0))?;
    }
    played(n.world, Vec::new())
}
