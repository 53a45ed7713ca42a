//! Several connections of one peer id: which one stays.
//!
//! An id proves nothing, whoever has seen one can claim it. A connection that is alive is never given up for another
//! address of its id; but one whose peer has moved, or whose NAT has forgotten it, is alive for nobody, and the system
//! takes a minute to find out. So a newcomer does not have to go where the older connection has been silent lately: it
//! waits, while the older one is put to the test. A keep-alive is sent on it, and it is lost unless its other side, the
//! system there and not the program, acknowledges that within seconds. A peer that is there cannot fail this, however
//! little it has to say; a stranger who claims its id costs it four bytes.

use super::{Engine, protocol};
use crate::event::CloseReason;
use crate::id::ConnId;
use crate::output::Output;
use crate::peer::{PeerConn, Stage};
use crate::peer_list::is_newer_kept;
use unchoke_wire::PeerId;
use unchoke_wire::limits::EXTENDED_LEN_MAX;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;

/// A connection that brought bytes within this is alive beyond doubt.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// How long sent bytes may go without an acknowledgement on a connection that is put to the test: five segments in a row
/// have to be lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a newcomer waits for the outcome. What was sent before is sent again ever more seldom, so that a connection
/// that has been dead for some seconds takes as many again to be found out.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(8);
/// Bytes of a newcomer that wait with it, more than which closes it: a bitfield and an extension handshake.
const EARLY_LEN_MAX: usize = EXTENDED_LEN_MAX as usize;

impl Engine {
    /// Whether a connection whose handshakes are through takes its place in its torrent at once. Of two of the same peer
    /// id and host, in opposite directions, the one stays that the side with the greater id dialled, so that both sides
    /// keep the same. Else the older stays, unless it has been silent lately and shows no life now: until that is known
    /// the newcomer waits, one at a time.
    ///
    /// # Errors
    /// It has to go.
    pub(super) fn may_begin(&mut self, conn: ConnId) -> Result<bool, CloseReason> {
        let c = &self.conns[conn];
        let t = &self.torrents[c.torrent];
        let is_same = |o: &PeerConn| o.is_ready() && o.peer_id == c.peer_id;
        let Some(older) = t.conns.iter().copied().find(|id| *id != conn && is_same(&self.conns[*id])) else {
            return Ok(true);
        };
        let (our_id, o) = (t.peer_id, &self.conns[older]);
        let rival = o.rival;
        if is_replaced(our_id, o, c) {
            rival.into_iter().for_each(|rival| self.close(rival, CloseReason::Duplicate));
            self.close(older, CloseReason::Duplicate);
            return Ok(true);
        }
        if self.now.since(o.last_received) < ALIVE_WITHIN {
            return Err(CloseReason::Duplicate);
        }
        if let Some(rival) = rival {
            if !is_replaced(our_id, &self.conns[rival], c) {
                return Err(CloseReason::Duplicate);
            }
            self.close(rival, CloseReason::Duplicate);
        }
        self.conns[older].rival = Some(conn);
        let c = &mut self.conns[conn];
        (c.stage, c.since) = (Stage::Waiting, self.now);
        self.out.push_back(Output::Patience { conn: older, within: Some(PATIENCE) });
        self.push(older, &Message::KeepAlive);
        Ok(false)
    }

    /// Bytes of a connection that waits are kept.
    pub(super) fn receive_early(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), CloseReason> {
        let early = &mut self.conns[conn].handshake;
        if early.len() + bytes.len() > EARLY_LEN_MAX {
            return Err(protocol("says too much before it is heard"));
        }
        early.extend_from_slice(bytes);
        Ok(())
    }

    /// A connection that was put to the test brings bytes: whoever waited for its place has to go.
    pub(super) fn outlive(&mut self, conn: ConnId) {
        if let Some(rival) = self.conns[conn].rival {
            self.close(rival, CloseReason::Duplicate);
        }
    }

    /// The connection that one waited for is gone: it takes its place, unless yet another one has done so.
    pub(super) fn succeed(&mut self, conn: ConnId) {
        if self.conns.get(conn).is_none_or(|c| c.stage != Stage::Waiting) {
            return;
        }
        let result = self.may_begin(conn).and_then(|may_begin| {
            if !may_begin {
                return Ok(());
            }
            let early = core::mem::take(&mut self.conns[conn].handshake);
            self.begin(conn);
            self.receive_messages(conn, &early)
        });
        if let Err(reason) = result {
            self.close(conn, reason);
        }
    }

    /// A connection is gone: who waited for its place is let in, whom it waited for is no longer tested.
    pub(super) fn forget_rivalry(&mut self, conn: ConnId, gone: &PeerConn) {
        self.touched.rivals.extend(gone.rival);
        let Some(t) = self.torrents.get(gone.torrent).filter(|_| gone.stage == Stage::Waiting) else {
            return;
        };
        let tested = t.conns.iter().copied().find(|id| self.conns[*id].rival == Some(conn));
        if let Some(tested) = tested {
            self.conns[tested].rival = None;
            self.out.push_back(Output::Patience { conn: tested, within: None });
        }
    }
}

/// Whether the newer of two connections of one peer id takes the place of the older one whatever state that is in.
fn is_replaced(our_id: PeerId, older: &PeerConn, newer: &PeerConn) -> bool {
    let is_same_host = older.remote.ip().to_canonical() == newer.remote.ip().to_canonical();
    is_same_host && is_newer_kept(our_id, newer.peer_id, older.is_outgoing, newer.is_outgoing)
}
