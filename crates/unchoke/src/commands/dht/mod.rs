//! `unchoke dht`: asks the DHT, stores in it, or runs a node of it.

mod announce;
mod asker;
mod find_node;
mod get;
mod get_peers;
mod key_file;
mod node;
mod ping;
mod put;
mod sample;
mod value;

use std::process::ExitCode;

use anyhow::{Result, bail};
use unchoke_engine::input::TorrentSource;
use unchoke_wire::krpc::NodeId;
use unchoke_wire::{HostPort, InfoHash, InfoHashes, WireHash, limits, magnet};

use crate::args::{DhtArgs, DhtCommand};
use crate::errors::interrupted;
use crate::source;
use asker::Interrupted;

pub(super) fn run(args: &DhtArgs) -> Result<ExitCode> {
    let outcome = match &args.command {
        DhtCommand::Ping(args) => ping::run(args),
        DhtCommand::FindNode(args) => find_node::run(args),
        DhtCommand::GetPeers(args) => get_peers::run(args),
        DhtCommand::Announce(args) => announce::run(args),
        DhtCommand::Put(args) => put::run(args),
        DhtCommand::Get(args) => get::run(args),
        DhtCommand::Sample(args) => sample::run(args),
        DhtCommand::Node(args) => node::run(args),
    };
    match outcome {
        Err(error) if error.is::<Interrupted>() => Ok(interrupted()),
        outcome => outcome,
    }
}

/// A point of the id space, from 40 hex digits.
///
/// # Errors
/// One line.
pub(crate) fn target(text: &str) -> Result<NodeId, String> {
    match magnet::parse_hex_hash(text) {
        Some(InfoHash::V1(id)) => Ok(NodeId(id)),
        _ => Err("an id or hash has 40 hex digits".to_owned()),
    }
}

/// A public key, from 64 hex digits.
///
/// # Errors
/// One line.
pub(crate) fn public_key(text: &str) -> Result<[u8; 32], String> {
    key_file::parse_hex(text).ok_or_else(|| "a public key has 64 hex digits".to_owned())
}

/// The salt of a mutable item.
///
/// # Errors
/// One line when it is too long.
pub(crate) fn salt_text(text: &str) -> Result<String, String> {
    match text.len() {
        0..=limits::ITEM_SALT_LEN_MAX => Ok(text.to_owned()),
        len => Err(format!("it has {len} bytes, {} are the most", limits::ITEM_SALT_LEN_MAX)),
    }
}

/// A torrent to ask about: its hashes on the wire, and the nodes it names.
struct Wanted {
    hashes: Vec<WireHash>,
    nodes: Vec<HostPort>,
}

impl Wanted {
    /// Reads what the user named.
    ///
    /// # Errors
    /// One line: what cannot be read, or may not be asked for.
    fn read(text: &str) -> Result<Self> {
        let (hashes, nodes) = match source::read(text)? {
            TorrentSource::Metainfo(m) if m.info.private => {
                bail!("{text} is private: its peers come from its trackers only")
            }
            TorrentSource::Metainfo(m) => (m.info_hashes, m.nodes),
            TorrentSource::Magnet(m) => (m.info_hashes, m.nodes),
        };
        let InfoHashes { v1, v2 } = hashes;
        let hashes: Vec<WireHash> =
            [v1.map(InfoHash::V1), v2.map(InfoHash::V2)].iter().flatten().map(InfoHash::wire).collect();
        if hashes.is_empty() {
            bail!("{text} names no info-hash; `unchoke dht get --key` reads what its publisher says");
        }
        Ok(Wanted { hashes, nodes })
    }
}
