//! The least that the work can cost on a machine: programs of ours that read, hash, send and receive, and do nothing
//! else. `compare` runs each as a process of its own (`unchoke-interop limit …`); each prints one JSON object with
//! `cpu_s` of all its threads and `wall_s`.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use unchoke_hash::{Sha1Stream, lanes, sha1_batch};

use crate::fixtures::Rng;

/// Bytes read, hashed, received and written as one.
pub(super) const PIECE: usize = 1 << 20;
/// The most that one `sendfile` is asked for.
const SENT_AT_ONCE: usize = 1 << 20;
/// How often the receiver tries to reach a sender that is just starting.
const TRIES: u32 = 200;

/// Runs the program that the arguments name, and prints what it cost.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let cost = match args[..] {
        ["read", file] => timed(|| read(&File::open(file)?))?,
        ["hash", mib] => hash(mib.parse().context("hash needs a number of MiB")?)?,
        ["send", file, at] => send(&File::open(file)?, at.parse()?)?,
        ["receive", at, file, hashing] => {
            let hashing = Hashing::named(hashing)?;
            timed(|| receive(connect(at.parse()?)?, &File::create(file)?, hashing))?
        }
        _ => bail!("limit read FILE | hash MIB | send FILE IP:PORT | receive IP:PORT FILE lanes|stream"),
    };
    println!("{}", json!({"cpu_s": cost.0, "wall_s": cost.1}));
    Ok(())
}

/// How the receiver hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashing {
    /// As many pieces together as the kernels take.
    Lanes,
    /// Each piece as it comes.
    Stream,
}

impl Hashing {
    fn named(name: &str) -> Result<Self> {
        match name {
            "lanes" => Ok(Self::Lanes),
            "stream" => Ok(Self::Stream),
            _ => bail!("no hashing is named {name}"),
        }
    }
}

/// CPU seconds and wall seconds of `work`.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    work()?;
    Ok((cpu_seconds() - cpu, wall.elapsed().as_secs_f64()))
}

/// Of this process, all threads together.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let time = Duration::new(
        u64::try_from(time.tv_sec).expect("no process has negative time"),
        u32::try_from(time.tv_nsec).expect("below a billion"),
    );
    time.as_secs_f64()
}

/// Runs `work` on a thread for each core, told which of how many it is.
fn on_all_cores(work: impl Fn(usize, usize) -> Result<()> + Sync) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core, cores))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("limits do not panic"))
    })
}

/// Reads the whole file, each core a piece at a time.
fn read(file: &File) -> Result<()> {
    let len = usize::try_from(file.metadata()?.len())?;
    on_all_cores(|core, cores| {
        let mut buffer = vec![0; PIECE];
        let mut at = core * buffer.len();
        while at < len {
            let count = buffer.len().min(len - at);
            file.read_exact_at(&mut buffer[..count], u64::try_from(at)?)?;
            at += cores * buffer.len();
        }
        Ok(())
    })
}

/// Hashes `mib` MiB that are in memory before it begins, the same few pieces of each core over and over.
fn hash(mib: usize) -> Result<(f64, f64)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pieces: Vec<Vec<u8>> = (0..lanes() * cores).map(|_| Rng::new(1).bytes(PIECE)).collect();
    timed(|| {
        on_all_cores(|core, cores| {
            let mine: Vec<&[u8]> = pieces[core * lanes()..][..lanes()].iter().map(Vec::as_slice).collect();
            let mut digests = vec![[0; 20]; mine.len()];
            for _ in 0..mib.div_ceil(lanes() * cores) {
                sha1_batch(&mine, &mut digests);
            }
            std::hint::black_box(&digests);
            Ok(())
        })
    })
}

/// Sends the file to the first who connects, and waits until they have hung up.
fn send(file: &File, at: SocketAddr) -> Result<(f64, f64)> {
    let len = file.metadata()?.len();
    let (mut stream, _) = TcpListener::bind(at)?.accept()?;
    timed(|| {
        let mut sent = 0;
        while sent < len {
            if rustix::fs::sendfile(&stream, file, Some(&mut sent), SENT_AT_ONCE)? == 0 {
                bail!("the file ended early");
            }
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        // Nothing comes but the end.
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    })
}

fn connect(at: SocketAddr) -> Result<TcpStream> {
    for _ in 0..TRIES {
        if let Ok(stream) = TcpStream::connect(at) {
            return Ok(stream);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nobody sends at {at}")
}

/// Receives pieces until the stream ends, hashes them, and writes each batch of them.
fn receive(mut stream: TcpStream, file: &File, hashing: Hashing) -> Result<()> {
    let batch = if hashing == Hashing::Lanes { lanes() } else { 1 };
    let mut buffer = vec![0; PIECE * batch];
    let mut digests = vec![[0; 20]; batch];
    let mut written = 0;
    loop {
        let mut filled = 0;
        let mut digest = Sha1Stream::new();
        while filled < buffer.len() {
            let count = stream.read(&mut buffer[filled..])?;
            if count == 0 {
                break;
            }
            if hashing == Hashing::Stream {
                digest.update(&buffer[filled..filled + count]);
            }
            filled += count;
        }
        if filled == 0 {
            return Ok(());
        }
        match hashing {
            Hashing::Stream => digests[0] = digest.finish(),
            Hashing::Lanes => {
                let pieces: Vec<&[u8]> = buffer[..filled].chunks(PIECE).collect();
                sha1_batch(&pieces, &mut digests[..pieces.len()]);
            }
        }
        std::hint::black_box(&digests);
        file.write_all_at(&buffer[..filled], written)?;
        written += u64::try_from(filled)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_however_it_is_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, Rng::new(5).bytes(PIECE * 3 + 17)).unwrap();
        for hashing in [Hashing::Lanes, Hashing::Stream] {
            let at = SocketAddr::from(([127, 0, 0, 1], crate::ports::free_port().unwrap()));
            let source = File::open(&from).unwrap();
            let sender = thread::spawn(move || send(&source, at).unwrap());
            receive(connect(at).unwrap(), &File::create(&to).unwrap(), hashing).unwrap();
            sender.join().unwrap();
            assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
        }
    }

    #[test]
    fn unknown_programs_are_refused() {
        assert!(run(&["rest".to_owned()]).is_err());
        assert!(Hashing::named("none").is_err());
    }
}
