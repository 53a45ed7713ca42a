//! What peers say.

use super::{CONTENT, PIECES, Peer, Stage, World};
use crate::steps::Steps;
use unchoke_engine::{ConnId, Input};
use unchoke_wire::handshake::HANDSHAKE_LEN;
use unchoke_wire::message::Message;
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};
use unchoke_wire::{
    BlockRef, Extension, ExtensionHandshake, ExtensionIds, Handshake, PeerId, PieceIndex, Reserved,
    lt_donthave,
};

/// What an engine wrote so far is a handshake and whole messages.
pub fn check_stream(peer: &mut Peer) {
    if !peer.has_greeted {
        if peer.came.len() < HANDSHAKE_LEN {
            assert!(peer.came.is_empty(), "half a handshake");
            return;
        }
        peer.has_greeted = true;
        peer.came.drain(..HANDSHAKE_LEN);
    }
    let mut rest = &peer.came[..];
    while let Some((_, used)) = Message::parse(rest).expect("an engine speaks correctly") {
        rest = &rest[used..];
    }
    assert!(rest.is_empty(), "half a message");
    peer.came.clear();
}

impl World {
    /// The connections at this stage.
    pub fn at_stage(&self, stage: Stage) -> Vec<ConnId> {
        self.peers.iter().filter(|p| p.stage == stage).map(|p| p.conn).collect()
    }

    /// Bytes of a peer.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.handle(Input::Received { conn, bytes: &mut bytes });
    }

    pub fn greeting(&self, steps: &mut Steps<'_>) -> Vec<u8> {
        let (choice, n) = (steps.byte(), steps.byte());
        let mut reserved = Reserved::default();
        if choice & 1 == 0 {
            reserved = reserved.with_fast();
        }
        if choice & 2 == 0 {
            reserved = reserved.with_extension();
        }
        let info_hash = if choice == 0xff { unchoke_wire::WireHash([9; 20]) } else { CONTENT.hash() };
        Handshake { reserved, info_hash, peer_id: PeerId([n % 16; 20]) }.encode().to_vec()
    }

    /// A peer that has not said who it is does so, or part of it.
    pub fn greet(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Greeting)) else { return };
        let bytes = self.greeting(steps);
        self.peer(conn).stage = Stage::Open;
        match steps.byte() {
            cut @ 200.. => {
                let (head, tail) = bytes.split_at(usize::from(cut) % HANDSHAKE_LEN);
                self.receive(conn, head);
                self.receive(conn, tail);
            }
            _ => self.receive(conn, &bytes),
        }
    }

    /// A peer says something.
    pub fn say(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Open)) else { return };
        let block = any_block(steps);
        let bits = [steps.byte()];
        let message = match steps.byte() % 20 {
            0 => Message::KeepAlive,
            1 => Message::Choke,
            2..=4 => Message::Unchoke,
            5 | 6 => Message::Interested,
            7 => Message::NotInterested,
            8 | 9 => Message::Have(block.piece),
            10 | 11 => Message::Bitfield(&bits),
            12 => Message::HaveAll,
            13 => Message::HaveNone,
            14 | 15 => Message::Request(block),
            16 => Message::Cancel(block),
            17 => Message::AllowedFast(block.piece),
            18 => Message::Suggest(block.piece),
            _ => match steps.pick(&self.model.requests(conn)) {
                Some(asked) if steps.flag() => Message::Reject(asked),
                _ => Message::Reject(block),
            },
        };
        self.receive(conn, &message.to_vec());
    }

    /// A peer sends a block: one it was asked for, mostly, and mostly a true one.
    pub fn give(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Open)) else { return };
        let choice = steps.byte();
        let asked = steps.pick(&self.model.requests(conn));
        let Some(block) = asked.or_else(|| (choice > 200).then(|| sound_block(steps))) else { return };
        let mut data = CONTENT.piece(block.piece)[block.begin as usize..][..block.len as usize].to_vec();
        if choice % 16 == 1 {
            data[usize::from(steps.byte())] ^= 1;
        }
        if choice == 255 {
            data.truncate(usize::from(steps.byte()));
        }
        let bytes = Message::Piece { piece: block.piece, begin: block.begin, data: &data }.to_vec();
        match choice % 16 {
            2 => {
                // it comes in parts, and at times no further
                let (head, tail) = bytes.split_at(usize::from(steps.byte()) * 64 % bytes.len());
                self.receive(conn, head);
                if self.peers.iter().any(|p| p.conn == conn) && choice < 200 {
                    self.receive(conn, tail);
                }
            }
            _ => self.receive(conn, &bytes),
        }
    }

    /// A message of an extension.
    pub fn extend(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Open)) else { return };
        let (id, payload) = match steps.byte() % 10 {
            0..=2 => (0, extension_handshake(steps).encode()),
            3..=5 => (Extension::UtMetadata.local_id(), metadata(steps)),
            6 | 7 => (Extension::UtPex.local_id(), pex(steps).encode()),
            8 => (Extension::LtDonthave.local_id(), lt_donthave::encode(any_block(steps).piece).to_vec()),
            _ => (steps.byte(), steps.bytes().to_vec()),
        };
        self.receive(conn, &Message::Extended { id, payload: &payload }.to_vec());
    }

    /// Bytes that may be anything.
    pub fn babble(&mut self, steps: &mut Steps<'_>) {
        let all: Vec<ConnId> =
            self.peers.iter().filter(|p| p.stage != Stage::Dialling).map(|p| p.conn).collect();
        let Some(conn) = steps.pick(&all) else { return };
        let bytes = steps.bytes();
        self.receive(conn, bytes);
    }
}

/// A block of the torrent.
fn sound_block(steps: &mut Steps<'_>) -> BlockRef {
    let layout = &CONTENT.metainfo.info.layout;
    let piece = PieceIndex(u32::from(steps.byte()) % PIECES);
    let block = u32::from(steps.byte()) % layout.block_count(piece);
    layout.block(piece, unchoke_wire::BlockIndex(block))
}

/// A block of the torrent, mostly.
fn any_block(steps: &mut Steps<'_>) -> BlockRef {
    match steps.byte() {
        250.. => BlockRef {
            piece: PieceIndex(steps.odd_number()),
            begin: steps.odd_number(),
            len: steps.odd_number(),
        },
        240..250 => {
            BlockRef { begin: u32::from(steps.byte()), len: u32::from(steps.byte()), ..sound_block(steps) }
        }
        _ => sound_block(steps),
    }
}

fn extension_handshake(steps: &mut Steps<'_>) -> ExtensionHandshake {
    let choice = steps.byte();
    let mut ids = ExtensionIds::ours(Extension::ALL);
    if choice & 1 == 1 {
        ids.set(Extension::UtMetadata, steps.byte());
        ids.set(Extension::UtPex, steps.byte());
    }
    let size = u32::try_from(CONTENT.metainfo.raw_info.len()).expect("it is small");
    ExtensionHandshake {
        ids,
        port: (choice & 2 == 2).then(|| 6881 + u16::from(steps.byte() % 2)),
        metadata_size: match choice >> 2 & 3 {
            0 => None,
            1 => Some(steps.odd_number()),
            _ => Some(size),
        },
        request_queue_len: (choice & 16 == 16).then(|| 1 + u32::from(steps.byte())),
        upload_only: (choice & 32 == 32).then(|| steps.flag()),
        your_ip: (choice & 64 == 64).then(|| steps.address().ip()),
        ..ExtensionHandshake::default()
    }
}

fn metadata(steps: &mut Steps<'_>) -> Vec<u8> {
    let raw = &CONTENT.metainfo.raw_info;
    let choice = steps.byte();
    let block = u32::from(choice >> 4 & 1) + if choice > 250 { steps.odd_number() & 0xffff } else { 0 };
    let size = u32::try_from(raw.len()).expect("it is small");
    match choice % 8 {
        0 | 1 => MetadataMessage::Request { block }.encode(),
        2 => MetadataMessage::Reject { block }.encode(),
        kind => {
            let from = (block as usize).saturating_mul(16_384).min(raw.len());
            let mut data = raw[from..raw.len().min(from + 16_384)].to_vec();
            if let (3, Some(byte)) = (kind, data.get_mut(usize::from(steps.byte()))) {
                *byte ^= 1;
            }
            let total_size = if kind == 4 { 1 + (steps.odd_number() & 0xff_ffff) } else { size };
            MetadataMessage::Data { block, total_size, data: &data }.encode()
        }
    }
}

fn pex(steps: &mut Steps<'_>) -> PexMessage {
    let added = (0..steps.below(6))
        .map(|_| PexPeer { addr: steps.address(), flags: PexFlags::from_bits(steps.byte()) });
    let added: Vec<PexPeer> = added.filter(|p| p.addr.port() != 0).collect();
    let dropped = (0..steps.below(4)).map(|_| steps.address()).filter(|a| a.port() != 0).collect();
    PexMessage { added, dropped, surplus: 0 }
}
