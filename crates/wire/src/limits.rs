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
