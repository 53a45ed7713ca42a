//! Who wants what from whom: greetings, interest, requests and unchokes.

use super::Engine;
use crate::choker::{PeerRates, TURN_PIECES};
use crate::id::{ConnId, TorrentId};
use crate::output::{Output, TraceMessage};
use crate::peer::Stage;
use crate::picker::PeerView;
use crate::torrent::Phase;
use core::net::IpAddr;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::{BLOCK_LEN, Bitfield, allowed_fast_set};

/// Pieces let to a choked peer (BEP 6).
const ALLOWED_FAST_COUNT: u8 = 5;
/// How long after peers were heard of others are likely to follow, as the answers of a lookup do.
pub(super) const FIND_WAIT: Duration = Duration::from_millis(100);
/// How long the first requests of a torrent may wait for peers to say what they have.
const FIRST_PICK_WAIT: Duration = Duration::from_millis(250);
/// How long a fresh connection counts as a peer that will soon take requests.
const FRESH: Duration = Duration::from_secs(2);

impl Engine {
    //= BEP 3: the bitfield comes first
    //= BEP 6: have all and have none
    /// Tells a peer whose handshake is through what we have, and what we speak.
    pub(super) fn greet(&mut self, conn: ConnId) {
        let c = &self.conns[conn];
        let t = &self.torrents[c.torrent];
        let (is_fast, torrent) = (c.is_fast(), c.torrent);
        let has_extension = c.reserved.has_extension();
        let wants_port = c.reserved.has_dht() && self.settings.dht && !t.is_private();
        let have =
            t.have().filter(|have| have.count() > 0).map(|have| (have.is_all(), have.as_bytes().to_vec()));
        match have {
            _ if self.hide_pieces(conn) => {}
            Some((true, _)) if is_fast => self.push(conn, &Message::HaveAll),
            Some((_, bytes)) => self.push(conn, &Message::Bitfield(&bytes)),
            None if is_fast => self.push(conn, &Message::HaveNone),
            None => {}
        }
        if has_extension {
            self.send_extension_handshake(conn);
        }
        if wants_port && self.settings.listen_port != 0 {
            self.push(conn, &Message::Port(self.settings.listen_port));
        }
        self.touched.torrents.insert(torrent);
    }

    /// Queues a message and sees that it is sent.
    pub(super) fn push(&mut self, conn: ConnId, message: &Message<'_>) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.send.push(message);
        self.want_send(conn);
        if self.settings.trace {
            self.trace(conn, true, TraceMessage::Message(message.to_vec()));
        }
    }

    /// Tells the shell, once, that a connection has something to send; one that is being dialled cannot send yet.
    pub(super) fn want_send(&mut self, conn: ConnId) {
        if let Some(c) = self.conns.get_mut(conn)
            && c.stage != Stage::Dialling
            && c.send.want()
        {
            self.out.push_back(Output::WantSend { conn });
        }
    }

    //= BEP 3: interest is kept up to date at all times, also while choked
    pub(super) fn update_interest(&mut self, conn: ConnId) {
        let c = &mut self.conns[conn];
        let is_interested = c.interesting > 0;
        if c.is_ready() && c.am_interested != is_interested {
            c.am_interested = is_interested;
            let message = if is_interested { Message::Interested } else { Message::NotInterested };
            self.push(conn, &message);
        }
    }

    /// Sends requests to the peers of a torrent for as long as there is anything to ask for. Who comes first changes:
    /// it goes on where it ended, so that a scarce budget of bytes goes round.
    pub(super) fn top_up_all(&mut self, torrent: TorrentId) {
        let Some(t) = self.torrents.get(torrent) else { return };
        let count = t.conns.len();
        if t.has_picked {
            for _ in 0..count {
                if !self.has_work(torrent) {
                    break;
                }
                let t = &mut self.torrents[torrent];
                let conn = t.conns[t.asked_next % count];
                t.asked_next = (t.asked_next + 1) % count;
                self.top_up(conn);
            }
        } else {
            // whoever has the most has the rarest
            let mut conns = t.conns.clone();
            conns.sort_by_key(|conn| core::cmp::Reverse(self.conns[*conn].interesting));
            conns.into_iter().for_each(|conn| self.top_up(conn));
        }
        self.count_open_bytes(torrent);
    }

    /// Whether some peer of a torrent could be asked for something, whoever it is.
    fn has_work(&mut self, torrent: TorrentId) -> bool {
        let t = &mut self.torrents[torrent];
        let budget = self.settings.piece_buffer_bytes.saturating_sub(self.open_bytes - t.open_bytes);
        t.picker.as_mut().is_some_and(|picker| picker.has_work(budget, self.now))
    }

    /// Sends requests to a peer until its pipe is full.
    pub(super) fn top_up(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(conn) else { return };
        let torrent = c.torrent;
        let t = &self.torrents[torrent];
        let may_ask = c.is_ready() && c.interesting > 0 && (!c.is_choking || !c.allowed_fast.is_empty());
        if !may_ask || !t.is_running() || t.phase != Phase::Ready {
            return;
        }
        let room = c.requests.room();
        if self.is_first_pick_held(torrent) || room == 0 || !self.has_work(torrent) {
            return;
        }
        let wanted = self.granted(room);
        if wanted == 0 {
            return;
        }
        let mut picks = self.pick(conn, wanted);
        if picks.is_empty() && self.make_room_for_piece(conn) {
            picks = self.pick(conn, wanted);
        }
        for _ in picks.len()..wanted {
            self.download_limit.give_back(u64::from(BLOCK_LEN));
        }
        for block in picks {
            self.conns[conn].requests.sent(block, self.now);
            self.push(conn, &Message::Request(block));
        }
        self.count_open_bytes(torrent);
    }

    /// Rarest first from the first piece on needs to know what is rare, and somebody who gives it: the first requests
    /// of a torrent wait a moment for the peers that are just connecting, and for those of interest to unchoke us.
    fn is_first_pick_held(&mut self, torrent: TorrentId) -> bool {
        let t = &mut self.torrents[torrent];
        if t.has_picked {
            return false;
        }
        let until = *t.first_pick_at.get_or_insert(self.now + FIRST_PICK_WAIT);
        let is_pending = t.conns.iter().map(|id| &self.conns[*id]).any(|c| {
            let will_unchoke = c.interesting > 0 && c.is_choking;
            !c.has_spoken || will_unchoke
        });
        let is_finding = self.now.since(t.last_found) < FIND_WAIT;
        t.has_picked = !(is_pending || is_finding) || self.now >= until;
        self.touched.torrents.insert(torrent);
        !t.has_picked
    }

    /// How many of `room` blocks the download limit lets us ask for.
    fn granted(&mut self, room: usize) -> usize {
        let granted =
            (0..room).take_while(|_| self.download_limit.take(u64::from(BLOCK_LEN), self.now)).count();
        if granted < room {
            self.wake_for_limit(self.download_limit.next_block(self.now));
        }
        granted
    }

    pub(super) fn wake_for_limit(&mut self, at: Option<unchoke_wire::time::Instant>) {
        self.limit_wake = [self.limit_wake, at].into_iter().flatten().min();
    }

    fn pick(&mut self, conn: ConnId, wanted: usize) -> Vec<unchoke_wire::BlockRef> {
        let c = &self.conns[conn];
        let torrent = c.torrent;
        let t = &mut self.torrents[torrent];
        let (Some(mut picker), Some(has)) = (t.picker.take(), c.has.known()) else { return Vec::new() };
        let others: Vec<&Bitfield> = if picker.may_spread(t.conns.len()) {
            let conns = t.conns.iter().filter(|id| **id != conn).map(|id| &self.conns[*id]);
            let idle = conns.filter(|o| {
                let is_fresh = self.now.since(o.since) < FRESH;
                o.is_ready() && o.interesting > 0 && o.requests.is_empty() && (!o.is_choking || is_fresh)
            });
            idle.filter_map(|o| o.has.known()).collect()
        } else {
            Vec::new()
        };
        let budget = self.settings.piece_buffer_bytes.saturating_sub(self.open_bytes - t.open_bytes);
        let view = PeerView {
            key: c.key,
            has,
            is_choked: c.is_choking,
            allowed_fast: &c.allowed_fast,
            suggested: &c.suggested,
            is_snubbed: c.requests.is_snubbing(),
            rate: c.down.rate(),
            requests_out: c.requests.len(),
            is_on_parole: t.peers.is_on_parole(c.key),
            open_bytes_max: budget,
            idle_others: &others,
        };
        let picks = picker.pick(&view, wanted, self.now);
        t.picker = Some(picker);
        picks
    }

    /// Drops a begun piece that no connected peer can go on with, where the budget of bytes keeps an idle peer from
    /// beginning another; whether there was one. The least complete goes.
    fn make_room_for_piece(&mut self, conn: ConnId) -> bool {
        let c = &self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        let (Some(picker), Some(info)) = (&mut t.picker, &t.info) else { return false };
        let after = self.open_bytes.saturating_add(u64::from(info.layout.piece_len()));
        if !c.requests.is_empty() || after <= self.settings.piece_buffer_bytes {
            return false;
        }
        let Some(piece) = picker.stuck() else { return false };
        picker.failed(piece);
        t.buffers.forget_idle(piece);
        let torrent = c.torrent;
        self.count_open_bytes(torrent);
        true
    }

    /// Everybody whom a limit held up may try again, another one first each time.
    pub(super) fn wake_limited(&mut self) {
        let mut conns: Vec<ConnId> = self.conns.keys().collect();
        let first = self.limit_rounds.checked_rem(conns.len()).unwrap_or(0);
        conns.rotate_left(first);
        self.limit_rounds = self.limit_rounds.wrapping_add(1);
        for conn in conns {
            self.top_up(conn);
            if self.conns.get(conn).is_some_and(|c| !c.uploads.is_empty()) {
                self.want_send(conn);
            }
        }
    }

    /// What the choker needs to know of everybody.
    fn peer_rates(&self) -> Vec<PeerRates> {
        let ready = self.conns.iter().filter(|(_, c)| c.is_ready());
        ready
            .map(|(conn, c)| PeerRates {
                conn,
                is_interested: c.is_interested,
                is_choked: c.uploads.is_choked(),
                is_seeding: self.torrents[c.torrent].is_complete(),
                received: c.down.total() - c.round_totals.0,
                sent: c.up.total() - c.round_totals.1,
                sent_since_unchoke: c.up.total() - c.unchoked.1,
                unchoked_at: c.unchoked.0,
                connected_at: c.since,
                is_snubbing: c.requests.is_snubbing(),
                quota: self.torrents[c.torrent]
                    .info
                    .as_ref()
                    .map_or(0, |i| TURN_PIECES * u64::from(i.layout.piece_len())),
            })
            .collect()
    }

    /// A round of the choker.
    pub(super) fn rechoke(&mut self) {
        let rates = self.peer_rates();
        let changes = self.choker.rechoke(&rates, self.now);
        for change in changes {
            self.set_choke(change.conn, change.choke);
        }
        for (_, c) in &mut self.conns {
            c.round_totals = (c.down.total(), c.up.total());
        }
    }

    /// Gives free upload slots to peers that are interested, at once instead of at the next round.
    pub(super) fn fill_slots(&mut self) {
        if !self.is_slot_to_move() {
            return;
        }
        let rates = self.peer_rates();
        for change in self.choker.fill(&rates, self.now) {
            self.set_choke(change.conn, change.choke);
        }
    }

    /// Whether somebody waits for a slot that is free or idle, or more are unchoked than there are slots. Much cheaper
    /// than to find out who gets it, and mostly not so: a seed of hundreds has its slots taken.
    fn is_slot_to_move(&self) -> bool {
        let (mut using, mut idle, mut is_waited) = (0, 0, false);
        for c in self.conns.values().filter(|c| c.is_ready()) {
            match (c.uploads.is_choked(), c.is_interested) {
                (true, is_interested) => is_waited |= is_interested,
                (false, true) => using += 1,
                (false, false) => idle += 1,
            }
        }
        let slots = self.settings.upload_slots;
        using + idle > slots || is_waited && using < slots
    }

    //= BEP 3: choking
    fn set_choke(&mut self, conn: ConnId, choke: bool) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if c.uploads.is_choked() == choke {
            return;
        }
        if choke {
            let dropped = c.uploads.choke(c.is_fast(), self.now);
            self.push(conn, &Message::Choke);
            dropped.into_iter().for_each(|block| self.reject(conn, block));
        } else {
            c.uploads.unchoke();
            c.unchoked = (self.now, c.up.total());
            self.push(conn, &Message::Unchoke);
        }
    }

    //= BEP 6: allowed fast
    /// Names the pieces that an interested peer which stays choked may have.
    pub(super) fn allow_fast(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(conn) else { return };
        let t = &self.torrents[c.torrent];
        let is_due =
            c.is_fast() && c.uploads.is_choked() && !c.uploads.has_allowed_fast() && !c.has.is_seed();
        // what is not shown is not to be asked for
        let is_due = is_due && c.told.is_none();
        let (true, IpAddr::V4(ip), Some(info)) = (is_due, c.remote.ip().to_canonical(), &t.info) else {
            return;
        };
        let pieces = allowed_fast_set(ip, t.hash, info.layout.piece_count(), ALLOWED_FAST_COUNT);
        self.conns[conn].uploads.allow_fast(pieces.clone());
        pieces.into_iter().for_each(|piece| self.push(conn, &Message::AllowedFast(piece)));
    }

    /// Counts anew what every peer of a torrent has for us, after what we want changed.
    pub(super) fn recount_interest(&mut self, torrent: TorrentId) {
        for conn in self.torrents[torrent].conns.clone() {
            self.recount_interest_of(conn);
        }
        self.touched.requests.insert(torrent);
    }

    /// The same for one peer.
    pub(super) fn recount_interest_of(&mut self, conn: ConnId) {
        let c = &mut self.conns[conn];
        let picker = self.torrents[c.torrent].picker.as_ref();
        c.interesting = match (picker, c.has.known()) {
            (Some(picker), Some(has)) => picker.count_wanted(has),
            _ => 0,
        };
        self.update_interest(conn);
    }
}
