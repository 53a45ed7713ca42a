//! Pipes between hosts: dials, ordered bytes, ends that close or are reset.

use super::{Pending, World};
use crate::checkers::Sight;
use crate::fault::FaultKind;
use crate::host::{EndName, HostId, PORT};
use crate::link::Fate;
use crate::marks::Mark;
use core::net::{IpAddr, SocketAddr};
use rand::Rng;
use unchoke_engine::hub::HubInput;
use unchoke_engine::input::ClosedBy;
use unchoke_engine::output::{SendPart, SendPlan};
use unchoke_engine::{ConnId, Input, Ticket};
use unchoke_storage::Storage;
use unchoke_wire::time::{Duration, Instant};

/// One end of a pipe. Ends lie in pairs, the dialler's first.
#[derive(Debug)]
pub(super) struct End {
    host: HostId,
    pub(super) name: EndName,
    /// The other end.
    peer: usize,
    is_open: bool,
    /// The pipe was cut: bytes under way are lost.
    is_reset: bool,
    is_v4: bool,
    /// Bytes that were sent last arrive then: streams keep their order.
    last_arrival: Instant,
    sent: u64,
    received: u64,
}

impl World {
    /// How the host of an end sees the other one: a dialler has a port of its own, an acceptor the common one.
    pub(super) fn remote_of(&self, end: usize) -> SocketAddr {
        let peer = self.ends[end].peer;
        let is_dialler = peer.is_multiple_of(2);
        let port = if is_dialler { 20_000 + u16::try_from(peer % 40_000).unwrap_or(0) } else { PORT };
        let h = &self.hosts[self.ends[peer].host.0];
        let own = core::iter::once(h.ip).chain(h.other_ip).find(|ip| ip.is_ipv4() == self.ends[end].is_v4);
        SocketAddr::new(own.unwrap_or(h.ip), port)
    }

    /// Who answers at an address.
    fn listener(&self, addr: SocketAddr) -> Option<HostId> {
        let target = self.by_ip.get(&addr.ip()).copied().filter(|_| addr.port() == PORT)?;
        let h = &self.hosts[target.0];
        (h.is_up && !h.link.settings.is_behind_nat && !h.faults.has(FaultKind::Nat)).then_some(target)
    }

    /// Makes the two ends of a pipe and tells the acceptor; the dialler's end.
    fn join(&mut self, host: HostId, name: EndName, target: HostId, is_v4: bool) -> usize {
        let near = self.ends.len();
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let end = |host, name, peer| End {
            host,
            name,
            peer,
            is_open: true,
            is_reset: false,
            is_v4,
            last_arrival: Instant::ZERO,
            sent: 0,
            received: 0,
        };
        let is_script = self.hosts[target.0].script.is_some();
        let far_name = if is_script { EndName::Raw(near + 1) } else { EndName::Ticket(ticket) };
        self.ends.push(end(host, name, near + 1));
        self.ends.push(end(target, far_name, near));
        self.hosts[target.0].ends.insert(far_name, near + 1);
        if is_script {
            self.script(target, |script, now| script.joined(near + 1, false, now));
        } else {
            let remote = self.remote_of(near + 1);
            self.hub(target, HubInput::Accepted { ticket, remote });
        }
        near
    }

    pub(super) fn dial(&mut self, host: HostId, conn: ConnId, addr: SocketAddr, timeout: Duration) {
        let h = &mut self.hosts[host.0];
        h.dialling.insert(conn);
        h.dialled.push(addr);
        let is_out_of_descriptors = h.faults.has(FaultKind::NoDescriptors);
        if is_out_of_descriptors || h.ip_towards(addr.ip()).is_none() {
            if is_out_of_descriptors {
                self.marks.add(Mark::NoDescriptors);
            }
            self.at_host(host, self.now + Duration::from_micros(50), Pending::Dialled(host, conn, None));
            return;
        }
        let delay = self.delay_to(host, addr.ip());
        self.at_host(host, self.now + delay, Pending::Dial(host, conn, addr));
        self.at_host(host, self.now + timeout, Pending::DialTimeout(host, conn));
    }

    pub(super) fn dialled_by(&mut self, host: HostId, conn: ConnId, addr: SocketAddr) {
        let knows = self.hosts[host.0].is_up && self.hosts[host.0].dialling.contains(&conn);
        let far = self.by_ip.get(&addr.ip()).copied();
        let is_cut = far.is_some_and(|to| self.is_cut(host, to));
        if knows && is_cut {
            return; // silence
        }
        let is_full = self.listener(addr).filter(|to| self.hosts[to.0].faults.has(FaultKind::NoDescriptors));
        if knows && is_full.is_some() {
            self.marks.add(Mark::NoDescriptors);
            let back = self.delay_to(host, addr.ip());
            self.at_host(host, self.now + back, Pending::Dialled(host, conn, None));
            return;
        }
        if far.is_some_and(|to| self.hosts[to.0].faults.has(FaultKind::Nat)) {
            self.marks.add(Mark::Nat);
        }
        let Some(target) = self.listener(addr).filter(|_| knows) else {
            // nobody there: silence; a host without a listener on that port refuses
            if self.by_ip.contains_key(&addr.ip()) && addr.port() != PORT {
                let back = self.delay_to(host, addr.ip());
                self.at_host(host, self.now + back, Pending::Dialled(host, conn, None));
            }
            return;
        };
        if target == host {
            self.marks.add(Mark::SelfDialled);
        }
        let near = self.join(host, EndName::Conn(conn), target, addr.is_ipv4());
        let back = self.delay_to(host, addr.ip());
        self.ends[near + 1].last_arrival = self.now + back;
        self.at_host(host, self.now + back, Pending::Dialled(host, conn, Some(near)));
    }

    pub(super) fn dial_answer(&mut self, host: HostId, conn: ConnId, end: Option<usize>) {
        if !self.hosts[host.0].dialling.remove(&conn) {
            if let Some(end) = end {
                self.close_end(end);
            }
            return;
        }
        let Some(end) = end.filter(|e| self.ends[*e].is_open) else {
            self.engine(host, Input::Closed { conn, reason: ClosedBy::DialFailed });
            return;
        };
        self.hosts[host.0].ends.insert(EndName::Conn(conn), end);
        self.engine(host, Input::Connected { conn });
    }

    pub(super) fn raw_dial(&mut self, host: HostId, addr: SocketAddr) {
        if let Some(target) = self.listener(addr) {
            let near = self.ends.len();
            self.join(host, EndName::Raw(near), target, addr.is_ipv4());
            self.hosts[host.0].ends.insert(EndName::Raw(near), near);
            self.script(host, |script, now| script.joined(near, true, now));
        }
    }

    pub(super) fn send_plan(&mut self, host: HostId, conn: ConnId, plan: SendPlan) {
        let Some(end) = self.hosts[host.0].ends.get(&EndName::Conn(conn)).copied() else { return };
        let mut bytes = Vec::new();
        for part in plan.parts() {
            match part {
                SendPart::Bytes(b) => bytes.extend_from_slice(b),
                SendPart::Block(block) => {
                    let from = bytes.len();
                    bytes.resize(from + block.len as usize, 0);
                    let h = &self.hosts[host.0];
                    if h.faults.has(FaultKind::ReadError) {
                        self.marks.add(Mark::ReadError);
                        let error = FaultKind::ReadError.name().to_owned();
                        self.engine(host, Input::ReadFailed { torrent: plan.torrent, block, error });
                        self.reset(end);
                        return;
                    }
                    let read = h.stored.get(&plan.torrent).map(|s| s.storage.read(block, &mut bytes[from..]));
                    if let Some(Err(error)) = read {
                        let error = error.to_string();
                        self.engine(host, Input::ReadFailed { torrent: plan.torrent, block, error });
                        self.reset(end);
                        return;
                    }
                    let one_in = h.corrupts_one_in;
                    if one_in > 0 && self.rng.next_u32().is_multiple_of(one_in) {
                        bytes[from] ^= 0x55;
                    }
                    self.spoil(host, &mut bytes[from..]);
                }
            }
        }
        self.send_stream(end, bytes);
    }

    pub(super) fn send_stream(&mut self, end: usize, bytes: Vec<u8>) {
        let (from, peer) = (self.ends[end].host, self.ends[end].peer);
        let to = self.ends[peer].host;
        let len = bytes.len();
        self.ends[end].sent += len as u64;
        let cost = self.line_cost(from, len);
        let left = self.hosts[from.0].link.send(cost, self.now);
        let fates = [self.hosts[from.0].link.fate(&mut self.rng), self.hosts[to.0].link.fate(&mut self.rng)];
        let mut arrival =
            left + self.hosts[from.0].link.delay(&mut self.rng) + self.hosts[to.0].link.delay(&mut self.rng);
        for fate in fates {
            match fate {
                Fate::After(delay) => {
                    if delay >= Duration::from_secs(1) {
                        self.marks.add(Mark::Stall);
                    }
                    arrival = arrival + delay;
                }
                Fate::Reset => {
                    self.reset(end);
                    return;
                }
            }
        }
        arrival = self.stream_arrives(from, to, arrival);
        let cost = self.line_cost(to, len);
        arrival = self.hosts[to.0].link.receive(cost, arrival.max(self.ends[end].last_arrival));
        self.ends[end].last_arrival = arrival;
        self.at(arrival, Pending::Stream(peer, bytes));
        self.at(left, Pending::PlanLeft(end, len as u64));
    }

    pub(super) fn stream(&mut self, end: usize, mut bytes: Vec<u8>) {
        if !self.ends[end].is_open {
            return;
        }
        self.ends[end].received += bytes.len() as u64;
        let (host, name) = (self.ends[end].host, self.ends[end].name);
        match name {
            EndName::Ticket(ticket) => self.hub(host, HubInput::AcceptedBytes { ticket, bytes: &bytes }),
            EndName::Conn(conn) => self.engine(host, Input::Received { conn, bytes: &mut bytes }),
            EndName::Raw(pipe) => self.script(host, |script, now| script.received(pipe, &bytes, now)),
        }
    }

    pub(super) fn plan_left(&mut self, end: usize, bytes: u64) {
        let (host, EndName::Conn(conn)) = (self.ends[end].host, self.ends[end].name) else { return };
        if self.ends[end].is_open && self.hosts[host.0].ends.contains_key(&EndName::Conn(conn)) {
            if bytes > 0 {
                self.engine(host, Input::Sent { conn, bytes });
            }
            self.engine(host, Input::SendReady { conn });
        }
    }

    /// The host of this end hears that the connection is gone.
    pub(super) fn gone(&mut self, end: usize) {
        if !self.ends[end].is_open {
            return;
        }
        let (host, name, peer) = (self.ends[end].host, self.ends[end].name, self.ends[end].peer);
        if !self.ends[end].is_reset && self.ends[peer].sent != self.ends[end].received {
            let (sent, received) = (self.ends[peer].sent, self.ends[end].received);
            self.checkers.violate("pipes", format!("{sent} bytes were sent and {received} received"));
        }
        self.ends[end].is_open = false;
        self.hosts[host.0].ends.remove(&name);
        match name {
            EndName::Ticket(ticket) => self.hub(host, HubInput::AcceptedClosed { ticket }),
            EndName::Conn(conn) => {
                self.see(host, &Sight::Closed(conn));
                if self.hosts[host.0].dialling.contains(&conn) {
                    return; // the answer to the dial tells it
                }
                self.engine(host, Input::Closed { conn, reason: ClosedBy::Remote });
            }
            EndName::Raw(pipe) => self.script(host, |script, now| script.gone(pipe, now)),
        }
    }

    pub(super) fn close_named(&mut self, host: HostId, name: EndName) {
        if let Some(end) = self.hosts[host.0].ends.remove(&name) {
            self.close_end(end);
        }
    }

    /// Closes one end; the other hears of it once what was sent before has arrived.
    pub(super) fn close_end(&mut self, end: usize) {
        if core::mem::replace(&mut self.ends[end].is_open, false) {
            let peer = self.ends[end].peer;
            let (host, name) = (self.ends[end].host, self.ends[end].name);
            self.hosts[host.0].ends.remove(&name);
            if self.ends[peer].is_open {
                let far: IpAddr = self.hosts[self.ends[peer].host.0].ip;
                let at = (self.now + self.delay_to(host, far)).max(self.ends[end].last_arrival);
                self.at(at, Pending::Gone(peer));
            }
        }
    }

    /// Cuts a pipe so that one side hears of it at once, and the other one only then.
    pub(super) fn cut_half(&mut self, end: usize, until: Instant) {
        let peer = self.ends[end].peer;
        (self.ends[end].is_reset, self.ends[peer].is_reset) = (true, true);
        if self.ends[peer].is_open {
            self.at(until, Pending::Gone(peer));
        }
        self.gone(end);
    }

    /// A connection whose other side is gone is found out when what is sent on it is not acknowledged in time. One that is
    /// only slow keeps its patience: what is under way arrives.
    pub(super) fn lose_patience(&mut self, host: HostId, conn: ConnId, within: Option<Duration>) {
        let end = self.hosts[host.0].ends.get(&EndName::Conn(conn)).copied();
        if let (Some(end), Some(within)) = (end, within)
            && self.ends[end].is_reset
            && !self.ends[self.ends[end].peer].is_open
        {
            self.at(self.now + within, Pending::Gone(end));
        }
    }

    /// The host that holds an end.
    pub(super) fn host_of_end(&self, end: usize) -> HostId {
        self.ends[end].host
    }

    /// A bad peer sends nothing more and goes on reading. Who has heard all of it closes its own side, as shells do.
    pub(super) fn finish(&mut self, host: HostId, pipe: usize) {
        let Some(end) = self.hosts[host.0].ends.get(&EndName::Raw(pipe)).copied() else { return };
        let peer = self.ends[end].peer;
        let far: IpAddr = self.hosts[self.ends[peer].host.0].ip;
        let heard = (self.now + self.delay_to(host, far)).max(self.ends[end].last_arrival);
        let back = self.delay_to(host, far);
        self.at(heard, Pending::Gone(peer));
        self.at(heard + back, Pending::Finished(end));
    }

    /// The other side has ended its stream, too, after all it had sent.
    pub(super) fn finished(&mut self, end: usize) {
        let last_in = self.ends[self.ends[end].peer].last_arrival;
        if self.now < last_in {
            self.at(last_in, Pending::Finished(end));
        } else {
            self.gone(end);
        }
    }

    /// Cuts a pipe: both sides hear of it, what was under way is lost.
    pub(super) fn reset(&mut self, end: usize) {
        let peer = self.ends[end].peer;
        (self.ends[end].is_reset, self.ends[peer].is_reset) = (true, true);
        self.marks.add(Mark::Reset);
        if self.ends[peer].is_open {
            self.at(self.now, Pending::Gone(peer));
        }
        self.gone(end);
    }
}
