//! Items of the DHT's store (BEP 44): small bencoded values under the hash of themselves or of a public key.

use crate::krpc::NodeId;
use sha1::{Digest, Sha1};

/// Bytes of an ed25519 public key.
pub const KEY_LEN: usize = 32;
/// Bytes of an ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// Where an item is found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ItemKey {
    /// Under the SHA-1 of its bencoded value, which therefore never changes.
    Immutable(NodeId),
    /// Under the SHA-1 of a public key and a salt; the key's owner may replace it.
    Mutable {
        /// The owner's ed25519 public key.
        key: [u8; KEY_LEN],
        /// Tells several items of one owner apart; may be empty. At most
        /// [`ITEM_SALT_LEN_MAX`](crate::limits::ITEM_SALT_LEN_MAX) bytes.
        salt: Vec<u8>,
    },
}

impl ItemKey {
    /// The point of the id space the item is kept near.
    pub fn target(&self) -> NodeId {
        match self {
            ItemKey::Immutable(target) => *target,
            ItemKey::Mutable { key, salt } => {
                NodeId(Sha1::new().chain_update(key).chain_update(salt).finalize().into())
            }
        }
    }
}

/// One item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// One that never changes.
    Immutable {
        /// Its value, bencoded: at most [`ITEM_VALUE_LEN_MAX`](crate::limits::ITEM_VALUE_LEN_MAX) bytes.
        value: Vec<u8>,
    },
    /// One that its owner may replace.
    Mutable(MutableItem),
}

/// An item its owner may replace. That it is one does not mean that its signature is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MutableItem {
    /// The owner's ed25519 public key.
    pub key: [u8; KEY_LEN],
    /// Tells several items of one owner apart; may be empty.
    pub salt: Vec<u8>,
    /// The greater number is the newer item.
    pub seq: i64,
    /// Its value, bencoded.
    pub value: Vec<u8>,
    /// The owner's signature over [`signed_bytes`].
    pub signature: [u8; SIGNATURE_LEN],
}

impl Item {
    /// Its value, bencoded.
    pub fn value(&self) -> &[u8] {
        match self {
            Item::Immutable { value } => value,
            Item::Mutable(item) => &item.value,
        }
    }

    /// Its sequence number, if its owner may replace it.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Item::Immutable { .. } => None,
            Item::Mutable(item) => Some(item.seq),
        }
    }

    /// Where it is found.
    pub fn key(&self) -> ItemKey {
        match self {
            Item::Immutable { value } => ItemKey::Immutable(NodeId(Sha1::digest(value).into())),
            Item::Mutable(item) => ItemKey::Mutable { key: item.key, salt: item.salt.clone() },
        }
    }
}

//= BEP 44: what is signed is the salt, seq and v parts of the message as bencoded
/// The bytes a mutable item's signature is over.
pub fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(salt.len() + value.len() + 48);
    if !salt.is_empty() {
        bytes.extend_from_slice(format!("4:salt{}:", salt.len()).as_bytes());
        bytes.extend_from_slice(salt);
    }
    bytes.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    bytes.extend_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_targets_and_signed_bytes_of_bep_44() {
        let key = hex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548").try_into().unwrap();
        for (salt, signed, target) in [
            (&b""[..], &b"3:seqi1e1:v12:Hello World!"[..], "4a533d47ec9c7d95b1ad75f576cffc641853b750"),
            (
                b"foobar",
                b"4:salt6:foobar3:seqi1e1:v12:Hello World!",
                "411eba73b6f087ca51a3795d9c8c938d365e32c1",
            ),
        ] {
            assert_eq!(signed_bytes(salt, 1, b"12:Hello World!"), signed);
            assert_eq!(ItemKey::Mutable { key, salt: salt.to_vec() }.target().to_string(), target);
        }
        let item = Item::Immutable { value: b"12:Hello World!".to_vec() };
        assert_eq!(item.key().target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    }

    #[test]
    fn the_targets_of_bep_46() {
        let key = hex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e").try_into().unwrap();
        for (salt, target) in [
            (vec![], "cc3f9d90b572172053626f9980ce261a850d050b"),
            (b"n".to_vec(), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f"),
        ] {
            assert_eq!(ItemKey::Mutable { key, salt }.target().to_string(), target);
        }
    }
}
