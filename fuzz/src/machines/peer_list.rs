//! The peers a torrent knows of, under any row of news about them, and the ledger of their honesty.

use crate::steps::{BEGIN, Steps};
use slotmap::SlotMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use unchoke_engine::PeerKey;
use unchoke_engine::input::PeerSource;
use unchoke_engine::peer_list::blame::Ledger;
use unchoke_engine::peer_list::{PEERS_MAX, PeerList};
use unchoke_wire::scope::{self, canonical};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BlockIndex, PeerId, PieceIndex};

const SOURCES: [PeerSource; 7] = [
    PeerSource::User,
    PeerSource::Magnet,
    PeerSource::Tracker,
    PeerSource::Lsd,
    PeerSource::Dht,
    PeerSource::Pex,
    PeerSource::Incoming,
];

/// Nobody is dialled who is us, banned, connected, or out of the scope of who told; a stranger's address at few ports a
/// minute; and time goes on.
pub fn peer_list(data: &[u8]) {
    let mut steps = Steps::new(data);
    let own = SocketAddr::from(([80, 0, 9, 9], 6881));
    let mut list = PeerList::new(u64::from(steps.byte()), vec![own]);
    let (mut now, mut busy): (Instant, Vec<PeerKey>) = (BEGIN, Vec::new());
    let mut dials: Vec<(Instant, SocketAddr)> = Vec::new();
    while !steps.is_over() {
        let what = steps.byte();
        match what % 14 {
            0..=3 => {
                let (addr, source) = (steps.address(), SOURCES[usize::from(what >> 4) % 6]);
                let told_by = steps.flag().then(|| steps.address().ip());
                let before = list.len();
                let is_new = list.add(addr, source, told_by, now);
                assert!(!is_new || list.len() == before + 1 && !list.is_banned(addr.ip(), now));
                assert!(!is_new || addr.port() != 0 && canonical(addr) != own);
                let is_stranger = source != PeerSource::User && told_by.is_none_or(scope::is_global);
                assert!(!is_new || !is_stranger || scope::is_global(addr.ip()), "{addr} told by {told_by:?}");
            }
            4 => {
                let addr = steps.address();
                if let Some(key) = list.accept(addr, now) {
                    assert!(!busy.contains(&key) && !list.is_banned(addr.ip(), now));
                    busy.push(key);
                }
            }
            5 | 6 => {
                for (key, addr) in list.next_to_dial(now, 1 + steps.below(4), what & 0x80 != 0) {
                    assert!(!busy.contains(&key) && list.addr(key) == Some(addr) && list.is_dialable(key));
                    assert!(addr != own && addr.port() != 0 && !list.is_banned(addr.ip(), now));
                    list.dialling(key, now);
                    busy.push(key);
                    dials.push((now, addr));
                }
                check_ports(&dials, now);
            }
            7 => now = now + steps.wait(),
            8 => list.add_own(SocketAddr::from(([80, 0, 9, steps.byte() % 4], 6881))),
            9 => list.note_seed_at(steps.address()),
            10 if what >= 240 => list.forget_told(),
            _ => news(&mut list, &mut busy, what, &mut steps, now),
        }
        assert!(list.len() <= PEERS_MAX);
        assert!(list.next_dial_time(now).is_none_or(|at| at >= now));
        assert!(busy.iter().all(|key| list.addr(*key).is_some()), "who is connected is known");
    }
}

/// Something about one that is dialled or connected.
fn news(list: &mut PeerList, busy: &mut Vec<PeerKey>, what: u8, steps: &mut Steps<'_>, now: Instant) {
    let Some(key) = steps.pick(busy) else { return };
    match what >> 4 {
        0 => list.connected(key, now),
        1..=4 => {
            busy.retain(|k| *k != key);
            match what >> 4 {
                1 => list.disconnected(key, now),
                2 => list.missed(key, now),
                3 => list.failed(key, now),
                _ => {
                    list.disconnected(key, now);
                    list.misbehaved(key, now);
                }
            }
        }
        5 | 6 => {
            if let Some(twin) = list.listens_on(key, 6881 + u16::from(steps.byte() % 3)) {
                assert!(busy.contains(&twin) && twin != key, "a twin is connected");
            }
        }
        7 => list.note_seed(key),
        8 => list.note_ourselves(key),
        9 => list.expect_id(steps.address(), PeerId([what; 20])),
        10 => list.misbehaved(key, now),
        n => {
            let from: Vec<(BlockIndex, Option<PeerKey>)> =
                (0..3).map(|b| (BlockIndex(b), steps.pick(busy).filter(|_| n > 11))).collect();
            let hashes: Vec<[u8; 20]> = (0..3).map(|_| [steps.byte() % 2; 20]).collect();
            let piece = PieceIndex(u32::from(steps.byte() % 4));
            match steps.flag() {
                true => list.piece_failed(piece, &hashes, &from, now),
                false => list.piece_passed(piece, &hashes, &from, now),
            }
            assert!((-8..=8).contains(&list.trust(key)));
        }
    }
}

/// No global address was dialled at more than two ports within a minute.
fn check_ports(dials: &[(Instant, SocketAddr)], now: Instant) {
    let mut ports: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
    let is_late = |at: Instant| now.since(at) < Duration::from_secs(60);
    for (_, addr) in dials.iter().filter(|(at, a)| is_late(*at) && scope::is_global(a.ip())) {
        ports.entry(addr.ip()).or_default().insert(addr.port());
    }
    assert!(ports.values().all(|p| p.len() <= 2), "{ports:?}");
}

/// Whoever sends only true blocks is never found guilty, whoever sends a false one in a piece that passes later is.
pub fn blame(data: &[u8]) {
    let mut steps = Steps::new(data);
    let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
    let peers: Vec<PeerKey> = (0..6).map(|_| keys.insert(())).collect();
    // the last ones lie, where they choose to
    let is_liar = |peer: PeerKey| peers[4..].contains(&peer);
    let mut ledger = Ledger::new();
    let mut lied: BTreeMap<PieceIndex, BTreeSet<PeerKey>> = BTreeMap::new();
    while !steps.is_over() {
        let piece = PieceIndex(u32::from(steps.byte() % 3));
        let senders: Vec<(BlockIndex, Option<PeerKey>)> =
            (0..4).map(|b| (BlockIndex(b), steps.pick(&peers))).collect();
        let lies: Vec<bool> =
            senders.iter().map(|(_, p)| p.is_some_and(is_liar) && steps.byte().is_multiple_of(3)).collect();
        let hash = |(block, is_lie): (u8, &bool)| if *is_lie { [0x80 | block; 20] } else { [block; 20] };
        let hashes: Vec<[u8; 20]> = (0u8..).zip(&lies).map(hash).collect();
        let guilty = match lies.contains(&true) {
            true => {
                let liars =
                    senders.iter().zip(&lies).filter(|(_, is_lie)| **is_lie).filter_map(|((_, p), _)| *p);
                let liars: BTreeSet<PeerKey> = liars.collect();
                let guilty = ledger.piece_failed(piece, &hashes, &senders);
                if guilty.is_empty() {
                    lied.entry(piece).or_default().extend(liars);
                }
                guilty
            }
            false => {
                let wanted = ledger.wants_hashes(piece);
                let guilty = ledger.piece_passed(piece, if wanted { &hashes } else { &[] }, &senders);
                let due = lied.remove(&piece).unwrap_or_default();
                assert_eq!(guilty.iter().copied().collect::<BTreeSet<_>>(), due, "the liars of {piece:?}");
                guilty
            }
        };
        assert!(guilty.into_iter().all(is_liar), "an honest peer is guilty");
        assert!(peers.iter().all(|p| (-8..=8).contains(&ledger.trust(*p))));
    }
}
