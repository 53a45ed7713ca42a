//! What goes into the hubs, engines and scripts of hosts, and what they want done.

use super::{Pending, World};
use crate::bad_peer::{Act, BadPeer};
use crate::checkers::Sight;
use crate::fault::FaultKind;
use crate::host::{EndName, HostId, Machine, PORT};
use crate::log::What;
use crate::tracker::HttpAnswer;
use core::net::{IpAddr, SocketAddr};
use unchoke_engine::hub::{HubInput, HubOutput};
use unchoke_engine::input::{Verified, VerifyOutcome};
use unchoke_engine::output::{HttpRequest, VerifyJob};
use unchoke_engine::{Event, Input, Output, ShardId};
use unchoke_wire::compact::Family;
use unchoke_wire::time::{Duration, Instant};

impl World {
    pub(super) fn woken(&mut self, host: HostId, machine: Machine) {
        if !self.hosts[host.0].is_up {
            return;
        }
        let slot = &mut self.hosts[host.0].wake[machine as usize];
        if *slot == Some(self.now) {
            *slot = None;
        }
        if self.next_timeout(host, machine).is_none_or(|at| at > self.now) {
            self.set_wake(host, machine);
            return;
        }
        match machine {
            Machine::Hub => self.hub(host, HubInput::Timeout),
            Machine::Engine => self.engine(host, Input::Timeout),
        }
        let is_past = self.next_timeout(host, machine).is_some_and(|at| at <= self.now);
        self.checkers.timer(host, machine, is_past, self.now);
    }

    fn next_timeout(&self, host: HostId, machine: Machine) -> Option<Instant> {
        match machine {
            Machine::Hub => self.hosts[host.0].hub.next_timeout(),
            Machine::Engine => self.hosts[host.0].engine.next_timeout(),
        }
    }

    fn set_wake(&mut self, host: HostId, machine: Machine) {
        let Some(at) = self.next_timeout(host, machine).map(|at| at.max(self.now)) else { return };
        let slot = &mut self.hosts[host.0].wake[machine as usize];
        if slot.is_none_or(|set| at < set || set < self.now) {
            *slot = Some(at);
            self.at_host(host, at, Pending::Wake(host, machine));
        }
    }

    /// Gives an input to a host's hub and carries out what it wants.
    pub(super) fn hub(&mut self, host: HostId, input: HubInput<'_>) {
        if !self.hosts[host.0].is_up {
            return;
        }
        let outputs: Vec<HubOutput> = self.hosts[host.0].hub.handle(input, self.now).collect();
        for output in outputs {
            self.hub_output(host, output);
        }
        self.set_wake(host, Machine::Hub);
    }

    fn hub_output(&mut self, host: HostId, output: HubOutput) {
        match output {
            HubOutput::Route { ticket, torrent, received, since, .. } => {
                if let Some(end) = self.hosts[host.0].ends.get(&EndName::Ticket(ticket)).copied() {
                    let remote = self.remote_of(end);
                    let received = &received;
                    self.engine(host, Input::Accepted { ticket, torrent, remote, received, since });
                }
            }
            HubOutput::Drop { ticket } => self.close_named(host, EndName::Ticket(ticket)),
            HubOutput::Datagram { to, bytes } => self.send_datagram(host, to, bytes),
            HubOutput::Resolve { request, host: name } => {
                let addresses = self.resolve(host, &name).unwrap_or_default();
                self.hub(host, HubInput::Resolved { request, addresses: &addresses });
            }
            HubOutput::LsdDatagram { bytes, .. } => self.send_to_lan(host, &bytes),
            HubOutput::OwnAddress { ip } => self.engine(host, Input::OwnAddress { ip }),
            HubOutput::Peers { torrent, source, peers, .. } => {
                self.engine(host, Input::PeersFound { torrent, source, peers: &peers });
            }
            HubOutput::TrackerDatagram { from, bytes, .. } => {
                self.engine(host, Input::Datagram { from, bytes: &bytes });
            }
            HubOutput::Event(event) => self.note(host, What::Hub(event)),
        }
    }

    /// Gives an input to a host's engine and carries out what it wants.
    pub(super) fn engine(&mut self, host: HostId, input: Input<'_>) {
        if !self.hosts[host.0].is_up {
            return;
        }
        self.see(host, &Sight::Turn { is_timeout: matches!(input, Input::Timeout) });
        let outputs: Vec<Output> = self.hosts[host.0].engine.handle(input, self.now).collect();
        // the checkers see the whole turn before anything of it is carried out, which may begin another one
        for output in &outputs {
            match output {
                Output::Event(event) => self.see(host, &Sight::Event(event)),
                Output::Trace(trace) => self.see(host, &Sight::Message(trace)),
                Output::Close { conn } => self.see(host, &Sight::Closed(*conn)),
                _ => {}
            }
        }
        self.see(host, &Sight::TurnEnd);
        for output in outputs {
            self.engine_output(host, output);
        }
        self.set_wake(host, Machine::Engine);
    }

    fn engine_output(&mut self, host: HostId, output: Output) {
        match output {
            Output::Adopt { ticket, conn } => {
                let h = &mut self.hosts[host.0];
                if let Some(end) = h.ends.remove(&EndName::Ticket(ticket)) {
                    h.ends.insert(EndName::Conn(conn), end);
                    self.ends[end].name = EndName::Conn(conn);
                }
            }
            Output::Refuse { ticket } => self.close_named(host, EndName::Ticket(ticket)),
            Output::Connect { conn, addr, timeout } => self.dial(host, conn, addr, timeout),
            Output::WantSend { conn } => {
                if let Some(end) = self.hosts[host.0].ends.get(&EndName::Conn(conn)).copied() {
                    self.at(self.now, Pending::PlanLeft(end, 0));
                }
            }
            Output::Send { conn, plan } => self.send_plan(host, conn, plan),
            Output::Patience { conn, within } => self.lose_patience(host, conn, within),
            Output::Close { conn } => {
                self.hosts[host.0].dialling.remove(&conn);
                self.close_named(host, EndName::Conn(conn));
            }
            Output::Datagram { to, bytes } => self.send_datagram(host, to, bytes),
            Output::Http(request) => self.http(host, &request),
            Output::Resolve { request, host: name } => {
                let addresses = self.resolve(host, &name);
                let addresses = addresses.as_deref().map_err(Clone::clone);
                self.engine(host, Input::Resolved { request, addresses });
            }
            Output::Verify(job) => {
                let done = self.disk_done(host, job.data.len());
                self.at_host(host, done, Pending::Verified(host, job));
            }
            Output::Hub(command) => self.hub(host, HubInput::Engine { shard: ShardId(0), command }),
            Output::Event(event) => {
                if let Event::MetadataReceived { torrent, .. } = &event {
                    let at = self.now + Duration::from_millis(5);
                    self.at_host(host, at, Pending::Open(host, *torrent));
                }
                self.note(host, What::Event(event));
            }
            Output::Trace(trace) => self.note(host, What::Peer(trace)),
        }
    }

    pub(super) fn verified(&mut self, host: HostId, job: VerifyJob) {
        let h = &self.hosts[host.0];
        if !h.is_up {
            return;
        }
        let fault = self.write_fault(host);
        let h = &self.hosts[host.0];
        let outcome = match h.stored.get(&job.torrent) {
            Some(stored) => h.disk.verify(&job, stored, fault, &mut self.rng),
            None => VerifyOutcome::WriteFailed { error: "no storage".to_owned() },
        };
        if let (VerifyOutcome::WriteFailed { .. }, Some(fault)) = (&outcome, fault) {
            self.marks.add(fault.mark());
        }
        let now = self.now;
        if let (VerifyOutcome::Good { .. }, Some(stored)) =
            (&outcome, self.hosts[host.0].stored.get_mut(&job.torrent))
        {
            stored.written.push((now, job.piece));
            let is_true = stored.content.is_piece_stored(&stored.storage, job.piece);
            let sight = Sight::Acknowledged { torrent: job.torrent, piece: job.piece, is_true };
            self.see(host, &sight);
        }
        let done = vec![Verified { torrent: job.torrent, piece: job.piece, outcome, data: job.data }];
        self.engine(host, Input::Verified { done });
    }

    /// Lets a bad peer act.
    pub(super) fn script(&mut self, host: HostId, act: impl FnOnce(&mut BadPeer, Instant) -> Vec<Act>) {
        let now = self.now;
        let Some(script) = &mut self.hosts[host.0].script else { return };
        for act in act(script, now) {
            match act {
                Act::Dial(addr) => self.raw_dial(host, addr),
                Act::Send(pipe, bytes) => {
                    if let Some(end) = self.hosts[host.0].ends.get(&EndName::Raw(pipe)).copied() {
                        self.send_stream(end, bytes);
                    }
                }
                Act::Close(pipe) => self.close_named(host, EndName::Raw(pipe)),
                Act::Finish(pipe) => self.finish(host, pipe),
                Act::WakeAt(at) => self.at(at, Pending::ScriptWake(host)),
            }
        }
    }

    /// Makes a bad peer dial a host, as often as its manner says.
    pub fn bad_peer_dials(&mut self, host: HostId, target: HostId) {
        let addr = self.hosts[target.0].addr();
        self.script(host, |script, now| script.dial(addr, now));
    }

    fn http(&mut self, host: HostId, request: &HttpRequest) {
        let place = request.url.split_once("://").map_or("", |(_, rest)| rest);
        let place = place.split(['/', '?']).next().unwrap_or_default();
        let name = place.rsplit_once(':').map_or(place, |(name, _)| name);
        let literal: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
        let found = literal.map_or_else(|| self.resolve(host, name), |ip| Ok(vec![ip]));
        let is_v4 = request.family == Family::V4;
        let ip = found.unwrap_or_default().into_iter().find(|ip| ip.is_ipv4() == is_v4);
        let tracker = ip.and_then(|ip| self.trackers.iter().position(|t| t.ip == ip));
        let from = ip.and_then(|ip| self.hosts[host.0].ip_towards(ip));
        let (answer, at) = match (tracker, from) {
            (Some(tracker), Some(from)) => {
                let delay = self.hosts[host.0].link.delay(&mut self.rng) * 2;
                let (answer, slow) = self.tracker_http(tracker, &request.url, from);
                (answer, self.now + delay + slow)
            }
            _ => (Some(Err("no route".to_owned())), self.now + Duration::from_millis(1)),
        };
        let end = self.now + request.timeout;
        let (reply, at) = match answer {
            Some(reply) if at < end => (reply, at),
            _ => (Err("timed out".to_owned()), end),
        };
        let answer = HttpAnswer { reply, remote: ip.unwrap_or(self.hosts[host.0].ip) };
        self.at_host(host, at, Pending::Http(host, request.request, answer));
    }

    pub(super) fn send_datagram(&mut self, host: HostId, to: SocketAddr, bytes: Vec<u8>) {
        self.note(host, What::DatagramSent { to, bytes: bytes.clone() });
        let h = &mut self.hosts[host.0];
        h.spoken.insert(to);
        // no address of that family: no route
        let Some(from) = h.datagram_addr(to.ip()) else { return };
        let left = h.link.send(bytes.len() + 28, self.now) + h.link.delay(&mut self.rng);
        if h.link.loses(&mut self.rng) {
            return;
        }
        if let Some(tracker) = self.trackers.iter().position(|t| t.ip == to.ip()) {
            if let Some(arrival) = self.datagram_arrives(host, None, left, bytes.len()) {
                let (reply, slow) = self.tracker_udp(tracker, from, &bytes);
                if let Some(reply) = reply {
                    self.at(arrival + slow, Pending::Datagram(to, from, reply));
                }
            }
            return;
        }
        let Some(target) = self.by_ip.get(&to.ip()).copied() else { return };
        let is_lost = self.hosts[target.0].link.loses(&mut self.rng);
        let is_open = to.port() == PORT || self.hosts[target.0].nat_port == Some(to.port());
        if is_open && !is_lost {
            let arrival = left + self.hosts[target.0].link.delay(&mut self.rng);
            let Some(arrival) = self.datagram_arrives(host, Some(target), arrival, bytes.len()) else {
                return;
            };
            self.deliver_datagram(host, from, to, bytes, arrival);
        }
    }

    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(host) = self.by_ip.get(&to.ip()).copied() else { return };
        let h = &self.hosts[host.0];
        let is_shut = h.link.settings.is_behind_nat || h.faults.has(FaultKind::Nat);
        if !is_shut || h.spoken.contains(&from) {
            self.hub(host, HubInput::Datagram { from, bytes });
        }
    }

    /// Everybody in a host's local network hears this, itself too; each copy may be lost by itself.
    fn send_to_lan(&mut self, host: HostId, bytes: &[u8]) {
        let (lan, from) = (self.hosts[host.0].lan, self.hosts[host.0].addr());
        let near: Vec<usize> = (0..self.hosts.len()).filter(|i| self.hosts[*i].lan == lan).collect();
        for i in near {
            let link = &self.hosts[i].link;
            if !link.loses(&mut self.rng) {
                let at = self.now + link.delay(&mut self.rng);
                self.at(at, Pending::LanDatagram(HostId(i), from, bytes.to_vec()));
            }
        }
    }

    /// What a name resolves to at a host.
    fn resolve(&mut self, host: HostId, name: &str) -> Result<Vec<IpAddr>, String> {
        if self.hosts[host.0].faults.has(FaultKind::DnsDown) {
            self.marks.add(FaultKind::DnsDown.mark());
            return Err("the name server does not answer".to_owned());
        }
        self.names.get(name).cloned().ok_or_else(|| "no such name".to_owned())
    }

    /// One way from a host to an address; to one that nobody has it takes as long as to anybody.
    pub(super) fn delay_to(&mut self, host: HostId, ip: IpAddr) -> Duration {
        let near = self.hosts[host.0].link.delay(&mut self.rng);
        match self.by_ip.get(&ip) {
            Some(target) => near + self.hosts[target.0].link.delay(&mut self.rng),
            None => near * 2,
        }
    }
}
