//! A plain peer on a blocking socket, for floods and measurements: it says what it is told and reads what comes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use unchoke_wire::handshake::HANDSHAKE_LEN;
use unchoke_wire::message::{Frame, Message};
use unchoke_wire::{Handshake, PeerId, Reserved, WireHash};

use super::player::dial_from;

/// A connection to the victim.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
}

/// An address of the loopback network by its number: each is another stranger.
pub(crate) fn stranger(group: u8, n: u32) -> IpAddr {
    let low = |n: u32| u8::try_from(n % 250 + 1).expect("below 251");
    Ipv4Addr::new(127, group, low(n / 250), low(n)).into()
}

impl Raw {
    /// Connects from an address.
    pub(crate) fn connect(from: IpAddr, to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::from(dial_from(from, to)?);
        let mut fds = [PollFd::new(&stream, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::try_from(TIMEOUT)?))?;
        sockopt::socket_error(&stream)?.context("connect")?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Connects and shakes hands in the swarm of `hash`, as a peer with nothing that speaks the fast extension.
    pub(crate) fn join(from: IpAddr, to: SocketAddr, hash: WireHash) -> Result<Self> {
        let mut raw = Self::connect(from, to)?;
        let IpAddr::V4(ip) = from else { bail!("strangers are of IPv4") };
        let mut tail = [b'-'; 12];
        tail[..4].copy_from_slice(&ip.octets());
        let port = raw.stream.local_addr()?.port();
        tail[4..6].copy_from_slice(&port.to_be_bytes());
        let ours = Handshake {
            reserved: Reserved::default().with_fast(),
            info_hash: hash,
            peer_id: PeerId::ours(tail),
        };
        raw.stream.write_all(&ours.encode())?;
        let mut theirs = [0; HANDSHAKE_LEN];
        raw.stream.read_exact(&mut theirs).context("wait for the handshake")?;
        raw.say(&Message::HaveNone)?;
        Ok(raw)
    }

    /// Says it.
    pub(crate) fn say(&mut self, message: &Message<'_>) -> io::Result<()> {
        self.stream.write_all(&message.to_vec())
    }

    /// Reads until a message that `is_wanted` says yes to.
    pub(crate) fn wait_for(&mut self, mut is_wanted: impl FnMut(&Message<'_>) -> bool) -> Result<()> {
        let mut scratch = [0; 64 << 10];
        loop {
            while let Some(frame) = Frame::parse(&self.input)?.filter(|f| self.input.len() >= f.total_len()) {
                let bytes: Vec<u8> = self.input.drain(..frame.total_len()).collect();
                if let Some((message, _)) = Message::parse(&bytes)?
                    && is_wanted(&message)
                {
                    return Ok(());
                }
            }
            let len = self.stream.read(&mut scratch)?;
            ensure!(len > 0, "the connection was closed");
            self.input.extend_from_slice(&scratch[..len]);
        }
    }

    /// Whether the other side closes within `limit`; what comes until then is read and dropped.
    pub(crate) fn is_closed_within(&mut self, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        let mut scratch = [0; 64 << 10];
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match self.stream.read(&mut scratch) {
                Ok(len) if len > 0 => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return false;
                }
                _ => return true,
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);
