//! Transfers between our binary and another client: both directions, every shape of payload, every way to be found.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::clients::{Client, Job, Peer, Role, Source};
use crate::fixtures::Payload;
use crate::lab::{Lab, Other};
use crate::netns::Site;
use crate::ports::free_port;
use crate::proc::wait_until;
use crate::trackers::{Dht, Opentracker};

/// Who is the seeder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// We download, or hear, from the other client.
    Get,
    /// The other client downloads, or hears, from us.
    Seed,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::Get, Self::Seed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Seed => "seed",
        }
    }

    /// The seeder, then the downloader.
    pub(crate) fn order<'a>(
        self,
        ours: &'a dyn Client,
        other: &'a dyn Client,
    ) -> (&'a dyn Client, &'a dyn Client) {
        match self {
            Self::Get => (other, ours),
            Self::Seed => (ours, other),
        }
    }
}

/// How the two find each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    /// One is told to dial the other.
    Dial,
    /// As `Dial`, and the downloader has only a magnet URI.
    Magnet,
    HttpTracker,
    UdpTracker,
    Dht,
}

impl Discovery {
    fn name(self) -> &'static str {
        match self {
            Self::Dial => "peer",
            Self::Magnet => "magnet",
            Self::HttpTracker => "http",
            Self::UdpTracker => "udp",
            Self::Dht => "dht",
        }
    }

    fn uses_tracker(self) -> bool {
        matches!(self, Self::HttpTracker | Self::UdpTracker)
    }

    fn is_told(self) -> bool {
        matches!(self, Self::Dial | Self::Magnet)
    }
}

/// One case.
#[derive(Clone, Copy)]
struct Transfer {
    other: Other,
    direction: Direction,
    discovery: Discovery,
    /// Index of a shape; `None` is the small payload.
    shape: Option<usize>,
}

/// The transfer cases: every client, direction and shape by dialling, then every way to be found.
pub(crate) fn cases(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for other in Other::ALL {
        for direction in Direction::BOTH {
            for shape in 0..lab.payloads.shapes.len() {
                let transfer = Transfer { other, direction, discovery: Discovery::Dial, shape: Some(shape) };
                cases.push(transfer.into_case(lab));
            }
        }
    }
    for discovery in [Discovery::Magnet, Discovery::HttpTracker, Discovery::UdpTracker, Discovery::Dht] {
        for other in Other::ALL {
            for direction in Direction::BOTH {
                cases.push(Transfer { other, direction, discovery, shape: None }.into_case(lab));
            }
        }
    }
    cases
}

impl Transfer {
    fn into_case(self, lab: &Lab) -> Case {
        let name = format!(
            "{}/{}/{}/{}",
            self.discovery.name(),
            self.direction.name(),
            lab.client(self.other).name(),
            self.payload(lab).label
        );
        Case::new(name, move |lab| self.missing(lab), move |lab, dir| self.run(lab, dir))
    }

    fn payload(self, lab: &Lab) -> &Payload {
        match self.shape {
            Some(index) => &lab.payloads.shapes[index],
            None => &lab.payloads.small,
        }
    }

    /// Where it happens: on loopback, unless the other client dials nobody it hears of there.
    fn site(self, lab: &Lab) -> Result<Site> {
        if lab.client(self.other).must_be_dialled() && !self.discovery.is_told() {
            lab.namespaced_site()
        } else {
            Ok(Site::loopback())
        }
    }

    fn missing(self, lab: &Lab) -> Option<String> {
        let router = || lab.libtorrent.missing().filter(|_| self.discovery == Discovery::Dht);
        let tracker = || Opentracker::missing().filter(|_| self.discovery.uses_tracker());
        let site = || self.site(lab).err().map(|error| format!("{error:#}"));
        lab.client(self.other).missing().or_else(router).or_else(tracker).or_else(site)
    }

    fn run(self, lab: &Lab, dir: &Path) -> Result<()> {
        let site = self.site(lab)?;
        let payload = self.payload(lab);
        let folders = Folders::new(dir)?;
        let torrent = dir.join("case.torrent");
        let meeting = Meeting::open(lab, self.discovery, payload, &site, &torrent)?;
        let magnet = match self.discovery {
            Discovery::Magnet => Some(lab.unchoke.magnet(&torrent)?),
            _ => None,
        };
        let (seeder, leecher) = self.direction.order(&lab.unchoke, lab.client(self.other));
        let (mut seed, mut get) = jobs(&site, payload, &torrent, &folders)?;
        if let Some(uri) = &magnet {
            get.source = Source::Magnet(uri);
        }
        if self.discovery.is_told() {
            introduce(&mut seed, &mut get, leecher);
        }
        seed.dht_nodes = meeting.dht_nodes();
        get.dht_nodes = meeting.dht_nodes();
        let (seeding, mut getting) = start_both(seeder, &seed, leecher, &get, || meeting.wait_for_seed())?;
        wait_for_completion(leecher, &mut getting)?;
        payload.check_copy(&folders.copy, leecher.omits_empty_files())?;
        finish(seeding).context("stop the seeder")?;
        finish(getting).context("stop the downloader")
    }
}

/// The place where the two hear of each other, when neither is told.
enum Meeting {
    Nowhere,
    Tracker(Opentracker),
    Dht(Dht),
}

impl Meeting {
    /// Opens it at `site` and makes the torrent that names it at `torrent`.
    fn open(lab: &Lab, discovery: Discovery, payload: &Payload, site: &Site, torrent: &Path) -> Result<Self> {
        let port = free_port()?;
        let host = &site.meeting;
        let at = if discovery == Discovery::Dht {
            SocketAddr::from((site.dht_ips[0], port))
        } else {
            host.at(port)
        };
        let url = match discovery {
            Discovery::HttpTracker => format!("http://{at}/announce"),
            Discovery::UdpTracker => format!("udp://{at}/announce"),
            Discovery::Dht => at.to_string(),
            Discovery::Dial | Discovery::Magnet => {
                lab.unchoke.create(payload, torrent, &[])?;
                return Ok(Self::Nowhere);
            }
        };
        let dir = torrent.with_file_name("meeting");
        if discovery == Discovery::Dht {
            // The node is in the torrent as well, for clients that cannot be told one.
            lab.unchoke.create(payload, torrent, &["--node", &url])?;
            let nodes = site.dht_ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect();
            return Ok(Self::Dht(Dht::start(&lab.libtorrent, host, nodes, &dir)?));
        }
        lab.unchoke.create(payload, torrent, &["--tracker", &url])?;
        let info_hash = lab.unchoke.info_hash(torrent)?;
        Ok(Self::Tracker(Opentracker::start(host, port, &info_hash, &dir)?))
    }

    fn dht_nodes(&self) -> &[SocketAddr] {
        match self {
            Self::Dht(dht) => &dht.nodes,
            Self::Nowhere | Self::Tracker(_) => &[],
        }
    }

    /// Waits until the seeder has made itself known: a downloader that asks earlier asks again much later.
    fn wait_for_seed(&self) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Tracker(tracker) => tracker.wait_for_seed(),
            Self::Dht(dht) => dht.wait_for_announce(),
        }
    }
}

/// Where the two sides of a case keep their things.
pub(crate) struct Folders {
    seeder: PathBuf,
    leecher: PathBuf,
    /// The downloader's download folder.
    pub(crate) copy: PathBuf,
}

impl Folders {
    /// Makes them below `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let folders =
            Self { seeder: dir.join("seeder"), leecher: dir.join("leecher"), copy: dir.join("copy") };
        for folder in [&folders.seeder, &folders.leecher, &folders.copy] {
            fs::create_dir_all(folder)?;
        }
        Ok(folders)
    }
}

/// What the seeder and the downloader are told, before either hears of the other.
pub(crate) fn jobs<'a>(
    site: &'a Site,
    payload: &'a Payload,
    torrent: &'a Path,
    folders: &'a Folders,
) -> Result<(Job<'a>, Job<'a>)> {
    let seed = Job {
        role: Role::Seed,
        host: &site.seeder,
        port: free_port()?,
        source: Source::Torrent(torrent),
        dir: &payload.parent,
        state: &folders.seeder,
        dial: None,
        dht_nodes: &[],
        lsd: false,
        pex: false,
        rate_limit: None,
    };
    let get = Job {
        role: Role::Get,
        host: &site.leecher,
        port: free_port()?,
        dir: &folders.copy,
        state: &folders.leecher,
        ..seed
    };
    Ok((seed, get))
}

/// Tells the downloader to dial the seeder, or the seeder to dial a downloader that must be dialled.
pub(crate) fn introduce(seed: &mut Job<'_>, get: &mut Job<'_>, leecher: &dyn Client) {
    if leecher.must_be_dialled() {
        seed.dial = Some(get.host.at(get.port));
    } else {
        get.dial = Some(seed.host.at(seed.port));
    }
}

/// Starts both, the one that is dialled first; `between` runs before a downloader that is to find the seeder.
pub(crate) fn start_both(
    seeder: &dyn Client,
    seed: &Job<'_>,
    leecher: &dyn Client,
    get: &Job<'_>,
    between: impl FnOnce() -> Result<()>,
) -> Result<(Peer, Peer)> {
    let start_seeder = || seeder.start(seed).context("start the seeder");
    let start_leecher = || leecher.start(get).context("start the downloader");
    if seed.dial.is_some() {
        let getting = start_leecher()?;
        return Ok((start_seeder()?, getting));
    }
    let seeding = start_seeder()?;
    between()?;
    Ok((seeding, start_leecher()?))
}

/// Waits until the client says that its download is complete.
pub(crate) fn wait_for_completion(client: &dyn Client, peer: &mut Peer) -> Result<()> {
    wait_until("the complete download", COMPLETION_LIMIT, || client.is_complete(peer))
}

/// Ends a client that has done its part, the polite way; one that ignores it fails the case.
pub(crate) fn finish(peer: Peer) -> Result<()> {
    peer.process.stop(Duration::from_secs(20))
}

/// A transfer takes seconds; this leaves room for a loaded machine and for one missed announce or rechoke round.
const COMPLETION_LIMIT: Duration = Duration::from_secs(120);

/// A case in each direction with every client that speaks to the local network, in namespaces that share one.
pub(crate) fn cases_on_one_wire(
    group: &str,
    lab: &Lab,
    run: fn(&Lab, Other, Direction, &Path) -> Result<()>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for other in [Other::Libtorrent, Other::Transmission, Other::Qbittorrent] {
        for direction in Direction::BOTH {
            let name = format!("{group}/{}/{}", direction.name(), lab.client(other).name());
            let missing = move |lab: &Lab| {
                let site = || lab.namespaced_site().err().map(|error| format!("{error:#}"));
                lab.client(other).missing().or_else(site)
            };
            cases.push(Case::new(name, missing, move |lab, dir| run(lab, other, direction, dir)));
        }
    }
    cases
}
