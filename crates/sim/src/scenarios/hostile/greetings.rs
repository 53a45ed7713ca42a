//! Rows 1 to 10: how a connection begins.

use super::{Actor, ROW, Reaction, Row, Scene, Victim, each, millis, one, secs};
use crate::bad_peer::{Dials, Greeting, Manner};
use crate::marks::Mark;
use unchoke_engine::hub::{PENDING_MAX, PENDING_PER_IP_MAX};
use unchoke_wire::{PeerId, WireHash};

/// Peers that connect at once from addresses of their own: more than may wait.
const CROWD: u32 = 540;

pub(super) const ROWS: &[Row] = &[
    //= H3b-1
    Row {
        number: 1,
        name: "hostile/01-silence",
        what: "connects and sends nothing: closed at 10 s",
        lasts: secs(13),
        cast: |_| one(greets(Greeting::Silent), Reaction::Silence(millis(11_500))),
        ..ROW
    },
    //= H3b-2
    Row {
        number: 2,
        name: "hostile/02-slow-handshake",
        what: "a handshake of one byte a second, or of the 68 in 13.6 s: closed at 10 s",
        lasts: secs(13),
        cast: |_| {
            // the second one has named its torrent by then
            let paces = [secs(1), millis(200)];
            let drip = |pace| Actor::new(greets(Greeting::Drip(pace)), Reaction::Close(millis(11_500)));
            paces.map(drip).into()
        },
        ..ROW
    },
    //= H3b-3
    Row {
        number: 3,
        name: "hostile/03-other-protocol",
        what: "another protocol: closed without an answer",
        cast: |_| {
            let texts = [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x13BitTorrent protocoX", b"\xff"];
            let bytes = texts.into_iter().map(<[u8]>::to_vec);
            bytes.map(|b| Actor::new(greets(Greeting::Bytes(b)), Reaction::Silence(secs(2)))).collect()
        },
        ..ROW
    },
    //= H3b-4
    Row {
        number: 4,
        name: "hostile/04-unknown-hash",
        what: "an info-hash nobody has: closed without a byte",
        cast: |_| one(greets(Greeting::OtherHash(WireHash([0xee; 20]))), Reaction::Silence(secs(2))),
        ..ROW
    },
    //= H3b-5
    Row {
        number: 5,
        name: "hostile/05-own-id",
        what: "our own peer id: closed, and not dialled again",
        lasts: secs(20),
        cast: |_| one(greets(Greeting::OwnId), Reaction::Close(secs(2))),
        check: dialled_once,
        ..ROW
    },
    //= H3b-6
    Row {
        number: 6,
        name: "hostile/06-same-id",
        what: "a peer id that another address has: the newer connection is closed",
        is_dialled: false,
        cast: |_| {
            let id = |after| Manner {
                peer_id: Some(PeerId::ours(*b"twice-taken!")),
                dials: Dials { after, ..Dials::default() },
                ..Manner::default()
            };
            vec![Actor::new(id(secs(0)), Reaction::Stay), Actor::new(id(secs(1)), Reaction::Close(secs(2)))]
        },
        ..ROW
    },
    //= H3b-7
    Row {
        number: 7,
        name: "hostile/07-connects-one-address",
        what: "10,000 connects a second from one address: 128 may wait, the rest is refused",
        is_dialled: false,
        lasts: secs(13),
        cast: |scope| {
            let dials = Dials { count: scope.flood / 10, apart: millis(1) / 10, ..Dials::default() };
            one(Manner { dials, ..greets(Greeting::Silent) }, Reaction::Many)
        },
        mark: Some(Mark::ConnectsRefused),
        check: few_wait_of_one_address,
        ..ROW
    },
    //= H3b-8
    Row {
        number: 8,
        name: "hostile/08-connects-many-addresses",
        what: "10,000 connects a second from many addresses: 512 may wait, and honest peers get in",
        victim: Victim::Seed,
        comes_first: true,
        is_dialled: false,
        lasts: secs(1),
        cast: |_| {
            let after = |n| Dials { after: millis(1) / 10 * n, ..Dials::default() };
            let silent = |n| Manner { dials: after(n), ..greets(Greeting::Silent) };
            (0..CROWD).map(|n| Actor::new(silent(n), Reaction::Many)).collect()
        },
        mark: Some(Mark::SilentDisplaced),
        check: few_wait_in_all,
        ..ROW
    },
    //= H3b-9
    Row {
        number: 9,
        name: "hostile/09-length-4-gib",
        what: "a length of 0xffffffff: closed on the prefix",
        cast: |_| each([vec![0xff; 4]], Reaction::Close(secs(2))),
        ..ROW
    },
    //= H3b-10
    Row {
        number: 10,
        name: "hostile/10-length-1-mib",
        what: "a length of 1 MiB and 1: closed on the prefix; each message at its own limit and 1",
        cast: |_| {
            let mut actors = each([vec![0, 0x10, 0, 1]], Reaction::Close(secs(2)));
            // five bytes each: the length and the id
            let heads = [(5u8, 262_146u32), (7, 16_394), (20, 131_075), (4, 6), (6, 14)];
            let heads = heads.map(|(id, len)| [&len.to_be_bytes()[..], &[id]].concat());
            actors.extend(each(heads, Reaction::Close(secs(2))));
            actors
        },
        ..ROW
    },
];

fn greets(greeting: Greeting) -> Manner {
    Manner { greeting, ..Manner::default() }
}

fn dialled_once(scene: &Scene) -> Result<(), String> {
    let addr = scene.world.host(scene.bad[0]).addr();
    let dials = scene.world.host(scene.victim).dialled.iter().filter(|a| **a == addr).count();
    if dials <= 1 { Ok(()) } else { Err(format!("what is ourselves was dialled {dials} times")) }
}

fn few_wait_of_one_address(scene: &Scene) -> Result<(), String> {
    let pipes = scene.actor(scene.bad[0]).pipes();
    let (made, refused) = pipes.fold((0, 0), |(made, refused), p| {
        let is_refused = p.gone.is_some_and(|at| at.since(p.since) < secs(1)) && p.bytes == 0;
        (made + 1, refused + usize::from(is_refused))
    });
    // an address has its share once a quarter of the places is taken
    let most = PENDING_MAX / 4 + PENDING_PER_IP_MAX;
    let is_right = scene.pending_max <= most && made - refused <= most;
    if is_right {
        Ok(())
    } else {
        Err(format!("{} waited at once, {refused} of {made} were refused", scene.pending_max))
    }
}

fn few_wait_in_all(scene: &Scene) -> Result<(), String> {
    let of = |host: &crate::HostId| scene.actor(*host).pipes().filter(|p| p.gone.is_some()).count();
    let gone: usize = scene.bad.iter().map(of).sum();
    let is_right = scene.pending_max <= PENDING_MAX && gone >= CROWD as usize - PENDING_MAX;
    if is_right { Ok(()) } else { Err(format!("{} waited at once, {gone} had to go", scene.pending_max)) }
}
