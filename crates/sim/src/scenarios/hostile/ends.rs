//! Rows 73 to 76: connections that end, or are of no use; and what looks odd and is right.

use super::{
    Actor, PIECES, ROW, Reaction, Row, Scene, Victim, extended, fast_first, first, hello, millis, one, raw,
    secs,
};
use crate::bad_peer::{Dials, Ends, Greeting, Manner, Retort, Serves};
use crate::marks::Mark;
use unchoke_wire::message::id;
use unchoke_wire::{Message, Reserved};

/// Connections of row 73, each cut at a byte of its own.
const CUTS: usize = 12;
/// Bytes of a session up to its first block, and some of that.
const SESSION: usize = 420;

pub(super) const ROWS: &[Row] = &[
    //= H3b-73
    Row {
        number: 73,
        name: "hostile/73-ends-anywhere",
        what: "a session that ends at any of its bytes: nothing is left of it",
        cast: |scope| {
            let seed = usize::try_from(scope.seed % 1000).unwrap_or(0);
            let at = |n: usize| (seed * CUTS + n * SESSION / CUTS) % SESSION;
            (0..CUTS).map(|n| Actor::new(session(at(n)), Reaction::Leaves)).collect()
        },
        ..ROW
    },
    //= H3b-74
    Row {
        number: 74,
        name: "hostile/74-half-close",
        mark: Some(Mark::HalfClosed),
        what: "a peer that asks, ends its stream and reads on: it gets what it asked for, and is closed",
        victim: Victim::Seed,
        cast: |_| {
            let ask = Message::Request(super::block(0, 0, 16_384)).to_vec();
            let asks = Manner {
                retorts: vec![Retort { to: id::UNCHOKE, says: ask, times: 1 }],
                ends: Some(Ends::Half(secs(2))),
                ..first(Message::Interested.to_vec())
            };
            vec![Actor::new(asks, Reaction::Close(secs(2))).hears("piece", 1..=1)]
        },
        // a busy machine takes its time to unchoke it
        lasts: secs(24),
        ..ROW
    },
    //= H3b-75
    Row {
        number: 75,
        name: "hostile/75-never-unchokes",
        what: "seeds that never unchoke take all places: one is closed for a peer that is waiting",
        comes_first: true,
        // the honest peer waits for a place
        slowdown_max: 2_000,
        settings: |s| s.torrent_connections_max = 3,
        mark: Some(Mark::UngivingReplaced),
        cast: |_| {
            let never = Manner { unchokes: false, ..Manner::plain_seed(PIECES) };
            (0..3).map(|_| Actor::new(never.clone(), Reaction::Many)).collect()
        },
        check: |scene| {
            let gone =
                scene.bad.iter().filter(|b| scene.actor(**b).pipes().any(|p| p.gone.is_some())).count();
            if gone > 0 { Ok(()) } else { Err("nobody was replaced".to_owned()) }
        },
        ..ROW
    },
    //= H3b-76
    Row {
        number: 76,
        name: "hostile/76-connect-and-close",
        what: "100 connections a second that end at once: refused after a while; dialled ever more seldom",
        lasts: secs(16),
        cast: |_| {
            let flutters = Manner {
                dials: Dials { count: 1_000, apart: millis(10), ..Dials::default() },
                ends: Some(Ends::After(millis(1))),
                ..Manner::default()
            };
            one(flutters, Reaction::Many)
        },
        mark: Some(Mark::FlutterRefused),
        check: flutter,
        ..ROW
    },
];

/// What looks odd and is right: all of it stays.
pub const ODD: Row = Row {
    number: 0,
    name: "hostile/odd-and-right",
    what: "peers that look odd and break no rule: all stay",
    cast: odd,
    ..ROW
};

fn odd(_: &super::Scope<'_>) -> Vec<Actor> {
    let bits = || raw(id::BITFIELD, &[0xff, 0, 0, 0]);
    let stays = |manner| Actor::new(manner, Reaction::Stay);
    let drips = Manner { greeting: Greeting::Drip(millis(60)), ..Manner::default() };
    vec![
        Actor::new(drips, Reaction::AnsweredAt48),
        stays(first(raw(id::BITFIELD, &[0; 4]))),
        stays(Manner::default()),
        stays(fast_first(Message::HaveNone.to_vec())),
        stays(first([vec![0; 4], bits()].concat())),
        stays(Manner { reserved: extended(), ..first([hello(b"d1:mdee"), bits()].concat()) }),
        stays(Manner { reserved: Reserved([0xff; 8]), ..first(Message::HaveNone.to_vec()) }),
        stays(Manner { serves: Serves::Nothing, ..Manner::plain_seed(PIECES) }),
        stays(Manner { unchokes: false, ..Manner::plain_seed(PIECES) }),
        stays(first(Message::Request(super::block(0, 0, 32_768)).to_vec())),
    ]
}

/// All a peer may say, up to this byte.
fn session(at: usize) -> Manner {
    let says = [
        hello(b"d1:md11:lt_donthavei7e11:ut_metadatai2e6:ut_pexi1ee1:pi6881e4:reqqi250e1:v4:None6:yourip4:1234e"),
        Message::Bitfield(unchoke_wire::Bitfield::all(PIECES).as_bytes()).to_vec(),
        Message::Interested.to_vec(),
        Message::Have(unchoke_wire::PieceIndex(3)).to_vec(),
        Message::Request(super::block(0, 0, 16_384)).to_vec(),
        Message::Cancel(super::block(0, 0, 16_384)).to_vec(),
        Message::Port(6881).to_vec(),
        vec![0; 4],
        Message::Unchoke.to_vec(),
    ];
    Manner {
        reserved: extended(),
        first: says.concat(),
        ends: Some(Ends::AtByte(at)),
        serves: Serves::Good,
        unchokes: true,
        ..Manner::default()
    }
}

/// Who comes a hundred times a second is let in now and then only; who closes each time is dialled seldom.
fn flutter(scene: &Scene) -> Result<(), String> {
    let addr = scene.world.host(scene.bad[0]).addr();
    let dials = scene.world.host(scene.victim).dialled.iter().filter(|a| **a == addr).count();
    let answered =
        scene.actor(scene.bad[0]).pipes().filter(|p| p.is_dialler && p.handshake.is_some()).count();
    if dials <= 8 && answered <= 500 {
        Ok(())
    } else {
        Err(format!("dialled {dials} times, let in {answered} times of 1000"))
    }
}
