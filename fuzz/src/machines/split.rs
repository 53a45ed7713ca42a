//! What an engine understands of a peer does not depend on how the network cuts what the peer says.

use super::engine::CONTENT;
use crate::steps::BEGIN;
use std::net::SocketAddr;
use unchoke_engine::input::{AddTorrent, Discovery, TorrentSource, Totals};
use unchoke_engine::output::TraceMessage;
use unchoke_engine::{Command, ConnId, Engine, Event, Input, Output, Settings, ShardId, Ticket};
use unchoke_wire::{Bitfield, Handshake, PeerId, Reserved};

/// A seed reads the same messages from a stream, and closes it or not, in whatever pieces it comes.
pub fn engine_split(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = heard(stream, stream.len().max(1));
    for step in [1, usize::from(*cut).max(1)] {
        assert_eq!(heard(stream, step), whole, "in steps of {step}");
    }
}

/// The messages an engine read from a stream that comes `step` bytes at a time, and whether it closed it.
fn heard(stream: &[u8], step: usize) -> (Vec<TraceMessage>, bool) {
    let settings = Settings { trace: true, ..Settings::default() };
    let mut engine = Engine::new(ShardId(0), settings, [1; 32], BEGIN);
    let add = AddTorrent {
        source: TorrentSource::Metainfo(Box::new(CONTENT.metainfo.clone())),
        discovery: Discovery { trackers: false, dht: false, lsd: false, dial: false },
        is_paused: false,
        is_sequential: false,
        totals: Totals::default(),
    };
    let added = engine.handle(Input::Command(Command::Add(Box::new(add))), BEGIN).find_map(|o| match o {
        Output::Event(Event::Added { torrent, .. }) => Some(torrent),
        _ => None,
    });
    let torrent = added.expect("a new torrent is added");
    let have = Bitfield::all(CONTENT.metainfo.info.layout.piece_count());
    let ready = Command::StorageReady { torrent, have, wanted: None, partials: Vec::new() };
    engine.handle(Input::Command(ready), BEGIN).for_each(drop);
    let reserved = Reserved::default().with_fast().with_extension();
    let greeting = Handshake { reserved, info_hash: CONTENT.hash(), peer_id: PeerId([9; 20]) }.encode();
    let remote = SocketAddr::from(([80, 0, 0, 1], 7000));
    let accepted = Input::Accepted { ticket: Ticket(1), torrent, remote, received: &greeting, since: BEGIN };
    let mut conn: Option<ConnId> = None;
    for output in engine.handle(accepted, BEGIN) {
        if let Output::Adopt { conn: adopted, .. } = output {
            conn = Some(adopted);
        }
    }
    let conn = conn.expect("there is room");
    let (mut messages, mut is_closed) = (Vec::new(), false);
    for part in stream.chunks(step) {
        let mut bytes = part.to_vec();
        for output in engine.handle(Input::Received { conn, bytes: &mut bytes }, BEGIN) {
            match output {
                Output::Trace(trace) if !trace.is_sent => messages.push(trace.message),
                Output::Close { .. } => is_closed = true,
                _ => {}
            }
        }
    }
    engine.check_invariants();
    (messages, is_closed)
}
