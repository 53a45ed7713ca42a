//! Tests of the codec as a whole: published examples, liberal receiving, canonical sending.

use super::*;
use crate::limits;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

const ALICE: NodeId = NodeId(*b"abcdefghij0123456789");
const BOB: NodeId = NodeId(*b"mnopqrstuvwxyz123456");

fn message(kind: Kind) -> Message {
    Message { transaction: b"aa".to_vec(), kind, version: None, is_read_only: false, ip: None }
}

fn query(method: Method) -> Message {
    message(Kind::Query(Query { id: ALICE, want: None, method }))
}

fn v4(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(8, 8, 8, n), port))
}

fn v6(n: u16, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, n), port))
}

/// Wraps a dictionary of results.
fn reply(r: &[u8]) -> Response {
    let bytes = [b"d1:rd2:id20:mnopqrstuvwxyz123456", r, b"e1:t2:aa1:y1:re"].concat();
    match Message::decode(&bytes).unwrap().kind {
        Kind::Response(response) => response,
        other => panic!("not a response: {other:?}"),
    }
}

fn string(s: &[u8]) -> Vec<u8> {
    [format!("{}:", s.len()).as_bytes(), s].concat()
}

#[test]
fn the_examples_of_bep_5_read_and_write_byte_for_byte() {
    let generic = Kind::Error { code: ERROR_GENERIC, text: b"A Generic Error Ocurred".to_vec() };
    let get_peers = Method::GetPeers { info_hash: BOB, no_seeds: false, scrape: false };
    let announce = Method::AnnouncePeer {
        info_hash: BOB,
        port: 6881,
        implied_port: true,
        token: b"aoeusnth".to_vec(),
        is_seed: false,
    };
    let values = vec![
        SocketAddr::from((*b"axje", u16::from_be_bytes(*b".u"))),
        SocketAddr::from((*b"idht", u16::from_be_bytes(*b"nm"))),
    ];
    let peers = Response { token: Some(b"aoeusnth".to_vec()), values, ..Response::new(ALICE) };
    for (text, expected) in [
        ("d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee", message(generic)),
        ("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", query(Method::Ping)),
        ("d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", message(Kind::Response(Response::new(BOB)))),
        (
            "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            query(Method::FindNode { target: BOB }),
        ),
        (
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            query(get_peers),
        ),
        (
            "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
            message(Kind::Response(peers)),
        ),
        (
            "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            query(announce),
        ),
    ] {
        assert_eq!(Message::decode(text.as_bytes()).as_ref(), Ok(&expected), "{text}");
        assert_eq!(expected.encode().escape_ascii().to_string(), text);
    }
}

#[test]
fn the_cut_off_node_lists_of_bep_5s_examples_hold_no_node() {
    for text in [
        "d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re",
        "d1:rd2:id20:abcdefghij01234567895:nodes9:def456...5:token8:aoeusnthe1:t2:aa1:y1:re",
    ] {
        let Kind::Response(response) = Message::decode(text.as_bytes()).unwrap().kind else {
            panic!("{text}")
        };
        assert_eq!(response.nodes, Some(Vec::new()));
    }
}

#[test]
fn everything_sent_comes_back_the_same() {
    let full = Response {
        nodes: Some(vec![NodeInfo { id: ALICE, addr: v4(1, 1) }, NodeInfo { id: BOB, addr: v4(2, 65535) }]),
        nodes6: Some(vec![NodeInfo { id: ALICE, addr: v6(1, 1) }]),
        token: Some(b"12345678".to_vec()),
        values: vec![v4(3, 3), v6(4, 4), v4(5, 5)],
        ..Response::new(BOB)
    };
    let announce = Method::AnnouncePeer {
        info_hash: BOB,
        port: 0,
        implied_port: true,
        token: Vec::new(),
        is_seed: true,
    };
    let want = Some(Want { v4: true, v6: true });
    let get_peers = Method::GetPeers { info_hash: BOB, no_seeds: true, scrape: true };
    for kind in [
        Kind::Response(full),
        Kind::Query(Query { id: ALICE, want: None, method: announce }),
        Kind::Query(Query { id: ALICE, want, method: get_peers }),
        Kind::Error { code: ERROR_PROTOCOL, text: b"Bad Token".to_vec() },
    ] {
        for ip in [None, Some(v4(9, 9)), Some(v6(9, 9))] {
            let m =
                Message { version: Some(*b"UK\x00\x01"), is_read_only: true, ip, ..message(kind.clone()) };
            assert_eq!(Message::decode(&m.encode()), Ok(m));
        }
    }
}

#[test]
fn node_lists_lose_their_remainder_and_nodes_with_port_zero() {
    let node = |port: &[u8; 2]| [&ALICE.0[..], &[8, 8, 8, 8], port].concat();
    let list = [node(b"\x00\x01"), node(b"\x00\x00"), node(b"\x00\x02"), vec![7; 25]].concat();
    let r = reply(&[b"5:nodes".to_vec(), string(&list)].concat());
    let ports: Vec<u16> = r.nodes.unwrap().iter().map(|n| n.addr.port()).collect();
    assert_eq!(ports, [1, 2]);
    let node = |port: &[u8; 2]| [&ALICE.0[..], &[0x2a; 16], port].concat();
    let list = [node(b"\x00\x01"), node(b"\x00\x00"), vec![7; 37]].concat();
    let r = reply(&[b"6:nodes6".to_vec(), string(&list)].concat());
    assert_eq!(r.nodes6.unwrap().len(), 1);
}

#[test]
fn values_mix_families_and_skip_what_is_neither() {
    let r = reply(b"6:valuesl6:\x08\x08\x08\x08\x00\x0718:\x2a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x095:axje.i5e6:\x08\x08\x08\x08\x00\x006:\x08\x08\x08\x09\x00\x08e");
    assert_eq!(r.values, [v4(8, 7), v6(1, 9), v4(9, 8)]);
    assert_eq!(reply(b"6:values5:hello").values, []);
}

#[test]
fn the_best_answers_of_other_clients_are_taken_whole() {
    let values = b"6:axje.u".repeat(100);
    let r = reply(&[&b"6:valuesl"[..], &values, b"e"].concat());
    assert_eq!(r.values.len(), 100);
    let mut list = Vec::new();
    for n in 1..=20 {
        list.extend_from_slice(&[n; 26]);
    }
    assert_eq!(reply(&[b"5:nodes".to_vec(), string(&list)].concat()).nodes.unwrap().len(), 20);
}

#[test]
fn lists_beyond_their_cap_are_cut_there() {
    let values = b"6:axje.u".repeat(limits::KRPC_VALUES_MAX + 1);
    assert_eq!(reply(&[&b"6:valuesl"[..], &values, b"e"].concat()).values.len(), limits::KRPC_VALUES_MAX);
    let list = vec![1; 26 * (limits::KRPC_NODES_MAX + 1)];
    assert_eq!(
        reply(&[b"5:nodes".to_vec(), string(&list)].concat()).nodes.unwrap().len(),
        limits::KRPC_NODES_MAX
    );
    let token = |len| reply(&[b"5:token".to_vec(), string(&vec![b'x'; len])].concat()).token;
    assert!(token(limits::KRPC_TOKEN_LEN_MAX).is_some());
    assert!(token(limits::KRPC_TOKEN_LEN_MAX + 1).is_none());
}

#[test]
fn a_transaction_id_is_one_to_sixty_four_bytes() {
    let with = |len: usize| {
        let t = string(&vec![b't'; len]);
        Message::decode(&[b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t", &t[..], b"1:y1:qe"].concat())
    };
    assert_eq!(with(0), Err(Error::NotKrpc { what: "t" }));
    assert_eq!(with(1).unwrap().transaction, b"t");
    assert!(with(limits::KRPC_TRANSACTION_LEN_MAX).is_ok());
    assert!(with(limits::KRPC_TRANSACTION_LEN_MAX + 1).is_err());
    assert!(Message::decode(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:ti5e1:y1:qe").is_err());
}

#[test]
fn a_message_cut_at_any_byte_is_none_and_a_string_beyond_the_end_too() {
    let whole =
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe";
    let long = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t99:aa1:y1:qe";
    for bytes in (0..whole.len()).map(|len| &whole[..len]).chain([long]) {
        let decoded = Message::decode(bytes.as_bytes());
        assert!(matches!(decoded, Err(Error::Bencode(_) | Error::NotKrpc { .. })), "{bytes}");
    }
    assert!(Message::decode(whole.as_bytes()).is_ok());
}

#[test]
fn a_port_is_needed_unless_implied_and_never_wraps() {
    let announce = |entries: &str| {
        let text =
            format!("d1:ad2:id20:abcdefghij0123456789{entries}5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe");
        Message::decode(text.as_bytes())
    };
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    let implied = format!("12:implied_porti1e{hash}");
    for (entries, is_good) in [
        (format!("{hash}4:porti6881e"), true),
        (format!("{hash}4:porti65535e"), true),
        (format!("{hash}4:porti65536e"), false),
        (format!("{hash}4:porti72417e"), false),
        (format!("{hash}4:porti-1e"), false),
        (format!("{hash}4:porti0e"), false),
        (hash.to_owned(), false),
        (implied.clone(), true),
        (format!("{implied}4:porti0e"), true),
        (format!("12:implied_porti0e{hash}4:porti0e"), false),
    ] {
        assert_eq!(announce(&entries).is_ok(), is_good, "{entries}");
    }
    let bad = Error::BadQuery { transaction: b"aa".to_vec(), code: ERROR_PROTOCOL, what: "port" };
    assert_eq!(announce(hash), Err(bad));
}

#[test]
fn unknown_methods_keep_what_they_seek() {
    let decode = |text: &str| match Message::decode(text.as_bytes()).unwrap().kind {
        Kind::Query(Query { method, .. }) => method,
        other => panic!("not a query: {other:?}"),
    };
    let by_target =
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q14:sample_nothing1:t2:aa1:y1:qe";
    assert_eq!(decode(by_target), Method::Unknown { name: b"sample_nothing".to_vec(), target: Some(BOB) });
    let by_hash =
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q4:find1:t2:aa1:y1:qe";
    assert_eq!(decode(by_hash), Method::Unknown { name: b"find".to_vec(), target: Some(BOB) });
    let vote = "d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe";
    assert_eq!(decode(vote), Method::Unknown { name: b"vote".to_vec(), target: None });
}

#[test]
fn a_query_with_bad_arguments_can_be_refused_and_the_rest_is_noise() {
    for (text, what) in [
        ("d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe", "id"),
        ("d1:ade1:q4:ping1:t2:aa1:y1:qe", "id"),
        ("d1:q4:ping1:t2:aa1:y1:qe", "a"),
        ("d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe", "q"),
        ("d1:ad2:id20:abcdefghij0123456789e1:q9:find_node1:t2:aa1:y1:qe", "target"),
        ("d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe", "info_hash"),
    ] {
        let bad = Error::BadQuery { transaction: b"aa".to_vec(), code: ERROR_PROTOCOL, what };
        assert_eq!(Message::decode(text.as_bytes()), Err(bad), "{text}");
    }
    for noise in [
        "",
        "le",
        "i5e",
        "d1:t2:aae",
        "d1:t2:aa1:yi5ee",
        "d1:t2:aa1:y1:xe",
        "d1:t2:aa1:y1:re",
        "d1:rde1:t2:aa1:y1:re",
        "d1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:q",
    ] {
        assert!(!matches!(Message::decode(noise.as_bytes()), Ok(_) | Err(Error::BadQuery { .. })), "{noise}");
    }
    let bomb = [b"d1:a".to_vec(), vec![b'l'; 60_000]].concat();
    assert!(matches!(Message::decode(&bomb), Err(Error::Bencode(_))));
}

#[test]
fn a_malformed_error_still_is_an_error() {
    for text in ["d1:t2:aa1:y1:ee", "d1:eli203ee1:t2:aa1:y1:ee", "d1:e5:sorry1:t2:aa1:y1:ee"] {
        let m = Message::decode(text.as_bytes()).unwrap();
        assert!(matches!(m.kind, Kind::Error { .. }), "{text}");
    }
    for len in [limits::KRPC_TEXT_LEN_MAX, limits::KRPC_TEXT_LEN_MAX + 1, 500] {
        let long = [b"d1:eli201e".to_vec(), string(&vec![b'x'; len]), b"e1:t2:aa1:y1:ee".to_vec()].concat();
        let Kind::Error { text, .. } = Message::decode(&long).unwrap().kind else { panic!("an error") };
        assert_eq!(text.len(), limits::KRPC_TEXT_LEN_MAX);
    }
}

#[test]
fn bytes_after_the_message_are_tolerated() {
    let text = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe\x00\x00junk";
    assert_eq!(Message::decode(text), Ok(query(Method::Ping)));
}

#[test]
fn want_names_families_and_ignores_others() {
    let decode = |want: &str| {
        let text = format!(
            "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:want{want}e1:q9:find_node1:t2:aa1:y1:qe"
        );
        match Message::decode(text.as_bytes()).unwrap().kind {
            Kind::Query(query) => query.want,
            other => panic!("not a query: {other:?}"),
        }
    };
    assert_eq!(decode("l2:n4e"), Some(Want { v4: true, v6: false }));
    assert_eq!(decode("l2:n62:n4e"), Some(Want { v4: true, v6: true }));
    assert_eq!(decode("l2:n9e"), None);
    assert_eq!(decode("2:n4"), None);
}

#[test]
fn the_largest_reply_we_make_fits_1024_bytes() {
    let reply = |values: Vec<SocketAddr>, nodes, nodes6| {
        let r = Response { nodes, nodes6, token: Some(vec![1; 8]), values, ..Response::new(BOB) };
        let transaction = vec![b't'; limits::KRPC_TRANSACTION_LEN_MAX];
        let ip = Some(v6(1, 1));
        Message { transaction, version: Some(*b"UK\x00\x01"), ip, ..message(Kind::Response(r)) }
            .encode()
            .len()
    };
    let list = |addr| Some(vec![NodeInfo { id: ALICE, addr }; 8]);
    assert!(reply(vec![v4(1, 1); 50], list(v4(1, 1)), None) < limits::KRPC_REPLY_LEN_MAX + 1);
    assert!(reply(vec![v6(1, 1); 25], None, list(v6(1, 1))) < limits::KRPC_REPLY_LEN_MAX + 1);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_err(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_damaged_message_decodes_or_errs_and_what_decodes_writes_what_reads_the_same(
        at in 0usize..200, to in any::<u8>(), cut in 0usize..200,
    ) {
        let mut bytes = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnth4:wantl2:n42:n6ee1:q13:announce_peer2:roi1e1:t2:aa1:v4:UT121:y1:qe".to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 4));
        if let Ok(m) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&m.encode()), Ok(m));
        }
    }
}
