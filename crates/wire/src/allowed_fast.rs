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
