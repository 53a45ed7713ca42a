//! What goes into and comes out of an [`Announcer`](super::Announcer).

use crate::id::ShardId;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use unchoke_wire::compact::Family;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::udp_tracker::ScrapeStats;
use unchoke_wire::{PeerId, WireHash};

/// What an announcer is made of.
#[derive(Clone, Debug)]
pub struct AnnouncerSettings {
    /// The torrent.
    pub info_hash: WireHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// A random number, the same as long as the torrent is loaded.
    pub key: u32,
    /// The TCP port peers reach us on.
    pub port: u16,
    /// The top byte of every transaction id, by which the hub finds the engine a datagram belongs to.
    pub shard: ShardId,
    /// The address families we have.
    pub families: Families,
    /// Whether the torrent is private: one tracker at a time (BEP 27).
    pub is_private: bool,
    /// URLs of trackers, best tier first.
    pub tiers: Vec<Vec<String>>,
}

/// The address families trackers are asked over. With none, nobody is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What a torrent has done since it was started, as trackers want to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnnounceTotals {
    /// Block bytes sent.
    pub uploaded: u64,
    /// Block bytes received.
    pub downloaded: u64,
    /// Block bytes received that failed their hash check.
    pub corrupt: u64,
    /// Bytes that are missing; `None` while the size is unknown.
    pub left: Option<u64>,
}

/// One thing that happened.
#[derive(Debug)]
pub enum AnnounceInput<'a> {
    /// The time of [`next_timeout`](super::Announcer::next_timeout) has come.
    Timeout,
    /// The torrent starts, or goes on after `Stop`.
    Start {
        /// Whether nothing is missing already, so that no tracker is told `completed`.
        is_complete: bool,
    },
    /// The same, and no tracker is asked before this time has passed.
    StartLater {
        /// Whether nothing is missing already.
        is_complete: bool,
        /// How long to wait, unless [`AnnounceInput::AnnounceNow`] comes.
        delay: Duration,
    },
    /// What is due, and not begun, waits until then.
    Later(Instant),
    /// The last missing piece was verified.
    Completed,
    /// The torrent stops: every tracker that knows of us is told so, for five seconds at most.
    Stop,
    /// More peers are wanted. The trackers' least intervals hold all the same.
    AnnounceNow,
    /// We are reached at another address: trackers are asked at this time, whatever their least intervals, but not for
    /// this reason twice in a minute.
    Moved(Instant),
    /// The metadata says that the torrent is private: one tracker at a time from now on.
    Private,
    /// The counts of a tracker are wanted. Answered by [`AnnounceOutput::Scraped`].
    Scrape,
    /// Other trackers from now on. What is known of those in both lists is kept.
    SetTiers(Vec<Vec<String>>),
    /// An HTTP request is done.
    HttpDone {
        /// Its number.
        request: u32,
        /// Status and decoded body, or why there are none.
        reply: Result<(u16, &'a [u8]), String>,
        /// The address that answered, if the shell knows it.
        remote: Option<IpAddr>,
    },
    /// A name was resolved, or not.
    Resolved {
        /// The request's number.
        request: u32,
        /// The addresses, or why there are none.
        addresses: Result<&'a [IpAddr], String>,
    },
    /// A datagram with our shard as the top byte of its transaction id. One that answers nothing is ignored.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq)]
pub enum AnnounceOutput {
    /// Do an HTTP GET. Answered by [`AnnounceInput::HttpDone`].
    Http {
        /// A number this announcer never uses again.
        request: u32,
        /// What to get. It may hold a pass key.
        url: String,
        /// The address family to use.
        family: Family,
        /// How long it may take in all.
        timeout: Duration,
    },
    /// Resolve a name. Answered by [`AnnounceInput::Resolved`].
    Resolve {
        /// A number this announcer never uses again.
        request: u32,
        /// The name; never an address.
        host: String,
    },
    /// Send a datagram.
    Datagram {
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// A tracker named these peers.
    Peers {
        /// Their addresses, and their ids where the tracker told them.
        peers: Vec<(SocketAddr, Option<PeerId>)>,
        /// The tracker's address, to judge the peers' scope by; `None`: take it for a stranger in the internet.
        tracker: Option<IpAddr>,
    },
    /// A tracker answered an announce.
    Replied {
        /// Its URL, pass keys taken out.
        url: String,
        /// Peers it named.
        peers: usize,
        /// Its warning.
        warning: Option<String>,
        /// When it is asked next.
        next_in: Duration,
        /// Seeds it knows of.
        complete: Option<u32>,
        /// Leeches it knows of.
        incomplete: Option<u32>,
    },
    /// A tracker failed.
    Failed {
        /// Its URL, pass keys taken out.
        url: String,
        /// What went wrong, for people.
        error: String,
        /// When it may be asked next; `None`: never again.
        next_in: Option<Duration>,
    },
    /// A tracker sees us at this address: one vote.
    ExternalIp(IpAddr),
    /// The answer to [`AnnounceInput::Scrape`].
    Scraped {
        /// The tracker's URL, pass keys taken out; empty when there is none to ask.
        url: String,
        /// The counts, or why there are none.
        result: Result<ScrapeStats, String>,
    },
    /// A private torrent changed to another tracker: every peer is to be dropped before the new ones come.
    PrivateTrackerChanged,
}

impl fmt::Debug for AnnounceOutput {
    /// Leaves out what may hold a pass key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnnounceOutput::Http { request, family, timeout, .. } => {
                write!(f, "Http({request}, {family:?}, {timeout:?})")
            }
            AnnounceOutput::Resolve { request, host } => write!(f, "Resolve({request}, {host:?})"),
            AnnounceOutput::Datagram { to, bytes } => write!(f, "Datagram({to}, {} bytes)", bytes.len()),
            AnnounceOutput::Peers { peers, tracker } => write!(f, "Peers({peers:?}, {tracker:?})"),
            AnnounceOutput::Replied { url, peers, warning, next_in, .. } => {
                write!(f, "Replied({url}, {peers} peers, {warning:?}, {next_in:?})")
            }
            AnnounceOutput::Failed { url, error, next_in } => {
                write!(f, "Failed({url}, {error:?}, {next_in:?})")
            }
            AnnounceOutput::ExternalIp(ip) => write!(f, "ExternalIp({ip})"),
            AnnounceOutput::Scraped { url, result } => write!(f, "Scraped({url}, {result:?})"),
            AnnounceOutput::PrivateTrackerChanged => write!(f, "PrivateTrackerChanged"),
        }
    }
}

/// What there is to do, in order. What is not taken is dropped.
#[derive(Debug)]
pub struct AnnounceOutputs<'a>(pub(super) std::vec::Drain<'a, AnnounceOutput>);

impl Iterator for AnnounceOutputs<'_> {
    type Item = AnnounceOutput;

    fn next(&mut self) -> Option<AnnounceOutput> {
        self.0.next()
    }
}
