//! Where a client runs: on loopback, or in one of two network namespaces joined by a veth pair, for clients that
//! never dial loopback addresses they hear of.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::proc::{command_with, run};

/// An address and the namespace it is in.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) ip: Ipv4Addr,
    netns: Option<String>,
}

impl Host {
    /// 127.0.0.1 of this machine.
    pub(crate) fn loopback() -> Self {
        Self::at_ip(Ipv4Addr::LOCALHOST)
    }

    /// An address of this machine, in the namespace we are in.
    pub(crate) fn at_ip(ip: Ipv4Addr) -> Self {
        Self { ip, netns: None }
    }

    /// `port` on this host.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.ip, port))
    }

    /// `program`, to be run on this host. The namespace wrapper replaces itself by it, so the pid is the program's.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        match &self.netns {
            None => Command::new(program.as_ref()),
            Some(netns) => {
                let mut command = command_with("ip", ["netns", "exec", netns]);
                command.arg(program.as_ref());
                command
            }
        }
    }
}

/// Two namespaces with a wire between them; removed when dropped.
pub(crate) struct Namespaces {
    names: [String; 2],
}

/// The hosts of a transfer: who seeds, who downloads, and where the tracker or DHT router is.
pub(crate) struct Site {
    pub(crate) seeder: Host,
    pub(crate) leecher: Host,
    pub(crate) meeting: Host,
    /// Addresses of the meeting host on which DHT nodes answer.
    pub(crate) dht_ips: Vec<Ipv4Addr>,
}

impl Site {
    /// All on 127.0.0.1.
    pub(crate) fn loopback() -> Self {
        Self {
            seeder: Host::loopback(),
            leecher: Host::loopback(),
            meeting: Host::loopback(),
            dht_ips: vec![Ipv4Addr::LOCALHOST],
        }
    }
}

impl Namespaces {
    /// Makes the namespaces; needs the right to (root).
    pub(crate) fn new() -> Result<Self> {
        let pid = std::process::id();
        let names = ["a", "b"].map(|side| format!("unchoke-{pid}-{side}"));
        // From here on the drop removes what was made, also when a later step fails.
        let made = Self { names };
        let [a, b] = &made.names;
        let steps = [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add wire-a netns {a} type veth peer name wire-b netns {b}"),
            format!("-n {a} addr add {SEEDER}/24 dev wire-a"),
            format!("-n {a} addr add {MEETING}/24 dev wire-a"),
            format!("-n {b} addr add {LEECHER}/24 dev wire-b"),
            format!("-n {a} link set lo up"),
            format!("-n {b} link set lo up"),
            format!("-n {a} link set wire-a up"),
            format!("-n {b} link set wire-b up"),
            // Transmission sends its announces where the routes say.
            format!("-n {a} route add 224.0.0.0/4 dev wire-a"),
            format!("-n {b} route add 224.0.0.0/4 dev wire-b"),
        ];
        let dht_steps = dht_ips().map(|dht_ip| format!("-n {a} addr add {dht_ip}/24 dev wire-a"));
        for step in steps.into_iter().chain(dht_steps) {
            ip(&step).with_context(|| format!("ip {step}"))?;
        }
        Ok(made)
    }

    /// Two that nothing joins yet; `tag` tells them from others.
    pub(crate) fn apart(tag: &str) -> Result<Self> {
        let pid = std::process::id();
        let made = Self { names: ["a", "b"].map(|side| format!("unchoke-{pid}-{tag}-{side}")) };
        for name in &made.names {
            for step in [format!("netns add {name}"), format!("-n {name} link set lo up")] {
                ip(&step).with_context(|| format!("ip {step}"))?;
            }
        }
        Ok(made)
    }

    /// The name of each side, and the address its host has in [`Namespaces::site`].
    pub(crate) fn ends(&self) -> [(&str, Ipv4Addr); 2] {
        [(&self.names[0], SEEDER), (&self.names[1], LEECHER)]
    }

    /// The seeder on one side of the wire, the leecher on the other, tracker or router beside the seeder.
    pub(crate) fn site(&self) -> Site {
        let [a, b] = &self.names;
        Site {
            seeder: Host { ip: SEEDER, netns: Some(a.clone()) },
            leecher: Host { ip: LEECHER, netns: Some(b.clone()) },
            meeting: Host { ip: MEETING, netns: Some(a.clone()) },
            dht_ips: dht_ips().collect(),
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Fails only for one that was never made.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Runs `ip` with `args`.
pub(crate) fn ip(args: &str) -> Result<String> {
    run(&mut command_with("ip", args.split(' ')), Duration::from_secs(10))
}

/// Sixteen: Transmission announces only when it knows more than eight nodes.
fn dht_ips() -> impl Iterator<Item = Ipv4Addr> {
    (10..26).map(|last| Ipv4Addr::new(10, 77, 0, last))
}

const SEEDER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const LEECHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const MEETING: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
