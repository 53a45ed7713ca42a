//! The choker under any peers.

use crate::steps::{BEGIN, Steps};
use slotmap::SlotMap;
use unchoke_engine::ConnId;
use unchoke_engine::choker::{ChokeChange, Choker, PeerRates};

/// No more are unchoked than there are slots; who wants nothing gets none that another could use; each change is one.
pub fn choker(data: &[u8]) {
    let mut steps = Steps::new(data);
    let slots = steps.below(9);
    let mut choker = Choker::new(slots, u64::from(steps.byte()));
    let mut keys: SlotMap<ConnId, ()> = SlotMap::with_key();
    let (mut peers, mut now): (Vec<PeerRates>, _) = (Vec::new(), BEGIN);
    while !steps.is_over() {
        let (what, who) = (steps.byte(), steps.byte());
        match what % 6 {
            0 if peers.len() < 40 => peers.push(PeerRates {
                conn: keys.insert(()),
                is_interested: who & 1 == 1,
                is_choked: true,
                is_seeding: who & 2 == 2,
                received: 0,
                sent: 0,
                sent_since_unchoke: 0,
                unchoked_at: now,
                connected_at: now,
                is_snubbing: who & 12 == 12,
                quota: u64::from(who) << 12,
            }),
            1 if !peers.is_empty() => {
                let gone = peers.swap_remove(usize::from(who) % peers.len());
                choker.forget(gone.conn);
            }
            2 if !peers.is_empty() => {
                let at = usize::from(who) % peers.len();
                let flags = steps.byte();
                let peer = &mut peers[at];
                (peer.is_interested, peer.is_seeding) = (flags & 1 == 1, flags & 2 == 2);
                (peer.is_snubbing, peer.received) = (flags & 12 == 12, u64::from(flags >> 4) << 14);
                (peer.sent, peer.sent_since_unchoke) = (u64::from(flags), u64::from(steps.odd_number()));
            }
            3 => now = now + steps.wait(),
            4 => {
                let changes = choker.rechoke(&peers, now);
                apply(&mut peers, &changes, now);
                check(&peers, slots, false);
            }
            _ => {
                let changes = choker.fill(&peers, now);
                apply(&mut peers, &changes, now);
                check(&peers, slots, true);
            }
        }
    }
}

fn apply(peers: &mut [PeerRates], changes: &[ChokeChange], now: unchoke_wire::time::Instant) {
    assert!(changes.windows(2).all(|w| w[0].choke || !w[1].choke), "chokes come first");
    for change in changes {
        let peer = peers.iter_mut().find(|p| p.conn == change.conn).expect("it is one of the peers");
        assert_ne!(peer.is_choked, change.choke, "nothing is said twice");
        peer.is_choked = change.choke;
        if !change.choke {
            (peer.unchoked_at, peer.sent_since_unchoke) = (now, 0);
        }
    }
}

fn check(peers: &[PeerRates], slots: usize, keeps_idle: bool) {
    let unchoked: Vec<&PeerRates> = peers.iter().filter(|p| !p.is_choked).collect();
    assert!(unchoked.len() <= slots, "{} in {slots} slots", unchoked.len());
    assert!(keeps_idle || unchoked.iter().all(|p| p.is_interested), "a slot for nothing");
    let is_waiting = |p: &PeerRates| p.is_choked && p.is_interested && (p.is_seeding || !p.is_snubbing);
    let is_idle = unchoked.iter().any(|p| !p.is_interested);
    let waits = peers.iter().any(is_waiting);
    assert!(!waits || !is_idle, "an idle peer has the slot of one that waits");
    assert!(!waits || unchoked.len() == slots, "a slot is free and somebody waits");
}
