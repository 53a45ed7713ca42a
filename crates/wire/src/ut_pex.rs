//! Peer exchange (BEP 11): peers that came and went, told by one peer to another.

use crate::compact::{self, Family};
use crate::extension::{ExtensionError, parse};
use crate::{bencode, limits};
use core::net::SocketAddr;

const NAME: &str = "ut_pex";

/// What a sender says about a peer. Bits not known here are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PexFlags(u8);

impl PexFlags {
    /// It prefers encrypted connections.
    pub const PREFERS_ENCRYPTION: PexFlags = PexFlags(0x01);
    /// It is a seed, or uploads only.
    pub const SEED: PexFlags = PexFlags(0x02);
    /// It speaks uTP.
    pub const UTP: PexFlags = PexFlags(0x04);
    /// It takes part in hole punching.
    pub const HOLEPUNCH: PexFlags = PexFlags(0x08);
    /// The sender connected to it, so it can be reached.
    pub const REACHABLE: PexFlags = PexFlags(0x10);

    /// These bits of a flags byte.
    pub const fn from_bits(bits: u8) -> Self {
        PexFlags(bits & 0x1f)
    }

    /// The flags byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    pub const fn with(self, other: PexFlags) -> Self {
        PexFlags(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    pub const fn has(self, other: PexFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A peer that the sender is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PexPeer {
    /// Where it listens; the port is not 0. Whether it may be dialled is for the caller to check.
    pub addr: SocketAddr,
    /// What the sender says about it; none when the sender left flags out.
    pub flags: PexFlags,
}

/// A message of `ut_pex`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PexMessage {
    /// Peers that came, at most [`limits::PEX_ADDED_MAX`] to send, and as many of each family when received.
    pub added: Vec<PexPeer>,
    /// Peers that went, at most [`limits::PEX_DROPPED_MAX`] to send, and as many of each family when received.
    pub dropped: Vec<SocketAddr>,
    /// How many entries were received above these limits; always 0 in a message to send.
    pub surplus: usize,
}

impl PexMessage {
    //= BEP 11: peer exchange message
    /// Reads the payload of a `ut_pex` message. Missing keys and flags, values of a wrong type and bytes that are no
    /// whole peer are let pass; entries with port 0 are left out. Of each list
    /// the first entries up to the limit count.
    ///
    /// # Errors
    /// When it is longer than [`limits::PEX_LEN_MAX`] or not one bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let doc = parse(NAME, payload, limits::PEX_LEN_MAX)?;
        let dict = doc.root().as_dict().ok_or(ExtensionError::Malformed(NAME))?;
        let get = |key: &[u8]| dict.get(key).and_then(|v| v.as_bytes()).unwrap_or_default();
        let peers = |key: &[u8], flags_key: &[u8], family| {
            let flags = get(flags_key).iter().copied().chain(core::iter::repeat(0));
            compact::entries(get(key), family)
                .zip(flags)
                .map(|(addr, bits)| PexPeer { addr, flags: PexFlags::from_bits(bits) })
                .filter(|p| p.addr.port() != 0)
        };
        let addrs = |key: &[u8], family| compact::entries(get(key), family).filter(|a| a.port() != 0);
        let mut message = PexMessage::default();
        let surplus = &mut message.surplus;
        for (key, flags_key, family) in
            [(&b"added"[..], &b"added.f"[..], Family::V4), (b"added6", b"added6.f", Family::V6)]
        {
            take(peers(key, flags_key, family), limits::PEX_ADDED_MAX, &mut message.added, surplus);
        }
        for (key, family) in [(&b"dropped"[..], Family::V4), (b"dropped6", Family::V6)] {
            take(addrs(key, family), limits::PEX_DROPPED_MAX, &mut message.dropped, surplus);
        }
        Ok(message)
    }

    /// The payload of the message, with a flags byte for every added peer.
    ///
    /// # Panics
    /// When there are more peers than the limits allow.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.added.len() <= limits::PEX_ADDED_MAX, "added peers keep the limit");
        assert!(self.dropped.len() <= limits::PEX_DROPPED_MAX, "dropped peers keep the limit");
        let is_v4 = |a: &SocketAddr| a.ip().to_canonical().is_ipv4();
        let list = |addrs: &mut dyn Iterator<Item = SocketAddr>| {
            let mut out = Vec::new();
            addrs.for_each(|a| compact::encode_into(a, &mut out));
            out
        };
        let mut w = bencode::Writer::new();
        w.dict(|d| {
            for (v4, key, flags_key) in [(true, "added", "added.f"), (false, "added6", "added6.f")] {
                let of = || self.added.iter().filter(|p| is_v4(&p.addr) == v4);
                let flags: Vec<u8> = of().map(|p| p.flags.bits()).collect();
                d.bytes(key.as_bytes(), &list(&mut of().map(|p| p.addr)));
                d.bytes(flags_key.as_bytes(), &flags);
            }
            for (v4, key) in [(true, "dropped"), (false, "dropped6")] {
                let mut of = self.dropped.iter().copied().filter(|a| is_v4(a) == v4);
                d.bytes(key.as_bytes(), &list(&mut of));
            }
        });
        w.finish()
    }
}

/// Appends the first `max` of a list, and counts the others.
fn take<T>(mut from: impl Iterator<Item = T>, max: usize, to: &mut Vec<T>, surplus: &mut usize) {
    to.extend(from.by_ref().take(max));
    *surplus += from.count();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(addr: &str, flags: PexFlags) -> PexPeer {
        PexPeer { addr: addr.parse().unwrap(), flags }
    }

    fn dict(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut w = bencode::Writer::new();
        w.dict(|d| entries.iter().for_each(|(key, value)| d.bytes(key.as_bytes(), value)));
        w.finish()
    }

    #[test]
    fn peers_of_both_families_come_and_go_with_their_flags() {
        let message = PexMessage {
            added: vec![
                peer("1.2.3.4:5", PexFlags::SEED.with(PexFlags::UTP)),
                peer("[::1]:80", PexFlags::REACHABLE),
            ],
            dropped: vec!["9.9.9.9:9".parse().unwrap(), "[::2]:1".parse().unwrap()],
            surplus: 0,
        };
        let bytes = message.encode();
        let expected = dict(&[
            ("added", b"\x01\x02\x03\x04\0\x05"),
            ("added.f", b"\x06"),
            ("added6", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50"),
            ("added6.f", b"\x10"),
            ("dropped", b"\x09\x09\x09\x09\0\x09"),
            ("dropped6", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01"),
        ]);
        assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(PexMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn missing_keys_and_flags_and_torn_entries_are_let_pass() {
        assert_eq!(PexMessage::decode(b"de"), Ok(PexMessage::default()));
        assert_eq!(PexMessage::decode(b"d5:addedi1e7:added.flee"), Ok(PexMessage::default()));
        let bytes =
            dict(&[("added", b"\x01\x01\x01\x01\0\x01\x02\x02\x02\x02\0\x02\x03"), ("added.f", b"\xe2")]);
        let added = vec![peer("1.1.1.1:1", PexFlags::SEED), peer("2.2.2.2:2", PexFlags::default())];
        assert_eq!(PexMessage::decode(&bytes).unwrap().added, added);
    }

    #[test]
    fn an_entry_with_port_zero_is_left_out_and_the_flags_stay_in_step() {
        let bytes =
            dict(&[("added", b"\x01\x01\x01\x01\0\0\x02\x02\x02\x02\0\x02"), ("added.f", b"\x01\x02")]);
        assert_eq!(PexMessage::decode(&bytes).unwrap().added, [peer("2.2.2.2:2", PexFlags::SEED)]);
    }

    #[test]
    fn of_ten_thousand_peers_the_first_fifty_of_each_family_count() {
        let (v4, v6) = ([1, 1, 1, 1, 0, 1].repeat(6_000), [1; 18].repeat(4_000));
        let m = PexMessage::decode(&dict(&[
            ("added", &v4),
            ("added6", &v6),
            ("dropped", &v4[..51 * 6]),
            ("dropped6", &v6[..50 * 18]),
        ]))
        .unwrap();
        let of_v6 = m.added.iter().filter(|p| p.addr.is_ipv6()).count();
        assert_eq!((m.added.len(), of_v6), (2 * limits::PEX_ADDED_MAX, limits::PEX_ADDED_MAX));
        assert_eq!((m.dropped.len(), m.surplus), (2 * limits::PEX_DROPPED_MAX, 5_950 + 3_950 + 1));
    }

    #[test]
    fn a_message_above_the_limit_is_refused() {
        let pad = |len: usize| dict(&[("added", &vec![0; len])]);
        let room = limits::PEX_LEN_MAX - (pad(100_000).len() - 100_000);
        assert!(PexMessage::decode(&pad(room)).is_ok());
        let error = ExtensionError::TooLong {
            extension: "ut_pex",
            got: limits::PEX_LEN_MAX + 1,
            max: limits::PEX_LEN_MAX,
        };
        assert_eq!(PexMessage::decode(&pad(room + 1)), Err(error));
        assert_eq!(PexMessage::decode(b"le"), Err(ExtensionError::Malformed("ut_pex")));
        assert!(matches!(PexMessage::decode(b"d"), Err(ExtensionError::Bencode { .. })));
    }

    #[test]
    #[should_panic(expected = "added peers keep the limit")]
    fn more_than_fifty_peers_cannot_be_sent() {
        let added = vec![peer("1.1.1.1:1", PexFlags::default()); 51];
        PexMessage { added, ..Default::default() }.encode();
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(added: Vec<([u8; 16], u8)>, v4: Vec<[u8; 4]>) {
            let mut message = PexMessage::default();
            for (ip, bits) in added.into_iter().take(20) {
                let addr = SocketAddr::new(core::net::IpAddr::from(ip).to_canonical(), 1);
                message.added.push(PexPeer { addr, flags: PexFlags::from_bits(bits) });
            }
            message.dropped = v4.into_iter().take(50).map(|ip| SocketAddr::from((ip, 1))).collect();
            let mut decoded = PexMessage::decode(&message.encode()).unwrap();
            message.added.sort_by_key(|p| p.addr);
            decoded.added.sort_by_key(|p| p.addr);
            prop_assert_eq!(decoded, message);
        }
    }
}
