//! Plays a [`BadPeer`] on real sockets: what it wants dialled, sent and closed is, and what comes is told it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use unchoke_sim::bad_peer::{Act, BadPeer};
use unchoke_wire::time::Instant;

/// The time of a run, as hostile peers count it.
#[derive(Clone, Copy)]
pub(crate) struct Clock(std::time::Instant);

/// One hostile peer at an address of its own.
pub(crate) struct Player {
    pub(crate) peer: BadPeer,
    from: IpAddr,
    clock: Clock,
    pipes: BTreeMap<usize, Pipe>,
    wakes: BTreeSet<Instant>,
    next_pipe: usize,
}

/// One connection.
struct Pipe {
    stream: TcpStream,
    is_connected: bool,
    /// Bytes that wait, and how many of them went.
    out: Vec<u8>,
    written: usize,
    /// What follows the last byte.
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Finish,
}

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since then.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

impl Player {
    /// Lets `peer` dial `target` from the address `from`.
    pub(crate) fn new(mut peer: BadPeer, from: IpAddr, target: SocketAddr, clock: Clock) -> Self {
        let acts = peer.dial(target, clock.now());
        let mut player =
            Self { peer, from, clock, pipes: BTreeMap::new(), wakes: BTreeSet::new(), next_pipe: 0 };
        player.carry_out(acts);
        player
    }

    fn carry_out(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Dial(to) => self.dial(to),
                Act::Send(pipe, bytes) => {
                    if let Some(pipe) = self.pipes.get_mut(&pipe) {
                        pipe.out.extend_from_slice(&bytes);
                    }
                    self.write(pipe);
                }
                Act::Close(pipe) => self.end(pipe, End::Close),
                Act::Finish(pipe) => self.end(pipe, End::Finish),
                Act::WakeAt(at) => {
                    self.wakes.insert(at);
                }
            }
        }
    }

    /// A dial that fails at once is as if nobody had listened.
    fn dial(&mut self, to: SocketAddr) {
        if let Ok(socket) = dial_from(self.from, to) {
            let stream = TcpStream::from(socket);
            let _ = stream.set_nodelay(true);
            let pipe = Pipe { stream, is_connected: false, out: Vec::new(), written: 0, end: None };
            self.pipes.insert(self.next_pipe, pipe);
            self.next_pipe += 1;
        }
    }

    fn end(&mut self, name: usize, end: End) {
        if let Some(pipe) = self.pipes.get_mut(&name) {
            pipe.end = Some(end);
        }
        self.write(name);
    }

    /// Writes what the socket takes, and ends the pipe when that was all and it is to end.
    fn write(&mut self, name: usize) {
        let Some(pipe) = self.pipes.get_mut(&name).filter(|p| p.is_connected) else { return };
        while pipe.written < pipe.out.len() {
            match pipe.stream.write(&pipe.out[pipe.written..]) {
                Ok(len) => pipe.written += len,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // the reader sees what became of it
                Err(_) => break,
            }
        }
        (pipe.out, pipe.written) = (Vec::new(), 0);
        match pipe.end {
            Some(End::Close) => {
                self.pipes.remove(&name);
            }
            Some(End::Finish) => {
                let _ = pipe.stream.shutdown(Shutdown::Write);
                pipe.end = None;
            }
            None => {}
        }
    }

    fn connected(&mut self, name: usize) {
        let Some(pipe) = self.pipes.get_mut(&name) else { return };
        match sockopt::socket_error(&pipe.stream) {
            Ok(Ok(())) => {
                pipe.is_connected = true;
                let acts = self.peer.joined(name, true, self.clock.now());
                self.carry_out(acts);
            }
            _ => {
                self.pipes.remove(&name);
            }
        }
    }

    fn read(&mut self, name: usize, scratch: &mut [u8]) {
        let Some(pipe) = self.pipes.get_mut(&name) else { return };
        let acts = match pipe.stream.read(scratch) {
            Ok(len) if len > 0 => self.peer.received(name, &scratch[..len], self.clock.now()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                self.pipes.remove(&name);
                self.peer.gone(name, self.clock.now())
            }
        };
        self.carry_out(acts);
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        if self.wakes.first().is_some_and(|at| *at <= now) {
            self.wakes.retain(|at| *at > now);
            let acts = self.peer.timer(now);
            self.carry_out(acts);
        }
    }

    /// Serves pipe `name`, for which the system says `flags`.
    fn serve(&mut self, name: usize, flags: PollFlags, scratch: &mut [u8]) {
        if !self.pipes.get(&name).is_some_and(|p| p.is_connected) {
            return self.connected(name);
        }
        if flags.contains(PollFlags::OUT) {
            self.write(name);
        }
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read(name, scratch);
        }
    }
}

/// Plays all of them until `until`, or until `stop` is raised.
pub(crate) fn play(players: &mut [Player], clock: Clock, until: Instant, stop: &AtomicBool) -> Result<()> {
    let mut scratch = vec![0; 256 << 10];
    loop {
        let now = clock.now();
        if now >= until || stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        players.iter_mut().for_each(Player::wake);
        let wake = players.iter().filter_map(|p| p.wakes.first()).min().copied();
        let wait = wake.unwrap_or(until).min(until).since(clock.now()).as_micros().min(LOOK_US);
        let mut ready = Vec::new();
        {
            let mut names = Vec::new();
            let mut fds = Vec::new();
            for (n, player) in players.iter().enumerate() {
                for (name, pipe) in &player.pipes {
                    let wants_write = !pipe.is_connected || pipe.written < pipe.out.len();
                    let out = if wants_write { PollFlags::OUT } else { PollFlags::empty() };
                    names.push((n, *name));
                    fds.push(PollFd::from_borrowed_fd(pipe.stream.as_fd(), PollFlags::IN | out));
                }
            }
            let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
            poll(&mut fds, Some(&Timespec::try_from(wait)?))?;
            for (name, fd) in names.into_iter().zip(&fds) {
                if !fd.revents().is_empty() {
                    ready.push((name, fd.revents()));
                }
            }
        }
        for ((n, name), flags) in ready {
            players[n].serve(name, flags, &mut scratch);
        }
    }
}

/// A connection from `from` to `to` that is being made.
pub(crate) fn dial_from(from: IpAddr, to: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    match connect(&socket, &to) {
        Err(e) if e != rustix::io::Errno::INPROGRESS => Err(e.into()),
        _ => Ok(socket),
    }
}

/// The longest sleep, so that a raised stop is seen.
const LOOK_US: u128 = 100_000;
