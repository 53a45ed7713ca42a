//! Only peers that sent bad data are banned.

use core::net::IpAddr;
use std::collections::BTreeSet;

/// An address was banned.
pub fn check(dishonest: &BTreeSet<IpAddr>, banned: IpAddr) -> Option<String> {
    (!dishonest.contains(&banned)).then(|| format!("{banned} was banned and is honest"))
}
