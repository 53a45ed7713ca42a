//! What many idle torrents cost: `cargo run --release -p unchoke-runtime --example idle -- 10000 [SECONDS]`.
//!
//! Writes a state store of so many seeds (1 GiB in 256 pieces each, two trackers on loopback that answer), starts a
//! session on it with the DHT on, and prints how long it takes to be ready, its memory, and its CPU time afterwards.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use unchoke_runtime::storage::{ResumeRecord, StateChange, StateStore, TorrentEntry};
use unchoke_runtime::{Session, SessionConfig, State};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::{Bitfield, Metainfo};

const PIECES: u32 = 256;
const PIECE_LEN: u32 = 4 << 20;
const BATCH: u32 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // its CPU time and memory are not the session's
    if args.first().is_some_and(|a| a == "tracker") {
        return answer(&TcpListener::bind("127.0.0.1:0")?);
    }
    let count = args.first().map_or(Ok(10_000), |n| n.parse())?;
    let seconds = args.get(1).map_or(Ok(60), |n| n.parse())?;
    let mut tracker =
        Command::new(std::env::current_exe()?).arg("tracker").stdout(std::process::Stdio::piped()).spawn()?;
    let mut line = [0; 6];
    tracker.stdout.take().ok_or("no output")?.read_exact(&mut line)?;
    let port: u16 = std::str::from_utf8(&line)?.trim().parse()?;
    let dir = std::env::temp_dir().join(format!("unchoke-idle-{}", std::process::id()));
    let result = generate(&dir, count, port).and_then(|()| measure(&dir, count, seconds));
    tracker.kill()?;
    std::fs::remove_dir_all(&dir)?;
    result
}

/// Writes the store.
fn generate(dir: &Path, count: u32, port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let store = StateStore::open(dir)?;
    let mut changes = Vec::new();
    for n in 0..count {
        let name = format!("Torrent number {n} of those that nobody wants");
        let length = u64::from(PIECES) * u64::from(PIECE_LEN);
        let trackers: Vec<Vec<String>> =
            [1, 2].iter().map(|t| vec![format!("http://127.0.0.1:{port}/announce/{t}")]).collect();
        let builder = MetainfoBuilder {
            files: vec![BuildFile { path: vec![name.clone()], length, ..BuildFile::default() }],
            name: name.clone(),
            piece_len: PIECE_LEN,
            pieces: vec![[7; 20]; usize::try_from(PIECES)?],
            trackers: trackers.clone(),
            ..MetainfoBuilder::default()
        };
        let bytes = builder.build()?;
        let hashes = Metainfo::parse(&bytes)?.info_hashes;
        let hash = hashes.best().ok_or("no hash")?.wire();
        let mut entry = TorrentEntry::new(hashes, dir.to_owned(), 1_700_000_000);
        (entry.name, entry.total_len, entry.trackers) = (Some(name), Some(length), trackers);
        (entry.pieces, entry.have, entry.left) = (Some(PIECES), Some(PIECES), Some(0));
        let mut record = ResumeRecord::new(hash, hashes);
        record.have = Bitfield::all(PIECES);
        changes.push(StateChange::Entry(hash, entry));
        changes.push(StateChange::Metainfo(hash, bytes));
        changes.push(StateChange::Record(record));
        if (n + 1) % BATCH == 0 || n + 1 == count {
            store.commit(&std::mem::take(&mut changes))?;
        }
    }
    Ok(())
}

fn measure(dir: &Path, count: u32, seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    println!("before: {} KiB resident, {:.2} s CPU", status("VmRSS:")?, cpu_s()?);
    // what was written must not count as what is held
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (begin, cpu) = (Instant::now(), cpu_s()?);
    let config = SessionConfig { state_dir: Some(dir.to_owned()), ..SessionConfig::loopback() };
    let session = Session::start(config)?;
    let is_ready = |all: Vec<unchoke_runtime::Summary>| {
        all.len() == usize::try_from(count).unwrap_or(usize::MAX)
            && all.iter().all(|s| s.stats.state == State::Seeding)
    };
    while !is_ready(session.summaries()?) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ready_s = begin.elapsed().as_secs_f64();
    println!("{count} torrents ready in {ready_s:.2} s, {:.2} s CPU", cpu_s()? - cpu);
    let memory = || -> Result<u64, Box<dyn std::error::Error>> {
        let (rss, anon, peak) = (status("VmRSS:")?, status("RssAnon:")?, status("VmHWM:")?);
        println!("resident {} MiB, of its own {} MiB, at most {} MiB", rss >> 10, anon >> 10, peak >> 10);
        Ok(rss >> 10)
    };
    memory()?;
    let cpu = cpu_s()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu_s()? - cpu;
    let cpu_percent = used * 100.0 / f64::from(u32::try_from(seconds)?);
    println!("{used:.2} s CPU in {seconds} s: {cpu_percent:.2} % of a core");
    let rss_mib = memory()?;
    let end = Instant::now();
    session.shutdown(Duration::from_secs(5));
    println!("ended in {:.2} s", end.elapsed().as_secs_f64());
    // `cargo xtask compare` reads the last line
    println!("{{\"ready_s\":{ready_s:.3},\"rss_mib\":{rss_mib},\"cpu_percent\":{cpu_percent:.3}}}");
    Ok(())
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|l| l.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

/// CPU time of this process, user and system.
fn cpu_s() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no fields")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// A tracker that knows of nobody, and keeps its connections.
fn answer(listener: &TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    let addr: SocketAddr = listener.local_addr()?;
    print!("{:<6}", addr.port());
    std::io::stdout().flush()?;
    for stream in listener.incoming() {
        let mut stream: TcpStream = stream?;
        std::thread::spawn(move || {
            let body = "d8:completei1e10:incompletei0e8:intervali1800e5:peers0:e";
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let (mut buf, mut len) = ([0; 4096], 0);
            while let Ok(n) = stream.read(&mut buf[len..]) {
                len += n;
                if n == 0 || len == buf.len() {
                    return;
                }
                if buf[..len].ends_with(b"\r\n\r\n") {
                    len = 0;
                    if stream.write_all(reply.as_bytes()).is_err() {
                        return;
                    }
                }
            }
        });
    }
    Ok(())
}
