//! Honest askers: so many queries of each kept open from addresses of their own, and the answers counted.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};

use super::krpc::{self, Id, random_id};
use crate::fixtures::Rng;

/// Askers, each with an address and an id.
const ASKERS: u8 = 64;
/// Queries an asker keeps open.
const WINDOW: usize = 4;
/// After this long without an answer an asker's open queries count as lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the askers rest when nothing has arrived.
const REST: Duration = Duration::from_micros(20);

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mix {
    /// `find_node` for random ids.
    FindNode,
    /// `get_peers` for random keys, under which nothing is stored.
    GetPeers,
    /// `get_peers` for one key under which every asker is stored.
    Popular,
    /// Four of each of the first two, one of the third.
    Mixed,
}

impl Mix {
    pub(crate) const ALL: [Mix; 4] = [Mix::FindNode, Mix::GetPeers, Mix::Popular, Mix::Mixed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mix::FindNode => "find_node",
            Mix::GetPeers => "get_peers",
            Mix::Popular => "get_peers, 64 peers stored",
            Mix::Mixed => "mixed",
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    pub(crate) answers: u64,
    /// Bytes of the answers.
    pub(crate) bytes: u64,
    /// Nodes named by the answers.
    pub(crate) nodes: u64,
}

/// The askers of one node.
pub(crate) struct Askers {
    askers: Vec<Asker>,
    popular: Id,
    rng: Rng,
}

struct Asker {
    socket: UdpSocket,
    id: Id,
    open: usize,
    last: Instant,
}

impl Askers {
    /// Askers on 127.`net`.0.1 and after.
    pub(crate) fn new(net: u8, node: SocketAddr) -> Result<Self> {
        let mut rng = Rng::new(u64::from(net));
        let mut askers = Vec::new();
        for n in 0..ASKERS {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, net, 0, n + 1), 0))?;
            socket.connect(node)?;
            socket.set_nonblocking(true)?;
            askers.push(Asker { socket, id: random_id(&mut rng), open: 0, last: Instant::now() });
        }
        Ok(Askers { askers, popular: random_id(&mut rng), rng })
    }

    /// Announces every asker under the popular key; an error when the node stores fewer.
    pub(crate) fn announce(&mut self) -> Result<()> {
        for n in 0..self.askers.len() {
            let reply = self.ask(n, &krpc::get_peers(&self.askers[n].id, &self.popular))?;
            let Some(token) = krpc::string_after(&reply, b"5:token") else {
                bail!("a reply without a token")
            };
            let announce = krpc::announce_peer(&self.askers[n].id, &self.popular, 6881, token);
            if !krpc::is_response(&self.ask(n, &announce)?) {
                bail!("an announcement was refused");
            }
        }
        Ok(())
    }

    /// One query and its answer, within a second.
    fn ask(&mut self, asker: usize, query: &[u8]) -> Result<Vec<u8>> {
        let socket = &self.askers[asker].socket;
        socket.send(query)?;
        let (mut buf, begin) = ([0; 2048], Instant::now());
        while begin.elapsed() < Duration::from_secs(1) {
            match socket.recv(&mut buf) {
                Ok(len) if !buf[..len].ends_with(b"1:y1:qe") => return Ok(buf[..len].to_vec()),
                Ok(_) => {}
                Err(_) => std::thread::sleep(REST),
            }
        }
        bail!("a query was not answered within a second")
    }

    /// Nodes a reply names, as the mean of `count` queries for random ids.
    pub(crate) fn nodes_named(&mut self, count: u32) -> Result<f64> {
        let mut nodes = 0;
        for _ in 0..count {
            let target = random_id(&mut self.rng);
            let reply = self.ask(0, &krpc::find_node(&self.askers[0].id, &target))?;
            nodes += krpc::string_after(&reply, b"5:nodes").map_or(0, <[u8]>::len) / 26;
        }
        Ok(f64::from(u32::try_from(nodes)?) / f64::from(count))
    }

    /// Asks for `time`, and counts what is answered in it. With `pace` only so many a second are asked in all.
    pub(crate) fn run(&mut self, mix: Mix, time: Duration, pace: Option<f64>) -> Result<Tally> {
        let (begin, mut tally) = (Instant::now(), Tally::default());
        for asker in &mut self.askers {
            (asker.open, asker.last) = (0, begin);
            while asker.socket.recv(&mut [0; 2048]).is_ok() {}
        }
        while begin.elapsed() < time {
            let before = tally.answers;
            for n in 0..self.askers.len() {
                self.askers[n].take(&mut tally);
                let due = pace.map(|pace| pace * begin.elapsed().as_secs_f64());
                let is_ahead = due.is_some_and(|due| to_f64(tally.asked) >= due);
                let room = if is_ahead { 0 } else { WINDOW - self.askers[n].open };
                let queries: Vec<_> = (0..room).map(|_| self.query(n, mix)).collect();
                tally.asked += self.askers[n].send(&queries)?;
            }
            if tally.answers == before {
                std::thread::sleep(REST);
            }
        }
        Ok(tally)
    }

    fn query(&mut self, asker: usize, mix: Mix) -> Vec<u8> {
        let (id, key) = (&self.askers[asker].id, random_id(&mut self.rng));
        let mix = match mix {
            Mix::Mixed => self.rng.pick(&[
                Mix::FindNode,
                Mix::FindNode,
                Mix::FindNode,
                Mix::FindNode,
                Mix::GetPeers,
                Mix::GetPeers,
                Mix::GetPeers,
                Mix::GetPeers,
                Mix::Popular,
            ]),
            mix => mix,
        };
        match mix {
            Mix::Popular => krpc::get_peers(id, &self.popular),
            Mix::GetPeers => krpc::get_peers(id, &key),
            Mix::FindNode | Mix::Mixed => krpc::find_node(id, &key),
        }
    }
}

impl Asker {
    /// Takes the answers that are there, and gives up what is open for too long.
    fn take(&mut self, tally: &mut Tally) {
        let mut buf = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buf) {
            let reply = &buf[..len];
            if krpc::is_response(reply) {
                tally.answers += 1;
                tally.bytes += u64::try_from(len).expect("a datagram's length fits");
                let is_eight = reply.windows(11).take(120).any(|window| window == b"5:nodes208:");
                tally.nodes += u64::from(is_eight) * 8;
                self.open = self.open.saturating_sub(1);
                self.last = Instant::now();
            }
        }
        if self.open > 0 && self.last.elapsed() > PATIENCE {
            (self.open, self.last) = (0, Instant::now());
        }
    }

    /// Sends all with one call; how many were sent.
    fn send(&mut self, queries: &[Vec<u8>]) -> io::Result<u64> {
        if queries.is_empty() {
            return Ok(0);
        }
        let bytes: Vec<_> = queries.iter().map(|query| [IoSlice::new(query)]).collect();
        let mut controls: Vec<_> = queries.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut headers: Vec<_> =
            bytes.iter().zip(&mut controls).map(|(bytes, control)| MMsgHdr::new(bytes, control)).collect();
        // what does not fit into the buffers is asked later
        let sent = rustix::net::sendmmsg(&self.socket, &mut headers, SendFlags::DONTWAIT).unwrap_or(0);
        self.open += sent;
        Ok(u64::try_from(sent).expect("a few"))
    }
}

/// For rates: exact up to 2^53.
pub(crate) fn to_f64(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32), u32::try_from(count & 0xffff_ffff));
    f64::from(high.expect("half of 64 bits")) * 4_294_967_296.0 + f64::from(low.expect("half of 64 bits"))
}
