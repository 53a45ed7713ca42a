//! The torrents of the daemon as its API sees them. Everything here may wait for the disk; what changes something
//! returns once that is on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unchoke_engine::tracker::TrackerUrl;
use unchoke_runtime::{
    AddTorrent, Discovery, MemoryPart, PeerInfo, Session, State, Stats, TorrentHandle, TorrentSource,
};
use unchoke_wire::WireHash;
use unchoke_wire::metainfo::Metainfo;

use super::place;
use crate::api::ApiError;
use crate::api::model::{
    Add, Added, Budget, Details, Done, File, List, Page, Part, Peer, Pieces, Torrent, Version,
};
use crate::{selection, source};

/// The session of the daemon.
#[derive(Debug)]
pub(crate) struct Torrents {
    session: Session,
    downloads: PathBuf,
    discovery: Discovery,
}

impl Torrents {
    /// Data of new torrents lands below `downloads`, a whole path without links.
    pub(super) fn new(session: Session, downloads: PathBuf, discovery: Discovery) -> Self {
        Torrents { session, downloads, discovery }
    }

    /// Tells trackers, saves everything and ends the session.
    pub(super) fn end(self, timeout: Duration) {
        self.session.shutdown(timeout);
    }

    /// What answers, and where it listens.
    pub(crate) fn version(&self) -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: self.session.local_addrs().iter().map(ToString::to_string).collect(),
        }
    }

    /// The most memory that strangers can make the session hold.
    pub(crate) fn budget(&self) -> Result<Budget, ApiError> {
        let budget = self.session.memory_budget().map_err(|e| ApiError::of(&e))?;
        let (cap, used) = (budget.cap(), budget.used());
        let part = |p: MemoryPart| Part { name: p.name.to_owned(), cap: p.cap, used: p.used };
        Ok(Budget { cap, used, parts: budget.parts.into_iter().map(part).collect() })
    }

    /// Adds what the request names.
    pub(crate) fn add_named(&self, add: &Add) -> Result<Added, ApiError> {
        let Some(text) = &add.source else { return Err(ApiError::bad("a source is missing")) };
        let source = source::remote(text).map_err(|e| ApiError::bad(format!("{e:#}")))?;
        self.add(source, add)
    }

    /// Adds the `.torrent` file with these bytes.
    pub(crate) fn add_bytes(&self, bytes: &[u8], add: &Add) -> Result<Added, ApiError> {
        if add.source.is_some() {
            return Err(ApiError::bad("a source beside the bytes of a torrent"));
        }
        let metainfo =
            Metainfo::parse(bytes).map_err(|e| ApiError::bad(format!("cannot use the torrent: {e}")))?;
        self.add(TorrentSource::Metainfo(Box::new(metainfo)), add)
    }

    fn add(&self, source: TorrentSource, add: &Add) -> Result<Added, ApiError> {
        source::check(&source).map_err(|e| ApiError::bad(format!("{e:#}")))?;
        let (name, selection) = match &source {
            TorrentSource::Metainfo(m) => (Some(m.info.name.clone()), add.selection(m)?),
            TorrentSource::Magnet(_) if add.select.is_some() => {
                return Err(ApiError::bad("select files once the metadata of the magnet link is here"));
            }
            TorrentSource::Magnet(m) if m.publisher.is_some() => {
                return Err(ApiError::bad("mutable torrents are for `unchoke get --follow`"));
            }
            TorrentSource::Magnet(m) => (m.display_name.clone(), None),
        };
        let peers = add.peers()?;
        let dir =
            place::below(&self.downloads, add.dir.as_deref().unwrap_or_default()).map_err(ApiError::bad)?;
        let torrent = AddTorrent {
            selection,
            is_sequential: add.sequential,
            is_super_seeding: add.super_seeding,
            is_paused: add.paused,
            discovery: self.discovery,
            peers,
            ..AddTorrent::new(source, dir)
        };
        let handle = self.session.add(torrent).map_err(|e| ApiError::of(&e))?;
        saved(&handle).inspect_err(|_| handle.remove(false))?;
        Ok(Added { hash: handle.info_hash().to_string(), name })
    }

    /// Torrents by their hash.
    pub(crate) fn list(&self, page: &Page) -> Result<List, ApiError> {
        let all = self.session.summaries().map_err(|e| ApiError::of(&e))?;
        let total = all.len();
        let wanted = all.into_iter().skip(page.offset).take(page.limit.unwrap_or(usize::MAX));
        let torrents = wanted.map(|summary| torrent(summary.info_hash, summary.stats)).collect();
        Ok(List { total, torrents, notice: self.session.notice() })
    }

    /// All about a torrent.
    pub(crate) fn info(&self, hash: WireHash) -> Result<Details, ApiError> {
        let handle = self.handle(hash)?;
        let stats = handle.stats().map_err(|e| ApiError::of(&e))?;
        let peers = handle.peers().map_err(|e| ApiError::of(&e))?;
        let metainfo = handle.metainfo();
        let pieces = [stats.pieces.0, stats.pieces.1];
        let (super_seeding, times) = (stats.is_super_seeding, stats.totals.times);
        let metainfo = metainfo.as_deref();
        let file = |f: &unchoke_wire::metainfo::FileEntry| File { path: f.display_path(), length: f.length };
        Ok(Details {
            torrent: torrent(hash, stats),
            pieces,
            dir: handle.dir().and_then(|dir| self.below(&dir)),
            piece_length: metainfo.map(|m| m.info.layout.piece_len()),
            super_seeding,
            active_time: times.active.as_secs(),
            finished_time: times.finished.as_secs(),
            seeding_time: times.seeding.as_secs(),
            private: metainfo.map(|m| m.info.private),
            trackers: metainfo.map(|m| shown(&m.trackers)).unwrap_or_default(),
            files: metainfo.map(|m| m.info.files.iter().map(file).collect()).unwrap_or_default(),
            connected: peers.iter().map(peer).collect(),
        })
    }

    /// Lets a torrent rest, or go on.
    pub(crate) fn pause(&self, hash: WireHash, is_paused: bool) -> Result<Done, ApiError> {
        let handle = self.handle(hash)?;
        match is_paused {
            true => handle.pause(),
            false => handle.resume(),
        }
        saved(&handle)
    }

    /// Chooses the files of a torrent whose metadata is known.
    pub(crate) fn select(&self, hash: WireHash, select: &str) -> Result<Done, ApiError> {
        let handle = self.handle(hash)?;
        let metainfo = handle.metainfo().ok_or_else(|| {
            ApiError::new(axum::http::StatusCode::CONFLICT, "the metadata of the torrent is not here yet")
        })?;
        handle.set_selection(chosen(select, &metainfo)?).map_err(|e| ApiError::of(&e))?;
        saved(&handle)
    }

    /// Moves a torrent's files to the folder `dir` below the download folder.
    pub(crate) fn relocate(&self, hash: WireHash, dir: &str) -> Result<Done, ApiError> {
        let handle = self.handle(hash)?;
        let dir = place::below(&self.downloads, dir).map_err(ApiError::bad)?;
        handle.move_to(dir).map_err(|e| ApiError::of(&e))?;
        Ok(Done { ok: true })
    }

    /// Begins to check all files of a torrent.
    pub(crate) fn recheck(&self, hash: WireHash) -> Result<Done, ApiError> {
        self.handle(hash)?.recheck().map_err(|e| ApiError::of(&e))?;
        Ok(Done { ok: true })
    }

    /// Which pieces a torrent has.
    pub(crate) fn pieces(&self, hash: WireHash) -> Result<Pieces, ApiError> {
        let have = self.handle(hash)?.have().map_err(|e| ApiError::of(&e))?.unwrap_or_default();
        let hex = have.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Pieces { count: have.len(), have: hex })
    }

    /// Takes a torrent out of the session.
    pub(crate) fn remove(&self, hash: WireHash, delete_data: bool) -> Result<Done, ApiError> {
        let handle = self.handle(hash)?;
        handle.remove(delete_data);
        handle.wait_removed(SAVE_TIMEOUT).map_err(|e| ApiError::of(&e))?;
        Ok(Done { ok: true })
    }

    /// The name of a folder as one below the download folder, if it is one.
    fn below(&self, dir: &Path) -> Option<String> {
        dir.strip_prefix(&self.downloads).ok()?.to_str().map(str::to_owned)
    }

    /// What the owner should know of the state folder.
    pub(super) fn notice(&self) -> Option<String> {
        self.session.notice()
    }

    fn handle(&self, hash: WireHash) -> Result<TorrentHandle, ApiError> {
        self.session.torrent(hash).ok_or_else(ApiError::no_torrent)
    }
}

impl Add {
    fn selection(&self, metainfo: &Metainfo) -> Result<Option<Vec<bool>>, ApiError> {
        self.select.as_deref().map(|select| chosen(select, metainfo)).transpose()
    }

    fn peers(&self) -> Result<Vec<SocketAddr>, ApiError> {
        let texts = self.peers.iter().flat_map(|list| list.split(','));
        let peer = |text: &str| text.parse().map_err(|_| ApiError::bad(format!("'{text}' is no IP:PORT")));
        texts.map(peer).collect()
    }
}

fn chosen(select: &str, metainfo: &Metainfo) -> Result<Vec<bool>, ApiError> {
    let pick = selection::pick(select).map_err(ApiError::bad)?;
    selection::chosen(&[pick], &metainfo.info).map_err(ApiError::bad)
}

/// Waits until all that a torrent was told is on the disk.
fn saved(handle: &TorrentHandle) -> Result<Done, ApiError> {
    handle.wait_saved(SAVE_TIMEOUT).map_err(|e| ApiError::of(&e))?;
    Ok(Done { ok: true })
}

fn torrent(hash: WireHash, stats: Stats) -> Torrent {
    let (state, error) = match stats.state {
        State::Starting => ("starting", None),
        State::Metadata => ("metadata", None),
        State::Checking { .. } => ("checking", None),
        State::Downloading => ("downloading", None),
        State::Seeding => ("seeding", None),
        State::Moving => ("moving", None),
        State::Paused => ("paused", None),
        State::Error(why) => ("error", Some(why)),
        _ => ("unknown", None),
    };
    Torrent {
        hash: hash.to_string(),
        name: stats.name,
        state: state.to_owned(),
        error,
        warning: stats.trouble,
        total_size: stats.total_len,
        left: stats.left,
        down_rate: stats.rates.0,
        up_rate: stats.rates.1,
        downloaded: stats.totals.downloaded,
        uploaded: stats.totals.uploaded,
        peers: stats.peers.0,
        seeds: stats.seeds,
    }
}

fn peer(peer: &PeerInfo) -> Peer {
    Peer {
        address: peer.remote.to_string(),
        client: peer.client.clone(),
        pieces: peer.pieces,
        down_rate: peer.rates.0,
        up_rate: peer.rates.1,
    }
}

/// How long a change may take to reach the disk.
const SAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Trackers without the keys in their URLs; those that no announce can use are left out.
fn shown(tiers: &[Vec<String>]) -> Vec<Vec<String>> {
    let url = |text: &String| Some(TrackerUrl::parse(text).ok()?.redacted().to_owned());
    tiers.iter().map(|tier| tier.iter().filter_map(url).collect()).collect()
}
