//! The thread that accepts connections and reads datagrams for the whole session, and runs the DHT.
//!
//! An accepted connection stays here until its handshake has named a torrent; then it moves to the torrent's shard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use unchoke_dht::{Family, Node};
use unchoke_engine::hub::{DhtState, Hub, HubEvent, HubInput, HubOutput};
use unchoke_engine::id::RequestId;
use unchoke_engine::output::HubCommand;
use unchoke_engine::{ShardId, Ticket};
use unchoke_wire::limits::LSD_LEN_MAX;
use unchoke_wire::time::Instant;

use crate::addresses::{AddressWatch, Changed};
use crate::clock::Clock;
use crate::dht_file;
use crate::dht_view::{self, DhtView, Traffic};
use crate::event::{EventSink, SessionEvent};
use crate::http::Reply;
use crate::listen::Datagrams;
use crate::lsd::LocalSockets;
use crate::mailbox::{Inbox, Mailbox};
use crate::names::Addresses;
use crate::resolver::{Asker, Resolver};
use crate::shard::ShardMessage;
use crate::sys::{self, Arrived, Outgoing};

/// The token of the waker.
pub(crate) const WAKER: Token = Token(0);
/// The first token of datagram sockets; listeners are below.
const UDP_TOKENS: usize = 1 << 8;
/// The first token of sockets for the local network.
const LSD_TOKENS: usize = 1 << 12;
/// The first token of accepted connections.
const CONN_TOKENS: usize = 1 << 16;
/// Announces of the local network read from one socket in one turn.
const LSD_DATAGRAMS_MAX: usize = 64;
/// Events taken from one poll.
const EVENTS_MAX: usize = 1024;
/// Connections accepted on one socket in one turn.
const ACCEPTS_MAX: usize = 64;
/// Batches of datagrams read from one socket in one turn: a flood of them leaves every turn its time for connections.
const BATCHES_MAX: usize = 4;
/// Refused datagrams told in one turn.
const REFUSED_MAX: usize = 256;
/// Bytes read of an accepted connection at once: a handshake and some.
const READ_LEN: usize = 1024;
/// How often what the DHT knows is saved.
const SAVE_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long accepting rests when not even refusing works.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What other threads tell the hub.
#[derive(Debug)]
pub(crate) enum HubMessage {
    /// An engine wants something.
    Engine { shard: ShardId, command: HubCommand },
    /// A name was resolved.
    Resolved { request: RequestId, addresses: Addresses },
    /// The owner asks the DHT.
    Dht(unchoke_dht::Command),
    /// The owner wants to see the DHT's nodes.
    DhtViews { reply: Sender<Vec<DhtView>> },
    /// Save the DHT's nodes and end.
    Stop,
}

/// What the hub's thread is made of.
#[derive(Debug)]
pub(crate) struct HubParts {
    pub(crate) hub: Hub,
    pub(crate) poll: Poll,
    pub(crate) inbox: Inbox<HubMessage>,
    pub(crate) own: Mailbox<HubMessage>,
    pub(crate) clock: Clock,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) datagrams: Arc<Datagrams>,
    pub(crate) local: LocalSockets,
    pub(crate) addresses: AddressWatch,
    pub(crate) shards: Vec<Mailbox<ShardMessage>>,
    pub(crate) resolver: Resolver,
    pub(crate) sink: Arc<EventSink>,
    pub(crate) dht_file: Option<PathBuf>,
    pub(crate) trace: bool,
}

/// The hub's thread.
#[derive(Debug)]
pub(crate) struct HubThread {
    parts: HubParts,
    /// Where datagrams are read from, and those to be sent by each.
    sockets: Vec<(std::net::UdpSocket, Vec<Outgoing>)>,
    arrived: Arrived,
    /// What is being answered, and the socket it came by.
    answering: Option<(SocketAddr, usize)>,
    /// Room for what the hub wants.
    outputs: Vec<HubOutput>,
    /// Accepted connections whose handshake is not in.
    conns: BTreeMap<Token, (TcpStream, SocketAddr)>,
    next_conn: usize,
    /// Sockets that may have something: listeners and datagram sockets, by token.
    ready: BTreeSet<Token>,
    /// Datagram sockets that have refusals to tell.
    refused: BTreeSet<Token>,
    /// A descriptor kept to be able to refuse connections when there are no others.
    reserve: Option<File>,
    /// When listeners that could not accept are looked at again.
    accept_at: Option<Instant>,
    /// What passed the sockets of IPv6, and of IPv4.
    traffic: [Traffic; 2],
    /// When what the DHT knows is saved next; never without a file for it.
    save_at: Option<Instant>,
    /// Who saves it, as this thread does not wait for the disk.
    saver: Option<JoinHandle<()>>,
}

impl HubThread {
    /// Registers all sockets.
    pub(crate) fn new(mut parts: HubParts) -> io::Result<Self> {
        let registry = parts.poll.registry().try_clone()?;
        for (n, listener) in parts.listeners.iter_mut().enumerate() {
            registry.register(listener, Token(WAKER.0 + 1 + n), Interest::READABLE)?;
        }
        let mut sockets = Vec::new();
        for (n, socket) in parts.datagrams.sockets().enumerate() {
            let socket = socket.try_clone()?;
            let mut source = SourceFd(&socket.as_raw_fd());
            registry.register(&mut source, Token(UDP_TOKENS + n), Interest::READABLE)?;
            sockets.push((socket, Vec::new()));
        }
        parts.local.register(&registry, LSD_TOKENS)?;
        let save_at = parts.dht_file.as_ref().map(|_| parts.clock.now() + SAVE_EVERY);
        Ok(HubThread {
            parts,
            sockets,
            arrived: Arrived::new(),
            answering: None,
            outputs: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: CONN_TOKENS,
            ready: BTreeSet::new(),
            refused: BTreeSet::new(),
            reserve: File::open("/dev/null").ok(),
            accept_at: None,
            traffic: [Traffic::default(); 2],
            save_at,
            saver: None,
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        // the first questions of the DHT are waiting to be sent
        self.input(HubInput::Timeout);
        self.send();
        loop {
            let timeout = match self.ready.is_empty() {
                true => {
                    let look_at = Some(self.parts.addresses.look_at());
                    let own = [self.accept_at, self.save_at, look_at].into_iter().flatten().min();
                    self.parts.clock.until(self.parts.hub.next_timeout(), own)
                }
                false => Some(Duration::ZERO),
            };
            if let Err(e) = self.parts.poll.poll(&mut events, timeout)
                && e.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(error = %e, "cannot poll");
                return;
            }
            for event in &events {
                let token = event.token();
                match token.0 {
                    CONN_TOKENS.. => self.read(token),
                    _ if token == WAKER => {}
                    _ => {
                        self.ready.insert(token);
                        if event.is_error() {
                            self.refused.insert(token);
                        }
                    }
                }
            }
            if !self.messages() {
                self.save();
                self.end_saving();
                return;
            }
            self.turn();
            self.send();
        }
    }

    fn turn(&mut self) {
        let now = self.parts.clock.now();
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            self.ready.extend((0..self.parts.listeners.len()).map(|n| Token(WAKER.0 + 1 + n)));
        }
        for token in std::mem::take(&mut self.ready) {
            let is_more = match token.0 {
                LSD_TOKENS.. => self.lsd_datagrams(token.0 - LSD_TOKENS),
                UDP_TOKENS.. => self.datagrams(token),
                _ => self.accept(token.0 - 1),
            };
            if is_more {
                self.ready.insert(token);
            }
        }
        if self.parts.hub.next_timeout().is_some_and(|at| at <= now) {
            self.input(HubInput::Timeout);
        }
        if let Some(Changed { own, present }) = self.parts.addresses.look(now) {
            tracing::info!(addresses = ?present, "the addresses of this machine changed");
            self.parts.local.join();
            for shard in &self.parts.shards {
                shard.send(ShardMessage::Addresses { own: own.clone(), present: present.clone() });
            }
        }
        if self.save_at.is_some_and(|at| at <= now) {
            self.save_at = Some(now + SAVE_EVERY);
            if self.saver.as_ref().is_none_or(JoinHandle::is_finished) {
                self.save();
            }
        }
    }

    /// Takes all messages; `false` once told to stop.
    fn messages(&mut self) -> bool {
        self.parts.inbox.begin();
        while let Some(message) = self.parts.inbox.take() {
            match message {
                HubMessage::Engine { shard, command } => self.input(HubInput::Engine { shard, command }),
                HubMessage::Resolved { request, addresses } => {
                    let addresses = addresses.as_deref().unwrap_or_default();
                    self.input(HubInput::Resolved { request, addresses });
                }
                HubMessage::Dht(command) => self.input(HubInput::Dht(command)),
                HubMessage::DhtViews { reply } => {
                    let traffic = |n: &Node| self.traffic[usize::from(n.family() == Family::V4)];
                    let views = self.parts.hub.dht_nodes().iter().map(|n| dht_view::view(n, traffic(n)));
                    // who asked may have stopped waiting
                    let _ = reply.send(views.collect());
                }
                HubMessage::Stop => return false,
            }
        }
        true
    }

    fn input(&mut self, input: HubInput<'_>) {
        self.input_at(input, self.parts.clock.now());
    }

    fn input_at(&mut self, input: HubInput<'_>, now: Instant) {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.extend(self.parts.hub.handle(input, now));
        outputs.drain(..).for_each(|output| self.apply(output));
        self.outputs = outputs;
    }

    fn apply(&mut self, output: HubOutput) {
        match output {
            HubOutput::Route { ticket, shard, torrent, received, since } => {
                let Some((mut stream, remote)) = self.conns.remove(&token_of(ticket)) else { return };
                let moved = self.parts.poll.registry().deregister(&mut stream);
                let message = ShardMessage::Accepted { ticket, torrent, stream, remote, received, since };
                if let (Ok(()), Some(shard)) = (moved, self.parts.shards.get(usize::from(shard.0))) {
                    // a shard that does not keep up takes no more connections
                    let _ = shard.offer(message);
                }
            }
            HubOutput::Drop { ticket } => self.drop_conn(token_of(ticket)),
            HubOutput::Datagram { to, bytes } => {
                self.note(to, true, &bytes);
                let asked = self.answering.filter(|(from, _)| *from == to).map(|(_, socket)| socket);
                let socket = asked.or_else(|| self.parts.datagrams.socket_for(to));
                if let Some((_, outgoing)) = socket.and_then(|at| self.sockets.get_mut(at)) {
                    outgoing.push((to, bytes));
                }
            }
            HubOutput::Resolve { request, host } => {
                self.parts.resolver.resolve(request, host, Box::new(self.parts.own.clone()));
            }
            HubOutput::Peers { shard, torrent, source, peers } => {
                if let Some(shard) = self.parts.shards.get(usize::from(shard.0)) {
                    let _ = shard.offer(ShardMessage::Peers { torrent, source, peers });
                }
            }
            HubOutput::LsdDatagram { family, bytes } => self.parts.local.send(family, &bytes),
            HubOutput::OwnAddress { ip } => {
                self.parts.shards.iter().for_each(|shard| shard.send(ShardMessage::OwnAddress { ip }));
            }
            HubOutput::TrackerDatagram { shard, from, bytes } => {
                if let Some(shard) = self.parts.shards.get(usize::from(shard.0)) {
                    let _ = shard.offer(ShardMessage::Datagram { from, bytes });
                }
            }
            HubOutput::Event(HubEvent::DhtState(state)) => self.write(state),
            HubOutput::Event(event) => self.parts.sink.emit(SessionEvent::Dht(event)),
        }
    }

    /// Accepts what waits; `true` if there may be more.
    fn accept(&mut self, listener: usize) -> bool {
        let mut has_accepted = false;
        for _ in 0..ACCEPTS_MAX {
            match self.parts.listeners[listener].accept() {
                Ok((stream, remote)) => {
                    has_accepted = true;
                    self.accepted(stream, remote);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) if is_out_of_files(&e) => return self.refuse_one(listener),
                // the connection died in the queue; the next one may be well
                Err(_) => {}
            }
        }
        if !has_accepted {
            self.rest();
        }
        has_accepted
    }

    /// Lets listeners be for a moment, as what keeps them from accepting does not go away by trying.
    fn rest(&mut self) {
        self.accept_at = Some(self.parts.clock.now() + ACCEPT_PAUSE);
    }

    /// Without descriptors a waiting connection cannot even be closed: the reserved one is spent on that. `false`
    /// when accepting has to rest.
    fn refuse_one(&mut self, listener: usize) -> bool {
        let has_room = self.reserve.take().is_some();
        let has_refused = has_room && self.parts.listeners[listener].accept().is_ok();
        self.reserve = File::open("/dev/null").ok();
        if !has_refused {
            self.rest();
        }
        has_refused
    }

    fn accepted(&mut self, mut stream: TcpStream, remote: SocketAddr) {
        let token = Token(self.next_conn);
        self.next_conn += 1;
        if self.parts.poll.registry().register(&mut stream, token, Interest::READABLE).is_err() {
            return;
        }
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        self.conns.insert(token, (stream, remote));
        self.input(HubInput::Accepted { ticket: ticket_of(token), remote });
        // a handshake that is here already does not wait, so that a crowd behind one address is not taken for a flood
        self.read(token);
    }

    /// Reads an accepted connection until it is silent, gone or moved on.
    fn read(&mut self, token: Token) {
        let mut buf = [0; READ_LEN];
        loop {
            let Some((stream, _)) = self.conns.get_mut(&token) else { return };
            match stream.read(&mut buf) {
                Ok(len) if len > 0 => {
                    self.input(HubInput::AcceptedBytes { ticket: ticket_of(token), bytes: &buf[..len] });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.drop_conn(token);
                    self.input(HubInput::AcceptedClosed { ticket: ticket_of(token) });
                    return;
                }
            }
        }
    }

    fn drop_conn(&mut self, token: Token) {
        if let Some((mut stream, _)) = self.conns.remove(&token) {
            let _ = self.parts.poll.registry().deregister(&mut stream);
        }
    }

    /// Reads datagrams and answers them, a batch at a time; `true` if there may be more.
    fn datagrams(&mut self, token: Token) -> bool {
        let socket = token.0 - UDP_TOKENS;
        let mut arrived = std::mem::take(&mut self.arrived);
        let mut is_more = true;
        for _ in 0..BATCHES_MAX {
            match arrived.receive(&self.sockets[socket].0) {
                Ok(()) => self.arrived(socket, &arrived),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    is_more = false;
                    break;
                }
                // a refusal told in place of a datagram
                Err(_) => {
                    self.refused.insert(token);
                }
            }
        }
        self.arrived = arrived;
        if self.refused.remove(&token) {
            for to in refused_by(&self.sockets[socket].0) {
                self.input(HubInput::Unreachable { to });
            }
        }
        is_more
    }

    /// Reads announces of the local network; `true` if there may be more.
    fn lsd_datagrams(&mut self, socket: usize) -> bool {
        let mut buf = [0; LSD_LEN_MAX + 1];
        for _ in 0..LSD_DATAGRAMS_MAX {
            match self.parts.local.receive(socket, &mut buf) {
                Ok((len, from, is_on_link)) => {
                    self.input(HubInput::LsdDatagram { from, is_on_link, bytes: &buf[..len] });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {}
            }
        }
        true
    }

    fn arrived(&mut self, socket: usize, arrived: &Arrived) {
        let now = self.parts.clock.now();
        for (from, bytes) in arrived.iter() {
            self.note(from, false, bytes);
            self.answering = Some((from, socket));
            self.input_at(HubInput::Datagram { from, bytes }, now);
        }
        self.answering = None;
        self.send();
    }

    /// Sends what waits to be sent.
    fn send(&mut self) {
        for (at, (_, outgoing)) in self.sockets.iter_mut().enumerate() {
            if !outgoing.is_empty() {
                self.parts.datagrams.send_all(at, outgoing);
                outgoing.clear();
            }
        }
    }

    /// Counts a datagram, and tells it when it is to be told.
    fn note(&mut self, remote: SocketAddr, is_sent: bool, bytes: &[u8]) {
        self.traffic[usize::from(remote.is_ipv4())].count(is_sent, bytes.len());
        if self.parts.trace {
            self.parts.sink.emit(SessionEvent::Datagram { remote, is_sent, bytes: bytes.to_vec() });
        }
    }

    fn save(&mut self) {
        if self.parts.dht_file.is_some() {
            self.input(HubInput::SaveDht);
        }
    }

    fn write(&mut self, state: DhtState) {
        self.end_saving();
        let Some(path) = self.parts.dht_file.clone() else { return };
        let write = move || {
            if let Err(e) = dht_file::save(&path, &state) {
                tracing::warn!(error = %e, "cannot save what the DHT knows");
            }
        };
        match std::thread::Builder::new().name("dht-file".to_owned()).spawn(write) {
            Ok(saver) => self.saver = Some(saver),
            Err(e) => tracing::warn!(error = %e, "cannot save what the DHT knows"),
        }
    }

    /// Waits until what is being saved is saved.
    fn end_saving(&mut self) {
        if let Some(Err(_)) = self.saver.take().map(JoinHandle::join) {
            tracing::error!("the thread that saves the DHT panicked");
        }
    }
}

impl Asker for Mailbox<HubMessage> {
    fn http_done(&self, _: RequestId, _: Reply) {
        unreachable!("the hub makes no HTTP requests");
    }

    fn resolved(&self, request: RequestId, addresses: Addresses) {
        self.send(HubMessage::Resolved { request, addresses });
    }
}

/// Addresses whose datagrams were refused, a bounded number of them.
fn refused_by(socket: &std::net::UdpSocket) -> Vec<SocketAddr> {
    std::iter::from_fn(|| sys::take_unreachable(socket)).take(REFUSED_MAX).collect()
}

fn ticket_of(token: Token) -> Ticket {
    Ticket(u64::try_from(token.0).expect("a usize fits 64 bits"))
}

fn token_of(ticket: Ticket) -> Token {
    Token(usize::try_from(ticket.0).expect("made from a usize"))
}

fn is_out_of_files(e: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}
