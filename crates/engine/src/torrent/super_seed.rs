//! Super-seeding (BEP 16): which pieces a seed shows to whom, so that a swarm gets its first copy for little more than
//! one upload of it.
//!
//! Every piece goes to one peer at first, and who has passed on what it was shown is shown more. Nobody is shown more
//! than two pieces that it has not passed on; who is kept from that, by others or by itself, waits a minute at most.

use crate::id::ConnId;
use std::collections::BTreeMap;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, PieceIndex};

/// Pieces on offer to one peer at once.
const OFFERS_MAX: usize = 2;
/// A peer that wants none of what it is offered is offered something else after this.
const UNWANTED_AFTER: Duration = Duration::from_secs(10);
/// An offer that is not taken, or not passed on, does not hold its peer up for longer.
const HELD_UP_MAX: Duration = Duration::from_secs(60);
/// Others are expected to fetch a piece from whoever has it for so long after they came; after that only if they have
/// fetched any from others.
const TRADES_WITHIN: Duration = Duration::from_secs(60);
/// When every piece is out, a peer that gets nothing from others for this long is shown what others have, too.
const STARVES_AFTER: Duration = Duration::from_secs(10);

/// The offers of one super-seed.
#[derive(Debug, Default)]
pub struct SuperSeed {
    peers: BTreeMap<ConnId, Offers>,
}

/// What one peer is offered.
#[derive(Debug)]
struct Offers {
    open: Vec<Offer>,
    since: Instant,
    /// When a block was last sent to it.
    sent_at: Instant,
    /// When it last got anything from others, or an offer was closed.
    moved_at: Instant,
    /// Whether it has got a piece from others.
    trades: bool,
}

/// A piece that was shown to a peer, until that has passed it on.
#[derive(Clone, Copy, Debug)]
struct Offer {
    piece: PieceIndex,
    /// When it was shown, or when the peer had it.
    at: Instant,
    /// Whether others have the piece: there is nothing to pass on.
    is_spare: bool,
}

/// What is known of a connected peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// The peer.
    pub conn: ConnId,
    /// What it has.
    pub has: &'a Bitfield,
    /// What it was told we have; `None` for one that knows of all.
    pub told: Option<&'a Bitfield>,
    /// Whether it is interested in us.
    pub is_interested: bool,
    /// Whether we choke it.
    pub is_choked: bool,
    /// When it was unchoked last.
    pub unchoked_at: Instant,
}

impl SuperSeed {
    /// A peer came that was told of no piece.
    pub fn joined(&mut self, conn: ConnId, now: Instant) {
        let offers = Offers { open: Vec::new(), since: now, sent_at: now, moved_at: now, trades: false };
        self.peers.insert(conn, offers);
    }

    /// A peer is gone, and with it what it was offered.
    pub fn left(&mut self, conn: ConnId) {
        self.peers.remove(&conn);
    }

    /// A peer told that it has a piece, of which it was told before or not.
    pub fn has(&mut self, conn: ConnId, piece: PieceIndex, was_told: bool, now: Instant) {
        let Some(offers) = self.peers.get_mut(&conn) else { return };
        if !was_told {
            (offers.trades, offers.moved_at) = (true, now);
        }
        offers.open.iter_mut().filter(|o| o.piece == piece).for_each(|o| o.at = now);
    }

    /// A block goes out to a peer.
    pub fn sent(&mut self, conn: ConnId, now: Instant) {
        if let Some(offers) = self.peers.get_mut(&conn) {
            offers.sent_at = now;
        }
    }

    /// Closes offers that are done with and makes new ones: which piece to show to whom. `peers` are all that are
    /// connected; `start` is where the search for a piece begins, at random.
    //= BEP 16: pieces are shown one by one, and more to whoever passes on
    pub fn review(&mut self, peers: &[PeerView<'_>], start: u32, now: Instant) -> Vec<(ConnId, PieceIndex)> {
        self.close(peers, now);
        let mut shown = Vec::new();
        let has_room = |o: &Offers| o.open.len() < OFFERS_MAX;
        let Some(pieces) = peers.first().map(|p| p.has.len()).filter(|_| self.peers.values().any(has_room))
        else {
            return shown;
        };
        let order = || (0..pieces).map(move |n| PieceIndex((start % pieces + n) % pieces));
        let mut out = self.out(peers, pieces);
        // everybody gets a first one before anybody a second
        for most in 1..=OFFERS_MAX {
            for (peer, told) in peers.iter().filter_map(|p| Some((p, p.told?))) {
                let Some(offers) = self.peers.get_mut(&peer.conn).filter(|o| o.open.len() < most) else {
                    continue;
                };
                let fresh = order().find(|p| !out.has(*p) && !told.has(*p));
                let spare = || rarest(order(), peers, peer.has, told);
                let starves = offers.open.is_empty() && now.since(offers.moved_at) >= STARVES_AFTER;
                let Some(piece) = fresh.or_else(|| spare().filter(|_| starves)) else { continue };
                offers.open.push(Offer { piece, at: now, is_spare: fresh.is_none() });
                out.set(piece);
                shown.push((peer.conn, piece));
            }
        }
        shown
    }

    /// Pieces that somebody has or is offered.
    fn out(&self, peers: &[PeerView<'_>], pieces: u32) -> Bitfield {
        let mut bytes = vec![0; Bitfield::byte_len(pieces)];
        for peer in peers {
            bytes.iter_mut().zip(peer.has.as_bytes()).for_each(|(all, has)| *all |= has);
        }
        let mut out =
            Bitfield::from_bytes(&bytes, pieces).expect("sets over the same pieces have no spare bits");
        self.peers.values().flat_map(|o| &o.open).for_each(|o| _ = out.set(o.piece));
        out
    }

    fn close(&mut self, peers: &[PeerView<'_>], now: Instant) {
        let may_fetch: Vec<ConnId> =
            peers.iter().filter(|p| self.may_fetch(p, now)).map(|p| p.conn).collect();
        for peer in peers {
            let Some(offers) = self.peers.get_mut(&peer.conn) else { continue };
            let is_alone = may_fetch.iter().all(|conn| *conn == peer.conn);
            let active_at = offers.sent_at.max(peer.unchoked_at);
            let is_done = |offer: &Offer| {
                let has_it = peer.has.has(offer.piece);
                let is_spread = peers.iter().any(|o| o.conn != peer.conn && o.has.has(offer.piece));
                let is_passed_on = is_spread && !offer.is_spare;
                let need_not = has_it && (offer.is_spare || is_alone);
                let is_unwanted = !has_it && !peer.is_interested && now.since(offer.at) >= UNWANTED_AFTER;
                let may_act = has_it || !peer.is_choked;
                let held_up_since = if has_it { offer.at } else { offer.at.max(active_at) };
                let is_held_up = may_act && now.since(held_up_since) >= HELD_UP_MAX;
                is_passed_on || need_not || is_unwanted || is_held_up
            };
            let open = offers.open.len();
            offers.open.retain(|offer| !is_done(offer));
            if offers.open.len() < open && !is_alone {
                offers.moved_at = now;
            }
        }
    }

    /// Whether a peer is likely to fetch what others have.
    fn may_fetch(&self, peer: &PeerView<'_>, now: Instant) -> bool {
        let trades = |o: &Offers| o.trades || now.since(o.since) < TRADES_WITHIN;
        !peer.has.is_all() && self.peers.get(&peer.conn).is_none_or(trades)
    }
}

/// The piece that fewest have, of those a peer lacks and was not told of.
fn rarest(
    order: impl Iterator<Item = PieceIndex>,
    peers: &[PeerView<'_>],
    has: &Bitfield,
    told: &Bitfield,
) -> Option<PieceIndex> {
    let lacks = order.filter(|p| !has.has(*p) && !told.has(*p));
    lacks.min_by_key(|piece| peers.iter().filter(|p| p.has.has(*piece)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    const PIECES: u32 = 8;

    /// A peer as the test plays it.
    struct Played {
        conn: ConnId,
        has: Bitfield,
        told: Bitfield,
        is_interested: bool,
        is_choked: bool,
    }

    struct Scene {
        seed: SuperSeed,
        peers: Vec<Played>,
        now: Instant,
    }

    impl Scene {
        fn new(count: usize) -> Self {
            let now = Instant::from_micros(1_000_000);
            let mut conns = SlotMap::<ConnId, ()>::with_key();
            let mut seed = SuperSeed::default();
            let mut peer = || {
                let conn = conns.insert(());
                seed.joined(conn, now);
                let (has, told) = (Bitfield::none(PIECES), Bitfield::none(PIECES));
                Played { conn, has, told, is_interested: true, is_choked: false }
            };
            let peers = (0..count).map(|_| peer()).collect();
            Scene { seed, peers, now }
        }

        /// Looks after the offers; what is shown to whom, by the place of the peer.
        fn review(&mut self) -> Vec<(usize, u32)> {
            let views: Vec<PeerView<'_>> = self
                .peers
                .iter()
                .map(|p| PeerView {
                    conn: p.conn,
                    has: &p.has,
                    told: Some(&p.told),
                    is_interested: p.is_interested,
                    is_choked: p.is_choked,
                    unchoked_at: Instant::ZERO,
                })
                .collect();
            let shown = self.seed.review(&views, 0, self.now);
            let place = |conn| self.peers.iter().position(|p| p.conn == conn).unwrap();
            let shown: Vec<(usize, u32)> = shown.into_iter().map(|(c, p)| (place(c), p.0)).collect();
            for (peer, piece) in &shown {
                self.peers[*peer].told.set(PieceIndex(*piece));
            }
            shown
        }

        fn has(&mut self, peer: usize, piece: u32) {
            let p = &mut self.peers[peer];
            let piece = PieceIndex(piece);
            p.has.set(piece);
            self.seed.has(p.conn, piece, p.told.has(piece), self.now);
        }

        fn wait(&mut self, secs: u64) {
            self.now = self.now + Duration::from_secs(secs);
        }
    }

    #[test]
    fn everybody_is_shown_two_pieces_that_nobody_else_is_shown() {
        let mut s = Scene::new(3);
        assert_eq!(s.review(), [(0, 0), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)]);
        assert_eq!(s.review(), []);
    }

    #[test]
    fn who_has_a_piece_is_shown_the_next_once_another_has_it_too() {
        let mut s = Scene::new(2);
        assert_eq!(s.review(), [(0, 0), (1, 1), (0, 2), (1, 3)]);
        s.has(0, 0);
        assert_eq!(s.review(), [], "not passed on");
        s.has(1, 0);
        assert_eq!(s.review(), [(0, 4)]);
    }

    #[test]
    fn a_lone_peer_is_shown_the_next_piece_once_it_has_one() {
        let mut s = Scene::new(1);
        assert_eq!(s.review(), [(0, 0), (0, 1)]);
        s.has(0, 0);
        assert_eq!(s.review(), [(0, 2)]);
    }

    #[test]
    fn what_is_not_wanted_is_offered_to_another_after_ten_seconds() {
        let mut s = Scene::new(1);
        s.review();
        s.peers[0].is_interested = false;
        s.wait(9);
        assert_eq!(s.review(), []);
        s.wait(1);
        assert_eq!(s.review(), [(0, 2), (0, 3)]);
    }

    #[test]
    fn a_peer_that_takes_its_offer_and_never_says_so_holds_itself_up_for_a_minute_and_nobody_else() {
        let mut s = Scene::new(3);
        s.review();
        s.wait(30);
        let silent = s.peers[0].conn;
        s.seed.sent(silent, s.now);
        s.has(1, 1);
        s.has(2, 1);
        assert_eq!(s.review(), [(1, 6)]);
        s.wait(59);
        assert!(s.review().iter().all(|(peer, _)| *peer != 0));
        s.wait(1);
        assert!(s.review().iter().any(|(peer, _)| *peer == 0));
    }

    #[test]
    fn a_peer_that_is_choked_keeps_its_offers_until_it_could_have_taken_them() {
        let mut s = Scene::new(2);
        s.review();
        s.peers[0].is_choked = true;
        s.peers[1].is_choked = true;
        s.wait(300);
        assert_eq!(s.review(), []);
    }

    #[test]
    fn the_offer_of_a_peer_that_left_goes_to_another() {
        let mut s = Scene::new(2);
        s.review();
        let gone = s.peers.remove(0);
        s.seed.left(gone.conn);
        s.has(0, 1);
        s.has(0, 3);
        assert_eq!(s.review(), [(0, 0), (0, 2)]);
    }

    #[test]
    fn once_every_piece_is_out_only_who_starves_is_shown_what_others_have() {
        let mut s = Scene::new(2);
        s.review();
        (0..PIECES).for_each(|p| s.has(1, p));
        s.peers[1].has.clear(PieceIndex(7));
        s.has(0, 7);
        s.review();
        s.wait(9);
        s.has(0, 6);
        s.wait(9);
        assert_eq!(s.review(), [], "others feed it");
        s.wait(1);
        assert_eq!(s.review(), [(0, 1)]);
    }

    #[test]
    fn peers_that_get_nothing_from_each_other_are_not_waited_for_after_a_minute() {
        let mut s = Scene::new(2);
        s.review();
        s.wait(55);
        let conns: Vec<ConnId> = s.peers.iter().map(|p| p.conn).collect();
        conns.into_iter().for_each(|conn| s.seed.sent(conn, s.now));
        s.has(0, 0);
        assert_eq!(s.review(), []);
        s.wait(5);
        assert_eq!(s.review(), [(0, 4)], "the other never fetched anything elsewhere");
    }
}
