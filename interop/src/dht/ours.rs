//! A DHT node of ours, in this process: a session of `unchoke-runtime` that is asked through its DHT commands.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use unchoke_runtime::dht::{Announce, Command, Event};
use unchoke_runtime::{HubEvent, Session, SessionConfig, SessionEvent};
use unchoke_wire::item::{Item, ItemKey, MutableItem};
use unchoke_wire::krpc::NodeId;
use unchoke_wire::{HostPort, WireHash};

use super::node::{DhtNode, KEY, Signed, hex, unhex};
use crate::ports::free_port;

/// A running node; it ends when it is dropped.
pub(crate) struct Ours {
    session: Session,
    at: SocketAddr,
}

impl Ours {
    /// Starts one on a free port of `ip`, and waits until it has found its place among the nodes it is told.
    pub(crate) fn start(ip: impl Into<IpAddr>, known: &[SocketAddr]) -> Result<Self> {
        let at = SocketAddr::new(ip.into(), free_port()?);
        let host_port = |addr: &SocketAddr| HostPort::new(&addr.ip().to_string(), addr.port());
        let config = SessionConfig {
            listen: vec![at],
            dht_nodes: known.iter().map(host_port).collect::<Result<_, _>>()?,
            shards: Some(1),
            workers: 0,
            ..SessionConfig::loopback()
        };
        let node = Self { session: Session::start(config)?, at };
        if !known.is_empty() {
            node.event("the place among the others", |event| {
                matches!(event, HubEvent::DhtReady { .. }).then_some(())
            })?;
        }
        Ok(node)
    }

    /// Tells it of a node, as a torrent or a peer would, and waits until it names that node among its closest.
    pub(crate) fn meet(&self, other: SocketAddr) -> Result<()> {
        self.session.dht(Command::AddNode(other));
        let deadline = Instant::now() + LIMIT;
        let target = NodeId(*b"anywhere in the dht.");
        while Instant::now() < deadline {
            let closest = self.ask("closest nodes", Command::FindNode { target }, |event| match event {
                Event::NodesFound { target: of, closest } if of == target => Some(closest),
                _ => None,
            })?;
            if closest.iter().any(|node| node.addr == other) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("{other} is never among the closest nodes")
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

    fn item(&self, key: &ItemKey) -> Result<Option<Item>> {
        self.ask("item", Command::GetItem(key.clone()), |event| match event {
            Event::ItemDone { key: of, item, .. } if of == *key => Some(item),
            _ => None,
        })
    }

    fn store(&self, item: Item) -> Result<()> {
        let key = item.key();
        let (to, refusal) =
            self.ask("end of a put", Command::PutItem { item, cas: None }, |event| match event {
                Event::ItemStored { key: of, to, refusal } if of == key => Some((to, refusal)),
                _ => None,
            })?;
        if to == 0 {
            bail!("nobody stored it: {refusal:?}");
        }
        Ok(())
    }
}

impl DhtNode for Ours {
    fn at(&self) -> SocketAddr {
        self.at
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

    fn put(&mut self, text: &str) -> Result<String> {
        let item = Item::Immutable { value: byte_string(text) };
        let target = hex(&item.key().target().0);
        self.store(item).map(|()| target)
    }

    fn get(&mut self, target: &str) -> Result<Option<Vec<u8>>> {
        let target = NodeId::from_slice(&unhex(target)?).context("a target has 20 bytes")?;
        let item = self.item(&ItemKey::Immutable(target))?;
        item.map(|item| string_in(item.value())).transpose()
    }

    fn put_mutable(&mut self, item: &Signed) -> Result<()> {
        self.store(Item::Mutable(MutableItem {
            key: array(KEY)?,
            salt: item.salt.into(),
            seq: item.seq,
            value: byte_string(item.text),
            signature: array(item.signature)?,
        }))
    }

    fn get_mutable(&mut self, salt: &str) -> Result<Option<(i64, Vec<u8>)>> {
        match self.item(&ItemKey::Mutable { key: array(KEY)?, salt: salt.into() })? {
            None => Ok(None),
            Some(Item::Mutable(item)) => Ok(Some((item.seq, string_in(&item.value)?))),
            Some(Item::Immutable { .. }) => bail!("an immutable item came for a key"),
        }
    }
}

fn wire_hash(hash: &str) -> Result<WireHash> {
    Ok(WireHash(array(hash)?))
}

fn array<const N: usize>(text: &str) -> Result<[u8; N]> {
    unhex(text)?.try_into().ok().with_context(|| format!("{text:?} has not {N} bytes"))
}

fn byte_string(text: &str) -> Vec<u8> {
    format!("{}:{text}", text.len()).into_bytes()
}

/// The bytes of a bencoded string.
fn string_in(value: &[u8]) -> Result<Vec<u8>> {
    let colon = value.iter().position(|byte| *byte == b':').context("the value is no string")?;
    Ok(value[colon + 1..].to_vec())
}

/// A lookup among nodes of this machine takes milliseconds; one that asks a node that has gone, seconds.
const LIMIT: Duration = Duration::from_secs(30);
