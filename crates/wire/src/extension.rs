//! The extension protocol (BEP 10): its handshake, and the ids of extended messages.
//!
//! An id in `m` is chosen by the receiver of the messages it names: we send by the ids of the peer and receive by ours.

use crate::{bencode, limits};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The extended message id of the handshake itself.
pub const HANDSHAKE_ID: u8 = 0;

/// An extension known here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extension {
    /// Metadata from peers (BEP 9).
    UtMetadata,
    /// Peer exchange (BEP 11).
    UtPex,
    /// Whether the sender only uploads (BEP 21), as a message.
    UploadOnly,
    /// A piece the sender has no longer (BEP 54).
    LtDonthave,
}

impl Extension {
    /// Every extension, ordered by name.
    pub const ALL: [Extension; 4] =
        [Extension::LtDonthave, Extension::UploadOnly, Extension::UtMetadata, Extension::UtPex];

    /// The name in `m`.
    pub const fn name(self) -> &'static str {
        match self {
            Extension::LtDonthave => "lt_donthave",
            Extension::UploadOnly => "upload_only",
            Extension::UtMetadata => "ut_metadata",
            Extension::UtPex => "ut_pex",
        }
    }

    /// The id by which peers send it to us.
    pub const fn local_id(self) -> u8 {
        match self {
            Extension::UtPex => 1,
            Extension::UtMetadata => 2,
            Extension::UploadOnly => 3,
            Extension::LtDonthave => 7,
        }
    }

    /// The extension that a message with this id, received by us, belongs to.
    pub fn from_local_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.local_id() == id)
    }

    const fn slot(self) -> usize {
        match self {
            Extension::LtDonthave => 0,
            Extension::UploadOnly => 1,
            Extension::UtMetadata => 2,
            Extension::UtPex => 3,
        }
    }
}

/// The `m` of one side: by which id it takes each extension. One that was never named is unsupported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtensionIds([Option<u8>; 4]);

impl ExtensionIds {
    /// These extensions under our ids.
    pub fn ours(extensions: impl IntoIterator<Item = Extension>) -> Self {
        let mut ids = Self::default();
        extensions.into_iter().for_each(|e| ids.set(e, e.local_id()));
        ids
    }

    /// Names an extension; id 0 switches it off.
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.0[extension.slot()] = Some(id);
    }

    /// The id to send this extension by; `None` when it is unsupported or switched off.
    pub fn id_of(&self, extension: Extension) -> Option<u8> {
        self.0[extension.slot()].filter(|id| *id != 0)
    }

    //= BEP 10: m is additive, 0 disables
    /// Takes over what a later handshake names; the rest stays as it is.
    pub fn update(&mut self, later: &ExtensionIds) {
        for (id, later) in self.0.iter_mut().zip(later.0) {
            *id = later.or(*id);
        }
    }
}

/// Why an extended message cannot be read. The peer broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// Longer than its cap.
    #[error("{extension} message of {got} bytes, {max} are the most")]
    TooLong {
        /// The name of the extension, or `handshake`.
        extension: &'static str,
        /// Bytes received.
        got: usize,
        /// The most allowed.
        max: usize,
    },
    /// Not bencode.
    #[error("{extension} message {error}")]
    Bencode {
        /// The name of the extension, or `handshake`.
        extension: &'static str,
        /// What is wrong.
        error: bencode::Error,
    },
    /// Bencode, but not a dictionary with what the message needs; or of the wrong length.
    #[error("malformed {0} message")]
    Malformed(&'static str),
}

/// What an extension handshake says. Every part may be missing, which leaves what an earlier one said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtensionHandshake {
    /// `m`: the ids the sender takes extensions by.
    pub ids: ExtensionIds,
    /// `p`: TCP port the sender listens on; never 0.
    pub port: Option<u16>,
    /// `v`: name and version of the client, at most [`limits::CLIENT_NAME_LEN_MAX`] bytes, without control characters.
    pub client: Option<String>,
    /// `yourip`: the receiver's address as the sender sees it. One peer's word only.
    pub your_ip: Option<IpAddr>,
    /// `ipv4`: an IPv4 address of the sender.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`: an IPv6 address of the sender.
    pub ipv6: Option<Ipv6Addr>,
    /// `reqq`: requests the sender queues without dropping any; at least 1.
    pub request_queue_len: Option<u32>,
    /// `metadata_size`: bytes of the `info` dictionary; 1 to [`limits::METADATA_LEN_MAX`].
    pub metadata_size: Option<u32>,
    /// `upload_only`: whether the sender downloads nothing (BEP 21).
    pub upload_only: Option<bool>,
    /// `e`: whether the sender prefers encrypted connections.
    pub prefers_encryption: Option<bool>,
    /// `complete_ago`: seconds since the sender completed the torrent.
    pub complete_ago_s: Option<u32>,
}

impl ExtensionHandshake {
    //= BEP 10: extension handshake
    /// Reads the payload of an extended message 0. Unknown keys and values of a wrong type or range are left out.
    ///
    /// # Errors
    /// When it is longer than [`limits::EXTENSION_HANDSHAKE_LEN_MAX`] or not one bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let doc = parse("handshake", payload, limits::EXTENSION_HANDSHAKE_LEN_MAX)?;
        let dict = doc.root().as_dict().ok_or(ExtensionError::Malformed("handshake"))?;
        let mut h = ExtensionHandshake::default();
        for (key, value) in dict.entries() {
            let flag = || value.as_int().map(|i| i != 0);
            match key {
                b"m" => h.ids = ids(value),
                b"p" => h.port = number(value),
                b"v" => h.client = value.as_bytes().and_then(sanitised),
                b"yourip" => h.your_ip = value.as_bytes().and_then(ip),
                b"ipv4" => h.ipv4 = octets(value).map(Ipv4Addr::from_octets),
                b"ipv6" => h.ipv6 = octets(value).map(Ipv6Addr::from_octets),
                b"reqq" => h.request_queue_len = number(value),
                b"metadata_size" => {
                    h.metadata_size = number(value).filter(|n| *n <= limits::METADATA_LEN_MAX);
                }
                b"upload_only" => h.upload_only = flag(),
                b"e" => h.prefers_encryption = flag(),
                b"complete_ago" => h.complete_ago_s = value.as_int().and_then(|i| u32::try_from(i).ok()),
                _ => {}
            }
        }
        Ok(h)
    }

    /// The payload of an extended message 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = bencode::Writer::new();
        w.dict(|d| {
            let int = |d: &mut bencode::DictWriter<'_>, key: &[u8], value: Option<i64>| {
                if let Some(value) = value {
                    d.int(key, value);
                }
            };
            int(d, b"complete_ago", self.complete_ago_s.map(i64::from));
            int(d, b"e", self.prefers_encryption.map(i64::from));
            if let Some(ip) = self.ipv4 {
                d.bytes(b"ipv4", &ip.octets());
            }
            if let Some(ip) = self.ipv6 {
                d.bytes(b"ipv6", &ip.octets());
            }
            d.key(b"m").dict(|m| {
                for e in Extension::ALL {
                    int(m, e.name().as_bytes(), self.ids.0[e.slot()].map(i64::from));
                }
            });
            int(d, b"metadata_size", self.metadata_size.map(i64::from));
            int(d, b"p", self.port.map(i64::from));
            int(d, b"reqq", self.request_queue_len.map(i64::from));
            int(d, b"upload_only", self.upload_only.map(i64::from));
            if let Some(client) = &self.client {
                d.bytes(b"v", client.as_bytes());
            }
            match self.your_ip {
                Some(IpAddr::V4(ip)) => d.bytes(b"yourip", &ip.octets()),
                Some(IpAddr::V6(ip)) => d.bytes(b"yourip", &ip.octets()),
                None => {}
            }
        });
        w.finish()
    }
}

//= BEP 21: upload_only message
/// Reads the payload of an `upload_only` message: whether the sender downloads nothing.
///
/// # Errors
/// [`ExtensionError::Malformed`] when it is not one byte.
pub fn decode_upload_only(payload: &[u8]) -> Result<bool, ExtensionError> {
    match payload {
        [flag] => Ok(*flag != 0),
        _ => Err(ExtensionError::Malformed("upload_only")),
    }
}

/// The payload of an `upload_only` message.
pub fn encode_upload_only(upload_only: bool) -> [u8; 1] {
    [u8::from(upload_only)]
}

/// Parses a payload that is one dictionary, not longer than `max` bytes.
pub(crate) fn parse<'a>(
    extension: &'static str,
    payload: &'a [u8],
    max: usize,
) -> Result<bencode::Document<'a>, ExtensionError> {
    if payload.len() > max {
        return Err(ExtensionError::TooLong { extension, got: payload.len(), max });
    }
    bencode::Document::parse(payload).map_err(|error| ExtensionError::Bencode { extension, error })
}

fn ids(m: bencode::Value<'_>) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (name, id) in m.as_dict().iter().flat_map(|m| m.entries()) {
        let extension = Extension::ALL.into_iter().find(|e| e.name().as_bytes() == name);
        if let (Some(extension), Some(id)) = (extension, id.as_int().and_then(|i| u8::try_from(i).ok())) {
            ids.set(extension, id);
        }
    }
    ids
}

/// A number that fits and is not zero.
fn number<T: TryFrom<i64> + Default + PartialEq>(value: bencode::Value<'_>) -> Option<T> {
    value.as_int().and_then(|i| T::try_from(i).ok()).filter(|n| *n != T::default())
}

fn octets<const N: usize>(value: bencode::Value<'_>) -> Option<[u8; N]> {
    value.as_bytes().and_then(|b| b.try_into().ok())
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = bytes.try_into().ok().map(|b: [u8; 4]| IpAddr::from(b));
    v4.or_else(|| bytes.try_into().ok().map(|b: [u8; 16]| IpAddr::from(b).to_canonical()))
}

/// A name fit to be shown: no control characters or broken UTF-8, cut to the limit; `None` when nothing is left.
fn sanitised(name: &[u8]) -> Option<String> {
    // a character has at most 4 bytes, so no more than this can be shown
    let head = &name[..name.len().min(4 * limits::CLIENT_NAME_LEN_MAX)];
    let mut out = String::new();
    for c in String::from_utf8_lossy(head).chars().filter(|c| !is_unshown(*c)) {
        if out.len() + c.len_utf8() > limits::CLIENT_NAME_LEN_MAX {
            break;
        }
        out.push(c);
    }
    let out = out.trim();
    (!out.is_empty()).then(|| out.to_owned())
}

/// Control characters, and marks that would reorder the text around the name.
fn is_unshown(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(dict: &[u8]) -> ExtensionHandshake {
        ExtensionHandshake::decode(dict).unwrap()
    }

    fn full() -> ExtensionHandshake {
        ExtensionHandshake {
            ids: ExtensionIds::ours(Extension::ALL),
            port: Some(6881),
            client: Some("Unchoke 0.1.0".into()),
            your_ip: Some(IpAddr::from([1, 2, 3, 4])),
            ipv4: Some(Ipv4Addr::new(5, 6, 7, 8)),
            ipv6: Some(Ipv6Addr::LOCALHOST),
            request_queue_len: Some(500),
            metadata_size: Some(127),
            upload_only: Some(true),
            prefers_encryption: Some(false),
            complete_ago_s: Some(60),
        }
    }

    #[test]
    fn a_handshake_is_a_sorted_dictionary_of_all_it_says() {
        let bytes = full().encode();
        let expected =
            b"d12:complete_agoi60e1:ei0e4:ipv44:\x05\x06\x07\x084:ipv616:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
            1:md11:lt_donthavei7e11:upload_onlyi3e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei127e1:pi6881e\
            4:reqqi500e11:upload_onlyi1e1:v13:Unchoke 0.1.06:yourip4:\x01\x02\x03\x04e";
        assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(decode(&bytes), full());
        assert_eq!(ExtensionHandshake::default().encode(), b"d1:mdee");
        assert_eq!(decode(b"de"), ExtensionHandshake::default());
    }

    #[test]
    fn the_example_of_bep_10_is_read() {
        let h = decode(b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e");
        assert_eq!((h.port, h.client.as_deref()), (Some(6881), Some("\u{b5}Torrent 1.2")));
        assert!(Extension::ALL.iter().all(|e| h.ids.id_of(*e).is_none()));
    }

    #[test]
    fn the_receiver_of_an_extended_message_chose_its_id() {
        let theirs = decode(b"d1:md11:ut_metadatai3e6:ut_pexi1eee").ids;
        assert_eq!(theirs.id_of(Extension::UtMetadata), Some(3));
        assert_eq!(Extension::from_local_id(3), Some(Extension::UploadOnly));
        assert_eq!(theirs.id_of(Extension::LtDonthave), None);
        for e in Extension::ALL {
            assert_eq!(Extension::from_local_id(e.local_id()), Some(e));
        }
        assert_eq!(Extension::from_local_id(HANDSHAKE_ID), None);
        assert_eq!(Extension::from_local_id(255), None);
    }

    #[test]
    fn a_later_m_adds_and_zero_switches_off() {
        let mut ids = decode(b"d1:md11:ut_metadatai3e6:ut_pexi1eee").ids;
        ids.update(&decode(b"d1:md11:lt_donthavei9e6:ut_pexi0eee").ids);
        assert_eq!(ids.id_of(Extension::UtMetadata), Some(3));
        assert_eq!(ids.id_of(Extension::LtDonthave), Some(9));
        assert_eq!(ids.id_of(Extension::UtPex), None);
        ids.update(&decode(b"d1:md6:ut_pexi4eee").ids);
        assert_eq!(ids.id_of(Extension::UtPex), Some(4));
        ids.update(&decode(b"de").ids);
        assert_eq!(ids.id_of(Extension::UtPex), Some(4));
    }

    #[test]
    fn values_of_a_wrong_type_or_range_are_left_out() {
        for dict in [
            &b"d12:complete_agoi-1e1:e1:x4:ipv43:abc4:ipv64:abcd1:mi1e13:metadata_size1:11:pi0e4:reqqi0e1:vi1e6:yourip5:abcdee"[..],
            b"d1:ml6:ut_pexi1ee13:metadata_sizei-1e1:pi65536e4:reqqi-5e11:upload_onlyle1:v2:\x07\x1b6:youripi1ee",
            b"d1:md6:ut_pexi256e11:ut_metadatai-1e11:lt_donthave1:1e13:metadata_sizei2147483648e7:unknownd1:ale",
        ] {
            let dict = if dict.ends_with(b"ale") { [dict, b"ee"].concat() } else { dict.to_vec() };
            assert_eq!(decode(&dict), ExtensionHandshake::default(), "{}", dict.escape_ascii());
        }
    }

    #[test]
    fn metadata_above_the_limit_is_not_believed() {
        let size = |n: u64| decode(format!("d13:metadata_sizei{n}ee").as_bytes()).metadata_size;
        let max = limits::METADATA_LEN_MAX;
        assert_eq!(size(u64::from(max)), Some(max));
        assert_eq!(size(u64::from(max) + 1), None);
        assert_eq!(size(1 << 62), None);
        assert_eq!(size(0), None);
    }

    #[test]
    fn a_client_name_is_cut_and_cleaned() {
        let name = |v: &[u8]| {
            let mut w = bencode::Writer::new();
            w.dict(|d| d.bytes(b"v", v));
            decode(&w.finish()).client
        };
        assert_eq!(name(b" a\x1b[31m\nb\x7f ").as_deref(), Some("a[31mb"));
        assert_eq!(name("x\u{202e}y\u{feff}".as_bytes()).as_deref(), Some("xy"));
        assert_eq!(name(b"\xff\x00").as_deref(), Some("\u{fffd}"));
        assert_eq!(name(b"\x01\x02"), None);
        let max = limits::CLIENT_NAME_LEN_MAX;
        assert_eq!(name(&vec![b'x'; max]).map(|n| n.len()), Some(max));
        assert_eq!(name(&vec![b'x'; max + 1]).map(|n| n.len()), Some(max));
        assert_eq!(name("\u{b5}".repeat(40_000 / 2).as_bytes()).map(|n| n.len()), Some(max));
        assert_eq!(
            name([b"x", "\u{b5}".repeat(max).as_bytes()].concat().as_slice()).map(|n| n.len()),
            Some(max - 1)
        );
    }

    #[test]
    fn a_handshake_that_is_too_long_too_deep_or_no_dictionary_is_refused() {
        let pad = |len: usize| {
            let mut w = bencode::Writer::new();
            w.dict(|d| d.bytes(b"x", &vec![0; len]));
            w.finish()
        };
        let max = limits::EXTENSION_HANDSHAKE_LEN_MAX;
        let room = max - (pad(10_000).len() - 10_000);
        assert_eq!(pad(room).len(), max);
        assert!(ExtensionHandshake::decode(&pad(room)).is_ok());
        let error = ExtensionError::TooLong { extension: "handshake", got: max + 1, max };
        assert_eq!(ExtensionHandshake::decode(&pad(room + 1)), Err(error));
        let malformed = ExtensionError::Malformed("handshake");
        assert_eq!(ExtensionHandshake::decode(b"i1e"), Err(malformed));
        let deep = [b"d1:x".to_vec(), vec![b'l'; 10_000]].concat();
        for bytes in [&deep[..], b"", b"d", b"dee"] {
            assert!(matches!(ExtensionHandshake::decode(bytes), Err(ExtensionError::Bencode { .. })));
        }
    }

    #[test]
    fn upload_only_is_one_byte() {
        assert_eq!(decode_upload_only(&encode_upload_only(true)), Ok(true));
        assert_eq!(decode_upload_only(&[0]), Ok(false));
        for bytes in [&[][..], &[0, 0]] {
            assert_eq!(decode_upload_only(bytes), Err(ExtensionError::Malformed("upload_only")));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(ids: [Option<u8>; 4], port: u16, name in "[a-z µ.]{0,30}", ip: [u8; 16], n: u32) {
            let h = ExtensionHandshake {
                ids: ExtensionIds(ids),
                port: Some(port).filter(|p| *p != 0),
                client: Some(name.trim().to_owned()).filter(|n| !n.is_empty()),
                your_ip: Some(IpAddr::from(ip).to_canonical()),
                ipv6: Some(ip.into()),
                request_queue_len: Some(n).filter(|n| *n != 0),
                complete_ago_s: Some(n),
                ..Default::default()
            };
            prop_assert_eq!(decode(&h.encode()), h);
        }
    }
}
