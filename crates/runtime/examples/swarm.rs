//! A swarm in one process, measured: `swarm [--leeches N] [--mib N] [--piece-kib N] [--known N] [--dir DIR]` starts
//! one seed and some leeches on loopback, each of which knows the seed and some others, and tells what it cost.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use unchoke_engine::Settings;
use unchoke_runtime::{AddTorrent, Session, SessionConfig};
use unchoke_wire::Metainfo;
use unchoke_wire::metainfo::MetainfoBuilder;
use unchoke_wire::metainfo::build::BuildFile;

type Failure = Box<dyn std::error::Error>;

struct Options {
    leeches: usize,
    mib: usize,
    piece_kib: usize,
    known: usize,
    dir: String,
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let dir = Path::new(&options.dir).join("unchoke-swarm");
    // what an earlier run may have left
    let _ = std::fs::remove_dir_all(&dir);
    let metainfo = make(&dir.join("seed"), &options)?;
    let seed = Session::start(config())?;
    let add = AddTorrent { seed_only: true, ..AddTorrent::new(metainfo.clone(), dir.join("seed")) };
    seed.add(add)?.wait_complete(Duration::from_secs(600))?;
    let sessions: Vec<Session> =
        (0..options.leeches).map(|_| Session::start(config())).collect::<Result<_, _>>()?;
    let mut addrs: Vec<SocketAddr> = vec![seed.local_addr()];
    let (began, cpu) = (Instant::now(), cpu_s()?);
    let mut torrents = Vec::new();
    for (i, session) in sessions.iter().enumerate() {
        let others = addrs.iter().skip(1).rev().take(options.known);
        let peers = addrs.iter().take(1).chain(others).copied().collect();
        let add = AddTorrent { peers, ..AddTorrent::new(metainfo.clone(), dir.join(i.to_string())) };
        torrents.push(session.add(add)?);
        addrs.push(session.local_addr());
    }
    for torrent in &torrents {
        torrent.wait_complete(Duration::from_secs(3600))?;
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_s()? - cpu);
    let mib = u32::try_from(options.mib * options.leeches)?;
    let gib = f64::from(mib) / 1024.0;
    println!(
        "{} leeches, {} MiB each: {wall:.1} s wall, {cpu:.1} CPU s, {:.2} CPU s/GiB moved (all sides), {} MiB of memory at most",
        options.leeches,
        options.mib,
        cpu / gib,
        memory_mib()?
    );
    drop((torrents, sessions, seed));
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { leeches: 50, mib: 16, piece_kib: 256, known: 4, dir: "/tmp".to_owned() };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--leeches" => options.leeches = value.parse()?,
            "--mib" => options.mib = value.parse()?,
            "--piece-kib" => options.piece_kib = value.parse()?,
            "--known" => options.known = value.parse()?,
            "--dir" => options.dir = value,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(options)
}

/// One thread for the torrent, which also hashes and writes; room for everybody.
fn config() -> SessionConfig {
    let loopback = SessionConfig::loopback();
    let engine = Settings {
        connections_max: 2_000,
        torrent_connections_max: 1_000,
        upload_slots: 50,
        ..loopback.engine.clone()
    };
    SessionConfig { dht: false, shards: Some(1), workers: 0, engine, ..loopback }
}

/// Writes made-up data below `dir`; the torrent of it.
fn make(dir: &Path, options: &Options) -> Result<Metainfo, Failure> {
    std::fs::create_dir_all(dir)?;
    let mut state = 7u64;
    let words = (0..options.mib << 17).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ (state >> 29)).to_le_bytes()
    });
    let data: Vec<u8> = words.collect();
    std::fs::write(dir.join("swarm.bin"), &data)?;
    let pieces: Vec<&[u8]> = data.chunks(options.piece_kib << 10).collect();
    let mut digests = vec![[0; 20]; pieces.len()];
    unchoke_hash::sha1_batch(&pieces, &mut digests);
    let length = u64::try_from(data.len())?;
    let file = BuildFile { path: vec!["swarm.bin".to_owned()], length, ..BuildFile::default() };
    let builder = MetainfoBuilder {
        name: "swarm.bin".to_owned(),
        files: vec![file],
        piece_len: u32::try_from(options.piece_kib << 10)?,
        pieces: digests,
        ..MetainfoBuilder::default()
    };
    Ok(Metainfo::parse(&builder.build()?)?)
}

/// CPU seconds of this process so far, in user and system mode, in hundredths.
fn cpu_s() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or("a line of another kind")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}

/// The most memory this process has had, in MiB.
fn memory_mib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("not told")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
