//! A bitfield, have-all or have-none is the first message after the handshake, and is never sent again.

use super::view::HostView;
use unchoke_engine::output::Trace;
use unchoke_wire::message::Message;

/// A message the host sends.
pub fn check(host: &HostView, trace: &Trace, message: &Message<'_>) -> Option<String> {
    let Some(c) = host.conns.get(&trace.conn) else {
        return Some(format!("{message:?} before a handshake"));
    };
    match message {
        Message::Bitfield(_) | Message::HaveAll | Message::HaveNone if c.has_told => {
            Some("told twice what it has".to_owned())
        }
        Message::Bitfield(_) | Message::HaveAll | Message::HaveNone if c.sent > 0 => {
            Some("told what it has after other messages".to_owned())
        }
        Message::HaveAll | Message::HaveNone | Message::Reject(_) | Message::AllowedFast(_)
            if !c.is_fast() =>
        {
            Some(format!("{message:?} to a peer without the fast extension"))
        }
        _ => None,
    }
}
