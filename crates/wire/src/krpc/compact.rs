//! Compact endpoints and nodes: 6 or 18 bytes an endpoint, 26 or 38 a node (BEP 5, 32).

use super::{NodeId, NodeInfo};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The endpoint these 6 or 18 bytes are; `None` for other lengths. The port may be 0.
pub(super) fn endpoint(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(Ipv4Addr::from(*ip.first_chunk()?)),
        16 => IpAddr::from(Ipv6Addr::from(*ip.first_chunk()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Appends the 6 or 18 bytes of `addr`.
pub(super) fn push_endpoint(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

//= BEP 5: compact node info
//= BEP 32: nodes6 holds 38 bytes a node
/// The nodes of a list whose endpoints take `endpoint_len` bytes each. A remainder is ignored, as are nodes with port 0.
pub(super) fn nodes(bytes: &[u8], endpoint_len: usize) -> Vec<NodeInfo> {
    bytes
        .chunks_exact(20 + endpoint_len)
        .filter_map(|node| {
            let (id, addr) = node.split_first_chunk::<20>()?;
            Some(NodeInfo { id: NodeId(*id), addr: endpoint(addr)? })
        })
        .filter(|node| node.addr.port() != 0)
        .take(crate::limits::KRPC_NODES_MAX)
        .collect()
}

/// The compact form of `nodes`.
pub(super) fn node_list(nodes: &[NodeInfo]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * 38);
    for node in nodes {
        out.extend_from_slice(&node.id.0);
        push_endpoint(&mut out, node.addr);
    }
    out
}
