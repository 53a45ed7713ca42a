//! Rare paths that a run went down, as far as they show from outside. A test asserts that the scenarios together go
//! down all of them: a path that no scenario reaches is not tested.

use crate::checkers::Sight;
use crate::host::HostId;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_engine::input::PeerSource;
use unchoke_engine::output::TraceMessage;
use unchoke_engine::{CloseReason, ConnId, Event, TorrentId};
use unchoke_wire::BlockRef;
use unchoke_wire::message::{Message, id, parse_piece_header};

macro_rules! marks {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// A rare path.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mark { $($(#[doc = $doc])* $name,)* }

        impl Mark {
            /// Every mark.
            pub const ALL: &[Mark] = &[$(Mark::$name,)*];
        }
    };
}

marks! {
    /// A cancel went out since another peer had sent the block.
    EndGameCancel,
    /// A peer was too slow: its requests were cancelled and given to others.
    Snub,
    /// A choke came while requests were out.
    ChokedInTransfer,
    /// A request was rejected.
    RejectSent,
    /// A reject came.
    RejectReceived,
    /// Allowed-fast pieces were named to a choked peer.
    AllowedFastSent,
    /// A block was asked of a peer that chokes us.
    FastRequest,
    /// A block came that had been given up.
    LateBlock,
    /// A piece failed its hash check.
    PieceFailed,
    /// A peer was banned.
    PeerBanned,
    /// One of two connections to the same peer was closed.
    DuplicateClosed,
    /// A host dialled itself.
    SelfDialled,
    /// A peer broke the protocol.
    ProtocolClosed,
    /// A silent peer was closed.
    TimeoutClosed,
    /// A dial got no answer.
    DialTimeout,
    /// A connection was reset.
    Reset,
    /// Bytes were stuck for seconds.
    Stall,
    /// A keep-alive went out.
    KeepAliveSent,
    /// A bitfield went out.
    BitfieldSent,
    /// Have-all went out.
    HaveAllSent,
    /// Have-none went out.
    HaveNoneSent,
    /// Metadata came from peers.
    MetadataReceived,
    /// A liar sent metadata of a wrong hash, and an honest peer the right one.
    MetadataLiar,
    /// Peers were found by peer exchange.
    PexFound,
    /// Peers were found in the DHT.
    DhtFound,
    /// Peers were found in the local network.
    LsdFound,
    /// Peers were found by a tracker.
    TrackerFound,
    /// A tracker failed and another answered.
    TrackerFailover,
    /// A tracker warned.
    TrackerWarned,
    /// A storage failed.
    StorageFailed,
    /// A torrent completed after its storage had failed.
    StorageRecovered,
    /// A peer was closed since its id was not the one the tracker named.
    WrongPeerIdClosed,
    /// Connections of one address were refused, since as many waited for their handshake.
    ConnectsRefused,
    /// A connection without a handshake made way for another one.
    SilentDisplaced,
    /// Connections of an address that made too many were refused, and who closed each time was dialled ever more seldom.
    FlutterRefused,
    /// A peer that never gave anything made way for one that was waiting.
    UngivingReplaced,
    /// Metadata was asked for too often and rejected.
    MetadataRejected,
    /// A choked peer fetched what it was allowed too often and was closed.
    FastFetchesClosed,
    /// A peer asked for more than the queue holds and was closed.
    RequestsClosed,
    /// Claims made before the metadata was there contradicted it.
    EarlyClaimClosed,
    /// A stream was ended by one side and read on.
    HalfClosed,
    /// A torrent was removed while blocks were on their way.
    RemovedInTransfer,
    /// Datagrams of a host get lost, segments have to be sent again.
    Loss,
    /// Datagrams of a host arrive twice.
    Duplicate,
    /// Datagrams of a host overtake each other.
    Reorder,
    /// A host's packets take up to half a second longer.
    Jitter,
    /// Datagrams of a host arrive with a byte changed.
    CorruptDatagram,
    /// Hosts up to this one and hosts after it do not reach each other.
    Partition,
    /// Nothing that a host sends arrives; what is sent to it does.
    OneWayLoss,
    /// A host's connections are reset, once a second.
    ResetStorm,
    /// What a host sends on connections is stuck until the fault is over.
    StuckStreams,
    /// A host's connections are gone and the other sides do not hear of it until the fault is over.
    HalfOpen,
    /// A host's line has a hundredth of its rate.
    SlowLine,
    /// A host cannot be dialled.
    Nat,
    /// A host's connections are lost half open, and its datagrams come from another port from now on.
    NatRebind,
    /// A host's connections are lost half open, and it has another address from now on.
    IpChange,
    /// Datagrams of more than 200 bytes to or from a host get lost.
    MtuHole,
    /// A host's process is killed; it begins anew with all that was written.
    Kill,
    /// A host loses power and with it some of what was not synced.
    PowerCut,
    /// A host loses power; pieces that were not synced are half there.
    TornWrite,
    /// A host is suspended.
    Freeze,
    /// A host cannot open sockets: dials fail, nobody is accepted.
    NoDescriptors,
    /// A host's names do not resolve.
    DnsDown,
    /// A host's disk is full.
    DiskFull,
    /// Reads of a host's disk fail.
    ReadError,
    /// Every other write of a host's disk fails.
    WriteError,
    /// A host's disk takes a hundred times as long.
    SlowDisk,
    /// A host's disk does nothing until the fault is over.
    DiskStall,
    /// Every eighth block a host reads has a wrong byte.
    BitRot,
    /// A tracker does not answer.
    TrackerDown,
    /// A tracker answers with bytes that mean nothing.
    TrackerGarbage,
    /// A tracker takes twelve seconds.
    TrackerSlow,
    /// A tracker names peers that do not exist.
    TrackerWrongPeers,
    /// A tracker asks for intervals of nothing, less than nothing, or for ever.
    TrackerIntervals,
    /// A host spoils every fourth block it sends.
    Corrupting,
}

/// The marks of a run, and what is needed to see them.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    hit: BTreeSet<Mark>,
    is_timeout: bool,
    choking: BTreeMap<(HostId, ConnId), bool>,
    out: BTreeMap<(HostId, ConnId), BTreeSet<BlockRef>>,
    given_up: BTreeSet<(HostId, ConnId, BlockRef)>,
    failed_trackers: BTreeSet<(HostId, TorrentId)>,
    failed_storages: BTreeSet<(HostId, TorrentId)>,
}

impl Marks {
    /// Notes a mark.
    pub fn add(&mut self, mark: Mark) {
        self.hit.insert(mark);
    }

    /// The marks that were hit.
    pub fn hit(&self) -> &BTreeSet<Mark> {
        &self.hit
    }

    /// Forgets what passed between a host and its peers: it begins anew.
    pub(crate) fn restart(&mut self, host: HostId) {
        self.choking.retain(|(h, _), _| *h != host);
        self.out.retain(|(h, _), _| *h != host);
        self.given_up.retain(|(h, _, _)| *h != host);
    }

    pub(crate) fn see(&mut self, host: HostId, sight: &Sight<'_>) {
        match sight {
            Sight::Turn { is_timeout } => self.is_timeout = *is_timeout,
            Sight::Event(event) => self.event(host, event),
            Sight::Closed(conn) => {
                self.choking.remove(&(host, *conn));
                self.out.remove(&(host, *conn));
            }
            Sight::Message(trace) => {
                let TraceMessage::Message(bytes) = &trace.message else { return };
                match bytes.get(4) {
                    Some(&id::PIECE) => {
                        if let (false, Ok(Some(block))) = (trace.is_sent, parse_piece_header(bytes)) {
                            self.block(host, trace.conn, block);
                        }
                    }
                    // the most frequent one, and no rare path
                    Some(&id::HAVE) => {}
                    _ => {
                        if let Ok(Some((message, _))) = Message::parse(bytes) {
                            self.message(host, trace.conn, trace.is_sent, &message);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, host: HostId, conn: ConnId, block: BlockRef) {
        if let Some(out) = self.out.get_mut(&(host, conn)) {
            out.remove(&block);
        }
        if self.given_up.remove(&(host, conn, block)) {
            self.add(Mark::LateBlock);
        }
    }

    fn message(&mut self, host: HostId, conn: ConnId, is_sent: bool, message: &Message<'_>) {
        let at = (host, conn);
        match (is_sent, message) {
            (true, Message::Request(block)) => {
                if self.choking.get(&at).copied().unwrap_or(true) {
                    self.add(Mark::FastRequest);
                }
                self.out.entry(at).or_default().insert(*block);
            }
            (true, Message::Cancel(block)) => {
                self.add(if self.is_timeout { Mark::Snub } else { Mark::EndGameCancel });
                self.given_up.insert((host, conn, *block));
            }
            (false, Message::Unchoke) => {
                self.choking.insert(at, false);
            }
            (false, Message::Choke) => {
                self.choking.insert(at, true);
                if self.out.get(&at).is_some_and(|out| !out.is_empty()) {
                    self.add(Mark::ChokedInTransfer);
                }
            }
            (false, Message::Reject(block)) => {
                self.add(Mark::RejectReceived);
                self.given_up.remove(&(host, conn, *block));
            }
            (true, Message::Reject(_)) => self.add(Mark::RejectSent),
            (true, Message::AllowedFast(_)) => self.add(Mark::AllowedFastSent),
            (true, Message::KeepAlive) => self.add(Mark::KeepAliveSent),
            (true, Message::Bitfield(_)) => self.add(Mark::BitfieldSent),
            (true, Message::HaveAll) => self.add(Mark::HaveAllSent),
            (true, Message::HaveNone) => self.add(Mark::HaveNoneSent),
            _ => {}
        }
    }

    fn event(&mut self, host: HostId, event: &Event) {
        match event {
            Event::PieceFailed { .. } => self.add(Mark::PieceFailed),
            Event::PeerBanned { .. } => self.add(Mark::PeerBanned),
            Event::MetadataReceived { .. } => self.add(Mark::MetadataReceived),
            Event::PeersFound { source, new, .. } if *new > 0 => match source {
                PeerSource::Pex => self.add(Mark::PexFound),
                PeerSource::Dht => self.add(Mark::DhtFound),
                PeerSource::Lsd => self.add(Mark::LsdFound),
                PeerSource::Tracker => self.add(Mark::TrackerFound),
                _ => {}
            },
            Event::PeerDisconnected { reason, .. } => match reason {
                CloseReason::Duplicate => self.add(Mark::DuplicateClosed),
                CloseReason::Protocol(_) => self.add(Mark::ProtocolClosed),
                CloseReason::Timeout => self.add(Mark::TimeoutClosed),
                _ => {}
            },
            Event::TrackerFailed { torrent, .. } => {
                self.failed_trackers.insert((host, *torrent));
            }
            Event::TrackerReplied { torrent, warning, .. } => {
                if self.failed_trackers.contains(&(host, *torrent)) {
                    self.add(Mark::TrackerFailover);
                }
                if warning.is_some() {
                    self.add(Mark::TrackerWarned);
                }
            }
            Event::StorageFailed { torrent, .. } => {
                self.add(Mark::StorageFailed);
                self.failed_storages.insert((host, *torrent));
            }
            Event::Completed { torrent } if self.failed_storages.contains(&(host, *torrent)) => {
                self.add(Mark::StorageRecovered);
            }
            _ => {}
        }
    }
}
