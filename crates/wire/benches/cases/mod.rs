//! What is measured of the codecs: each case makes a scene and repeats one step in it, for the clock of the benches
//! and for the counter of instructions alike.

use std::hint::black_box;
use std::net::SocketAddr;
use unchoke_wire::bencode::Document;
use unchoke_wire::compact::{self, Family, Remainder};
use unchoke_wire::krpc::{self, Kind, Method, NodeId, NodeInfo, Query, Response};
use unchoke_wire::message::piece_header;
use unchoke_wire::metainfo::MetainfoBuilder;
use unchoke_wire::metainfo::build::BuildFile;
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, Message, Metainfo, PieceIndex};

/// One thing to measure.
pub struct Case {
    /// Its name, `part/what/size`.
    pub name: &'static str,
    /// How many things of a kind one step does: messages, peers.
    pub units: u64,
    /// Makes the scene and gives the step.
    pub scene: fn() -> Box<dyn FnMut()>,
}

/// Pieces of the large sets.
const PIECES: u32 = 200_000;
/// Requests in one read.
const REQUESTS: u32 = 250;
/// Peers in one tracker's answer.
const PEERS: u16 = 200;

/// Every case.
pub fn all() -> Vec<Case> {
    let case = |name, units, scene| Case { name, units, scene };
    vec![
        case("message/parse requests/250", REQUESTS.into(), parse_requests),
        case("message/encode requests/250", REQUESTS.into(), encode_requests),
        case("message/block heads/250", REQUESTS.into(), block_heads),
        case("bencode/document/1000 files", 1, bencode),
        case("bencode/torrent/1000 files", 1, torrent),
        case("krpc/decode get_peers", 1, || krpc_decode(&get_peers())),
        case("krpc/decode nodes", 1, || krpc_decode(&nodes())),
        case("krpc/encode get_peers", 1, || krpc_encode(get_peers())),
        case("krpc/encode nodes", 1, || krpc_encode(nodes())),
        case("compact/decode/200 peers", PEERS.into(), compact_decode),
        case("compact/encode/200 peers", PEERS.into(), compact_encode),
        case("bitfield/from bytes/200000", 1, bitfield_read),
        case("bitfield/walk a hundredth/200000", 1, || bitfield_walk(100)),
        case("bitfield/walk a half/200000", 1, || bitfield_walk(2)),
        case("bitfield/walk the missing/200000", 1, bitfield_missing),
        case("bitfield/none of use/200000", 1, bitfield_useless),
        case("bitfield/set and clear/200000", 1, bitfield_set),
    ]
}

fn block(i: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(i / 16), begin: i % 16 * BLOCK_LEN, len: BLOCK_LEN }
}

fn parse_requests() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    (0..REQUESTS).for_each(|i| Message::Request(block(i)).encode_into(&mut bytes));
    Box::new(move || {
        let mut rest = black_box(&bytes[..]);
        while let Ok(Some((message, len))) = Message::parse(rest) {
            black_box(message);
            rest = &rest[len..];
        }
    })
}

fn encode_requests() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    Box::new(move || {
        bytes.clear();
        (0..REQUESTS).for_each(|i| Message::Request(black_box(block(i))).encode_into(&mut bytes));
        black_box(&bytes);
    })
}

fn block_heads() -> Box<dyn FnMut()> {
    Box::new(|| (0..REQUESTS).for_each(|i| _ = black_box(piece_header(black_box(block(i))))))
}

fn torrent_bytes() -> Vec<u8> {
    let file = |i: u32| BuildFile {
        path: vec![format!("folder {}", i / 100), format!("file {i}")],
        length: 1 << 20,
        ..BuildFile::default()
    };
    let builder = MetainfoBuilder {
        name: "bench".to_owned(),
        files: (0..1000).map(file).collect(),
        is_multi_file: true,
        piece_len: 1 << 20,
        pieces: vec![[7; 20]; 1000],
        trackers: vec![vec!["http://tracker.example/announce".to_owned()]],
        ..MetainfoBuilder::default()
    };
    builder.build().expect("a made-up torrent is well-formed")
}

fn bencode() -> Box<dyn FnMut()> {
    let bytes = torrent_bytes();
    Box::new(move || _ = black_box(Document::parse(black_box(&bytes)).expect("it was built just now")))
}

fn torrent() -> Box<dyn FnMut()> {
    let bytes = torrent_bytes();
    Box::new(move || _ = black_box(Metainfo::parse(black_box(&bytes)).expect("it was built just now")))
}

fn message(kind: Kind) -> krpc::Message {
    krpc::Message { transaction: vec![1, 2], kind, version: None, is_read_only: false, ip: None }
}

fn get_peers() -> krpc::Message {
    let method = Method::GetPeers { info_hash: NodeId([9; 20]), no_seeds: false, scrape: false };
    message(Kind::Query(Query { id: NodeId([7; 20]), want: None, method }))
}

fn nodes() -> krpc::Message {
    let node = |i: u8| NodeInfo { id: NodeId([i; 20]), addr: SocketAddr::from(([10, 0, 0, i], 6881)) };
    let response = Response { nodes: Some((1..9).map(node).collect()), ..Response::new(NodeId([7; 20])) };
    message(Kind::Response(response))
}

fn krpc_decode(message: &krpc::Message) -> Box<dyn FnMut()> {
    let bytes = message.encode();
    Box::new(move || {
        _ = black_box(krpc::Message::decode(black_box(&bytes)).expect("it was encoded just now"))
    })
}

fn krpc_encode(message: krpc::Message) -> Box<dyn FnMut()> {
    Box::new(move || _ = black_box(black_box(&message).encode()))
}

fn compact_peers() -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..PEERS {
        let [a, b] = i.to_be_bytes();
        compact::encode_into(SocketAddr::from(([10, 0, a, b], 6881 + i)), &mut bytes);
    }
    bytes
}

fn compact_decode() -> Box<dyn FnMut()> {
    let bytes = compact_peers();
    Box::new(move || {
        let peers = compact::decode(black_box(&bytes), Family::V4, Remainder::Refuse);
        peers.expect("whole entries").for_each(|peer| _ = black_box(peer));
    })
}

fn compact_encode() -> Box<dyn FnMut()> {
    Box::new(|| _ = black_box(compact_peers()))
}

/// A set with each `nth` piece.
fn each(nth: usize) -> Bitfield {
    let mut set = Bitfield::none(PIECES);
    (0..PIECES).step_by(nth).for_each(|p| _ = set.set(PieceIndex(p)));
    set
}

fn bitfield_read() -> Box<dyn FnMut()> {
    let set = each(2);
    Box::new(move || {
        black_box(Bitfield::from_bytes(black_box(set.as_bytes()), PIECES).expect("the bytes of a set"));
    })
}

fn bitfield_walk(nth: usize) -> Box<dyn FnMut()> {
    let set = each(nth);
    Box::new(move || black_box(&set).iter().for_each(|p| _ = black_box(p)))
}

fn bitfield_missing() -> Box<dyn FnMut()> {
    let set = each(2);
    Box::new(move || black_box(&set).missing().for_each(|p| _ = black_box(p)))
}

/// A peer that has nothing we lack.
fn bitfield_useless() -> Box<dyn FnMut()> {
    let set = each(2);
    Box::new(move || assert!(!black_box(&set).has_any_not_in(black_box(&set))))
}

fn bitfield_set() -> Box<dyn FnMut()> {
    let mut set = each(2);
    let mut turn = 0;
    Box::new(move || {
        turn = (turn + 7919) % PIECES;
        let piece = PieceIndex(turn);
        if !set.clear(piece) {
            set.set(piece);
        }
    })
}
