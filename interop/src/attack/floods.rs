//! Floods at their full numbers: a million messages from one peer, ten thousand connections a second from one address and
//! from many, while an honest peer gets in and a transfer goes on.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_engine::hub::{PENDING_MAX, PENDING_PER_IP_MAX};
use unchoke_sim::scenarios::hostile::Victim;
use unchoke_sim::swarm::{About, Content};
use unchoke_wire::message::Message;
use unchoke_wire::{PieceIndex, WireHash};

use super::daemon::Daemon;
use super::player::dial_from;
use super::raw::{Raw, stranger};
use super::rows::Pair;
use crate::case::ensure_quick;

/// Plays all floods against one daemon.
pub(super) fn run(binary: &Path, dir: &Path) -> Result<()> {
    let mut pair = Pair::start(binary, dir)?;
    let content = Content::random(77, 64 << 20, 256 << 10, About::default());
    pair.exchange(&content, Victim::Leech)?;
    let hash = content.hash();
    let alone = rate(&pair.victim)?;
    let calm = pair.victim.resident()?;
    messages(&pair.victim, hash)?;
    let from_one = |_| IpAddr::from(Ipv4Addr::new(127, 200, 0, 1));
    // a quarter of the places may be one address's, decision 0014
    connects(&pair.victim, hash, PENDING_MAX / 4 + PENDING_PER_IP_MAX, "one address", from_one)?;
    let attacked = connects(&pair.victim, hash, PENDING_MAX, "many addresses", |n| stranger(201, n))?;
    let growth = pair.victim.resident()?.saturating_sub(calm);
    println!(
        "floods: transfer {alone:.0} B/s alone, {attacked:.0} under floods; memory +{} KiB",
        growth >> 10
    );
    ensure!(growth < 64 << 20, "memory grew by {growth} bytes");
    pair.victim.expect_running()?;
    pair.victim.stop()?;
    ensure_quick(attacked >= alone * 0.9, || {
        format!("the transfer went at {attacked:.0} bytes a second, and {alone:.0} alone")
    })
}

/// Bytes a second the victim gets.
fn rate(victim: &Daemon) -> Result<f64> {
    let (before, start) = (victim.moved()?.0, Instant::now());
    thread::sleep(MEASURED);
    Ok((victim.moved()?.0 - before) as f64 / start.elapsed().as_secs_f64())
}

/// A million messages of each kind, each from a peer of its own: it is closed, and soon.
//= H3b-11
//= H3b-12
//= H3b-17
//= H3b-35
fn messages(victim: &Daemon, hash: WireHash) -> Result<()> {
    let unknown = [0, 0, 0, 2, 99, 1];
    let have = Message::Have(PieceIndex(3)).to_vec();
    let interest = [Message::Interested.to_vec(), Message::NotInterested.to_vec()].concat();
    let floods: [(&str, &[u8]); 4] = [
        ("keep-alives", &[0; 4]),
        ("unknown messages", &unknown),
        ("haves", &have),
        ("changes of mind", &interest),
    ];
    for (n, (name, message)) in (0u32..).zip(floods) {
        let mut peer = Raw::join(stranger(199, n), victim.addr, hash)?;
        let bytes = message.repeat(1000);
        // the writes end with the connection
        let sent = (0..1000).take_while(|_| peer.stream.write_all(&bytes).is_ok()).count();
        ensure!(peer.is_closed_within(CLOSED_WITHIN), "a million {name} left the connection open");
        println!("floods: {name}: closed after {sent},000 of 1,000,000 were written");
    }
    Ok(())
}

/// Connects and is silent, ten thousand times a second, from the addresses `from` says. Answers the rate of the transfer.
//= H3b-7
//= H3b-8
fn connects(
    victim: &Daemon,
    hash: WireHash,
    pending_max: usize,
    name: &str,
    from: impl Fn(u32) -> IpAddr + Sync,
) -> Result<f64> {
    let idle = victim.descriptors()?;
    let (stop, made, most) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (speed, answers) = thread::scope(|scope| {
        scope.spawn(|| flood(victim.addr, &from, &made, &stop));
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let open = u64::try_from(victim.descriptors().unwrap_or(0)).unwrap_or(0);
                most.fetch_max(open, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let measured = scope.spawn(|| rate(victim));
        let answers = (0..20).map(|n| {
            let start = Instant::now();
            let joined =
                Raw::join(stranger(202, n), victim.addr, hash).context("an honest peer under the flood");
            thread::sleep(Duration::from_millis(100));
            joined.map(|_| start.elapsed())
        });
        let answers: Result<Vec<Duration>> = answers.collect();
        let speed = measured.join();
        stop.store(true, Ordering::Relaxed);
        (speed, answers)
    });
    let speed = speed.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    let slowest = answers?.into_iter().max().unwrap_or_default().saturating_sub(Duration::from_millis(100));
    let (made, most) = (made.into_inner(), most.into_inner());
    let per_s = made as f64 / MEASURED.as_secs_f64();
    println!(
        "floods: connects from {name}: {made}, about {per_s:.0} a second; at most {most} descriptors, {idle} before; \
         slowest honest handshake {slowest:.1?}"
    );
    // those being let in and those being thrown out are there for a moment, too
    let bound = u64::try_from(idle + pending_max + MOMENT)?;
    ensure!(most <= bound, "{most} descriptors open, {idle} before, where {pending_max} may wait");
    ensure_quick(slowest < Duration::from_secs(2), || format!("an honest handshake took {slowest:.1?}"))?;
    Ok(speed)
}

/// Connects [`FLOOD_PER_S`] times a second, and holds what is not refused.
fn flood(to: SocketAddr, from: &impl Fn(u32) -> IpAddr, made: &AtomicU64, stop: &AtomicBool) {
    let start = Instant::now();
    let mut held = std::collections::VecDeque::new();
    let mut n = 0u32;
    while !stop.load(Ordering::Relaxed) {
        if f64::from(n) > start.elapsed().as_secs_f64() * FLOOD_PER_S {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        n += 1;
        if let Ok(socket) = dial_from(from(n), to) {
            made.fetch_add(1, Ordering::Relaxed);
            held.push_back(TcpStream::from(socket));
        }
        if held.len() > HELD_MAX {
            held.pop_front();
        }
    }
}

const FLOOD_PER_S: f64 = 10_000.0;
/// Sockets the flood holds at its own end.
const HELD_MAX: usize = 4000;
/// Accepted in one turn, and honest peers.
const MOMENT: usize = 64 + 24;
const MEASURED: Duration = Duration::from_secs(4);
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
