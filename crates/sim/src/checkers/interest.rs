//! At the end of every turn each peer knows whether we are interested: exactly when it has what we want and lack.

use super::view::HostView;

/// The end of a turn.
pub fn check(host: &mut HostView) -> Option<String> {
    let touched = core::mem::take(&mut host.touched);
    touched.into_iter().find_map(|conn| {
        let c = host.conns.get(&conn)?;
        let t = host.torrents.get(&c.torrent)?;
        let is_due = c.is_interesting(t);
        (is_due != c.am_interested)
            .then(|| format!("{conn:?} was told interested = {}, it is {is_due}", c.am_interested))
    })
}
