//! The items others put here (BEP 44).
//!
//! The caller has checked tokens and signatures; the rules by which one item replaces another are here. When the store
//! is full, the item of least worth makes room: the one not asked for or put again for longest, where each bit its
//! target shares with our id counts for some minutes, since nobody looks far from the target.

use crate::scope;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::item::Item;
use unchoke_wire::krpc::{ERROR_CAS_MISMATCH, ERROR_SEQ_TOO_OLD, ERROR_SERVER, NodeId};
use unchoke_wire::limits::{DHT_ITEMS_MAX as ITEMS_MAX, ITEM_SALT_LEN_MAX, ITEM_VALUE_LEN_MAX};
use unchoke_wire::time::{Duration, Instant};

/// Bytes of memory of the store at most: the largest items, each with its places in the indexes.
pub(crate) const LEN_MAX: usize = ITEMS_MAX * (ITEM_VALUE_LEN_MAX + ITEM_SALT_LEN_MAX + (1 << 10));
/// Items that one site of the internet may have brought.
const PER_SITE: usize = 32;
/// How long an item stays unless it is put again.
pub(crate) const ITEM_LIFE: Duration = Duration::from_secs(2 * 3600);
/// What a bit shared with our id is worth.
const WORTH_OF_A_BIT: Duration = Duration::from_secs(5 * 60);

/// Why an item is not stored: an error code and its text.
pub(crate) type Refusal = (i64, &'static str);

#[derive(Debug)]
struct Stored {
    item: Item,
    worth: Instant,
    expires: Instant,
    /// Whose share it counts in; `None` for a local address.
    site: Option<IpAddr>,
}

#[derive(Debug, Default)]
pub(crate) struct ItemStore {
    items: BTreeMap<NodeId, Stored>,
    /// The same by worth, the least first.
    by_worth: BTreeSet<(Instant, NodeId)>,
    /// Items each site brought.
    held: BTreeMap<IpAddr, usize>,
    /// No item expires before.
    next_expiry: Option<Instant>,
}

impl ItemStore {
    /// Whether an item put by `ip` under `target` would be stored by a node with id `own`.
    pub(crate) fn has_room(&self, target: &NodeId, ip: IpAddr, own: &NodeId, now: Instant) -> bool {
        if self.items.contains_key(target) {
            return true;
        }
        let held = site_of(ip).and_then(|site| self.held.get(&site));
        if held.is_some_and(|held| *held >= PER_SITE) {
            return false;
        }
        let least = self.by_worth.first().filter(|_| self.items.len() >= ITEMS_MAX);
        least.is_none_or(|(least, _)| *least < worth(target, own, now))
    }

    //= BEP 44: a lower sequence number is refused with 302, another cas than the stored number with 301
    /// Whether the rules let `item` replace what is stored under its target.
    pub(crate) fn check(&self, target: &NodeId, item: &Item, cas: Option<i64>) -> Result<(), Refusal> {
        let Some(Stored { item: Item::Mutable(old), .. }) = self.items.get(target) else { return Ok(()) };
        let Item::Mutable(new) = item else { return Ok(()) };
        if cas.is_some_and(|cas| cas != old.seq) {
            return Err((ERROR_CAS_MISMATCH, "CAS Mismatch"));
        }
        let is_replay = new.seq == old.seq && new.value != old.value;
        if new.seq < old.seq || is_replay {
            return Err((ERROR_SEQ_TOO_OLD, "Sequence Number Not Newer"));
        }
        Ok(())
    }

    /// Stores `item`, which was found good, or makes its stay longer.
    pub(crate) fn put(
        &mut self,
        target: NodeId,
        item: Item,
        ip: IpAddr,
        own: &NodeId,
        now: Instant,
    ) -> Result<(), Refusal> {
        if !self.has_room(&target, ip, own, now) {
            return Err((ERROR_SERVER, "Storage Full"));
        }
        let site = match self.take(&target) {
            Some(old) => old.site,
            None => site_of(ip),
        };
        if self.items.len() >= ITEMS_MAX
            && let Some((_, least)) = self.by_worth.first().copied()
        {
            self.take(&least);
        }
        if let Some(site) = site {
            *self.held.entry(site).or_default() += 1;
        }
        let stored = Stored { item, worth: worth(&target, own, now), expires: now + ITEM_LIFE, site };
        self.next_expiry.get_or_insert(stored.expires);
        self.by_worth.insert((stored.worth, target));
        self.items.insert(target, stored);
        Ok(())
    }

    /// The item under `target`, whose worth grows by being asked for.
    pub(crate) fn get(&mut self, target: &NodeId, own: &NodeId, now: Instant) -> Option<&Item> {
        let stored = self.items.get_mut(target)?;
        self.by_worth.remove(&(stored.worth, *target));
        stored.worth = worth(target, own, now);
        self.by_worth.insert((stored.worth, *target));
        Some(&stored.item)
    }

    /// Forgets what has expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|at| at > now) {
            return;
        }
        let gone: Vec<NodeId> =
            self.items.iter().filter(|(_, s)| s.expires <= now).map(|(target, _)| *target).collect();
        gone.iter().for_each(|target| drop(self.take(target)));
        self.next_expiry = self.items.values().map(|s| s.expires).min();
    }

    /// When to call [`Self::expire`]; early calls do no harm.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Items stored.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    fn take(&mut self, target: &NodeId) -> Option<Stored> {
        let stored = self.items.remove(target)?;
        self.by_worth.remove(&(stored.worth, *target));
        if let Some(site) = stored.site
            && let Some(held) = self.held.get_mut(&site)
        {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&site);
            }
        }
        Some(stored)
    }
}

fn site_of(ip: IpAddr) -> Option<IpAddr> {
    scope::is_global(ip).then(|| scope::site(ip))
}

fn worth(target: &NodeId, own: &NodeId, now: Instant) -> Instant {
    let bits = u32::try_from(own.distance(target).shared_bits()).expect("an id has 160 bits");
    now + WORTH_OF_A_BIT * bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::item::MutableItem;
    use unchoke_wire::limits;

    const OWN: NodeId = NodeId([0; 20]);
    const START: Instant = Instant::ZERO;

    fn ip(site: u16) -> IpAddr {
        let [a, b] = site.to_be_bytes();
        IpAddr::from([8, a, b, 1])
    }

    /// A target that shares no bit with our id.
    fn far(n: u16) -> NodeId {
        let mut target = NodeId([0xff; 20]);
        target.0[1..3].copy_from_slice(&n.to_be_bytes());
        target
    }

    fn item(n: u16) -> Item {
        Item::Immutable { value: format!("i{n}e").into_bytes() }
    }

    fn owned(seq: i64, value: &[u8]) -> Item {
        Item::Mutable(MutableItem {
            key: [7; 32],
            salt: Vec::new(),
            seq,
            value: value.to_vec(),
            signature: [9; 64],
        })
    }

    fn full() -> ItemStore {
        let mut store = ItemStore::default();
        for n in 0..1000 {
            let at = START + Duration::from_secs(u64::from(n));
            assert_eq!(store.put(far(n), item(n), ip(n), &OWN, at), Ok(()));
        }
        store
    }

    #[test]
    fn an_item_is_forgotten_after_two_hours_unless_it_is_put_again() {
        let mut store = ItemStore::default();
        store.put(far(1), item(1), ip(1), &OWN, START).unwrap();
        store.put(far(2), item(2), ip(1), &OWN, START).unwrap();
        let again = START + ITEM_LIFE / 2;
        store.put(far(1), item(1), ip(2), &OWN, again).unwrap();
        assert!(store.get(&far(2), &OWN, again).is_some(), "asking keeps nothing");
        store.expire(START + ITEM_LIFE);
        assert!(store.get(&far(1), &OWN, again).is_some() && store.get(&far(2), &OWN, again).is_none());
        store.expire(again + ITEM_LIFE);
        assert_eq!((store.len(), store.held.len(), store.by_worth.len()), (0, 0, 0));
        assert_eq!(store.next_expiry(), None);
    }

    #[test]
    fn a_newer_item_replaces_the_older_the_same_stays_and_another_of_the_same_number_is_refused() {
        let mut store = ItemStore::default();
        store.put(far(1), owned(5, b"1:a"), ip(1), &OWN, START).unwrap();
        let code = |item: &Item, cas| store.check(&far(1), item, cas).map_err(|(code, _)| code);
        assert_eq!(code(&owned(6, b"1:b"), None), Ok(()));
        assert_eq!(code(&owned(5, b"1:a"), None), Ok(()));
        assert_eq!(code(&owned(5, b"1:b"), None), Err(302));
        assert_eq!(code(&owned(4, b"1:a"), None), Err(302));
        assert_eq!(code(&owned(6, b"1:b"), Some(5)), Ok(()));
        assert_eq!(code(&owned(6, b"1:b"), Some(4)), Err(301));
        assert_eq!(code(&owned(4, b"1:b"), Some(4)), Err(301));
        assert_eq!(store.check(&far(2), &owned(1, b"1:b"), Some(9)), Ok(()), "cas counts where something is");
    }

    #[test]
    fn one_site_brings_thirty_two_items_and_local_addresses_as_many_as_they_like() {
        let mut store = ItemStore::default();
        let put = |store: &mut ItemStore, n, ip| store.put(far(n), item(n), ip, &OWN, START).is_ok();
        assert_eq!((0..40).filter(|n| put(&mut store, *n, ip(1))).count(), PER_SITE);
        assert!(!store.has_room(&far(50), IpAddr::from([8, 0, 1, 200]), &OWN, START));
        assert!(store.has_room(&far(3), ip(1), &OWN, START), "what is there may be put again");
        assert!(put(&mut store, 50, ip(2)));
        assert_eq!((100..200).filter(|n| put(&mut store, *n, [127, 0, 0, 1].into())).count(), 100);
    }

    #[test]
    fn the_thousand_and_first_item_pushes_out_the_one_longest_unused() {
        let mut store = full();
        let now = START + Duration::from_secs(1000);
        assert!(store.get(&far(0), &OWN, now).is_some());
        store.put(far(1000), item(1000), ip(1000), &OWN, now).unwrap();
        assert!(store.len() == limits::DHT_ITEMS_MAX && store.len() < limits::DHT_ITEMS_MAX + 1);
        assert!(store.get(&far(0), &OWN, now).is_some() && store.get(&far(1), &OWN, now).is_none());
        assert_eq!(store.held.len(), 1000);
    }

    #[test]
    fn what_is_near_us_stays_and_what_is_worth_less_than_all_is_refused() {
        let mut store = full();
        let near = NodeId([0x0f; 20]);
        store.put(near, item(1), ip(2000), &OWN, START).unwrap();
        let now = START + Duration::from_secs(600);
        for n in 3000..3900 {
            let _ = store.put(far(n), item(n), ip(n), &OWN, now);
        }
        assert!(store.get(&near, &OWN, now).is_some());
        assert!(!store.has_room(&far(9000), ip(9000), &OWN, START));
        assert_eq!(store.put(far(9000), item(1), ip(9000), &OWN, START).map_err(|(code, _)| code), Err(202));
    }
}
