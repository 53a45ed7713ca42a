//! A long path between two processes on one machine: bytes of a connection come out at a rate, and a delay later. The
//! connections on either side of it are short, so this asks how many requests a client keeps on the way, not how its
//! kernel's TCP grows into a path.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// One way.
pub(super) const DELAY: Duration = Duration::from_millis(50);
/// Each way.
pub(super) const BITS_PER_S: u32 = 1_000_000_000;
/// What queues before the path: a sender that is faster waits.
const QUEUE: Duration = Duration::from_millis(10);
/// The most that is read at once.
const READ: usize = 64 << 10;

/// A listener at one end of the path.
pub(super) struct Wire {
    /// Whom to dial in place of the other end.
    pub(super) at: SocketAddr,
}

impl Wire {
    /// A path from a port of `near` to `far`, which lasts as long as the program.
    pub(super) fn start(near: SocketAddr, far: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(near)?;
        let at = listener.local_addr()?;
        thread::spawn(move || {
            for one in listener.incoming().flatten() {
                // Whoever cannot be connected is hung up on.
                let _ = join(one, far);
            }
        });
        Ok(Self { at })
    }
}

/// Carries what arrives on `one` to `far`, and back.
fn join(one: TcpStream, far: SocketAddr) -> Result<()> {
    let other = TcpStream::connect(far)?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    for (from, to) in [(one.try_clone()?, other.try_clone()?), (other, one)] {
        let (late, due) = channel();
        thread::spawn(move || take(from, &late));
        thread::spawn(move || give(to, &due));
    }
    Ok(())
}

/// Takes bytes in at the rate of the path, and says when each is at its end.
fn take(mut from: TcpStream, late: &Sender<(Instant, Vec<u8>)>) {
    let mut free = Instant::now();
    let mut buffer = vec![0; READ];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        let bits = u32::try_from(count * 8).expect("a read is small");
        free = free.max(Instant::now()) + Duration::from_secs(1) * bits / BITS_PER_S;
        if late.send((free + DELAY, buffer[..count].to_vec())).is_err() {
            break;
        }
        thread::sleep(free.saturating_duration_since(Instant::now() + QUEUE));
    }
}

/// Gives bytes out when they are due, and hangs up after the last.
fn give(mut to: TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((when, bytes)) = due.recv() {
        thread::sleep(when.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // It may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_and_late_both_ways() {
        let far = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let wire = Wire::start("127.0.0.1:0".parse().unwrap(), far.local_addr().unwrap()).unwrap();
        let begin = Instant::now();
        let mut near = TcpStream::connect(wire.at).unwrap();
        near.write_all(&[7; 100_000]).unwrap();
        let (mut other, _) = far.accept().unwrap();
        let mut got = vec![0; 100_000];
        other.read_exact(&mut got).unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
        assert!(begin.elapsed() >= DELAY);
        other.write_all(b"back").unwrap();
        drop(other);
        let mut back = Vec::new();
        near.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"back");
        assert!(begin.elapsed() >= DELAY * 2);
    }
}
