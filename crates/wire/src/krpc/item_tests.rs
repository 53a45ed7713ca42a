//! Tests of the codec's later methods: items (BEP 44), filters (BEP 33), samples (BEP 51).

use super::*;
use crate::limits;

const ALICE: NodeId = NodeId(*b"abcdefghij0123456789");
const BOB: NodeId = NodeId(*b"mnopqrstuvwxyz123456");

fn message(kind: Kind) -> Message {
    Message { transaction: b"aa".to_vec(), kind, version: None, is_read_only: false, ip: None }
}

fn query(method: Method) -> Message {
    message(Kind::Query(Query { id: ALICE, want: None, method }))
}

fn string(s: &[u8]) -> Vec<u8> {
    [format!("{}:", s.len()).as_bytes(), s].concat()
}

/// A `put` whose arguments are these, after `id`.
fn put(entries: &[&[u8]]) -> Result<Put, Error> {
    let bytes =
        [b"d1:ad2:id20:abcdefghij0123456789", &entries.concat()[..], b"e1:q3:put1:t2:aa1:y1:qe"].concat();
    match Message::decode(&bytes)?.kind {
        Kind::Query(Query { method: Method::Put(put), .. }) => Ok(*put),
        other => panic!("not a put: {other:?}"),
    }
}

fn reply(r: &[u8]) -> Response {
    let bytes = [b"d1:rd2:id20:mnopqrstuvwxyz123456", r, b"e1:t2:aa1:y1:re"].concat();
    match Message::decode(&bytes).unwrap().kind {
        Kind::Response(response) => response,
        other => panic!("not a response: {other:?}"),
    }
}

fn refused(code: i64, what: &'static str) -> Error {
    Error::BadQuery { transaction: b"aa".to_vec(), code, what }
}

fn mutable(salt: &[u8], value: &[u8]) -> MutableItem {
    MutableItem { key: [7; 32], salt: salt.to_vec(), seq: 4, value: value.to_vec(), signature: [9; 64] }
}

//= BEP 44: get and put
//= test
#[test]
fn items_are_asked_for_and_stored_in_the_form_of_bep_44() {
    let (k, sig) = ([7; 32].escape_ascii().to_string(), [9; 64].escape_ascii().to_string());
    let mutable = |cas, salt: &[u8]| Put {
        item: Item::Mutable(mutable(salt, b"5:hello")),
        cas,
        token: b"tok".to_vec(),
    };
    let immutable =
        Put { item: Item::Immutable { value: b"li1ee".to_vec() }, cas: None, token: b"tok".to_vec() };
    for (method, a) in [
        (
            Method::Get { target: BOB, seq: None },
            "d2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q3:get".to_owned(),
        ),
        (
            Method::Get { target: BOB, seq: Some(-3) },
            "d2:id20:abcdefghij01234567893:seqi-3e6:target20:mnopqrstuvwxyz123456e1:q3:get".to_owned(),
        ),
        (
            Method::Put(Box::new(immutable)),
            concat!(
                "d2:id20:abcdefghij0123456789",
                r#"6:target20:\xd1\xe0\xb5?z\x12>\xc6\xf1#\x93\xfa6\xc1\x8b\x01\xfe\x1b\xac\x1b"#,
                "5:token3:tok1:vli1eee1:q3:put",
            )
            .to_owned(),
        ),
        (
            Method::Put(Box::new(mutable(Some(3), b"salty"))),
            format!(
                "d3:casi3e2:id20:abcdefghij01234567891:k32:{k}4:salt5:salty3:seqi4e3:sig64:{sig}{}{}",
                r#"6:target20:\xc7\x1c$\x07\x99\xc6\x8d\x99V\xcd\x7f\xc4\xb7.:\x9d}\xcf^\x9e"#,
                "5:token3:tok1:v5:helloe1:q3:put",
            ),
        ),
        (
            Method::Put(Box::new(mutable(None, b""))),
            format!(
                "d2:id20:abcdefghij01234567891:k32:{k}3:seqi4e3:sig64:{sig}{}{}",
                r#"6:target20:\x00ij\xb8\xd4!\xf8\x166l\x13~\xc6h\x13\xfd!\x8dY\'"#,
                "5:token3:tok1:v5:helloe1:q3:put",
            ),
        ),
        (
            Method::SampleInfohashes { target: BOB },
            "d2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes".to_owned(),
        ),
    ] {
        let bytes = query(method.clone()).encode();
        assert_eq!(bytes.escape_ascii().to_string(), format!("d1:a{a}1:t2:aa1:y1:qe"));
        assert_eq!(Message::decode(&bytes), Ok(query(method)));
    }
}

#[test]
fn replies_with_items_filters_and_samples_come_back_the_same_with_keys_in_order() {
    let mut scrape = Scrape::default();
    scrape.seeds.insert([8, 8, 8, 8].into());
    let full = Response {
        scrape: Some(Box::new(scrape)),
        token: Some(b"tok".to_vec()),
        nodes: Some(Vec::new()),
        item: Some(Box::new(ItemReply::of(&Item::Mutable(mutable(b"s", b"d1:ai1ee"))))),
        samples: Some(Samples {
            interval_s: 60,
            stored: 9,
            hashes: vec![WireHash([3; 20]), WireHash([4; 20])],
        }),
        values: vec![([8, 8, 8, 8], 5).into()],
        ..Response::new(BOB)
    };
    let m = message(Kind::Response(full));
    assert_eq!(Message::decode(&m.encode()), Ok(m));
}

#[test]
fn a_value_of_1001_bytes_is_too_big_and_a_salt_of_65_too() {
    let value = |len: usize| [b"1:v".to_vec(), string(&vec![b'x'; len])].concat();
    let largest = limits::ITEM_VALUE_LEN_MAX - b"996:".len();
    assert!(put(&[b"5:token1:t", &value(largest)]).is_ok());
    assert_eq!(put(&[b"5:token1:t", &value(largest + 1)]), Err(refused(ERROR_VALUE_TOO_BIG, "v")));
    assert_eq!((largest, limits::ITEM_VALUE_LEN_MAX + 1), (996, 1001));
    let with_salt = |len: usize| {
        let salt = [b"4:salt".to_vec(), string(&vec![b's'; len])].concat();
        let (k, sig) = ([&b"1:k32:"[..], &[7; 32]].concat(), [&b"3:sig64:"[..], &[9; 64]].concat());
        put(&[&k, &salt, b"3:seqi4e", &sig, b"5:token1:t1:vi1e"])
    };
    assert!(with_salt(limits::ITEM_SALT_LEN_MAX).is_ok());
    assert_eq!(limits::ITEM_SALT_LEN_MAX + 1, 65);
    assert_eq!(with_salt(limits::ITEM_SALT_LEN_MAX + 1), Err(refused(ERROR_SALT_TOO_BIG, "salt")));
}

//= BEP 44: a value that is not canonical is refused with 203
//= test
#[test]
fn a_value_that_is_not_strictly_canonical_is_refused() {
    for value in [&b"d1:bi1e1:ai2ee"[..], b"ld1:bi1e1:ai2eee"] {
        assert_eq!(
            put(&[b"5:token1:t1:v", value]),
            Err(refused(ERROR_PROTOCOL, "v")),
            "{}",
            value.escape_ascii()
        );
        assert_eq!(reply(&[b"1:v", value].concat()).item, None);
    }
    // these are no bencode at all, so there is nobody to answer
    for value in [&b"i01e"[..], b"i-0e", b"03:abc", b"d1:ai1e1:ai2ee", b"i e"] {
        assert!(
            matches!(put(&[b"5:token1:t1:v", value]), Err(Error::Bencode(_))),
            "{}",
            value.escape_ascii()
        );
    }
    assert!(put(&[b"5:token1:t1:v", b"d1:ai1e1:bld1:c0:ei-5eee"]).is_ok());
}

#[test]
fn a_malformed_mutable_put_is_never_taken_for_an_immutable_one() {
    let (k, sig) = ([&b"1:k32:"[..], &[7; 32]].concat(), [&b"3:sig64:"[..], &[9; 64]].concat());
    let (token, v) = (&b"5:token1:t"[..], &b"1:vi1e"[..]);
    assert!(put(&[&k, b"3:seqi4e", &sig, token, v]).is_ok());
    for (entries, what) in [
        (vec![&k[..], b"3:seqi4e", token, v], "sig"),
        (vec![&k, &sig, token, v], "seq"),
        (vec![b"3:seqi4e", &sig, token, v], "k"),
        (vec![b"4:salt1:s", token, v], "k"),
        (vec![b"1:k31:", &k[6..37], b"3:seqi4e", &sig, token, v], "k"),
        (vec![&k, b"3:seqi4e", b"3:sig63:", &sig[8..71], token, v], "sig"),
        (vec![&k, b"3:seq1:4", &sig, token, v], "seq"),
        (vec![&k, b"4:salti5e", b"3:seqi4e", &sig, token, v], "salt"),
        (vec![&k, b"3:seqi4e", &sig, token], "v"),
        (vec![&k, b"3:seqi4e", &sig, v], "token"),
        (vec![token], "v"),
        (vec![v], "token"),
    ] {
        assert_eq!(put(&entries), Err(refused(ERROR_PROTOCOL, what)));
    }
}

#[test]
fn an_item_is_taken_from_a_reply_only_if_it_is_the_one_sought() {
    let immutable = Item::Immutable { value: b"5:hello".to_vec() };
    let sought = immutable.key();
    assert_eq!(ItemReply::of(&immutable).into_item(&sought), Some(immutable.clone()));
    let forged = ItemReply { value: Some(b"5:jello".to_vec()), ..ItemReply::default() };
    assert_eq!(forged.into_item(&sought), None);
    let owned = Item::Mutable(mutable(b"salt", b"5:hello"));
    let whole = ItemReply::of(&owned);
    assert_eq!(whole.clone().into_item(&owned.key()), Some(owned.clone()));
    assert_eq!(ItemReply { key: Some([8; 32]), ..whole.clone() }.into_item(&owned.key()), None);
    for part in [
        ItemReply { key: None, ..whole.clone() },
        ItemReply { seq: None, ..whole.clone() },
        ItemReply { signature: None, ..whole.clone() },
        ItemReply { value: None, ..whole },
    ] {
        assert_eq!(part.into_item(&owned.key()), None);
    }
}

#[test]
fn filters_of_another_length_are_left_out_and_one_alone_is_kept() {
    let filter = |name: &[u8], len: usize| [name, &string(&vec![1; len])].concat();
    assert_eq!(reply(&filter(b"4:BFsd", 255)).scrape, None);
    let one = reply(&filter(b"4:BFpe", 256)).scrape.unwrap();
    assert_eq!((one.seeds, one.downloaders.as_bytes()), (BloomFilter::default(), &[1; 256]));
}

#[test]
fn samples_lose_their_remainder_and_are_capped_like_their_interval() {
    let sample = |interval: &str, num: &str, len: usize| {
        let text = [interval.as_bytes(), num.as_bytes(), b"7:samples", &string(&vec![5; len])].concat();
        reply(&text).samples.unwrap()
    };
    let s = sample("8:intervali900e", "3:numi77e", 59);
    assert_eq!(s, Samples { interval_s: 900, stored: 77, hashes: vec![WireHash([5; 20]); 2] });
    let s = sample("8:intervali21601e", "3:numi-1e", 20 * (limits::KRPC_SAMPLES_MAX + 1));
    assert_eq!((s.interval_s, s.stored), (limits::KRPC_SAMPLE_INTERVAL_MAX, 0));
    assert_eq!((s.hashes.len(), limits::KRPC_SAMPLE_INTERVAL_MAX + 1), (limits::KRPC_SAMPLES_MAX, 21_601));
    let s = sample("8:intervali-5e", "", 0);
    assert_eq!((s.interval_s, s.hashes.len()), (0, 0));
    assert_eq!(reply(b"3:numi5e").samples, None);
}
