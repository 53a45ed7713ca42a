//! Mutable torrents (BEP 46): a public key under which its owner names, in the DHT, the newest version of a torrent.

use crate::bencode::{Document, Writer};
use crate::info_hash::WireHash;
use crate::item::{ItemKey, KEY_LEN};

/// Who says which torrent is the newest, and under which name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Publisher {
    /// The owner's ed25519 public key.
    pub key: [u8; KEY_LEN],
    /// Tells several torrents of one owner apart; may be empty. At most
    /// [`ITEM_SALT_LEN_MAX`](crate::limits::ITEM_SALT_LEN_MAX) bytes.
    pub salt: Vec<u8>,
}

impl Publisher {
    //= BEP 46: the item is found under the SHA-1 of the public key and the salt
    /// Where the item is found that names the torrent.
    pub fn item_key(&self) -> ItemKey {
        ItemKey::Mutable { key: self.key, salt: self.salt.clone() }
    }
}

//= BEP 46: the value is a dictionary with the info-hash under ih
/// The bencoded value of the item that names this torrent.
pub fn encode_value(hash: WireHash) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.dict(|dict| dict.bytes(b"ih", &hash.0));
    writer.finish()
}

/// The torrent that an item's bencoded value names; `None` when it names none.
pub fn decode_value(value: &[u8]) -> Option<WireHash> {
    let document = Document::parse(value).ok()?;
    let hash = document.root().as_dict()?.get(b"ih")?.as_bytes()?;
    hash.try_into().ok().map(WireHash)
}

#[cfg(test)]
mod tests {
    use super::*;

    //= BEP 46: the value is a dictionary with the info-hash under ih
    #[test]
    fn the_value_of_bep_46_is_read_and_written() {
        let value = b"d2:ih20:aaaaaaaaaaaaaaaaaaaae";
        assert_eq!(encode_value(WireHash([b'a'; 20])), value);
        assert_eq!(decode_value(value), Some(WireHash([b'a'; 20])));
    }

    #[test]
    fn a_value_that_names_no_torrent_is_none() {
        let longer = b"d2:ih20:aaaaaaaaaaaaaaaaaaaa5:titlee";
        assert_eq!(decode_value(longer), None);
        assert_eq!(
            decode_value(b"d2:ih20:aaaaaaaaaaaaaaaaaaaa5:title1:xe"),
            Some(WireHash([b'a'; 20])),
            "what a later specification adds does no harm"
        );
        for value in [
            &b""[..],
            b"i1e",
            b"20:aaaaaaaaaaaaaaaaaaaa",
            b"de",
            b"d2:ihi1ee",
            b"d2:ih19:aaaaaaaaaaaaaaaaaaae",
            b"d2:ih32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae",
            b"d2:ih20:aaaaaaaaaaaaaaaaaaaaee",
        ] {
            assert_eq!(decode_value(value), None, "{}", value.escape_ascii());
        }
    }
}
