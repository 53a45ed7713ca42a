//! What a session must know of a torrent to show it in a list and to start it again: small, and read for all torrents
//! at every start. Pieces and files are in its record, metadata in its metainfo.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use unchoke_wire::bencode::{Dict, DictWriter, Document, Value, Writer};
use unchoke_wire::{InfoHashes, WireHash};

use crate::resume::DecodeError;
use crate::resume::record::signed;
use crate::resume::seal::Format;

/// A torrent of the session, without its metadata and pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentEntry {
    /// The whole hashes, as far as they are known.
    pub hashes: InfoHashes,
    /// Its name, once known.
    pub name: Option<String>,
    /// The link it was added by, if it was.
    pub magnet: Option<String>,
    /// The folder its data lands in, as DIR/NAME.
    pub dir: PathBuf,
    /// The folder its data is being moved to; it is still in `dir`, or in both.
    pub moving_to: Option<PathBuf>,
    /// The folder its data was moved from, while some of it may still be there.
    pub moved_from: Option<PathBuf>,
    /// Its trackers, tier by tier.
    pub trackers: Vec<Vec<String>>,
    /// Bytes in all, once known.
    pub total_len: Option<u64>,
    /// Pieces in all, once known.
    pub pieces: Option<u32>,
    /// Pieces that were there when it was last saved; `None` while unknown.
    pub have: Option<u32>,
    /// Bytes left to get when it was last saved; `None` while unknown.
    pub left: Option<u64>,
    /// Whether its peers come from its trackers alone.
    pub is_private: bool,
    /// Whether its owner wants it to rest.
    pub is_paused: bool,
    /// Pieces in order instead of the rarest first.
    pub is_sequential: bool,
    /// Whether its pieces are shown one by one once it has all (BEP 16).
    pub is_super_seeding: bool,
    /// Whether nothing is ever written or asked for.
    pub seed_only: bool,
    /// Whether its owner wants it to go with its data, which may have gone in part.
    pub is_deleting: bool,
    /// By which means it finds peers.
    pub discovery: Discovery,
    /// Payload bytes received over its life, when it was last saved.
    pub downloaded: u64,
    /// Payload bytes sent over its life, when it was last saved.
    pub uploaded: u64,
    /// Seconds for which it was not paused and had not failed, when it was last saved.
    pub active_s: u64,
    /// Seconds of these for which everything wanted was there.
    pub finished_s: u64,
    /// Seconds of these for which everything was there.
    pub seeding_s: u64,
    /// When it was added, in seconds since 1970.
    pub added_at: i64,
    /// When everything wanted was there, in seconds since 1970.
    pub completed_at: Option<i64>,
}

/// By which means a torrent may find peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// Trackers may be asked.
    pub trackers: bool,
    /// The DHT may be used.
    pub dht: bool,
    /// The local network may be asked.
    pub lsd: bool,
    /// Peers that were heard of may be dialled.
    pub dial: bool,
}

impl TorrentEntry {
    /// The format written.
    pub const VERSION: u32 = 1;

    const FORMAT: Format = Format { magic: b"unchoke torrent ", version: Self::VERSION };

    /// An entry of a torrent of which nothing but its hashes is known, not paused, with all means of finding peers.
    pub fn new(hashes: InfoHashes, dir: PathBuf, added_at: i64) -> Self {
        TorrentEntry {
            hashes,
            name: None,
            magnet: None,
            dir,
            moving_to: None,
            moved_from: None,
            trackers: Vec::new(),
            total_len: None,
            pieces: None,
            have: None,
            left: None,
            is_private: false,
            is_paused: false,
            is_sequential: false,
            is_super_seeding: false,
            seed_only: false,
            is_deleting: false,
            discovery: Discovery { trackers: true, dht: true, lsd: true, dial: true },
            downloaded: 0,
            uploaded: 0,
            active_s: 0,
            finished_s: 0,
            seeding_s: 0,
            added_at,
            completed_at: None,
        }
    }

    /// The bytes of the entry.
    ///
    /// # Panics
    /// When a number of bytes is above 2⁶³.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.dict(|d| {
            // times came later: none of them is an entry without them
            let time = |d: &mut DictWriter<'_>, key: &[u8], secs: u64| {
                if secs > 0 {
                    d.int(key, signed(secs));
                }
            };
            time(d, b"active", self.active_s);
            d.int(b"added", self.added_at);
            if let Some(at) = self.completed_at {
                d.int(b"completed", at);
            }
            d.bytes(b"dir", self.dir.as_os_str().as_bytes());
            d.int(b"downloaded", signed(self.downloaded));
            time(d, b"finished", self.finished_s);
            d.int(b"flags", i64::from(self.flags()));
            if let Some(have) = self.have {
                d.int(b"have", i64::from(have));
            }
            if let Some(left) = self.left {
                d.int(b"left", signed(left));
            }
            if let Some(len) = self.total_len {
                d.int(b"length", signed(len));
            }
            if let Some(magnet) = &self.magnet {
                d.bytes(b"magnet", magnet.as_bytes());
            }
            if let Some(from) = &self.moved_from {
                d.bytes(b"moved-from", from.as_os_str().as_bytes());
            }
            if let Some(to) = &self.moving_to {
                d.bytes(b"moving-to", to.as_os_str().as_bytes());
            }
            if let Some(name) = &self.name {
                d.bytes(b"name", name.as_bytes());
            }
            if let Some(pieces) = self.pieces {
                d.int(b"pieces", i64::from(pieces));
            }
            time(d, b"seeding", self.seeding_s);
            let tiers = &self.trackers;
            d.key(b"trackers").list(|w| {
                tiers.iter().for_each(|tier| w.list(|w| tier.iter().for_each(|url| w.bytes(url.as_bytes()))));
            });
            d.int(b"uploaded", signed(self.uploaded));
            if let Some(v1) = &self.hashes.v1 {
                d.bytes(b"v1", v1);
            }
            if let Some(v2) = &self.hashes.v2 {
                d.bytes(b"v2", v2);
            }
        });
        Self::FORMAT.seal(&w.finish())
    }

    /// Reads the entry of the torrent `info_hash`. Any changed byte is [`DecodeError::Damaged`].
    ///
    /// # Errors
    /// [`DecodeError`], with what is wrong.
    pub fn decode(bytes: &[u8], info_hash: WireHash) -> Result<Self, DecodeError> {
        let body = Self::FORMAT.unseal(bytes)?;
        let doc = Document::parse(body).map_err(|_| DecodeError::Damaged)?;
        let entry = doc.root().as_dict().and_then(Self::read).ok_or(DecodeError::Damaged)?;
        match entry.hashes.best().map(|h| h.wire()) {
            Some(hash) if hash == info_hash => Ok(entry),
            Some(other) => Err(DecodeError::OtherTorrent(other)),
            None => Err(DecodeError::Damaged),
        }
    }

    fn read(dict: Dict<'_>) -> Option<Self> {
        let number = |key: &[u8]| dict.get(key)?.as_u64();
        let text = |key: &[u8]| dict.get(key)?.as_str().map(str::to_owned);
        let flags = number(b"flags")?;
        let has = |bit: u32| flags & u64::from(bit) != 0;
        let hash = |key: &[u8]| dict.get(key).and_then(|v| v.as_bytes());
        let folder = |key: &[u8]| Some(PathBuf::from(OsStr::from_bytes(dict.get(key)?.as_bytes()?)));
        Some(TorrentEntry {
            hashes: InfoHashes {
                v1: hash(b"v1").map(|h| h.try_into().ok()).map_or(Some(None), |h| h.map(Some))?,
                v2: hash(b"v2").map(|h| h.try_into().ok()).map_or(Some(None), |h| h.map(Some))?,
            },
            name: text(b"name"),
            magnet: text(b"magnet"),
            dir: folder(b"dir")?,
            moving_to: folder(b"moving-to"),
            moved_from: folder(b"moved-from"),
            trackers: dict.get(b"trackers")?.as_list()?.map(read_tier).collect::<Option<_>>()?,
            total_len: number(b"length"),
            pieces: number(b"pieces").map(u32::try_from).transpose().ok()?,
            have: number(b"have").map(u32::try_from).transpose().ok()?,
            left: number(b"left"),
            is_private: has(PRIVATE),
            is_paused: has(PAUSED),
            is_sequential: has(SEQUENTIAL),
            is_super_seeding: has(SUPER_SEEDING),
            seed_only: has(SEED_ONLY),
            is_deleting: has(DELETING),
            discovery: Discovery { trackers: has(TRACKERS), dht: has(DHT), lsd: has(LSD), dial: has(DIAL) },
            downloaded: number(b"downloaded")?,
            uploaded: number(b"uploaded")?,
            active_s: number(b"active").unwrap_or(0),
            finished_s: number(b"finished").unwrap_or(0),
            seeding_s: number(b"seeding").unwrap_or(0),
            added_at: dict.get(b"added")?.as_int()?,
            completed_at: dict.get(b"completed").and_then(|v| v.as_int()),
        })
    }

    fn flags(&self) -> u32 {
        let Discovery { trackers, dht, lsd, dial } = self.discovery;
        [
            (self.is_private, PRIVATE),
            (self.is_paused, PAUSED),
            (self.is_sequential, SEQUENTIAL),
            (self.is_super_seeding, SUPER_SEEDING),
            (self.seed_only, SEED_ONLY),
            (self.is_deleting, DELETING),
            (trackers, TRACKERS),
            (dht, DHT),
            (lsd, LSD),
            (dial, DIAL),
        ]
        .iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |flags, (_, bit)| flags | bit)
    }
}

fn read_tier(tier: Value<'_>) -> Option<Vec<String>> {
    tier.as_list()?.map(|url| url.as_str().map(str::to_owned)).collect()
}

const PRIVATE: u32 = 1;
const PAUSED: u32 = 2;
const SEQUENTIAL: u32 = 4;
const SEED_ONLY: u32 = 8;
const TRACKERS: u32 = 16;
const DHT: u32 = 32;
const LSD: u32 = 64;
const DIAL: u32 = 128;
const DELETING: u32 = 256;
const SUPER_SEEDING: u32 = 512;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn entry(n: u32) -> (WireHash, TorrentEntry) {
        let hashes = InfoHashes::v1_of(&n.to_be_bytes());
        let hash = hashes.best().unwrap().wire();
        let mut entry = TorrentEntry::new(hashes, PathBuf::from("/data/films"), 1_700_000_000);
        entry.name = Some(format!("A film of {n} parts.mkv"));
        (hash, entry)
    }

    fn full() -> (WireHash, TorrentEntry) {
        let hashes = InfoHashes::hybrid_of(b"info");
        let entry = TorrentEntry {
            hashes,
            name: Some("näme".to_owned()),
            magnet: Some("magnet:?xt=urn:btih:00".to_owned()),
            dir: PathBuf::from(OsStr::from_bytes(b"/data/not \xff text")),
            moving_to: Some(PathBuf::from(OsStr::from_bytes(b"/data/\xff"))),
            moved_from: Some(PathBuf::from("/before")),
            trackers: vec![vec!["http://a/".to_owned(), "udp://b/".to_owned()], vec![]],
            total_len: Some(1 << 40),
            pieces: Some(7),
            have: Some(4),
            left: Some(3),
            is_private: true,
            is_paused: true,
            is_sequential: false,
            is_super_seeding: true,
            seed_only: true,
            is_deleting: true,
            discovery: Discovery { trackers: true, dht: false, lsd: true, dial: false },
            downloaded: 1,
            uploaded: 2,
            active_s: 30,
            finished_s: 20,
            seeding_s: 10,
            added_at: -5,
            completed_at: Some(9),
        };
        (hashes.best().unwrap().wire(), entry)
    }

    #[test]
    fn an_entry_round_trips_with_and_without_all_that_may_be_missing() {
        for (hash, entry) in [full(), entry(3)] {
            assert_eq!(TorrentEntry::decode(&entry.encode(), hash), Ok(entry));
        }
    }

    #[test]
    fn an_entry_with_any_byte_changed_or_cut_off_is_refused() {
        let (hash, entry) = full();
        let bytes = entry.encode();
        for at in 0..bytes.len() {
            for flip in [1u8, 0x20, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                assert_eq!(TorrentEntry::decode(&bad, hash), Err(DecodeError::Damaged), "byte {at}");
            }
            assert_eq!(TorrentEntry::decode(&bytes[..at], hash), Err(DecodeError::Damaged), "cut at {at}");
        }
    }

    #[test]
    fn an_entry_of_another_torrent_or_a_later_format_is_refused() {
        let (hash, entry) = full();
        let other = TorrentEntry::decode(&entry.encode(), WireHash([7; 20]));
        assert_eq!(other, Err(DecodeError::OtherTorrent(hash)));
        let later = Format { version: 2, ..TorrentEntry::FORMAT }.seal(b"whatever comes later");
        let error = DecodeError::FutureVersion { got: 2, newest: 1 };
        assert_eq!(TorrentEntry::decode(&later, hash), Err(error));
    }
}
