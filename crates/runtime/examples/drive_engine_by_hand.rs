//! The engine without sockets, threads or clocks: two engines exchange a piece in memory, and time is a number.

use std::collections::VecDeque;
use std::net::SocketAddr;

use unchoke_engine::engine::Engine;
use unchoke_engine::input::{
    AddTorrent, Discovery, PeerSource, TorrentSource, Totals, Verified, VerifyOutcome,
};
use unchoke_engine::output::{SendPart, SendPlan};
use unchoke_engine::{Command, ConnId, Event, Input, Output, Settings, ShardId, Ticket, TorrentId};
use unchoke_wire::metainfo::MetainfoBuilder;
use unchoke_wire::metainfo::build::BuildFile;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, Metainfo};

const LEN: usize = 40_000;
const PIECE_LEN: u32 = 65_536;

/// One side: an engine, its one torrent and connection, and what it holds.
struct Side {
    engine: Engine,
    addr: SocketAddr,
    torrent: Option<TorrentId>,
    conn: Option<ConnId>,
    data: Option<Vec<u8>>,
    /// Bytes on their way to the other side.
    sent: Vec<u8>,
    /// A dial the other side has to accept.
    dials: Option<ConnId>,
    is_complete: bool,
}

impl Side {
    fn new(n: u8, data: Option<Vec<u8>>) -> Self {
        Side {
            engine: Engine::new(ShardId(n), Settings::default(), [n; 32], Instant::ZERO),
            addr: SocketAddr::from(([127, 0, 0, n], 6881)),
            torrent: None,
            conn: None,
            data,
            sent: Vec::new(),
            dials: None,
            is_complete: false,
        }
    }

    /// Hands over an input, does what the engine says, and goes on with what follows from that.
    fn input(&mut self, input: Input<'_>, now: Instant) {
        let mut outputs: VecDeque<Output> = self.engine.handle(input, now).collect();
        while let Some(output) = outputs.pop_front() {
            let more: Vec<Output> = match output {
                Output::Adopt { conn, .. } => {
                    self.conn = Some(conn);
                    Vec::new()
                }
                Output::Connect { conn, .. } => {
                    (self.conn, self.dials) = (Some(conn), Some(conn));
                    Vec::new()
                }
                Output::WantSend { conn } => self.engine.handle(Input::SendReady { conn }, now).collect(),
                Output::Send { conn, plan } => {
                    let bytes = self.write(plan);
                    let mut more: Vec<Output> =
                        self.engine.handle(Input::Sent { conn, bytes }, now).collect();
                    more.extend(self.engine.handle(Input::SendReady { conn }, now));
                    more
                }
                Output::Verify(job) => {
                    let mut digest = [[0; 20]];
                    unchoke_hash::sha1_batch(&[&job.data], &mut digest);
                    assert_eq!(digest[0], job.expected);
                    self.data = Some(job.data.to_vec());
                    let outcome = VerifyOutcome::Good { block_hashes: Vec::new() };
                    let (torrent, piece, data) = (job.torrent, job.piece, job.data);
                    let done = vec![Verified { torrent, piece, outcome, data }];
                    self.engine.handle(Input::Verified { done }, now).collect()
                }
                Output::Event(Event::Added { torrent, .. }) => {
                    self.torrent = Some(torrent);
                    let have = if self.data.is_some() { Bitfield::all(1) } else { Bitfield::none(1) };
                    let ready = Command::StorageReady { torrent, have, wanted: None, partials: Vec::new() };
                    self.engine.handle(Input::Command(ready), now).collect()
                }
                Output::Event(Event::Completed { .. }) => {
                    self.is_complete = true;
                    Vec::new()
                }
                _ => Vec::new(),
            };
            outputs.extend(more);
        }
    }

    fn write(&mut self, plan: SendPlan) -> u64 {
        let before = self.sent.len();
        for part in plan.parts() {
            match part {
                SendPart::Bytes(bytes) => self.sent.extend_from_slice(bytes),
                SendPart::Block(block) => {
                    let data = self.data.as_ref().expect("only who has the piece sends of it");
                    let begin = usize::try_from(block.begin).expect("a u32 fits the address space");
                    let len = usize::try_from(block.len).expect("a u32 fits the address space");
                    self.sent.extend_from_slice(&data[begin..begin + len]);
                }
            }
        }
        u64::try_from(self.sent.len() - before).expect("a length fits 64 bits")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data: Vec<u8> = (0u8..=255).cycle().take(LEN).collect();
    let mut digest = [[0; 20]];
    unchoke_hash::sha1_batch(&[&data], &mut digest);
    let file =
        BuildFile { path: vec!["piece".to_owned()], length: u64::try_from(LEN)?, ..BuildFile::default() };
    let builder = MetainfoBuilder {
        name: "piece".to_owned(),
        files: vec![file],
        piece_len: PIECE_LEN,
        pieces: digest.to_vec(),
        ..MetainfoBuilder::default()
    };
    let metainfo = Metainfo::parse(&builder.build()?)?;
    let (mut seed, mut leech) = (Side::new(1, Some(data.clone())), Side::new(2, None));
    let mut now = Instant::ZERO;
    for side in [&mut seed, &mut leech] {
        let add = Command::Add(Box::new(AddTorrent {
            source: TorrentSource::Metainfo(Box::new(metainfo.clone())),
            discovery: Discovery { trackers: false, dht: false, lsd: false, dial: true },
            is_paused: false,
            is_sequential: false,
            totals: Totals::default(),
        }));
        side.input(Input::Command(add), now);
    }
    let torrent = leech.torrent.ok_or("the torrent was added")?;
    let peers = [seed.addr];
    leech.input(Input::PeersFound { torrent, source: PeerSource::User, peers: &peers }, now);

    // the shell of both: bytes go across, and when nothing moves, time goes to the next timeout
    for _ in 0..1000 {
        if leech.is_complete {
            break;
        }
        if let Some(conn) = leech.dials.take() {
            leech.input(Input::Connected { conn }, now);
        }
        let mut to_seed = std::mem::take(&mut leech.sent);
        let mut to_leech = std::mem::take(&mut seed.sent);
        let is_quiet = to_seed.is_empty() && to_leech.is_empty();
        if let (Some(conn), false) = (leech.conn, to_leech.is_empty()) {
            leech.input(Input::Received { conn, bytes: &mut to_leech }, now);
        }
        match (seed.conn, seed.torrent) {
            _ if to_seed.is_empty() => {}
            (Some(conn), _) => seed.input(Input::Received { conn, bytes: &mut to_seed }, now),
            (None, Some(torrent)) => {
                let (ticket, remote) = (Ticket(1), leech.addr);
                let received = &to_seed;
                seed.input(Input::Accepted { ticket, torrent, remote, received, since: now }, now);
            }
            (None, None) => return Err("the torrent was added".into()),
        }
        if is_quiet {
            let next = [seed.engine.next_timeout(), leech.engine.next_timeout()].into_iter().flatten().min();
            now = next.unwrap_or(now + Duration::from_secs(1)).max(now);
            seed.input(Input::Timeout, now);
            leech.input(Input::Timeout, now);
        }
    }
    assert!(leech.is_complete && leech.data == Some(data), "the piece arrived as it was");
    println!("{LEN} bytes exchanged in {now:?} of a time that nobody waited for");
    Ok(())
}
