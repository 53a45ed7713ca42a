//! Replies that lie, burst, or end early: a table, and a reply that is cut and one that hangs at each of its bytes.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::JoinSet;
use unchoke_wire::limits::METAINFO_LEN_MAX;

/// What has to come of a reply.
enum Due {
    /// An answer of this status and this many bytes.
    Answer(u16, usize),
    /// An error that says this.
    Error(&'static str),
    /// An error, in the words of the library.
    Refused,
}

use Due::{Answer as A, Error as E, Refused};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n";
const MAX: usize = TRACKER_REPLY_LEN_MAX;

/// The reply of these headers and this body, whatever they say of each other.
fn raw(headers: &str, body: &[u8]) -> Vec<u8> {
    [OK, headers.as_bytes(), b"\r\n", body].concat()
}

fn text(reply: &str) -> Vec<u8> {
    reply.as_bytes().to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(body: &[u8]) -> Vec<u8> {
    ok("Content-Encoding: gzip\r\n", body)
}

fn chunked(body: &[u8]) -> Vec<u8> {
    raw("Transfer-Encoding: chunked\r\n", body)
}

/// A bomb that unpacks to more than a thousand times its size.
fn bomb() -> Vec<u8> {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() * 1000 < 64 << 20);
    bomb
}

fn headers_of(len: usize) -> String {
    // what is counted of every header is its name, its value and four bytes around them
    let close = "connection".len() + "close".len() + 4;
    let one = |n: usize| format!("x-{n:02}: {}\r\n", "h".repeat(8000));
    let mut out: String = (0..(len - close) / 8008).map(one).collect();
    let rest = (len - close) % 8008;
    assert!(rest > 10, "{rest}");
    out.push_str(&format!("x-99: {}\r\n", "h".repeat(rest - 8)));
    out
}

type Case = (&'static str, Vec<u8>, Due);

fn heads() -> Vec<Case> {
    let max = HTTP_HEADERS_LEN_MAX;
    vec![
        ("nothing", text(""), Refused),
        ("no HTTP", text("220 mail.example ESMTP\r\n"), Refused),
        ("TLS", b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), Refused),
        ("HTTP 0.9", text("d8:intervali60ee"), Refused),
        ("HTTP 9.9", text("HTTP/9.9 200 OK\r\n\r\n"), Refused),
        ("a preface of HTTP 2", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Refused),
        ("status of two digits", text("HTTP/1.1 99 X\r\n\r\n"), Refused),
        ("status of four digits", text("HTTP/1.1 2000 X\r\n\r\n"), Refused),
        ("status beyond all known", text("HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nno"), A(999, 2)),
        ("header without a colon", raw("broken\r\n", b"x"), Refused),
        ("header of a space", raw("a b: c\r\n", b"x"), Refused),
        ("NUL in a header", raw("a: b\0c\r\n", b"x"), Refused),
        ("101 headers", raw(&"a: b\r\n".repeat(101), b"x"), Refused),
        ("headers as long as they may be", raw(&headers_of(max), b"x"), A(200, 1)),
        ("headers one byte longer", raw(&headers_of(max + 1), b"x"), E("headers")),
        ("a header of a megabyte", raw(&format!("a: {}\r\n", "h".repeat(1 << 20)), b"x"), Refused),
        ("headers that do not end", [OK, &b"a: b\r\n".repeat(100_000)[..]].concat(), Refused),
        ("status line that does not end", [b"HTTP/1.1 200 ", &b"O".repeat(1 << 20)[..]].concat(), Refused),
        (
            "a hundred thousand interim replies",
            text(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000)),
            Refused,
        ),
        ("redirect without a place", text("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), A(302, 0)),
        ("redirect to nothing that is a URL", redirect("http://[/"), E("bad URL")),
        ("redirect to a port there is not", redirect("http://t.example:65536/announce"), E("bad URL")),
        ("redirect to bytes", raw_redirect(b"http://\xff\xfe/"), E("bad URL")),
        ("redirect to a host of no name", redirect("http://a b/announce"), E("bad URL")),
        ("redirect to port 0", redirect("http://127.0.0.1:0/announce"), E("may not name")),
    ]
}

fn raw_redirect(to: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", to, b"\r\n\r\n"].concat()
}

fn bodies() -> Vec<Case> {
    let over = vec![b'x'; MAX + 1];
    let mut torn = gzip(b"d8:intervali60ee");
    let crc_at = torn.len() - 8;
    let cut = torn[..crc_at - 4].to_vec();
    torn[crc_at] ^= 1;
    let length = |n: &str| format!("Content-Length: {n}\r\n");
    vec![
        ("a body as long as it may be", ok("", &over[1..]), A(200, MAX)),
        ("a body one byte longer", ok("", &over), E("more than")),
        ("a body one byte longer that is not declared", raw("", &over), E("more than")),
        // refused where it is declared: nothing follows, and nothing is waited for
        ("a body declared one byte longer", raw(&length(&(MAX + 1).to_string()), b""), E("more than")),
        ("a body declared to be endless", raw(&length("18446744073709551615"), b""), Refused),
        ("a length below zero", raw(&length("-1"), b"x"), Refused),
        ("a length beyond 64 bits", raw(&length("18446744073709551616"), b"x"), Refused),
        ("a length in hexadecimal", raw(&length("0x10"), b"x"), Refused),
        ("two lengths", raw(&(length("1") + &length("2")), b"xy"), Refused),
        ("a body shorter than its length", raw(&length("10"), b"short"), Refused),
        ("a body longer than its length", raw(&length("2"), b"longer"), A(200, 2)),
        ("chunks", chunked(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), A(200, 3)),
        ("a chunk beyond 64 bits", chunked(b"fffffffffffffffff\r\nx"), Refused),
        ("a chunk of 2^63 bytes", chunked(b"7fffffffffffffff\r\nx"), Refused),
        ("a chunk longer than it says", chunked(b"2\r\nabc\r\n0\r\n\r\n"), Refused),
        ("a chunk shorter than it says", chunked(b"5\r\nabc\r\n0\r\n\r\n"), Refused),
        ("a chunk of no number", chunked(b"zz\r\nab\r\n0\r\n\r\n"), Refused),
        ("a chunk of a number below zero", chunked(b"-2\r\nab\r\n0\r\n\r\n"), Refused),
        ("chunks that do not end", chunked(b"2\r\nab\r\n"), Refused),
        ("chunks of one byte more than allowed", chunked(&b"1\r\nx\r\n".repeat(MAX + 1)), E("more than")),
        ("a chunk of one byte more than allowed", chunked(&big_chunk(MAX + 1)), E("more than")),
        ("a chunk's extension of a megabyte", chunked(&long_extension(1 << 20)), Refused),
        ("trailers of a megabyte", chunked(&long_trailer(1 << 20)), Refused),
        (
            "a length and chunks",
            raw(&(length("1") + "Transfer-Encoding: chunked\r\n"), b"1\r\nx\r\n0\r\n\r\n"),
            A(200, 1),
        ),
        ("an encoding of transfer that nobody knows", raw("Transfer-Encoding: gzip\r\n", b"x"), A(200, 1)),
        ("gzip", zipped(&gzip(b"d8:intervali60ee")), A(200, 16)),
        ("a bomb", zipped(&bomb()), E("more than")),
        (
            "a bomb in chunks",
            raw("Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", &chunk_of(&bomb())),
            E("more than"),
        ),
        ("a bomb in a bomb", zipped(&gzip(&bomb())), A(200, bomb().len())),
        ("gzip that is none", zipped(b"d8:intervali60ee"), Refused),
        ("gzip cut off", zipped(&cut), Refused),
        ("gzip of a wrong sum", zipped(&torn), Refused),
        ("gzip of nothing", zipped(b""), A(200, 0)),
    ]
}

fn chunk_of(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

fn big_chunk(len: usize) -> Vec<u8> {
    chunk_of(&vec![b'x'; len])
}

fn long_extension(len: usize) -> Vec<u8> {
    [b"1;", &b"e".repeat(len)[..], b"\r\nx\r\n0\r\n\r\n"].concat()
}

fn long_trailer(len: usize) -> Vec<u8> {
    [b"1\r\nx\r\n0\r\na: ", &b"t".repeat(len)[..], b"\r\n\r\n"].concat()
}

//= C3
//= H3f-6
#[test]
fn every_reply_that_lies_is_refused_within_its_bounds() {
    let cases: Vec<Case> = heads().into_iter().chain(bodies()).collect();
    assert!(cases.len() >= 50);
    let replies: Vec<Vec<u8>> = cases.iter().map(|(_, reply, _)| reply.clone()).collect();
    let addr = serve(move |path, _| {
        let number = path.rsplit('/').next().unwrap().parse::<usize>().unwrap();
        replies[number].clone()
    });
    for (number, (name, _, due)) in cases.iter().enumerate() {
        let reply = get(&format!("http://{addr}/announce/{number}"));
        match (due, reply) {
            (A(status, len), Ok(answer)) => {
                assert_eq!((answer.status, answer.body.len()), (*status, *len), "{name}");
            }
            (E(why), Err(error)) => assert!(error.contains(why), "{name}: {error}"),
            (Refused, Err(error)) => assert!(!error.contains("no reply within"), "{name}: {error}"),
            (_, reply) => panic!("{name}: {:?}", reply.map(|a| (a.status, a.body.len()))),
        }
    }
}

//= C3
#[test]
fn a_torrent_by_url_is_as_long_as_a_torrent_may_be() {
    let addr = serve(|path, _| match path {
        "/exact" => ok("", &vec![b'x'; METAINFO_LEN_MAX]),
        "/bomb" => zipped(&gzip(&vec![0; METAINFO_LEN_MAX + 1])),
        _ => raw("", &vec![b'x'; METAINFO_LEN_MAX + 1]),
    });
    let fetch =
        |path: &str| fetch(&format!("http://{addr}/{path}"), METAINFO_LEN_MAX, Duration::from_secs(60));
    assert_eq!(fetch("exact").unwrap().len(), METAINFO_LEN_MAX);
    for path in ["over", "bomb"] {
        assert!(fetch(path).unwrap_err().to_string().contains("more than"), "{path}");
    }
}

const WHOLE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\nd8:intervali60ee";

//= C3
//= H3f-6
#[test]
fn a_reply_cut_at_any_byte_is_none() {
    let addr = serve(|path, _| {
        let len: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        WHOLE[..len].to_vec()
    });
    for len in 0..WHOLE.len() {
        let error = get(&format!("http://{addr}/announce/{len}")).unwrap_err();
        assert!(!error.contains("no reply within"), "{len}: {error}");
    }
    assert_eq!(get(&format!("http://{addr}/announce/{}", WHOLE.len())).unwrap().body, b"d8:intervali60ee");
}

//= C3
//= H3f-6
#[test]
fn a_reply_that_hangs_at_any_byte_ends_with_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // kept open: those who ask have to end it
        let mut open: Vec<TcpStream> = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let head = head_of(&mut stream);
            let len: usize =
                head.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap().parse().unwrap();
            let _ = stream.write_all(&WHOLE[..len]);
            open.push(stream);
        }
    });
    let http = Http::new().unwrap();
    run(async {
        let mut asked = JoinSet::new();
        for len in 0..WHOLE.len() {
            // each on its own: none waits for a turn
            let http = Http { pool: Arc::new(Pool::new()), ..http.clone() };
            let url = format!("http://{addr}/announce/{len}");
            asked.spawn(async move { (len, http.get(&request(&url, Duration::from_secs(1))).await) });
        }
        for (len, reply) in asked.join_all().await {
            assert_eq!(reply.unwrap_err(), "no reply within 1 s", "{len}");
        }
    });
}
