//! What the owner of a session may choose.

use crate::tracker::Families;
use core::net::SocketAddr;
use unchoke_wire::limits;
use unchoke_wire::time::Duration;

/// How a peer id that differs from the one a tracker named is taken (`docs/decisions/0002`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PeerIdRule {
    /// Noted and kept: several clients use a new id on every connection.
    #[default]
    Lenient,
    /// The connection is closed, as BEP 3 says.
    Strict,
}

/// Settings of one engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port peers reach us on, as trackers, the DHT and extension handshakes tell it. Zero: none.
    pub listen_port: u16,
    /// Addresses that are ours, so that we never dial ourselves.
    pub own_addresses: Vec<SocketAddr>,
    /// What to do when a peer id is not the expected one.
    pub peer_id_rule: PeerIdRule,
    /// Open connections of the engine, dialled and accepted.
    pub connections_max: usize,
    /// Open connections of one torrent.
    pub torrent_connections_max: usize,
    /// Dials under way at once.
    pub dials_max: usize,
    /// Peers unchoked at once, the optimistic one included.
    pub upload_slots: usize,
    /// Bytes of pieces being received, over all torrents of the engine. One piece is always let in.
    pub piece_buffer_bytes: u64,
    /// Bytes of metadata in flight, over all torrents of the engine. One fetch is always let in.
    pub metadata_bytes: usize,
    /// Block bytes a second to ask for; `None`: as many as come.
    pub download_limit: Option<u64>,
    /// Block bytes a second to send; `None`: as many as go.
    pub upload_limit: Option<u64>,
    /// Between two rounds of the choker.
    pub rechoke_interval: Duration,
    /// Whether every message is reported as [`crate::Output::Trace`].
    pub trace: bool,
    /// Whether the fast extension is offered (BEP 6). Without it every peer is spoken to in plain BEP 3.
    pub fast: bool,
    /// Whether the session has a DHT node.
    pub dht: bool,
    /// Whether peers are exchanged with peers (BEP 11).
    pub pex: bool,
    /// Whether peers are looked for in the local network (BEP 14).
    pub lsd: bool,
    /// The address families trackers are asked over.
    pub families: Families,
    /// How long a torrent without connections, with nobody to ask for what it lacks, stays awake; `None`: for ever. Only
    /// for a shell that can wake it ([`crate::Event::Wake`]).
    pub sleep_after: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen_port: 0,
            own_addresses: Vec::new(),
            peer_id_rule: PeerIdRule::default(),
            connections_max: 500,
            torrent_connections_max: 200,
            dials_max: 30,
            upload_slots: 8,
            piece_buffer_bytes: 48 << 20,
            metadata_bytes: limits::METADATA_IN_FLIGHT_MAX,
            download_limit: None,
            upload_limit: None,
            rechoke_interval: Duration::from_secs(10),
            trace: false,
            fast: true,
            dht: true,
            pex: true,
            lsd: true,
            families: Families { v4: true, v6: true },
            sleep_after: None,
        }
    }
}
