//! Many datagrams with one system call, where the system has such calls; one by one elsewhere.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Datagrams taken or sent by one call.
const BATCH: usize = 64;
/// Bytes of the largest datagram taken; longer ones are dropped. Nothing that is spoken over UDP comes near: DHT
/// messages stay below 1,500 bytes, tracker replies of some hundred peers below 4,096.
const LEN_MAX: usize = 8192;
/// From one datagram's place to the next: not a power of two, so that their beginnings do not share cache sets.
const STRIDE: usize = LEN_MAX + 64;

/// A datagram to send: to whom, and what.
pub(crate) type Outgoing = (SocketAddr, Vec<u8>);

/// Datagrams of one call, and room for those of the next; the default has no room.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    /// Place, length and source of each.
    datagrams: Vec<(usize, usize, SocketAddr)>,
}

impl Arrived {
    /// Room for a batch; memory is used as it is filled.
    pub(crate) fn new() -> Self {
        Arrived { bytes: vec![0; BATCH * STRIDE], datagrams: Vec::with_capacity(BATCH) }
    }

    /// The datagrams of the last call, each with its source; an IPv4 address in IPv6 form is IPv4.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.datagrams.iter().map(|(place, len, from)| (*from, &self.bytes[place * STRIDE..][..*len]))
    }

    fn take(&mut self, place: usize, len: usize, from: SocketAddr) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        self.datagrams.push((place, len, from));
    }
}

#[cfg(target_os = "linux")]
impl Arrived {
    /// Takes the datagrams that wait in a socket that does not block, at most [`BATCH`], in place of those before.
    ///
    /// # Errors
    /// `WouldBlock` when none waits, and the refusal of an earlier datagram, which is told once.
    #[expect(unsafe_code, reason = "neither std nor rustix has recvmmsg")]
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        self.datagrams.clear();
        // SAFETY: all-zero bytes are valid addresses, vectors and headers: null pointers with lengths of zero.
        let (mut names, mut vectors, mut headers): (
            [libc::sockaddr_storage; BATCH],
            [libc::iovec; BATCH],
            [libc::mmsghdr; BATCH],
        ) = unsafe { std::mem::zeroed() };
        let name_len =
            libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).expect("128 fits a socklen_t");
        for (n, place) in self.bytes.chunks_exact_mut(STRIDE).enumerate() {
            vectors[n] = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: LEN_MAX };
            let header = &mut headers[n].msg_hdr;
            header.msg_name = (&raw mut names[n]).cast();
            header.msg_namelen = name_len;
            header.msg_iov = &raw mut vectors[n];
            header.msg_iovlen = 1;
        }
        let places = self.bytes.len() / STRIDE;
        let (count, flags) = (libc::c_uint::try_from(places).expect("at most 64"), libc::MSG_DONTWAIT);
        // SAFETY: the descriptor is open while `socket` is borrowed, and each of the `count` headers points to an
        // address, a vector and LEN_MAX bytes of its own, all of which outlive the call.
        let taken = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags, std::ptr::null_mut())
        };
        let Ok(taken) = usize::try_from(taken) else { return Err(io::Error::last_os_error()) };
        for (n, header) in headers.iter().enumerate().take(taken) {
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let len = usize::try_from(header.msg_len).unwrap_or(LEN_MAX).min(LEN_MAX);
            if let Some(from) = address(&names[n]).filter(|_| is_whole) {
                self.take(n, len, from);
            }
        }
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Arrived {
    /// Takes one datagram that waits in a socket that does not block, in place of the one before.
    ///
    /// # Errors
    /// `WouldBlock` when none waits, and the refusal of an earlier datagram, which is told once.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.datagrams.clear();
        let (len, from) = socket.recv_from(&mut self.bytes[..STRIDE])?;
        if len <= LEN_MAX {
            self.take(0, len, from);
        }
        Ok(())
    }
}

/// An address as the system wrote it; `None` for one of another family.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the system writes addresses of either family to one place")]
fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    use std::net::{Ipv4Addr, SocketAddrV6};
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a `sockaddr_in` was written, for which the place is large and aligned enough.
            let v4 = unsafe { *(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with a `sockaddr_in6`.
            let v6 = unsafe { *(&raw const *name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port));
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

/// Sends datagrams in order; what cannot be sent is lost, as datagrams may be.
#[cfg(target_os = "linux")]
pub(crate) fn send_all(socket: &UdpSocket, datagrams: &[Outgoing]) {
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};
    use std::io::IoSlice;
    for batch in datagrams.chunks(BATCH) {
        let to: Vec<SocketAddrAny> = batch.iter().map(|(to, _)| to.as_any()).collect();
        let bytes: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
        let mut controls: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let parts = to.iter().zip(&bytes).zip(&mut controls);
        let mut headers: Vec<_> =
            parts.map(|((to, bytes), control)| MMsgHdr::new_with_addr(to, bytes, control)).collect();
        let (mut sent, mut has_failed) = (0, false);
        while sent < headers.len() {
            match rustix::net::sendmmsg(socket, &mut headers[sent..], SendFlags::DONTWAIT) {
                Ok(count) => (sent, has_failed) = (sent + count, false),
                // the refusal of an earlier datagram takes the place of this one's sending once
                Err(e) if has_failed => {
                    tracing::trace!(error = %e, "datagram not sent");
                    (sent, has_failed) = (sent + 1, false);
                }
                Err(_) => has_failed = true,
            }
        }
    }
}

/// Sends datagrams in order; what cannot be sent is lost, as datagrams may be.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send_all(socket: &UdpSocket, datagrams: &[Outgoing]) {
    for (to, bytes) in datagrams {
        if let Err(e) = socket.send_to(bytes, to).or_else(|_| socket.send_to(bytes, to)) {
            tracing::trace!(error = %e, "datagram not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
        let (a, b) = (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap());
        a.set_nonblocking(true).unwrap();
        (a, b)
    }

    /// All that waits; loopback delivers before the sending call returns.
    fn receive_all(socket: &UdpSocket) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut arrived, mut all) = (Arrived::new(), Vec::new());
        while arrived.receive(socket).is_ok() {
            all.extend(arrived.iter().map(|(from, bytes)| (from, bytes.to_vec())));
        }
        all
    }

    #[test]
    fn more_than_a_batch_arrives_whole_in_order_and_with_its_source() {
        let ips = ["127.0.0.1", "::1"].into_iter().filter(|ip| UdpSocket::bind((*ip, 0)).is_ok());
        for ip in ips {
            let (socket, peer) = pair(ip);
            let to = socket.local_addr().unwrap();
            let sent: Vec<Outgoing> =
                (0..BATCH + 20).map(|n| (to, vec![u8::try_from(n).unwrap(); n * 7])).collect();
            send_all(&peer, &sent);
            let from = peer.local_addr().unwrap();
            let expected: Vec<_> = sent.into_iter().map(|(_, bytes)| (from, bytes)).collect();
            assert_eq!(receive_all(&socket), expected);
        }
    }

    #[test]
    fn a_datagram_longer_than_any_we_speak_is_dropped_and_the_longest_kept() {
        let (socket, peer) = pair("127.0.0.1");
        let to = socket.local_addr().unwrap();
        send_all(&peer, &[(to, vec![1; LEN_MAX + 1]), (to, vec![2; LEN_MAX]), (to, Vec::new())]);
        let from = peer.local_addr().unwrap();
        assert_eq!(receive_all(&socket), [(from, vec![2; LEN_MAX]), (from, Vec::new())]);
    }

    #[test]
    fn one_refused_datagram_costs_no_other() {
        let (socket, peer) = pair("127.0.0.1");
        crate::sys::report_unreachable(&peer).unwrap();
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let to = socket.local_addr().unwrap();
        send_all(&peer, &[(nobody, vec![0]), (to, vec![1]), (nobody, vec![0]), (to, vec![2])]);
        let got: Vec<_> = receive_all(&socket).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(got, [[1], [2]]);
    }
}
