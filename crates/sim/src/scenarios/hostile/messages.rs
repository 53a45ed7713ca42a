//! Rows 11 to 26: messages of little content, and what a peer says it has.

use super::{
    Actor, PIECES, ROW, Reaction, Row, Scene, Victim, each, fast, fast_first, first, millis, one, raw, secs,
};
use crate::bad_peer::{Ends, Manner, Metadata};
use crate::marks::Mark;
use unchoke_wire::{Message, PieceIndex, Reserved};

pub(super) const ROWS: &[Row] = &[
    //= H3b-11
    Row {
        number: 11,
        name: "hostile/11-keep-alives",
        what: "a million keep-alives: closed by their rate",
        cast: |scope| one(first(vec![0; 4 * scope.flood as usize]), Reaction::Close(secs(4))),
        ..ROW
    },
    //= H3b-12
    Row {
        number: 12,
        name: "hostile/12-unknown-messages",
        what: "an unknown message is let pass, a thousand are not",
        cast: |_| {
            let unknown = || raw(99, &[1, 2, 3]);
            vec![
                Actor::new(first(unknown()), Reaction::Stay),
                Actor::new(first(unknown().repeat(1001)), Reaction::Close(secs(4))),
            ]
        },
        ..ROW
    },
    //= H3b-13
    Row {
        number: 13,
        name: "hostile/13-truncated",
        what: "a message that breaks off and the end of the stream: nothing is left of it",
        cast: |_| {
            let ends =
                |bytes: &[u8]| Manner { ends: Some(Ends::After(millis(500))), ..first(bytes.to_vec()) };
            let parts: [&[u8]; 5] =
                [&[0, 0], &[0, 0, 0, 5, 4, 0], &[0, 0, 0, 13, 6], &[0, 0, 0, 9, 20, 0], &[0, 0, 0x40, 9, 7]];
            parts.into_iter().map(|bytes| Actor::new(ends(bytes), Reaction::Leaves)).collect()
        },
        ..ROW
    },
    //= H3b-14
    Row {
        number: 14,
        name: "hostile/14-choke-with-payload",
        what: "choke, unchoke and interest with a payload: closed",
        cast: |_| each((0..4).map(|id| raw(id, &[1])), Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-15
    Row {
        number: 15,
        name: "hostile/15-have-beyond",
        what: "have of the piece after the last: closed",
        cast: |_| each([Message::Have(PieceIndex(PIECES)).to_vec()], Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-16
    Row {
        number: 16,
        name: "hostile/16-have-max",
        what: "have 0xffffffff: closed",
        cast: |_| each([Message::Have(PieceIndex(u32::MAX)).to_vec()], Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-17
    Row {
        number: 17,
        name: "hostile/17-same-have",
        what: "the same have a hundred times is let pass, a million times it is not",
        cast: |scope| {
            let have = |times| first(Message::Have(PieceIndex(7)).to_vec().repeat(times));
            vec![
                Actor::new(have(100), Reaction::Stay),
                Actor::new(have(scope.flood as usize), Reaction::Close(secs(4))),
            ]
        },
        ..ROW
    },
    //= H3b-18
    Row {
        number: 18,
        name: "hostile/18-bitfield-short",
        what: "a bitfield one byte too short, or empty: closed",
        cast: |_| each([raw(5, &[0xff; 3]), raw(5, &[])], Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-19
    Row {
        number: 19,
        name: "hostile/19-bitfield-long",
        what: "a bitfield one byte too long: closed",
        cast: |_| each([raw(5, &[0; 5])], Reaction::Close(secs(2))),
        ..ROW
    },
    // the suite would have the bits masked; BEP 3 asks for the connection to be dropped, which is stricter
    //= H3b-20
    Row {
        number: 20,
        name: "hostile/20-spare-bits",
        what: "a bitfield with a spare bit: closed, as BEP 3 has it",
        cast: |_| each([raw(5, &[0xff, 0xff, 0xff, 0xfe]), raw(5, &[0, 0, 0, 1])], Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-21
    Row {
        number: 21,
        name: "hostile/21-bitfield-late",
        what: "a bitfield after other messages: taken",
        cast: |_| {
            let late = [Message::Interested.to_vec(), raw(5, &[0xff, 0, 0, 0])].concat();
            one(first(late), Reaction::Stay)
        },
        check: |scene| pieces_are(scene, 8),
        ..ROW
    },
    //= H3b-22
    Row {
        number: 22,
        name: "hostile/22-bitfield-twice",
        what: "two bitfields: the last one counts",
        cast: |_| {
            let twice = [raw(5, &[0xff, 0xff, 0, 0]), raw(5, &[0xf0, 0, 0, 0])].concat();
            one(first(twice), Reaction::Stay)
        },
        check: |scene| pieces_are(scene, 4),
        ..ROW
    },
    //= H3b-23
    Row {
        number: 23,
        name: "hostile/23-all-and-none",
        what: "have-all and have-none in turn: taken, until there are too many of them",
        cast: |scope| {
            let turn = [Message::HaveAll.to_vec(), Message::HaveNone.to_vec()].concat();
            vec![
                Actor::new(fast_first(turn.repeat(50)), Reaction::Stay),
                Actor::new(fast_first(turn.repeat(scope.flood as usize / 2)), Reaction::Close(secs(4))),
            ]
        },
        check: |scene| pieces_are(scene, 0),
        ..ROW
    },
    //= H3b-24
    Row {
        number: 24,
        name: "hostile/24-fast-without-fast",
        what: "have-all and the other fast messages from a peer that does not speak them: closed",
        cast: |_| {
            let block = super::block(0, 0, 16_384);
            let messages = [
                Message::HaveAll,
                Message::HaveNone,
                Message::Suggest(PieceIndex(0)),
                Message::AllowedFast(PieceIndex(0)),
                Message::Reject(block),
            ];
            each(messages.map(|m| m.to_vec()), Reaction::Close(secs(2)))
        },
        ..ROW
    },
    //= H3b-25
    Row {
        number: 25,
        name: "hostile/25-early-claims",
        mark: Some(Mark::EarlyClaimClosed),
        what: "claims before the metadata is there that contradict it: closed once it is",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let mut actors =
                each([raw(5, &[0xff; 3]), raw(5, &[0; 5]), raw(5, &[0xff; 4])], Reaction::Close(secs(5)));
            actors.extend(each([Message::Have(PieceIndex(PIECES)).to_vec()], Reaction::Close(secs(5))));
            actors.extend(each([Message::Have(PieceIndex(u32::MAX)).to_vec()], Reaction::Close(secs(2))));
            let honest = [raw(5, &[0xff, 0, 0, 0]), Message::Have(PieceIndex(20)).to_vec()].concat();
            actors.insert(0, Actor::new(first(honest), Reaction::Stay));
            // more than is kept of claims that nobody can judge yet
            let many = Message::Have(PieceIndex(3)).to_vec().repeat(10_100);
            actors.push(Actor::new(Manner { reserved: fast(), ..first(many) }, Reaction::Stay));
            actors
        },
        check: |scene| pieces_are(scene, 9),
        ..ROW
    },
    //= H3b-26
    Row {
        number: 26,
        name: "hostile/26-v2-bit",
        what: "the v2 bit of a peer that gives v1 metadata to a v1 magnet: no v2, and the transfer goes on",
        victim: Victim::Magnet,
        comes_first: true,
        cast: |_| {
            let mut reserved = Reserved::default().with_extension();
            reserved.0[7] |= 0x10;
            let manner = Manner { reserved, metadata: Some(Metadata::Good), ..Manner::plain_seed(PIECES) };
            one(manner, Reaction::Stay)
        },
        check: |scene| {
            let pipe = scene.actor(scene.bad[0]).pipes().next();
            let bits = pipe.and_then(|p| p.handshake).map(|h| h.reserved.0[7]);
            match bits {
                Some(bits) if bits & 0x10 == 0 => Ok(()),
                bits => Err(format!("v2 was offered: {bits:?}")),
            }
        },
        ..ROW
    },
];

/// The first actor is taken to have so many pieces.
fn pieces_are(scene: &Scene, pieces: u32) -> Result<(), String> {
    let seen = scene.seen(0)?.pieces;
    if seen == pieces { Ok(()) } else { Err(format!("{seen} pieces where {pieces} were told last")) }
}
