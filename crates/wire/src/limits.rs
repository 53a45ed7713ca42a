//! Every cap on what a stranger may declare or send, in one place, each with its reason. A test sends cap + 1.

/// Bytes of a `.torrent` file: large sets with small pieces stay below; libtorrent stops at 10 MB.
pub const METAINFO_LEN_MAX: usize = 32 << 20;
/// Nesting of bencoded lists and dictionaries; honest files stay below ten, deep trees of directories below 100.
pub const BENCODE_DEPTH_MAX: usize = 100;
/// Values in one bencoded document, so that parse time and memory stay linear in a bounded size.
pub const BENCODE_TOKENS_MAX: usize = 3_000_000;
/// Pieces of a torrent: 2²¹, libtorrent's bound too; a bitfield stays at 256 KiB.
pub const PIECES_MAX: u32 = 1 << 21;
/// Bytes of a piece: 32767 blocks, the most that block counts of other clients hold.
pub const PIECE_LEN_MAX: u32 = 32_767 * 16_384;
/// Bytes of all files together: 2⁴⁸, above any disk and far from wrapping.
pub const TORRENT_LEN_MAX: u64 = 1 << 48;
/// Bytes of one file, just below 2⁴⁴: libtorrent's bound.
pub const FILE_LEN_MAX: u64 = (1 << 44) - (16 << 10) - 1;
/// Files of a torrent.
pub const FILES_MAX: usize = 1_000_000;

// KRPC (BEP 5)

/// Bytes of a transaction id we echo; all clients known use 1 to 20.
pub const KRPC_TRANSACTION_LEN_MAX: usize = 64;
/// Bytes of an announce token we keep and send back; the longest known is 20.
pub const KRPC_TOKEN_LEN_MAX: usize = 128;
/// Peers taken from one reply, the rest is ignored; the fullest honest replies carry 100.
pub const KRPC_VALUES_MAX: usize = 400;
/// Nodes taken from each node list of a reply, the rest is ignored; honest lists carry 8 or 20.
pub const KRPC_NODES_MAX: usize = 32;
/// Bytes kept of a query's name and of an error's text; the rest is cut.
pub const KRPC_TEXT_LEN_MAX: usize = 128;
/// Bytes of a reply we send (BEP 32).
pub const KRPC_REPLY_LEN_MAX: usize = 1024;
