//! What is looked over once a second, while there are connections: rates, silence, keep-alives, the choker.

use super::duplicates::WAIT_MAX;
use super::{Engine, TICK};
use crate::event::CloseReason;
use crate::id::ConnId;
use crate::peer::Stage;
use unchoke_wire::limits::HANDSHAKE_TIMEOUT;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;

/// A keep-alive goes out when nothing else did for this long: well within two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// A peer that is silent for this long is gone: two minutes and as much again.
const SILENCE_MAX: Duration = Duration::from_secs(240);
/// A peer that takes nothing of what is being sent for this long holds memory for nobody's good.
const STALL_MAX: Duration = Duration::from_secs(120);

impl Engine {
    pub(super) fn tick(&mut self) {
        let conns: Vec<ConnId> = self.conns.keys().collect();
        for conn in conns {
            self.tick_conn(conn);
        }
        if self.now >= self.next_rechoke {
            self.next_rechoke = self.now + self.settings.rechoke_interval;
            self.rechoke();
            self.replace_useless();
        }
        self.make_room_to_dial();
        self.pool.drop_unused();
        self.count_metadata();
        self.next_tick = Some(self.now + TICK);
    }

    fn tick_conn(&mut self, conn: ConnId) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(conn) else { return };
        (c.idle_messages, c.cancels) = (0, 0);
        c.down.roll(now);
        c.up.roll(now);
        c.requests.adapt(c.down.rate(), now);
        let over = match c.stage {
            Stage::Dialling => None,
            Stage::Handshake => (now.since(c.since) >= HANDSHAKE_TIMEOUT).then_some(CloseReason::Timeout),
            // the other one is not gone
            Stage::Waiting => (now.since(c.since) >= WAIT_MAX).then_some(CloseReason::Duplicate),
            Stage::Ready => {
                let stalled = c.send.plan().map(|(_, since)| now.since(since.max(c.last_sent)));
                let is_stalled = stalled.is_some_and(|time| time >= STALL_MAX);
                let is_over = is_stalled || now.since(c.last_received) >= SILENCE_MAX;
                is_over.then_some(CloseReason::Timeout)
            }
        };
        if let Some(reason) = over {
            self.close(conn, reason);
            return;
        }
        if c.stage != Stage::Ready {
            return;
        }
        let torrent = c.torrent;
        if c.told.is_some() {
            self.touched.offers.insert(torrent);
        }
        // news that nobody waits for goes with other messages, or in a second
        let is_untold = c.send.have_cursor < self.torrents[torrent].have_log.len();
        let wants_keep_alive = c.send.len() == 0 && now.since(c.last_sent) >= KEEP_ALIVE;
        if c.requests.deadline().is_some_and(|at| at <= now) {
            let blocks = if c.is_choking {
                // it owed rejects, or what it had allowed: no snub, but nothing to ask it for either
                c.allowed_fast.clear();
                c.requests.give_up_all()
            } else {
                c.requests.snub()
            };
            self.release(conn, &blocks);
            blocks.into_iter().for_each(|block| self.push(conn, &Message::Cancel(block)));
        }
        if is_untold {
            self.want_send(conn);
        }
        if wants_keep_alive {
            self.push(conn, &Message::KeepAlive);
        }
        self.send_pex(conn);
        if self.torrents[torrent].metadata.is_some() {
            self.touched.torrents.insert(torrent);
        }
        if self.conns.get(conn).is_some_and(|c| c.requests.room() > 0) {
            self.touched.requests.insert(torrent);
        }
    }
}
