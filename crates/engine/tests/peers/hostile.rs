//! Whatever peers send, nothing panics and all that is counted twice is counted alike.

use crate::net::{Content, Net, Puppet, modern, plain};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unchoke_engine::{Command, Settings};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, BlockRef, Message, PieceIndex};

const PIECES: u32 = 6;

fn any_block(rng: &mut ChaCha8Rng) -> BlockRef {
    let beyond = u32::from(rng.random_ratio(1, 50));
    let piece = PieceIndex(rng.random_range(0..PIECES + beyond));
    let begin = rng.random_range(0..2) * 16_384;
    BlockRef { piece, begin, len: if rng.random_ratio(1, 40) { rng.random_range(0..20_000) } else { 16_384 } }
}

/// A message that is well-formed, and mostly one that a peer may send.
fn any_message(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let piece = PieceIndex(rng.random_range(0..PIECES));
    let bits = [rng.random_range(0..64u8) << 2];
    let message = match rng.random_range(0..18) {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 | 3 => Message::Unchoke,
        4 => Message::Interested,
        5 => Message::NotInterested,
        6 => Message::Have(piece),
        7 => Message::Bitfield(&bits),
        8 => Message::HaveAll,
        9 => Message::HaveNone,
        10 => Message::Request(any_block(rng)),
        11 => Message::Cancel(any_block(rng)),
        12 => Message::Reject(any_block(rng)),
        13 => Message::Suggest(piece),
        14 => Message::AllowedFast(piece),
        15 => Message::Port(rng.random_range(0..9)),
        16 => {
            let hello =
                b"d1:md11:ut_metadatai2e6:ut_pexi1e11:upload_onlyi3e11:lt_donthavei7ee1:pi9000e4:reqqi9ee";
            Message::Extended { id: 0, payload: hello }
        }
        _ => return vec![0, 0, 0, 6, 20, 7, 0, 0, 0, u8::try_from(piece.0).unwrap()],
    };
    message.to_vec()
}

struct Play {
    net: Net,
    content: Content,
    peers: Vec<Puppet>,
    /// Blocks that were asked of each peer.
    asked: Vec<Vec<BlockRef>>,
    joined: u8,
}

impl Play {
    fn new() -> Self {
        let content = Content::new("h", PIECES as usize * 32_768 - 9_000, 32_768, false);
        let mut net = Net::new();
        let settings = Settings {
            upload_slots: 2,
            piece_buffer_bytes: 65_536,
            torrent_connections_max: 6,
            ..Settings::default()
        };
        net.add_host(settings);
        let mut have = Bitfield::none(PIECES);
        have.set(PieceIndex(0));
        net.add(0, &content, &have);
        Play { net, content, peers: Vec::new(), asked: Vec::new(), joined: 0 }
    }

    fn step(&mut self, rng: &mut ChaCha8Rng) {
        if self.peers.len() < 4 || rng.random_ratio(1, 60) {
            self.joined = self.joined.wrapping_add(1);
            let reserved = if rng.random() { modern() } else { plain() };
            self.peers.push(self.net.join(0, &self.content, self.joined, reserved));
            self.asked.push(Vec::new());
        }
        let at = rng.random_range(0..self.peers.len());
        let peer = self.peers[at];
        if self.net.is_closed(peer) {
            self.peers.swap_remove(at);
            self.asked.swap_remove(at);
            return;
        }
        self.asked[at].extend(crate::net::requests(&self.net.heard(peer)));
        match rng.random_range(0..30) {
            0 => self.net.run_for(Duration::from_millis(rng.random_range(1..5_000))),
            1 => self.net.close(peer),
            2 => self.part_of_block(rng, at),
            3 => self.owner(rng),
            4..=14 => self.give(rng, at),
            _ => {
                let bytes = any_message(rng);
                self.net.send(peer, &bytes);
            }
        }
    }

    fn give(&mut self, rng: &mut ChaCha8Rng, at: usize) {
        let Some(b) = self.asked[at].pop() else { return };
        let mut data = self.content.block(b).to_vec();
        data[0] ^= u8::from(rng.random_ratio(1, 12));
        let message = Message::Piece { piece: b.piece, begin: b.begin, data: &data };
        let bytes = message.to_vec();
        let cut = rng.random_range(0..bytes.len());
        self.net.send(self.peers[at], &bytes[..cut]);
        if rng.random_ratio(1, 5) {
            // somebody else says something while the block is on its way
            let other = self.peers[rng.random_range(0..self.peers.len())];
            if other != self.peers[at] {
                let between = any_message(rng);
                self.net.send(other, &between);
            }
        }
        self.net.send(self.peers[at], &bytes[cut..]);
    }

    /// A block that breaks off: the rest never comes.
    fn part_of_block(&mut self, rng: &mut ChaCha8Rng, at: usize) {
        let Some(b) = self.asked[at].pop() else { return };
        let bytes = Message::Piece { piece: b.piece, begin: b.begin, data: self.content.block(b) }.to_vec();
        self.net.send(self.peers[at], &bytes[..rng.random_range(0..bytes.len())]);
        self.net.close(self.peers[at]);
    }

    fn owner(&mut self, rng: &mut ChaCha8Rng) {
        let torrent = self.net.hosts[0].engine.torrents().next().unwrap();
        let command = match rng.random_range(0..6) {
            0 => Command::Pause(torrent),
            1 | 2 => Command::Resume(torrent),
            3 => Command::SavePartials(torrent),
            4 => Command::SetLimits { download: rng.random::<bool>().then_some(90_000), upload: None },
            _ => {
                let wanted = Bitfield::from_bytes(&[rng.random_range(0..64u8) << 2], PIECES).unwrap();
                Command::SetWanted { torrent, wanted }
            }
        };
        self.net.command(0, command);
        self.net.command(0, Command::Resume(torrent));
    }
}

#[test]
fn random_but_well_formed_peers_break_nothing() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut play = Play::new();
        (0..700).for_each(|_| play.step(&mut rng));
    }
}

#[test]
fn an_honest_seed_finishes_what_random_peers_left() {
    for seed in 100..112 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut play = Play::new();
        (0..400).for_each(|_| play.step(&mut rng));
        let Play { mut net, content, peers, .. } = play;
        peers.into_iter().for_each(|p| net.close(p));
        let torrent = net.hosts[0].engine.torrents().next().unwrap();
        net.command(0, Command::SetWanted { torrent, wanted: Bitfield::all(PIECES) });
        net.command(0, Command::SetLimits { download: None, upload: None });
        let seed_host = net.add_host(Settings::default());
        net.add(seed_host, &content, &Bitfield::all(PIECES));
        net.connect(0, torrent, seed_host);
        net.run_for(Duration::from_secs(90));
        assert!(net.has_all(0, torrent), "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_after_a_handshake_break_nothing(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
        id in 0u8..24,
    ) {
        let mut play = Play::new();
        let peer = play.net.join(0, &play.content, 1, modern());
        for part in parts {
            let len = u32::try_from(part.len() + 1).unwrap();
            let mut message = len.to_be_bytes().to_vec();
            message.push(id);
            message.extend(&part);
            play.net.send(peer, &message);
            play.net.send(peer, &part);
        }
    }

    #[test]
    fn random_bytes_instead_of_a_handshake_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut play = Play::new();
        let peer = play.net.dial(0, "90.0.0.1:40000".parse().unwrap());
        play.net.send(peer, &bytes);
        play.net.run_for(Duration::from_secs(11));
        prop_assert!(play.net.is_closed(peer) || bytes.is_empty());
    }
}

#[test]
fn a_connection_may_break_at_every_byte() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut whole = Vec::new();
    (0..30).for_each(|_| whole.extend(any_message(&mut rng)));
    for cut in 0..whole.len() {
        let mut play = Play::new();
        let peer = play.net.join(0, &play.content, 1, modern());
        play.net.send(peer, &whole[..cut]);
        play.net.close(peer);
        let torrent = play.net.hosts[0].engine.torrents().next().unwrap();
        assert!(play.net.hosts[0].engine.peers(torrent).is_empty());
    }
}
