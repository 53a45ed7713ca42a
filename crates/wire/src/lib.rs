//! Bytes and values of the BitTorrent protocols, without state.
//!
//! Every decoder here takes bytes a stranger may have sent: it returns an error instead of panicking, checks a
//! length before it allocates by it, and keeps to the caps of [`limits`].

pub mod bencode;
pub mod bitfield;
pub mod info_hash;
pub mod krpc;
pub mod layout;
pub mod limits;
pub mod peer_id;
pub mod time;

pub use bitfield::Bitfield;
pub use info_hash::{InfoHash, InfoHashes, WireHash};
pub use layout::{BLOCK_LEN, BlockIndex, BlockRef, FileIndex, Layout, PieceIndex};
pub use peer_id::PeerId;
