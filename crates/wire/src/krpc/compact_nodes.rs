//! Compact nodes: an id and a compact endpoint in 26 or 38 bytes (BEP 5, 32).

use super::{NodeId, NodeInfo};
use crate::compact::{self, Family};

//= BEP 5: compact node info
//= BEP 32: nodes6 holds 38 bytes a node
/// The nodes of a list. A remainder is ignored, as are nodes with port 0 or an address of the other family.
pub(super) fn nodes(bytes: &[u8], family: Family) -> Vec<NodeInfo> {
    bytes
        .chunks_exact(20 + family.entry_len())
        .filter_map(|node| {
            let (id, addr) = node.split_first_chunk::<20>()?;
            Some(NodeInfo { id: NodeId(*id), addr: compact::decode_one(addr)? })
        })
        .filter(|node| node.addr.is_ipv4() == (family == Family::V4))
        .take(crate::limits::KRPC_NODES_MAX)
        .collect()
}

/// The compact form of `nodes`.
pub(super) fn node_list(nodes: &[NodeInfo]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * 38);
    for node in nodes {
        out.extend_from_slice(&node.id.0);
        compact::encode_into(node.addr, &mut out);
    }
    out
}
