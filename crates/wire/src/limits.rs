//! Every cap on what a stranger may declare or send, in one place, each with its reason. A test sends cap + 1.

use crate::time::Duration;

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

// Peer messages

/// Bytes of any peer message after its length prefix: libtorrent's bound; also what an unknown message may be.
pub const MESSAGE_LEN_MAX: u32 = 1 << 20;
/// Bytes of the payload of a bitfield message: one bit for each of [`PIECES_MAX`] pieces.
pub const BITFIELD_LEN_MAX: u32 = PIECES_MAX / 8;
/// Bytes of a block in a piece message: the unit everybody requests, and nobody may answer more than was asked.
pub const PIECE_DATA_LEN_MAX: u32 = crate::layout::BLOCK_LEN;
/// Bytes of an extended message after its extension id: room for the largest of them, peer exchange.
pub const EXTENDED_LEN_MAX: u32 = 128 << 10;
/// Bytes of an extension handshake; honest ones stay below 1 KiB.
pub const EXTENSION_HANDSHAKE_LEN_MAX: usize = 64 << 10;
/// Bytes of a peer exchange message: 10,000 peers and more parse, of which [`PEX_ADDED_MAX`] count.
pub const PEX_LEN_MAX: usize = 128 << 10;
/// Peers of each family that are taken as added from one peer exchange message, and the most we add in one, both
/// families together (BEP 11); the rest is counted, not kept.
pub const PEX_ADDED_MAX: usize = 50;
/// Peers of each family that are taken as dropped from one peer exchange message, and the most we drop in one, both
/// families together (BEP 11).
pub const PEX_DROPPED_MAX: usize = 50;
/// Bytes of a block of metadata (BEP 9).
pub const METADATA_BLOCK_LEN: u32 = 16 << 10;
/// Bytes of the dictionary in front of a block of metadata: three short keys, and room for what others add.
pub const METADATA_DICT_LEN_MAX: usize = 1 << 10;
/// Bytes of a whole `info` dictionary fetched from peers: as large as a `.torrent` file may be.
pub const METADATA_LEN_MAX: u32 = 32 << 20;
/// Bytes of metadata in flight over all torrents: two of the largest, or a thousand ordinary ones.
pub const METADATA_IN_FLIGHT_MAX: usize = 64 << 20;
/// Bytes kept of the client name a peer tells us; it is only shown.
pub const CLIENT_NAME_LEN_MAX: usize = 64;

// Metainfo and magnets

/// Trackers kept of one `.torrent` file or magnet, all tiers together; more are ignored.
pub const TRACKERS_MAX: usize = 512;
/// Web seeds kept of one `.torrent` file or magnet; more are ignored.
pub const WEB_SEEDS_MAX: usize = 256;
/// DHT nodes kept of one `.torrent` file or magnet; more are ignored.
pub const NODES_MAX: usize = 256;
/// Peers kept of one magnet; more are ignored.
pub const MAGNET_PEERS_MAX: usize = 256;
/// Bytes of a magnet: room for 512 ordinary trackers.
pub const MAGNET_LEN_MAX: usize = 64 << 10;
/// Ranges kept of a magnet's file selection; more are ignored.
pub const SELECT_RANGES_MAX: usize = 4096;
/// Bytes of a tracker's or web seed's URL; longer ones are ignored.
pub const URL_LEN_MAX: usize = 4096;
/// Bytes of a host: the longest DNS name. Longer ones are ignored.
pub const HOST_LEN_MAX: usize = 253;
/// Elements of a file's path below the torrent's name: libtorrent's bound too.
pub const PATH_DEPTH_MAX: usize = 100;
/// Bytes of a file's path with its separators: what Linux lets a program open.
pub const PATH_LEN_MAX: usize = 4096;
/// Bytes of a path element before it is cut; its extension (at most 9 bytes) is kept beyond, as libtorrent does.
pub const NAME_CUT_LEN: usize = 240;
/// Bytes of a path element whatever else happens: the bound of every common file system.
pub const NAME_LEN_MAX: usize = 255;
/// Names tried for all colliding files together: libtorrent's bound too.
pub const DUPLICATE_PROBES_MAX: usize = 500;
/// Bytes of a comment, creator or source that are kept; the rest is cut off.
pub const TEXT_LEN_MAX: usize = 16 << 10;
// Trackers

/// Bytes of a tracker's reply after decompression: libtorrent's bound too; 200 peers need 4 KiB.
pub const TRACKER_REPLY_LEN_MAX: usize = 1 << 20;
/// Bytes of a tracker's URL, so that a request fits one HTTP request line or one datagram everywhere.
pub const TRACKER_URL_LEN_MAX: usize = 2048;
/// Peers taken from one reply: five times what we ask for.
pub const TRACKER_PEERS_MAX: usize = 1000;
/// Bytes of a name in a peer list: the longest host name there is.
pub const TRACKER_PEER_NAME_LEN_MAX: usize = 253;
/// Characters of a text for people (failure, warning) that are kept.
pub const TRACKER_TEXT_LEN_MAX: usize = 200;
/// Bytes of a tracker id, which every request repeats.
pub const TRACKER_ID_LEN_MAX: usize = 256;
/// Bytes of the headers of an HTTP reply; honest ones stay below 4 KiB.
pub const HTTP_HEADERS_LEN_MAX: usize = 64 << 10;
/// Redirects of an HTTP request that are followed in a row.
pub const HTTP_REDIRECTS_MAX: usize = 5;
/// HTTP requests under way at once, of all torrents: ten thousand that start together are no burst of connections.
pub const HTTP_REQUESTS_MAX: usize = 50;
/// HTTP requests under way to one host and port at once, so that one that is slow leaves places to others.
pub const HTTP_PER_HOST_MAX: usize = 8;
/// Addresses of a name that are used: enough for any tracker, and each gets a share of the time to connect.
pub const NAME_ADDRESSES_MAX: usize = 8;
/// Names looked up at once: each takes a thread, and a server that is silent keeps it.
pub const NAME_LOOKUPS_MAX: usize = 16;
/// Different names waiting for their lookup; more fail at once.
pub const NAMES_ASKED_MAX: usize = 1024;
/// Torrents of one scrape: what fits a datagram of 1500 bytes (BEP 15).
pub const SCRAPE_HASHES_MAX: usize = 74;
// Peers

/// Accepted connections whose handshake is not in; for each one more the oldest goes.
pub const PENDING_HANDSHAKES_MAX: usize = 512;
/// Of one address once places are scarce: for each one more its oldest goes, so that who is in a flood's network, too, still gets its turn. The
/// loopback address itself, which everybody on this machine shares, has no share of its own.
pub const PENDING_HANDSHAKES_PER_IP_MAX: usize = 8;
/// How long a handshake may take, from the first byte to the last: libtorrent's time too.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Peers a torrent knows of: libtorrent's bound too; the worst idle ones make room.
pub const KNOWN_PEERS_MAX: usize = 3000;
/// Requests kept a peer, advertised as `reqq` (BEP 10); what comes beyond is rejected: 32 MiB of blocks, 1 Gbit/s for a
/// quarter of a second, so that it is not what limits a peer on a long path.
pub const REQUEST_QUEUE_MAX: usize = 2000;
/// Requests that cannot be served before the peer is closed: libtorrent's bound too.
pub const INVALID_REQUESTS_MAX: u32 = 300;

// DHT stores

/// Swarms whose peers a node keeps: libtorrent's bound too.
pub const DHT_SWARMS_MAX: usize = 2000;
/// Peers a node keeps of a swarm: libtorrent's bound too.
pub const DHT_PEERS_MAX: usize = 500;
/// Items a node keeps: one megabyte of values.
pub const DHT_ITEMS_MAX: usize = 1000;
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
/// Bytes of an item's bencoded value (BEP 44).
pub const ITEM_VALUE_LEN_MAX: usize = 1000;
/// Bytes of a mutable item's salt (BEP 44).
pub const ITEM_SALT_LEN_MAX: usize = 64;
/// Info-hashes taken from one sample, the rest is ignored; honest replies carry up to 34 (BEP 51).
pub const KRPC_SAMPLES_MAX: usize = 128;
/// Seconds a node may ask us to wait before it is sampled again (BEP 51); more counts as this.
pub const KRPC_SAMPLE_INTERVAL_MAX: u32 = 21_600;
/// Bytes of a reply we send (BEP 32).
pub const KRPC_REPLY_LEN_MAX: usize = 1024;
// Local service discovery (BEP 14)

/// Bytes of an announce in the local network, sent and taken: one frame of any network, as BEP 14 asks.
pub const LSD_LEN_MAX: usize = 1400;
/// Bytes of a header line of an announce; longer ones are passed over. Honest ones stay below 60.
pub const LSD_LINE_LEN_MAX: usize = 128;
/// Info-hashes in one announce: as many as its length leaves room for; the rest is ignored.
pub const LSD_HASHES_MAX: usize = 24;
/// Bytes of a cookie, which only its sender understands; longer ones are passed over.
pub const LSD_COOKIE_LEN_MAX: usize = 64;
