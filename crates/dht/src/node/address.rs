//! Our external address by the word of others, and the id that follows from it (BEP 42).

use super::Node;
use super::goal::Goal;
use crate::identity::{AddressVotes, compliant_id, is_compliant};
use crate::io::Event;
use core::net::SocketAddr;
use rand::Rng;
use unchoke_wire::krpc::NodeId;

/// Ids kept beside the present one, each of another address: who moves between two networks has one in either.
pub const FORMER_IDS_MAX: usize = 3;

#[derive(Debug, Default)]
pub(super) struct OwnAddress {
    votes: AddressVotes,
    /// Ids we went by, the latest first.
    former: Vec<NodeId>,
}

impl Node {
    //= BEP 42: our address is what those we asked say in their replies
    /// Takes what the reply to a query of ours says our address is.
    pub(super) fn take_vote(&mut self, voter: SocketAddr, our_addr: Option<SocketAddr>) {
        let Some(addr) = our_addr else { return };
        let Some(ip) = self.address.votes.cast(voter, addr.ip(), self.now) else { return };
        if !is_compliant(&self.id, ip) {
            let known = self.address.former.iter().find(|id| is_compliant(id, ip)).copied();
            let id = known.unwrap_or_else(|| {
                let mut random = self.id;
                // the last byte stays: it picks one of the eight prefixes an address has
                self.rng.fill_bytes(&mut random.0[..19]);
                compliant_id(ip, random)
            });
            self.change_id(id);
        }
        let id = self.id;
        self.emit(Event::AddressVoted { ip, id });
    }

    /// Takes note of ids of earlier runs, behind those of this one.
    pub(super) fn remember_ids(&mut self, ids: Vec<NodeId>) {
        for id in ids {
            let former = &mut self.address.former;
            if former.len() < FORMER_IDS_MAX && id != self.id && !former.contains(&id) {
                former.push(id);
            }
        }
    }

    /// Our id, then those that were ours at other addresses, the latest first: what the next run should be told by
    /// [`Settings::own_id`](crate::Settings::own_id) and [`Command::RememberIds`](crate::Command::RememberIds).
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        core::iter::once(self.id).chain(self.address.former.iter().copied())
    }

    /// Goes by another id from now on: the table is built anew from its nodes and our neighbourhood sought. Searches
    /// go on as they are.
    fn change_id(&mut self, id: NodeId) {
        self.address.former.retain(|former| *former != id);
        self.address.former.insert(0, self.id);
        self.address.former.truncate(FORMER_IDS_MAX);
        self.id = id;
        self.table.move_to(id, self.now);
        self.lookups.retain(|_, running| running.goal != Goal::OwnId);
        self.bootstrap();
    }
}
