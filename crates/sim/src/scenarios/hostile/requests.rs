//! Rows 27 to 36: what a peer asks for.

use super::{Actor, PIECE_LEN, PIECES, ROW, Reaction, Row, Victim, block, fast, millis, secs};
use crate::bad_peer::{Dials, Manner, Retort};
use crate::marks::Mark;
use unchoke_wire::message::id;
use unchoke_wire::{BlockRef, Message};

/// Bytes of a block.
const LEN: u32 = 16 << 10;

/// What the rows of this file have in common: the peer is unchoked at once.
const ASKED: Row = Row { victim: Victim::Seed, ..ROW };

pub(super) const ROWS: &[Row] = &[
    //= H3b-27
    Row {
        number: 27,
        name: "hostile/27-piece-beyond",
        what: "requests of pieces the torrent does not have: rejected",
        cast: |_| refused(&[block(PIECES, 0, LEN), block(u32::MAX, 0, LEN)]),
        ..ASKED
    },
    //= H3b-28
    Row {
        number: 28,
        name: "hostile/28-begin-beyond",
        what: "requests that begin beyond the piece: rejected",
        cast: |_| {
            let last = block(PIECES - 1, PIECE_LEN - 5_000, 1);
            refused(&[block(0, PIECE_LEN, 1), block(0, 1 << 31, LEN), last])
        },
        ..ASKED
    },
    //= H3b-29
    Row {
        number: 29,
        name: "hostile/29-length-0",
        what: "requests of no bytes: rejected",
        cast: |_| refused(&[block(0, 0, 0), block(3, LEN, 0)]),
        ..ASKED
    },
    //= H3b-30
    Row {
        number: 30,
        name: "hostile/30-length-huge",
        what: "requests of more than 16 KiB: rejected",
        cast: |_| {
            refused(&[
                block(0, 0, 1 << 31),
                block(0, 0, LEN + 1),
                block(0, 0, PIECE_LEN),
                block(0, 0, 128 << 10),
            ])
        },
        ..ASKED
    },
    //= H3b-31
    Row {
        number: 31,
        name: "hostile/31-overflow",
        what: "requests whose end overflows 32 bits: rejected",
        cast: |_| refused(&[block(0, u32::MAX, LEN), block(0, u32::MAX - 5, 6), block(0, 1, u32::MAX)]),
        ..ASKED
    },
    //= H3b-32
    Row {
        number: 32,
        name: "hostile/32-piece-we-lack",
        what: "requests of a piece we do not have: rejected",
        victim: Victim::Leech,
        comes_first: true,
        cast: |_| refused(&[block(0, 0, LEN), block(PIECES - 1, 0, LEN)]),
        ..ASKED
    },
    //= H3b-33
    Row {
        number: 33,
        name: "hostile/33-request-flood",
        mark: Some(Mark::RequestsClosed),
        what: "100,000 requests at once: those beyond the queue rejected, closed after 300 of them",
        cast: |scope| {
            // blocks of one byte, each another one
            let asks = (0..scope.flood).map(|n| block(n / PIECE_LEN, n % PIECE_LEN, 1));
            let asks: Vec<BlockRef> = asks.collect();
            let close = Reaction::Close(secs(5));
            vec![
                Actor::new(asks_when_unchoked(&asks, false), close),
                Actor::new(asks_when_unchoked(&asks, true), close),
            ]
        },
        ..ASKED
    },
    //= H3b-34
    Row {
        number: 34,
        name: "hostile/34-requests-while-choked",
        what: "requests for more than two seconds while choked: closed",
        cast: |_| {
            let ask = Message::Request(block(0, 0, LEN)).to_vec();
            let close = Reaction::Close(secs(9));
            let asks = Manner { later: vec![(millis(10), ask, 700)], ..Manner::default() };
            let fast = Manner { reserved: fast(), ..asks.clone() };
            vec![Actor::new(asks, close), Actor::new(fast, close)]
        },
        lasts: secs(10),
        ..ASKED
    },
    //= H3b-35
    Row {
        number: 35,
        name: "hostile/35-request-and-cancel",
        what: "requests and cancels in turn, 100,000 a second: closed by their rate",
        cast: |scope| {
            let ask = block(0, 0, LEN);
            let turn = [Message::Request(ask).to_vec(), Message::Cancel(ask).to_vec()].concat();
            let says = [Message::Unchoke.to_vec(), turn.repeat(scope.flood as usize)].concat();
            let close = Reaction::Close(secs(4));
            [false, true]
                .map(|is_fast| Actor::new(when_unchoked(says.clone(), is_fast), close).hears("piece", 0..=0))
                .into()
        },
        ..ASKED
    },
    //= H3b-36
    Row {
        number: 36,
        name: "hostile/36-fast-over-and-over",
        what: "a choked peer fetches what it is allowed again and again: closed after three times",
        is_dialled: false,
        settings: |s| s.upload_slots = 1,
        mark: Some(Mark::FastFetchesClosed),
        cast: |_| {
            let dials = Dials { after: millis(1_500), ..Dials::default() };
            let asks = |fast_fetches| Manner {
                reserved: fast(),
                first: Message::Interested.to_vec(),
                fast_fetches,
                dials,
                ..Manner::default()
            };
            vec![
                // five pieces of two blocks
                Actor::new(asks(3), Reaction::Stay).hears("piece", 25..=30),
                Actor::new(asks(8), Reaction::Close(secs(4))).hears("piece", 20..=30),
            ]
        },
        ..ASKED
    },
];

/// A peer that is interested and says this once it is unchoked.
fn when_unchoked(says: Vec<u8>, is_fast: bool) -> Manner {
    Manner {
        reserved: if is_fast { fast() } else { Default::default() },
        first: Message::Interested.to_vec(),
        retorts: vec![Retort { to: id::UNCHOKE, says, times: 1 }],
        ..Manner::default()
    }
}

fn asks_when_unchoked(blocks: &[BlockRef], is_fast: bool) -> Manner {
    when_unchoked(blocks.iter().flat_map(|b| Message::Request(*b).to_vec()).collect(), is_fast)
}

/// Two peers that ask for these: the one that speaks the fast extension hears a reject of each, the plain one nothing;
/// both stay.
fn refused(blocks: &[BlockRef]) -> Vec<Actor> {
    let count = blocks.len();
    let actor = |is_fast| Actor::new(asks_when_unchoked(blocks, is_fast), Reaction::Stay);
    vec![
        actor(false).hears("reject", 0..=0).hears("piece", 0..=0),
        actor(true).hears("reject", count..=count).hears("piece", 0..=0),
    ]
}
