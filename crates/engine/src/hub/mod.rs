//! One session's shared parts: routing of accepted connections and datagrams, and the DHT.

mod accept;
mod contract;
mod dht_part;
mod local;
mod names;

pub use accept::{PENDING_MAX, PENDING_PER_IP_MAX};
pub use contract::{DhtState, HubEvent, HubInput, HubOutput, HubSettings};

use crate::id::{ShardId, Ticket, TorrentId};
use crate::lsd;
use crate::output::HubCommand;
use accept::{Accepting, Verdict};
use core::net::SocketAddr;
use dht_part::{DhtPart, Search};
use local::Local;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use unchoke_dht as dht;
use unchoke_wire::WireHash;
use unchoke_wire::time::Instant;

/// Where the connections and peers of a swarm belong.
#[derive(Clone, Copy, Debug)]
struct Owner {
    shard: ShardId,
    torrent: TorrentId,
}

/// The shared parts of a session.
#[derive(Debug)]
pub struct Hub {
    accepting: Accepting,
    /// Torrents that take connections.
    owners: BTreeMap<WireHash, Owner>,
    dht: DhtPart,
    local: Local,
    out: VecDeque<HubOutput>,
}

/// What to do, in order.
#[derive(Debug)]
pub struct HubOutputs<'h>(&'h mut VecDeque<HubOutput>);

impl Iterator for HubOutputs<'_> {
    type Item = HubOutput;

    fn next(&mut self) -> Option<HubOutput> {
        self.0.pop_front()
    }
}

impl Hub {
    /// A hub that knows no torrents. `seed` fixes every random choice it will make.
    pub fn new(settings: HubSettings, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut hub = Hub {
            accepting: Accepting::new(PENDING_MAX),
            owners: BTreeMap::new(),
            dht: DhtPart::new(&settings, &mut rng, now),
            local: Local::new(&settings, &mut rng, now),
            out: VecDeque::new(),
        };
        hub.dht_begin(settings, now);
        hub
    }

    /// Lets fewer connections than [`PENDING_MAX`] wait for their handshake, for a shell that has few descriptors; before
    /// the first input.
    #[must_use]
    pub fn with_pending_max(mut self, pending_max: usize) -> Self {
        self.accepting = Accepting::new(pending_max);
        self
    }

    /// Takes one input at `now` and says what to do.
    pub fn handle(&mut self, input: HubInput<'_>, now: Instant) -> HubOutputs<'_> {
        match input {
            HubInput::Timeout => self.timeout(now),
            HubInput::Accepted { ticket, remote } => {
                if let Some(ticket) = self.accepting.accept(ticket, remote, now) {
                    self.out.push_back(HubOutput::Drop { ticket });
                }
            }
            HubInput::AcceptedBytes { ticket, bytes } => self.accepted_bytes(ticket, bytes),
            HubInput::AcceptedClosed { ticket } => self.accepting.closed(ticket),
            HubInput::Datagram { from, bytes } => self.datagram(from, bytes, now),
            HubInput::Unreachable { to } => self.dht_told(to, dht::Command::ReportUnreachable(to), now),
            HubInput::LsdDatagram { from, is_on_link, bytes } => {
                self.lsd(lsd::Input::Datagram { from, is_on_link, bytes }, now);
            }
            HubInput::Resolved { request, addresses } => self.dht_resolved(request, addresses, now),
            HubInput::Engine { shard, command } => self.engine_command(shard, command, now),
            HubInput::Dht(command) => self.dht_command(command, now),
            HubInput::SaveDht => {
                let state = self.dht.state();
                self.out.push_back(HubOutput::Event(HubEvent::DhtState(state)));
            }
        }
        HubOutputs(&mut self.out)
    }

    /// When to call [`handle`](Self::handle) with [`HubInput::Timeout`], if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let parts = [self.accepting.next_timeout(), self.dht.next_timeout(), self.local.next_timeout()];
        parts.into_iter().flatten().min()
    }

    /// How many accepted connections have not named a torrent yet; [`PENDING_MAX`] at most.
    pub fn pending(&self) -> usize {
        self.accepting.len()
    }

    /// The DHT node of each family the session has.
    pub fn dht_nodes(&self) -> &[dht::Node] {
        self.dht.nodes()
    }

    fn timeout(&mut self, now: Instant) {
        for ticket in self.accepting.expired(now) {
            self.out.push_back(HubOutput::Drop { ticket });
        }
        self.lsd_timeout(now);
        self.dht_timeout(now);
    }

    fn accepted_bytes(&mut self, ticket: Ticket, bytes: &[u8]) {
        match self.accepting.received(ticket, bytes) {
            Verdict::Wait => {}
            Verdict::Other(_) => self.out.push_back(HubOutput::Drop { ticket }),
            Verdict::Names { prefix, received, since } => {
                let output = match self.owners.get(&prefix.info_hash) {
                    Some(o) => {
                        HubOutput::Route { ticket, shard: o.shard, torrent: o.torrent, received, since }
                    }
                    None => HubOutput::Drop { ticket },
                };
                self.out.push_back(output);
            }
        }
    }

    /// One port serves the DHT and UDP trackers: DHT messages are bencoded dictionaries, tracker replies begin with
    /// an action below 4, and the top byte of their transaction id names the engine that asked.
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        match bytes {
            [b'd', ..] => self.dht_datagram(from, bytes, now),
            [0, 0, 0, 0..=3, shard, ..] => {
                let shard = ShardId(*shard);
                self.out.push_back(HubOutput::TrackerDatagram { shard, from, bytes: bytes.to_vec() });
            }
            _ => {}
        }
    }

    fn engine_command(&mut self, shard: ShardId, command: HubCommand, now: Instant) {
        match command {
            HubCommand::Register { torrent, hash } => {
                self.owners.insert(hash, Owner { shard, torrent });
            }
            HubCommand::Unregister { hash } => {
                self.owners.remove(&hash);
            }
            HubCommand::DhtSearch { torrent, hash, is_seed, wants_peers } => {
                let search = Search { owner: Owner { shard, torrent }, is_seed, wants_peers };
                self.dht_search(hash, search, now);
            }
            HubCommand::DhtStop { hash } => self.dht_stop(hash, now),
            HubCommand::LsdAnnounce { torrent, hashes } => {
                self.lsd_announce(Owner { shard, torrent }, &hashes, now);
            }
            HubCommand::LsdStop { hashes } => self.lsd_stop(&hashes, now),
            HubCommand::DhtNode { host, port } => self.dht_name(&host, port, now),
        }
    }
}
