//! Connections begin and end.

use super::{Engine, protocol};
use crate::event::{CloseReason, Event};
use crate::id::{ConnId, Ticket, TorrentId};
use crate::input::{ClosedBy, PeerSource};
use crate::output::{Output, TraceMessage};
use crate::peer::has::PeerHas;
use crate::peer::{PeerConn, Stage};
use crate::settings::PeerIdRule;
use crate::torrent::{Phase, Torrent};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;
use unchoke_wire::handshake::{HANDSHAKE_LEN, Handshake, PREFIX_LEN, Reserved, parse_prefix};
use unchoke_wire::scope::Scope;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, WireHash};

/// How long a dial may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one torrent with one address in the internet: room for some people behind one router.
const CONNECTIONS_PER_IP_MAX: usize = 8;
/// Addresses of ours that later torrents are told of, those the owner knows and those others told.
const OWN_ADDRESSES_MAX: usize = 64;
/// A connection without interest on either side may be closed for a newcomer after this.
const USELESS_AFTER: Duration = Duration::from_secs(60);
/// And one to a peer that has what we want and never gives it after this: four turns of the optimistic slot.
const UNGIVING_AFTER: Duration = Duration::from_secs(120);
/// A connection that ends without payload within this is taken for one that both sides wanted otherwise.
const MISSED_WITHIN: Duration = Duration::from_secs(10);

/// An accepted connection that names a torrent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) ticket: Ticket,
    pub(super) torrent: TorrentId,
    pub(super) remote: SocketAddr,
    /// When it was accepted.
    pub(super) since: Instant,
}

impl Engine {
    /// Dials peers of a torrent, as many as there is room for.
    pub(super) fn dial(&mut self, torrent: TorrentId) {
        let room = self.dial_room();
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        if !t.is_running() {
            return;
        }
        let room = room.min(self.settings.torrent_connections_max.saturating_sub(t.conns.len()));
        let is_seed = t.is_seed();
        for (key, addr) in t.peers.next_to_dial(self.now, room, is_seed) {
            let mut conn = PeerConn::new(torrent, key, addr, true, self.now);
            conn.expected_id = t.peers.expected_id(key);
            let conn = self.conns.insert(conn);
            t.conns.push(conn);
            t.peers.dialling(key, self.now);
            self.dials += 1;
            self.out.push_back(Output::Connect { conn, addr, timeout: DIAL_TIMEOUT });
        }
    }

    pub(super) fn accepted(&mut self, arrival: Arrival, received: &[u8]) {
        let Arrival { ticket, torrent, remote, since } = arrival;
        let is_waking = self.waking.contains_key(&torrent) || self.torrents.asleep(torrent).is_some();
        if is_waking && self.wait(arrival, received) {
            return;
        }
        self.make_room(torrent);
        let has_room = self.has_room(torrent) && !self.is_crowded(torrent, remote.ip());
        let running = self.torrents.get_mut(torrent).filter(|t| has_room && t.is_running());
        let Some(key) = running.and_then(|t| t.peers.accept(remote, self.now)) else {
            self.out.push_back(Output::Refuse { ticket });
            return;
        };
        let mut conn = PeerConn::new(torrent, key, remote, false, self.now);
        conn.since = since.min(self.now);
        let conn = self.conns.insert(conn);
        self.torrents[torrent].conns.push(conn);
        self.out.push_back(Output::Adopt { ticket, conn });
        self.receive(conn, received);
    }

    /// Whether a torrent may have one more connection.
    fn has_room(&self, torrent: TorrentId) -> bool {
        let of_torrent = self.torrents.get(torrent).map_or(0, |t| t.conns.len());
        self.conns.len() < self.settings.connections_max && of_torrent < self.settings.torrent_connections_max
    }

    /// Whether an address in the internet has its share of a torrent's connections, so that no single host takes all.
    fn is_crowded(&self, torrent: TorrentId, ip: IpAddr) -> bool {
        let conns = self.torrents.get(torrent).map(|t| t.conns.as_slice()).unwrap_or_default();
        let of_ip = conns.iter().filter(|id| self.conns[**id].remote.ip() == ip).count();
        of_ip >= CONNECTIONS_PER_IP_MAX && Scope::of(ip) == Scope::Global
    }

    /// Where a newcomer finds no place: closes the oldest connection of the torrent on which neither side has wanted
    /// anything of the other for a while, or whose peer wants nothing and has given nothing for longer; or one of another
    /// torrent when all of them together are too many.
    fn make_room(&mut self, torrent: TorrentId) {
        if self.has_room(torrent) {
            return;
        }
        let Some(t) = self.torrents.get(torrent) else { return };
        let own = t.conns.iter().copied().find(|id| self.is_useless(*id));
        let may_have_more = t.conns.len() < self.settings.torrent_connections_max;
        let useless = own.or_else(|| self.any_useless().filter(|_| may_have_more));
        if let Some(conn) = useless {
            self.close(conn, CloseReason::NotNeeded);
        }
    }

    /// Makes room in torrents that have all the connections they may have and somebody to dial.
    pub(super) fn replace_useless(&mut self) {
        let torrents: BTreeSet<TorrentId> = self.conns.values().map(|c| c.torrent).collect();
        for torrent in torrents {
            let waits = |t: &Torrent| t.is_running() && t.peers.next_dial_time(self.now) == Some(self.now);
            if self.torrents.get(torrent).is_some_and(waits) {
                self.make_room(torrent);
            }
        }
    }

    /// Room for torrents that have somebody to dial and something to get, while connections nobody wants anything of
    /// take up all there is.
    pub(super) fn make_room_to_dial(&mut self) {
        let is_full = self.conns.len() >= self.settings.connections_max;
        let lacks = |id: &TorrentId| self.torrents.get(*id).is_some_and(|t| !t.is_seed());
        if is_full
            && self.waiting_to_dial.iter().any(lacks)
            && let Some(conn) = self.any_useless()
        {
            self.close(conn, CloseReason::NotNeeded);
        }
    }

    fn any_useless(&self) -> Option<ConnId> {
        self.conns.keys().filter(|id| self.is_useless(*id)).min_by_key(|id| self.conns[*id].since)
    }

    /// Whether neither side has wanted anything of the other for a while, or the peer wants nothing and has given nothing
    /// for longer.
    fn is_useless(&self, conn: ConnId) -> bool {
        let c = &self.conns[conn];
        let has_metadata = self.torrents.get(c.torrent).is_some_and(|t| t.metadata.is_none());
        let gives_nothing = c.is_choking && c.down.total() == 0;
        let patience = match c.am_interested {
            false => USELESS_AFTER,
            true if gives_nothing => UNGIVING_AFTER,
            true => Duration::MAX,
        };
        c.is_ready() && has_metadata && !c.is_interested && self.now.since(c.since) >= patience
    }

    pub(super) fn connected(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if c.stage == Stage::Dialling {
            (c.stage, c.since, c.last_received) = (Stage::Handshake, self.now, self.now);
            self.dials -= 1;
            self.touched.room = true;
            if let Some(hash) = self.torrents.get(self.conns[conn].torrent).map(|t| t.hash) {
                self.send_handshake(conn, hash);
            }
        }
    }

    /// The extensions we speak in the swarm of a torrent.
    fn reserved_bits(&self, t: &Torrent) -> Reserved {
        let mut reserved = Reserved::default().with_extension();
        if self.settings.fast {
            reserved = reserved.with_fast();
        }
        if self.settings.dht && !t.is_private() {
            reserved = reserved.with_dht();
        }
        reserved
    }

    //= BEP 3: handshake
    fn send_handshake(&mut self, conn: ConnId, info_hash: WireHash) {
        let Some(c) = self.conns.get(conn) else { return };
        let Some(t) = self.torrents.get(c.torrent) else { return };
        let reserved = self.reserved_bits(t);
        let bytes = Handshake { reserved, info_hash, peer_id: t.peer_id }.encode();
        self.conns[conn].send.push_bytes(&bytes);
        self.trace(conn, true, TraceMessage::Handshake(bytes.to_vec()));
        self.want_send(conn);
    }

    pub(super) fn received(&mut self, conn: ConnId, bytes: &mut [u8]) {
        self.receive(conn, bytes);
    }

    /// Bytes of a connection at any stage.
    fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.last_received = self.now;
        let result = match c.stage {
            Stage::Dialling => Ok(()),
            Stage::Handshake => self.receive_handshake(conn, bytes),
            Stage::Waiting => self.receive_early(conn, bytes),
            Stage::Ready => {
                self.outlive(conn);
                self.receive_messages(conn, bytes)
            }
        };
        if let Err(reason) = result {
            self.close(conn, reason);
        }
    }

    /// Collects the peer's handshake. An acceptor answers once the hash is in, before the peer id came: some
    /// initiators, and trackers that test reachability, wait for that. A hybrid answers to either of its hashes.
    fn receive_handshake(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let had = c.handshake.len();
        let (head, rest) = bytes.split_at((HANDSHAKE_LEN - had).min(bytes.len()));
        c.handshake.extend_from_slice(head);
        let prefix = parse_prefix(&c.handshake).map_err(|e| CloseReason::Protocol(e.to_string()))?;
        if let Some(prefix) = prefix {
            let hash = prefix.info_hash;
            if self.torrents.get(c.torrent).is_none_or(|t| !t.wire_hashes().contains(&hash)) {
                return Err(CloseReason::WrongInfoHash);
            }
            if had < PREFIX_LEN && !c.is_outgoing {
                self.send_handshake(conn, hash);
            }
        }
        let whole = Handshake::decode(&self.conns[conn].handshake);
        if let Some(handshake) = whole.map_err(|e| CloseReason::Protocol(e.to_string()))? {
            self.handshake_done(conn, handshake)?;
            if !rest.is_empty() {
                return match self.conns[conn].stage {
                    Stage::Waiting => self.receive_early(conn, rest),
                    _ => self.receive_messages(conn, rest),
                };
            }
        }
        Ok(())
    }

    fn handshake_done(&mut self, conn: ConnId, handshake: Handshake) -> Result<(), CloseReason> {
        let ours = self.reserved_bits(&self.torrents[self.conns[conn].torrent]);
        let c = &mut self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        let raw = core::mem::take(&mut c.handshake);
        if handshake.peer_id == t.peer_id {
            self.note_ourselves(conn);
            return Err(CloseReason::OwnId);
        }
        let is_wrong = c.expected_id.is_some_and(|id| id != handshake.peer_id);
        if is_wrong && self.settings.peer_id_rule == PeerIdRule::Strict {
            return Err(CloseReason::WrongPeerId);
        }
        (c.peer_id, c.reserved) = (handshake.peer_id, handshake.reserved.common(ours));
        self.trace(conn, false, TraceMessage::Handshake(raw));
        if self.may_begin(conn)? {
            self.begin(conn);
        }
        Ok(())
    }

    /// Both handshakes are through, and no other connection of its peer id is in the way.
    pub(super) fn begin(&mut self, conn: ConnId) {
        let c = &mut self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        (c.stage, c.since) = (Stage::Ready, self.now);
        t.swarm_version += 1;
        c.send.have_cursor = t.have_log.len();
        if let Some(info) = &t.info {
            let none = Bitfield::none(info.layout.piece_count());
            if let Some(picker) = &mut t.picker {
                picker.peer_joined(c.key, &none);
            }
            c.has = PeerHas::Known(none);
        }
        t.peers.connected(c.key, self.now);
        let (torrent, remote, peer_id, is_outgoing) = (c.torrent, c.remote, c.peer_id, c.is_outgoing);
        self.event(Event::PeerConnected { torrent, conn, remote, peer_id, is_outgoing });
        self.greet(conn);
    }

    /// Remembers that we met ourselves. Who accepts hears of it first and closes, so that the dialling side never
    /// gets an answer: what we dial at that address is us as well.
    fn note_ourselves(&mut self, conn: ConnId) {
        let c = &self.conns[conn];
        let (torrent, ip) = (c.torrent, c.remote.ip());
        let is_us = |o: &PeerConn| o.is_outgoing && o.stage == Stage::Handshake && o.remote.ip() == ip;
        let t = &mut self.torrents[torrent];
        let ours = t.conns.iter().filter(|id| **id == conn || is_us(&self.conns[**id]));
        for key in ours.map(|id| self.conns[*id].key).collect::<Vec<_>>() {
            t.peers.note_ourselves(key);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, reason: ClosedBy) {
        let reason = match reason {
            ClosedBy::DialFailed => CloseReason::DialFailed,
            ClosedBy::Remote => CloseReason::Remote,
        };
        self.forget(conn, reason);
    }

    /// Closes a connection for a reason of ours.
    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        if self.conns.contains_key(conn) {
            self.out.push_back(Output::Close { conn });
            self.forget(conn, reason);
        }
    }

    /// Takes a connection out of everything that knows of it.
    fn forget(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(mut c) = self.conns.remove(conn) else { return };
        let Some(t) = self.torrents.get_mut(c.torrent) else { return };
        t.conns.retain(|id| *id != conn);
        t.swarm_version += u64::from(c.is_ready());
        if c.stage == Stage::Dialling {
            self.dials -= 1;
        }
        self.planned_bytes -= c.send.plan().map_or(0, |(bytes, _)| bytes);
        if let Some(incoming) = c.incoming.take() {
            t.buffers.abandon(&incoming);
            t.forget_idle_buffer(incoming.block.piece);
        }
        if let Some(metadata) = &mut t.metadata {
            metadata.remove_source(conn);
        }
        if let Some(super_seed) = &mut t.super_seed {
            super_seed.left(conn);
            self.touched.offers.insert(c.torrent);
        }
        c.requests.give_up_all().into_iter().for_each(|block| t.release(block, c.key));
        if let Some(picker) = &mut t.picker {
            // what it kept for itself is anybody's again
            picker.release_all(c.key);
            if let (true, Some(has)) = (c.is_ready(), c.has.known()) {
                picker.peer_left(c.key, has);
            }
        }
        self.forget_rivalry(conn, &c);
        let Some(t) = self.torrents.get_mut(c.torrent) else { return };
        // to be connected twice is no failure of where we dialled
        let is_twice = c.stage == Stage::Waiting || c.is_outgoing && reason == CloseReason::Duplicate;
        if c.is_ready() || is_twice {
            let is_short = self.now.since(c.since) < MISSED_WITHIN && c.down.total() + c.up.total() == 0;
            if is_short && matches!(reason, CloseReason::Remote | CloseReason::Duplicate) {
                t.peers.missed(c.key, self.now);
            } else {
                t.peers.disconnected(c.key, self.now);
            }
        } else {
            t.peers.failed(c.key, self.now);
        }
        if matches!(reason, CloseReason::Protocol(_)) {
            t.peers.misbehaved(c.key, self.now);
        }
        self.choker.forget(conn);
        self.touched.requests.insert(c.torrent);
        self.touched.torrents.insert(c.torrent);
        self.touched.room = true;
        self.touched.slots |= !c.uploads.is_choked();
        if c.is_ready() {
            self.event(Event::PeerDisconnected { torrent: c.torrent, conn, remote: c.remote, reason });
        }
        self.count_open_bytes(c.torrent);
    }

    /// Closes every connection of a torrent.
    pub(super) fn close_all(&mut self, torrent: TorrentId, reason: &CloseReason) {
        let conns = self.torrents.get(torrent).map(|t| t.conns.clone()).unwrap_or_default();
        conns.into_iter().for_each(|conn| self.close(conn, reason.clone()));
    }

    /// Peers were heard of, from `told_by` where that is known.
    pub(super) fn peers_found(
        &mut self,
        torrent: TorrentId,
        source: PeerSource,
        peers: &[SocketAddr],
        told_by: Option<core::net::IpAddr>,
    ) {
        self.asleep_found(torrent, source, peers, told_by);
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let open = matches!(source, PeerSource::Dht | PeerSource::Lsd | PeerSource::Pex);
        let is_barred = open && t.is_private() || !t.discovery.dial && source != PeerSource::User;
        // the DHT node has judged the scope of its peers by the nodes that named them; in the local network peers name
        // themselves
        let is_judged = matches!(source, PeerSource::Dht | PeerSource::Lsd);
        let told_by = |addr: &SocketAddr| if is_judged { Some(addr.ip()) } else { told_by };
        let fresh = peers.iter().filter(|_| !is_barred);
        let new = fresh.filter(|addr| t.peers.add(**addr, source, told_by(addr), self.now)).count();
        if new > 0 && source != PeerSource::User {
            t.last_found = self.now;
        }
        self.touched.torrents.insert(torrent);
        self.event(Event::PeersFound { torrent, source, new });
    }

    /// We are reached at this address, which nobody shall make us dial from now on.
    pub(super) fn reached_at(&mut self, ip: IpAddr) {
        let addr = SocketAddr::new(ip.to_canonical(), self.settings.listen_port);
        if addr.port() == 0 || self.settings.own_addresses.contains(&addr) {
            return;
        }
        if self.settings.own_addresses.len() < OWN_ADDRESSES_MAX {
            self.settings.own_addresses.push(addr);
        }
        self.torrents.values_mut().for_each(|t| t.peers.add_own(addr));
    }

    /// Closes peers whose early claims contradict the metadata, and makes sets of the others'.
    pub(super) fn learn_piece_count(&mut self, torrent: TorrentId, pieces: u32) {
        let conns = self.torrents[torrent].conns.clone();
        for conn in conns {
            if self.conns[conn].is_ready() && self.conns[conn].has.learn(pieces).is_err() {
                self.close(conn, protocol("bitfield or have that contradicts the metadata"));
            }
        }
        debug_assert!(self.torrents[torrent].phase != Phase::Metadata);
    }
}
