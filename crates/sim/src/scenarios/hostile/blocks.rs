//! Rows 37 to 46: what a peer sends that claims to be data, and what it says of pieces.

use super::{
    Actor, PIECES, ROW, Reaction, Row, Scene, each, fast, fast_first, first, millis, one, raw, secs,
};
use crate::bad_peer::{Manner, Serves};
use unchoke_wire::message::id;
use unchoke_wire::{Bitfield, Message, PieceIndex};

pub(super) const ROWS: &[Row] = &[
    //= H3b-37
    Row {
        number: 37,
        name: "hostile/37-unsolicited",
        what: "blocks nobody asked for: dropped, and closed after a hundred",
        cast: |_| {
            let block = || raw(id::PIECE, &[0; 8 + 16_384]);
            vec![
                Actor::new(first(block()), Reaction::Stay),
                Actor::new(first(block().repeat(105)), Reaction::Close(secs(4))),
            ]
        },
        ..ROW
    },
    //= H3b-38
    Row {
        number: 38,
        name: "hostile/38-wrong-place",
        what: "an answer with another begin or length than was asked for: closed",
        cast: |_| {
            let mut actors: Vec<Actor> = [Serves::Elsewhere, Serves::Short]
                .map(|serves| Actor::new(seed(serves), Reaction::Close(secs(4))))
                .into();
            let nowhere = raw(id::PIECE, &[0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3]);
            actors.extend(each([nowhere], Reaction::Close(secs(2))));
            actors
        },
        ..ROW
    },
    //= H3b-39
    Row {
        number: 39,
        name: "hostile/39-empty-block",
        what: "blocks of no bytes: dropped, and closed after a hundred",
        cast: |_| {
            let empty = raw(id::PIECE, &[0; 8]);
            vec![
                Actor::new(seed(Serves::Empty), Reaction::Stay),
                Actor::new(first(empty.repeat(105)), Reaction::Close(secs(2))),
            ]
        },
        ..ROW
    },
    //= H3b-40
    Row {
        number: 40,
        name: "hostile/40-after-cancel",
        what: "a block that comes after its cancel: dropped, and counted as waste",
        lasts: secs(24),
        cast: |_| vec![Actor::new(seed(Serves::AfterCancel), Reaction::Stay).hears("cancel", 1..=500)],
        check: |scene| {
            let waste = scene.world.checkers().waste(scene.victim);
            if waste.useless > 0 { Ok(()) } else { Err(format!("nothing was counted: {waste:?}")) }
        },
        ..ROW
    },
    //= H3b-41
    Row {
        number: 41,
        name: "hostile/41-one-bad-block",
        what: "one spoilt block of 64: its sender is banned, and nobody else",
        is_dialled: false,
        lasts: secs(20),
        cast: |_| {
            let good = Actor::new(seed(Serves::Good), Reaction::Stay);
            vec![Actor::new(redials(Serves::SpoilsEach(64)), Reaction::Ban), good]
        },
        check: |scene| failed_at_most(scene, 1),
        ..ROW
    },
    //= H3b-42
    Row {
        number: 42,
        name: "hostile/42-colluders",
        what: "two that spoil the same pieces: both are banned within three pieces",
        is_dialled: false,
        lasts: secs(20),
        cast: |_| {
            let spoils = || Actor::new(redials(Serves::Spoils(1)), Reaction::Ban);
            vec![spoils(), spoils()]
        },
        check: |scene| failed_at_most(scene, 6),
        ..ROW
    },
    //= H3b-43
    Row {
        number: 43,
        name: "hostile/43-last-piece",
        what: "the last piece, spoilt each time: banned after two at most",
        is_dialled: false,
        comes_first: true,
        lasts: secs(20),
        cast: |_| {
            let mut bits = Bitfield::none(PIECES);
            bits.set(PieceIndex(PIECES - 1));
            let has = Message::Bitfield(bits.as_bytes()).to_vec();
            let spoils = redials(Serves::SpoilsPiece(PIECES - 1));
            one(Manner { first: has, ..spoils }, Reaction::Ban)
        },
        check: |scene| failed_at_most(scene, 2),
        ..ROW
    },
    //= H3b-44
    Row {
        number: 44,
        name: "hostile/44-trickle",
        what: "one byte a second of a block: the block is got elsewhere, and taken back",
        lasts: secs(30),
        cast: |_| {
            let trickles = seed(Serves::Trickle(secs(1)));
            vec![Actor::new(trickles, Reaction::Stay).hears("cancel", 1..=500)]
        },
        ..ROW
    },
    //= H3b-45
    Row {
        number: 45,
        name: "hostile/45-fast-beyond",
        what: "suggest, reject and allowed-fast of what the torrent does not have: closed",
        cast: |_| {
            let messages = [
                Message::Suggest(PieceIndex(PIECES)),
                Message::AllowedFast(PieceIndex(PIECES)),
                Message::AllowedFast(PieceIndex(u32::MAX)),
                Message::Reject(super::block(PIECES, 0, 16_384)),
                Message::Reject(super::block(0, u32::MAX, 16_384)),
            ];
            let actor = |m: Message<'_>| Actor::new(fast_first(m.to_vec()), Reaction::Close(secs(2)));
            messages.into_iter().map(actor).collect()
        },
        ..ROW
    },
    // a reject may cross a request that was given up, so that one alone proves nothing
    //= H3b-46
    Row {
        number: 46,
        name: "hostile/46-reject-unasked",
        what: "rejects of what was never asked: closed after a hundred",
        cast: |_| {
            let reject = Message::Reject(super::block(0, 0, 16_384)).to_vec();
            vec![
                Actor::new(fast_first(reject.clone()), Reaction::Stay),
                Actor::new(fast_first(reject.repeat(105)), Reaction::Close(secs(2))),
                // and every request: it is asked no more than once a second
                Actor::new(Manner { reserved: fast(), ..seed(Serves::Rejects) }, Reaction::Stay)
                    .hears("request", 1..=200),
            ]
        },
        ..ROW
    },
];

/// A peer that has everything and serves like this.
fn seed(serves: Serves) -> Manner {
    Manner { serves, ..Manner::plain_seed(PIECES) }
}

/// The same, and comes again when it was closed.
fn redials(serves: Serves) -> Manner {
    Manner { redials: Some(millis(1_000)), ..seed(serves) }
}

/// No more pieces failed their check than this.
fn failed_at_most(scene: &Scene, pieces: u64) -> Result<(), String> {
    let stats = scene.world.host(scene.victim).engine.torrent_stats(scene.torrent);
    let corrupt = stats.map_or(0, |s| s.corrupt);
    let failed = corrupt.div_ceil(u64::from(super::PIECE_LEN));
    if (1..=pieces).contains(&failed) {
        Ok(())
    } else {
        Err(format!("{failed} pieces failed, 1 to {pieces} may"))
    }
}
