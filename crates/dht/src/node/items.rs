//! Items, scrapes and samples on the asking side: what the shell wants done once.

use super::Node;
use super::goal::Goal;
use crate::io::Event;
use crate::item;
use crate::transactions::LookupId;
use unchoke_wire::WireHash;
use unchoke_wire::bencode::Document;
use unchoke_wire::item::{Item, ItemKey};
use unchoke_wire::krpc::{self, ItemReply, NodeId, NodeInfo, Samples, Scrape};
use unchoke_wire::limits::{ITEM_SALT_LEN_MAX, ITEM_VALUE_LEN_MAX};
use unchoke_wire::time::Duration;

impl Node {
    pub(super) fn scrape(&mut self, target: WireHash) {
        // we may be one of those who store it
        let own = self.store.scrape(&target, self.now);
        let answers = usize::from(own.is_some());
        let filters = own.unwrap_or_default();
        if self.start_lookup(target.into(), Goal::Scrape { filters: filters.clone(), answers }).is_none() {
            self.emit_scraped(target, &filters, answers);
        }
    }

    pub(super) fn get_item(&mut self, key: ItemKey) {
        let goal = Goal::GetItem { key: key.clone(), newest: None, copies: 0 };
        if self.start_lookup(key.target(), goal).is_none() {
            self.emit(Event::ItemDone { key, item: None, copies: 0 });
        }
    }

    pub(super) fn put_item(&mut self, item: Item, cas: Option<i64>) {
        let key = item.key();
        let refusal = fault(&item).map(|(code, text)| (code, text.to_owned()));
        let goal = Goal::PutItem { item, cas, refusal: None };
        if refusal.is_none() && self.store_at_known(key.target(), &goal) {
            return;
        }
        if refusal.is_some() || self.start_lookup(key.target(), goal).is_none() {
            self.emit(Event::ItemStored { key, to: 0, refusal });
        }
    }

    pub(super) fn sample(&mut self, target: NodeId) {
        if self.start_lookup(target, Goal::Sample { answers: 0 }).is_none() {
            self.emit(Event::SampleDone { target, answers: 0 });
        }
    }

    pub(super) fn emit_scraped(&mut self, target: WireHash, filters: &Scrape, answers: usize) {
        let (seeds, downloaders) = (filters.seeds.count(), filters.downloaders.count());
        self.emit(Event::Scraped { target, seeds, downloaders, answers });
    }

    /// Takes what `from` told of the item a lookup seeks. One that is not it, or not signed, costs `from` its place.
    pub(super) fn on_item_reply(&mut self, id: LookupId, from: NodeInfo, reply: Option<Box<ItemReply>>) {
        let Some(Goal::GetItem { key, newest, copies }) = self.lookups.get_mut(&id).map(|r| &mut r.goal)
        else {
            return;
        };
        let Some(reply) = reply.filter(|r| r.value.is_some()) else { return };
        // a hash may be that of a key and salt by mistake of who asked: whoever has that item did not lie
        if matches!(key, ItemKey::Immutable(_)) && reply.key.is_some() {
            return;
        }
        let Some(found) = reply.into_item(key) else {
            self.table.evict(&from.addr, self.now);
            return;
        };
        if newest.as_ref() == Some(&found) {
            *copies += 1;
            return;
        }
        if newest.as_ref().is_some_and(|newest| found.seq() <= newest.seq()) {
            return;
        }
        if let Item::Mutable(item) = &found
            && !item::is_authentic(item)
        {
            self.table.evict(&from.addr, self.now);
            return;
        }
        *newest = Some(found.clone());
        *copies = 1;
        self.emit(Event::ItemFound { item: found, from });
    }

    pub(super) fn on_samples(&mut self, id: LookupId, from: NodeInfo, samples: Samples) {
        let Some(target) = self.lookups.get(&id).map(|r| r.lookup.target()) else { return };
        let interval = Duration::from_secs(samples.interval_s.into());
        self.emit(Event::Sampled { target, from, interval, stored: samples.stored, samples: samples.hashes });
    }
}

/// Why others would refuse this item, if they would.
fn fault(item: &Item) -> Option<(i64, &'static str)> {
    let value = item.value();
    if value.len() > ITEM_VALUE_LEN_MAX {
        return Some((krpc::ERROR_VALUE_TOO_BIG, "Value Too Big"));
    }
    if !Document::parse(value).is_ok_and(|doc| doc.root().is_canonical()) {
        return Some((krpc::ERROR_PROTOCOL, "Value Is Not Canonical"));
    }
    match item {
        Item::Mutable(item) if item.salt.len() > ITEM_SALT_LEN_MAX => {
            Some((krpc::ERROR_SALT_TOO_BIG, "Salt Too Big"))
        }
        Item::Mutable(item) if !item::is_authentic(item) => {
            Some((krpc::ERROR_BAD_SIGNATURE, "Bad Signature"))
        }
        _ => None,
    }
}
