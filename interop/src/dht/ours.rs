//! A DHT node of ours, in this process: a session of `unchoke-runtime` that is asked through its DHT commands.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use unchoke_runtime::dht::{Announce, Command, Event};
use unchoke_runtime::{HubEvent, Session, SessionConfig, SessionEvent};
use unchoke_wire::krpc::NodeId;
use unchoke_wire::{HostPort, WireHash};

use super::node::{Finder, unhex};
use crate::ports::free_port;
use crate::proc::wait_until;

/// A running node; it ends when it is dropped.
pub(crate) struct Ours {
    session: Session,
    at: SocketAddr,
}

impl Ours {
    /// Starts one on a free port of `ip`, and waits until it has found its place among the nodes it is told.
    pub(crate) fn start(ip: impl Into<IpAddr>, known: &[SocketAddr]) -> Result<Self> {
        let node = Self::launch(ip, known)?;
        if !known.is_empty() {
            node.wait_for_place()?;
        }
        Ok(node)
    }

    /// A network of `count`, each of which has found its place.
    pub(crate) fn network(ip: impl Into<IpAddr> + Copy, count: usize) -> Result<Vec<Self>> {
        let mut nodes = vec![Self::launch(ip, &[])?];
        for _ in 1..count {
            nodes.push(Self::launch(ip, &[nodes[nodes.len() - 1].at])?);
        }
        nodes[1..].iter().try_for_each(Self::wait_for_place)?;
        Ok(nodes)
    }

    /// Where it answers.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    fn launch(ip: impl Into<IpAddr>, known: &[SocketAddr]) -> Result<Self> {
        let at = SocketAddr::new(ip.into(), free_port()?);
        let host_port = |addr: &SocketAddr| HostPort::new(&addr.ip().to_string(), addr.port());
        let config = SessionConfig {
            listen: vec![at],
            dht_nodes: known.iter().map(host_port).collect::<Result<_, _>>()?,
            shards: Some(1),
            workers: 0,
            ..SessionConfig::loopback()
        };
        Ok(Self { session: Session::start(config)?, at })
    }

    fn wait_for_place(&self) -> Result<()> {
        self.event("place among the others", |event| matches!(event, HubEvent::DhtReady { .. }).then_some(()))
    }

    /// Tells it of a node, as a torrent or a peer would, and waits until it names that node among its closest.
    pub(crate) fn meet(&self, other: SocketAddr) -> Result<()> {
        self.session.dht(Command::AddNode(other));
        wait_until(&format!("{other} among the closest nodes"), LIMIT, || {
            Ok(self.closest()?.contains(&other))
        })
    }

    /// The nodes that answered a lookup of some point; all there are, in a network of at most eight.
    pub(crate) fn closest(&self) -> Result<Vec<SocketAddr>> {
        let target = NodeId(*b"anywhere in the dht.");
        self.ask("closest nodes", Command::FindNode { target }, |event| match event {
            Event::NodesFound { target: of, closest } if of == target => {
                Some(closest.iter().map(|node| node.addr).collect())
            }
            _ => None,
        })
    }

    /// Gives a command and waits for the event that answers it.
    pub(crate) fn ask<T>(
        &self,
        what: &str,
        command: Command,
        mut answer: impl FnMut(Event) -> Option<T>,
    ) -> Result<T> {
        self.session.dht(command);
        self.event(what, |event| match event {
            HubEvent::Dht { event, .. } => answer(event),
            _ => None,
        })
    }

    fn event<T>(&self, what: &str, mut wanted: impl FnMut(HubEvent) -> Option<T>) -> Result<T> {
        let events = self.session.events();
        let deadline = Instant::now() + LIMIT;
        loop {
            let event =
                events.recv_deadline(deadline).ok().with_context(|| format!("no {what} from ours"))?;
            if let SessionEvent::Dht(event) = event
                && let Some(answer) = wanted(event)
            {
                return Ok(answer);
            }
        }
    }
}

impl Finder for Ours {
    fn ip(&self) -> IpAddr {
        self.at.ip()
    }

    fn announce(&mut self, hash: &str, port: u16) -> Result<()> {
        let target = wire_hash(hash)?;
        let announce = Some(Announce { port, implied_port: false, is_seed: false });
        let to = self.ask(
            "end of an announcement",
            Command::Search { target, announce, is_urgent: true },
            |event| match event {
                Event::Announced { target: of, to } if of == target => Some(to),
                _ => None,
            },
        )?;
        self.session.dht(Command::StopSearch { target });
        if to == 0 { bail!("nobody stored it") } else { Ok(()) }
    }

    fn peers(&mut self, hash: &str) -> Result<BTreeSet<SocketAddr>> {
        let target = wire_hash(hash)?;
        let mut found = BTreeSet::new();
        let search = Command::Search { target, announce: None, is_urgent: true };
        self.ask("end of a search", search, |event| match event {
            Event::PeersFound { target: of, peers } if of == target => {
                found.extend(peers);
                None
            }
            Event::SearchDone { target: of, .. } if of == target => Some(()),
            _ => None,
        })?;
        self.session.dht(Command::StopSearch { target });
        Ok(found)
    }
}

/// An info-hash from 40 hex digits.
pub(crate) fn wire_hash(hash: &str) -> Result<WireHash> {
    Ok(WireHash(array(hash)?))
}

fn array<const N: usize>(text: &str) -> Result<[u8; N]> {
    unhex(text)?.try_into().ok().with_context(|| format!("{text:?} has not {N} bytes"))
}

/// A lookup among nodes of this machine takes milliseconds; one that asks a node that has gone, seconds.
const LIMIT: Duration = Duration::from_secs(30);
