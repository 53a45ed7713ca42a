//! What many torrents and many strangers cost.

use crate::net::{Net, addr, hash, settings};
use unchoke_engine::hub::HubInput;
use unchoke_wire::time::{Duration, Instant};

const OURS: u16 = 500;
const TORRENTS: u32 = 10_000;

#[test]
fn ten_thousand_announced_torrents_cost_a_bounded_and_even_rate() {
    let mut net = Net::of(40);
    net.join(addr(OURS), settings([addr(0)]));
    net.run(Duration::from_secs(60));
    (0..TORRENTS).for_each(|n| net.search(addr(OURS), hash(n), true));
    let begin = net.now.as_micros() / 1_000_000;
    net.run(Duration::from_secs(16 * 60));
    let sent = net.seen(addr(OURS)).sent.clone();
    let minutes: Vec<usize> = (0..16)
        .map(|n| sent.range(begin + n * 60..begin + (n + 1) * 60).map(|(_, count)| count).sum())
        .collect();
    let peak = sent.range(begin..).map(|(_, count)| *count).max().unwrap_or(0);
    println!("datagrams a minute {minutes:?}, at most {peak} a second");
    let mean = minutes.iter().sum::<usize>() / minutes.len();
    // ten thousand rounds of some thirty datagrams in a quarter of an hour
    assert!((10_000..50_000).contains(&mean), "{mean}");
    // the first minutes seek whole lookups; later rounds begin where the last one ended
    assert!(minutes.iter().all(|n| *n <= 2 * mean), "{minutes:?}");
    assert!(peak <= 1000, "{peak}");
}

#[test]
fn an_idle_hub_wakes_up_less_than_once_a_second() {
    let mut net = Net::of(12);
    net.join(addr(OURS), settings([addr(0)]));
    net.run(Duration::from_secs(60));
    let hub_due = |net: &Net| net.hub(addr(OURS)).next_timeout().unwrap();
    let mut wakes = 0;
    let end = net.now + Duration::from_secs(3600);
    while hub_due(&net) < end {
        let due: Instant = hub_due(&net);
        net.run(due.since(net.now) + Duration::from_micros(1));
        wakes += 1;
    }
    println!("{wakes} wake-ups in an idle hour");
    assert!(wakes <= 3600, "{wakes}");
}

#[test]
fn noise_reaches_nobody() {
    let mut net = Net::default();
    net.join(addr(OURS), settings([]));
    let begin = net.seen(addr(OURS)).sent.values().sum::<usize>();
    for bytes in [
        &b""[..],
        b"d",
        b"de",
        b"i0e",
        b"l",
        b"\0\0\0",
        b"\0\0\0\x09\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:q",
        b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re",
        b"d1:eli201e5:erroe1:t2:aa1:y1:ee",
    ] {
        net.input(addr(OURS), HubInput::Datagram { from: addr(7), bytes });
    }
    let seen = net.seen(addr(OURS));
    assert_eq!((seen.sent.values().sum::<usize>(), seen.events.len()), (begin, 0));
}
