//! How a bad peer behaves: what it says, when, and what it does with what it is asked.

use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::{PeerId, Reserved, WireHash};

/// How it shakes hands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Greeting {
    /// As it should.
    #[default]
    Right,
    /// Not at all.
    Silent,
    /// With these bytes instead.
    Bytes(Vec<u8>),
    /// With another info-hash.
    OtherHash(WireHash),
    /// With the first 48 bytes, and with the other side's own peer id after it has answered.
    OwnId,
    /// One byte after the other, this far apart.
    Drip(Duration),
}

/// What it does with requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Serves {
    /// Nothing: it takes them and is silent.
    #[default]
    Nothing,
    /// Sends good blocks.
    Good,
    /// Sends good blocks this far apart.
    Slowly(Duration),
    /// Spoils one block in so many; one: all.
    Spoils(u32),
    /// Spoils its first block and then each one of so many, by count and not by chance.
    SpoilsEach(u32),
    /// Spoils the blocks of this piece and no others.
    SpoilsPiece(u32),
    /// Rejects them.
    Rejects,
    /// Sends a block that begins one byte later than the one that was asked for.
    Elsewhere,
    /// Sends the first half of the block as if it were one.
    Short,
    /// Sends a block of no bytes.
    Empty,
    /// Begins the block and sends the rest one byte at a time, this far apart.
    Trickle(Duration),
    /// Sends the block once the request was taken back.
    AfterCancel,
}

/// What it says and sends of the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metadata {
    /// The right size and the right bytes.
    Good,
    /// The right size and bytes that are wrong.
    WrongBytes,
    /// A wrong size, and silence.
    WrongSize(u32),
    /// The right size in the handshake, another one with the blocks.
    OtherSize,
    /// The right size, and rejects.
    Rejects,
}

/// The connections it makes when it is to dial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dials {
    /// How long it waits before the first.
    pub after: Duration,
    /// How many.
    pub count: u32,
    /// How far apart.
    pub apart: Duration,
}

impl Default for Dials {
    /// One at once.
    fn default() -> Self {
        Dials { after: Duration::ZERO, count: 1, apart: Duration::ZERO }
    }
}

/// What it says whenever it hears something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retort {
    /// The id of the message it waits for.
    pub to: u8,
    /// What it sends then.
    pub says: Vec<u8>,
    /// How often at most on one connection.
    pub times: u32,
}

/// How it ends its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// It closes so long after the handshakes.
    After(Duration),
    /// It closes once it has sent this many bytes.
    AtByte(usize),
    /// It sends nothing more so long after the handshakes, once it made all its retorts, and goes on reading.
    Half(Duration),
}

/// How a bad peer behaves.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Its peer id; a random one if `None`.
    pub peer_id: Option<PeerId>,
    /// The connections it makes.
    pub dials: Dials,
    /// How long after the end of a connection it dials again; `None`: never.
    pub redials: Option<Duration>,
    /// How it shakes hands.
    pub greeting: Greeting,
    /// Its reserved bits.
    pub reserved: Reserved,
    /// Raw bytes sent once both handshakes are through.
    pub first: Vec<u8>,
    /// Raw bytes sent so long after that, and how often, that far apart.
    pub later: Vec<(Duration, Vec<u8>, u32)>,
    /// What it says when it hears something.
    pub retorts: Vec<Retort>,
    /// How often it fetches each block of the pieces it may have while it is choked.
    pub fast_fetches: u32,
    /// Whether it unchokes who is interested.
    pub unchokes: bool,
    /// What it does with requests.
    pub serves: Serves,
    /// After so many blocks it chokes for so long, once.
    pub chokes_after: Option<(u32, Duration)>,
    /// What it says of the metadata; it speaks the extension protocol then.
    pub metadata: Option<Metadata>,
    /// How it ends its connections; it leaves that to the other side if `None`.
    pub ends: Option<Ends>,
}

impl Manner {
    /// A plain peer of BEP 3 that has everything and serves it.
    pub fn plain_seed(pieces: u32) -> Self {
        let bits = unchoke_wire::Bitfield::all(pieces);
        Manner {
            first: Message::Bitfield(bits.as_bytes()).to_vec(),
            unchokes: true,
            serves: Serves::Good,
            ..Manner::default()
        }
    }
}
