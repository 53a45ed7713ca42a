//! The sockets of local service discovery (BEP 14): one a family to hear by, joined on every interface the session
//! listens on, and what is sent goes out on each of these.
//!
//! A session on loopback alone stays there. Whatever cannot be joined or sent is passed over: nobody needs it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use unchoke_wire::compact::Family;
use unchoke_wire::lsd;

use crate::sys::{InterfaceAddr, interfaces};

/// Packets stay in the link: one hop.
const HOPS: u32 = 1;

/// The sockets and interfaces.
#[derive(Debug, Default)]
pub(crate) struct LocalSockets {
    groups: Vec<Group>,
    /// Where the session listens.
    listen: Vec<SocketAddr>,
    /// Addresses of the interfaces it listens on.
    near: Vec<InterfaceAddr>,
}

/// The socket of one family.
#[derive(Debug)]
struct Group {
    family: Family,
    socket: UdpSocket,
    /// Interfaces it has joined on.
    joined: Vec<u32>,
}

impl LocalSockets {
    /// Opens a socket for each family that is listened on, and joins.
    pub(crate) fn open(listen: &[SocketAddr]) -> Self {
        let mut local = LocalSockets { groups: Vec::new(), listen: listen.to_vec(), near: Vec::new() };
        for family in [Family::V4, Family::V6] {
            if listen.iter().any(|a| family_of(a.ip()) == family) {
                match open(family) {
                    Ok(socket) => local.groups.push(Group { family, socket, joined: Vec::new() }),
                    Err(e) => tracing::debug!(?family, error = %e, "no discovery in the local network"),
                }
            }
        }
        local.join();
        local
    }

    /// Has the sockets watched, by tokens from `first` on.
    pub(crate) fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        for (n, group) in self.groups.iter_mut().enumerate() {
            registry.register(&mut group.socket, Token(first + n), Interest::READABLE)?;
        }
        Ok(())
    }

    /// The next datagram of a socket: its length, where it came from, and whether that is a network of ours.
    pub(crate) fn receive(&self, socket: usize, buf: &mut [u8]) -> io::Result<(usize, SocketAddr, bool)> {
        let group = self.groups.get(socket).ok_or(io::ErrorKind::WouldBlock)?;
        let (len, from) = group.socket.recv_from(buf)?;
        Ok((len, from, self.near.iter().any(|i| i.is_near(from.ip()))))
    }

    /// Sends to the group of a family on every interface. Interfaces that came since the last time are joined first.
    pub(crate) fn send(&mut self, family: Family, bytes: &[u8]) {
        self.join();
        for interface in one_each(&self.near, family) {
            let from = self.listen.iter().find(|a| a.ip() == interface.ip).map(SocketAddr::ip);
            if let Err(e) = send_on(interface, from, bytes) {
                tracing::debug!(?family, interface = interface.index, error = %e, "announce not sent");
            }
        }
    }

    /// Joins on interfaces that came since the last time.
    pub(crate) fn join(&mut self) {
        match interfaces() {
            Ok(all) => self.near = near(&all, &self.listen),
            Err(e) => tracing::debug!(error = %e, "cannot list the interfaces"),
        }
        for Group { family, socket, joined } in &mut self.groups {
            for index in one_each(&self.near, *family).map(|i| i.index) {
                if joined.contains(&index) {
                    continue;
                }
                let socket = socket2::SockRef::from(&*socket);
                let result = match family {
                    Family::V4 => {
                        socket.join_multicast_v4_n(&lsd::GROUP_V4, &InterfaceIndexOrAddress::Index(index))
                    }
                    Family::V6 => socket.join_multicast_v6(&lsd::GROUP_V6, index),
                };
                match result {
                    Ok(()) => joined.push(index),
                    Err(e) => tracing::debug!(?family, interface = index, error = %e, "group not joined"),
                }
            }
        }
    }
}

/// A socket bound to the group, so that nothing else reaches it, beside those of other programs.
fn open(family: Family) -> io::Result<UdpSocket> {
    let group = lsd::group(family);
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // without this Linux hands over what comes on interfaces that others joined on
    #[cfg(target_os = "linux")]
    match family {
        Family::V4 => socket.set_multicast_all_v4(false)?,
        Family::V6 => socket.set_multicast_all_v6(false)?,
    }
    socket.bind(&group.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Sends on one interface; from `from`, when the session listens on that address alone.
fn send_on(interface: &InterfaceAddr, from: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
    let group = lsd::group(family_of(interface.ip));
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    match interface.ip {
        IpAddr::V4(ip) => {
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_ttl_v4(HOPS)?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_if_v6(interface.index)?;
            socket.set_multicast_hops_v6(HOPS)?;
        }
    }
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.set_nonblocking(true)?;
    socket.send_to(bytes, &group.into())?;
    Ok(())
}

/// The addresses of the interfaces that a session listening there is reached by: those named, or every one that has
/// neighbours when it listens on all.
fn near(all: &[InterfaceAddr], listen: &[SocketAddr]) -> Vec<InterfaceAddr> {
    let is_heard = |i: &&InterfaceAddr| {
        listen.iter().any(|addr| match addr.ip() {
            ip if ip.is_unspecified() => ip.is_ipv4() == i.ip.is_ipv4() && i.has_multicast && !i.is_loopback,
            ip if ip.is_loopback() => i.is_loopback && i.is_near(ip),
            ip => i.ip == ip && i.has_multicast,
        })
    };
    all.iter().filter(is_heard).copied().collect()
}

/// One address of each interface that has any of the family.
fn one_each(near: &[InterfaceAddr], family: Family) -> impl Iterator<Item = &InterfaceAddr> {
    let of_family = near.iter().enumerate().filter(move |(_, i)| family_of(i.ip) == family);
    of_family
        .filter(|(at, i)| {
            !near[..*at].iter().any(|b| b.index == i.index && family_of(b.ip) == family_of(i.ip))
        })
        .map(|(_, i)| i)
}

fn family_of(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::V4 } else { Family::V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, ip: &str, prefix_len: u32) -> InterfaceAddr {
        let ip: IpAddr = ip.parse().unwrap();
        InterfaceAddr {
            index,
            ip,
            prefix_len,
            is_loopback: ip.is_loopback(),
            has_multicast: index != 1 && index != 9,
        }
    }

    #[test]
    fn a_session_is_found_where_it_listens_and_nowhere_else() {
        let all = [
            interface(1, "127.0.0.1", 8),
            interface(1, "::1", 128),
            interface(2, "10.0.0.5", 24),
            interface(2, "10.0.0.6", 24),
            interface(2, "fd00::5", 64),
            interface(2, "fe80::5", 64),
            interface(3, "192.168.7.1", 24),
            interface(9, "10.8.0.1", 32),
        ];
        for (listen, v4, v6) in [
            (&["0.0.0.0:1", "[::]:1"][..], &["10.0.0.5", "192.168.7.1"][..], &["fd00::5"][..]),
            (&["127.0.0.1:1"], &["127.0.0.1"], &[]),
            (&["127.0.0.2:1", "[::1]:1"], &["127.0.0.1"], &["::1"]),
            (&["10.0.0.6:1"], &["10.0.0.6"], &[]),
            (&["10.8.0.1:1"], &[], &[]),
            (&["[::]:1"], &[], &["fd00::5"]),
        ] {
            let listen: Vec<SocketAddr> = listen.iter().map(|a| a.parse().unwrap()).collect();
            let near = near(&all, &listen);
            let of = |family| one_each(&near, family).map(|i| i.ip.to_string()).collect::<Vec<_>>();
            assert_eq!((of(Family::V4), of(Family::V6)), (strings(v4), strings(v6)), "{listen:?}");
        }
    }

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }
}
