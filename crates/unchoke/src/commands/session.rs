//! Starts the session that `get` and `seed` run in.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Result, bail};
use unchoke_runtime::{Session, SessionConfig, SessionError, Settings};

use crate::args::{Encryption, NetArgs, Transport};
use crate::errors::about;
use crate::state::StateDir;

/// Starts a session for torrents with their data in `dir`, and says what is kept between runs.
///
/// # Errors
/// One line: an option that this build cannot follow, a missing folder, a port that is taken.
pub(super) fn start(args: &NetArgs, dir: &Path) -> Result<(Session, Option<StateDir>)> {
    if args.transport == Transport::Utp {
        bail!("cannot use uTP: this version speaks TCP alone; leave out --transport or say tcp");
    }
    if args.encryption == Encryption::Require {
        bail!("cannot encrypt: this version speaks plaintext alone; leave out --encryption or say allow");
    }
    // the folder itself, not one that would be made beside what was meant
    std::fs::read_dir(dir).map_err(|e| about("use the folder", dir, &e))?;
    let state = StateDir::open(dir);
    let config = SessionConfig {
        dht: !args.no_dht,
        dht_file: state.as_ref().map(|s| s.dht_nodes.clone()),
        resume_dir: state.as_ref().map(|s| s.records.clone()),
        engine: Settings {
            download_limit: args.limit_down.0,
            upload_limit: args.limit_up.0,
            pex: !args.no_pex,
            ..Settings::default()
        },
        trace: args.trace.is_some(),
        ..SessionConfig::default()
    };
    let config = match &args.dht_nodes[..] {
        [] => config,
        nodes => SessionConfig { dht_nodes: nodes.to_vec(), dht_routers: Vec::new(), ..config },
    };
    Ok((listen(args, config)?, state))
}

/// Listens where the user said; else on the first free one of the usual ports, and at last on any.
fn listen(args: &NetArgs, config: SessionConfig) -> Result<Session> {
    if !args.listen.is_empty() {
        let config = SessionConfig { listen: args.listen.clone(), ..config };
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
        match Session::start(SessionConfig { listen: everywhere(port), ..config.clone() }) {
            Err(SessionError::PortInUse { .. }) => {}
            started => return Ok(started?),
        }
    }
    Ok(Session::start(SessionConfig { listen: everywhere(0), ..config })?)
}

fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;
