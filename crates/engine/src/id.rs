//! Names of the things an engine keeps.

slotmap::new_key_type! {
    /// A torrent of one engine.
    pub struct TorrentId;
    /// A connection of one engine, from the dial or the adoption to its close. Never used again.
    pub struct ConnId;
    /// A peer that a torrent knows of, connected or not.
    pub struct PeerKey;
}

/// One engine of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u8);

/// A connection that was accepted and does not belong to a torrent yet. Chosen by the shell, unique while in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// An HTTP request or a name to resolve, until its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);
