//! Transmission finds us and is found by us through a DHT of our nodes, with nothing but a magnet.
//!
//! It drops every node of 127/8, so all is in namespaces; it cannot be asked for a lookup, so torrents are; and it
//! announces only when it knows more than eight nodes, and some twenty seconds after it starts.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::case::Case;
use crate::clients::{Client, Source};
use crate::lab::{Lab, Other};
use crate::netns::Site;
use crate::ports::free_port;
use crate::proc::{Process, wait_until};
use crate::transfer::{Folders, finish, jobs, wait_for_completion};

/// Who has the payload is found by the other.
pub(crate) fn cases() -> Vec<Case> {
    let missing = |lab: &Lab| {
        let site = || lab.namespaced_site().err().map(|error| format!("{error:#}"));
        lab.client(Other::Transmission).missing().or_else(site)
    };
    let case = |name: &str, we_get| {
        let name = format!("dht/transmission/{name}");
        Case::new(name, missing, move |lab, dir| magnet(we_get, lab, dir))
    };
    vec![case("is-found", true), case("finds-us", false)]
}

fn magnet(we_get: bool, lab: &Lab, dir: &Path) -> Result<()> {
    let site = lab.namespaced_site()?;
    let nodes = Nodes::start(lab, &site, &dir.join("nodes"))?;
    let payload = &lab.payloads.small;
    let folders = Folders::new(dir)?;
    let torrent = dir.join("case.torrent");
    lab.unchoke.create(payload, &torrent, &["--node", &nodes.at[0].to_string()])?;
    let uri = lab.unchoke.magnet(&torrent)?;
    let transmission = lab.client(Other::Transmission);
    let (seeder, leecher): (&dyn Client, &dyn Client) =
        if we_get { (transmission, &lab.unchoke) } else { (&lab.unchoke, transmission) };
    let (mut seed, mut get) = jobs(&site, payload, &torrent, &folders)?;
    (seed.dht_nodes, get.dht_nodes) = (&nodes.at, &nodes.at);
    get.source = Source::Magnet(&uri);
    let seeding = seeder.start(&seed).context("start the seeder")?;
    nodes.wait_for_announce()?;
    let mut getting = leecher.start(&get).context("start the downloader")?;
    wait_for_completion(leecher, &mut getting)?;
    payload.check_copy(&folders.copy, leecher.omits_empty_files())?;
    finish(getting).context("stop the downloader")?;
    finish(seeding).context("stop the seeder")
}

/// A DHT of ours on the addresses of a site, a process each.
struct Nodes {
    processes: Vec<Process>,
    at: Vec<SocketAddr>,
}

impl Nodes {
    /// Waits until one of them stores a peer. Nobody looks for it: Transmission takes those who only ask for nodes like
    /// any other, and announces to them when they have gone.
    fn wait_for_announce(&self) -> Result<()> {
        wait_until("an announce in the DHT", Duration::from_secs(90), || {
            // They write to one log.
            let output = self.processes[0].output()?;
            let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut counts = events.filter_map(|event| event["stored_peers"].as_u64());
            Ok(counts.any(|count| count > 0))
        })
    }

    fn start(lab: &Lab, site: &Site, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let port = free_port()?;
        let at: Vec<SocketAddr> = site.dht_ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect();
        let start = |own: &SocketAddr| {
            let mut command = site.meeting.command(&lab.unchoke.binary);
            command.args(["dht", "node", "--json", "--every", "1s", "--listen", &own.to_string()]);
            // Whom the first begins with comes last, and has found it by then.
            let known = if *own == at[0] { at[at.len() - 1] } else { at[0] };
            command.args(["--node", &known.to_string()]);
            Process::start(command, &dir.join("log"))
        };
        let mut processes = at.iter().map(start).collect::<Result<Vec<_>>>()?;
        for (process, own) in processes.iter_mut().zip(&at) {
            process.wait_for_output(&own.to_string(), Duration::from_secs(20))?;
        }
        Ok(Self { processes, at })
    }
}
