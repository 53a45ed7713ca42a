//! Options of sockets: the error queue of datagram sockets, and how long a silent connection lives.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Asks to be told of datagrams that were refused, by [`take_unreachable`].
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither std nor rustix has this option")]
pub(crate) fn report_unreachable(socket: &UdpSocket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (level, name) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    let len = libc::socklen_t::try_from(size_of_val(&on)).expect("the size of an int fits");
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and `on` is a live int of `len` bytes.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Nothing is reported on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn report_unreachable(_socket: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// The address of a datagram that was refused; `None` when none is waiting to be told.
pub(crate) fn take_unreachable(socket: &UdpSocket) -> Option<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{RecvAncillaryBuffer, RecvFlags};
        let mut control = RecvAncillaryBuffer::default();
        let flags = RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT;
        let message = rustix::net::recvmsg(socket, &mut [], &mut control, flags).ok()?;
        message.address.and_then(|a| SocketAddr::try_from(a).ok())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        None
    }
}

/// Has the system end a connection whose other side does not acknowledge for a minute, as when a NAT forgot it or a line
/// is cut: otherwise what was sent is tried again for a quarter of an hour.
pub(crate) fn notice_silence(stream: &mio::net::TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_socket_keepalive(stream, true)?;
    set_patience(stream, None)
}

/// Has the system end a connection when what was sent is not acknowledged for so long; `None`: for a minute.
#[cfg(target_os = "linux")]
pub(crate) fn set_patience(stream: &mio::net::TcpStream, within: Option<Duration>) -> io::Result<()> {
    let ms = u32::try_from(within.unwrap_or(SILENCE_MAX).as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, ms)?)
}

/// Other systems decide that themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_patience(_stream: &mio::net::TcpStream, _within: Option<Duration>) -> io::Result<()> {
    Ok(())
}

/// A connection on which nothing goes either way is probed after so long,
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// and again after so long without an answer.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long sent bytes and probes may go without an acknowledgement.
#[cfg(target_os = "linux")]
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_patience_with_a_connection_is_set_and_taken_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = mio::net::TcpStream::from_std(stream);
        let patience = || rustix::net::sockopt::tcp_user_timeout(&stream).unwrap();
        notice_silence(&stream).unwrap();
        assert_eq!(patience(), 60_000);
        set_patience(&stream, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(patience(), 5_000);
        set_patience(&stream, None).unwrap();
        assert_eq!(patience(), 60_000);
    }

    #[test]
    fn a_refused_datagram_is_told_by_its_address() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        report_unreachable(&socket).unwrap();
        socket.send_to(b"x", nobody).unwrap();
        // the refusal wakes a blocked reader, so there is nothing to wait for by the clock
        let mut buf = [0; 8];
        assert_eq!(socket.recv_from(&mut buf).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(take_unreachable(&socket), Some(nobody));
        assert_eq!(take_unreachable(&socket), None);
    }
}
