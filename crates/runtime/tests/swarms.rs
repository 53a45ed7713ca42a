//! Many peers on real sockets: fifty sessions in one process, a seed with hundreds of leeches, a leech with hundreds
//! of seeds.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{Fixture, PATIENCE, leech, quiet, start};
use unchoke_engine::Settings;
use unchoke_runtime::{Session, SessionConfig};
use unchoke_wire::handshake::HANDSHAKE_LEN;
use unchoke_wire::{BLOCK_LEN, BlockRef, Handshake, Message, PeerId, PieceIndex, Reserved, WireHash};

/// One thread for torrents that also hashes and writes, and room for everybody.
fn lean() -> SessionConfig {
    let engine = Settings {
        connections_max: 600,
        torrent_connections_max: 600,
        upload_slots: 600,
        ..SessionConfig::loopback().engine
    };
    SessionConfig { shards: Some(1), workers: 0, engine, ..quiet() }
}

#[test]
fn fifty_sessions_in_one_process_complete_from_one_seed() {
    let fixture = Fixture::new("fifty", 1, &[("a", 600_000), ("b", 30_000)], 1 << 15);
    let target = tempfile::tempdir().unwrap();
    let seed = start(lean());
    fixture.seed(&seed);
    let leeches: Vec<Session> = (0..49).map(|_| start(lean())).collect();
    let mut addrs = vec![seed.local_addr()];
    let mut torrents = Vec::new();
    for (i, session) in leeches.iter().enumerate() {
        // each knows the seed and two who came before
        let known: Vec<SocketAddr> =
            addrs.iter().copied().take(1).chain(addrs.iter().copied().rev().take(2)).collect();
        torrents.push(leech(&fixture, session, &target.path().join(i.to_string()), &known));
        addrs.push(session.local_addr());
    }
    for (i, torrent) in torrents.iter().enumerate() {
        torrent.wait_complete(PATIENCE).unwrap();
        fixture.assert_same(&target.path().join(i.to_string()));
    }
}

#[test]
fn a_seed_serves_five_hundred_leeches_at_once() {
    let fixture = Fixture::small(2);
    let seed = start(lean());
    let torrent = fixture.seed(&seed);
    let blocks: Vec<BlockRef> = blocks(&fixture);
    let (addr, hash) = (seed.local_addr(), fixture.hash());
    let leeches: Vec<JoinHandle<u64>> = (0..500)
        .map(|n| {
            small_thread({
                let blocks = blocks.clone();
                move || take_all(addr, hash, n, &blocks)
            })
        })
        .collect();
    let got: u64 = leeches.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(got, 500 * fixture.metainfo.info.layout.total_len());
    assert_eq!(torrent.stats().unwrap().totals.uploaded, got);
}

#[test]
fn a_leech_completes_from_two_hundred_peers() {
    let fixture = Fixture::new("wide", 3, &[("a", 8 << 20)], 1 << 16);
    let target = tempfile::tempdir().unwrap();
    let data = std::fs::read(fixture.dir.path().join("wide").join("a")).unwrap();
    let data: &'static [u8] = Box::leak(data.into_boxed_slice());
    let hash = fixture.hash();
    let addrs: Vec<SocketAddr> = (0..200)
        .map(|n| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            small_thread(move || give_all(&listener, hash, n, data));
            addr
        })
        .collect();
    let session = start(lean());
    let torrent = leech(&fixture, &session, target.path(), &addrs);
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    assert_eq!(torrent.stats().unwrap().totals.downloaded, 8 << 20, "nothing came twice");
}

/// A thread of little stack, since there are hundreds.
fn small_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new().stack_size(128 << 10).spawn(run).unwrap()
}

fn blocks(fixture: &Fixture) -> Vec<BlockRef> {
    let layout = &fixture.metainfo.info.layout;
    let of = |piece: PieceIndex| {
        (0..layout.block_count(piece)).map(move |b| layout.block(piece, unchoke_wire::BlockIndex(b)))
    };
    layout.pieces().flat_map(of).collect()
}

fn hello(hash: WireHash, n: u16) -> Vec<u8> {
    let mut peer_id = [b'x'; 20];
    peer_id[..2].copy_from_slice(&n.to_be_bytes());
    Handshake { reserved: Reserved::default(), info_hash: hash, peer_id: PeerId(peer_id) }.encode().to_vec()
}

/// The next message of a stream: its id and payload.
fn message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).ok()?;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
        stream.read_exact(&mut payload).ok()?;
        if !payload.is_empty() {
            let id = payload.remove(0);
            return Some((id, payload));
        }
    }
}

/// Takes every block from a seed, all requests at once; the bytes that came.
fn take_all(addr: SocketAddr, hash: WireHash, n: u16, blocks: &[BlockRef]) -> u64 {
    let mut stream = support::connect(addr);
    let mut out = hello(hash, n);
    Message::Interested.encode_into(&mut out);
    stream.write_all(&out).unwrap();
    stream.read_exact(&mut [0; HANDSHAKE_LEN]).unwrap();
    let mut got = 0;
    let mut left = blocks.len();
    while left > 0 {
        match message(&mut stream).expect("the seed stays") {
            (1, _) => {
                let mut out = Vec::new();
                blocks.iter().for_each(|b| Message::Request(*b).encode_into(&mut out));
                stream.write_all(&out).unwrap();
            }
            (7, payload) => {
                got += u64::try_from(payload.len() - 8).unwrap();
                left -= 1;
            }
            _ => {}
        }
    }
    got
}

/// Answers every request of the one who connects.
fn give_all(listener: &TcpListener, hash: WireHash, n: u16, data: &[u8]) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream.read_exact(&mut [0; HANDSHAKE_LEN]).unwrap();
    let pieces = data.len() / (1 << 16);
    let mut out = hello(hash, n);
    Message::Bitfield(&vec![0xff; pieces / 8]).encode_into(&mut out);
    Message::Unchoke.encode_into(&mut out);
    stream.write_all(&out).unwrap();
    while let Some((id, payload)) = message(&mut stream) {
        if id != 6 {
            continue;
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let (piece, begin) = (number(0), number(4));
        let from = usize::try_from(piece * (1 << 16) + begin).unwrap();
        let bytes = &data[from..from + usize::try_from(BLOCK_LEN).unwrap()];
        let mut out = Vec::new();
        Message::Piece { piece: PieceIndex(piece), begin, data: bytes }.encode_into(&mut out);
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}
