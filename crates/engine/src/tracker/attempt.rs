//! One exchange with one tracker: name lookup, HTTP request or UDP packets, until an answer or its deadline.

use super::url::Scheme;
use super::{AnnounceOutput, NamedPeer};
use super::{Announcer, NO_ADDRESS_WAIT, STOP_TIMEOUT};
use core::net::{IpAddr, SocketAddr};
use rand::RngExt;
use unchoke_wire::compact::Family;
use unchoke_wire::http_tracker::{
    AnnounceEvent, AnnounceParams, AnnounceReply, RetryIn, ScrapeReply, ScrapeStats, announce_url, scrape_url,
};
use unchoke_wire::scope::{Teller, may_use};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::udp_tracker::{AnnounceRequest, Reply, Request};

/// One exchange under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) lane: usize,
    pub(super) tracker: usize,
    pub(super) purpose: Purpose,
    /// Whether the lane's walk began it.
    pub(super) is_walk: bool,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Announce(AnnounceEvent),
    Scrape,
}

#[derive(Debug)]
pub(super) enum Stage {
    Resolving {
        request: u32,
    },
    Http {
        request: u32,
        /// The address the name had, if it was one.
        address: Option<IpAddr>,
    },
    Udp {
        to: SocketAddr,
        transaction: u32,
        /// From the tracker's reply to a connect request; without one that is what is asked for.
        connection: Option<u64>,
        /// Whether the connection id is one of an earlier attempt, which the tracker may have forgotten.
        is_reused: bool,
        resend_at: Instant,
        resend_after: Duration,
    },
}

/// How an attempt ended well.
enum Answer {
    Announce(AnnounceReply),
    Scrape(ScrapeStats),
}

/// What an exchange may take, name lookup and all.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A UDP packet is sent again after this, then after twice as long, and so on.
const RESEND_AFTER: Duration = Duration::from_secs(3);
/// Peers asked for.
const NUM_WANT: u32 = 200;
/// What is said to be missing while the size is unknown: anything but the zero that seeds say.
const LEFT_UNKNOWN: u64 = 16_384;

impl Attempt {
    pub(super) fn is_announce_of(&self, lane: usize, tracker: usize) -> bool {
        (self.lane, self.tracker) == (lane, tracker) && self.purpose != Purpose::Scrape
    }

    pub(super) fn is_stop(&self) -> bool {
        self.purpose == Purpose::Announce(AnnounceEvent::Stopped)
    }

    /// Whether the tracker may have read the announce already.
    pub(super) fn is_announced(&self) -> bool {
        let is_sent = match &self.stage {
            Stage::Resolving { .. } => false,
            Stage::Http { .. } => true,
            Stage::Udp { connection, .. } => connection.is_some(),
        };
        is_sent && self.purpose != Purpose::Scrape
    }

    pub(super) fn next_timeout(&self) -> Instant {
        match &self.stage {
            Stage::Udp { resend_at, .. } => self.deadline.min(*resend_at),
            Stage::Resolving { .. } | Stage::Http { .. } => self.deadline,
        }
    }
}

impl Announcer {
    pub(super) fn begin(
        &mut self,
        lane: usize,
        tracker: usize,
        purpose: Purpose,
        is_walk: bool,
        now: Instant,
    ) {
        let is_stop = purpose == Purpose::Announce(AnnounceEvent::Stopped);
        let timeout = if is_stop { STOP_TIMEOUT } else { TIMEOUT };
        let request = self.request_number();
        let stage = Stage::Resolving { request };
        let attempt = Attempt { lane, tracker, purpose, is_walk, deadline: now + timeout, timeout, stage };
        let known = self.lanes[lane].slots[tracker].address.filter(|_| is_stop);
        let url = &self.trackers[tracker].url;
        match url.ip().or(known) {
            Some(ip) => self.go_on(attempt, &[ip], now),
            None => {
                let host = url.host().to_owned();
                self.attempts.push(attempt);
                self.outputs.push(AnnounceOutput::Resolve { request, host });
            }
        }
    }

    pub(super) fn resolved(&mut self, request: u32, addresses: Result<&[IpAddr], String>, now: Instant) {
        if let Some(at) = self.named_peers.iter().position(|p| p.request == request) {
            let NamedPeer { port, peer_id, tracker, .. } = self.named_peers.swap_remove(at);
            if let Some(ip) = addresses.ok().and_then(<[IpAddr]>::first) {
                let peers = vec![(SocketAddr::new(ip.to_canonical(), port), peer_id)];
                self.outputs.push(AnnounceOutput::Peers { peers, tracker });
            }
            return;
        }
        let is_it = |a: &Attempt| matches!(a.stage, Stage::Resolving { request: r } if r == request);
        let Some(attempt) = self.take_attempt(is_it) else { return };
        match addresses {
            Ok([]) => self.fail(attempt, "host has no address", None, now),
            Ok(addresses) => self.go_on(attempt, addresses, now),
            Err(error) => self.fail(attempt, &error, None, now),
        }
    }

    fn take_attempt(&mut self, is_it: impl Fn(&Attempt) -> bool) -> Option<Attempt> {
        let at = self.attempts.iter().position(is_it)?;
        Some(self.attempts.swap_remove(at))
    }

    //= BEP 7: one announce over each address family
    /// The addresses of the tracker are known.
    fn go_on(&mut self, attempt: Attempt, addresses: &[IpAddr], now: Instant) {
        let Attempt { lane, tracker, .. } = attempt;
        let family = self.lanes[lane].family;
        let of_family = |family, ip: &&IpAddr| ip.is_ipv4() == (family == Family::V4);
        let port = self.trackers[tracker].url.port();
        let canonical = addresses.iter().map(IpAddr::to_canonical);
        let canonical: Vec<IpAddr> =
            canonical.filter(|ip| may_use(SocketAddr::new(*ip, port), Teller::Torrent)).collect();
        if canonical.is_empty() {
            self.fail(attempt, "host leads to a network that a torrent may not name", None, now);
            return;
        }
        let mine: Vec<&IpAddr> = canonical.iter().filter(|ip| of_family(family, ip)).collect();
        if mine.is_empty() {
            let is_of_another = |l: &super::Lane| canonical.iter().any(|ip| of_family(l.family, &ip));
            if attempt.purpose == Purpose::Scrape || !self.lanes.iter().any(is_of_another) {
                self.fail(attempt, "host has no address of a family we have", None, now);
            } else {
                self.lanes[lane].slots[tracker].not_before = now + NO_ADDRESS_WAIT;
                self.pass_over(lane, tracker, attempt.is_walk, now);
            }
            return;
        }
        let slot = &mut self.lanes[lane].slots[tracker];
        // another address of several after each failure
        let turn = usize::try_from(slot.fails).unwrap_or(0) % mine.len();
        let ip = *mine[turn];
        slot.address = Some(ip);
        match self.trackers[tracker].url.scheme() {
            Scheme::Http | Scheme::Https => self.send_http(attempt, now),
            Scheme::Udp => {
                let to = SocketAddr::new(ip, self.trackers[tracker].url.port());
                let known = self.connections.to(to, now);
                self.begin_udp(attempt, to, known, known.is_some(), now);
            }
        }
    }

    fn send_http(&mut self, mut attempt: Attempt, now: Instant) {
        let request = self.request_number();
        let Attempt { lane, tracker, purpose, deadline, .. } = attempt;
        let base = self.trackers[tracker].url.as_str();
        let url = match purpose {
            Purpose::Announce(event) => Some(announce_url(base, &self.params(tracker, event))),
            Purpose::Scrape => scrape_url(base, &self.settings.info_hash),
        };
        let Some(url) = url else {
            self.fail(attempt, "tracker cannot be scraped", None, now);
            return;
        };
        attempt.stage = Stage::Http { request, address: self.trackers[tracker].url.ip() };
        self.attempts.push(attempt);
        let family = self.lanes[lane].family;
        self.outputs.push(AnnounceOutput::Http { request, url, family, timeout: deadline.since(now) });
    }

    fn params(&self, tracker: usize, event: AnnounceEvent) -> AnnounceParams<'_> {
        AnnounceParams {
            info_hash: self.settings.info_hash,
            peer_id: self.settings.peer_id,
            port: self.settings.port,
            uploaded: self.totals.uploaded,
            downloaded: self.totals.downloaded,
            left: self.totals.left.unwrap_or(LEFT_UNKNOWN),
            corrupt: self.totals.corrupt,
            key: self.settings.key,
            event,
            numwant: if event == AnnounceEvent::Stopped { 0 } else { NUM_WANT },
            tracker_id: self.trackers[tracker].id.as_deref(),
        }
    }

    pub(super) fn http_done(
        &mut self,
        request: u32,
        reply: Result<(u16, &[u8]), String>,
        remote: Option<IpAddr>,
        now: Instant,
    ) {
        let is_it = |a: &Attempt| matches!(a.stage, Stage::Http { request: r, .. } if r == request);
        let Some(attempt) = self.take_attempt(is_it) else { return };
        let address = match attempt.stage {
            Stage::Http { address, .. } => address,
            Stage::Resolving { .. } | Stage::Udp { .. } => None,
        };
        let answer = reply.map_err(|e| (e, None)).and_then(|(status, body)| match attempt.purpose {
            Purpose::Announce(_) => read_announce(status, body).map(Answer::Announce),
            Purpose::Scrape => read_scrape(status, body, &self.settings.info_hash).map(Answer::Scrape),
        });
        match answer {
            Ok(answer) => self.answered(attempt, answer, remote.or(address), now),
            Err((error, retry_in)) => self.fail(attempt, &error, retry_in, now),
        }
    }

    fn answered(&mut self, attempt: Attempt, answer: Answer, remote: Option<IpAddr>, now: Instant) {
        match answer {
            Answer::Announce(reply) => self.succeed(attempt, reply, remote, now),
            Answer::Scrape(stats) => {
                let url = self.trackers[attempt.tracker].url.redacted().to_owned();
                self.outputs.push(AnnounceOutput::Scraped { url, result: Ok(stats) });
            }
        }
    }

    fn begin_udp(
        &mut self,
        mut attempt: Attempt,
        to: SocketAddr,
        connection: Option<u64>,
        is_reused: bool,
        now: Instant,
    ) {
        attempt.stage = Stage::Udp {
            to,
            transaction: self.transaction(),
            connection,
            is_reused,
            resend_at: now + RESEND_AFTER,
            resend_after: RESEND_AFTER,
        };
        self.send_udp(&attempt);
        self.attempts.push(attempt);
    }

    /// A transaction id nobody can guess, under the shard's byte, that no other attempt has.
    fn transaction(&mut self) -> u32 {
        loop {
            let [_, b, c, d] = self.rng.random::<[u8; 4]>();
            let new = u32::from_be_bytes([self.settings.shard.0, b, c, d]);
            let has_it =
                |a: &Attempt| matches!(a.stage, Stage::Udp { transaction, .. } if transaction == new);
            if !self.attempts.iter().any(has_it) {
                return new;
            }
        }
    }

    fn send_udp(&mut self, attempt: &Attempt) {
        let Stage::Udp { to, transaction, connection, .. } = attempt.stage else { return };
        let request = match (connection, attempt.purpose) {
            (None, _) => Request::Connect { transaction },
            (Some(connection), Purpose::Scrape) => {
                Request::Scrape { connection, transaction, hashes: vec![self.settings.info_hash] }
            }
            (Some(connection), Purpose::Announce(event)) => {
                let p = self.params(attempt.tracker, event);
                Request::Announce(AnnounceRequest {
                    connection,
                    transaction,
                    info_hash: p.info_hash,
                    peer_id: p.peer_id,
                    downloaded: p.downloaded,
                    left: p.left,
                    uploaded: p.uploaded,
                    event,
                    ip: 0,
                    key: p.key,
                    num_want: i32::try_from(p.numwant).expect("0 or 200"),
                    port: p.port,
                    //= BEP 41: path and query of the URL
                    url_data: self.trackers[attempt.tracker].url.target().as_bytes().to_vec(),
                })
            }
        };
        self.outputs.push(AnnounceOutput::Datagram { to, bytes: request.encode() });
    }

    //= BEP 15: a reply counts only from the tracker's address and with our transaction id
    pub(super) fn datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Ok(reply) = Reply::decode(bytes, from.ip()) else { return };
        let answers = |a: &Attempt| match &a.stage {
            Stage::Udp { to, transaction, connection, .. }
                if (*to, *transaction) == (from, reply.transaction()) =>
            {
                match (&reply, connection, a.purpose) {
                    (Reply::Error { .. }, _, _) => true,
                    (Reply::Connect { .. }, connection, _) => connection.is_none(),
                    (Reply::Announce { .. }, Some(_), Purpose::Announce(_)) => true,
                    (Reply::Scrape { stats, .. }, Some(_), Purpose::Scrape) => !stats.is_empty(),
                    _ => false,
                }
            }
            _ => false,
        };
        let Some(attempt) = self.take_attempt(answers) else { return };
        self.udp_answered(attempt, reply, from, now);
    }

    fn udp_answered(&mut self, attempt: Attempt, reply: Reply, from: SocketAddr, now: Instant) {
        match reply {
            Reply::Connect { connection: id, .. } => {
                self.connections.note(from, id, now);
                self.begin_udp(attempt, from, Some(id), false, now);
            }
            Reply::Announce { interval, leechers, seeders, peers, .. } => {
                let seconds = u64::try_from(interval).unwrap_or(0);
                let reply = AnnounceReply {
                    interval: Some(Duration::from_secs(seconds)),
                    complete: Some(seeders),
                    incomplete: Some(leechers),
                    peers: peers.into_iter().map(Into::into).collect(),
                    ..AnnounceReply::default()
                };
                self.answered(attempt, Answer::Announce(reply), Some(from.ip()), now);
            }
            Reply::Scrape { stats, .. } => {
                self.answered(attempt, Answer::Scrape(stats[0]), Some(from.ip()), now);
            }
            Reply::Error { message, .. } => {
                self.connections.forget(from);
                if let Stage::Udp { is_reused: true, connection: Some(_), .. } = attempt.stage {
                    self.begin_udp(attempt, from, None, false, now);
                } else {
                    self.fail(attempt, &format!("tracker says: {message}"), None, now);
                }
            }
        }
    }

    //= BEP 15: requests are sent again when nothing comes
    pub(super) fn resend(&mut self, now: Instant) {
        let mut attempts = core::mem::take(&mut self.attempts);
        for attempt in &mut attempts {
            let Stage::Udp { to, connection, is_reused, resend_at, resend_after, .. } = &mut attempt.stage
            else {
                continue;
            };
            if *resend_at > now {
                continue;
            }
            *resend_after *= 2;
            *resend_at = now + *resend_after;
            // a tracker that was restarted does not know the connection id, and may be silent about it
            if core::mem::take(is_reused) || self.connections.to(*to, now).is_none() {
                self.connections.forget(*to);
                *connection = None;
            }
            self.send_udp(attempt);
        }
        self.attempts = attempts;
    }

    pub(super) fn expire_attempts(&mut self, now: Instant) {
        while let Some(attempt) = self.take_attempt(|a| a.deadline <= now) {
            let error = format!("no reply in {} seconds", attempt.timeout.as_secs());
            self.fail(attempt, &error, None, now);
        }
    }
}

type Refusal = (String, Option<RetryIn>);

fn read_announce(status: u16, body: &[u8]) -> Result<AnnounceReply, Refusal> {
    let reply = AnnounceReply::parse(body);
    match reply {
        Ok(AnnounceReply { failure: Some(failure), retry_in, .. }) => {
            Err((format!("tracker says: {failure}"), retry_in))
        }
        _ if status != 200 => Err((format!("HTTP status {status}"), None)),
        Ok(reply) => Ok(reply),
        Err(error) => Err((error.to_string(), None)),
    }
}

fn read_scrape(status: u16, body: &[u8], info_hash: &unchoke_wire::WireHash) -> Result<ScrapeStats, Refusal> {
    let error = match ScrapeReply::parse(body) {
        Ok(ScrapeReply { failure: Some(failure), .. }) => format!("tracker says: {failure}"),
        _ if status != 200 => format!("HTTP status {status}"),
        Ok(ScrapeReply { files, .. }) => match files.iter().find(|(hash, _)| hash == info_hash) {
            Some((_, stats)) => return Ok(*stats),
            None => "tracker does not know the torrent".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    Err((error, None))
}
