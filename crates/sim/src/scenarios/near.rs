//! Peers found without trackers and DHT: in the local network (BEP 14), and through other peers (BEP 11) of whom some
//! lie.

use super::{Played, Scenario, Setup, ensure, played};
use crate::bad_peer::Manner;
use crate::host::{HostId, HostSettings};
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use core::net::SocketAddr;
use std::collections::BTreeSet;
use unchoke_engine::Settings;
use unchoke_engine::TorrentId;
use unchoke_engine::input::Discovery;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};
use unchoke_wire::{Bitfield, Extension, ExtensionHandshake, ExtensionIds, Reserved};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "pex-poison", what: "liars in peer exchange beside an honest peer", run: poison },
    Scenario { name: "lan", what: "peers found in the local network alone (--peers, 6)", run: lan },
];

/// Only the local network is asked.
const NEAR: Discovery = Discovery { trackers: false, dht: false, lsd: true, dial: true };
/// Pieces of the torrents.
const PIECES: u32 = 16;

fn in_lan(world: &mut World, lan: u32) -> HostId {
    let engine = Settings { dht: false, pex: false, ..Settings::default() };
    world.add_host(HostSettings { engine, lan: Some(lan), ..HostSettings::default() })
}

/// Two networks: a seed in one, leeches in both; and a private torrent that nobody hears of. Datagrams get lost.
fn lan(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let about = About { is_private: true, ..About::default() };
    let private = Content::random(setup.seed, 1 << 20, 64 << 10, about);
    let seed = in_lan(&mut world, 1);
    world.host_mut(seed).link.settings.loss_per_mille = 300;
    swarm::add(&mut world, seed, &content, Bitfield::all(PIECES), NEAR);
    swarm::add(&mut world, seed, &private, Bitfield::all(PIECES), NEAR);
    let (mut near, mut far, mut secret) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..setup.peers.unwrap_or(6) {
        world.run_for(Duration::from_secs(7));
        let host = in_lan(&mut world, if i % 3 == 2 { 2 } else { 1 });
        let torrent = swarm::add(&mut world, host, &content, Bitfield::none(PIECES), NEAR);
        if i % 3 == 2 { &mut far } else { &mut near }.push((host, torrent));
        secret.push((host, swarm::add(&mut world, host, &private, Bitfield::none(PIECES), NEAR)));
    }
    let all_near = |w: &World| near.iter().all(|(h, t)| swarm::is_complete(w, *h, *t));
    let is_done = world.run_while(Duration::from_secs(900), all_near);
    ensure(is_done, || "not everybody in the seed's network completed".to_owned())?;
    let peers = |w: &World, all: &[(HostId, TorrentId)]| -> usize {
        all.iter().map(|(h, t)| w.host(*h).engine.torrent_stats(*t).map_or(0, |s| s.peers.1)).sum()
    };
    let is_bytes = far.iter().any(|(h, t)| swarm::is_complete(&world, *h, *t));
    ensure(!is_bytes, || "a host in another network completed".to_owned())?;
    let told = peers(&world, &secret);
    ensure(told == 0, || format!("{told} peers of the private torrent are known"))?;
    played(world, Vec::new())
}

/// A peer that names `peers` once a minute in one message.
fn poisoner(peers: &[SocketAddr]) -> Manner {
    let hello =
        ExtensionHandshake { ids: ExtensionIds::ours([Extension::UtPex]), ..ExtensionHandshake::default() };
    let added = peers.iter().map(|addr| PexPeer { addr: *addr, flags: PexFlags::default() }).collect();
    let payload = PexMessage { added, ..PexMessage::default() }.encode();
    let poison = Message::Extended { id: Extension::UtPex.local_id(), payload: &payload }.to_vec();
    Manner {
        reserved: Reserved::default().with_extension(),
        first: Message::Extended { id: 0, payload: &hello.encode() }.to_vec(),
        later: vec![(Duration::from_secs(61), poison, 100)],
        ..Manner::default()
    }
}

/// Liars that name a victim's ports, the local network and the host itself, beside honest peers that know of a seed.
fn poison(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let engine = || Settings { dht: false, lsd: false, ..Settings::default() };
    let host = |w: &mut World| w.add_host(HostSettings { engine: engine(), ..HostSettings::default() });
    let (a, b, c) = (host(&mut world), host(&mut world), host(&mut world));
    let victim = world.add_host(HostSettings::default());
    let mut lies: Vec<SocketAddr> =
        (1..40).map(|port| SocketAddr::new(world.host(victim).ip, 7000 + port)).collect();
    lies.extend((1..9u8).map(|i| SocketAddr::from(([192, 168, 0, i], 80))));
    lies.push(world.host(a).addr());
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(PIECES), BY_HAND);
    for _ in 0..setup.peers.unwrap_or(5) {
        let liar = world.add_bad_peer(&content, poisoner(&lies));
        world.bad_peer_dials(liar, a);
    }
    world.run_for(Duration::from_secs(90));
    let of_b = swarm::add(&mut world, b, &content, Bitfield::none(PIECES), BY_HAND);
    swarm::add(&mut world, c, &content, Bitfield::all(PIECES), BY_HAND);
    swarm::introduce(&mut world, b, of_b, c);
    world.command(b, unchoke_engine::Command::SetLimits { download: Some(1), upload: Some(1) });
    swarm::introduce(&mut world, a, of_a, b);
    let is_done = world.run_while(Duration::from_secs(300), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete from the seed that B told it of".to_owned())?;
    let ip_of = |host: HostId| world.host(host).ip;
    let dialled = || world.host(a).dialled.iter();
    let knocked: BTreeSet<u16> =
        dialled().filter(|to| to.ip() == ip_of(victim)).map(SocketAddr::port).collect();
    let minutes = usize::try_from(world.now().as_micros() / 60_000_000).expect("a short run") + 1;
    ensure(knocked.len() <= 2 * minutes, || format!("{} ports in {minutes} minutes", knocked.len()))?;
    let honest = [victim, b, c].map(ip_of);
    let strange: Vec<&SocketAddr> = dialled().filter(|to| !honest.contains(&to.ip())).collect();
    ensure(strange.is_empty(), || format!("dialled {strange:?}"))?;
    let figures = vec![("ports of the victim", knocked.len().to_string())];
    played(world, figures)
}
