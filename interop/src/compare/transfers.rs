//! The parts `pairs`, `cross` and `sizes`: one seeder, one downloader, one torrent in memory, TCP without encryption.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bench::{Bench, Contender, GIB, figures, gib, limit, run_of};
use super::checks::{RATE, WALL};
use super::emptied;
use super::results::Run;
use super::wire::{self, Wire};
use crate::clients::aria2::Aria2;
use crate::clients::rqbit::Rqbit;
use crate::clients::transmission::Transmission;
use crate::clients::{Client, Job, Peer, Role, Source};
use crate::fixtures::{Payload, allocated_bytes};
use crate::ports::free_port;
use crate::proc::{Process, tail};
use crate::trackers::StaticTracker;
use crate::usage::{LOOK, Usage};

/// How long a transfer may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Piece lengths of the shapes, as they are named.
const PIECES: [(&str, u32); 4] = [
    ("16 KiB pieces", 16 << 10),
    ("256 KiB pieces", 256 << 10),
    (USUAL, 1 << 20),
    ("16 MiB pieces", 16 << 20),
];

/// Each client with itself, beside the same work without a protocol.
pub(super) fn pairs(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let payload = bench.large()?;
    let torrent = bench.torrent(&payload)?;
    let mut contenders = Vec::new();
    let others: [Box<dyn Client>; 3] =
        [Box::new(Aria2), Box::new(Transmission { is_plain: true }), Box::new(Rqbit)];
    let (own, own_torrent) = (payload.clone(), torrent.clone());
    contenders.push(Contender::new("unchoke", move || {
        transfer(bench, Pair::of(&bench.unchoke), &own, &own_torrent)
    }));
    let (own, own_torrent) = (payload.clone(), torrent.clone());
    contenders.push(
        Contender::new("libtorrent", move || {
            transfer(bench, Pair::of(&bench.libtorrent), &own, &own_torrent)
        })
        .unless(bench.libtorrent.missing()),
    );
    for client in others {
        let (own, own_torrent) = (payload.clone(), torrent.clone());
        let (name, missing) = (client.name(), client.missing());
        let run = move || transfer(bench, Pair::of(&*client), &own, &own_torrent);
        contenders.push(Contender::new(name, run).unless(missing));
    }
    for (name, hashing) in [(LANES, "lanes"), (STREAM, "stream")] {
        let own = payload.clone();
        contenders.push(Contender::new(name, move || without_protocol(bench, &own, hashing)));
    }
    Ok(contenders)
}

/// Ours with libtorrent, either way, beside libtorrent with itself.
pub(super) fn cross(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let payload = bench.large()?;
    let torrent = bench.torrent(&payload)?;
    let (ours, theirs): (&dyn Client, &dyn Client) = (&bench.unchoke, &bench.libtorrent);
    let pairs = [(OUR_SEED, ours, theirs), (OUR_LEECH, theirs, ours), (THEIRS, theirs, theirs)];
    let contender = |(name, seed, leech)| {
        let (payload, torrent) = (payload.clone(), torrent.clone());
        let run = move || transfer(bench, Pair { seed, leech, is_far: false }, &payload, &torrent);
        Contender::new(name, run).unless(bench.libtorrent.missing())
    };
    Ok(pairs.map(contender).into())
}

/// Ours with itself over payloads of other shapes, all of the same size.
pub(super) fn sizes(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let file = bench.as_large_as_small_files()?;
    let mut shapes: Vec<(&str, Payload)> = PIECES
        .iter()
        .map(|(name, piece_length)| (*name, Payload { piece_length: *piece_length, ..file.clone() }))
        .collect();
    shapes.push((SMALL_FILES, bench.small_files()?));
    let mut contenders = Vec::new();
    for (name, payload) in shapes {
        let torrent = bench.torrent(&payload)?;
        contenders.push(Contender::new(name, move || {
            transfer(bench, Pair::of(&bench.unchoke), &payload, &torrent)
        }));
    }
    Ok(contenders)
}

/// Clients with themselves at the ends of a long path.
pub(super) fn long(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let payload = bench.as_large_as_small_files()?;
    let torrent = bench.torrent(&payload)?;
    let clients: [&dyn Client; 3] = [&bench.unchoke, &bench.libtorrent, &Rqbit];
    Ok(clients.map(|client| far(bench, client, payload.clone(), torrent.clone())).into())
}

/// A client with itself over a long path.
fn far<'a>(bench: &'a Bench, client: &'a dyn Client, payload: Payload, torrent: PathBuf) -> Contender<'a> {
    let run = move || {
        let mut run = transfer(bench, Pair { is_far: true, ..Pair::of(client) }, &payload, &torrent)?;
        let bits = run.get(STEADY).map(|rate| rate * GIB * 8.0);
        run.extend(bits.map(|bits| (OF_LINK.to_owned(), bits * 100.0 / f64::from(wire::BITS_PER_S))));
        Ok(run)
    };
    Contender { once: true, ..Contender::new(client.name(), run) }.unless(client.missing())
}

/// Who is at the ends of a transfer.
#[derive(Clone, Copy)]
struct Pair<'a> {
    seed: &'a dyn Client,
    leech: &'a dyn Client,
    /// Whether there is a [`Wire`] between them.
    is_far: bool,
}

impl<'a> Pair<'a> {
    /// A client with itself.
    fn of(client: &'a dyn Client) -> Self {
        Self { seed: client, leech: client, is_far: false }
    }
}

/// One transfer from start to verified end, and what it cost both sides.
fn transfer(bench: &Bench, pair: Pair<'_>, payload: &Payload, torrent: &Path) -> Result<Run> {
    let Pair { seed, leech, is_far } = pair;
    let dirs = Dirs::new(bench)?;
    let (seed_port, leech_port) = (free_port()?, free_port()?);
    let at = bench.host.at(seed_port);
    let job = Job {
        role: Role::Seed,
        host: &bench.host,
        port: seed_port,
        source: Source::Torrent(torrent),
        dir: &payload.parent,
        state: &dirs.seed,
        dial: None,
        dht_nodes: &[],
        lsd: false,
        pex: false,
        rate_limit: None,
    };
    let seeder =
        seed.start(&job).with_context(|| format!("the seed: {}", tail(&dirs.seed.join("log"), 3)))?;
    let at = if is_far { Wire::start(bench.host.at(0), at)?.at } else { at };
    // One that cannot be told of a peer hears of it from a tracker.
    let announced = leech.must_be_dialled().then(|| Announced::new(bench, payload, at)).transpose()?;
    let get = Job {
        role: Role::Get,
        port: leech_port,
        source: Source::Torrent(announced.as_ref().map_or(torrent, |announced| &announced.torrent)),
        dir: &dirs.data,
        state: &dirs.leech,
        dial: Some(at),
        ..job
    };
    let mut watch = Watch::begin(seeder.process.pid(), &dirs.data, payload)?;
    let mut leecher = leech.start(&get).context("the downloader")?;
    watch
        .until_complete(leech, &mut leecher)
        .with_context(|| format!("the downloader: {}", tail(&dirs.leech.join("log"), 3)))?;
    drop((leecher, seeder));
    payload.check_copy(&dirs.data, true)?;
    Ok(watch.into_run())
}

/// The same bytes over a socket, hashed and written, and nothing else.
fn without_protocol(bench: &Bench, payload: &Payload, hashing: &str) -> Result<Run> {
    let dirs = Dirs::new(bench)?;
    let (source, copy) = (payload.path(), dirs.data.join(payload.name));
    let at = bench.host.at(free_port()?).to_string();
    let mut seeder = Process::start(
        limit(["send", source.to_str().context("a temporary path is UTF-8")?, &at])?,
        &dirs.seed.join("log"),
    )?;
    let mut watch = Watch::begin(seeder.pid(), &dirs.data, payload)?;
    let mut leecher = Process::start(
        limit(["receive", &at, copy.to_str().context("a temporary path is UTF-8")?, hashing])?,
        &dirs.leech.join("log"),
    )?;
    while !watch.look(leecher.pid())?.has_ended {
        thread::sleep(LOOK);
    }
    if !leecher.has_finished_well()? {
        bail!("the receiver goes on");
    }
    crate::proc::wait_until("the end of the sender", Duration::from_secs(5), || seeder.has_finished_well())?;
    payload.check_copy(&dirs.data, false)?;
    // They count their own time more finely than `/proc` does.
    let (sent, received) = (figures(&seeder.output()?)?, figures(&leecher.output()?)?);
    let mut run = watch.into_run();
    let size = gib(payload);
    let cost = |report: &Run, name: &str| report.get(name).copied().context("no cost in a report");
    run.insert(SEED_CPU.to_owned(), cost(&sent, "cpu_s")? / size);
    run.insert(LEECH_CPU.to_owned(), cost(&received, "cpu_s")? / size);
    run.insert(WALL.to_owned(), cost(&received, "wall_s")?);
    run.insert(RATE.to_owned(), size / cost(&received, "wall_s")?);
    Ok(run)
}

/// The folders of one transfer, removed with all that arrived when dropped.
struct Dirs {
    root: PathBuf,
    seed: PathBuf,
    leech: PathBuf,
    data: PathBuf,
}

impl Dirs {
    fn new(bench: &Bench) -> Result<Self> {
        let root = emptied(bench.path("transfer"))?;
        let dir = |name: &str| emptied(root.join(name));
        Ok(Self { seed: dir("seed")?, leech: dir("leech")?, data: dir("data")?, root: root.clone() })
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        // What is left is removed before the next transfer, and with the sitting.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The torrent with a tracker that names the seeder.
struct Announced {
    torrent: PathBuf,
    _tracker: StaticTracker,
}

impl Announced {
    fn new(bench: &Bench, payload: &Payload, seed: SocketAddr) -> Result<Self> {
        let SocketAddr::V4(seed) = seed else { bail!("the seeder has an IPv4 address") };
        let tracker = StaticTracker::start(seed)?;
        let torrent = emptied(bench.path("announced"))?.join("announced.torrent");
        bench.unchoke.create(payload, &torrent, &["--tracker", &tracker.url()])?;
        Ok(Self { torrent, _tracker: tracker })
    }
}

/// Looks at both sides again and again, and keeps what a run is made of.
struct Watch {
    seed_pid: u32,
    seed_before: Usage,
    seed: Usage,
    leech: Usage,
    begin: Instant,
    wall: Duration,
    /// The folder that fills, when it holds one file: it is measured at every look.
    filling: Option<PathBuf>,
    size: u64,
    gib: f64,
    /// When a tenth and nine tenths had arrived, and how much that was.
    marks: [Option<(Duration, u64)>; 2],
}

impl Watch {
    fn begin(seed_pid: u32, dir: &Path, payload: &Payload) -> Result<Self> {
        let seed = Usage::of(seed_pid)?;
        Ok(Self {
            seed_pid,
            seed_before: seed,
            seed,
            leech: Usage::default(),
            begin: Instant::now(),
            wall: Duration::ZERO,
            filling: payload.path().is_file().then(|| dir.join(payload.name)),
            size: payload.size,
            gib: gib(payload),
            marks: [None; 2],
        })
    }

    /// One look at both sides; the look at the downloader is returned.
    fn look(&mut self, leech_pid: u32) -> Result<Usage> {
        self.wall = self.begin.elapsed();
        let leech = Usage::of(leech_pid)?;
        let seed = Usage::of(self.seed_pid)?;
        let most = |seen: Usage, now: Usage| Usage { anon_mib: seen.anon_mib.max(now.anon_mib), ..now };
        (self.leech, self.seed) = (most(self.leech, leech), most(self.seed, seed));
        if let Some(file) = &self.filling {
            let arrived = allocated_bytes(file);
            for (mark, tenths) in self.marks.iter_mut().zip([1, 9]) {
                if mark.is_none() && arrived >= self.size / 10 * tenths {
                    *mark = Some((self.wall, arrived));
                }
            }
        }
        Ok(leech)
    }

    /// Looks until the downloader says that all is there.
    fn until_complete(&mut self, client: &dyn Client, leecher: &mut Peer) -> Result<()> {
        let pid = leecher.process.pid();
        loop {
            let leech = self.look(pid)?;
            let may_be_done = if client.ends_when_complete() {
                leech.has_ended
            } else {
                // To be asked costs the client time: it is asked when there is something to tell.
                self.filling.as_ref().is_none_or(|file| allocated_bytes(file) >= self.size)
            };
            if may_be_done && client.is_complete(leecher)? {
                return Ok(());
            }
            if self.wall > LIMIT {
                bail!("not complete after {} s", LIMIT.as_secs());
            }
            thread::sleep(LOOK);
        }
    }

    fn into_run(self) -> Run {
        let wall = self.wall.as_secs_f64();
        let mut run = run_of([
            (SEED_CPU, (self.seed.cpu_s - self.seed_before.cpu_s) / self.gib),
            (LEECH_CPU, self.leech.cpu_s / self.gib),
            (WALL, wall),
            (RATE, self.gib / wall),
            (SEED_ANON, self.seed.anon_mib),
            (LEECH_ANON, self.leech.anon_mib),
        ]);
        if let [Some((first, few)), Some((last, many))] = self.marks
            && last > first
        {
            let mib = u32::try_from((many - few) >> 20).map_or(0.0, f64::from);
            run.insert(STEADY.to_owned(), mib / 1024.0 / (last - first).as_secs_f64());
        }
        run
    }
}

/// Rows of these parts.
pub(super) const LANES: &str = "limit: no protocol, lanes";
pub(super) const STREAM: &str = "limit: no protocol, one stream";
pub(super) const OUR_SEED: &str = "unchoke → libtorrent";
pub(super) const OUR_LEECH: &str = "libtorrent → unchoke";
pub(super) const THEIRS: &str = "libtorrent → libtorrent";
pub(super) const USUAL: &str = "1 MiB pieces";
pub(super) const SMALL_FILES: &str = "files of 100 KiB";
/// Measures of these parts, beside [`WALL`] and [`RATE`]: CPU seconds for each GiB, MiB, GiB a second between a tenth
/// and nine tenths of the bytes.
pub(super) const SEED_CPU: &str = "seed_cpu";
pub(super) const LEECH_CPU: &str = "leech_cpu";
pub(super) const SEED_ANON: &str = "seed_anon_mib";
pub(super) const LEECH_ANON: &str = "leech_anon_mib";
pub(super) const STEADY: &str = "steady_gib_per_s";
/// What part of a long path is filled with payload at that rate, in percent.
pub(super) const OF_LINK: &str = "percent_of_link";
