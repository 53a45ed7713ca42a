//! Between a torrent's announcer and the shell.

use super::Engine;
use crate::event::{CloseReason, Event};
use crate::id::{ConnId, RequestId, TorrentId};
use crate::input::{HttpReply, PeerSource};
use crate::output::{HttpRequest, Output};
use crate::tracker::{AnnounceInput, AnnounceOutput};
use core::net::{IpAddr, SocketAddr};
use unchoke_wire::time::{Duration, Instant};

/// Transactions with UDP trackers remembered, the latest ones.
const TRANSACTIONS_MAX: usize = 10_000;
/// A torrent has peers enough when so many have something it lacks.
const PEERS_ENOUGH: usize = 5;
/// Until more peers are looked for out of turn the first time.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often that wait doubles: up to 16 minutes, about what the DHT waits by itself.
const LOOK_DOUBLINGS_MAX: u32 = 4;

/// Trackers of all torrents hear within this time that we are reached elsewhere.
const TELL_MOVED_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    /// Gives one input to a torrent's announcer and carries out what it answers.
    pub(super) fn announce(&mut self, torrent: TorrentId, input: AnnounceInput<'_>) {
        let Some((announcer, totals)) = self.torrents.announcing(torrent) else { return };
        let was_asking = announcer.is_asking();
        let outputs: Vec<AnnounceOutput> =
            announcer.handle(input, totals, &mut self.connections, self.now).collect();
        self.announcing = self.announcing + usize::from(announcer.is_asking()) - usize::from(was_asking);
        outputs.into_iter().for_each(|output| self.announcer_output(torrent, output));
        self.touched.torrents.insert(torrent);
    }

    pub(super) fn announcer_timeout(&mut self, torrent: TorrentId) {
        self.announce(torrent, AnnounceInput::Timeout);
    }

    /// When to look for more peers of a torrent out of turn: while it lacks something and few peers have any of it.
    /// Every time in vain the wait is longer.
    pub(super) fn look_for_peers_at(&self, torrent: TorrentId) -> Option<Instant> {
        let t = self.torrents.get(torrent).filter(|t| t.is_running() && !t.is_complete())?;
        let is_of_use = |id: &&ConnId| self.conns[**id].interesting > 0 || t.metadata.is_some();
        let is_enough = t.conns.iter().filter(is_of_use).nth(PEERS_ENOUGH - 1).is_some();
        let (last, times) = t.looked_for_peers;
        (!is_enough).then(|| last + LOOK_EVERY * (1 << times.min(LOOK_DOUBLINGS_MAX)))
    }

    /// Asks trackers, as far as their least intervals let us, and the DHT for peers when that is due.
    pub(super) fn look_for_peers(&mut self, torrent: TorrentId) {
        if self.look_for_peers_at(torrent).is_some_and(|at| at <= self.now) {
            if let Some(t) = self.torrents.get_mut(torrent) {
                t.looked_for_peers = (self.now, t.looked_for_peers.1 + 1);
            }
            self.announce(torrent, AnnounceInput::AnnounceNow);
            self.dht_search(torrent);
        }
    }

    /// We are reached elsewhere: trackers are told, torrent by torrent.
    pub(super) fn addresses_changed(&mut self, own: Vec<SocketAddr>) {
        let now = self.now;
        self.torrents.values_mut().for_each(|t| t.peers.moved(own.clone(), now));
        self.settings.own_addresses = own;
        let all: Vec<TorrentId> = self.torrents.keys().collect();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
        for (n, torrent) in (0..).zip(all) {
            self.announce(torrent, AnnounceInput::Moved(now + TELL_MOVED_WITHIN * n / count));
        }
    }

    //= BEP 27: peers of a private torrent come from its tracker only
    /// Closes all connections of a torrent and forgets whom others told it of.
    pub(super) fn forget_peers(&mut self, torrent: TorrentId) {
        self.close_all(torrent, &CloseReason::Stopped);
        if let Some(t) = self.torrents.get_mut(torrent) {
            t.peers.forget_told();
        }
    }

    fn announcer_output(&mut self, torrent: TorrentId, output: AnnounceOutput) {
        match output {
            AnnounceOutput::Http { request, url, family, timeout } => {
                let id = self.next_request();
                self.http.insert(id, (torrent, request));
                self.out.push_back(Output::Http(HttpRequest { request: id, url, family, timeout }));
            }
            AnnounceOutput::Resolve { request, host } => {
                let id = self.next_request();
                self.http.insert(id, (torrent, request));
                self.out.push_back(Output::Resolve { request: id, host });
            }
            AnnounceOutput::Datagram { to, bytes } => {
                self.remember_transaction(torrent, &bytes);
                self.out.push_back(Output::Datagram { to, bytes });
            }
            AnnounceOutput::Peers { peers, tracker } => {
                let addrs: Vec<SocketAddr> = peers.iter().map(|(addr, _)| *addr).collect();
                self.peers_found(torrent, PeerSource::Tracker, &addrs, tracker);
                let ids: Vec<_> = peers.into_iter().filter_map(|(addr, id)| Some((addr, id?))).collect();
                match self.torrents.get_mut(torrent) {
                    Some(t) => ids.into_iter().for_each(|(addr, id)| t.peers.expect_id(addr, id)),
                    None => self.asleep_expects(torrent, ids),
                }
            }
            AnnounceOutput::Replied { url, peers, warning, next_in, incomplete, .. } => {
                if let Some(s) = self.torrents.asleep_mut(torrent) {
                    // we are not among them, as we have all
                    s.has_leeches = incomplete.is_some_and(|n| n > 0);
                }
                self.event(Event::TrackerReplied { torrent, url, peers, warning, next_in });
            }
            AnnounceOutput::Failed { url, error, next_in } => {
                self.event(Event::TrackerFailed { torrent, url, error, next_in });
            }
            AnnounceOutput::ExternalIp(ip) => {
                if let Some(ip) = self.own_address.tracker_sees(ip) {
                    self.reached_at(ip);
                }
                self.event(Event::ExternalIp { ip });
            }
            AnnounceOutput::Scraped { url, result } => self.event(Event::Scraped { torrent, url, result }),
            AnnounceOutput::PrivateTrackerChanged => self.forget_peers(torrent),
        }
    }

    pub(super) fn http_done(&mut self, request: RequestId, reply: Result<HttpReply<'_>, String>) {
        if let Some((torrent, request)) = self.http.remove(&request) {
            let remote = reply.as_ref().ok().and_then(|r| r.remote);
            let reply = reply.map(|r| (r.status, r.body));
            self.announce(torrent, AnnounceInput::HttpDone { request, reply, remote });
        }
    }

    pub(super) fn resolved(&mut self, request: RequestId, addresses: Result<&[IpAddr], String>) {
        if let Some((torrent, request)) = self.http.remove(&request) {
            self.announce(torrent, AnnounceInput::Resolved { request, addresses });
        }
    }

    /// A datagram of a tracker: only the announcer that asked takes it.
    pub(super) fn tracker_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let torrent = bytes.get(4..8).and_then(|id| self.udp.get(id)).copied();
        if let Some(torrent) = torrent {
            self.announce(torrent, AnnounceInput::Datagram { from, bytes });
        }
    }

    /// Remembers whose the transaction of a request to a UDP tracker is.
    fn remember_transaction(&mut self, torrent: TorrentId, request: &[u8]) {
        if let Some(id) = request.get(12..16).and_then(|id| id.first_chunk::<4>()) {
            if self.udp.insert(*id, torrent).is_none() {
                self.udp_order.push_back(*id);
            }
            if self.udp_order.len() > TRANSACTIONS_MAX
                && let Some(oldest) = self.udp_order.pop_front()
            {
                self.udp.remove(&oldest);
            }
        }
    }
}
