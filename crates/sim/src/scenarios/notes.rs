//! The exchanges of the notes.

use super::{Played, Setup, ensure, home, played};
use crate::bad_peer::Manner;
use crate::host::HostId;
use crate::log::words;
use crate::swarm::{self, About, BY_HAND, Content, QUIET};
use crate::world::World;
use core::net::IpAddr;
use std::collections::BTreeSet;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_wire::message::Message;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, HostPort, PieceIndex};

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

pub(super) fn golden_a(setup: &Setup) -> Result<Played, String> {
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

pub(super) fn golden_a_plain(setup: &Setup) -> Result<Played, String> {
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

impl Notes {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, true);
        let router = home(&mut world, true);
        let host = world.host(router).ip.to_string();
        let nodes = vec![HostPort::new(&host, 6881).expect("an address and a port")];
        let content = Content::three_pieces(nodes);
        let (b, c) = (home(&mut world, true), home(&mut world, true));
        let of_b = swarm::add(&mut world, b, &content, Bitfield::all(3), QUIET);
        let mut two = Bitfield::all(3);
        two.clear(PieceIndex(2));
        let of_c = swarm::add(&mut world, c, &content, two, QUIET);
        let a = home(&mut world, true);
        // B and C announce themselves, which the notes leave out
        world.run_for(Duration::from_secs(10));
        Notes { world, content, a, b: (b, of_b), c: (c, of_c) }
    }

    fn start_a(&mut self) -> TorrentId {
        swarm::add(&mut self.world, self.a, &self.content, Bitfield::none(3), Discovery::default())
    }

    /// A and C have everything; when that is not so in time, an error.
    fn complete(&mut self, of_a: TorrentId) -> Result<(), String> {
        let (a, c) = (self.a, self.c);
        let is_done = self.world.run_while(Duration::from_secs(30), |w| {
            swarm::is_complete(w, a, of_a) && swarm::is_complete(w, c.0, c.1)
        });
        ensure(is_done, || "A and C did not complete in 30 s".to_owned())
    }
}

pub(super) fn golden_b(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed);
    let of_a = n.start_a();
    n.complete(of_a)?;
    n.world.run_for(Duration::from_secs(5));
    let (b_ip, c_ip) = (n.world.host(n.b.0).ip, n.world.host(n.c.0).ip);
    let (with_b, with_c) = (talk(&n.world, n.a, b_ip), talk(&n.world, n.a, c_ip));
    let log = || format!("A with B: {with_b:#?}\nA with C: {with_c:#?}");
    let is_dht = |e: &Event| {
        matches!(e, Event::PeersFound { source: unchoke_engine::input::PeerSource::Dht, new, .. } if *new > 0)
    };
    ensure(n.world.log().events(n.a).any(|(_, e)| is_dht(e)), || "A found nobody in the DHT".to_owned())?;
    for (talk, told) in [(&with_b, "< have-all"), (&with_c, "< bitfield c0")] {
        let ours: Vec<&str> = talk.iter().map(String::as_str).filter(|w| w.starts_with('>')).collect();
        let theirs: Vec<&str> = talk.iter().map(String::as_str).filter(|w| w.starts_with('<')).collect();
        ensure(ours.starts_with(&["> handshake", "> have-none"]), || format!("A began otherwise: {}", log()))?;
        ensure(theirs.get(..2) == Some(&["< handshake", told]), || format!("no `{told}`: {}", log()))?;
        let haves: BTreeSet<&str> = ours.iter().copied().filter(|w| w.starts_with("> have ")).collect();
        let all = BTreeSet::from(["> have 0", "> have 1", "> have 2"]);
        ensure(haves == all, || format!("not every piece was told: {}", log()))?;
        let place = |word: &str| talk.iter().position(|w| w.starts_with(word));
        let (interested, unchoke, request) = (place("> interested"), place("< unchoke"), place("> request"));
        ensure(interested.is_some() && interested < unchoke && unchoke < request, || {
            format!("requests without interest and unchoke: {}", log())
        })?;
        ensure(ours.contains(&"> not-interested"), || format!("A stays interested: {}", log()))?;
    }
    let asked = |talk: &[String]| -> Vec<String> {
        talk.iter().filter_map(|w| w.strip_prefix("> request ")).map(|w| w[..1].to_owned()).collect()
    };
    let (of_b, of_c) = (asked(&with_b), asked(&with_c));
    ensure(of_b.iter().all(|p| p == "2") && !of_b.is_empty(), || format!("not 2 from B: {}", log()))?;
    ensure(of_c.first().is_some_and(|p| p == "0") && of_c.last().is_some_and(|p| p == "1"), || {
        format!("not 0, then 1 from C: {}", log())
    })?;
    ensure(of_c.is_sorted(), || format!("not 0 before 1: {}", log()))?;
    let first = first_asked(&n.world, n.a);
    let (ready_b, ready_c) = (unchoked_at(&n.world, n.a, b_ip), unchoked_at(&n.world, n.a, c_ip));
    // a C that is ready before B has said anything is not kept waiting
    if ready_b <= ready_c {
        ensure(first == Some(PieceIndex(2)), || format!("piece {first:?} was asked for first: {}", log()))?;
    }
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
pub(super) fn golden_b_plain(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed);
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

pub(super) fn golden_b_stopped(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed);
    let of_a = n.start_a();
    let (a, b, c) = (n.a, n.b, n.c);
    // B stops as soon as A has piece 2, before C can have it
    let has_2 = |w: &World| w.host(a).engine.have(of_a).is_some_and(|h| h.has(PieceIndex(2)));
    ensure(n.world.run_while(Duration::from_secs(30), has_2), || "A never got piece 2".to_owned())?;
    n.world.command(b.0, Command::Stop);
    n.complete(of_a)?;
    let ip = n.world.host(a).ip;
    let got: Vec<String> = talk(&n.world, c.0, ip).into_iter().filter(|w| w.starts_with("< piece 2")).collect();
    ensure(!got.is_empty(), || "C did not get piece 2 from A".to_owned())?;
    played(n.world, Vec::new())
}

pub(super) fn idle(setup: &Setup) -> Result<Played, String> {
    let mut n = Notes::new(setup.seed);
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
        let sent = n.world.log().traces(host).filter(|(at, t)| *at > begin && t.is_sent && t.remote.ip() == ip);
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
