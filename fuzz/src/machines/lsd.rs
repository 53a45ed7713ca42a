//! Local service discovery under any row of torrents, datagrams and waits.

use crate::steps::{BEGIN, Steps};
use std::collections::BTreeSet;
use unchoke_engine::lsd::{BURST, Input, Lsd, Output, PACKET_EVERY, Settings};
use unchoke_wire::compact::Family;
use unchoke_wire::time::Instant;
use unchoke_wire::{WireHash, limits, lsd::Announce};

/// Packets are short, no more than one a minute and a burst, and name only what is announced; peers are found for what
/// is announced alone.
pub fn lsd_machine(data: &[u8]) {
    let mut steps = Steps::new(data);
    let settings = Settings { v4: steps.flag(), v6: steps.flag(), listen_port: u16::from(steps.byte()) };
    let mut lsd = Lsd::new(settings, [7; 32], BEGIN);
    let (mut now, mut announced, mut packets) = (BEGIN, BTreeSet::new(), Vec::new());
    while !steps.is_over() {
        let what = steps.byte();
        let hash = |n: u8| WireHash([n; 20]);
        let bytes;
        let mut waits = 1;
        let input = match what % 5 {
            0 | 1 => {
                announced.insert(hash(what));
                Input::Announce(hash(what))
            }
            2 => {
                announced.remove(&hash(what - 2));
                Input::Stop(hash(what - 2))
            }
            3 => {
                let hashes = (0..1 + steps.below(24)).map(|_| hash(steps.byte())).collect();
                let announce = Announce { port: 6881, hashes, cookie: steps.bytes() };
                let is_plain =
                    announce.cookie.iter().all(u8::is_ascii_graphic) && announce.cookie.len() <= 64;
                bytes = if is_plain { announce.encode(Family::V4) } else { steps.bytes().to_vec() };
                Input::Datagram { from: steps.address(), is_on_link: steps.byte() != 0, bytes: &bytes }
            }
            _ => {
                now = now + steps.wait();
                waits = 100;
                Input::Timeout
            }
        };
        let outputs: Vec<Output> = lsd.handle(input, now).collect();
        check(outputs, &announced, now, &mut packets);
        // what is due by now is done in few turns
        while waits > 1 && lsd.next_timeout().is_some_and(|at| at <= now) {
            let outputs: Vec<Output> = lsd.handle(Input::Timeout, now).collect();
            check(outputs, &announced, now, &mut packets);
            waits -= 1;
            assert!(waits > 1, "it spins");
        }
    }
}

fn check(
    outputs: Vec<Output>,
    announced: &BTreeSet<WireHash>,
    now: Instant,
    packets: &mut Vec<(Family, Instant)>,
) {
    for output in outputs {
        match output {
            Output::Datagram { family, bytes } => {
                let announce = Announce::decode(&bytes).expect("what we write we read");
                assert!(
                    bytes.len() <= limits::LSD_LEN_MAX
                        && announce.hashes.iter().all(|h| announced.contains(h))
                );
                packets.push((family, now));
                let minute = |(f, at): &&(Family, Instant)| *f == family && now.since(*at) < PACKET_EVERY;
                assert!(
                    packets.iter().filter(minute).count() as u64 <= u64::from(BURST),
                    "too many in a minute"
                );
            }
            Output::Found { hash, peer } => assert!(announced.contains(&hash) && peer.port() != 0),
        }
    }
}
