//! What the owner wants: torrents added, paused, removed.

use super::Engine;
use super::torrents::Slot;
use crate::event::{CloseReason, Event};
use crate::id::{ConnId, TorrentId};
use crate::input::{AddTorrent, Command, Discovery, PartialPiece, PeerSource, TorrentSource, Totals};
use crate::output::{HubCommand, Output};
use crate::peer_list::PeerList;
use crate::picker::Picker;
use crate::torrent::piece_buffers::PieceBuffers;
use crate::torrent::{Parts, Phase, Torrent};
use crate::tracker::{AnnounceInput, Announcer, AnnouncerSettings};
use core::net::SocketAddr;
use unchoke_wire::message::Message;
use unchoke_wire::metainfo::Info;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, BlockRef, HostPort, InfoHashes, PeerId, WireHash};

/// What a source says of a torrent, whatever kind it is.
struct Known {
    hashes: InfoHashes,
    info: Option<Info>,
    raw_info: Vec<u8>,
    tiers: Vec<Vec<String>>,
    nodes: Vec<HostPort>,
    peers: Vec<HostPort>,
}

impl Known {
    fn of(source: TorrentSource) -> Self {
        match source {
            TorrentSource::Metainfo(m) => Known {
                hashes: m.info_hashes,
                info: Some(m.info),
                raw_info: m.raw_info,
                tiers: m.trackers,
                nodes: m.nodes,
                peers: Vec::new(),
            },
            TorrentSource::Magnet(m) => Known {
                hashes: m.info_hashes,
                info: None,
                raw_info: Vec::new(),
                tiers: m.trackers.into_iter().map(|t| vec![t]).collect(),
                nodes: m.nodes,
                peers: m.peers,
            },
        }
    }
}

impl Engine {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Add(add) => self.add(*add),
            Command::AddAsleep(add) => self.add_asleep(*add),
            Command::Wake { torrent, metainfo } => self.wake(torrent, *metainfo),
            Command::StorageReady { torrent, have, wanted, partials } => {
                self.storage_ready(torrent, have, wanted, partials);
            }
            Command::CloseStorage(torrent) => self.close_storage(torrent),
            Command::SetWanted { torrent, wanted } => self.set_wanted(torrent, &wanted),
            Command::Doubt { torrent, pieces } => self.doubt(torrent, &pieces),
            Command::Settle { torrent, good, bad } => self.settle_doubt(torrent, &good, &bad),
            Command::SetSuperSeeding { torrent, is_on } => self.set_super_seeding(torrent, is_on),
            Command::Pause(torrent) => self.pause(torrent),
            Command::Resume(torrent) => self.resume(torrent),
            Command::Remove(torrent) => self.remove(torrent),
            Command::SavePartials(torrent) => self.save_partials(torrent),
            Command::Announce(torrent) => self.announce(torrent, AnnounceInput::AnnounceNow),
            Command::SetTrackers { torrent, tiers } => self.announce(torrent, AnnounceInput::SetTiers(tiers)),
            Command::Scrape(torrent) => self.announce(torrent, AnnounceInput::Scrape),
            Command::AddressesChanged(own) => self.addresses_changed(own),
            Command::SetLimits { download, upload } => {
                self.download_limit.set(download, self.now);
                self.upload_limit.set(upload, self.now);
                self.wake_limited();
            }
            Command::Stop => {
                self.is_stopping = true;
                let all: Vec<TorrentId> = self.torrents.keys().collect();
                all.into_iter().for_each(|torrent| self.remove(torrent));
            }
        }
    }

    pub(super) fn hub(&mut self, command: HubCommand) {
        self.out.push_back(Output::Hub(command));
    }

    fn add(&mut self, add: AddTorrent) {
        let AddTorrent { source, discovery, is_paused, is_sequential, totals } = add;
        let known = Known::of(source);
        let Some(hash) = known.hashes.best().map(|h| h.wire()).filter(|_| !self.is_stopping) else { return };
        if let Some(torrent) = self.by_hash.get(&hash) {
            let torrent = *torrent;
            self.event(Event::Duplicate { torrent });
            return;
        }
        let (nodes, peers) = (known.nodes.clone(), known.peers.clone());
        let torrent = self.insert(known, hash, discovery, totals);
        let t = &mut self.torrents[torrent];
        (t.is_paused, t.is_sequential) = (is_paused, is_sequential);
        self.by_hash.insert(hash, torrent);
        self.event(Event::Added { torrent, hash });
        self.name_dht_nodes(torrent, &nodes);
        let peers: Vec<_> = peers.iter().filter_map(|p| Some(SocketAddr::new(p.ip()?, p.port()))).collect();
        if !peers.is_empty() {
            self.peers_found(torrent, PeerSource::Magnet, &peers, None);
        }
        if self.torrents[torrent].phase == Phase::Metadata {
            self.start_running(torrent);
        }
        self.touched.torrents.insert(torrent);
    }

    fn insert(&mut self, known: Known, hash: WireHash, discovery: Discovery, totals: Totals) -> TorrentId {
        let Known { hashes, info, raw_info, tiers, .. } = known;
        let peer_id = self.new_peer_id();
        let is_private = info.as_ref().is_some_and(|i| i.private);
        let tiers = if discovery.trackers { tiers } else { Vec::new() };
        let settings = self.announcer_settings(hash, peer_id, tiers, is_private);
        let announcer = Announcer::new(settings, self.random(), self.now);
        let peers = PeerList::new(self.random(), self.settings.own_addresses.clone());
        let parts = Parts { hash, hashes, peer_id, discovery, info, raw_info, peers, announcer, totals };
        self.torrents.insert(Slot::Awake(Box::new(Torrent::new(parts, self.now))))
    }

    //= BEP 20: a fresh peer id for every torrent of every run
    pub(super) fn new_peer_id(&mut self) -> PeerId {
        let mut tail = [0; 12];
        rand::Rng::fill_bytes(&mut self.rng, &mut tail);
        PeerId::ours(tail)
    }

    pub(super) fn announcer_settings(
        &mut self,
        info_hash: WireHash,
        peer_id: PeerId,
        tiers: Vec<Vec<String>>,
        is_private: bool,
    ) -> AnnouncerSettings {
        AnnouncerSettings {
            info_hash,
            peer_id,
            key: rand::Rng::next_u32(&mut self.rng),
            port: self.settings.listen_port,
            shard: self.shard,
            families: self.settings.families,
            is_private,
            tiers,
        }
    }

    fn storage_ready(
        &mut self,
        torrent: TorrentId,
        have: Bitfield,
        wanted: Option<Bitfield>,
        partials: Vec<PartialPiece>,
    ) {
        let seed = self.random();
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let Some(info) = t.info.as_ref().filter(|_| t.phase == Phase::Storage) else { return };
        let mut picker = Picker::new(info.layout.clone(), have, wanted, t.is_sequential, seed);
        let mut complete = Vec::new();
        for PartialPiece { piece, blocks, data } in partials {
            if data.len() == info.layout.len_of(piece) as usize && !picker.is_open(piece) {
                if picker.restore_partial(piece, &blocks) {
                    complete.push(piece);
                }
                if picker.is_open(piece) {
                    t.buffers.restore(piece, data);
                }
            }
        }
        // peers that came before the storage was open are told of every piece it holds
        let is_hidden = t.super_seed.is_some() && picker.have().is_all();
        let is_told = !t.conns.is_empty() && !is_hidden;
        t.have_log = if is_told { picker.have().iter().collect() } else { Vec::new() };
        t.is_completed = picker.is_complete();
        t.has_picked = picker.have().count() > 0;
        t.phase = Phase::Ready;
        for conn in &t.conns {
            if let Some(has) = self.conns[*conn].has.known() {
                picker.peer_joined(self.conns[*conn].key, has);
            }
        }
        t.picker = Some(picker);
        complete.into_iter().for_each(|piece| self.verify(torrent, piece));
        self.recount_interest(torrent);
        for conn in self.torrents[torrent].conns.clone() {
            if is_hidden && self.conns[conn].is_ready() {
                self.conceal(conn);
            }
            self.want_send(conn);
        }
        self.start_running(torrent);
        self.let_in(torrent);
        self.count_open_bytes(torrent);
        self.touched.torrents.insert(torrent);
        if self.torrents[torrent].is_completed {
            if !is_hidden {
                self.tell_upload_only(torrent, true);
            }
            self.event(Event::Completed { torrent });
        }
    }

    /// Stops all that needs the storage of a torrent.
    fn close_storage(&mut self, torrent: TorrentId) {
        let Some(t) = self.torrents.get_mut(torrent).filter(|t| t.phase == Phase::Ready) else {
            return self.event(Event::StorageClosed { torrent });
        };
        (t.phase, t.is_closing) = (Phase::Storage, true);
        self.touched.torrents.insert(torrent);
        for hash in t.wire_hashes() {
            self.hub(HubCommand::Unregister { hash });
        }
        self.close_all(torrent, &CloseReason::Stopped);
        self.finish_close(torrent);
    }

    /// Says that the storage of a torrent is let be, once its last piece is written.
    pub(super) fn finish_close(&mut self, torrent: TorrentId) {
        if !self.torrents.get(torrent).is_some_and(|t| t.is_closing && t.checking == 0) {
            return;
        }
        self.save_partials(torrent);
        if let Some(t) = self.torrents.get_mut(torrent) {
            (t.picker, t.is_closing) = (None, false);
            t.buffers = PieceBuffers::default();
        }
        self.count_open_bytes(torrent);
        self.event(Event::StorageClosed { torrent });
    }

    fn set_wanted(&mut self, torrent: TorrentId, wanted: &Bitfield) {
        // the choice comes with its storage
        self.rouse(torrent);
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let Some(picker) = &mut t.picker else { return };
        picker.set_wanted(wanted);
        let was_completed = t.is_completed;
        t.is_completed &= picker.is_complete();
        let has_more_to_get = was_completed && !t.is_completed;
        for conn in t.conns.clone() {
            self.cancel_unwanted(conn);
        }
        self.recount_interest(torrent);
        self.touched.torrents.insert(torrent);
        if has_more_to_get {
            self.tell_upload_only(torrent, false);
        }
        self.check_completion(torrent);
    }

    /// Takes back the requests to a peer for pieces that are not wanted any more.
    fn cancel_unwanted(&mut self, conn: ConnId) {
        let c = &mut self.conns[conn];
        let Some(picker) = &self.torrents[c.torrent].picker else { return };
        let unwanted: Vec<BlockRef> = c.requests.blocks().filter(|b| !picker.wants(b.piece)).collect();
        for block in &unwanted {
            c.requests.give_up(*block);
        }
        self.release(conn, &unwanted);
        unwanted.into_iter().for_each(|block| self.push(conn, &Message::Cancel(block)));
    }

    /// Becomes reachable and looks for peers, unless paused. What is so already stays so.
    pub(super) fn start_running(&mut self, torrent: TorrentId) {
        let t = &mut self.torrents[torrent];
        if !t.is_running() {
            return;
        }
        t.looked_for_peers = (self.now, 0);
        let (hashes, is_complete) = (t.wire_hashes(), t.is_seed());
        hashes.into_iter().for_each(|hash| self.hub(HubCommand::Register { torrent, hash }));
        self.announce(torrent, AnnounceInput::Start { is_complete });
        if !self.torrents[torrent].has_slept {
            self.dht_search(torrent);
            self.lsd_announce(torrent);
        }
        self.touched.torrents.insert(torrent);
    }

    //= BEP 27: a private torrent has nothing to do with the DHT
    /// Names the DHT nodes a torrent came with, if it may use the DHT.
    fn name_dht_nodes(&mut self, torrent: TorrentId, nodes: &[HostPort]) {
        let t = &self.torrents[torrent];
        if self.settings.dht && t.discovery.dht && !t.is_private() {
            for node in nodes {
                self.hub(HubCommand::DhtNode { host: node.host().to_owned(), port: node.port() });
            }
        }
    }

    //= BEP 52: a hybrid is in both swarms
    /// Searches the DHT and is announced there, if the torrent may be. Again when it became a seed.
    pub(super) fn dht_search(&mut self, torrent: TorrentId) {
        let t = &self.torrents[torrent];
        if self.settings.dht && t.discovery.dht && !t.is_private() && t.is_running() {
            let (is_seed, wants_peers) = (t.is_seed(), t.discovery.dial);
            for hash in t.wire_hashes() {
                self.hub(HubCommand::DhtSearch { torrent, hash, is_seed, wants_peers });
            }
        }
    }

    fn dht_stop(&mut self, torrent: TorrentId) {
        for hash in self.torrents.wire_hashes(torrent) {
            self.hub(HubCommand::DhtStop { hash });
        }
    }

    //= BEP 14: every public torrent is announced in the local network
    //= BEP 27: a private torrent is not
    /// Is announced in the local network, if the torrent may be.
    fn lsd_announce(&mut self, torrent: TorrentId) {
        let t = &self.torrents[torrent];
        if self.settings.lsd && t.discovery.lsd && !t.is_private() && t.is_running() {
            self.hub(HubCommand::LsdAnnounce { torrent, hashes: t.wire_hashes() });
        }
    }

    fn lsd_stop(&mut self, torrent: TorrentId) {
        if self.settings.lsd {
            let hashes = self.torrents.wire_hashes(torrent);
            self.hub(HubCommand::LsdStop { hashes });
        }
    }

    /// Is reachable no more, closes all connections and tells the trackers.
    pub(super) fn stop_running(&mut self, torrent: TorrentId) {
        if let Some((is_paused, _)) = self.torrents.rest_mut(torrent) {
            *is_paused = true;
        }
        self.touched.torrents.insert(torrent);
        for hash in self.torrents.wire_hashes(torrent) {
            self.hub(HubCommand::Unregister { hash });
        }
        self.lsd_stop(torrent);
        self.dht_stop(torrent);
        self.send_away(torrent);
        self.close_all(torrent, &CloseReason::Stopped);
        if let Some(t) = self.torrents.get_mut(torrent) {
            // what goes on after this is announced anew
            t.has_slept = false;
        }
        self.announce(torrent, AnnounceInput::Stop);
    }

    fn pause(&mut self, torrent: TorrentId) {
        if self.torrents.rest_mut(torrent).is_some_and(|(is_paused, _)| !*is_paused) {
            self.stop_running(torrent);
        }
    }

    fn resume(&mut self, torrent: TorrentId) {
        let Some((is_paused, is_removing)) = self.torrents.rest_mut(torrent) else { return };
        if *is_removing || !core::mem::replace(is_paused, false) {
            return;
        }
        self.touched.torrents.insert(torrent);
        match self.torrents.get_mut(torrent) {
            Some(t) => {
                t.error = None;
                self.start_running(torrent);
                self.write_again(torrent);
            }
            None => self.start_asleep(torrent, Duration::ZERO),
        }
    }

    fn remove(&mut self, torrent: TorrentId) {
        let Some((_, is_removing)) = self.torrents.rest_mut(torrent) else { return };
        if !core::mem::replace(is_removing, true) {
            // the same may be added anew while this one is still leaving
            if let Some(hash) = self.torrents.hash(torrent) {
                self.by_hash.remove(&hash);
            }
            self.stop_running(torrent);
            self.touched.torrents.insert(torrent);
        }
    }

    /// Forgets a torrent that is going away once its trackers are told and its last piece is written.
    pub(super) fn finish_removal(&mut self, torrent: TorrentId) {
        if !self.torrents.is_leaving(torrent)
            || !self.torrents.announcer(torrent).is_some_and(Announcer::is_stopped)
        {
            return;
        }
        self.count_open_bytes(torrent);
        // a scrape may be under way
        self.announcing -= usize::from(self.torrents.announcer(torrent).is_some_and(Announcer::is_asking));
        if let Some(at) = self.torrents.due(torrent) {
            self.due.remove(&(at, torrent));
        }
        self.waiting_to_dial.remove(&torrent);
        if let Some(Slot::Awake(t)) = self.torrents.remove(torrent) {
            self.open_bytes -= t.open_bytes;
        }
        self.event(Event::Removed { torrent });
    }

    fn save_partials(&mut self, torrent: TorrentId) {
        self.torrents.turn_clocks(torrent, self.now);
        if let Some(s) = self.torrents.asleep(torrent) {
            let totals = s.totals;
            self.event(Event::Partials { torrent, partials: Vec::new(), totals });
        }
        let Some(t) = self.torrents.get(torrent) else { return };
        let partials = t.picker.iter().flat_map(Picker::partials).filter_map(|(piece, blocks)| {
            let data = t.buffers.copy(piece, &blocks)?;
            Some(PartialPiece { piece, blocks, data })
        });
        let (partials, totals) = (partials.collect(), t.totals);
        self.event(Event::Partials { torrent, partials, totals });
    }

    /// The metadata of a magnet is complete.
    pub(super) fn metadata_done(&mut self, torrent: TorrentId, raw: Vec<u8>) {
        let t = &mut self.torrents[torrent];
        match Info::parse(&raw) {
            Ok(info) => {
                let pieces = info.layout.piece_count();
                let is_private = info.private;
                t.info = Some(info);
                t.raw_info.clone_from(&raw);
                t.metadata = None;
                t.phase = Phase::Storage;
                self.learn_piece_count(torrent, pieces);
                if is_private {
                    self.lsd_stop(torrent);
                    self.dht_stop(torrent);
                    self.announce(torrent, AnnounceInput::Private);
                    self.forget_peers(torrent);
                }
                for conn in self.torrents[torrent].conns.clone() {
                    self.tell_metadata_size(conn);
                }
                self.event(Event::MetadataReceived { torrent, info: raw });
            }
            Err(e) => self.storage_failed(torrent, format!("the metadata is unusable: {e}")),
        }
    }
}
