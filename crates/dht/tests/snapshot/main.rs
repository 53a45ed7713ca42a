//! Lookups in networks of a hundred thousand nodes, some of which are gone and some of which are hostile.

mod world;

use std::collections::BTreeMap;
use unchoke_dht::{Announce, Command, Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::item::Item;
use unchoke_wire::time::Duration;
use world::{Asker, Manner, Member, World};

const SECOND: Duration = Duration::from_secs(1);

/// What lookups came to.
#[derive(Default, Debug)]
struct Figures {
    lookups: usize,
    done: Vec<Duration>,
    first: Vec<Duration>,
    queries: usize,
    recalled: usize,
    announced: usize,
}

impl Figures {
    fn share(&self, n: usize) -> f64 {
        n as f64 / self.lookups as f64
    }

    fn mean_queries(&self) -> f64 {
        self.share(self.queries)
    }

    /// The share of the true eight closest that were found.
    fn recall(&self) -> f64 {
        self.share(self.recalled) / 8.0
    }

    fn done_ms(&self, percent: usize) -> u128 {
        percentile_ms(&self.done, percent)
    }

    fn first_ms(&self, percent: usize) -> u128 {
        percentile_ms(&self.first, percent)
    }

    fn print(&self, name: &str) {
        println!(
            "{name}: {} lookups, {:.1} queries, done p50 {} p95 {} p99 {} ms, first p50 {} p95 {} ms, found {:.4}, \
             recall {:.4}, stored at {:.2}",
            self.lookups,
            self.mean_queries(),
            self.done_ms(50),
            self.done_ms(95),
            self.done_ms(99),
            self.first_ms(50),
            self.first_ms(95),
            self.share(self.first.len()),
            self.recall(),
            self.share(self.announced),
        );
    }
}

fn percentile_ms(times: &[Duration], percent: usize) -> u128 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(0, Duration::as_millis)
}

/// One asker announces, another looks it up.
fn measure(world: &mut World, askers: usize, lookups: usize) -> Figures {
    let mut f = Figures::default();
    for n in 0..askers {
        let (mut a, mut b) = (Asker::new(world, 2 * n), Asker::new(world, 2 * n + 1));
        for _ in 0..lookups {
            let key = world.random_key();
            one(world, &mut a, &mut b, key, &mut f);
        }
    }
    f
}

fn one(world: &mut World, a: &mut Asker, b: &mut Asker, key: NodeId, f: &mut Figures) {
    a.search(world, key, Some(7000));
    let events = a.run(world, 8 * SECOND, |e| matches!(e, Event::Announced { .. }));
    if let Some((_, Event::Announced { to, .. })) = events.last() {
        f.announced += to;
    }
    a.command(world, Command::StopSearch { target: key.into() });
    let from = b.now;
    b.search(world, key, None);
    let events = b.run(world, 8 * SECOND, |e| matches!(e, Event::SearchDone { .. }));
    f.lookups += 1;
    let first = events.iter().find(
        |(_, e)| matches!(e, Event::PeersFound { peers, .. } if peers.contains(&(a.addr.ip(), 7000).into())),
    );
    f.first.extend(first.map(|(at, _)| at.since(from)));
    if let Some((at, Event::SearchDone { queries_sent, closest, .. })) = events.last() {
        f.done.push(at.since(from));
        f.queries += queries_sent;
        let truth = world.closest_live(key, 8);
        f.recalled += truth.iter().filter(|m| closest.contains(&m.info)).count();
    }
    b.command(world, Command::StopSearch { target: key.into() });
    b.run(world, SECOND, |_| false);
}

#[test]
fn among_a_hundred_thousand_with_a_fifth_dead_lookups_end_in_six_tenths_of_a_second() {
    let mut world = World::new(1, 100_000, 20);
    let f = measure(&mut world, 24, 50);
    f.print("100,000, 20 % dead, 2 % loss");
    assert!(f.share(f.first.len()) >= 0.995 && f.recall() >= 0.97 && f.mean_queries() <= 45.0);
    assert!(f.done_ms(50) <= 600 && f.done_ms(95) <= 800 && f.first_ms(50) <= 155);
}

#[test]
fn with_most_entries_dead_lookups_still_find_what_is_stored() {
    let mut world = World::new(2, 5000, 80);
    let f = measure(&mut world, 5, 20);
    f.print("5,000, 80 % dead");
    assert!(f.share(f.first.len()) >= 0.9 && f.mean_queries() <= 200.0);
}

/// Sixty-four nodes of this manner around a key, in so many networks; what lookups of the key come to.
fn attack(manner: Manner, networks: usize) -> Figures {
    let (mut f, askers) = (Figures::default(), 12);
    for seed in 0..4 {
        let mut world = World::new(100 + seed, 10_000, 20);
        let key = world.random_key();
        let attackers = (0..64).map(|n| {
            let mut id = world::random_id(&mut world.rng);
            id.0[..4].copy_from_slice(&key.0[..4]);
            let byte = |n| u8::try_from(n).expect("there are 64 attackers");
            let (network, host) = (byte(n % networks), byte(n / networks + 1));
            Member { info: NodeInfo { id, addr: ([77, 77, network, host], 6881).into() }, manner }
        });
        let attackers: Vec<Member> = attackers.collect();
        world.join(attackers);
        for n in 0..askers / 4 {
            let (mut a, mut b) = (Asker::new(&mut world, 2 * n), Asker::new(&mut world, 2 * n + 1));
            // both learn how large the network is, as nodes do in their first minutes
            for _ in 0..8 {
                for asker in [&mut a, &mut b] {
                    let target = world.random_key();
                    asker.command(&mut world, Command::FindNode { target });
                    asker.run(&mut world, 8 * SECOND, |e| matches!(e, Event::NodesFound { .. }));
                }
            }
            one(&mut world, &mut a, &mut b, key, &mut f);
        }
    }
    f.print(&format!("{manner:?} in {networks} networks"));
    f
}

#[test]
fn sixty_four_addresses_in_four_networks_eclipse_no_key() {
    let f = attack(Manner::Dropper, 4);
    assert_eq!(f.first.len(), f.lookups);
    assert!(f.mean_queries() <= 60.0);
}

#[test]
fn sixty_four_addresses_in_networks_of_their_own_crowd_no_key() {
    let f = attack(Manner::Dropper, 64);
    assert!(f.first.len() * 10 >= f.lookups * 9);
    assert!(f.mean_queries() <= 80.0);
}

#[test]
fn liars_about_nodes_that_do_not_exist_cost_a_bounded_number_of_queries() {
    let f = attack(Manner::Liar, 4);
    assert!(f.first.len() * 10 >= f.lookups * 9);
    assert!(f.mean_queries() <= 100.0);
}

#[test]
fn poisoned_values_do_not_push_out_the_peers_that_exist() {
    let f = attack(Manner::Poisoner, 4);
    assert_eq!(f.first.len(), f.lookups);
}

#[test]
fn announcing_where_a_search_just_was_costs_no_second_lookup() {
    let mut world = World::new(4, 2000, 0);
    let (mut asker, key) = (Asker::new(&mut world, 1), world.random_key());
    let is_done = |e: &Event| matches!(e, Event::SearchDone { .. });
    let is_announced = |e: &Event| matches!(e, Event::Announced { to: 6.., .. });
    asker.search(&mut world, key, None);
    asker.run(&mut world, 8 * SECOND, is_done);
    for port in [7000, 7001] {
        asker.run(&mut world, 60 * SECOND, |_| false);
        let before = asker.sent;
        asker.search(&mut world, key, Some(port));
        let events = asker.run(&mut world, 8 * SECOND, is_announced);
        assert!(events.iter().any(|(_, e)| is_announced(e)) && !events.iter().any(|(_, e)| is_done(e)));
        assert!(asker.sent - before <= 9, "{}", asker.sent - before);
    }
    asker.run(&mut world, 5 * 60 * SECOND, |_| false);
    asker.search(&mut world, key, Some(7002));
    let events = asker.run(&mut world, 8 * SECOND, is_announced);
    assert!(events.iter().any(|(_, e)| is_done(e)), "tokens grow old");
}

#[test]
fn putting_an_item_where_it_was_just_sought_costs_no_second_lookup() {
    let mut world = World::new(5, 2000, 0);
    let mut asker = Asker::new(&mut world, 1);
    let item = Item::Immutable { value: b"5:hello".to_vec() };
    asker.command(&mut world, Command::GetItem(item.key()));
    asker.run(&mut world, 8 * SECOND, |e| matches!(e, Event::ItemDone { .. }));
    let before = asker.sent;
    asker.command(&mut world, Command::PutItem { item, cas: None });
    let is_stored = |e: &Event| matches!(e, Event::ItemStored { to: 6.., .. });
    let events = asker.run(&mut world, 8 * SECOND, is_stored);
    assert!(events.last().is_some_and(|(_, e)| is_stored(e)));
    assert!(asker.sent - before <= 9, "{}", asker.sent - before);
}

#[test]
fn ten_thousand_announced_torrents_cost_a_bounded_even_rate() {
    const TORRENTS: usize = 10_000;
    let mut world = World::new(3, 10_000, 20);
    let mut asker = Asker::new(&mut world, 1);
    let announce = Some(Announce { port: 7000, implied_port: false, is_seed: true });
    for _ in 0..TORRENTS {
        let target = WireHash::from(world.random_key());
        asker.command(&mut world, Command::Search { target, announce, is_urgent: false });
    }
    let start = asker.now;
    let urgent = WireHash::from(world.random_key());
    asker.command(&mut world, Command::Search { target: urgent, announce, is_urgent: true });
    let is_urgent = |e: &Event| matches!(e, Event::SearchDone { target, .. } if *target == urgent);
    asker.run(&mut world, 10 * SECOND, is_urgent);
    assert!(asker.now.since(start) <= 3 * SECOND, "who waits goes first");
    let events = asker.run(&mut world, 100 * 60 * SECOND, |_| false);
    let mut announced: BTreeMap<WireHash, Vec<Duration>> = BTreeMap::new();
    for (at, event) in events {
        if let Event::Announced { target, to: 1.. } = event {
            announced.entry(target).or_default().push(at.since(start));
        }
    }
    assert!(announced.len() >= TORRENTS);
    let longest = announced.values().flat_map(|at| at.windows(2).map(|w| w[1] - w[0])).max();
    let mut per_s = vec![0usize; 6100];
    for at in &asker.sent_at {
        per_s[usize::try_from(at.since(start).as_secs()).unwrap()] += 1;
    }
    let figures = |from: usize, to: usize| {
        let span = &per_s[from..to];
        (span.iter().max().copied().unwrap_or(0), span.iter().sum::<usize>() / span.len())
    };
    let (first, later) = (figures(0, 1000), figures(2400, 6000));
    println!(
        "first round {first:?} datagrams a second (max, mean), later {later:?}, longest pause {longest:?}"
    );
    assert!(first.0 <= 900 && first.1 <= 500 && later.0 <= 500 && later.1 <= 250);
    assert!(longest.is_some_and(|pause| pause <= 30 * 60 * SECOND), "{longest:?}");
}
