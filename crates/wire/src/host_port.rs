//! A host that may be a name, and a port: how people and files write where a node or peer is.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use crate::limits;

/// An IPv4 address, an IPv6 address or a DNS name, and a port that is not zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Text that is not `host:port` or `[v6]:port`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not HOST:PORT or [IPV6]:PORT with a port from 1 to 65535")]
pub struct HostPortError;

impl HostPort {
    /// The pair, where the host is an address or a name of letters, digits, `-`, `_` and `.` of at most
    /// [`limits::HOST_LEN_MAX`] bytes. An IPv6 address comes without brackets.
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        let is_name = || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let is_host = !host.is_empty() && host.len() <= limits::HOST_LEN_MAX;
        if port == 0 || !is_host || !(is_name() || host.parse::<Ipv6Addr>().is_ok()) {
            return Err(HostPortError);
        }
        Ok(HostPort { host: host.to_owned(), port })
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never zero.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, unless the host is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Where to send to, unless the host is a name, which must be resolved.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostPortError);
        }
        let port = port.parse().map_err(|_| HostPortError)?;
        match host.strip_prefix('[').map(|h| h.strip_suffix(']')) {
            Some(Some(v6)) if v6.parse::<Ipv6Addr>().is_ok() => HostPort::new(v6, port),
            None if !host.contains(':') => HostPort::new(host, port),
            _ => Err(HostPortError),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_and_written_alike() {
        for text in ["127.0.0.1:6881", "[::1]:6881", "router.example.org:1", "a-b_c.example:65535"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert!("[::1]:6881".parse::<HostPort>().unwrap().ip().unwrap().is_loopback());
        let addr = |text: &str| text.parse::<HostPort>().unwrap().socket_addr();
        assert_eq!(addr("[::1]:6881"), "[::1]:6881".parse().ok());
        assert_eq!(addr("example.org:1"), None);
    }

    #[test]
    fn what_is_no_host_or_no_port_is_refused() {
        for text in [
            "", ":1", "a", "a:", "a:0", "a:65536", "a:+1", "a b:1", "::1:80", "[a]:1", "[::1]", "[::1:1",
            "é:1", "a/b:1", "a@b:1",
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
        }
        assert!(HostPort::new(&"a".repeat(limits::HOST_LEN_MAX), 1).is_ok());
        assert!(HostPort::new(&"a".repeat(limits::HOST_LEN_MAX + 1), 1).is_err());
    }
}
