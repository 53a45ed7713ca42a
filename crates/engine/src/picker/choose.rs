//! The choice: which piece a peer is asked for next.

use super::order::Prefer;
use super::{PeerView, Picker, SUGGESTED_MAX};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, PieceIndex};

impl Picker {
    /// Up to `n` blocks to ask this peer for, in the order of asking. They count as asked for from now on.
    ///
    /// Suggested pieces come first, then the piece the peer is at, then begun and fresh pieces by rarity (by index
    /// when sequential). A block that another peer was asked for is picked alone, for a peer with nothing
    /// outstanding for which nothing else is left, and only when it is overdue.
    pub fn pick(&mut self, peer: &PeerView<'_>, n: usize, now: Instant) -> Vec<BlockRef> {
        let mut picks = Vec::new();
        let n = match peer.is_snubbed {
            true if peer.requests_out > 0 => 0,
            true => n.min(1),
            false => n,
        };
        if n == 0 || !self.has_work(peer.open_bytes_max, now) {
            return picks;
        }
        while picks.len() < n {
            let is_busy = peer.requests_out + picks.len() > 0;
            let Some(piece) = self.choose(peer, is_busy, now) else { break };
            let before = picks.len();
            self.take(piece, peer, n, now, &mut picks);
            assert!(picks.len() > before, "a chosen piece has free blocks");
        }
        if picks.is_empty() && peer.requests_out == 0 {
            picks.extend(self.take_overdue(peer, now));
        }
        picks
    }

    /// The piece to go on with; it has free blocks.
    fn choose(&mut self, peer: &PeerView<'_>, is_busy: bool, now: Instant) -> Option<PieceIndex> {
        let leave_to = if is_busy { self.rivals(peer) } else { Vec::new() };
        let is_left = |piece: PieceIndex| leave_to.iter().any(|has| has.has(piece));
        let may_begin = self.may_begin(peer.open_bytes_max);
        if let Some(piece) = self.suggested(peer, may_begin, &is_left) {
            return Some(piece);
        }
        if let Some(own) = self.partial.of(peer.key).find(|p| may_ask(peer, *p)) {
            return Some(own);
        }
        let shared = if peer.is_on_parole { None } else { self.find_shared(peer, may_begin, &is_left) };
        let fresh = if may_begin { self.find_fresh(peer, &is_left) } else { None };
        let first = match (shared, fresh) {
            // A parole peer is given pieces nobody else has a part in, while there are any.
            (_, Some(fresh)) if peer.is_on_parole || peer.is_snubbed => Some(fresh),
            (Some(shared), Some(fresh)) if self.key(shared) > self.key(fresh) => Some(fresh),
            (shared, fresh) => shared.or(fresh),
        };
        first.or_else(|| self.find_last(peer, &is_left, now))
    }

    /// The first suggested piece that is fresh, or begun and nobody's own.
    //= BEP 6: suggest piece
    fn suggested(
        &self,
        peer: &PeerView<'_>,
        may_begin: bool,
        is_left: &impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        if peer.is_on_parole {
            return None;
        }
        let mut pieces = peer.suggested.iter().take(SUGGESTED_MAX).copied();
        pieces.find(|p| {
            let listed = self.open.get(p).and_then(|open| open.listed);
            let is_free = (may_begin && self.order.contains(*p))
                || listed.is_some_and(|holder| holder.is_none_or(|h| h == peer.key));
            is_free && may_ask(peer, *p) && !is_left(*p)
        })
    }

    /// The begun piece of nobody's own to go on with: the best of the first few, and only among so many that a peer
    /// which has few of them soon begins one of its own, where it may.
    fn find_shared(
        &self,
        peer: &PeerView<'_>,
        may_begin: bool,
        is_left: &impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let looks = if may_begin { SHARED_LOOKS_MAX } else { usize::MAX };
        let shared = self.partial.shared.iter().copied().take(looks);
        let fit = shared.filter(|p| may_ask(peer, *p) && !self.is_left_by(peer, *p, is_left));
        fit.take(SHARED_MAX).min_by_key(|p| self.key(*p))
    }

    /// A begun piece for a peer for which nothing else is left: one kept for somebody else, or for a peer on parole
    /// one that nobody works on.
    fn find_last(
        &self,
        peer: &PeerView<'_>,
        is_left: &impl Fn(PieceIndex) -> bool,
        now: Instant,
    ) -> Option<PieceIndex> {
        let is_fit = |p: &PieceIndex| may_ask(peer, *p) && !self.is_left_by(peer, *p, is_left);
        if peer.is_on_parole {
            return self.partial.iter().filter(is_fit).find(|p| self.open[p].is_idle());
        }
        let held = self.partial.held.iter().map(|(_, piece)| *piece).filter(is_fit);
        held.into_iter().find(|p| !self.open[p].is_exclusive || !self.open[p].is_worked_on(now))
    }

    /// Whether this peer leaves a begun piece to others: not one it has a part in.
    fn is_left_by(
        &self,
        peer: &PeerView<'_>,
        piece: PieceIndex,
        is_left: &impl Fn(PieceIndex) -> bool,
    ) -> bool {
        is_left(piece) && !self.open[&piece].is_shared_by(peer.key)
    }

    /// The fresh piece to begin.
    fn find_fresh(
        &mut self,
        peer: &PeerView<'_>,
        is_left: &impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let is_fit = |piece: PieceIndex| !is_left(piece);
        if peer.is_choked {
            let pieces = peer.allowed_fast.iter().copied();
            return pieces
                .filter(|p| self.order.contains(*p) && peer.has.has(*p) && is_fit(*p))
                .min_by_key(|p| self.key(*p));
        }
        match (peer.is_snubbed, self.is_sequential) {
            (true, _) => self.order.best(Prefer::Common, peer.has, is_fit),
            (false, true) => self.order.lowest(peer.has, is_fit),
            (false, false) => self.order.best(Prefer::Rare, peer.has, is_fit),
        }
    }

    /// Whether so little is left that peers with work leave some of it to `idle` others: only then
    /// [`PeerView::idle_others`] counts.
    pub fn may_spread(&self, idle: usize) -> bool {
        let few = idle.min(IDLE_OTHERS_MAX) * BLOCKS_FOR_EACH_IDLE;
        let fresh = usize::try_from(self.order.len()).expect("a u32 fits the address space");
        if idle == 0 || fresh + self.partial.len() > few {
            return false;
        }
        let of_fresh = self.order.iter().map(|p| u64::from(self.layout.block_count(p))).sum::<u64>();
        let of_open = self.partial.iter().map(|p| self.open[&p].free()).sum::<usize>();
        usize::try_from(of_fresh).unwrap_or(usize::MAX).saturating_add(of_open) <= few
    }

    /// The idle peers to which this busy one leaves what both have: none while there is enough for everybody. An
    /// idle peer whose rarest free piece this one lacks has work of its own.
    fn rivals<'a>(&self, peer: &PeerView<'a>) -> Vec<&'a Bitfield> {
        if !self.may_spread(peer.idle_others.len()) {
            return Vec::new();
        }
        let is_rival = |has: &Bitfield| {
            let all = || self.order.iter().chain(self.partial.iter());
            let free = || all().filter(|p| has.has(*p));
            let rarest = free().map(|p| self.availability(p)).min();
            rarest.is_some() && free().all(|p| Some(self.availability(p)) > rarest || peer.has.has(p))
        };
        let idle = peer.idle_others.iter().take(IDLE_OTHERS_MAX).copied();
        idle.filter(|has| is_rival(has)).collect()
    }

    /// Asks this peer for free blocks of a piece, up to `n` picks in all.
    fn take(
        &mut self,
        piece: PieceIndex,
        peer: &PeerView<'_>,
        n: usize,
        now: Instant,
        picks: &mut Vec<BlockRef>,
    ) {
        let len = u64::from(self.layout.len_of(piece));
        let is_kept = peer.is_on_parole || peer.rate.saturating_mul(WHOLE_PIECE_S) >= len;
        let is_fresh = !self.open.contains_key(&piece);
        if is_fresh {
            self.begin(piece).is_exclusive = peer.is_on_parole;
        }
        let open = self.open.get_mut(&piece).expect("it was open or was opened just now");
        let holder = open.holder;
        if holder.is_none_or(|h| h == peer.key) {
            open.holder = (is_kept && !peer.is_snubbed).then_some(peer.key);
        }
        while picks.len() < n {
            let overdue_at = overdue_at(peer, picks.len(), now);
            let Some(block) = open.request_next(peer.key, overdue_at) else { break };
            self.overdue_from = Some(self.overdue_from.map_or(overdue_at, |at| at.min(overdue_at)));
            picks.push(self.layout.block(piece, block));
        }
        if is_fresh || open.free() == 0 || open.holder != holder {
            self.settle(piece);
        }
    }

    /// Asks this peer, too, for the block that was asked for least often and is overdue for the longest time.
    fn take_overdue(&mut self, peer: &PeerView<'_>, now: Instant) -> Option<BlockRef> {
        if peer.is_snubbed || peer.is_on_parole {
            return None;
        }
        if self.overdue_from.is_none_or(|at| at > now) {
            return None;
        }
        let pieces = self.open.iter().filter(|(p, _)| self.missing.has(**p) && may_ask(peer, **p));
        let best = pieces.filter_map(|(p, open)| open.overdue(peer.key, now).map(|block| (block, *p))).min();
        let Some(((_, _, block), piece)) = best else {
            self.overdue_from = self.next_overdue();
            return None;
        };
        self.open.get_mut(&piece)?.request_again(block, peer.key, overdue_at(peer, 0, now));
        Some(self.layout.block(piece, block))
    }

    /// What a piece is chosen by, lowest first.
    fn key(&self, piece: PieceIndex) -> u32 {
        if self.is_sequential { piece.0 } else { self.availability(piece) }
    }
}

//= BEP 6: allowed fast
fn may_ask(peer: &PeerView<'_>, piece: PieceIndex) -> bool {
    peer.has.has(piece) && (!peer.is_choked || peer.allowed_fast.contains(&piece))
}

/// When a block asked for now, behind `ahead` others of the same call, is late enough for others to be asked too.
fn overdue_at(peer: &PeerView<'_>, ahead: usize, now: Instant) -> Instant {
    if peer.rate == 0 {
        return now + OVERDUE_UNKNOWN;
    }
    let queue = u64::try_from(peer.requests_out + ahead + 1).unwrap_or(u64::MAX);
    let expected_ms = queue.saturating_mul(u64::from(BLOCK_LEN)).saturating_mul(1000) / peer.rate;
    let twice = Duration::from_millis(expected_ms.saturating_mul(2));
    now + twice.clamp(OVERDUE_MIN, OVERDUE_MAX)
}

/// A peer keeps a piece for itself when it sends all of it in this time.
const WHOLE_PIECE_S: u64 = 20;
/// A block is not overdue sooner: about a second of blocks is asked for ahead.
const OVERDUE_MIN: Duration = Duration::from_secs(2);
/// A block is overdue then, however slow the peer.
const OVERDUE_MAX: Duration = Duration::from_secs(20);
/// A block of a peer with an unknown rate is overdue then.
const OVERDUE_UNKNOWN: Duration = Duration::from_secs(5);
/// Begun pieces compared, so that a pick stays cheap.
const SHARED_MAX: usize = 16;
/// Begun pieces looked at by a peer that may begin another.
const SHARED_LOOKS_MAX: usize = 64;
/// Idle peers looked at, so that a pick stays cheap.
const IDLE_OTHERS_MAX: usize = 16;
/// With more free blocks than this for each idle peer there is enough for everybody.
const BLOCKS_FOR_EACH_IDLE: usize = 8;
