//! Bytes and values of the BitTorrent protocols, without state.
//!
//! Every decoder here takes bytes a stranger may have sent: it returns an error instead of panicking, checks a
//! length before it allocates by it, and keeps to the caps of [`limits`].

pub mod allowed_fast;
pub mod bencode;
pub mod bitfield;
pub mod compact;
pub mod extension;
pub mod handshake;
pub mod host_port;
pub mod http_tracker;
pub mod info_hash;
pub mod item;
pub mod krpc;
pub mod layout;
pub mod limits;
pub mod lsd;
pub mod lt_donthave;
pub mod magnet;
pub mod message;
pub mod metainfo;
pub mod mutable_torrent;
pub mod peer_id;
pub mod peer_priority;
pub mod scope;
pub mod time;
pub mod udp_tracker;
pub mod ut_metadata;
pub mod ut_pex;

pub use allowed_fast::allowed_fast_set;
pub use bitfield::Bitfield;
pub use extension::{Extension, ExtensionHandshake, ExtensionIds};
pub use handshake::{Handshake, Reserved};
pub use host_port::HostPort;
pub use info_hash::{InfoHash, InfoHashes, WireHash};
pub use layout::{BLOCK_LEN, BlockIndex, BlockRef, FileIndex, Layout, PieceIndex};
pub use magnet::Magnet;
pub use message::Message;
pub use metainfo::Metainfo;
pub use peer_id::PeerId;
pub use peer_priority::peer_priority;
