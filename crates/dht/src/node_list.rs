//! Nodes of one address family in columns, 44 bytes each over IPv4 and 56 over IPv6.
//!
//! The addresses are a column of their own: that keeps IPv4 small, and a search by address is one pass over a few
//! cache lines, which is as fast as an index and needs no memory.

use crate::bucket;
use crate::entry::{Entry, History};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::Range;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{NodeId, NodeInfo};

#[derive(Debug)]
pub(crate) struct NodeList {
    rows: Vec<Row>,
    ips: Ips,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    id: NodeId,
    port: u16,
    history: History,
}

/// The addresses of the rows, in their order.
#[derive(Debug)]
enum Ips {
    V4(Vec<u32>),
    V6(Vec<u128>),
}

/// Addresses compared in one go when one is sought.
const STRIDE: usize = 16;

impl NodeList {
    pub(crate) fn new(family: Family) -> Self {
        let ips = match family {
            Family::V4 => Ips::V4(Vec::new()),
            Family::V6 => Ips::V6(Vec::new()),
        };
        NodeList { rows: Vec::new(), ips }
    }

    pub(crate) fn family(&self) -> Family {
        match self.ips {
            Ips::V4(_) => Family::V4,
            Ips::V6(_) => Family::V6,
        }
    }

    /// Puts `entry` before row `at`; its address must be of the list's family.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry) {
        let (id, addr) = (entry.node.id, entry.node.addr);
        match (&mut self.ips, addr.ip()) {
            (Ips::V4(ips), IpAddr::V4(ip)) => insert_tightly(ips, at, u32::from(ip)),
            (Ips::V6(ips), IpAddr::V6(ip)) => insert_tightly(ips, at, u128::from(ip)),
            _ => panic!("the table takes no node of the other family"),
        }
        insert_tightly(&mut self.rows, at, Row { id, port: addr.port(), history: entry.history });
    }

    pub(crate) fn remove(&mut self, at: usize) -> Entry {
        let entry = self.get(at);
        self.rows.remove(at);
        match &mut self.ips {
            Ips::V4(ips) => drop(ips.remove(at)),
            Ips::V6(ips) => drop(ips.remove(at)),
        }
        entry
    }

    pub(crate) fn history_mut(&mut self, at: usize) -> &mut History {
        &mut self.rows[at].history
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn get(&self, at: usize) -> Entry {
        Entry { node: NodeInfo { id: self.rows[at].id, addr: self.addr(at) }, history: self.rows[at].history }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Entry> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub(crate) fn histories(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &History> {
        self.rows[range].iter().map(|row| &row.history)
    }

    pub(crate) fn id(&self, at: usize) -> &NodeId {
        &self.rows[at].id
    }

    pub(crate) fn history(&self, at: usize) -> &History {
        &self.rows[at].history
    }

    pub(crate) fn addr(&self, at: usize) -> SocketAddr {
        let ip = match &self.ips {
            Ips::V4(ips) => IpAddr::from(Ipv4Addr::from(ips[at])),
            Ips::V6(ips) => IpAddr::from(Ipv6Addr::from(ips[at])),
        };
        SocketAddr::new(ip, self.rows[at].port)
    }

    /// The row of `id` in a range ordered by id, or where it would be.
    pub(crate) fn search(&self, range: Range<usize>, id: &NodeId) -> Result<usize, usize> {
        let (start, lowest) = (range.start, NodeId([0; 20]));
        let found = self.rows[range].binary_search_by(|row| bucket::nearer(&lowest, &row.id, id));
        found.map(|at| start + at).map_err(|at| start + at)
    }

    /// How many rows at the beginning of `range` have ids for which `is_before` holds.
    pub(crate) fn partition_point(
        &self,
        range: Range<usize>,
        mut is_before: impl FnMut(&NodeId) -> bool,
    ) -> usize {
        range.start + self.rows[range].partition_point(|row| is_before(&row.id))
    }

    /// The row of the node at `addr`.
    pub(crate) fn position(&self, addr: &SocketAddr) -> Option<usize> {
        let mut from = 0;
        while let Some(at) = self.find_net(from..self.len(), addr.ip(), 0) {
            if self.rows[at].port == addr.port() {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }

    /// The first row in `range` whose address equals `ip` but for its last `host_bits`.
    pub(crate) fn find_net(&self, range: Range<usize>, ip: IpAddr, host_bits: u32) -> Option<usize> {
        let from = range.start;
        let found = match (&self.ips, ip) {
            (Ips::V4(ips), IpAddr::V4(ip)) => {
                let net = u32::from(ip) >> host_bits;
                find(&ips[range], |other| other >> host_bits == net)
            }
            (Ips::V6(ips), IpAddr::V6(ip)) => {
                let net = u128::from(ip) >> host_bits;
                find(&ips[range], |other| other >> host_bits == net)
            }
            _ => None,
        };
        found.map(|at| from + at)
    }

    /// Returns memory that growth would have used.
    pub(crate) fn shrink(&mut self) {
        self.rows.shrink_to_fit();
        match &mut self.ips {
            Ips::V4(ips) => ips.shrink_to_fit(),
            Ips::V6(ips) => ips.shrink_to_fit(),
        }
    }
}

/// `position`, by strides without a branch in them, which become vector instructions.
fn find<T: Copy>(all: &[T], is_it: impl Fn(T) -> bool) -> Option<usize> {
    let is_inside = |(_, stride): &(usize, &[T])| stride.iter().fold(false, |found, x| found | is_it(*x));
    let (n, stride) = all.chunks(STRIDE).enumerate().find(is_inside)?;
    stride.iter().position(|x| is_it(*x)).map(|at| n * STRIDE + at)
}

/// `insert` that grows by an eighth: tables grow slowly and there may be very many.
fn insert_tightly<T>(list: &mut Vec<T>, at: usize, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(8));
    }
    list.insert(at, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8, addr: SocketAddr) -> Entry {
        Entry { node: NodeInfo { id: NodeId([n; 20]), addr }, history: History::new(true) }
    }

    #[test]
    fn a_node_takes_44_bytes_over_ipv4_and_56_over_ipv6() {
        assert_eq!(size_of::<Row>() + size_of::<u32>(), 44);
        assert_eq!(size_of::<Row>() + size_of::<u128>(), 56);
    }

    #[test]
    fn what_is_put_in_comes_out_and_is_found_by_address() {
        let mut list = NodeList::new(Family::V4);
        for n in 0..100u8 {
            let ip = [8, 8, n / 2, 1];
            list.insert(usize::from(n), entry(n, (ip, 1000 + u16::from(n)).into()));
        }
        for n in 0..100u8 {
            let addr = SocketAddr::from(([8, 8, n / 2, 1], 1000 + u16::from(n)));
            assert_eq!(list.position(&addr), Some(usize::from(n)));
            assert_eq!(list.get(usize::from(n)).node, entry(n, addr).node);
        }
        assert_eq!(list.position(&([8, 8, 1, 1], 1).into()), None);
        assert_eq!(list.find_net(3..100, [8, 8, 1, 200].into(), 8), Some(3));
        assert_eq!(list.find_net(4..100, [8, 8, 1, 200].into(), 8), None);
        assert_eq!(list.remove(50).node.id, NodeId([50; 20]));
        assert_eq!((list.len(), *list.id(50)), (99, NodeId([51; 20])));
    }

    #[test]
    fn over_ipv6_nodes_are_found_by_network() {
        let mut list = NodeList::new(Family::V6);
        let addr: SocketAddr = "[2a00:1:2:3::4]:5".parse().unwrap();
        list.insert(0, entry(1, addr));
        assert_eq!(list.get(0).node.addr, addr);
        let found = |ip: &str, bits| list.find_net(0..1, ip.parse().unwrap(), bits).is_some();
        assert!(found("2a00:1:2:3::ff", 64) && !found("2a00:1:2:4::4", 64) && found("2a00:1::", 96));
        assert!(!found("8.8.8.8", 0));
    }
}
