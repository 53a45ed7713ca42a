//! Starts the session that `get` and `seed` run in.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, bail};
use unchoke_runtime::{Session, SessionConfig, SessionError};

use crate::args::{Encryption, NetArgs, Transport};
use crate::state::StateDir;

/// Starts a session that keeps its state there.
///
/// # Errors
/// One line: an option that this build cannot follow, a port that is taken.
pub(super) fn start(args: &NetArgs, state: Option<&StateDir>) -> Result<Session> {
    if args.transport == Transport::Utp {
        bail!("cannot use uTP: this version speaks TCP alone; leave out --transport or say tcp");
    }
    if args.encryption == Encryption::Require {
        bail!("cannot encrypt: this version speaks plaintext alone; leave out --encryption or say allow");
    }
    let config = SessionConfig {
        dht_file: state.map(|s| s.dht_nodes.clone()),
        resume_dir: state.map(|s| s.records.clone()),
        trace: args.trace.is_some(),
        ..args.swarm.config()
    };
    listen(&args.swarm.listen, everywhere, config)
}

/// Listens where the user said; else, on what `addresses` makes of a port, on the first free one of the usual ports,
/// and at last on any.
///
/// # Errors
/// One line: a port that is taken, or what the session says.
pub(crate) fn listen(
    wanted: &[SocketAddr],
    addresses: impl Fn(u16) -> Vec<SocketAddr>,
    config: SessionConfig,
) -> Result<Session> {
    if !wanted.is_empty() {
        let config = SessionConfig { listen: wanted.to_vec(), ..config };
        return Session::start(config).map_err(|e| match e {
            SessionError::PortInUse { addr } => {
                anyhow::anyhow!(
                    "cannot listen on {addr}: the port is in use; choose another one with --listen"
                )
            }
            e => e.into(),
        });
    }
    for port in USUAL_PORTS {
        match Session::start(SessionConfig { listen: addresses(port), ..config.clone() }) {
            Err(SessionError::PortInUse { .. }) => {}
            started => return Ok(started?),
        }
    }
    Ok(Session::start(SessionConfig { listen: addresses(0), ..config })?)
}

/// Every address of this machine.
pub(crate) fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;
