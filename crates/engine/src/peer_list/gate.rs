//! The gate that keeps strangers from pointing us at the local network.

use crate::input::PeerSource;
use unchoke_wire::scope::Scope;

/// Whether an address of scope `scope` may be dialled when it came from `source`, told by somebody of scope `told_by`.
pub fn may_be_dialled(scope: Scope, source: PeerSource, told_by: Scope) -> bool {
    match (scope, source) {
        (Scope::Unroutable, _) => false,
        (Scope::Global, _) | (_, PeerSource::User) => true,
        _ => scope == told_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_names_an_address_of_a_scope_they_are_not_in() {
        use PeerSource::{Dht, Magnet, Pex, Tracker, User};
        for source in [Magnet, Tracker, Dht, Pex] {
            assert!(may_be_dialled(Scope::Global, source, Scope::Loopback));
            assert!(may_be_dialled(Scope::Loopback, source, Scope::Loopback));
            assert!(may_be_dialled(Scope::Private, source, Scope::Private));
            assert!(!may_be_dialled(Scope::Private, source, Scope::Global));
            assert!(!may_be_dialled(Scope::Loopback, source, Scope::Private));
            assert!(!may_be_dialled(Scope::LinkLocal, source, Scope::Global));
        }
        assert!(may_be_dialled(Scope::Loopback, User, Scope::Global));
        assert!(!may_be_dialled(Scope::Unroutable, User, Scope::Global));
    }

    #[test]
    fn a_magnet_cannot_point_us_at_this_machine_or_its_network() {
        for ip in ["127.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fd00::1"] {
            let scope = Scope::of(ip.parse().unwrap());
            assert!(!may_be_dialled(scope, PeerSource::Magnet, Scope::Global), "{ip}");
        }
    }
}
