//! The hub's part in local service discovery: whose the announced torrents are.

use super::{Hub, HubOutput, Owner};
use crate::hub::HubSettings;
use crate::input::PeerSource;
use crate::lsd::{self, Lsd};
use rand::Rng;
use std::collections::BTreeMap;
use unchoke_wire::WireHash;
use unchoke_wire::time::Instant;

/// The announcer of the local network and the owners of what it announces.
#[derive(Debug)]
pub(super) struct Local {
    lsd: Lsd,
    owners: BTreeMap<WireHash, Owner>,
}

impl Local {
    pub(super) fn new(settings: &HubSettings, rng: &mut impl Rng, now: Instant) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let settings =
            lsd::Settings { v4: settings.lsd_v4, v6: settings.lsd_v6, listen_port: settings.listen_port };
        Local { lsd: Lsd::new(settings, seed, now), owners: BTreeMap::new() }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.lsd.next_timeout()
    }
}

impl Hub {
    pub(super) fn lsd_announce(&mut self, owner: Owner, hashes: &[WireHash], now: Instant) {
        for hash in hashes {
            self.local.owners.insert(*hash, owner);
            self.lsd(lsd::Input::Announce(*hash), now);
        }
    }

    pub(super) fn lsd_stop(&mut self, hashes: &[WireHash], now: Instant) {
        for hash in hashes {
            self.local.owners.remove(hash);
            self.lsd(lsd::Input::Stop(*hash), now);
        }
    }

    pub(super) fn lsd_timeout(&mut self, now: Instant) {
        if self.local.next_timeout().is_some_and(|at| at <= now) {
            self.lsd(lsd::Input::Timeout, now);
        }
    }

    pub(super) fn lsd(&mut self, input: lsd::Input<'_>, now: Instant) {
        let Local { lsd, owners } = &mut self.local;
        for output in lsd.handle(input, now) {
            match output {
                lsd::Output::Datagram { family, bytes } => {
                    self.out.push_back(HubOutput::LsdDatagram { family, bytes });
                }
                lsd::Output::Found { hash, peer } => {
                    let Some(Owner { shard, torrent }) = owners.get(&hash).copied() else { continue };
                    let (source, peers) = (PeerSource::Lsd, vec![peer]);
                    self.out.push_back(HubOutput::Peers { shard, torrent, source, peers });
                }
            }
        }
    }
}
