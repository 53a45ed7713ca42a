//! Hostile peers, each beside an honest transfer that must not suffer: what each gets is in [`CASES`].

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Greeting, Manner, Seen, Serves};
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use unchoke_engine::input::Discovery;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};
use unchoke_wire::{
    Bitfield, BlockRef, Extension, ExtensionHandshake, ExtensionIds, PieceIndex, Reserved, WireHash,
};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] =
    &[Scenario { name: "hostile", what: "every hostile peer beside an honest transfer", run: all }];

/// Pieces of the torrent.
const PIECES: u32 = 20;
/// How long a case is watched.
const WATCHED: Duration = Duration::from_secs(40);

/// What must become of a hostile peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// It is closed within this many seconds, and gets no byte at all.
    SilentClose(u64),
    /// It is closed within this many seconds.
    Close(u64),
    /// It stays connected.
    Stay,
    /// It stays and is answered before byte 49 of its handshake went out.
    AnsweredAt48,
}

/// One hostile peer.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it does.
    pub name: &'static str,
    /// What becomes of it.
    pub reaction: Reaction,
    manner: fn() -> Manner,
}

fn fast() -> Reserved {
    Reserved::default().with_fast()
}

fn first(bytes: Vec<u8>) -> Manner {
    Manner { first: bytes, ..Manner::default() }
}

fn raw(id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 1).expect("short messages");
    [&len.to_be_bytes()[..], &[id], payload].concat()
}

fn greets(greeting: Greeting) -> Manner {
    Manner { greeting, ..Manner::default() }
}

fn request(piece: u32, begin: u32, len: u32) -> Vec<u8> {
    Message::Request(BlockRef { piece: PieceIndex(piece), begin, len }).to_vec()
}

fn pex_spam() -> Manner {
    let peers =
        (1..=50u8).map(|i| PexPeer { addr: ([10, 9, 8, i], 6881).into(), flags: PexFlags::default() });
    let message = PexMessage { added: peers.collect(), dropped: Vec::new(), surplus: 0 }.encode();
    let id = (1..=255).find(|id| Extension::from_local_id(*id) == Some(Extension::UtPex)).unwrap_or(1);
    let ours =
        ExtensionHandshake { ids: ExtensionIds::ours([Extension::UtPex]), ..ExtensionHandshake::default() };
    Manner {
        reserved: Reserved::default().with_extension(),
        first: Message::Extended { id: 0, payload: &ours.encode() }.to_vec(),
        later: vec![(Duration::from_secs(1), Message::Extended { id, payload: &message }.to_vec(), 20)],
        ..Manner::default()
    }
}

/// Every hostile peer and what becomes of it.
pub const CASES: &[Case] = &[
    Case { name: "says nothing", reaction: Reaction::SilentClose(11), manner: || greets(Greeting::Silent) },
    Case {
        name: "another protocol",
        reaction: Reaction::SilentClose(2),
        manner: || greets(Greeting::Bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec())),
    },
    Case {
        name: "an unknown info-hash",
        reaction: Reaction::SilentClose(2),
        manner: || greets(Greeting::OtherHash(WireHash([0xee; 20]))),
    },
    Case { name: "our own peer id", reaction: Reaction::Close(2), manner: || greets(Greeting::OwnId) },
    Case {
        name: "a handshake that drips in over seven seconds",
        reaction: Reaction::AnsweredAt48,
        manner: || greets(Greeting::Drip(Duration::from_millis(100))),
    },
    Case {
        name: "a handshake that drips in over a minute",
        reaction: Reaction::Close(12),
        manner: || greets(Greeting::Drip(Duration::from_millis(1000))),
    },
    Case { name: "a bitfield too short", reaction: Reaction::Close(2), manner: || first(raw(5, &[0, 0])) },
    Case { name: "a bitfield too long", reaction: Reaction::Close(2), manner: || first(raw(5, &[0; 4])) },
    Case { name: "a bitfield of no bytes", reaction: Reaction::Close(2), manner: || first(raw(5, &[])) },
    Case {
        name: "a bitfield with a spare bit",
        reaction: Reaction::Close(2),
        manner: || first(raw(5, &[0, 0, 0x08])),
    },
    Case { name: "a bitfield of zeros", reaction: Reaction::Stay, manner: || first(raw(5, &[0, 0, 0])) },
    Case { name: "no bitfield", reaction: Reaction::Stay, manner: Manner::default },
    Case {
        name: "have-none",
        reaction: Reaction::Stay,
        manner: || Manner { reserved: fast(), ..first(Message::HaveNone.to_vec()) },
    },
    Case {
        name: "have-all without the fast extension",
        reaction: Reaction::Close(2),
        manner: || first(Message::HaveAll.to_vec()),
    },
    Case {
        name: "a late bitfield",
        reaction: Reaction::Stay,
        manner: || first([Message::Interested.to_vec(), raw(5, &[0xff, 0, 0])].concat()),
    },
    Case {
        name: "a keep-alive before the bitfield",
        reaction: Reaction::Stay,
        manner: || first([vec![0; 4], raw(5, &[0xff, 0, 0])].concat()),
    },
    Case {
        name: "an extension handshake before the bitfield",
        reaction: Reaction::Stay,
        manner: || Manner {
            reserved: Reserved::default().with_extension(),
            ..first([raw(20, b"\0d1:mdee"), raw(5, &[0xff, 0, 0])].concat())
        },
    },
    Case {
        name: "all 64 reserved bits",
        reaction: Reaction::Stay,
        manner: || Manner { reserved: Reserved([0xff; 8]), ..first(Message::HaveNone.to_vec()) },
    },
    Case {
        name: "have of no piece of the torrent",
        reaction: Reaction::Close(2),
        manner: || first(Message::Have(PieceIndex(PIECES)).to_vec()),
    },
    Case {
        name: "have 0xffffffff",
        reaction: Reaction::Close(2),
        manner: || first(Message::Have(PieceIndex(u32::MAX)).to_vec()),
    },
    Case {
        name: "a length of 4 GiB",
        reaction: Reaction::Close(2),
        manner: || first(vec![0xff, 0xff, 0xff, 0xff]),
    },
    Case {
        name: "a length of 1 MiB and 1",
        reaction: Reaction::Close(2),
        manner: || first(vec![0, 0x10, 0, 1]),
    },
    Case { name: "choke with a payload", reaction: Reaction::Close(2), manner: || first(raw(0, &[1])) },
    Case { name: "unchoke with a payload", reaction: Reaction::Close(2), manner: || first(raw(1, &[1])) },
    Case {
        name: "a thousand requests while choked",
        reaction: Reaction::Close(20),
        manner: || Manner {
            later: vec![(Duration::from_millis(10), request(0, 0, 16_384), 1000)],
            ..Manner::default()
        },
    },
    Case {
        name: "four hundred requests beyond the torrent",
        reaction: Reaction::Close(4),
        manner: || first(request(u32::MAX, u32::MAX, u32::MAX).repeat(400)),
    },
    Case { name: "one request too long", reaction: Reaction::Stay, manner: || first(request(0, 0, 32_768)) },
    Case {
        name: "unsolicited blocks",
        reaction: Reaction::Close(10),
        manner: || first([raw(7, &[0; 8 + 16_384])].concat().repeat(120)),
    },
    Case {
        name: "a block that is none of the torrent's",
        reaction: Reaction::Close(2),
        manner: || first(raw(7, &[0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3])),
    },
    Case {
        name: "rejects of what was never requested",
        reaction: Reaction::Close(4),
        manner: || Manner {
            reserved: fast(),
            ..first(
                Message::Reject(BlockRef { piece: PieceIndex(0), begin: 0, len: 16_384 })
                    .to_vec()
                    .repeat(200),
            )
        },
    },
    Case {
        name: "allowed-fast out of range",
        reaction: Reaction::Close(2),
        manner: || Manner { reserved: fast(), ..first(Message::AllowedFast(PieceIndex(PIECES)).to_vec()) },
    },
    Case {
        name: "a flood of keep-alives",
        reaction: Reaction::Close(4),
        manner: || first(vec![0; 4 * 1000]),
    },
    Case {
        name: "a thousand and one unknown messages",
        reaction: Reaction::Close(4),
        manner: || first(raw(99, &[1, 2, 3]).repeat(1001)),
    },
    Case {
        name: "an extension handshake that is no dictionary",
        reaction: Reaction::Close(2),
        manner: || Manner { reserved: Reserved::default().with_extension(), ..first(raw(20, b"\0i5e")) },
    },
    Case { name: "peer exchange every second", reaction: Reaction::Close(8), manner: pex_spam },
    Case {
        name: "never unchokes",
        reaction: Reaction::Stay,
        manner: || Manner { unchokes: false, ..Manner::plain_seed(PIECES) },
    },
    Case {
        name: "unchokes and serves nothing",
        reaction: Reaction::Stay,
        manner: || Manner { serves: Serves::Nothing, ..Manner::plain_seed(PIECES) },
    },
    Case {
        name: "rejects every request",
        reaction: Reaction::Stay,
        manner: || Manner { reserved: fast(), serves: Serves::Rejects, ..Manner::plain_seed(PIECES) },
    },
];

/// All cases in one world: each dials and is dialled beside an honest seed and an honest leech.
fn all(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, PIECES as usize * (64 << 10), 64 << 10, About::default());
    let victim = home(&mut world, false);
    // floods share the victim's line and must not delay what others send
    world.host_mut(victim).link.settings.rate = 100_000_000;
    let of_victim = swarm::add(&mut world, victim, &content, Bitfield::none(PIECES), BY_HAND);
    let mut bad = Vec::new();
    for case in CASES {
        let peer = world.add_bad_peer(&content, (case.manner)());
        world.bad_peer_dials(peer, victim);
        bad.push((case, peer));
    }
    world.run_for(Duration::from_secs(3));
    let seed = home(&mut world, false);
    let quiet = Discovery { dial: false, ..BY_HAND };
    swarm::add(&mut world, seed, &content, Bitfield::all(PIECES), quiet);
    swarm::introduce(&mut world, victim, of_victim, seed);
    world.run_for(WATCHED);
    for (case, peer) in &bad {
        let seen = world.bad_peer(*peer).pipes().next().cloned().unwrap_or_default();
        judge(case, &seen)?;
    }
    let is_done = swarm::is_complete(&world, victim, of_victim);
    ensure(is_done, || {
        let engine = &world.host(victim).engine;
        let peers: Vec<String> = engine.peers(of_victim).iter().map(|p| format!("{p:?}\n")).collect();
        format!(
            "the honest transfer did not complete: {:?}\n{}",
            engine.torrent_stats(of_victim),
            peers.concat()
        )
    })?;
    // the other way: the victim dials them
    let leech = home(&mut world, false);
    let of_leech = swarm::add(&mut world, leech, &content, Bitfield::none(PIECES), BY_HAND);
    for (_, peer) in &bad {
        swarm::introduce(&mut world, leech, of_leech, *peer);
    }
    swarm::introduce(&mut world, leech, of_leech, seed);
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, leech, of_leech));
    ensure(is_done, || "the leech that dials hostile peers did not complete".to_owned())?;
    played(world, vec![("hostile peers", CASES.len().to_string())])
}

fn judge(case: &Case, seen: &Seen) -> Result<(), String> {
    let closed = seen.gone.map(|at| at.since(seen.since));
    let what = || {
        let heard: Vec<&str> = seen.heard.iter().map(|(_, w)| w.as_str()).take(12).collect();
        format!(
            "`{}` should get {:?}; closed after {closed:?}, got {} bytes, heard {heard:?}",
            case.name, case.reaction, seen.bytes
        )
    };
    let is_right = match case.reaction {
        Reaction::SilentClose(s) => closed.is_some_and(|t| t.as_secs() < s) && seen.bytes == 0,
        Reaction::Close(s) => closed.is_some_and(|t| t.as_secs() < s),
        Reaction::Stay => closed.is_none() && seen.handshake.is_some(),
        Reaction::AnsweredAt48 => {
            let at_48 = (48..=60).contains(&seen.sent_before_answer);
            closed.is_none() && seen.handshake.is_some() && at_48
        }
    };
    ensure(is_right, what)
}
