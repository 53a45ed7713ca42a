//! Mutable torrents of a run (BEP 46): which version is the newest is asked of the DHT, once or again and again.

use std::time::{Duration, Instant};

use unchoke_engine::input::TorrentSource;
use unchoke_runtime::AddTorrent;
use unchoke_runtime::dht::Command;
use unchoke_wire::item::{Item, ItemKey};
use unchoke_wire::mutable_torrent::{self, Publisher};
use unchoke_wire::{InfoHashes, Magnet, WireHash};

/// A version of a mutable torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    /// Its number; `None` for the one that a magnet names itself.
    pub(crate) seq: Option<i64>,
    /// Its torrent.
    pub(crate) hash: WireHash,
}

/// How a mutable torrent is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// Its newest version is looked for once.
    Once,
    /// Newer versions are looked for so often while its torrent is worked on.
    Meanwhile(Duration),
    /// The same, and nothing but the user ends it.
    Forever(Duration),
}

/// One mutable torrent.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) publisher: Publisher,
    /// The magnet and all that its versions are added with.
    magnet: Magnet,
    add: AddTorrent,
    pace: Pace,
    /// The version that is worked on.
    pub(super) current: Option<Version>,
    round: Option<Round>,
    next_round: Instant,
    /// Rounds that found nothing, one after the other.
    misses: u32,
}

/// A question to the DHT under way.
#[derive(Debug)]
struct Round {
    /// DHT nodes of ours that have not answered.
    open: usize,
    until: Instant,
    newest: Option<(i64, WireHash)>,
}

impl Follow {
    /// A magnet's mutable torrent, to be asked for at once. `None` when the magnet names no publisher.
    pub(super) fn new(add: AddTorrent, pace: Pace, now: Instant) -> Option<Self> {
        let TorrentSource::Magnet(magnet) = &add.source else { return None };
        let (magnet, publisher) = ((**magnet).clone(), magnet.publisher.clone()?);
        let (current, round, misses) = (None, None, 0);
        Some(Follow { publisher, magnet, add, pace, current, round, next_round: now, misses })
    }

    /// What to call it.
    pub(super) fn name(&self) -> String {
        let key = || self.publisher.key.iter().map(|b| format!("{b:02x}")).collect();
        self.magnet.display_name.clone().unwrap_or_else(key)
    }

    /// Whether the run goes on for its sake alone.
    pub(super) fn keeps_running(&self) -> bool {
        self.current.is_none() || matches!(self.pace, Pace::Forever(_))
    }

    /// What to ask of the DHT, whose `nodes` nodes of ours answer each on its own.
    pub(super) fn next_question(&mut self, nodes: usize, now: Instant) -> Option<Command> {
        if self.round.is_some() || now < self.next_round || nodes == 0 {
            return None;
        }
        self.round = Some(Round { open: nodes, until: now + ROUND_MAX, newest: None });
        Some(Command::GetItem(self.publisher.item_key()))
    }

    /// One of our nodes has asked enough; answers what to put back into the DHT, which forgets it otherwise.
    pub(super) fn on_answer(&mut self, key: &ItemKey, item: Option<&Item>, copies: usize) -> Option<Command> {
        let round = self.round.as_mut().filter(|_| *key == self.publisher.item_key())?;
        round.open = round.open.saturating_sub(1);
        let Some(item @ Item::Mutable(mutable)) = item else { return None };
        if item.key() != *key {
            return None;
        }
        if let Some(hash) = mutable_torrent::decode_value(&mutable.value)
            && round.newest.is_none_or(|(seq, _)| seq < mutable.seq)
        {
            round.newest = Some((mutable.seq, hash));
        }
        let is_current = self.current.is_none_or(|c| c.seq.is_none_or(|seq| seq <= mutable.seq));
        let is_rare = copies < COPIES && self.pace != Pace::Once;
        (is_current && is_rare).then(|| Command::PutItem { item: item.clone(), cas: None })
    }

    /// Ends the round when all have answered or the time is up; answers a version that takes the place of the
    /// current one. `jitter` is anything from 0 to 1.
    pub(super) fn end_round(&mut self, jitter: f64, now: Instant) -> Option<Version> {
        let round = self.round.take_if(|r| r.open == 0 || r.until <= now)?;
        let newer = round.newest.filter(|(seq, _)| self.seq().is_none_or(|current| current < *seq));
        self.misses = if round.newest.is_some() { 0 } else { self.misses + 1 };
        self.next_round = match (self.pace, round.newest) {
            (Pace::Meanwhile(every) | Pace::Forever(every), Some(_)) => {
                now + every.mul_f64(0.9 + 0.2 * jitter)
            }
            (Pace::Once, Some(_)) => now + NEVER,
            (_, None) => now + (FIRST_PAUSE * (1 << self.misses.min(6))).min(PAUSE_MAX),
        };
        match newer {
            Some((seq, hash)) => Some(Version { seq: Some(seq), hash }),
            // nobody knows a version: the magnet's own is better than none
            None if self.current.is_none() => {
                let hash = self.magnet.info_hashes.v1.map(WireHash)?;
                Some(Version { seq: None, hash })
            }
            None => None,
        }
    }

    /// Takes a version for the current one, and answers what to add for it; `None` when its torrent stays the same.
    pub(super) fn change(&mut self, version: Version) -> Option<AddTorrent> {
        let before = self.current.replace(version);
        if before.is_some_and(|b| b.hash == version.hash) {
            return None;
        }
        let info_hashes = InfoHashes { v1: Some(version.hash.0), v2: None };
        // the magnet tells of the version it was made for
        let is_its_own = self.magnet.info_hashes.v1 == Some(version.hash.0);
        let display_name = self.magnet.display_name.clone().filter(|_| is_its_own);
        let length = self.magnet.length.filter(|_| is_its_own);
        let magnet = Magnet { info_hashes, display_name, length, publisher: None, ..self.magnet.clone() };
        Some(AddTorrent { source: TorrentSource::Magnet(Box::new(magnet)), ..self.add.clone() })
    }

    fn seq(&self) -> Option<i64> {
        self.current.and_then(|current| current.seq)
    }
}

/// How long our nodes may take to answer.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// First pause after a round that found nothing; it doubles with every such round.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Longer than any run.
const NEVER: Duration = Duration::from_secs(100 * 366 * 86_400);
/// Copies of an item that are enough: the nodes an item is stored at (BEP 44).
const COPIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::item::MutableItem;

    fn item(seq: i64, salt: &[u8], hash: u8) -> Item {
        let value = mutable_torrent::encode_value(WireHash([hash; 20]));
        Item::Mutable(MutableItem { key: [1; 32], salt: salt.to_vec(), seq, value, signature: [0; 64] })
    }

    fn follow(rest: &str, pace: Pace, now: Instant) -> Follow {
        let magnet: Magnet = format!("magnet:?xs=urn:btpk:{}{rest}", "01".repeat(32)).parse().unwrap();
        Follow::new(AddTorrent::new(magnet, "."), pace, now).unwrap()
    }

    /// One round with these answers; the version that comes of it.
    fn round(follow: &mut Follow, answers: &[Item], now: Instant) -> Option<Version> {
        let key = follow.publisher.item_key();
        assert_eq!(follow.next_question(answers.len(), now), Some(Command::GetItem(key.clone())));
        for answer in answers {
            follow.on_answer(&key, Some(answer), COPIES);
        }
        follow.end_round(0.5, now)
    }

    fn version(seq: i64, hash: u8) -> Option<Version> {
        Some(Version { seq: Some(seq), hash: WireHash([hash; 20]) })
    }

    #[test]
    fn the_newest_of_all_answers_is_taken_and_an_older_one_never_replaces_it() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut follow = follow("", Pace::Forever(hour), now);
        let newest = round(&mut follow, &[item(2, b"", 2), item(3, b"", 3), item(1, b"", 1)], now);
        assert_eq!(newest, version(3, 3));
        assert!(follow.change(newest.unwrap()).is_some());
        assert_eq!(follow.next_question(1, now + hour * 8 / 10), None, "it is asked about once an hour");
        assert_eq!(round(&mut follow, &[item(2, b"", 2)], now + hour), None);
        assert_eq!(round(&mut follow, &[item(4, b"", 4)], now + hour * 2), version(4, 4));
    }

    #[test]
    fn an_item_of_another_salt_or_without_a_torrent_is_ignored() {
        let now = Instant::now();
        let mut follow = follow("&s=6e", Pace::Once, now);
        assert_eq!(round(&mut follow, &[item(2, b"", 2)], now), None);
        let mut odd = item(9, b"n", 0);
        if let Item::Mutable(odd) = &mut odd {
            odd.value = b"5:hello".to_vec();
        }
        let later = now + PAUSE_MAX;
        assert_eq!(round(&mut follow, &[odd, item(1, b"n", 1)], later), version(1, 1));
    }

    #[test]
    fn a_version_the_magnet_names_itself_is_taken_when_nobody_knows_one() {
        let now = Instant::now();
        let own = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        let mut follow = follow(&format!("&dn=name&xt=urn:btih:{own}"), Pace::Once, now);
        let key = follow.publisher.item_key();
        follow.next_question(2, now).unwrap();
        follow.on_answer(&key, None, 0);
        assert_eq!(follow.end_round(0.5, now), None, "one of two has not answered");
        let taken = follow.end_round(0.5, now + ROUND_MAX).unwrap();
        assert_eq!((taken.seq, taken.hash.to_string()), (None, own.to_owned()));
        let add = follow.change(taken).unwrap();
        let TorrentSource::Magnet(magnet) = add.source else { panic!("a magnet") };
        assert_eq!((magnet.display_name.as_deref(), magnet.publisher), (Some("name"), None));
        assert!(!follow.keeps_running());
    }

    #[test]
    fn who_follows_puts_a_rare_item_back() {
        let now = Instant::now();
        for (pace, copies, is_put) in [
            (Pace::Once, 1, false),
            (Pace::Forever(PAUSE_MAX), COPIES, false),
            (Pace::Forever(PAUSE_MAX), COPIES - 1, true),
            (Pace::Meanwhile(PAUSE_MAX), 1, true),
        ] {
            let mut follow = follow("", pace, now);
            follow.next_question(1, now).unwrap();
            let put = follow.on_answer(&follow.publisher.item_key(), Some(&item(1, b"", 1)), copies);
            assert_eq!(put.is_some(), is_put, "{pace:?} {copies}");
        }
    }
}
