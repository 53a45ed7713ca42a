//! Extension messages (BEP 10): handshake, metadata, lost pieces.

use super::{Engine, protocol};
use crate::event::CloseReason;
use crate::id::{ConnId, TorrentId};
use crate::peer::uploads::REQUEST_QUEUE_MAX;
use crate::torrent::metadata::Progress;
use unchoke_wire::extension::{HANDSHAKE_ID, decode_upload_only, encode_upload_only};
use unchoke_wire::message::Message;
use unchoke_wire::ut_metadata::{MetadataMessage, block_count};
use unchoke_wire::ut_pex::PexMessage;
use unchoke_wire::{Extension, ExtensionHandshake, ExtensionIds, limits, lt_donthave};

/// What we call ourselves in extension handshakes.
const CLIENT: &str = concat!("Unchoke ", env!("CARGO_PKG_VERSION"));
/// How often over a peer may fetch the metadata.
const METADATA_SERVED_MAX: u32 = 3;
/// Blocks of metadata a peer may have asked for and not got: all of the largest.
const METADATA_ASKED_MAX: usize = (limits::METADATA_LEN_MAX / limits::METADATA_BLOCK_LEN) as usize;
/// Bytes held for them, at most.
pub(super) const METADATA_ASKED_LEN_MAX: usize = METADATA_ASKED_MAX * size_of::<u32>();
/// Bytes of metadata queued for a peer at once.
const METADATA_PLAN_LEN: usize = 64 << 10;

impl Engine {
    //= BEP 10: extension handshake
    pub(super) fn send_extension_handshake(&mut self, conn: ConnId) {
        let c = &self.conns[conn];
        let t = &self.torrents[c.torrent];
        let may_exchange = self.settings.pex && !t.is_private();
        let extensions = Extension::ALL.into_iter().filter(|e| may_exchange || *e != Extension::UtPex);
        let size = u32::try_from(t.raw_info.len()).ok().filter(|s| *s > 0 && *s <= limits::METADATA_LEN_MAX);
        let handshake = ExtensionHandshake {
            ids: ExtensionIds::ours(extensions),
            port: Some(self.settings.listen_port).filter(|p| c.is_outgoing && *p != 0),
            client: Some(CLIENT.to_owned()),
            your_ip: Some(c.remote.ip().to_canonical()),
            request_queue_len: u32::try_from(REQUEST_QUEUE_MAX).ok(),
            metadata_size: size,
            upload_only: (t.is_complete() && c.told.is_none()).then_some(true),
            ..ExtensionHandshake::default()
        };
        self.push_handshake(conn, &handshake);
    }

    //= BEP 10: a later handshake adds to the first
    /// Tells a peer that was greeted without it how large the metadata is, so that it may ask us.
    pub(super) fn tell_metadata_size(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(conn).filter(|c| c.is_ready() && c.reserved.has_extension()) else {
            return;
        };
        let metadata_size = u32::try_from(self.torrents[c.torrent].raw_info.len()).ok();
        self.push_handshake(conn, &ExtensionHandshake { metadata_size, ..ExtensionHandshake::default() });
    }

    fn push_handshake(&mut self, conn: ConnId, handshake: &ExtensionHandshake) {
        let payload = handshake.encode();
        self.push(conn, &Message::Extended { id: HANDSHAKE_ID, payload: &payload });
    }

    pub(super) fn extended(&mut self, conn: ConnId, id: u8, payload: &[u8]) -> Result<(), CloseReason> {
        if id == HANDSHAKE_ID {
            return self.extension_handshake(conn, payload);
        }
        let broken = |e: unchoke_wire::extension::ExtensionError| CloseReason::Protocol(e.to_string());
        match Extension::from_local_id(id) {
            Some(Extension::UtMetadata) => match MetadataMessage::decode(payload).map_err(broken)? {
                Some(message) => self.metadata_message(conn, &message),
                None => Ok(()),
            },
            Some(Extension::UtPex) => self.pex_message(conn, &PexMessage::decode(payload).map_err(broken)?),
            Some(Extension::UploadOnly) => {
                self.conns[conn].is_upload_only = decode_upload_only(payload).map_err(broken)?;
                self.idle_message(conn)
            }
            Some(Extension::LtDonthave) => {
                self.idle_message(conn)?;
                self.dont_have(conn, lt_donthave::decode(payload).map_err(broken)?)
            }
            None => {
                let is_enough = self.conns[conn].unknown_message();
                if is_enough { Err(protocol("too many unknown messages")) } else { Ok(()) }
            }
        }
    }

    fn extension_handshake(&mut self, conn: ConnId, payload: &[u8]) -> Result<(), CloseReason> {
        let h = ExtensionHandshake::decode(payload).map_err(|e| CloseReason::Protocol(e.to_string()))?;
        self.idle_message(conn)?;
        let c = &mut self.conns[conn];
        if c.extension_handshake() {
            return Err(protocol("too many extension handshakes"));
        }
        let t = &mut self.torrents[c.torrent];
        c.extension_ids.update(&h.ids);
        c.client = h.client.or(c.client.take());
        c.is_upload_only = h.upload_only.unwrap_or(c.is_upload_only);
        c.prefers_encryption = h.prefers_encryption.unwrap_or(c.prefers_encryption);
        if let Some(reqq) = h.request_queue_len {
            c.requests.set_reqq(reqq);
        }
        if let Some(port) = h.port
            && !c.is_outgoing
        {
            t.swarm_version += u64::from(c.listen_port != Some(port));
            c.listen_port = Some(port);
            let twin = t.peers.listens_on(c.key, port);
            let is_twin = |id: &ConnId| Some(self.conns[*id].key) == twin && self.conns[*id].is_ready();
            if twin.is_some() && t.conns.iter().any(is_twin) {
                return Err(CloseReason::Duplicate);
            }
        }
        let c = &mut self.conns[conn];
        let gives_metadata = c.extension_ids.id_of(Extension::UtMetadata).is_some();
        if let (Some(fetch), Some(size), true) = (&mut t.metadata, h.metadata_size, gives_metadata) {
            fetch.add_source(conn, size);
            self.touched.torrents.insert(c.torrent);
        }
        if let Some(ip) =
            h.your_ip.and_then(|ip| self.own_address.peer_sees(ip, self.conns[conn].remote.ip()))
        {
            self.reached_at(ip);
        }
        self.send_pex(conn);
        Ok(())
    }

    pub(super) fn push_extended(&mut self, conn: ConnId, extension: Extension, payload: &[u8]) {
        if let Some(id) = self.conns[conn].extension_ids.id_of(extension) {
            self.push(conn, &Message::Extended { id, payload });
        }
    }

    fn metadata_message(&mut self, conn: ConnId, message: &MetadataMessage<'_>) -> Result<(), CloseReason> {
        let torrent = self.conns[conn].torrent;
        match message {
            MetadataMessage::Request { block } => self.serve_metadata(conn, *block)?,
            MetadataMessage::Reject { block } => {
                if let Some(fetch) = &mut self.torrents[torrent].metadata {
                    fetch.rejected(conn, *block, self.now);
                }
            }
            MetadataMessage::Data { block, total_size, data } => {
                let Some(fetch) = &mut self.torrents[torrent].metadata else {
                    // an answer may come late, when another peer has given it
                    let is_enough = self.conns[conn].strike();
                    return if is_enough { Err(protocol("metadata nobody asked for")) } else { Ok(()) };
                };
                if fetch.size_of(conn).is_some_and(|size| size != *total_size) {
                    return Err(protocol("metadata of another size than it told"));
                }
                match fetch.received(conn, *block, data, self.now) {
                    Progress::Done(info) => self.metadata_done(torrent, info),
                    Progress::Unasked if self.conns[conn].strike() => {
                        return Err(protocol("metadata nobody asked for"));
                    }
                    Progress::Unasked | Progress::More | Progress::Wrong(_) => {}
                }
            }
        }
        self.touched.torrents.insert(torrent);
        Ok(())
    }

    //= BEP 9: metadata to peers
    /// What a peer asks for too often, or out of range, is rejected and counted.
    fn serve_metadata(&mut self, conn: ConnId, block: u32) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let size = u32::try_from(self.torrents[c.torrent].raw_info.len()).unwrap_or(0);
        let blocks = block_count(size);
        c.metadata_served += 1;
        let is_served = block < blocks
            && c.metadata_served <= blocks.saturating_mul(METADATA_SERVED_MAX)
            && c.metadata_asked.len() < METADATA_ASKED_MAX;
        if is_served {
            c.metadata_asked.push_back(block);
            self.want_send(conn);
            return Ok(());
        }
        self.push_extended(conn, Extension::UtMetadata, &MetadataMessage::Reject { block }.encode());
        self.idle_message(conn)
    }

    /// Queues blocks of metadata that a peer asked for, as many as make a plan: who asks for all at once gets all, and
    /// no more is held for it than it reads.
    pub(super) fn push_metadata(&mut self, conn: ConnId) {
        while let Some(c) = self.conns.get_mut(conn)
            && c.send.len() < METADATA_PLAN_LEN
            && let Some(block) = c.metadata_asked.pop_front()
        {
            let raw = &self.torrents[c.torrent].raw_info;
            let from = raw.len().min(block as usize * limits::METADATA_BLOCK_LEN as usize);
            let to = raw.len().min(from + limits::METADATA_BLOCK_LEN as usize);
            let total_size = u32::try_from(raw.len()).unwrap_or(0);
            let answer = MetadataMessage::Data { block, total_size, data: &raw[from..to] }.encode();
            self.push_extended(conn, Extension::UtMetadata, &answer);
        }
    }

    //= BEP 54: lt_donthave
    fn dont_have(&mut self, conn: ConnId, piece: unchoke_wire::PieceIndex) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let torrent = c.torrent;
        if !c.has.lose(piece).map_err(|e| CloseReason::Protocol(e.to_string()))? {
            return Ok(());
        }
        let lost: Vec<_> = c.requests.blocks().filter(|b| b.piece == piece).collect();
        if !c.is_fast() {
            lost.iter().for_each(|b| {
                c.requests.give_up(*b);
            });
            self.release(conn, &lost);
        }
        if let Some(picker) = &mut self.torrents[torrent].picker {
            picker.peer_lost(piece);
        }
        self.recount_interest_of(conn);
        Ok(())
    }

    //= BEP 21: upload only
    /// Tells all peers whether we download nothing more.
    pub(super) fn tell_upload_only(&mut self, torrent: TorrentId, is_upload_only: bool) {
        for conn in self.torrents[torrent].conns.clone() {
            if self.conns[conn].is_ready() {
                self.push_extended(conn, Extension::UploadOnly, &encode_upload_only(is_upload_only));
            }
        }
    }
}
