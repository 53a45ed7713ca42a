//! What a DHT node can be asked, whoever made it, and the mutable items that the cases write.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};

/// Who announces and finds peers.
pub(crate) trait Finder {
    /// The address its announcements name.
    fn ip(&self) -> IpAddr;

    /// Announces a peer at `port` under `hash`, 40 hex digits; an error when no node stored it.
    fn announce(&mut self, hash: &str, port: u16) -> Result<()>;

    /// The peers of `hash`.
    fn peers(&mut self, hash: &str) -> Result<BTreeSet<SocketAddr>>;
}

/// Who stores and reads items, too.
pub(crate) trait Keeper: Finder {
    /// Stores a byte string as an item that never changes, and gives its target in hex.
    fn put(&mut self, text: &str) -> Result<String>;

    /// The byte string of such an item.
    fn get(&mut self, target: &str) -> Result<Option<Vec<u8>>>;

    /// Stores an item that its owner may replace.
    fn put_mutable(&mut self, item: &Signed) -> Result<()>;

    /// The newest item of the one owner under `salt`: its number and its byte string.
    fn get_mutable(&mut self, salt: &str) -> Result<Option<(i64, Vec<u8>)>>;
}

/// A mutable item of the owner whose secret is [`SEED`].
pub(crate) struct Signed {
    pub(crate) salt: &'static str,
    pub(crate) seq: i64,
    pub(crate) text: &'static str,
}

/// What is written, in this order: libtorrent takes the number after the one it finds.
pub(crate) const ITEMS: [Signed; 3] = [
    Signed { salt: "", seq: 1, text: "ours, no salt" },
    Signed { salt: "ours", seq: 1, text: "ours, first" },
    Signed { salt: "ours", seq: 2, text: "ours, second" },
];

/// The secret and the public key of RFC 8032's first test, in hex.
pub(crate) const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
/// See [`SEED`].
pub(crate) const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The writer announces itself and the reader finds it.
pub(crate) fn check_peers(writer: &mut dyn Finder, reader: &mut dyn Finder, hash: &str) -> Result<()> {
    let announced = announce(writer, hash)?;
    find(reader, hash, announced)
}

/// Has the node announce a peer, and says what is to be found.
pub(crate) fn announce(writer: &mut dyn Finder, hash: &str) -> Result<SocketAddr> {
    let announced = SocketAddr::new(writer.ip(), PEER_PORT);
    writer.announce(hash, PEER_PORT).context("announce")?;
    Ok(announced)
}

/// An error unless the node finds the peer.
pub(crate) fn find(reader: &mut dyn Finder, hash: &str, announced: SocketAddr) -> Result<()> {
    let found = reader.peers(hash).context("get_peers")?;
    if !found.contains(&announced) {
        bail!("{announced} was announced, {found:?} was found");
    }
    Ok(())
}

/// The writer stores a byte string and the reader gets it.
pub(crate) fn check_immutable(writer: &mut dyn Keeper, reader: &mut dyn Keeper, text: &str) -> Result<()> {
    let target = writer.put(text).context("put")?;
    read_immutable(reader, &target, text)
}

/// An error unless the node gets this byte string.
pub(crate) fn read_immutable(reader: &mut dyn Keeper, target: &str, text: &str) -> Result<()> {
    match reader.get(target).context("get")? {
        Some(value) if value == text.as_bytes() => Ok(()),
        other => bail!("{text:?} was stored, {other:?} was found"),
    }
}

/// The writer stores every one of [`ITEMS`], and the reader gets each before the next is stored.
pub(crate) fn check_mutable(writer: &mut dyn Keeper, reader: &mut dyn Keeper) -> Result<()> {
    for item in &ITEMS {
        writer.put_mutable(item).with_context(|| format!("put {:?}", item.text))?;
        read_mutable(reader, item)?;
    }
    Ok(())
}

/// An error unless the node gets this item.
pub(crate) fn read_mutable(reader: &mut dyn Keeper, item: &Signed) -> Result<()> {
    match reader.get_mutable(item.salt).context("get")? {
        Some((seq, value)) if seq == item.seq && value == item.text.as_bytes() => Ok(()),
        other => bail!("{:?} was stored with number {}, {other:?} was found", item.text, item.seq),
    }
}

/// Bytes in lower-case hex; `-` when there are none.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of [`hex`].
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>> {
    if text == "-" {
        return Ok(Vec::new());
    }
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<_>>();
    bytes.with_context(|| format!("{text:?} is no hex"))
}

/// The bytes of a bencoded string.
pub(crate) fn string_in(value: &[u8]) -> Result<Vec<u8>> {
    let colon = value.iter().position(|byte| *byte == b':').context("the value is no string")?;
    Ok(value[colon + 1..].to_vec())
}

/// The peers that are announced do not exist: nobody is to dial them.
const PEER_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_back_and_nothing_else_is_read() {
        assert_eq!(hex(&[0, 0xfe]), "00fe");
        assert_eq!(unhex("00fe").unwrap(), [0, 0xfe]);
        assert_eq!((hex(&[]).as_str(), unhex("-").unwrap().len()), ("-", 0));
        assert!(unhex("0").is_err());
        assert!(unhex("zz").is_err());
    }
}
