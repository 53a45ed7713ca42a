//! `unchoke dht ping`: who is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use unchoke_runtime::Role;
use unchoke_runtime::dht::{self, Command, Event, NodeId};
use unchoke_wire::HostPort;
use unchoke_wire::krpc::{Kind, Message};

use super::asker::{Asker, Heard, Setup, families, resolve};
use super::value;
use crate::args::PingArgs;
use crate::units;

pub(super) fn run(args: &PingArgs) -> Result<ExitCode> {
    let names = addresses(args)?;
    let mut asker = Asker::start(Setup {
        net: &args.net,
        role: Role::DhtVisitor,
        nodes: Vec::new(),
        asks: names.keys().copied().collect(),
        has_usual_port: false,
        dht_file: None,
        timeout: Some(args.timeout),
        steps: false,
    })?;
    let mut open: Vec<SocketAddr> = names.keys().copied().collect();
    open.iter().for_each(|addr| asker.ask(Command::Ping(*addr)));
    // the answer itself passes before what the node makes of it
    let mut versions = BTreeMap::new();
    let mut answered = 0_usize;
    while !open.is_empty() {
        let (addr, pong) = match asker.hear()? {
            Heard::Datagram { remote, is_sent: false, bytes } => {
                versions.extend(version(&bytes).map(|version| (remote, version)));
                continue;
            }
            Heard::Event { event: Event::Pong { from, id, rtt }, .. } => (from, Some((id, rtt))),
            Heard::Event { event: Event::NoPong { to }, .. } => (to, None),
            Heard::TimedOut => break,
            _ => continue,
        };
        let Some(at) = open.iter().position(|o| *o == addr) else { continue };
        open.swap_remove(at);
        answered += usize::from(pong.is_some());
        let client = versions.get(&addr).map(|v| value::client(v));
        tell(&mut asker, addr, names[&addr], pong, client)?;
    }
    for addr in open {
        tell(&mut asker, addr, names[&addr], None, None)?;
    }
    let asked = names.len();
    asker.tell().event("done", json!({"asked": asked, "answered": answered}))?;
    asker.tell().say(format_args!("{answered} of {} answered", units::count(asked, "node")));
    Ok(if answered > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The addresses to ask, each with what the user called it.
fn addresses(args: &PingArgs) -> Result<BTreeMap<SocketAddr, &HostPort>> {
    let families = families(&args.net, &resolve(&args.hosts)?)?;
    let mut names = BTreeMap::new();
    for host in &args.hosts {
        let addrs = resolve(std::slice::from_ref(host))?;
        names.extend(addrs.into_iter().filter(|a| families.contains(&a.is_ipv6())).map(|a| (a, host)));
    }
    Ok(names)
}

fn tell(
    asker: &mut Asker,
    addr: SocketAddr,
    host: &HostPort,
    pong: Option<(NodeId, Duration)>,
    client: Option<String>,
) -> Result<()> {
    let name = match host.ip() {
        Some(_) => addr.to_string(),
        None => format!("{addr} ({})", host.host()),
    };
    let Some((id, rtt)) = pong else {
        let fields = || json!({"node": addr.to_string(), "host": host.to_string()});
        return asker.tell().result(format_args!("{name}  no answer"), "no_pong", fields);
    };
    let ms = rtt.as_secs_f64() * 1000.0;
    let who = client.as_deref().unwrap_or("client unknown");
    let is_compliant = dht::is_compliant(&id, addr.ip());
    let fits = if is_compliant { "" } else { "  its id does not fit its address (BEP 42)" };
    asker.tell().result(format_args!("{name}  {id}  {ms:.1} ms  {who}{fits}"), "pong", || {
        json!({
            "node": addr.to_string(),
            "host": host.to_string(),
            "id": id.to_string(),
            "rtt": rtt.as_secs_f64(),
            "client": client,
            "bep42": is_compliant,
        })
    })
}

/// The client's version in an answer (BEP 5).
fn version(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = Message::decode(bytes).ok()?;
    let version = message.version.filter(|_| matches!(message.kind, Kind::Response(_)));
    version.map(|v| v.to_vec())
}
