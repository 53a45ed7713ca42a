//! Items: what is stored and handed out, what is refused, what is believed (BEP 44).

use super::bench::*;
use core::net::SocketAddr;
use unchoke_dht::item::SecretKey;
use unchoke_dht::{Command, Event, Input, NodeInfo};
use unchoke_wire::item::{Item, MutableItem};
use unchoke_wire::krpc::{ItemReply, Kind, Message, Method, Put, Query, Response};
use unchoke_wire::time::Duration;

fn owned(seq: i64, value: &[u8]) -> Item {
    Item::Mutable(SecretKey::from_seed(&[5; 32]).sign(b"salt".to_vec(), seq, value.to_vec()))
}

fn fixed(value: &[u8]) -> Item {
    Item::Immutable { value: value.to_vec() }
}

fn get(item: &Item) -> Method {
    Method::Get { target: item.key().target(), seq: None }
}

/// What a node at `from` learns of `item` by asking.
fn told(bench: &mut Bench, from: SocketAddr, item: &Item) -> Option<ItemReply> {
    bench.response(from, get(item)).item.map(|item| *item)
}

/// Puts `item` with a good token; hands out the answer.
fn put_with(bench: &mut Bench, from: SocketAddr, item: &Item, cas: Option<i64>) -> Kind {
    let token = bench.response(from, get(item)).token.expect("a token");
    bench.query(from, Method::Put(Box::new(Put { item: item.clone(), cas, token })))
}

fn put(bench: &mut Bench, from: SocketAddr, item: &Item) -> Option<i64> {
    error_code(&put_with(bench, from, item, None))
}

#[test]
fn an_immutable_item_is_stored_under_its_hash_and_handed_out_as_it_was_written() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let item = fixed(b"d1:ali1e2:hiee");
    assert_eq!(told(&mut bench, at(2), &item), None);
    assert_eq!((put(&mut bench, at(2), &item), bench.node.stored_item_count()), (None, 1));
    let r = bench.response(at(3), get(&item));
    assert_eq!(r.item.and_then(|i| i.into_item(&item.key())), Some(item));
    assert_eq!((r.nodes, r.token.map(|t| t.len())), (Some(vec![node(1)]), Some(8)));
}

#[test]
fn a_mutable_item_is_handed_out_with_its_key_number_and_signature() {
    let mut bench = Bench::new();
    let item = owned(7, b"5:hello");
    assert_eq!(put(&mut bench, at(1), &item), None);
    let r = told(&mut bench, at(2), &item).expect("it is stored");
    assert!(r.key.is_some() && r.signature.is_some() && r.seq == Some(7));
    assert_eq!(r.into_item(&item.key()), Some(item));
}

#[test]
fn who_has_the_same_or_a_newer_item_is_told_the_number_alone() {
    let mut bench = Bench::new();
    let item = owned(7, b"5:hello");
    put(&mut bench, at(1), &item);
    let mut told = |seq| {
        let target = item.key().target();
        bench.response(at(2), Method::Get { target, seq: Some(seq) }).item.expect("it is known")
    };
    assert!(told(6).value.is_some());
    for seq in [7, 8] {
        assert_eq!(*told(seq), ItemReply { seq: Some(7), ..ItemReply::default() });
    }
}

#[test]
fn a_put_with_a_lower_an_equal_and_a_higher_number() {
    let mut bench = Bench::new();
    assert_eq!(put(&mut bench, at(1), &owned(5, b"1:a")), None);
    assert_eq!(put(&mut bench, at(1), &owned(4, b"1:b")), Some(302));
    assert_eq!(put(&mut bench, at(1), &owned(5, b"1:b")), Some(302), "one number, one value");
    assert_eq!(put(&mut bench, at(1), &owned(5, b"1:a")), None);
    assert_eq!(put(&mut bench, at(1), &owned(6, b"1:b")), None);
    let r = told(&mut bench, at(2), &owned(6, b"1:b")).expect("it is stored");
    assert_eq!((r.seq, r.value), (Some(6), Some(b"1:b".to_vec())));
}

#[test]
fn the_same_item_put_again_stays_two_hours_more() {
    let mut bench = Bench::new();
    let (kept, lost) = (owned(1, b"1:a"), fixed(b"1:b"));
    put(&mut bench, at(1), &kept);
    put(&mut bench, at(1), &lost);
    bench.wait(60 * MINUTE);
    assert_eq!(put(&mut bench, at(1), &kept), None);
    bench.wait(61 * MINUTE);
    assert_eq!(bench.node.stored_item_count(), 1);
    assert!(told(&mut bench, at(2), &kept).is_some() && told(&mut bench, at(2), &lost).is_none());
    bench.wait(61 * MINUTE);
    assert_eq!(bench.node.stored_item_count(), 0);
}

#[test]
fn a_put_that_expects_another_number_than_the_stored_one_is_refused() {
    let mut bench = Bench::new();
    let code = |bench: &mut Bench, item, cas| error_code(&put_with(bench, at(1), &item, Some(cas)));
    assert_eq!(code(&mut bench, owned(5, b"1:a"), 77), None, "nothing is there yet");
    assert_eq!(code(&mut bench, owned(6, b"1:b"), 4), Some(301));
    assert_eq!(code(&mut bench, owned(6, b"1:b"), 5), None);
    assert_eq!(code(&mut bench, owned(6, b"1:b"), 5), Some(301));
}

#[test]
fn a_bad_signature_is_refused_after_a_bad_token() {
    let mut bench = Bench::new();
    let Item::Mutable(good) = owned(5, b"1:a") else { panic!("it is mutable") };
    let bad = Item::Mutable(MutableItem { signature: [1; 64], ..good });
    let forged = Put { item: bad.clone(), cas: None, token: b"12345678".to_vec() };
    assert_eq!(error_code(&bench.query(at(1), Method::Put(Box::new(forged)))), Some(203));
    assert_eq!(put(&mut bench, at(1), &bad), Some(206));
    assert_eq!(bench.node.stored_item_count(), 0);
}

#[test]
fn a_token_serves_one_address_and_one_target() {
    let mut bench = Bench::new();
    let (item, other) = (fixed(b"1:a"), fixed(b"1:b"));
    let token = bench.response(at(1), get(&item)).token.expect("a token");
    let with =
        |item: &Item| Method::Put(Box::new(Put { item: item.clone(), cas: None, token: token.clone() }));
    assert_eq!(error_code(&bench.query(at(2), with(&item))), Some(203));
    assert_eq!(error_code(&bench.query(at(1), with(&other))), Some(203));
    assert_eq!(error_code(&bench.query(at(1), with(&item))), None);
}

#[test]
fn a_salt_of_65_bytes_and_a_value_of_1001_are_refused_and_one_less_is_not() {
    let mut bench = Bench::new();
    let string = |len: usize| [format!("{len}:").as_bytes(), &vec![b'x'; len]].concat();
    let salted =
        |len| Item::Mutable(SecretKey::from_seed(&[5; 32]).sign(vec![b's'; len], 1, b"i1e".to_vec()));
    for (item, code) in [
        (fixed(&string(996)), None),
        (fixed(&string(997)), Some(205)),
        (owned(1, &string(996)), None),
        (owned(1, &string(997)), Some(205)),
        (salted(64), None),
        (salted(65), Some(207)),
    ] {
        assert_eq!(put(&mut bench, at(1), &item), code);
    }
    assert_eq!(bench.node.stored_item_count(), 3);
}

#[test]
fn what_is_not_strictly_canonical_or_not_whole_is_refused_with_203_and_not_stored() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get(&fixed(b"d1:bi1e1:ai2ee"))).token.expect("a token");
    let put = |token: &[u8], head: &[u8], v: &[u8]| {
        let parts: [&[u8]; 7] = [
            b"d1:ad2:id20:mnopqrstuvwxyz123456",
            head,
            b"5:token8:",
            token,
            b"1:v",
            v,
            b"e1:q3:put1:t2:aa1:y1:qe",
        ];
        parts.concat()
    };
    // a mutable item without its signature is no immutable one
    let keyed = [&b"1:k32:"[..], &[7; 32], b"3:seqi1e"].concat();
    let token_of =
        |bench: &mut Bench, v: &[u8]| bench.response(at(1), get(&fixed(v))).token.expect("a token");
    let whole = token_of(&mut bench, b"1:a");
    for bytes in [put(&token, b"", b"d1:bi1e1:ai2ee"), put(&whole, &keyed, b"1:a")] {
        let (sent, _) = bench.input(Input::Datagram { from: at(1), bytes: &bytes });
        assert_eq!(error_code(&decoded(sent)[0].1.kind), Some(203));
    }
    assert_eq!(bench.node.stored_item_count(), 0);
    bench.input(Input::Datagram { from: at(1), bytes: &put(&whole, b"", b"1:a") });
    assert_eq!(bench.node.stored_item_count(), 1);
}

#[test]
fn the_token_is_withheld_from_a_site_that_brought_its_share() {
    let mut bench = Bench::new();
    let item = |n: u8| fixed(format!("i{n}e").as_bytes());
    for n in 0..32 {
        assert_eq!(put(&mut bench, at(1), &item(n)), None);
        bench.wait(Duration::from_secs(1));
    }
    assert_eq!(bench.response(at(1), get(&item(99))).token, None);
    assert!(bench.response(at(1), get(&item(3))).token.is_some());
    assert!(bench.response(at(2), get(&item(99))).token.is_some());
}

#[test]
fn the_sixty_first_put_of_a_site_in_a_minute_meets_silence() {
    let mut bench = Bench::new();
    let item = owned(1, b"1:a");
    let mut answered = 0;
    for _ in 0..70 {
        bench.wait(Duration::from_millis(700));
        let token = bench.response(at(1), get(&item)).token.expect("a token");
        let (sent, _) = bench.receive(
            at(1),
            &query(OTHER, Method::Put(Box::new(Put { item: item.clone(), cas: None, token }))),
        );
        answered += usize::from(sent.iter().any(|(_, m)| m.transaction == b"aa"));
    }
    assert_eq!(answered, 60);
}

#[test]
fn a_node_that_serves_no_items_leads_on_and_gives_no_token() {
    let mut bench = Bench::with(|s| s.serves_items = false);
    bench.befriend(node(1));
    let r = bench.response(at(2), get(&fixed(b"1:a")));
    assert_eq!((r.token, r.nodes), (None, Some(vec![node(1)])));
    let put = Put { item: fixed(b"1:a"), cas: None, token: b"12345678".to_vec() };
    assert_eq!(error_code(&bench.query(at(2), Method::Put(Box::new(put)))), Some(204));
}

/// The method of a query we sent.
fn method(message: &Message) -> &Method {
    match &message.kind {
        Kind::Query(Query { method, .. }) => method,
        other => panic!("not a query: {other:?}"),
    }
}

/// Answers every `get` among `sent` with what `item_of` has for its receiver, until none is sent any more.
fn answer_gets(
    bench: &mut Bench,
    mut sent: Vec<(SocketAddr, Message)>,
    item_of: impl Fn(SocketAddr) -> Option<ItemReply>,
) -> (Vec<(SocketAddr, Message)>, Vec<Event>) {
    let (mut others, mut events) = (Vec::new(), Vec::new());
    while let Some((to, ask)) = sent.pop() {
        if !matches!(method(&ask), Method::Get { .. }) {
            others.push((to, ask));
            continue;
        }
        let id = bench.live().into_iter().find(|n| n.addr == to).expect("nodes we know are asked").id;
        let token = Some(to.ip().to_string().into_bytes());
        let reply = Response { token, item: item_of(to).map(Box::new), ..Response::new(id) };
        let (s, e) = bench.receive(to, &answer(&ask, reply));
        sent.extend(s);
        events.extend(e);
    }
    (others, events)
}

#[test]
fn the_newest_item_wins_and_poisoned_ones_cost_their_teller_its_place() {
    let mut bench = Bench::new();
    (1..=6).for_each(|n| bench.befriend(node(n)));
    let (old, new) = (owned(3, b"3:old"), owned(4, b"3:new"));
    let forged = ItemReply { seq: Some(9), ..ItemReply::of(&old) };
    let foreign = SecretKey::from_seed(&[6; 32]).sign(b"salt".to_vec(), 9, b"1:x".to_vec());
    let (sent, _) = bench.command(Command::GetItem(new.key()));
    let (_, events) = answer_gets(&mut bench, sent, |from| {
        Some(match from {
            from if from == at(1) => ItemReply::of(&old),
            from if from == at(2) || from == at(3) => ItemReply::of(&new),
            from if from == at(4) => forged.clone(),
            from if from == at(5) => ItemReply::of(&Item::Mutable(foreign.clone())),
            _ => return None,
        })
    });
    let found: Vec<&Item> = events
        .iter()
        .filter_map(|e| if let Event::ItemFound { item, .. } = e { Some(item) } else { None })
        .collect();
    assert!(found.iter().all(|item| **item == old || **item == new) && found.last() == Some(&&new));
    assert!(events.contains(&Event::ItemDone { key: new.key(), item: Some(new.clone()), copies: 2 }));
    let mut live = bench.live();
    live.sort_unstable();
    assert_eq!(live, [node(1), node(2), node(3), node(6)]);
}

#[test]
fn an_immutable_item_is_believed_by_its_hash_alone() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.befriend(node(n)));
    let item = fixed(b"5:hello");
    let (sent, _) = bench.command(Command::GetItem(item.key()));
    let (_, events) = answer_gets(&mut bench, sent, |from| {
        Some(ItemReply::of(&if from == at(1) { item.clone() } else { fixed(b"5:jello") }))
    });
    assert!(events.contains(&Event::ItemFound { item: item.clone(), from: node(1) }));
    assert!(events.contains(&Event::ItemDone { key: item.key(), item: Some(item), copies: 1 }));
    assert_eq!(bench.live(), [node(1)]);
}

#[test]
fn nobody_known_finds_and_stores_nothing_but_says_so() {
    let mut bench = Bench::new();
    let item = owned(1, b"1:a");
    let (_, events) = bench.command(Command::GetItem(item.key()));
    assert_eq!(events, [Event::ItemDone { key: item.key(), item: None, copies: 0 }]);
    let (_, events) = bench.command(Command::PutItem { item: item.clone(), cas: None });
    assert_eq!(events, [Event::ItemStored { key: item.key(), to: 0, refusal: None }]);
}

#[test]
fn an_item_is_put_at_those_who_gave_tokens_and_what_they_refused_is_told() {
    let mut bench = Bench::new();
    (1..=3).for_each(|n| bench.befriend(node(n)));
    let item = owned(8, b"1:a");
    let (sent, _) = bench.command(Command::PutItem { item: item.clone(), cas: Some(7) });
    assert!(sent.iter().all(|(_, m)| matches!(method(m), Method::Get { seq: Some(8), .. })));
    let (puts, _) = answer_gets(&mut bench, sent, |_| None);
    assert_eq!(puts.len(), 3);
    let mut told = Vec::new();
    for (to, ask) in puts {
        let expected = Put { item: item.clone(), cas: Some(7), token: to.ip().to_string().into_bytes() };
        assert_eq!(*method(&ask), Method::Put(Box::new(expected)));
        let n = bench.live().into_iter().find(|n| n.addr == to).expect("it is known");
        let reply = if to == at(2) {
            Message { kind: Kind::Error { code: 301, text: b"CAS mismatch".to_vec() }, ..ask }
        } else {
            answer(&ask, Response::new(n.id))
        };
        told.extend(bench.receive(to, &reply).1);
    }
    let refusal = Some((301, "CAS mismatch".to_owned()));
    assert_eq!(told, [Event::ItemStored { key: item.key(), to: 2, refusal }]);
}

#[test]
fn an_item_that_everybody_would_refuse_is_not_sent() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let Item::Mutable(good) = owned(1, b"1:a") else { panic!("it is mutable") };
    for (item, code) in [
        (fixed(&[b"997:".to_vec(), vec![0; 997]].concat()), 205),
        (fixed(b"d1:bi1e1:ai1ee"), 203),
        (fixed(b"1:ab"), 203),
        (Item::Mutable(MutableItem { salt: vec![0; 65], ..good.clone() }), 207),
        (Item::Mutable(MutableItem { seq: 2, ..good.clone() }), 206),
    ] {
        let (sent, events) = bench.command(Command::PutItem { item, cas: None });
        assert!(sent.is_empty());
        assert!(
            matches!(&events[..], [Event::ItemStored { to: 0, refusal: Some((c, _)), .. }] if *c == code)
        );
    }
}

#[test]
fn the_target_of_an_item_is_led_to_by_nodes() {
    let mut bench = Bench::new();
    let target = owned(1, b"1:a").key().target();
    let near = NodeInfo { id: target, addr: at(99) };
    bench.befriend(near);
    (1..=20).for_each(|n| bench.befriend(node(n)));
    assert_eq!(bench.response(at(100), Method::Get { target, seq: None }).nodes.map(|n| n[0]), Some(near));
}
