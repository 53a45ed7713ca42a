//! Signing and checking the items that their owners may replace (BEP 44, 46).

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Sha512, Signature, VerifyingKey};
use unchoke_wire::item::{KEY_LEN, MutableItem, SIGNATURE_LEN, signed_bytes};

/// Whether the owner of `item` signed it. Keys and signatures that several messages or keys would fit are refused.
pub fn is_authentic(item: &MutableItem) -> bool {
    let signed = signed_bytes(&item.salt, item.seq, &item.value);
    VerifyingKey::from_bytes(&item.key)
        .is_ok_and(|key| key.verify_strict(&signed, &Signature::from_bytes(&item.signature)).is_ok())
}

/// What an owner signs items with.
#[derive(PartialEq, Eq, Debug)]
pub struct SecretKey {
    expanded: ExpandedSecretKey,
    public: VerifyingKey,
}

impl SecretKey {
    /// The key made from a seed, which must be secret and unpredictable.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::new(ExpandedSecretKey::from(seed))
    }

    /// The key in the form that other programs keep and BEP 44 publishes: the scalar and the prefix a seed hashes to.
    pub fn from_expanded(bytes: &[u8; 64]) -> Self {
        Self::new(ExpandedSecretKey::from_bytes(bytes))
    }

    /// The public key, by which items are found.
    pub fn public(&self) -> [u8; KEY_LEN] {
        self.public.to_bytes()
    }

    //= BEP 44: a mutable item is signed with the owner's key
    /// A signed item. The caller keeps `salt` and `value` within
    /// [`ITEM_SALT_LEN_MAX`](unchoke_wire::limits::ITEM_SALT_LEN_MAX) and
    /// [`ITEM_VALUE_LEN_MAX`](unchoke_wire::limits::ITEM_VALUE_LEN_MAX), and `value` canonical bencode; others refuse
    /// what is not.
    pub fn sign(&self, salt: Vec<u8>, seq: i64, value: Vec<u8>) -> MutableItem {
        let signed = signed_bytes(&salt, seq, &value);
        let signature: [u8; SIGNATURE_LEN] =
            raw_sign::<Sha512>(&self.expanded, &signed, &self.public).to_bytes();
        MutableItem { key: self.public(), salt, seq, value, signature }
    }

    fn new(expanded: ExpandedSecretKey) -> Self {
        let public = VerifyingKey::from(&expanded);
        SecretKey { expanded, public }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::item::Item;

    const VALUE: &[u8] = b"12:Hello World!";

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    fn published() -> SecretKey {
        SecretKey::from_expanded(&hex(
            "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74db7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d",
        ))
    }

    //= BEP 44: the published signatures
    //= test
    #[test]
    fn the_published_key_makes_the_signatures_and_targets_of_bep_44() {
        let key = published();
        assert_eq!(key.public(), hex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"));
        for (salt, signature, target) in [
            (
                &b""[..],
                "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
                "4a533d47ec9c7d95b1ad75f576cffc641853b750",
            ),
            (
                b"foobar",
                "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
                "411eba73b6f087ca51a3795d9c8c938d365e32c1",
            ),
        ] {
            let item = key.sign(salt.to_vec(), 1, VALUE.to_vec());
            assert_eq!(item.signature, hex(signature));
            assert!(is_authentic(&item));
            assert_eq!(Item::Mutable(item).key().target().to_string(), target);
        }
    }

    #[test]
    fn a_seed_makes_the_key_and_signature_of_rfc_8032() {
        let key =
            SecretKey::from_seed(&hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        assert_eq!(key.public(), hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        assert!(is_authentic(&key.sign(b"s".to_vec(), i64::MIN, b"de".to_vec())));
    }

    #[test]
    fn a_change_to_any_part_of_an_item_is_noticed() {
        let good = published().sign(b"salt".to_vec(), 7, VALUE.to_vec());
        assert!(is_authentic(&good));
        for bad in [
            MutableItem { salt: b"sale".to_vec(), ..good.clone() },
            MutableItem { salt: Vec::new(), ..good.clone() },
            MutableItem { seq: 8, ..good.clone() },
            MutableItem { value: b"12:Hello World?".to_vec(), ..good.clone() },
            MutableItem { key: SecretKey::from_seed(&[1; 32]).public(), ..good.clone() },
            MutableItem { signature: [0; 64], ..good.clone() },
            MutableItem { key: [0xff; 32], ..good.clone() },
        ] {
            assert!(!is_authentic(&bad), "{bad:?}");
        }
    }

    #[test]
    fn keys_and_signatures_that_fit_several_messages_are_refused() {
        let good = published().sign(Vec::new(), 1, VALUE.to_vec());
        // the neutral element as key, and as the point of a signature whose scalar is zero, fits every message
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!is_authentic(&MutableItem { key: neutral, signature, ..good.clone() }));
        // the scalar plus the order of the group is the same scalar, written in another way
        let order = hex::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut twin = good.clone();
        let mut carry = 0u16;
        for (byte, add) in twin.signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert!(!is_authentic(&twin));
    }
}
