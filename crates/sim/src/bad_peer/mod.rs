//! A peer that speaks raw bytes and misbehaves as its [`Manner`] says. What the manner leaves alone it does as a plain
//! peer would, so that one manner is one wrong.
//!
//! [`BadPeer`] is a machine without sockets or clock: whoever drives it, the simulator or real connections, tells it what
//! happened ([`BadPeer::dial`], [`BadPeer::joined`], [`BadPeer::received`], [`BadPeer::gone`], [`BadPeer::timer`]) and
//! carries out the [`Act`]s it answers with, in order.

mod manner;

pub use manner::{Dials, Ends, Greeting, Manner, Metadata, Retort, Serves};

use crate::log::message_words;
use crate::swarm::Content;
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use unchoke_wire::handshake::{HANDSHAKE_LEN, PREFIX_LEN};
use unchoke_wire::message::{Frame, Message, piece_header};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::{
    BlockIndex, BlockRef, Extension, ExtensionHandshake, ExtensionIds, Handshake, PeerId, PieceIndex, limits,
};

/// What a bad peer wants done. A pipe is a connection under the number its driver gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dial this address.
    Dial(SocketAddr),
    /// Send these bytes.
    Send(usize, Vec<u8>),
    /// Close the pipe; it is not told that it is gone.
    Close(usize),
    /// Send nothing more on the pipe, and go on reading.
    Finish(usize),
    /// Call again then.
    WakeAt(Instant),
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
    /// When it closed itself, or sent its last byte.
    pub ended: Option<Instant>,
    /// When it began.
    pub since: Instant,
    sent: usize,
    input: Vec<u8>,
    has_greeted: bool,
    is_choked: bool,
    ids: ExtensionIds,
    /// How often each retort was made.
    retorted: Vec<u32>,
}

impl Seen {
    /// Whether neither side closed it.
    pub fn is_open(&self) -> bool {
        self.gone.is_none() && self.ended.is_none()
    }

    /// Bytes it sent.
    pub fn sent(&self) -> usize {
        self.sent
    }

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
    /// Whom it dialled last, and dials again.
    target: Option<SocketAddr>,
}

/// Something it will do.
#[derive(Debug)]
enum Timed {
    Dial(SocketAddr),
    Bytes(usize, Vec<u8>),
    Block,
    Unchoke(usize),
    End(usize),
}

/// How far apart it fetches what it may have while choked.
const FETCHES_APART: Duration = Duration::from_millis(300);
/// How long it waits for what it wants to answer before it ends.
const UNSAID_WAIT: Duration = Duration::from_millis(100);
/// Bytes of a block that comes one at a time; nobody waits for more.
const TRICKLED_MAX: usize = 600;

impl BadPeer {
    /// A peer of the swarm of `content`. `tail` ends its peer id unless the manner names one; `lot` fixes what it
    /// leaves to chance.
    pub fn new(content: &Rc<Content>, manner: Manner, tail: [u8; 12], lot: u64) -> Self {
        BadPeer {
            content: content.clone(),
            peer_id: manner.peer_id.unwrap_or_else(|| PeerId::ours(tail)),
            manner,
            lot,
            pipes: BTreeMap::new(),
            timed: BTreeMap::new(),
            timed_len: 0,
            blocks: 0,
            line: VecDeque::new(),
            target: None,
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

    /// It is to dial this address, as often as its manner says.
    pub fn dial(&mut self, target: SocketAddr, now: Instant) -> Vec<Act> {
        self.target = Some(target);
        let Dials { after, count, apart } = self.manner.dials;
        (0..count).map(|n| self.later(now + after + apart * n, Timed::Dial(target))).collect()
    }

    /// A connection was made, by a dial of its own or by the other side. `pipe` is its name from here on.
    pub fn joined(&mut self, pipe: usize, is_dialler: bool, now: Instant) -> Vec<Act> {
        let retorted = vec![0; self.manner.retorts.len()];
        let seen = Seen { is_dialler, since: now, is_choked: true, retorted, ..Seen::default() };
        self.pipes.insert(pipe, seen);
        let acts = if is_dialler { self.greet(pipe, now) } else { Vec::new() };
        self.closing(acts, now)
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

    fn send(&mut self, pipe: usize, mut bytes: Vec<u8>) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe).filter(|s| s.is_open()) else { return Vec::new() };
        let left = match self.manner.ends {
            Some(Ends::AtByte(last)) => last.saturating_sub(seen.sent),
            _ => usize::MAX,
        };
        bytes.truncate(left);
        let is_last = bytes.len() == left;
        seen.sent += bytes.len();
        let mut acts = vec![Act::Send(pipe, bytes)];
        if is_last {
            acts.push(Act::Close(pipe));
        }
        acts
    }

    /// Notes the connections it wants closed, and dials again if that is its manner.
    fn closing(&mut self, mut acts: Vec<Act>, now: Instant) -> Vec<Act> {
        let ended: Vec<usize> = acts
            .iter()
            .filter_map(|act| match act {
                Act::Close(pipe) | Act::Finish(pipe) => Some(*pipe),
                _ => None,
            })
            .collect();
        for pipe in ended {
            if let Some(seen) = self.pipes.get_mut(&pipe) {
                seen.ended = Some(now);
            }
            acts.extend(self.redial(now));
        }
        acts
    }

    fn redial(&mut self, now: Instant) -> Option<Act> {
        let (rest, target) = self.manner.redials.zip(self.target)?;
        Some(self.later(now + rest, Timed::Dial(target)))
    }

    fn later(&mut self, at: Instant, timed: Timed) -> Act {
        self.timed_len += 1;
        self.timed.insert((at, self.timed_len), timed);
        Act::WakeAt(at)
    }

    /// The time it asked for has come.
    pub fn timer(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(entry) = self.timed.first_entry().filter(|e| e.key().0 <= now) {
            match entry.remove() {
                Timed::Dial(target) => acts.push(Act::Dial(target)),
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
                Timed::End(pipe) => acts.extend(self.end(pipe, now)),
            }
        }
        self.closing(acts, now)
    }

    fn end(&mut self, pipe: usize, now: Instant) -> Option<Act> {
        let seen = self.pipes.get(&pipe).filter(|s| s.is_open())?;
        if !matches!(self.manner.ends, Some(Ends::Half(_))) {
            return Some(Act::Close(pipe));
        }
        if seen.retorted.contains(&0) {
            return Some(self.later(now + UNSAID_WAIT, Timed::End(pipe)));
        }
        Some(Act::Finish(pipe))
    }

    /// The other side closed a connection.
    pub fn gone(&mut self, pipe: usize, now: Instant) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe) else { return Vec::new() };
        let was_open = seen.is_open();
        seen.gone = Some(now);
        self.line.retain(|(p, _)| *p != pipe);
        if was_open { self.redial(now).into_iter().collect() } else { Vec::new() }
    }

    /// Bytes came on a connection.
    pub fn received(&mut self, pipe: usize, bytes: &[u8], now: Instant) -> Vec<Act> {
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
        self.closing(acts, now)
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
        if let Some(Ends::After(after) | Ends::Half(after)) = self.manner.ends {
            acts.push(self.later(now + after, Timed::End(pipe)));
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
        let mut acts = self.retort(pipe, bytes);
        let Ok(Some((message, _))) = Message::parse(bytes) else { return acts };
        acts.extend(self.answer(pipe, &message, now));
        acts
    }

    /// What it says to a message of this kind, whatever is in it.
    fn retort(&mut self, pipe: usize, bytes: &[u8]) -> Vec<Act> {
        let mut acts = Vec::new();
        for n in 0..self.manner.retorts.len() {
            let retort = &self.manner.retorts[n];
            let Some(seen) = self.pipes.get_mut(&pipe) else { break };
            if bytes.get(4) == Some(&retort.to) && seen.retorted[n] < retort.times {
                seen.retorted[n] += 1;
                let says = retort.says.clone();
                acts.extend(self.send(pipe, says));
            }
        }
        acts
    }

    fn answer(&mut self, pipe: usize, message: &Message<'_>, now: Instant) -> Vec<Act> {
        let Some(seen) = self.pipes.get_mut(&pipe) else { return Vec::new() };
        match *message {
            Message::Interested if self.manner.unchokes && seen.is_choked => {
                seen.is_choked = false;
                self.send(pipe, Message::Unchoke.to_vec())
            }
            Message::Request(block) if !seen.is_choked => self.request(pipe, block, now),
            Message::Cancel(block) if self.manner.serves == Serves::AfterCancel => {
                self.block(pipe, block, now)
            }
            Message::AllowedFast(piece) => self.fetch(pipe, piece, now),
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
            Serves::Nothing | Serves::AfterCancel => Vec::new(),
            Serves::Trickle(apart) => self.trickle(pipe, block, apart, now),
            Serves::Elsewhere | Serves::Short | Serves::Empty => self.no_block(pipe, block),
            Serves::Rejects => self.send(pipe, Message::Reject(block).to_vec()),
            Serves::Slowly(apart) => {
                self.line.push_back((pipe, block));
                let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
                vec![self.later(now + apart * waiting, Timed::Block)]
            }
            Serves::Good | Serves::Spoils(_) | Serves::SpoilsEach(_) | Serves::SpoilsPiece(_) => {
                self.block(pipe, block, now)
            }
        }
    }

    /// Fetches a piece it may have while choked, over and over.
    fn fetch(&mut self, pipe: usize, piece: PieceIndex, now: Instant) -> Vec<Act> {
        let layout = &self.content.metainfo.info.layout;
        let blocks = (0..layout.block_count(piece)).map(|n| layout.block(piece, BlockIndex(n)));
        let asks: Vec<u8> = blocks.flat_map(|block| Message::Request(block).to_vec()).collect();
        (0..self.manner.fast_fetches)
            .map(|n| self.later(now + FETCHES_APART * n, Timed::Bytes(pipe, asks.clone())))
            .collect()
    }

    fn trickle(&mut self, pipe: usize, block: BlockRef, apart: Duration, now: Instant) -> Vec<Act> {
        let mut acts = self.send(pipe, piece_header(block).to_vec());
        let from = block.begin as usize;
        let data = self.content.piece(block.piece)[from..from + block.len as usize].to_vec();
        let mut at = now;
        for byte in data.into_iter().take(TRICKLED_MAX) {
            at = at + apart;
            acts.push(self.later(at, Timed::Bytes(pipe, vec![byte])));
        }
        acts
    }

    /// Something like a block, and none that was asked for.
    fn no_block(&mut self, pipe: usize, block: BlockRef) -> Vec<Act> {
        let whole = block.len as usize;
        let (begin, len) = match self.manner.serves {
            Serves::Elsewhere => (block.begin + 1, whole),
            Serves::Short => (block.begin, whole / 2),
            _ => (block.begin, 0),
        };
        let message = Message::Piece { piece: block.piece, begin, data: &vec![0; len] }.to_vec();
        self.send(pipe, message)
    }

    /// Whether it spoils the block that is next to be sent.
    fn spoils(&mut self, block: BlockRef) -> bool {
        match self.manner.serves {
            Serves::Spoils(one_in) => {
                self.lot =
                    self.lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.lot >> 33).is_multiple_of(u64::from(one_in))
            }
            Serves::SpoilsEach(one_in) => (self.blocks - 1).is_multiple_of(one_in),
            Serves::SpoilsPiece(piece) => block.piece.0 == piece,
            _ => false,
        }
    }

    fn block(&mut self, pipe: usize, block: BlockRef, now: Instant) -> Vec<Act> {
        if self.pipes.get(&pipe).is_none_or(|s| s.is_choked || s.gone.is_some()) {
            return Vec::new();
        }
        self.blocks += 1;
        let from = block.begin as usize;
        let mut data = self.content.piece(block.piece)[from..from + block.len as usize].to_vec();
        if self.spoils(block) {
            data[0] ^= 0xff;
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
            Some(kind @ (Metadata::Good | Metadata::WrongBytes)) if from < raw.len() => {
                let to = raw.len().min(from + limits::METADATA_BLOCK_LEN as usize);
                let is_good = kind == Metadata::Good;
                let data = if is_good { raw[from..to].to_vec() } else { vec![b'x'; to - from] };
                let total_size = u32::try_from(raw.len()).unwrap_or(0);
                MetadataMessage::Data { block, total_size, data: &data }.encode()
            }
            Some(Metadata::OtherSize) => {
                let total_size = 3 * limits::METADATA_BLOCK_LEN;
                let data = vec![b'x'; limits::METADATA_BLOCK_LEN as usize];
                MetadataMessage::Data { block: 0, total_size, data: &data }.encode()
            }
            Some(Metadata::Rejects) => MetadataMessage::Reject { block }.encode(),
            _ => return Vec::new(),
        };
        let message = Message::Extended { id, payload: &answer }.to_vec();
        self.send(pipe, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::About;
    use unchoke_wire::Reserved;

    #[test]
    fn a_stream_that_ends_half_ends_after_what_was_to_be_said() {
        let content = Content::random(1, 64 << 10, 16 << 10, About::default());
        let unchoke = Message::Unchoke.to_vec();
        let manner = Manner {
            retorts: vec![Retort { to: unchoke[4], says: b"asks".to_vec(), times: 1 }],
            ends: Some(Ends::Half(Duration::from_secs(2))),
            ..Manner::default()
        };
        let mut peer = BadPeer::new(&content, manner, *b"-half-000000", 1);
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        peer.joined(0, true, at(0));
        let other =
            Handshake { reserved: Reserved::default(), info_hash: content.hash(), peer_id: PeerId([7; 20]) };
        peer.received(0, &other.encode(), at(0));
        assert_eq!(peer.timer(at(2_000)), [Act::WakeAt(at(2_100))]);
        assert_eq!(peer.received(0, &unchoke, at(2_050)), [Act::Send(0, b"asks".to_vec())]);
        assert_eq!(peer.timer(at(2_100)), [Act::Finish(0)]);
    }
}
