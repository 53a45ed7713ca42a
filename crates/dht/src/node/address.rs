//! Our external address by the word of others, and the id that follows from it (BEP 42).

use super::Node;
use super::goal::Goal;
use crate::identity::{compliant_id, is_compliant};
use crate::io::Event;
use core::net::SocketAddr;
use rand::Rng;
use unchoke_wire::krpc::NodeId;

impl Node {
    //= BEP 42: our address is what those we asked say in their replies
    /// Takes what the reply to a query of ours says our address is.
    pub(super) fn take_vote(&mut self, voter: SocketAddr, our_addr: Option<SocketAddr>) {
        let Some(addr) = our_addr else { return };
        let Some(ip) = self.address_votes.cast(voter, addr.ip(), self.now) else { return };
        if !is_compliant(&self.id, ip) {
            let mut random = self.id;
            // the last byte stays: it picks one of the eight prefixes an address has
            self.rng.fill_bytes(&mut random.0[..19]);
            self.change_id(compliant_id(ip, random));
        }
        let id = self.id;
        self.emit(Event::AddressVoted { ip, id });
    }

    /// Goes by another id from now on: the table is built anew from its nodes and our neighbourhood sought. Searches
    /// go on as they are.
    fn change_id(&mut self, id: NodeId) {
        self.id = id;
        self.table.move_to(id, self.now);
        self.lookups.retain(|_, running| running.goal != Goal::OwnId);
        self.bootstrap();
    }
}
