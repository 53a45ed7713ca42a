//! Getting the metadata of a magnet from peers (BEP 9), and handing it out.

use crate::id::ConnId;
use std::collections::BTreeMap;
use unchoke_wire::InfoHashes;
use unchoke_wire::limits::METADATA_BLOCK_LEN;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::ut_metadata::{block_count, block_len};

/// Requests for metadata out to one peer.
const REQUESTS_PER_PEER: usize = 2;
/// A block of metadata is asked for again, elsewhere if possible, after this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that rejected, or took part in metadata of a wrong hash, is left alone for this long.
const BACK_OFF: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Source {
    size: u32,
    not_before: Instant,
    /// Blocks asked of it, and when.
    asked: BTreeMap<u32, Instant>,
}

/// What came of a block of metadata.
#[derive(PartialEq, Eq, Debug)]
pub enum Progress {
    /// It was not asked for.
    Unasked,
    /// More is needed.
    More,
    /// All of it is there and the hash is right.
    Done(Vec<u8>),
    /// All of it was there and the hash was wrong; it begins anew. These peers took part.
    Wrong(Vec<ConnId>),
}

/// Metadata being fetched. Memory grows with what has arrived, never with what was claimed.
#[derive(Debug)]
pub struct MetadataFetch {
    hashes: InfoHashes,
    sources: BTreeMap<ConnId, Source>,
    /// The size being fetched, as its first source claimed.
    size: Option<u32>,
    blocks: BTreeMap<u32, (ConnId, Vec<u8>)>,
    /// When the latest block came, or the first was asked for.
    last_progress: Instant,
}

impl MetadataFetch {
    /// Nothing fetched yet of the `info` that hashes to `hashes`.
    pub fn new(hashes: InfoHashes) -> Self {
        MetadataFetch {
            hashes,
            sources: BTreeMap::new(),
            size: None,
            blocks: BTreeMap::new(),
            last_progress: Instant::ZERO,
        }
    }

    /// A peer says it has metadata of this size, which is within the limits.
    pub fn add_source(&mut self, conn: ConnId, size: u32) {
        self.sources.entry(conn).or_insert(Source {
            size,
            not_before: Instant::ZERO,
            asked: BTreeMap::new(),
        });
    }

    /// The size a peer told; `None`: it told none.
    pub fn size_of(&self, conn: ConnId) -> Option<u32> {
        self.sources.get(&conn).map(|s| s.size)
    }

    /// A peer is gone.
    pub fn remove_source(&mut self, conn: ConnId) {
        self.sources.remove(&conn);
        let is_size_known = self.sources.values().any(|s| Some(s.size) == self.size);
        if !is_size_known && self.blocks.is_empty() {
            self.size = None;
        }
    }

    /// Blocks to ask of this peer now.
    pub fn ask(&mut self, conn: ConnId, now: Instant) -> Vec<u32> {
        self.expire(now);
        let Some(source) = self.sources.get(&conn) else { return Vec::new() };
        let size = *self.size.get_or_insert(source.size);
        if source.size != size || source.not_before > now {
            return Vec::new();
        }
        let fresh = |asked: &Instant| now.since(*asked) < REQUEST_TIMEOUT;
        let busy = source.asked.values().filter(|a| fresh(a)).count();
        let wanted: Vec<u32> = (0..block_count(size))
            .filter(|b| !self.blocks.contains_key(b))
            .filter(|b| !self.sources.values().any(|s| s.asked.get(b).is_some_and(fresh)))
            .take(REQUESTS_PER_PEER.saturating_sub(busy))
            .collect();
        if self.blocks.is_empty() {
            self.last_progress = now;
        }
        if let Some(source) = self.sources.get_mut(&conn) {
            source.asked.extend(wanted.iter().map(|b| (*b, now)));
        }
        wanted
    }

    /// The peers that may be asked, in a fixed order.
    pub fn sources(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.sources.keys().copied()
    }

    /// A peer does not give a block.
    pub fn rejected(&mut self, conn: ConnId, block: u32, now: Instant) {
        if let Some(source) = self.sources.get_mut(&conn)
            && source.asked.remove(&block).is_some()
        {
            source.not_before = now + BACK_OFF;
            self.forget_size_without_sources(now);
        }
    }

    /// Lets the others have the blocks that peers were asked for and did not send.
    fn expire(&mut self, now: Instant) {
        for source in self.sources.values_mut() {
            let asked = source.asked.len();
            source.asked.retain(|_, at| now.since(*at) < REQUEST_TIMEOUT);
            if source.asked.len() < asked {
                source.not_before = source.not_before.max(now + REQUEST_TIMEOUT);
            }
        }
        self.forget_size_without_sources(now);
    }

    /// The size in hand may be a lie that nobody can fill: take another once only its liars are left.
    fn forget_size_without_sources(&mut self, now: Instant) {
        let is_this_size = |s: &&Source| Some(s.size) == self.size;
        let alive = || self.sources.values().filter(|s| s.not_before <= now);
        if alive().count() > 0 && alive().find(is_this_size).is_none() {
            self.size = None;
            self.blocks.clear();
        }
    }

    /// A block of metadata arrived.
    pub fn received(&mut self, conn: ConnId, block: u32, data: &[u8], now: Instant) -> Progress {
        let Some(size) = self.size else { return Progress::Unasked };
        let is_asked = self.sources.get_mut(&conn).is_some_and(|s| s.asked.remove(&block).is_some());
        if !is_asked || block_len(size, block).is_none_or(|len| len as usize != data.len()) {
            return Progress::Unasked;
        }
        self.last_progress = now;
        self.blocks.entry(block).or_insert_with(|| (conn, data.to_vec()));
        if self.blocks.len() < block_count(size) as usize {
            return Progress::More;
        }
        let blocks = core::mem::take(&mut self.blocks);
        let info: Vec<u8> = blocks.values().flat_map(|(_, data)| data.iter().copied()).collect();
        if self.hashes.matches(&info) {
            return Progress::Done(info);
        }
        let mut liars: Vec<ConnId> = blocks.into_values().map(|(conn, _)| conn).collect();
        liars.sort_unstable();
        liars.dedup();
        for conn in &liars {
            if let Some(source) = self.sources.get_mut(conn) {
                source.not_before = now + BACK_OFF;
            }
        }
        self.size = None;
        Progress::Wrong(liars)
    }

    /// Bytes that have come or were asked for.
    pub fn bytes_in_flight(&self) -> usize {
        let held: usize = self.blocks.values().map(|(_, data)| data.len()).sum();
        let asked: usize = self.sources.values().map(|s| s.asked.len()).sum();
        held + asked * METADATA_BLOCK_LEN as usize
    }

    /// Bytes of the size in hand that have neither come nor been asked for.
    pub fn bytes_due(&self) -> usize {
        self.size.map_or(0, |size| (size as usize).saturating_sub(self.bytes_in_flight()))
    }

    /// When the latest block came, or when the first was asked for.
    pub fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Forgets what has come.
    pub fn start_over(&mut self) {
        self.blocks.clear();
        self.size = None;
    }

    /// When to ask again, if nothing arrives. Who is not resting was asked already.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let asked = self.sources.values().flat_map(|s| s.asked.values()).map(|at| *at + REQUEST_TIMEOUT);
        let resting = self.sources.values().map(|s| s.not_before).filter(|at| *at > now);
        asked.chain(resting).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    fn conns(n: usize) -> Vec<ConnId> {
        let mut map: SlotMap<ConnId, ()> = SlotMap::with_key();
        (0..n).map(|_| map.insert(())).collect()
    }

    #[test]
    fn metadata_comes_from_several_peers_and_is_checked() {
        let info = vec![b'x'; 40_000];
        let mut fetch = MetadataFetch::new(InfoHashes::v1_of(&info));
        let c = conns(2);
        c.iter().for_each(|c| fetch.add_source(*c, 40_000));
        assert_eq!(fetch.ask(c[0], Instant::ZERO), [0, 1]);
        assert_eq!(fetch.ask(c[1], Instant::ZERO), [2]);
        assert_eq!(fetch.received(c[1], 2, &info[32_768..], Instant::ZERO), Progress::More);
        assert_eq!(fetch.received(c[1], 0, &info[..16_384], Instant::ZERO), Progress::Unasked);
        assert_eq!(fetch.received(c[0], 0, &info[..16_384], Instant::ZERO), Progress::More);
        assert_eq!(fetch.received(c[0], 1, &info[..16_384], Instant::ZERO), Progress::Done(info));
    }

    #[test]
    fn a_liar_about_size_or_content_does_not_stop_an_honest_peer() {
        let info = vec![b'x'; 100];
        let mut fetch = MetadataFetch::new(InfoHashes::v1_of(&info));
        let c = conns(3);
        fetch.add_source(c[0], 99);
        fetch.add_source(c[1], 100);
        fetch.add_source(c[2], 100);
        assert_eq!(fetch.ask(c[0], Instant::ZERO), [0]);
        assert!(fetch.ask(c[1], Instant::ZERO).is_empty(), "another size is in hand");
        fetch.rejected(c[0], 0, Instant::ZERO);
        assert_eq!(fetch.ask(c[1], Instant::ZERO), [0]);
        assert_eq!(fetch.received(c[1], 0, &[b'y'; 100], Instant::ZERO), Progress::Wrong(vec![c[1]]));
        assert!(fetch.ask(c[1], Instant::ZERO).is_empty());
        assert_eq!(fetch.ask(c[2], Instant::ZERO), [0]);
        assert_eq!(fetch.received(c[2], 0, &info, Instant::ZERO), Progress::Done(info));
    }

    #[test]
    fn a_silent_peer_is_passed_over_after_three_seconds() {
        let info = vec![b'x'; 100];
        let mut fetch = MetadataFetch::new(InfoHashes::v1_of(&info));
        let c = conns(2);
        c.iter().for_each(|c| fetch.add_source(*c, 100));
        assert_eq!(fetch.ask(c[0], Instant::ZERO), [0]);
        let at = fetch.next_timeout(Instant::ZERO).unwrap();
        assert_eq!(fetch.ask(c[1], at), [0]);
        assert!(fetch.ask(c[0], at).is_empty());
    }

    #[test]
    fn a_silent_liar_about_the_size_gives_way_to_another_size() {
        let info = vec![b'x'; 100];
        let mut fetch = MetadataFetch::new(InfoHashes::v1_of(&info));
        let c = conns(2);
        fetch.add_source(c[0], 5_000_000);
        fetch.add_source(c[1], 100);
        assert_eq!(fetch.ask(c[0], Instant::ZERO), [0, 1]);
        let at = fetch.next_timeout(Instant::ZERO).unwrap();
        assert_eq!(fetch.ask(c[1], at), [0]);
        assert_eq!(fetch.received(c[1], 0, &info, at), Progress::Done(info));
    }
}
