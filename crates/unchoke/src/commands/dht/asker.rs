//! The session of a `dht` command: how it enters the network, how long it waits, and what it hears.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use crossbeam_channel::Receiver;
use unchoke_runtime::dht::{Command, Event};
use unchoke_runtime::{DhtView, HubEvent, Role, Session, SessionConfig, SessionEvent};
use unchoke_wire::HostPort;

use crate::args::{DhtNetArgs, LookupArgs};
use crate::commands::{session, signals};
use crate::output::lookup::Teller;
use crate::state;

/// The user ended the command.
#[derive(Debug)]
pub(super) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A node of ours tells this.
    Event {
        /// Whether it is the IPv6 node.
        is_v6: bool,
        /// What it tells.
        event: Event,
    },
    /// A datagram passed; only when it was asked for.
    Datagram { remote: SocketAddr, is_sent: bool, bytes: Vec<u8> },
    /// There was time to look at other things.
    Tick,
    /// The time is up.
    TimedOut,
}

/// What the session of a command is like.
pub(super) struct Setup<'a> {
    /// The options.
    pub(super) net: &'a DhtNetArgs,
    /// What it takes part in.
    pub(super) role: Role,
    /// Nodes to begin with beside those the user named.
    pub(super) nodes: Vec<HostPort>,
    /// Endpoints that the command asks itself. If there are any, nobody else is known to begin with, and every datagram
    /// is heard.
    pub(super) asks: Vec<SocketAddr>,
    /// Whether it listens on a usual port rather than on any.
    pub(super) has_usual_port: bool,
    /// File that keeps what it knows between runs.
    pub(super) dht_file: Option<PathBuf>,
    /// How long it may take; `None` is for ever.
    pub(super) timeout: Option<Duration>,
    /// Whether every step is told.
    pub(super) steps: bool,
}

impl<'a> Setup<'a> {
    /// A session that asks, for a lookup.
    pub(super) fn lookup(args: &'a LookupArgs) -> Self {
        Setup {
            net: &args.net,
            role: Role::DhtVisitor,
            nodes: Vec::new(),
            asks: Vec::new(),
            has_usual_port: false,
            dht_file: state::dht_nodes().filter(|_| args.net.nodes.is_empty()),
            timeout: Some(args.timeout),
            steps: args.trace,
        }
    }

    /// A session that stays and answers when it is kept.
    pub(super) fn store(args: &'a LookupArgs, is_kept: bool) -> Self {
        let setup = Setup::lookup(args);
        // the file belongs to the client of this user, who may be running
        match is_kept {
            true => Setup { role: Role::DhtNode, dht_file: None, ..setup },
            false => setup,
        }
    }
}

/// The session of a command.
pub(super) struct Asker {
    session: Session,
    events: Receiver<SessionEvent>,
    teller: Teller,
    stop: Arc<AtomicBool>,
    started: Instant,
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    /// Whom it begins with, for the user.
    begins_with: String,
    /// Families whose node knows others: IPv6 is `true`.
    ready: BTreeSet<bool>,
    families: usize,
}

impl Asker {
    /// Starts it. From here on Ctrl-C ends the command in order.
    ///
    /// # Errors
    /// One line: a node's name that has no address, a port that is taken, a family that is not there.
    pub(super) fn start(setup: Setup<'_>) -> Result<Self> {
        let Setup { net, nodes, asks, has_usual_port, dht_file, timeout, .. } = setup;
        let named = resolve(&net.nodes)?;
        let is_direct = !asks.is_empty();
        let families = families(net, if is_direct { &asks } else { &named })?;
        let default = SessionConfig::default();
        let routers = if named.is_empty() && !is_direct { default.dht_routers.clone() } else { Vec::new() };
        let has_saved = dht_file.as_ref().is_some_and(|f| f.exists());
        let begins_with = begins_with(&net.nodes, &nodes, &routers, has_saved);
        let named = named.iter().map(|addr| HostPort::new(&addr.ip().to_string(), addr.port()));
        let named = named.collect::<Result<Vec<_>, _>>().context("cannot use the nodes")?;
        let config = SessionConfig {
            role: setup.role,
            dht_nodes: named.into_iter().chain(nodes).collect(),
            dht_routers: routers,
            dht_file,
            dht_steps: true,
            shards: Some(1),
            workers: 0,
            trace: is_direct,
            ..default
        };
        let stop = signals::catch()?;
        let session = match &net.listen[..] {
            [] if has_usual_port => session::listen(&[], |port| addresses(&families, port), config)?,
            [] => Session::start(SessionConfig { listen: addresses(&families, 0), ..config })?,
            listen => session::listen(listen, session::everywhere, config)?,
        };
        let started = Instant::now();
        Ok(Asker {
            events: session.events(),
            session,
            teller: Teller::new(net.json, net.quiet, setup.steps),
            stop,
            started,
            deadline: timeout.map(|t| started + t),
            timeout,
            begins_with,
            ready: BTreeSet::new(),
            families: families.len(),
        })
    }

    /// Waits until nodes are known to ask: of all families, or a little longer than for the first.
    ///
    /// # Errors
    /// [`Interrupted`], or one line when nobody answered.
    pub(super) fn join(&mut self) -> Result<()> {
        let mut grace = None;
        while self.ready.len() < self.families && grace.is_none_or(|until| Instant::now() < until) {
            if matches!(self.hear()?, Heard::TimedOut) {
                break;
            }
            if !self.ready.is_empty() {
                grace.get_or_insert_with(|| Instant::now() + GRACE);
            }
        }
        if self.ready.is_empty() {
            let waited = self.timeout.map(|t| format!(" within {} s", t.as_secs())).unwrap_or_default();
            bail!(
                "no DHT node answered{waited}: asked {}; check the connection, or name a node with --node HOST:PORT",
                self.begins_with
            );
        }
        Ok(())
    }

    /// Asks the nodes of all families.
    pub(super) fn ask(&self, command: Command) {
        self.session.dht(command);
    }

    /// The families whose nodes can be asked: IPv6 is `true`.
    pub(super) fn ready(&self) -> &BTreeSet<bool> {
        &self.ready
    }

    /// Waits for the next thing.
    ///
    /// # Errors
    /// [`Interrupted`], or when a step cannot be told.
    pub(super) fn hear(&mut self) -> Result<Heard> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            return Ok(Heard::TimedOut);
        }
        let wait = self.deadline.map_or(TICK, |at| TICK.min(at - now));
        Ok(match self.events.recv_timeout(wait) {
            Ok(SessionEvent::Dht(HubEvent::DhtReady { is_v6, .. })) => {
                self.ready.insert(is_v6);
                Heard::Tick
            }
            Ok(SessionEvent::Dht(HubEvent::Dht { event: Event::Step { target, node, step }, .. })) => {
                self.teller.step(&target, &node, step)?;
                Heard::Tick
            }
            Ok(SessionEvent::Dht(HubEvent::Dht { is_v6, event })) => Heard::Event { is_v6, event },
            Ok(SessionEvent::Datagram { remote, is_sent, bytes }) => {
                Heard::Datagram { remote, is_sent, bytes }
            }
            Ok(_) | Err(_) => Heard::Tick,
        })
    }

    /// Waits no longer than this from now on.
    pub(super) fn hurry(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
    }

    /// Waits so long from now on, or for ever.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.map(|t| Instant::now() + t);
    }

    /// The way to the user.
    pub(super) fn tell(&mut self) -> &mut Teller {
        &mut self.teller
    }

    /// Since when it runs.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The nodes of the session.
    pub(super) fn views(&self) -> Vec<DhtView> {
        self.session.dht_views()
    }

    /// Where it sends from.
    pub(super) fn local_addrs(&self) -> &[SocketAddr] {
        self.session.local_addrs()
    }
}

/// What all families were asked and have not answered.
pub(super) struct Open<K>(BTreeSet<(bool, K)>);

impl<K: Ord + Clone> Open<K> {
    /// Each of `keys`, asked in each of `families`.
    pub(super) fn new(families: &BTreeSet<bool>, keys: impl IntoIterator<Item = K> + Clone) -> Self {
        Open(families.iter().flat_map(|f| keys.clone().into_iter().map(|k| (*f, k))).collect())
    }

    /// One was answered.
    pub(super) fn close(&mut self, is_v6: bool, key: K) {
        self.0.remove(&(is_v6, key));
    }

    /// Whether one of these was not.
    pub(super) fn any(&self, is_one: impl Fn(&K) -> bool) -> bool {
        self.0.iter().any(|(_, key)| is_one(key))
    }

    /// Whether all were.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The addresses of the nodes that the user named.
///
/// # Errors
/// One line for a name that has none.
pub(super) fn resolve(hosts: &[HostPort]) -> Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for host in hosts {
        match (host.host(), host.port()).to_socket_addrs() {
            Ok(addrs) => found.extend(addrs.map(|a| SocketAddr::new(a.ip().to_canonical(), a.port()))),
            Err(_) => bail!("no address is known for {host}; check the name and the connection"),
        }
    }
    Ok(found)
}

/// The families to use: those the user wants, has named nodes of, and the machine has a way out in.
///
/// # Errors
/// One line when there is none.
pub(super) fn families(net: &DhtNetArgs, named: &[SocketAddr]) -> Result<Vec<bool>> {
    let is_wanted = |is_v6: bool| if is_v6 { !net.ipv4 } else { !net.ipv6 };
    let is_bound = |is_v6: bool| net.listen.is_empty() || net.listen.iter().any(|a| a.is_ipv6() == is_v6);
    let is_of_use = |is_v6: bool| match named {
        [] => has_route(is_v6),
        named => named.iter().any(|a| a.is_ipv6() == is_v6),
    };
    let wanted: Vec<bool> = [false, true].into_iter().filter(|f| is_wanted(*f) && is_bound(*f)).collect();
    let families: Vec<bool> = wanted.iter().copied().filter(|f| is_of_use(*f)).collect();
    match (&families[..], named) {
        ([], []) if !wanted.is_empty() => Ok(wanted),
        ([], _) => Err(anyhow!(
            "the nodes named, --listen, -4 and -6 leave no address family to ask in; leave out one of them"
        )),
        _ => Ok(families),
    }
}

/// Whether the machine would know where to send a datagram to the internet. Nothing is sent.
fn has_route(is_v6: bool) -> bool {
    let (from, to): (SocketAddr, SocketAddr) = match is_v6 {
        false => ((Ipv4Addr::UNSPECIFIED, 0).into(), (DOCUMENTATION_V4, 9).into()),
        true => ((Ipv6Addr::UNSPECIFIED, 0).into(), (DOCUMENTATION_V6, 9).into()),
    };
    UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok()
}

/// Every address of these families.
pub(super) fn addresses(families: &[bool], port: u16) -> Vec<SocketAddr> {
    session::everywhere(port).into_iter().filter(|a| families.contains(&a.is_ipv6())).collect()
}

/// Whom a command asks first, in words.
fn begins_with(named: &[HostPort], known: &[HostPort], routers: &[HostPort], has_saved: bool) -> String {
    let mut names: Vec<String> = named.iter().chain(known).chain(routers).map(ToString::to_string).collect();
    if has_saved {
        names.push("the nodes of earlier runs".to_owned());
    }
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// Longest wait for Ctrl-C to be noticed.
const TICK: Duration = Duration::from_millis(100);
/// How much longer than the first family the other one may take to find nodes.
const GRACE: Duration = Duration::from_secs(1);
/// Addresses that nobody has, to ask for the way to.
const DOCUMENTATION_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DOCUMENTATION_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
