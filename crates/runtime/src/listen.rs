//! The sockets a session is reached by: for every address one for connections and one for datagrams, on one port.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::SessionError;
use crate::sys::{self, Outgoing};

/// Connections the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Free ports tried until one is free for datagrams as well.
const TRIES_MAX: usize = 32;
/// Bytes of datagrams the system holds for us, each way.
const DATAGRAM_BUFFER_LEN: usize = 2 << 20;

/// Bound sockets.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) datagrams: Datagrams,
    /// Where they are bound, the real ports in place of zeros.
    pub(crate) addrs: Vec<SocketAddr>,
}

/// The datagram sockets, shared by all who send.
#[derive(Debug)]
pub(crate) struct Datagrams {
    sockets: Vec<(SocketAddr, UdpSocket)>,
}

impl Listening {
    /// Binds all addresses, for connections only if they are taken; those with port 0 share one free port.
    pub(crate) fn bind(listen: &[SocketAddr], takes_connections: bool) -> Result<Self, SessionError> {
        let is_free_wanted = listen.iter().any(|a| a.port() == 0);
        for _ in 0..TRIES_MAX {
            match Self::try_bind(listen, takes_connections) {
                Err(SessionError::PortInUse { .. }) if is_free_wanted => {}
                other => return other,
            }
        }
        Self::try_bind(listen, takes_connections)
    }

    fn try_bind(listen: &[SocketAddr], takes_connections: bool) -> Result<Self, SessionError> {
        let mut bound = Listening {
            listeners: Vec::new(),
            datagrams: Datagrams { sockets: Vec::new() },
            addrs: Vec::new(),
        };
        let mut free_port = 0;
        for asked in listen {
            let mut addr = *asked;
            if addr.port() == 0 {
                addr.set_port(free_port);
            }
            match bound.add(addr, takes_connections) {
                Ok(port) if asked.port() == 0 => free_port = port,
                Ok(_) => {}
                Err(e) if addr.is_ipv6() && addr.ip().is_unspecified() && is_family_missing(&e) => {}
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    return Err(SessionError::PortInUse { addr });
                }
                Err(source) => return Err(SessionError::Listen { addr, source }),
            }
        }
        Ok(bound)
    }

    fn add(&mut self, addr: SocketAddr, takes_connections: bool) -> io::Result<u16> {
        let listener = takes_connections.then(|| listener(addr)).transpose()?;
        let addr = listener.as_ref().map_or(Ok(addr), std::net::TcpListener::local_addr)?;
        let udp = socket(addr, Type::DGRAM, Protocol::UDP)?;
        // the system may give less, and that is no reason not to start
        let _ = udp.set_recv_buffer_size(DATAGRAM_BUFFER_LEN);
        let _ = udp.set_send_buffer_size(DATAGRAM_BUFFER_LEN);
        udp.bind(&addr.into())?;
        let udp = UdpSocket::from(udp);
        let bound = udp.local_addr()?;
        if let Err(e) = sys::report_unreachable(&udp) {
            tracing::debug!(error = %e, "refused datagrams will not be told");
        }
        self.listeners.extend(listener.map(TcpListener::from_std));
        self.datagrams.sockets.push((bound, udp));
        self.addrs.push(bound);
        Ok(bound.port())
    }
}

impl Datagrams {
    /// Sends one; what cannot be sent is lost, as datagrams may be.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) {
        let Some((_, socket)) = self.socket_for(to).and_then(|at| self.sockets.get(at)) else { return };
        // an error told of an earlier datagram takes the place of this one's sending once
        if let Err(e) = socket.send_to(bytes, to).or_else(|_| socket.send_to(bytes, to)) {
            tracing::trace!(error = %e, "datagram not sent");
        }
    }

    /// Sends many from one socket, by its number; what cannot be sent is lost.
    pub(crate) fn send_all(&self, socket: usize, datagrams: &[Outgoing]) {
        if let Some((_, socket)) = self.sockets.get(socket) {
            sys::send_all(socket, datagrams);
        }
    }

    /// The number of the socket that sends to `addr`, unless an answer has to leave by the one that was asked.
    pub(crate) fn socket_for(&self, addr: SocketAddr) -> Option<usize> {
        self.sockets.iter().position(|(bound, _)| bound.is_ipv4() == addr.is_ipv4())
    }

    /// The sockets, for who reads.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.sockets.iter().map(|(_, socket)| socket)
    }
}

fn listener(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let tcp = socket(addr, Type::STREAM, Protocol::TCP)?;
    tcp.set_reuse_address(true)?;
    tcp.bind(&addr.into())?;
    tcp.listen(BACKLOG)?;
    Ok(tcp.into())
}

fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether the machine has no IPv6.
fn is_family_missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable
        || e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_free_port_serves_connections_and_datagrams_of_all_addresses() {
        let bound =
            Listening::bind(&["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()], true).unwrap();
        let ports: Vec<u16> = bound.addrs.iter().map(SocketAddr::port).collect();
        assert_eq!(ports[0], ports[1]);
        assert!(bound.datagrams.sockets().all(|s| s.local_addr().unwrap().port() == ports[0]));
    }

    #[test]
    fn without_connections_the_port_stays_free_for_a_listener() {
        let is_free = || {
            let bound = Listening::bind(&["127.0.0.1:0".parse().unwrap()], false).unwrap();
            assert_eq!(bound.listeners.len(), 0);
            std::net::TcpListener::bind(bound.addrs[0]).is_ok()
        };
        // a stranger's connection may have that number
        assert!((0..TRIES_MAX).any(|_| is_free()));
    }

    #[test]
    fn a_port_in_use_is_told_in_one_line() {
        let bound = Listening::bind(&["127.0.0.1:0".parse().unwrap()], true).unwrap();
        let error = Listening::bind(&bound.addrs, true).unwrap_err();
        assert!(matches!(error, SessionError::PortInUse { addr } if addr == bound.addrs[0]));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = Listening::bind(&[udp.local_addr().unwrap()], true).unwrap_err();
        assert!(matches!(error, SessionError::PortInUse { .. }));
        assert!(!error.to_string().contains('\n'));
    }
}
