//! The DHT's extensions beside items: filters (BEP 33), told addresses (BEP 42), nodes that only ask (BEP 43) and
//! samples (BEP 51).

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use unchoke_runtime::dht::{Command, Event};
use unchoke_wire::krpc::NodeId;

use super::exchange::{case, their_addresses};
use super::foreign::{Foreign, Maker};
use super::node::{Finder, announce, check_peers};
use super::ours::{Ours, wire_hash};
use crate::case::Case;
use crate::lab::Lab;
use crate::proc::wait_until;

/// One case an extension.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(Maker::Libtorrent, "scrape", scrape),
        case(Maker::Libtorrent, "sample", sample),
        case(Maker::Libtorrent, "read-only", read_only),
        case(Maker::Mainline, "told-address", told_address),
    ]
}

/// A network of one of ours and two of theirs.
fn network(maker: Maker, lab: &Lab, dir: &Path) -> Result<(Ours, Foreign)> {
    let ours = Ours::start(Ipv4Addr::LOCALHOST, &[])?;
    let nodes = their_addresses(2)?;
    let theirs = Foreign::start(maker, lab, &nodes, Some(ours.at()), &dir.join("theirs"))?;
    for node in nodes {
        ours.meet(node)?;
    }
    Ok((ours, theirs))
}

/// Libtorrent sends filters in place of the peers themselves; what it stored of both sides is counted by address.
fn scrape(lab: &Lab, dir: &Path) -> Result<()> {
    let (mut ours, mut theirs) = network(Maker::Libtorrent, lab, dir)?;
    theirs.ask(&format!("announce {HASH} 9 seed"))?;
    announce(&mut ours, HASH)?;
    let target = wire_hash(HASH)?;
    wait_until("one downloader and the seeds in a scrape", Duration::from_secs(10), || {
        let (seeds, downloaders) =
            ours.ask("end of a scrape", Command::Scrape { target }, |event| match event {
                Event::Scraped { target: of, seeds, downloaders, .. } if of == target => {
                    Some((seeds, downloaders))
                }
                _ => None,
            })?;
        // Both nodes of its session announce, each from its own address.
        Ok((1..=2).contains(&seeds) && downloaders == 1)
    })
}

/// Each tells the other a hash that it stores.
fn sample(lab: &Lab, dir: &Path) -> Result<()> {
    let (mut ours, mut theirs) = network(Maker::Libtorrent, lab, dir)?;
    announce(&mut theirs, HASH)?;
    // Its announcement is under way when it says that it is made.
    wait_until("the announced peer", Duration::from_secs(10), || Ok(!ours.peers(HASH)?.is_empty()))?;
    let ours_at = ours.at();
    let told = theirs.ask_for("samples", &format!("sample {ours_at}"))?.context("we told no samples")?;
    if !told.split_whitespace().skip(2).any(|hash| hash == HASH) {
        bail!("we told {told:?}, which lacks {HASH}");
    }
    announce(&mut ours, OTHER_HASH)?;
    let (target, wanted) = (NodeId([0; 20]), wire_hash(OTHER_HASH)?);
    let mut is_told = false;
    ours.ask("end of a sample", Command::Sample { target }, |event| match event {
        Event::Sampled { from, samples, .. } => {
            is_told |= from.addr != ours_at && samples.contains(&wanted);
            None
        }
        Event::SampleDone { target: of, .. } if of == target => Some(()),
        _ => None,
    })?;
    if is_told { Ok(()) } else { bail!("no node of theirs told {OTHER_HASH}") }
}

/// A node that only asks is answered, and never handed to others.
fn read_only(lab: &Lab, dir: &Path) -> Result<()> {
    let (mut ours, _theirs) = network(Maker::Libtorrent, lab, dir)?;
    let [.., at] = their_addresses(3)?[..] else { unreachable!("three were asked for") };
    let mut asking = Foreign::start_read_only(lab, at, ours.at(), &dir.join("asking"))?;
    check_peers(&mut ours, &mut asking, HASH)?;
    if ours.closest()?.contains(&at) {
        bail!("the node that only asks is among the closest nodes");
    }
    Ok(())
}

/// The crate asks us, and believes what our answers say its address is: it has no other way to know the port.
fn told_address(lab: &Lab, dir: &Path) -> Result<()> {
    let ours = Ours::start(Ipv4Addr::LOCALHOST, &[])?;
    let nodes = their_addresses(1)?;
    let mut theirs = Foreign::start(Maker::Mainline, lab, &nodes, Some(ours.at()), &dir.join("theirs"))?;
    let told = theirs.ask_for("address", "address")?;
    if told != Some(nodes[0].to_string()) {
        bail!("it is at {}, and was told {told:?}", nodes[0]);
    }
    Ok(())
}

const HASH: &str = "73616d706c656420616e6420736372617065642e";
const OTHER_HASH: &str = "73616d706c6564206279206f75727320746f6f2e";
