//! What the API speaks: the JSON of requests and replies, for server and clients alike. Numbers are integers.

use serde::{Deserialize, Serialize};

/// A torrent to add. As the body of a request, or, beside the bytes of a `.torrent` file, as its query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Add {
    /// Magnet link, URL of a `.torrent` file, or info-hash. Not beside bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Folder below the download folder; made if need be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dir: Option<String>,
    /// Files to get, as `--select` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) select: Option<String>,
    /// Peers to begin with, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peers: Option<String>,
    /// Whether it rests at first.
    pub(crate) paused: bool,
    /// Pieces in order.
    pub(crate) sequential: bool,
    /// Pieces shown to peers one by one, once it has all (BEP 16).
    pub(crate) super_seeding: bool,
}

/// Which files of a torrent to get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Select {
    /// As `--select` takes them.
    pub(crate) select: String,
}

/// Where a torrent's files go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    /// Folder below the download folder; made if need be. Empty for the download folder itself.
    pub(crate) dir: String,
}

/// Which pieces a torrent has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pieces {
    /// Pieces in all.
    pub(crate) count: u32,
    /// A bit a piece in hex, the first piece first, as in the bitfield message.
    pub(crate) have: String,
}

/// How a torrent is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Remove {
    /// Whether its files go, too.
    pub(crate) delete_data: bool,
}

/// Which part of the list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Page {
    /// Torrents to leave out at the beginning.
    pub(crate) offset: usize,
    /// Torrents at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
}

/// A torrent that is there from now on, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// Its hash in hex.
    pub(crate) hash: String,
    /// Its name, where it is known.
    pub(crate) name: Option<String>,
}

/// Torrents by their hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct List {
    /// Torrents in all.
    pub(crate) total: usize,
    /// Those asked for.
    pub(crate) torrents: Vec<Torrent>,
    /// What the owner should know of the daemon's state folder, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notice: Option<String>,
}

/// A torrent in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Torrent {
    /// Its hash in hex.
    pub(crate) hash: String,
    /// Its name, once known.
    pub(crate) name: Option<String>,
    /// `starting`, `metadata`, `checking`, `moving`, `downloading`, `seeding`, `paused` or `error`.
    pub(crate) state: String,
    /// Why it stopped.
    pub(crate) error: Option<String>,
    /// What is wrong and stops nothing.
    pub(crate) warning: Option<String>,
    /// Bytes in all, once known.
    pub(crate) total_size: Option<u64>,
    /// Bytes left to get, once known.
    pub(crate) left: Option<u64>,
    /// Block bytes a second in.
    pub(crate) down_rate: u64,
    /// Block bytes a second out.
    pub(crate) up_rate: u64,
    /// Block bytes in, over its life.
    pub(crate) downloaded: u64,
    /// Block bytes out, over its life.
    pub(crate) uploaded: u64,
    /// Connected peers.
    pub(crate) peers: usize,
    /// Those of them that have everything.
    pub(crate) seeds: usize,
}

/// All about a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// As in a list.
    #[serde(flatten)]
    pub(crate) torrent: Torrent,
    /// Pieces that are there, and in all; zero while unknown.
    pub(crate) pieces: [u32; 2],
    /// The folder its data is in, below the download folder; `null` when that is elsewhere.
    pub(crate) dir: Option<String>,
    /// Bytes of a piece, once known.
    pub(crate) piece_length: Option<u32>,
    /// Whether its pieces are shown one by one, or will be once it has all.
    pub(crate) super_seeding: bool,
    /// Seconds for which it was not paused and had not failed.
    pub(crate) active_time: u64,
    /// Seconds of these for which everything wanted was there.
    pub(crate) finished_time: u64,
    /// Seconds of these for which everything was there.
    pub(crate) seeding_time: u64,
    /// Whether its peers come from its trackers alone; `null` while unknown.
    pub(crate) private: Option<bool>,
    /// Its trackers, tier by tier; empty while its metadata is not at hand.
    pub(crate) trackers: Vec<Vec<String>>,
    /// Its files; empty while its metadata is not at hand.
    pub(crate) files: Vec<File>,
    /// Its connected peers.
    pub(crate) connected: Vec<Peer>,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// Its path, beginning with the torrent's name.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) length: u64,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: String,
    /// The client it says it is.
    pub(crate) client: Option<String>,
    /// Pieces it has.
    pub(crate) pieces: u32,
    /// Block bytes a second in.
    pub(crate) down_rate: u64,
    /// Block bytes a second out.
    pub(crate) up_rate: u64,
}

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Its version.
    pub(crate) version: String,
    /// Where it listens for peers.
    pub(crate) listen: Vec<String>,
}

/// The most memory that strangers can make the daemon hold, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// All parts together.
    pub(crate) cap: u64,
    /// What is held of the parts that are counted.
    pub(crate) used: u64,
    /// Each kind of memory.
    pub(crate) parts: Vec<Part>,
}

/// One kind of memory of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What it is.
    pub(crate) name: String,
    /// The most, in bytes.
    pub(crate) cap: u64,
    /// What is held, in bytes; `null` where it is not counted.
    pub(crate) used: Option<u64>,
}

/// It was done, and stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Always true.
    pub(crate) ok: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// One line.
    pub(crate) error: String,
    /// The torrent that is there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
}

/// Where the daemon of a state folder is, in its file `api.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// The address of its API.
    pub(crate) api: String,
    /// Its process.
    pub(crate) pid: u32,
}
