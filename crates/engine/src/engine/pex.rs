//! Peer exchange (BEP 11) between a connection and the other peers of its torrent.

use super::{Engine, protocol};
use crate::event::CloseReason;
use crate::id::ConnId;
use crate::input::PeerSource;
use crate::peer::PeerConn;
use crate::torrent::Phase;
use core::net::SocketAddr;
use std::collections::BTreeMap;
use unchoke_wire::Extension;
use unchoke_wire::scope;
use unchoke_wire::ut_pex::{PexFlags, PexMessage};

impl Engine {
    //= BEP 11: peer exchange
    //= BEP 27: nobody else names peers of a private torrent
    pub(super) fn pex_message(&mut self, conn: ConnId, message: &PexMessage) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let (torrent, told_by) = (c.torrent, c.remote.ip());
        if !c.pex.received(self.now) {
            return Err(protocol("peer exchange too often"));
        }
        if message.surplus > 0 && c.strike() {
            return Err(protocol("peer exchange of too many"));
        }
        if !self.settings.pex || self.torrents[torrent].is_private() {
            return Ok(());
        }
        let peers = c.pex.credited(message, self.now);
        let addrs: Vec<SocketAddr> = peers.iter().map(|p| p.addr).collect();
        self.peers_found(torrent, PeerSource::Pex, &addrs, Some(told_by));
        let list = &mut self.torrents[torrent].peers;
        for seed in peers.iter().filter(|p| p.flags.has(PexFlags::SEED)) {
            list.note_seed_at(seed.addr);
        }
        Ok(())
    }

    /// Tells a peer which peers came and went, once a minute.
    pub(super) fn send_pex(&mut self, conn: ConnId) {
        let c = &self.conns[conn];
        let t = &self.torrents[c.torrent];
        let speaks = c.extension_ids.id_of(Extension::UtPex).is_some();
        if !self.settings.pex
            || !speaks
            || t.is_private()
            || !c.pex.is_due(t.swarm_version, self.now)
            || t.phase == Phase::Storage
        {
            return;
        }
        let others = t.conns.iter().filter(|id| **id != conn).map(|id| &self.conns[*id]);
        let told = others.filter_map(|other| told_of(other, c));
        let connected: BTreeMap<SocketAddr, PexFlags> = told.collect();
        let version = t.swarm_version;
        if let Some(message) = self.conns[conn].pex.message(&connected, version, self.now) {
            self.push_extended(conn, Extension::UtPex, &message.encode());
        }
    }
}

//= BEP 11: only peers that are connected, at the address they listen on
/// What `to` is told of a peer: nothing of one that is not through its handshake, did not say where it listens, or is
/// of a scope that `to` is not in; and nobody is told of itself.
fn told_of(other: &PeerConn, to: &PeerConn) -> Option<(SocketAddr, PexFlags)> {
    let addr = scope::canonical(other.listen_addr().filter(|_| other.is_ready())?);
    let is_itself = to.listen_addr().is_some_and(|own| scope::canonical(own) == addr);
    let flags = [
        (other.prefers_encryption, PexFlags::PREFERS_ENCRYPTION),
        (other.has.is_seed() || other.is_upload_only, PexFlags::SEED),
        (other.is_outgoing, PexFlags::REACHABLE),
    ];
    let flags = flags.into_iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag);
    let flags = flags.fold(PexFlags::default(), PexFlags::with);
    (!is_itself && scope::may_tell(addr, to.remote)).then_some((addr, flags))
}
