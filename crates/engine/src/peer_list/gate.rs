//! The gate every dialled address passes: nobody points us at ourselves, and no stranger at the local network.

use core::net::SocketAddr;
use std::collections::VecDeque;
use unchoke_wire::scope::{self, Teller};

/// Addresses of ours learned from others that are remembered, the latest ones: who echoes our peer id back is taken for
/// us, and anybody can.
const LEARNED_MAX: usize = 32;

/// Which addresses may be dialled.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Where we listen, as far as the owner knows.
    own: Vec<SocketAddr>,
    /// Where we are reached, as others tell.
    learned: VecDeque<SocketAddr>,
}

impl Gate {
    /// The gate of somebody who is reached at `own`.
    pub fn new(own: Vec<SocketAddr>) -> Self {
        Gate { own: own.into_iter().map(scope::canonical).collect(), learned: VecDeque::new() }
    }

    /// Whether `addr` may be dialled when `teller` named it: it is not ours, and [`scope::may_use`] lets it.
    pub fn admits(&self, addr: SocketAddr, teller: Teller) -> bool {
        scope::may_use(addr, teller) && !self.is_own(addr)
    }

    /// Whether we are reached there.
    pub fn is_own(&self, addr: SocketAddr) -> bool {
        self.own().any(|own| own == scope::canonical(addr))
    }

    /// Where we are reached.
    pub fn own(&self) -> impl Iterator<Item = SocketAddr> {
        self.own.iter().chain(&self.learned).copied()
    }

    /// We are reached at these addresses; what others told before holds no more.
    pub fn replace(&mut self, own: Vec<SocketAddr>) {
        *self = Gate::new(own);
    }

    /// We are reached at this address, others tell.
    pub fn learn(&mut self, addr: SocketAddr) {
        if !self.is_own(addr) {
            if self.learned.len() >= LEARNED_MAX {
                self.learned.pop_front();
            }
            self.learned.push_back(scope::canonical(addr));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    //= C1
    #[test]
    fn nobody_names_ourselves_not_even_the_user() {
        let mut gate = Gate::new(vec![addr("10.0.0.5:6881"), addr("[::ffff:10.0.0.6]:6881")]);
        gate.learn(addr("1.2.3.4:6881"));
        let tellers = [Teller::User, Teller::Torrent, Teller::Anybody, Teller::At(addr("10.0.0.9:1").ip())];
        for own in ["10.0.0.5:6881", "[::ffff:10.0.0.5]:6881", "10.0.0.6:6881", "1.2.3.4:6881"] {
            assert!(!tellers.into_iter().any(|teller| gate.admits(addr(own), teller)), "{own}");
        }
        assert!(gate.admits(addr("10.0.0.5:6882"), Teller::User), "another port is somebody else");
    }

    //= C1
    //= H3c-64
    #[test]
    fn a_magnet_cannot_point_us_at_this_machine_or_its_network() {
        for peer in ["127.0.0.1:22", "192.168.1.1:80", "169.254.169.254:80", "[::1]:22", "[fd00::1]:22"] {
            assert!(!Gate::default().admits(addr(peer), Teller::Anybody), "{peer}");
        }
    }

    #[test]
    fn addresses_learned_from_others_are_bounded() {
        let mut gate = Gate::new(vec![addr("10.0.0.5:6881")]);
        (1..=1000).for_each(|port| gate.learn(SocketAddr::from(([1, 2, 3, 4], port))));
        assert_eq!(gate.own().count(), 1 + LEARNED_MAX);
        assert!(gate.is_own(addr("10.0.0.5:6881")) && gate.is_own(addr("1.2.3.4:1000")));
    }
}
