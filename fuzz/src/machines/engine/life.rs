//! What happens to an engine beside its peers' talk: connections, time, disk, trackers, the owner.

use super::{CONTENT, PEERS_MAX, PIECES, REMOTE, Stage, World};
use crate::steps::Steps;
use std::net::IpAddr;
use unchoke_engine::input::{ClosedBy, HttpReply, PeerSource, Verified, VerifyOutcome};
use unchoke_engine::output::VerifyJob;
use unchoke_engine::{Command, Input, Ticket};
use unchoke_wire::time::Duration;
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, InfoHashes, PieceIndex};

impl World {
    /// One thing happens.
    pub fn step(&mut self, steps: &mut Steps<'_>) {
        match steps.byte() % 32 {
            0..=2 => self.accept(steps),
            3 => self.dialled(steps),
            4 | 5 => self.greet(steps),
            6..=12 => self.say(steps),
            13..=17 => self.give(steps),
            18 | 19 => self.extend(steps),
            20 => self.babble(steps),
            21 => self.lose(steps),
            22 | 23 => self.wait(steps.wait().min(Duration::from_secs(2 * 3600))),
            24 | 25 => self.judge(steps),
            26 => self.found(steps),
            27 => self.owner(steps),
            28 => self.tracker(steps),
            29 => self.stall(steps),
            30 => self.wake(),
            _ => self.odd(steps),
        }
    }

    /// A peer dials us.
    fn accept(&mut self, steps: &mut Steps<'_>) {
        if self.peers.len() >= PEERS_MAX || self.tickets.len() >= PEERS_MAX {
            return;
        }
        self.next_ticket += 1;
        let (ticket, torrent, remote) = (Ticket(self.next_ticket), self.torrent, steps.address());
        let received = self.greeting(steps);
        let cut = if steps.byte() < 200 { received.len() } else { 48 + steps.below(20) };
        self.tickets.insert(ticket, remote);
        let before = self.peers.len();
        let since = self.now;
        self.handle(Input::Accepted { ticket, torrent, remote, received: &received[..cut], since });
        // whoever is still there may say the rest
        if self.peers.len() > before
            && let Some(conn) = self.peers.last().filter(|p| p.stage == Stage::Greeting).map(|p| p.conn)
        {
            self.peer(conn).stage = Stage::Open;
            self.receive(conn, &received[cut..]);
        }
    }

    /// A dial succeeds or fails.
    fn dialled(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Dialling)) else { return };
        if steps.byte() < 200 {
            self.peer(conn).stage = Stage::Greeting;
            self.handle(Input::Connected { conn });
        } else {
            self.peers.retain(|p| p.conn != conn);
            self.gone(conn);
            self.handle(Input::Closed { conn, reason: ClosedBy::DialFailed });
        }
    }

    /// A peer goes away.
    fn lose(&mut self, steps: &mut Steps<'_>) {
        let all: Vec<_> = self.peers.iter().filter(|p| p.stage != Stage::Dialling).map(|p| p.conn).collect();
        let Some(conn) = steps.pick(&all) else { return };
        self.peers.retain(|p| p.conn != conn);
        self.gone(conn);
        self.handle(Input::Closed { conn, reason: REMOTE });
    }

    /// Lets time pass, every deadline on the way served, within reason.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut spins = 0;
        for _ in 0..100 {
            let Some(at) = self.engine.next_timeout().filter(|at| *at <= end) else { break };
            spins = if at > self.now { 0 } else { spins + 1 };
            assert!(spins < 20, "the next deadline is always now");
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        // a long wait ends late: what is overdue is done at once
        self.now = end;
        self.handle(Input::Timeout);
    }

    /// A verify job ends: as its bytes deserve, or with a disk that does not take them.
    fn judge(&mut self, steps: &mut Steps<'_>) {
        let all: Vec<usize> = (0..self.jobs.len()).collect();
        let Some(at) = steps.pick(&all) else { return };
        let job = self.jobs.swap_remove(at);
        self.end_job(&job, steps.byte() > 240);
    }

    fn end_job(&mut self, job: &VerifyJob, fails: bool) {
        let hashes = || {
            job.data.chunks(BLOCK_LEN as usize).map(|b| InfoHashes::v1_of(b).v1.expect("it is v1")).collect()
        };
        let is_good = *job.data == *CONTENT.piece(job.piece);
        let outcome = match (is_good, fails) {
            (false, _) => VerifyOutcome::Bad { block_hashes: hashes() },
            (true, true) => VerifyOutcome::WriteFailed { error: "the disk is full".to_owned() },
            (true, false) => VerifyOutcome::Good {
                block_hashes: if job.wants_block_hashes { hashes() } else { Vec::new() },
            },
        };
        self.model.verified(job.piece, is_good && !fails);
        let (torrent, piece) = (job.torrent, job.piece);
        let done = vec![Verified { torrent, piece, outcome, data: Box::default() }];
        self.handle(Input::Verified { done });
    }

    /// Somebody tells of peers.
    fn found(&mut self, steps: &mut Steps<'_>) {
        let sources =
            [PeerSource::User, PeerSource::Tracker, PeerSource::Dht, PeerSource::Lsd, PeerSource::Magnet];
        let source = sources[steps.below(5)];
        let peers: Vec<_> = (0..1 + steps.below(4)).map(|_| steps.address()).collect();
        let torrent = self.torrent;
        self.handle(Input::PeersFound { torrent, source, peers: &peers });
    }

    /// The owner wants something else.
    fn owner(&mut self, steps: &mut Steps<'_>) {
        let torrent = self.torrent;
        let command = match steps.byte() % 16 {
            0 => Command::Pause(torrent),
            1..=4 => Command::Resume(torrent),
            5 | 6 => {
                let bits = steps.byte();
                let mut wanted = Bitfield::none(PIECES);
                (0..PIECES).filter(|p| bits & (1 << p) != 0).for_each(|p| _ = wanted.set(PieceIndex(p)));
                if self.model.is_loaded() {
                    self.model.wanted = wanted.clone();
                }
                Command::SetWanted { torrent, wanted }
            }
            7 => Command::SetLimits { download: Some(u64::from(steps.byte()) << 10), upload: Some(1 << 14) },
            8 | 9 => Command::SetLimits { download: None, upload: None },
            10 | 11 => Command::SavePartials(torrent),
            12 => Command::Announce(torrent),
            13 => Command::Scrape(torrent),
            14 if steps.byte() > 250 => Command::Remove(torrent),
            _ => return,
        };
        self.command(command);
    }

    /// A tracker answers, or its name is found.
    fn tracker(&mut self, steps: &mut Steps<'_>) {
        let (choice, ip) = (steps.byte(), steps.address());
        if let (true, Some(request)) = (choice & 1 == 1, steps.pick(&self.names)) {
            self.names.retain(|r| *r != request);
            self.handle(Input::Resolved { request, addresses: Ok(&[ip.ip()]) });
        } else if let Some(request) = steps.pick(&self.http) {
            self.http.retain(|r| *r != request);
            let made = [b"d8:intervali60e5:peers6:", &[80, 0, 1, choice, 26, 225][..], b"e"].concat();
            let body = if choice < 200 { &made[..] } else { steps.bytes() };
            let reply = Ok(HttpReply { status: 200, body, remote: Some(IpAddr::from([80, 0, 9, 1])) });
            self.handle(Input::HttpDone {
                request,
                reply: if choice == 255 { Err("gone".to_owned()) } else { reply },
            });
        }
    }

    /// A peer stops reading, or goes on.
    fn stall(&mut self, steps: &mut Steps<'_>) {
        let Some(conn) = steps.pick(&self.at_stage(Stage::Open)) else { return };
        let peer = self.peer(conn);
        peer.is_stalled = !peer.is_stalled;
        self.handle(Input::Timeout);
    }

    /// The shell brings what the engine waits for.
    fn wake(&mut self) {
        if self.is_waking {
            self.is_waking = false;
            let (torrent, metainfo) = (self.torrent, Box::new(CONTENT.metainfo.clone()));
            self.command(Command::Wake { torrent, metainfo });
            self.open_storage();
        } else if self.wants_storage {
            self.open_storage();
        }
    }

    /// What seldom happens.
    fn odd(&mut self, steps: &mut Steps<'_>) {
        let torrent = self.torrent;
        match steps.byte() % 8 {
            0..=2 => self.handle(Input::Datagram { from: steps.address(), bytes: steps.bytes() }),
            3 | 4 => self.handle(Input::OwnAddress { ip: steps.address().ip() }),
            5 => {
                let block =
                    BlockRef { piece: PieceIndex(u32::from(steps.byte()) % PIECES), begin: 0, len: 100 };
                self.handle(Input::ReadFailed { torrent, block, error: "the disk is gone".to_owned() });
            }
            _ => self.handle(Input::Timeout),
        }
    }

    /// All ends: jobs, peers, the torrent. Nothing is left of it.
    pub fn end(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            self.end_job(&job, false);
        }
        while let Some(conn) = self.peers.first().map(|p| p.conn) {
            self.peers.swap_remove(0);
            self.gone(conn);
            self.handle(Input::Closed { conn, reason: REMOTE });
        }
        assert!(self.engine.peers(self.torrent).is_empty());
        self.command(Command::Stop);
        for job in std::mem::take(&mut self.jobs) {
            self.end_job(&job, false);
        }
        for request in std::mem::take(&mut self.http) {
            self.handle(Input::HttpDone { request, reply: Err("gone".to_owned()) });
        }
        self.wait(Duration::from_secs(120));
        assert!(self.is_removed && self.engine.is_stopped(), "it is not forgotten");
        assert!(self.peers.is_empty() && self.tickets.is_empty(), "somebody is left");
        // a limit of rate may have left a last deadline
        if let Some(at) = self.engine.next_timeout() {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        assert_eq!(self.engine.next_timeout(), None, "there is nothing left to wait for");
        assert_eq!(self.engine.torrents().count(), 0);
    }
}
