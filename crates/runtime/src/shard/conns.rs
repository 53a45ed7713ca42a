//! The connections of a shard: dialled, read, written, closed.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Token};
use unchoke_engine::input::ClosedBy;
use unchoke_engine::output::SendPlan;
use unchoke_engine::{ConnId, Ticket};
use unchoke_wire::time::Instant;

use super::{Io, Pending};
use crate::sys;
use crate::upload::{Progress, Upload};
use crate::workers::{ReadResult, ReadTask};

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    stream: TcpStream,
    token: Token,
    /// When the dial is given up; `None` once connected.
    dial_until: Option<Instant>,
    /// Whether the socket took all it was given lately.
    is_writable: bool,
    /// Whether it waits in the read queue.
    is_queued: bool,
    /// Whether `SendReady` is due as soon as it can be written.
    wants_send: bool,
    /// The plan being written.
    upload: Option<Upload>,
}

/// What a read gave.
#[derive(Debug)]
pub(super) enum Read {
    Bytes(usize),
    /// Nothing for the moment, or ever again.
    Nothing,
}

impl Io {
    /// Dials.
    pub(super) fn connect(&mut self, conn: ConnId, addr: SocketAddr, until: Instant) {
        let Ok(stream) = TcpStream::connect(addr) else {
            self.pending.push_back(Pending::Closed(conn, ClosedBy::DialFailed));
            return;
        };
        self.dials.insert((until, conn));
        self.insert(conn, stream, Some(until));
    }

    /// Gives the accepted connection its name.
    pub(super) fn adopt(&mut self, ticket: Ticket, conn: ConnId) {
        match self.tickets.remove(&ticket) {
            Some((stream, _)) => self.insert(conn, stream, None),
            None => self.pending.push_back(Pending::Closed(conn, ClosedBy::Remote)),
        }
    }

    fn insert(&mut self, conn: ConnId, mut stream: TcpStream, dial_until: Option<Instant>) {
        let token = self.next_token();
        // a connection that dies right away is seen by its first read or write
        let _ = stream.set_nodelay(true);
        let _ = sys::notice_silence(&stream);
        let is_accepted = dial_until.is_none();
        let registered = self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE);
        if registered.is_err() {
            self.dials.retain(|(_, c)| *c != conn);
            let reason = if is_accepted { ClosedBy::Remote } else { ClosedBy::DialFailed };
            self.pending.push_back(Pending::Closed(conn, reason));
            return;
        }
        self.tokens.insert(token, conn);
        let (is_writable, is_queued, wants_send, upload) = (is_accepted, false, false, None);
        self.conns
            .insert(conn, Conn { stream, token, dial_until, is_writable, is_queued, wants_send, upload });
    }

    /// Takes a readiness event.
    pub(crate) fn ready(&mut self, event: &Event) {
        let Some(conn) = self.tokens.get(&event.token()).copied() else { return };
        if self.conns.get(conn).is_some_and(|c| c.dial_until.is_some()) && !self.dialled(conn, event) {
            return;
        }
        if event.is_writable() {
            self.writable(conn);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read_later(conn);
        }
    }

    /// Looks how a dial went; `true` when it is connected.
    fn dialled(&mut self, conn: ConnId, event: &Event) -> bool {
        let Some(c) = self.conns.get_mut(conn) else { return false };
        let failed = event.is_error() || matches!(c.stream.take_error(), Ok(Some(_)) | Err(_));
        if !failed {
            match c.stream.peer_addr() {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotConnected => return false,
                Err(_) => return self.lost(conn, ClosedBy::DialFailed),
            }
            if let Some(at) = c.dial_until.take() {
                self.dials.remove(&(at, conn));
            }
            self.pending.push_back(Pending::Connected(conn));
            return true;
        }
        self.lost(conn, ClosedBy::DialFailed)
    }

    /// Gives up dials that took too long.
    pub(super) fn expire_dials(&mut self, now: Instant) {
        while let Some((_, conn)) = self.dials.first().copied().filter(|(at, _)| *at <= now) {
            self.lost(conn, ClosedBy::DialFailed);
        }
    }

    /// Forgets a connection and tells the engine. Always `false`, for callers that answer whether it lives.
    fn lost(&mut self, conn: ConnId, reason: ClosedBy) -> bool {
        self.close(conn);
        self.pending.push_back(Pending::Closed(conn, reason));
        false
    }

    /// Gives up connections from addresses that this machine has no more: nothing comes back to them.
    pub(super) fn drop_stranded(&mut self, present: &[IpAddr]) {
        let is_stranded = |c: &Conn| {
            let local = c.stream.local_addr().map(|a| a.ip().to_canonical());
            local.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified() && !present.contains(&ip))
        };
        let stranded: Vec<ConnId> =
            self.conns.iter().filter(|(_, c)| is_stranded(c)).map(|(conn, _)| conn).collect();
        for conn in stranded {
            self.lost(conn, ClosedBy::Remote);
        }
    }

    /// How long sent bytes may go without an acknowledgement from now on.
    pub(super) fn be_patient(&self, conn: ConnId, within: Option<Duration>) {
        if let Some(c) = self.conns.get(conn) {
            // a connection that dies right away is seen by its first read or write
            let _ = sys::set_patience(&c.stream, within);
        }
    }

    /// Forgets a connection; its socket closes.
    pub(super) fn close(&mut self, conn: ConnId) {
        let Some(mut c) = self.conns.remove(conn) else { return };
        self.tokens.remove(&c.token);
        if let Some(at) = c.dial_until {
            self.dials.remove(&(at, conn));
        }
        let _ = self.registry.deregister(&mut c.stream);
    }

    /// Puts a connection into the read queue, once.
    pub(super) fn read_later(&mut self, conn: ConnId) {
        if let Some(c) = self.conns.get_mut(conn)
            && !std::mem::replace(&mut c.is_queued, true)
        {
            self.readable.push_back(conn);
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, conn: ConnId, scratch: &mut [u8]) -> Read {
        let Some(c) = self.conns.get_mut(conn) else { return Read::Nothing };
        c.is_queued = false;
        loop {
            match c.stream.read(scratch) {
                Ok(0) => break,
                Ok(len) => return Read::Bytes(len),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Read::Nothing,
                Err(_) => break,
            }
        }
        self.lost(conn, ClosedBy::Remote);
        Read::Nothing
    }

    /// The engine has something to send.
    pub(super) fn want_send(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if !std::mem::replace(&mut c.wants_send, true) && c.is_writable && c.upload.is_none() {
            self.pending.push_back(Pending::SendReady(conn));
        }
    }

    /// Whether `SendReady` may be told now.
    pub(super) fn begin_send(&mut self, conn: ConnId) -> bool {
        let Some(c) = self.conns.get_mut(conn) else { return false };
        let may = c.wants_send && c.is_writable && c.upload.is_none();
        c.wants_send &= !may;
        may
    }

    /// Begins to write a plan.
    pub(super) fn send(&mut self, conn: ConnId, plan: SendPlan) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        assert!(c.upload.is_none(), "the engine waits for SendReady before the next plan");
        let torrent = plan.torrent;
        let place = self.storages.get(torrent);
        let storage = place.map(|p| &*p.storage);
        let mut upload = Upload::new(plan, storage, self.buffers.pop().unwrap_or_default());
        let cold = upload.take_cold();
        c.upload = Some(upload);
        match (cold, place) {
            (None, _) => {}
            (Some(cold), Some(place)) => {
                let task = ReadTask { conn, cold, place: place.clone(), reply: self.links.own.clone() };
                match &self.links.workers {
                    Some(workers) => workers.read(task),
                    None => task.run(),
                }
            }
            (Some(cold), None) => {
                let block = cold.blocks[0];
                self.read_failed(conn, torrent, block, "the torrent has no storage".to_owned());
                return;
            }
        }
        self.write(conn);
    }

    /// The cold blocks of a plan came.
    pub(super) fn blocks_read(&mut self, conn: ConnId, result: ReadResult) {
        let Some(upload) = self.conns.get_mut(conn).and_then(|c| c.upload.as_mut()) else { return };
        match result {
            Ok(body) => {
                upload.fill(body);
                self.write(conn);
            }
            Err((block, error)) => {
                let torrent = upload.torrent();
                self.read_failed(conn, torrent, block, error);
            }
        }
    }

    fn read_failed(
        &mut self,
        conn: ConnId,
        torrent: unchoke_engine::TorrentId,
        block: unchoke_wire::BlockRef,
        error: String,
    ) {
        self.pending.push_back(Pending::ReadFailed(torrent, block, error));
        self.lost(conn, ClosedBy::Remote);
    }

    fn writable(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if std::mem::replace(&mut c.is_writable, true) {
            return;
        }
        if c.upload.is_some() {
            self.write(conn);
        } else if c.wants_send {
            self.pending.push_back(Pending::SendReady(conn));
        }
    }

    /// Goes on with the plan of a connection.
    fn write(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        let Some(upload) = c.upload.as_mut().filter(|_| c.is_writable) else { return };
        let (progress, bytes) = upload.write(&mut c.stream);
        if bytes > 0 {
            self.pending.push_back(Pending::Sent(conn, bytes));
        }
        let spare = upload.release();
        match progress {
            Progress::Done => {
                (c.upload, c.wants_send) = (None, true);
                self.pending.push_back(Pending::SendReady(conn));
            }
            Progress::Full => c.is_writable = false,
            Progress::Waiting => {}
            Progress::Broken => {
                self.lost(conn, ClosedBy::Remote);
            }
        }
        // the one used last is the one that is still in the cache
        if let Some(buffer) = spare.filter(|_| self.buffers.len() < SPARE_BUFFERS_MAX) {
            self.buffers.push(buffer);
        }
    }
}

/// Buffers for the blocks of plans that are kept while nobody uses them.
const SPARE_BUFFERS_MAX: usize = 4;
