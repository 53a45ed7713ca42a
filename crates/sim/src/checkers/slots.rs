//! No more peers are unchoked than there are slots.

use super::view::HostView;

/// The end of a turn.
pub fn check(host: &HostView) -> Option<String> {
    if !host.choked {
        return None;
    }
    let unchoked = host.conns.values().filter(|c| !c.is_choked).count();
    (unchoked > host.slots).then(|| format!("{unchoked} peers are unchoked in {} slots", host.slots))
}
