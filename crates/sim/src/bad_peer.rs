//! A peer that speaks raw bytes and misbehaves as its [`Manner`] says. What the manner leaves alone it does as a plain
//! peer would, so that one manner is one wrong.

use crate::log::message_words;
use crate::swarm::Content;
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use unchoke_wire::handshake::{HANDSHAKE_LEN, PREFIX_LEN};
use unchoke_wire::message::{Frame, Message};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::{
    BlockRef, Extension, ExtensionHandshake, ExtensionIds, Handshake, PeerId, Reserved, WireHash, limits,
};

/// What a bad peer wants done.
#[derive(Debug)]
pub enum Act {
    /// Dial this address.
    Dial(SocketAddr),
    /// Send these bytes.
    Send(usize, Vec<u8>),
    /// Close the pipe.
    Close(usize),
    /// Call again then.
    WakeAt(Instant),
}

/// How it shakes hands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Greeting {
    /// As it should.
    #[default]
    Right,
    /// Not at all.
    Silent,
    /// With these bytes instead.
    Bytes(Vec<u8>),
    /// With another info-hash.
    OtherHash(WireHash),
    /// With the first 48 bytes, and with the other side's own peer id after it has answered.
    OwnId,
    /// One byte after the other, this far apart.
    Drip(Duration),
}

/// What it does with requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Serves {
    /// Nothing: it takes them and is silent.
    #[default]
    Nothing,
    /// Sends good blocks.
    Good,
    /// Sends good blocks this far apart.
    Slowly(Duration),
    /// Spoils one block in so many; one: all.
    Spoils(u32),
    /// Rejects them.
    Rejects,
}

/// What it says and sends of the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metadata {
    /// The right size and bytes that are wrong.
    WrongBytes,
    /// A wrong size, and silence.
    WrongSize(u32),
    /// The right size, and rejects.
    Rejects,
}

/// How a bad peer behaves.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// How it shakes hands.
    pub greeting: Greeting,
    /// Its reserved bits.
    pub reserved: Reserved,
    /// Raw bytes sent once both handshakes are through.
    pub first: Vec<u8>,
    /// Raw bytes sent so long after that, and how often, that far apart.
    pub later: Vec<(Duration, Vec<u8>, u32)>,
    /// Whether it unchokes who is interested.
    pub unchokes: bool,
    /// What it does with requests.
    pub serves: Serves,
    /// After so many blocks it chokes for so long, once.
    pub chokes_after: Option<(u32, Duration)>,
    /// What it says of the metadata; it speaks the extension protocol then.
    pub metadata: Option<Metadata>,
}

impl Manner {
    /// A plain peer of BEP 3 that has everything and serves it.
    pub fn plain_seed(pieces: u32) -> Self {
        let bits = unchoke_wire::Bitfield::all(pieces);
        Manner {
            first: Message::Bitfield(bits.as_bytes()).to_vec(),
            unchokes: true,
            serves: Serves::Good,
            ..Manner::default()
        }
    }
}

/// What was seen on one pipe.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether the bad peer dialled.
    pub is_dialler: bool,
    /// Bytes received in all.
    pub bytes: usize,
    /// Bytes it had sent when the first one came.
    pub sent_before_answer: usize,
    /// The other side's handshake.
    pub handshake: Option<Handshake>,
    /// Messages received, in words.
    pub heard: Vec<(Instant, String)>,
    /// When the other side closed.
    pub gone: Option<Instant>,
    /// When it began.
    pub since: Instant,
    sent: usize,
    input: Vec<u8>,
    has_greeted: bool,
    is_choked: bool,
    ids: ExtensionIds,
}

impl Seen {
    /// Whether a message in these words was heard.
    pub fn has_heard(&self, words: &str) -> bool {
        self.heard.iter().any(|(_, w)| w == words)
    }

    /// How many messages that begin with these words were heard.
    pub fn count(&self, words: &str) -> usize {
        self.heard.iter().filter(|(_, w)| w.starts_with(words)).count()
    }
}

/// A peer that misbehaves.
#[derive(Debug)]
pub struct BadPeer {
    content: Rc<Content>,
    manner: Manner,
    peer_id: PeerId,
    lot: u64,
    pipes: BTreeMap<usize, Seen>,
    timed: BTreeMap<(Instant, u64), Timed>,
    timed_len: u64,
    blocks: u32,
    line: VecDeque<(usize, BlockRef)>,
}

/// Something it will do.
#[derive(Debug)]
enum Timed {
    Bytes(usize, Vec<u8>),
    Block,
    Unchoke(usize),
}

impl BadPeer {
    pub(crate) fn new(content: &Rc<Content>, manner: Manner, tail: [u8; 12], lot: u64) -> Self {
        BadPeer {
            content: content.clone(),
            manner,
            peer_id: PeerId::ours(tail),
            lot,
            pipes: BTreeMap::new(),
            timed: BTreeMap::new(),
            timed_len: 0,
            blocks: 0,
            line: VecDeque::new(),
        }
    }

    /// What was seen on each pipe, oldest first.
    pub fn pipes(&self) -> impl Iterator<Item = &Seen> {
        self.pipes.values()
    }

    /// Its peer id.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    pub(crate) fn joined(&mut self, pipe: usize, is_dialler: bool, now: Instant) -> Vec<Act> {
        let seen = Seen { is_dialler, since: now, is_choked: true, ..Seen::default() };
        self.pipes.insert(pipe, seen);
        if is_dialler { self.greet(pipe, now) } else { Vec::new() }
    }

    fn handshake(&self) -> Vec<u8> {
        let info_hash = match self.manner.greeting {
            Greeting::OtherHash(hash) => hash,
            _ => self.content.hash(),
        };
        Handshake { reserved: self.manner.reserved, info_hash, peer_id: self.peer_id }.encode().to_vec()
    }

    fn greet(&mut self, pipe: usize, now: Instant) -> Vec<Act> {
        match &self.manner.greeting {
            Greeting::Silent => Vec::new(),
            Greeting::Bytes(bytes) => self.send(pipe, bytes.clone()),
            Greeting::OwnId => self.send(pipe, self.handshake()[..PREFIX_LEN].to_vec()),
            Greeting::Drip(apart) => {
                let (apart, bytes) = (*apart, self.handshake());
                let mut at = now;
                let mut acts = Vec::new();
                for byte in bytes {
                    acts.push(self.later(at, Timed::Bytes(pipe, vec![byte])));
                    at = at + apart;
                }
                acts
            }
            Greeting::Right | Greeting::OtherHash(_) => self.send(pipe, self.handshake()),
        }
    }

    fn send(&mut self, pipe: usize, bytes: Vec<u8>) -> Vec<Act> {
        if let Some(seen) = self.pipes.get_mut(&pipe) {
            seen.sent += bytes.len();
        }
        vec![Act::Send(pipe, bytes)]
    }

    fn later(&mut self, at: Instant, timed: Timed) -> Act {
        self.timed_len += 1;
        self.timed.insert((at, self.timed_len), timed);
        Act::WakeAt(at)
    }

    pub(crate) fn timer(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(entry) = self.timed.first_entry().filter(|e| e.key().0 <= now) {
            match entry.remove() {
                Timed::Bytes(pipe, bytes) => acts.extend(self.send(pipe, bytes)),
                Timed::Block => {
                    if let Some((pipe, block)) = self.line.pop_front() {
                        acts.extend(self.block(pipe, block, now));
                    }
                }
                Timed::Unchoke(pipe) => {
                    if let Some(seen) = self.pipes.get_mut(&pipe) {
                        seen.is_choked = false;
                    }
                    acts.extend(self.send(pipe, Message::Unchoke.to_vec()));
                }
            }
        }
        acts
    }

    pub(crate) fn gone(&mut self, pipe: usize, now: Instant) -> Vec<Act> {
        if let Some(seen) = self.pipes.get_mut(&pipe) {
            seen.gone = Some(now);
        }
        self.line.retain(|(p, _)| *p != pipe);
        Vec::new()
    }

    pub(crate) fn received(&mut self, pipe: usize, bytes: &[u8], now: Instant) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe) else { return Vec::new() };
        if seen.bytes == 0 {
            seen.sent_before_answer = seen.sent;
        }
        seen.bytes += bytes.len();
        seen.input.extend_from_slice(bytes);
        let mut acts = Vec::new();
        if seen.handshake.is_none() {
            let is_dialler = seen.is_dialler;
            if !is_dialler
                && seen.input.len() >= PREFIX_LEN
                && !core::mem::replace(&mut seen.has_greeted, true)
            {
                acts.extend(self.greet(pipe, now));
            }
            acts.extend(self.handshake_in(pipe, now));
        }
        while let Some(message) = self.next_message(pipe) {
            acts.extend(self.message(pipe, &message, now));
        }
        acts
    }

    fn handshake_in(&mut self, pipe: usize, now: Instant) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe) else { return Vec::new() };
        let Ok(Some(handshake)) = Handshake::decode(&seen.input) else { return Vec::new() };
        seen.input.drain(..HANDSHAKE_LEN);
        seen.handshake = Some(handshake);
        let mut acts = Vec::new();
        if self.manner.greeting == Greeting::OwnId {
            acts.extend(self.send(pipe, handshake.peer_id.0.to_vec()));
        }
        if let Some(metadata) = self.manner.metadata {
            acts.extend(self.send(pipe, self.extension_handshake(metadata)));
        }
        if !self.manner.first.is_empty() {
            acts.extend(self.send(pipe, self.manner.first.clone()));
        }
        for (after, bytes, times) in self.manner.later.clone() {
            let mut at = now;
            for _ in 0..times {
                at = at + after;
                acts.push(self.later(at, Timed::Bytes(pipe, bytes.clone())));
            }
        }
        acts
    }

    fn extension_handshake(&self, metadata: Metadata) -> Vec<u8> {
        let size = match metadata {
            Metadata::WrongSize(size) => size,
            _ => u32::try_from(self.content.metainfo.raw_info.len()).unwrap_or(0),
        };
        let ids = ExtensionIds::ours([Extension::UtMetadata]);
        let handshake =
            ExtensionHandshake { ids, metadata_size: Some(size), ..ExtensionHandshake::default() };
        Message::Extended { id: 0, payload: &handshake.encode() }.to_vec()
    }

    fn next_message(&mut self, pipe: usize) -> Option<Vec<u8>> {
        let seen = self.pipes.get_mut(&pipe)?;
        seen.handshake?;
        let len = Frame::parse(&seen.input).ok().flatten()?.total_len();
        (seen.input.len() >= len).then(|| seen.input.drain(..len).collect())
    }

    fn message(&mut self, pipe: usize, bytes: &[u8], now: Instant) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe) else { return Vec::new() };
        seen.heard.push((now, message_words(bytes)));
        let Ok(Some((message, _))) = Message::parse(bytes) else { return Vec::new() };
        match message {
            Message::Interested if self.manner.unchokes && seen.is_choked => {
                seen.is_choked = false;
                self.send(pipe, Message::Unchoke.to_vec())
            }
            Message::Request(block) if !seen.is_choked => self.request(pipe, block, now),
            Message::Cancel(block) => {
                self.line.retain(|(p, b)| *p != pipe || *b != block);
                Vec::new()
            }
            Message::Extended { id: 0, payload } => {
                if let Ok(handshake) = ExtensionHandshake::decode(payload) {
                    seen.ids = handshake.ids;
                }
                Vec::new()
            }
            Message::Extended { payload, .. } => self.metadata(pipe, payload),
            _ => Vec::new(),
        }
    }

    fn request(&mut self, pipe: usize, block: BlockRef, now: Instant) -> Vec<Act> {
        match self.manner.serves {
            Serves::Nothing => Vec::new(),
            Serves::Rejects => self.send(pipe, Message::Reject(block).to_vec()),
            Serves::Slowly(apart) => {
                self.line.push_back((pipe, block));
                let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
                vec![self.later(now + apart * waiting, Timed::Block)]
            }
            Serves::Good | Serves::Spoils(_) => self.block(pipe, block, now),
        }
    }

    fn block(&mut self, pipe: usize, block: BlockRef, now: Instant) -> Vec<Act> {
        if self.pipes.get(&pipe).is_none_or(|s| s.is_choked || s.gone.is_some()) {
            return Vec::new();
        }
        self.blocks += 1;
        let from = block.begin as usize;
        let mut data = self.content.piece(block.piece)[from..from + block.len as usize].to_vec();
        if let Serves::Spoils(one_in) = self.manner.serves {
            self.lot =
                self.lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (self.lot >> 33).is_multiple_of(u64::from(one_in)) {
                data[0] ^= 0xff;
            }
        }
        let message = Message::Piece { piece: block.piece, begin: block.begin, data: &data }.to_vec();
        let mut acts = self.send(pipe, message);
        if let Some((_, pause)) = self.manner.chokes_after.filter(|(blocks, _)| *blocks == self.blocks) {
            if let Some(seen) = self.pipes.get_mut(&pipe) {
                seen.is_choked = true;
            }
            acts.extend(self.send(pipe, Message::Choke.to_vec()));
            for (_, waiting) in core::mem::take(&mut self.line) {
                if self.manner.reserved.has_fast() {
                    acts.extend(self.send(pipe, Message::Reject(waiting).to_vec()));
                }
            }
            acts.push(self.later(now + pause, Timed::Unchoke(pipe)));
        }
        acts
    }

    fn metadata(&mut self, pipe: usize, payload: &[u8]) -> Vec<Act> {
        let Some(id) = self.pipes.get(&pipe).and_then(|s| s.ids.id_of(Extension::UtMetadata)) else {
            return Vec::new();
        };
        let Ok(Some(MetadataMessage::Request { block })) = MetadataMessage::decode(payload) else {
            return Vec::new();
        };
        let raw = &self.content.metainfo.raw_info;
        let from = block as usize * limits::METADATA_BLOCK_LEN as usize;
        let answer = match self.manner.metadata {
            Some(Metadata::WrongBytes) if from < raw.len() => {
                let to = raw.len().min(from + limits::METADATA_BLOCK_LEN as usize);
                let data = vec![b'x'; to - from];
                let total_size = u32::try_from(raw.len()).unwrap_or(0);
                MetadataMessage::Data { block, total_size, data: &data }.encode()
            }
            Some(Metadata::Rejects) => MetadataMessage::Reject { block }.encode(),
            _ => return Vec::new(),
        };
        let message = Message::Extended { id, payload: &answer }.to_vec();
        self.send(pipe, message)
    }
}
