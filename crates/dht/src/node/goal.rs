//! What lookups are for: what each kind asks, what it makes of the answers, and what it has stored at the end.

use super::Node;
use crate::io::{Announce, Event};
use crate::lookup::{Lookup, Pace};
use crate::scope;
use crate::transactions::LookupId;
use core::net::SocketAddr;
use std::collections::BTreeSet;
use unchoke_wire::WireHash;
use unchoke_wire::item::{Item, ItemKey};
use unchoke_wire::krpc::{self, Method, NodeId, NodeInfo, Put, Response};

/// Peers reported in a round.
const PEERS_MAX: usize = 2000;
/// Peers believed of one reply, so that a few liars cannot use up [`PEERS_MAX`].
const PEERS_PER_REPLY: usize = 128;

/// What a lookup is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// To find our own neighbourhood.
    OwnId,
    /// To refresh a bucket.
    Refresh,
    /// [`Command::FindNode`](crate::Command::FindNode).
    FindNode,
    /// A round of a search.
    Search {
        /// The info-hash.
        target: WireHash,
        /// Somebody waits for the peers.
        is_urgent: bool,
        /// Peers reported in this round.
        seen: BTreeSet<SocketAddr>,
        /// What to announce at its end.
        announce: Option<Announce>,
    },
    /// [`Command::Scrape`](crate::Command::Scrape).
    Scrape {
        /// The union of all filters.
        filters: Box<krpc::Scrape>,
        /// Nodes that sent filters.
        answers: usize,
    },
    /// [`Command::GetItem`](crate::Command::GetItem).
    GetItem {
        /// What is sought.
        key: ItemKey,
        /// The newest item found, which is authentic.
        newest: Option<Item>,
        /// Nodes that had it.
        copies: usize,
    },
    /// [`Command::PutItem`](crate::Command::PutItem).
    PutItem {
        /// The item, which is authentic.
        item: Item,
        /// Replace only what has this sequence number.
        cas: Option<i64>,
        /// What a node that refused said last.
        refusal: Option<(i64, String)>,
    },
    /// [`Command::Sample`](crate::Command::Sample).
    Sample {
        /// Nodes that answered with samples.
        answers: usize,
    },
}

impl Goal {
    /// What the nodes on the way to `key` are asked.
    pub(super) fn query(&self, key: NodeId) -> Method {
        match self {
            Goal::Search { .. } => Method::GetPeers { info_hash: key, no_seeds: false, scrape: false },
            Goal::Scrape { .. } => Method::GetPeers { info_hash: key, no_seeds: false, scrape: true },
            Goal::GetItem { .. } => Method::Get { target: key, seq: None },
            // for the token; an item that is no newer than ours need not be sent
            Goal::PutItem { item, .. } => Method::Get { target: key, seq: item.seq() },
            Goal::Sample { .. } => Method::SampleInfohashes { target: key },
            Goal::OwnId | Goal::Refresh | Goal::FindNode => Method::FindNode { target: key },
        }
    }

    /// What the closest nodes are asked to store under `key`, each by its token.
    pub(super) fn store_query(&self, key: NodeId, token: Vec<u8>) -> Option<Method> {
        match self {
            Goal::Search { announce, .. } => announce.map(|announce| Method::AnnouncePeer {
                info_hash: key,
                port: announce.port,
                implied_port: announce.implied_port,
                token,
                is_seed: announce.is_seed,
            }),
            Goal::PutItem { item, cas, .. } => {
                Some(Method::Put(Box::new(Put { item: item.clone(), cas: *cas, token })))
            }
            _ => None,
        }
    }

    /// Takes what a node said that refused to store.
    pub(super) fn on_refusal(&mut self, code: i64, text: &[u8]) {
        if let Goal::PutItem { refusal, .. } = self {
            *refusal = Some((code, String::from_utf8_lossy(text).into_owned()));
        }
    }

    /// How fast it is to be.
    pub(super) fn pace(&self) -> Pace {
        match self {
            Goal::Refresh | Goal::Search { is_urgent: false, .. } => Pace::Sparing,
            _ => Pace::Fast,
        }
    }

    /// Whether a command began it, so that its steps are told.
    pub(super) fn is_commanded(&self) -> bool {
        !matches!(self, Goal::OwnId | Goal::Refresh)
    }
}

impl Node {
    /// Takes what a reply to a lookup, seeking or storing, holds beyond nodes and token.
    pub(super) fn on_answer(&mut self, id: LookupId, from: NodeInfo, response: Response) {
        let seeking = self.lookups.get_mut(&id).map(|r| &mut r.goal);
        let Some(goal) = seeking.or_else(|| self.storing.get_mut(&id).map(|s| &mut s.goal)) else { return };
        match goal {
            Goal::OwnId | Goal::Refresh | Goal::FindNode | Goal::PutItem { .. } => {}
            Goal::Scrape { filters, answers } => {
                if let Some(theirs) = response.scrape {
                    filters.seeds.merge(&theirs.seeds);
                    filters.downloaders.merge(&theirs.downloaders);
                    *answers += 1;
                }
            }
            Goal::GetItem { .. } => self.on_item_reply(id, from, response.item),
            Goal::Sample { answers } => {
                if let Some(samples) = response.samples {
                    *answers += 1;
                    self.on_samples(id, from, samples);
                }
            }
            // peers come from get_peers alone
            Goal::Search { target, seen, .. } => {
                let mut peers = response.values;
                peers.retain(|p| scope::may_tell(*p, from.addr) && !self.own_addrs.contains(p));
                peers.truncate(PEERS_PER_REPLY);
                peers.retain(|p| seen.len() < PEERS_MAX && seen.insert(*p));
                let target = *target;
                self.emit_peers(target, peers);
            }
        }
    }

    /// Takes note that a lookup found its nodes; what it has stored at them follows.
    pub(super) fn on_sought(&mut self, lookup: &Lookup, goal: &mut Goal) {
        let closest = lookup.closest();
        match goal {
            Goal::OwnId => self.on_own_id_found(!closest.is_empty()),
            Goal::Refresh => {}
            Goal::FindNode => self.emit(Event::NodesFound { target: lookup.target(), closest }),
            Goal::Scrape { filters, answers } => {
                self.emit_scraped(lookup.target().into(), filters, *answers);
            }
            Goal::GetItem { key, newest, copies } => {
                self.emit(Event::ItemDone { key: key.clone(), item: newest.take(), copies: *copies });
            }
            Goal::PutItem { .. } => {}
            Goal::Sample { answers } => {
                self.emit(Event::SampleDone { target: lookup.target(), answers: *answers });
            }
            Goal::Search { target, seen, announce, .. } => {
                let target = *target;
                *announce = self.finish_search_round(target, seen.len(), &closest);
                let (peers_found, queries_sent) = (seen.len(), lookup.queries_sent());
                self.emit(Event::SearchDone { target, peers_found, queries_sent, closest });
            }
        }
    }

    /// Takes note that `to` of the nodes asked stored what the lookup was for, and that no more will.
    pub(super) fn on_stored(&mut self, goal: Goal, asked: usize, to: usize) {
        match goal {
            Goal::Search { target, .. } => {
                self.searches.on_announced(target, to, self.now);
                if asked > 0 && self.searches.get_mut(&target).is_some() {
                    self.emit(Event::Announced { target, to });
                }
            }
            Goal::PutItem { item, refusal, .. } => {
                self.emit(Event::ItemStored { key: item.key(), to, refusal });
            }
            _ => {}
        }
    }
}
