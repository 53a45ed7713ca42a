//! Keys in the URLs of trackers go to those trackers, and nowhere else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use crate::daemon_support::Daemon;
use crate::support::{Place, interrupt};

const KEY: &str = "k3y0fM1neAl0ne";

/// Answers that repeat the key, by the number that a URL ends in.
fn answers() -> Vec<String> {
    let ok = |body: String| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let text = format!("{KEY} is banned, says /announce/{KEY}");
    vec![
        ok(format!("d14:failure reason{}:{text}e", text.len())),
        ok(format!("<html>{KEY}</html>")),
        format!("HTTP/1.1 404 {KEY}\r\nContent-Length: 0\r\n\r\n"),
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/announce/{KEY}\r\nContent-Length: 0\r\n\r\n"
        ),
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/announce/{KEY}\r\nContent-Length: 0\r\n\r\n"
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n"),
        ok(format!("d8:intervali1800e15:warning message{}:{text}e", text.len())),
    ]
}

fn tracker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let number =
                answers().iter().enumerate().map(|(n, _)| n).find(|n| head.contains(&format!("/at{n}")));
            let answer = answers()[number.unwrap_or(0)].replacen("\r\n", "\r\nConnection: close\r\n", 1);
            // who has hung up does not want the rest
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

/// A torrent with a tier for every answer.
fn torrent(place: &Place) {
    place.write("x.bin", b"x");
    let addr = tracker();
    let urls: Vec<String> = (0..answers().len())
        .map(|n| format!("http://joe:{KEY}@{addr}/announce/{KEY}/at{n}?pass={KEY}"))
        .collect();
    let mut args = vec!["create", "x.bin", "-o", "x.torrent"];
    urls.iter().for_each(|url| args.extend(["--tracker", url]));
    place.ok(&args);
    std::fs::remove_file(place.path("x.bin")).unwrap();
}

//= C4
#[test]
fn no_event_log_or_trace_shows_a_key() {
    let place = Place::new();
    torrent(&place);
    let args = ["get", "x.torrent", "--dir", ".", "--json", "--trace", "trace", "--no-dht", "--no-lsd"];
    let mut command = place.command(&[&args[..], &["--listen", "127.0.0.1:0"]].concat());
    command.env("UNCHOKE_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut all = String::new();
        err.read_to_string(&mut all).unwrap();
        all
    });
    let mut out = String::new();
    // the last tracker answers, and warns
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        out += &line;
        if line.contains("is banned") && line.contains("peers") {
            break;
        }
    }
    assert!(out.matches("\"error\"").count() >= 6, "{out}");
    interrupt(&child);
    child.wait().unwrap();
    let trace = std::fs::read_to_string(place.path("trace")).unwrap_or_default();
    for shown in [&out, &log.join().unwrap(), &trace] {
        assert!(!shown.contains(KEY), "{shown}");
    }
}

//= C4
#[test]
fn the_daemon_tells_nobody_a_key() {
    let place = Place::new();
    torrent(&place);
    let daemon = Daemon::start(&place);
    let added = daemon.ok(&["add", "x.torrent"]);
    let shown =
        [added, daemon.ok(&["info", "x.bin", "--json"]), daemon.ok(&["info", "x.bin"]), daemon.ok(&["ls"])];
    assert!(shown[1].contains("127.0.0.1") && shown[2].contains("127.0.0.1"), "{shown:?}");
    assert!(!shown.concat().contains(KEY), "{shown:?}");
}
