//! Peers and items from ours to a node of another make and back, and through networks of only one make.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use super::command_line::CommandLine;
use super::foreign::{Foreign, Maker};
use super::node::{
    ITEMS, Keeper, announce, check_immutable, check_mutable, check_peers, find, read_immutable, read_mutable,
};
use super::ours::Ours;
use crate::case::Case;
use crate::lab::Lab;
use crate::netns::Host;
use crate::ports::free_port;

/// What is exchanged in a network of both.
#[derive(Clone, Copy)]
enum Exchange {
    /// Each announces a peer, the other finds it.
    GetPeers,
    /// We store, they read.
    PutImmutable,
    /// They store, we read.
    GetImmutable,
    /// We store, they read: without a salt, with one, and a newer item in place of an older.
    PutMutable,
    /// They store, we read the same.
    GetMutable,
}

impl Exchange {
    const ALL: [Self; 5] =
        [Self::GetPeers, Self::PutImmutable, Self::GetImmutable, Self::PutMutable, Self::GetMutable];

    fn name(self) -> &'static str {
        match self {
            Self::GetPeers => "get_peers",
            Self::PutImmutable => "put-immutable",
            Self::GetImmutable => "get-immutable",
            Self::PutMutable => "put-mutable",
            Self::GetMutable => "get-mutable",
        }
    }

    fn check(self, ours: &mut dyn Keeper, theirs: &mut dyn Keeper) -> Result<()> {
        match self {
            Self::GetPeers => {
                check_peers(theirs, ours, THEIR_HASH).context("we look for theirs")?;
                check_peers(ours, theirs, OUR_HASH).context("they look for ours")
            }
            Self::PutImmutable => check_immutable(ours, theirs, "an item of ours"),
            Self::GetImmutable => check_immutable(theirs, ours, "an item of theirs"),
            Self::PutMutable => check_mutable(ours, theirs),
            Self::GetMutable => check_mutable(theirs, ours),
        }
    }
}

/// Every exchange with every maker, and the networks of one make.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for maker in Maker::ALL {
        for exchange in Exchange::ALL {
            cases.push(case(maker, exchange.name(), move |lab, dir| in_both(maker, exchange, lab, dir)));
        }
        cases.push(case(maker, "routes-through-theirs", move |lab, dir| through_theirs(maker, lab, dir)));
        cases.push(case(maker, "routes-through-ours", move |lab, dir| through_ours(maker, lab, dir)));
    }
    cases
}

/// A case of one maker.
pub(crate) fn case(
    maker: Maker,
    name: &str,
    check: impl Fn(&Lab, &Path) -> Result<()> + Send + Sync + 'static,
) -> Case {
    Case::new(format!("dht/{}/{name}", maker.name()), move |lab| maker.missing(lab), check)
}

/// Two nodes of ours and two of theirs: whoever asks is answered by both makes. We ask by our command.
fn in_both(maker: Maker, exchange: Exchange, lab: &Lab, dir: &Path) -> Result<()> {
    let nodes = Ours::network(OURS, 2)?;
    let entry = nodes[0].at();
    let [at, other] = their_addresses(2)?[..] else { unreachable!("two were asked for") };
    // Each in a process of its own: one of libtorrent's with two nodes would put a mutable item twice, and count on.
    let _other = Foreign::start(maker, lab, &[other], Some(entry), &dir.join("other"))?;
    let mut theirs = Foreign::start(maker, lab, &[at], Some(entry), &dir.join("theirs"))?;
    for node in &nodes {
        node.meet(at)?;
        node.meet(other)?;
    }
    exchange.check(&mut CommandLine::new(lab, &Host::loopback(), entry, dir)?, &mut theirs)
}

/// We write at one end of a network of theirs and leave; we read at its other end.
fn through_theirs(maker: Maker, lab: &Lab, dir: &Path) -> Result<()> {
    let nodes = their_addresses(STORING_NODES)?;
    let _storing = Foreign::start(maker, lab, &nodes, None, &dir.join("theirs"))?;
    let at = |entry| CommandLine::new(lab, &Host::loopback(), entry, dir);
    let written = write(&mut at(nodes[0])?)?;
    written.read(&mut at(nodes[STORING_NODES - 1])?)
}

/// They write at one end of a network of ours and leave; another of theirs reads at its other end.
fn through_ours(maker: Maker, lab: &Lab, dir: &Path) -> Result<()> {
    let storing = Ours::network(OURS, STORING_NODES)?;
    let [at, other] = their_addresses(2)?[..] else { unreachable!("two were asked for") };
    let entry = storing[0].at();
    let mut writer = Foreign::start(maker, lab, &[at], Some(entry), &dir.join("writer"))?;
    let written = write(&mut writer)?;
    drop(writer);
    let entry = storing[STORING_NODES - 1].at();
    let mut reader = Foreign::start(maker, lab, &[other], Some(entry), &dir.join("reader"))?;
    written.read(&mut reader)
}

/// What a writer left in a network.
struct Written {
    announced: SocketAddr,
    target: String,
}

/// Leaves one of everything.
fn write(writer: &mut dyn Keeper) -> Result<Written> {
    let announced = announce(writer, OUR_HASH)?;
    let target = writer.put(TEXT).context("put")?;
    for item in &ITEMS {
        writer.put_mutable(item).with_context(|| format!("put {:?}", item.text))?;
    }
    Ok(Written { announced, target })
}

impl Written {
    /// An error unless all is found.
    fn read(&self, reader: &mut dyn Keeper) -> Result<()> {
        find(reader, OUR_HASH, self.announced)?;
        read_immutable(reader, &self.target, TEXT)?;
        let [unsalted, _, newest] = &ITEMS;
        read_mutable(reader, unsalted)?;
        read_mutable(reader, newest)
    }
}

/// Addresses of loopback with a free port each.
pub(crate) fn their_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let hosts = (FIRST_OF_THEIRS..).take(count);
    hosts.map(|host| Ok(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), free_port()?)))).collect()
}

/// Nodes of ours share an address.
const OURS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const FIRST_OF_THEIRS: u8 = 20;
/// More than the eight that store something, so that a reader's entry need not be one of them.
const STORING_NODES: usize = 12;
const OUR_HASH: &str = "616e6e6f756e636564206279206f7572732e2e2e";
const THEIR_HASH: &str = "616e6e6f756e636564206279207468656972732e";
const TEXT: &str = "kept by others";
