//! The pieces a peer may fetch while choked: chosen by its address, so that reconnecting gains nothing (BEP 6).

use crate::{PieceIndex, WireHash};
use core::net::Ipv4Addr;
use sha1::Digest;

//= BEP 6: allowed fast set
/// The first `count` allowed-fast pieces of the peer at `ip` in a torrent of `piece_count` pieces, in the order they
/// are drawn; all pieces when there are no more than `count`. The set is defined for IPv4 only.
pub fn allowed_fast_set(ip: Ipv4Addr, info_hash: WireHash, piece_count: u32, count: u8) -> Vec<PieceIndex> {
    if piece_count <= u32::from(count) {
        return (0..piece_count).map(PieceIndex).collect();
    }
    let [a, b, c, _] = ip.octets();
    let mut x = sha1::Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize();
    let mut set = Vec::with_capacity(usize::from(count));
    loop {
        for word in x.chunks_exact(4) {
            if set.len() == usize::from(count) {
                return set;
            }
            let word = u32::from_be_bytes(*word.first_chunk().expect("chunks of four"));
            let piece = PieceIndex(word % piece_count);
            if !set.contains(&piece) {
                set.push(piece);
            }
        }
        x = sha1::Sha1::digest(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(ip: [u8; 4], pieces: u32, count: u8) -> Vec<u32> {
        let set = allowed_fast_set(ip.into(), WireHash([0xaa; 20]), pieces, count);
        set.into_iter().map(|p| p.0).collect()
    }

    #[test]
    fn the_sets_of_bep_6_are_drawn() {
        assert_eq!(set([80, 4, 4, 200], 1313, 7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set([80, 4, 4, 200], 1313, 9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn neighbours_in_a_24_share_a_set() {
        assert_eq!(set([80, 4, 4, 1], 1313, 7), set([80, 4, 4, 200], 1313, 7));
        assert_ne!(set([80, 4, 5, 200], 1313, 7), set([80, 4, 4, 200], 1313, 7));
    }

    #[test]
    fn a_small_torrent_is_allowed_whole() {
        assert_eq!(set([80, 4, 4, 200], 3, 10), [0, 1, 2]);
        assert_eq!(set([80, 4, 4, 200], 10, 10), (0..10).collect::<Vec<_>>());
        assert_eq!(set([80, 4, 4, 200], 11, 10).len(), 10);
        assert_eq!(set([80, 4, 4, 200], 0, 10), [0; 0]);
        assert_eq!(set([80, 4, 4, 200], 5, 0), [0; 0]);
    }

    proptest! {
        #[test]
        fn a_set_has_no_piece_twice(ip: [u8; 4], pieces in 1u32..500, count: u8) {
            let mut drawn = set(ip, pieces, count);
            drawn.sort_unstable();
            drawn.dedup();
            prop_assert_eq!(drawn.len(), pieces.min(u32::from(count)) as usize);
            prop_assert!(drawn.iter().all(|p| *p < pieces));
        }
    }
}
