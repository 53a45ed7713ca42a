//! Announce tokens: proof that an announcer receives what is sent to its address (BEP 5).
//!
//! A token is SipHash-2-4 over the asker's IP and the key, under a random 128-bit secret that is replaced every five
//! minutes; the one before stays good. It is bound to the IP, not the port, which a NAT may change.

use core::net::IpAddr;
use rand::Rng;
use siphasher::sip::SipHasher24;
use unchoke_wire::krpc::NodeId;
use unchoke_wire::time::{Duration, Instant};

/// How long a secret signs; its tokens stay good for as long again.
const SECRET_LIFE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(crate) struct Tokens {
    current: [u8; 16],
    previous: [u8; 16],
    rotate_at: Instant,
}

impl Tokens {
    pub(crate) fn new(rng: &mut impl Rng, now: Instant) -> Self {
        Tokens { current: secret(rng), previous: secret(rng), rotate_at: now + SECRET_LIFE }
    }

    /// The token `ip` needs to announce under `key`.
    pub(crate) fn issue(&mut self, ip: IpAddr, key: &NodeId, rng: &mut impl Rng, now: Instant) -> [u8; 8] {
        self.rotate(rng, now);
        sign(&self.current, ip, key).to_be_bytes()
    }

    /// Whether `token` was issued to `ip` for `key` not too long ago.
    pub(crate) fn is_valid(
        &mut self,
        token: &[u8],
        ip: IpAddr,
        key: &NodeId,
        rng: &mut impl Rng,
        now: Instant,
    ) -> bool {
        self.rotate(rng, now);
        let Ok(token) = token.try_into().map(u64::from_be_bytes) else { return false };
        // whole-word comparisons take the same time for every token
        (token == sign(&self.current, ip, key)) | (token == sign(&self.previous, ip, key))
    }

    fn rotate(&mut self, rng: &mut impl Rng, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        let was_idle = now >= self.rotate_at + SECRET_LIFE;
        self.previous = if was_idle { secret(rng) } else { self.current };
        self.current = secret(rng);
        self.rotate_at = now + SECRET_LIFE;
    }
}

fn secret(rng: &mut impl Rng) -> [u8; 16] {
    let mut key = [0; 16];
    rng.fill_bytes(&mut key);
    key
}

fn sign(secret: &[u8; 16], ip: IpAddr, key: &NodeId) -> u64 {
    let mut input = [0; 36];
    match ip {
        IpAddr::V4(ip) => input[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => input[..16].copy_from_slice(&ip.octets()),
    }
    input[16..].copy_from_slice(&key.0);
    SipHasher24::new_with_key(secret).hash(&input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    #[test]
    fn a_token_is_good_for_its_ip_and_key_for_one_to_two_lives_of_a_secret() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let start = Instant::from_micros(1);
        let mut tokens = Tokens::new(rng, start);
        let (ip, other_ip) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([1, 2, 3, 5]));
        let (key, other_key) = (NodeId([1; 20]), NodeId([2; 20]));
        let token = tokens.issue(ip, &key, rng, start);
        assert!(tokens.is_valid(&token, ip, &key, rng, start));
        assert!(!tokens.is_valid(&token, other_ip, &key, rng, start));
        assert!(!tokens.is_valid(&token, ip, &other_key, rng, start));
        assert!(!tokens.is_valid(&token[..7], ip, &key, rng, start));
        assert!(!tokens.is_valid(b"", ip, &key, rng, start));
        assert!(tokens.is_valid(&token, ip, &key, rng, start + SECRET_LIFE));
        assert!(!tokens.is_valid(&token, ip, &key, rng, start + SECRET_LIFE * 2));
    }

    #[test]
    fn a_token_dies_in_an_idle_node_too() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let mut tokens = Tokens::new(rng, Instant::ZERO);
        let (ip, key) = (IpAddr::from([1, 2, 3, 4]), NodeId([1; 20]));
        let token = tokens.issue(ip, &key, rng, Instant::ZERO);
        assert!(!tokens.is_valid(&token, ip, &key, rng, Instant::ZERO + SECRET_LIFE * 2));
    }

    /// A checksum in place of a keyed hash lets anyone make tokens for other addresses out of one of their own: the
    /// difference of two tokens then depends on the addresses alone, not on the secret.
    #[test]
    fn a_token_of_ours_forges_none_for_others_as_with_a_checksum() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let key = NodeId([1; 20]);
        let ips = [[1, 2, 3, 4], [1, 2, 3, 5], [200, 2, 3, 4]].map(IpAddr::from);
        let differences = |rng: &mut ChaCha12Rng| {
            let mut tokens = Tokens::new(rng, Instant::ZERO);
            let [a, b, c] = ips.map(|ip| u64::from_be_bytes(tokens.issue(ip, &key, rng, Instant::ZERO)));
            [a ^ b, a ^ c]
        };
        let (one, other) = (differences(rng), differences(rng));
        assert!(one[0] != other[0] && one[1] != other[1]);
    }

    /// With a secret of 32 bits, who has one token finds the secret by trying them all.
    #[test]
    fn every_bit_of_a_128_bit_secret_counts_in_a_token() {
        let (ip, key) = (IpAddr::from([1, 2, 3, 4]), NodeId([1; 20]));
        let of = |secret: u128| sign(&secret.to_be_bytes(), ip, &key);
        let mut all: Vec<u64> = (0..128).map(|bit| of(1 << bit)).chain([of(0)]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 129);
    }
}
