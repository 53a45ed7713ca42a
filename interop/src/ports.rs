//! Free ports: by what the system says is in use, and never given out twice in a run.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the usual ephemeral range, so that no outgoing connection takes a port between our look and its use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody has, for TCP and UDP, on any address of this machine.
///
/// It is not tried by binding it: a client that another case starts meanwhile would have the socket, too, until it is
/// there, and whom the port is for could not have it.
pub(crate) fn free_port() -> Result<u16> {
    let used = ports_in_use();
    // Runs side by side begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("a remainder of COUNT fits u16");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if !used.contains(&port) {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// The local ports of all sockets there are.
fn ports_in_use() -> BTreeSet<u16> {
    let mut used = BTreeSet::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        // a system without IPv6 has no list of it
        let list = fs::read_to_string(format!("/proc/self/net/{protocol}")).unwrap_or_default();
        used.extend(list.lines().skip(1).filter_map(local_port));
    }
    used
}

/// The port of a line such as `0: 0100007F:1F90 00000000:0000 0A …`.
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_port_that_is_listened_on_is_in_use() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let used = ports_in_use();
        assert!(used.contains(&tcp.local_addr().unwrap().port()));
        assert!(used.contains(&udp.local_addr().unwrap().port()));
    }
}
