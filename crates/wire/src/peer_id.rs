//! The 20-byte peer id, and the client's name that most ids carry (BEP 20).

use core::fmt;

/// The 20 bytes a peer calls itself by. Not authenticated: never a ground for trust or bans.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// How every id of ours begins: Azureus style, client `UK`, version 0.1.0 (BEP 20).
pub const PEER_ID_PREFIX: [u8; 8] = *b"-UK0100-";

impl PeerId {
    //= BEP 20: Azureus-style peer id
    /// Our id with these twelve random bytes as its tail.
    pub fn ours(random: [u8; 12]) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&PEER_ID_PREFIX);
        id[8..].copy_from_slice(&random);
        PeerId(id)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
