//! The way to one torrent of a session.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use unchoke_engine::TorrentId;
use unchoke_engine::engine::{PeerInfo, TorrentState, TorrentStats};
use unchoke_engine::input::{PeerSource, Totals};
use unchoke_storage::StateStore;
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{Bitfield, WireHash};

use crate::error::SessionError;
use crate::keeper::KeeperMessage;
use crate::session::{canonical, check_selection};
use crate::shard::ShardMessage;
use crate::torrent::{Phase, Torrent};

/// How long a shard or the hub may take to answer; it never waits for anything, so it is late only when the machine is.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to one torrent. Cheap to clone; it does not keep the torrent alive.
#[derive(Clone, Debug)]
pub struct TorrentHandle {
    entry: Arc<Torrent>,
    keeper: Sender<KeeperMessage>,
    /// Where the metadata is while it sleeps.
    state: Option<Weak<StateStore>>,
}

/// A torrent of [`crate::Session::summaries`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The hash of its swarm.
    pub info_hash: WireHash,
    /// Its figures.
    pub stats: Stats,
}

/// What a torrent is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum State {
    /// Its record is being read and its storage opened.
    Starting,
    /// Its metadata is being fetched from peers.
    Metadata,
    /// Its files are being checked.
    Checking {
        /// Pieces checked so far.
        done: u32,
        /// Pieces to check.
        total: u32,
    },
    /// Its files are being moved to another folder.
    Moving,
    /// It gets pieces.
    Downloading,
    /// All wanted pieces are there.
    Seeding,
    /// It rests.
    Paused,
    /// It stopped for this reason. [`TorrentHandle::resume`] tries again.
    Error(String),
}

/// Figures of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// What it is doing.
    pub state: State,
    /// What is wrong with it and stops nothing, such as pieces its disk does not give back.
    pub trouble: Option<String>,
    /// Its name, once known.
    pub name: Option<String>,
    /// Bytes in all, once known.
    pub total_len: Option<u64>,
    /// Pieces it has, and in all; zero while unknown.
    pub pieces: (u32, u32),
    /// Bytes left to get; `None` while unknown.
    pub left: Option<u64>,
    /// Block bytes a second in, and out.
    pub rates: (u64, u64),
    /// What it did over its life.
    pub totals: Totals,
    /// The same when it was added.
    pub totals_at_start: Totals,
    /// Bytes of pieces that failed their hash check in this run.
    pub corrupt: u64,
    /// Peers connected, and known.
    pub peers: (usize, usize),
    /// Connected peers that have everything.
    pub seeds: usize,
    /// Whether its pieces are shown one by one, or will be once it has all (BEP 16).
    pub is_super_seeding: bool,
}

impl TorrentHandle {
    pub(crate) fn new(
        entry: Arc<Torrent>,
        keeper: Sender<KeeperMessage>,
        state: Option<Weak<StateStore>>,
    ) -> Self {
        TorrentHandle { entry, keeper, state }
    }

    /// The hash of its swarm.
    pub fn info_hash(&self) -> WireHash {
        self.entry.hash
    }

    /// Its figures.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when it is not in the session any more.
    pub fn stats(&self) -> Result<Stats, SessionError> {
        let id = self.id()?;
        let figures =
            id.map(|torrent| self.ask(|reply| ShardMessage::Stats { torrent, reply })).transpose()?;
        Ok(stats_of(&self.entry, figures))
    }

    /// Its connected peers, oldest connection first.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when it is not in the session any more.
    pub fn peers(&self) -> Result<Vec<PeerInfo>, SessionError> {
        match self.id()? {
            Some(torrent) => self.ask(|reply| ShardMessage::Peerlist { torrent, reply }),
            None => Ok(Vec::new()),
        }
    }

    /// The pieces it has; `None` while its files are not known. Those of one that sleeps are read from the state store.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when it is not in the session any more.
    pub fn have(&self) -> Result<Option<Bitfield>, SessionError> {
        let awake = match self.id()? {
            Some(torrent) => self.ask(|reply| ShardMessage::Have { torrent, reply })?,
            None => None,
        };
        if awake.is_some() || !self.entry.state().is_asleep {
            return Ok(awake);
        }
        let Some(store) = self.state.as_ref().and_then(Weak::upgrade) else { return Ok(None) };
        Ok(store.record(self.entry.hash)?.record.map(|r| r.have))
    }

    /// The folder its data is in, as the state store has it; `None` without one.
    pub fn dir(&self) -> Option<PathBuf> {
        self.state.as_ref()?.upgrade()?.torrent(self.entry.hash).ok()?.map(|stored| stored.dir)
    }

    /// Its name, once known.
    pub fn name(&self) -> Option<String> {
        self.entry.state().name.as_deref().map(str::to_owned)
    }

    /// The metadata, once known. That of a torrent that sleeps is read from the state store.
    pub fn metainfo(&self) -> Option<Arc<Metainfo>> {
        let (metainfo, is_asleep) = {
            let state = self.entry.state();
            (state.metainfo.clone(), state.is_asleep)
        };
        if metainfo.is_some() || !is_asleep {
            return metainfo;
        }
        let bytes = self.state.as_ref()?.upgrade()?.metainfo(self.entry.hash).ok()??;
        Metainfo::parse(&bytes).ok().map(Arc::new)
    }

    /// Waits for the metadata.
    ///
    /// # Errors
    /// [`SessionError::Timeout`], [`SessionError::Stopped`] when it failed, [`SessionError::Gone`].
    pub fn wait_metainfo(&self, timeout: Duration) -> Result<Arc<Metainfo>, SessionError> {
        match self.metainfo() {
            Some(metainfo) => Ok(metainfo),
            None => self.entry.wait(timeout, |s| s.metainfo.clone()),
        }
    }

    /// Waits until every wanted piece is verified, written and synced.
    ///
    /// # Errors
    /// [`SessionError::Timeout`], [`SessionError::Stopped`] when it failed, [`SessionError::Gone`].
    pub fn wait_complete(&self, timeout: Duration) -> Result<(), SessionError> {
        self.entry.wait(timeout, |s| s.is_complete.then_some(()))
    }

    /// Stops all transfers; the torrent stays in the session.
    pub fn pause(&self) {
        self.tell(KeeperMessage::Pause { hash: self.entry.hash, is_paused: true });
    }

    /// Goes on after a pause or an error.
    pub fn resume(&self) {
        self.tell(KeeperMessage::Pause { hash: self.entry.hash, is_paused: false });
    }

    /// Moves its files to the folder `dir`, which exists, and waits until they are there, durably, and gone from where they
    /// were. It transfers nothing meanwhile and goes on after. What a crash cuts off goes on at the next start. Only in a
    /// session with a state store.
    ///
    /// # Errors
    /// [`SessionError::Storage`]: of kind `Exists` when something is in the way, of kind `NoSpace` when the disk is full;
    /// then everything is as it was. [`SessionError::Occupied`] while it is being moved, [`SessionError::NotSaved`],
    /// [`SessionError::CustomStorage`] without a state store, [`SessionError::Gone`] when it or the session ends.
    pub fn move_to(&self, dir: impl Into<PathBuf>) -> Result<(), SessionError> {
        let (hash, to) = (self.entry.hash, dir.into());
        let (done, moved) = crossbeam_channel::bounded(1);
        self.tell(KeeperMessage::Move { hash, to, done });
        moved.recv().map_err(|_| SessionError::Gone)?
    }

    /// Has all its files checked, whatever is known of them: pieces that are good are kept, others are to be got anew.
    /// Returns once it has begun. Also what one that failed may need.
    ///
    /// # Errors
    /// [`SessionError::NoMetadata`], [`SessionError::Occupied`] while it is being moved, [`SessionError::Gone`].
    pub fn recheck(&self) -> Result<(), SessionError> {
        let (done, begun) = crossbeam_channel::bounded(1);
        self.tell(KeeperMessage::Recheck { hash: self.entry.hash, done });
        begun.recv().map_err(|_| SessionError::Gone)?
    }

    /// Takes it out of the session and forgets its record; its files go only when asked.
    pub fn remove(&self, delete_data: bool) {
        self.tell(KeeperMessage::Remove { hash: self.entry.hash, delete_data });
    }

    /// Waits until all that was wanted of it before is durable: that it was added, paused or resumed, and its choice of
    /// files. Who waits together shares one commit. Without a state store there is nothing to wait for but its record.
    ///
    /// # Errors
    /// [`SessionError::Timeout`]; [`SessionError::NotSaved`] when the disk did not take it; [`SessionError::Gone`] when
    /// the session is over.
    pub fn wait_saved(&self, timeout: Duration) -> Result<(), SessionError> {
        let (done, saved) = crossbeam_channel::bounded(1);
        let message = KeeperMessage::Saved { hash: self.entry.hash, done };
        self.keeper.send(message).map_err(|_| SessionError::Gone)?;
        match saved.recv_timeout(timeout) {
            Ok(result) => result.map_err(SessionError::NotSaved),
            Err(RecvTimeoutError::Timeout) => Err(SessionError::Timeout(timeout.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err(SessionError::Gone),
        }
    }

    /// Waits until it is out of the session, and its removal durable.
    ///
    /// # Errors
    /// [`SessionError::Timeout`]; [`SessionError::NotSaved`] when the disk does not take it, which is tried again.
    pub fn wait_removed(&self, timeout: Duration) -> Result<(), SessionError> {
        if !self.entry.wait_until(timeout, |s| s.phase == Phase::Gone || s.unsaved.is_some()) {
            return Err(SessionError::Timeout(timeout.as_secs()));
        }
        let unsaved = self.entry.state().unsaved.clone();
        unsaved.map_or(Ok(()), |why| Err(SessionError::NotSaved(why)))
    }

    /// Names a peer, of any scope.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when the torrent is not in the session any more; [`SessionError::Timeout`] when its
    /// engine does not have it yet and does not get it soon.
    pub fn add_peer(&self, addr: SocketAddr) -> Result<(), SessionError> {
        let torrent = self.entry.wait(ANSWER_TIMEOUT, |s| s.id.filter(|_| s.phase != Phase::Gone))?;
        let peers = vec![canonical(addr)];
        self.entry.shard.send(ShardMessage::Peers { torrent, source: PeerSource::User, peers });
        Ok(())
    }

    /// Chooses which files to get, one entry a file in the order of the metadata.
    ///
    /// # Errors
    /// [`SessionError::Selection`] when the number is not that of the files; before the metadata is known any
    /// number is taken, and ignored later if it does not fit.
    pub fn set_selection(&self, selection: Vec<bool>) -> Result<(), SessionError> {
        if let Some(metainfo) = self.metainfo() {
            check_selection(metainfo.info.files.len(), &selection)?;
        }
        // who waits from here on waits for the new choice
        self.entry.change(|s| s.is_complete = false);
        self.tell(KeeperMessage::Select { hash: self.entry.hash, selection });
        Ok(())
    }

    fn id(&self) -> Result<Option<TorrentId>, SessionError> {
        let state = self.entry.state();
        match state.phase {
            Phase::Gone => Err(SessionError::Gone),
            _ => Ok(state.id),
        }
    }

    fn tell(&self, message: KeeperMessage) {
        // the same torrent may be there anew, and this is not the way to it
        if self.entry.state().phase != Phase::Gone {
            // a session that is over has nothing left to be told
            let _ = self.keeper.send(message);
        }
    }

    fn ask<T>(&self, message: impl FnOnce(Sender<T>) -> ShardMessage) -> Result<T, SessionError> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.entry.shard.send(message(reply));
        answer.recv_timeout(ANSWER_TIMEOUT).map_err(|_| SessionError::Gone)
    }
}

/// The figures of a torrent, with those of its engine.
pub(crate) fn stats_of(entry: &Torrent, figures: Option<TorrentStats>) -> Stats {
    let (phase, is_paused, name, total_len, trouble) = {
        let s = entry.state();
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        (s.phase.clone(), s.is_paused, text(&s.name), s.total_len, text(&s.trouble))
    };
    let state = match (phase, figures.as_ref().map(|f| &f.state)) {
        (Phase::Failed(error), _) => State::Error(error),
        (_, Some(TorrentState::Failed(error))) => State::Error(error.clone()),
        (Phase::Checking { done, total }, _) => State::Checking { done, total },
        (Phase::Moving, _) => State::Moving,
        _ if is_paused => State::Paused,
        (_, Some(TorrentState::Metadata)) => State::Metadata,
        (_, Some(TorrentState::Downloading)) => State::Downloading,
        (_, Some(TorrentState::Seeding)) => State::Seeding,
        (_, Some(TorrentState::Paused)) => State::Paused,
        (_, Some(TorrentState::Storage) | None) => State::Starting,
    };
    let figures = figures.unwrap_or_else(|| nothing(entry.hash));
    Stats {
        state,
        trouble,
        name,
        total_len,
        pieces: figures.pieces,
        left: figures.left,
        rates: figures.rates,
        totals: figures.totals,
        totals_at_start: figures.totals_at_start,
        corrupt: figures.corrupt,
        peers: figures.peers,
        seeds: figures.seeds,
        is_super_seeding: figures.is_super_seeding,
    }
}

/// The figures of a torrent its engine does not have yet.
fn nothing(hash: WireHash) -> TorrentStats {
    TorrentStats {
        hash,
        state: TorrentState::Storage,
        pieces: (0, 0),
        left: None,
        rates: (0, 0),
        totals: Totals::default(),
        totals_at_start: Totals::default(),
        corrupt: 0,
        peers: (0, 0),
        seeds: 0,
        is_super_seeding: false,
    }
}
