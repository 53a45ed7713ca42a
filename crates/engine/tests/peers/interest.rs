//! Interest is kept up to date, whatever happens.

use crate::net::{Content, Net, modern};
use proptest::prelude::*;
use unchoke_engine::{Command, Settings};
use unchoke_wire::{Bitfield, Message, PieceIndex};

/// One thing a peer or the user does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Have(u32),
    Bits(u16),
    Choke(bool),
    Want(u16),
    Get,
}

fn step() -> impl Strategy<Value = Step> {
    (0..5u8, any::<u16>()).prop_map(|(kind, n)| match kind {
        0 => Step::Have(u32::from(n % 16)),
        1 => Step::Bits(n),
        2 => Step::Choke(n % 2 == 0),
        3 => Step::Want(n),
        _ => Step::Get,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    //= S21
    #[test]
    fn we_are_interested_exactly_while_a_peer_has_what_we_want(steps in prop::collection::vec(step(), 1..60)) {
        let (mut net, content) = (Net::new(), Content::new("i", 16 * 16_384, 16_384, false));
        net.add_host(Settings { dht: false, ..Settings::default() });
        let torrent = net.add(0, &content, &Bitfield::none(16));
        let peer = net.join(0, &content, 1, modern());
        let (mut has, mut wanted, mut is_told) = (Bitfield::none(16), Bitfield::all(16), false);
        for step in steps {
            match step {
                Step::Have(p) => {
                    has.set(PieceIndex(p));
                    net.say(peer, &[Message::Have(PieceIndex(p))]);
                }
                Step::Bits(b) => {
                    has = Bitfield::from_bytes(&b.to_be_bytes(), 16).unwrap();
                    net.say(peer, &[Message::Bitfield(&b.to_be_bytes())]);
                }
                Step::Choke(true) => net.say(peer, &[Message::Choke]),
                Step::Choke(false) => net.say(peer, &[Message::Unchoke]),
                Step::Want(b) => {
                    wanted = Bitfield::from_bytes(&b.to_be_bytes(), 16).unwrap();
                    net.command(0, Command::SetWanted { torrent, wanted: wanted.clone() });
                }
                Step::Get => {}
            }
            for said in net.heard(peer) {
                match said.as_str() {
                    "interested" => prop_assert!(!core::mem::replace(&mut is_told, true)),
                    "notinterested" => prop_assert!(core::mem::replace(&mut is_told, false)),
                    _ if said.starts_with("request") && matches!(step, Step::Get | Step::Choke(false)) => {
                        net.give(peer, &content, crate::net::block_of(&said));
                    }
                    _ => {}
                }
            }
            // what was given may have changed it once more
            for said in net.heard(peer) {
                is_told = if said == "interested" { true } else { is_told && said != "notinterested" };
            }
            let have = net.hosts[0].engine.have(torrent).unwrap();
            let is_due = has.iter().any(|p| wanted.has(p) && !have.has(p));
            prop_assert_eq!(is_told, is_due);
        }
    }
}
