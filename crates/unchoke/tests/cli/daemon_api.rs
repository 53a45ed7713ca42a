//! Who may use the API, and who not: rows of the API checks against the real program.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::daemon_support::{Daemon, OPTIONS, PATIENCE, exchange, tcp};
use crate::support::Place;

const JSON: &str = "Content-Type: application/json";
const HOST: &str = "Host: localhost";

/// Row 1.
#[test]
fn an_api_that_others_can_reach_is_refused() {
    let place = Place::new();
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070"] {
        let args = [&["daemon"], &OPTIONS[..], &["--api", addr]].concat();
        place.fails(2, &args, &["can be reached from other machines"]);
    }
}

/// Row 3.
#[test]
fn secrets_are_for_their_owner_alone() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state"), 0o700);
    for name in ["state/token", "state/state.redb", "state/api.sock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(daemon.token().len(), 64);
    let answer = daemon.raw("GET", "/api/v1/version", &[HOST, "Authorization: Bearer nonsense"], b"");
    assert!(!answer.body.to_string().contains(&daemon.token()) && !daemon.ready.contains(&daemon.token()));
}

/// Rows 2, 4, 5, 6 and 22.
#[test]
fn whoever_is_not_the_owner_is_told_nothing() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let token = format!("Authorization: Bearer {}", daemon.token());
    let ask = |method: &str, path: &str, headers: &[&str]| daemon.raw(method, path, headers, b"");
    assert_eq!(ask("GET", "/api/v1/health", &[HOST]).status, 200);
    for path in ["/api/v1/version", "/api/v1/torrents", "/api/v1/nothing", "/", "/../../etc/passwd"] {
        let answer = ask("GET", path, &[HOST]);
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.body.to_string(), r#"{"error":"the token is missing or wrong"}"#);
        assert!(answer.head.contains("www-authenticate: bearer"));
        assert_eq!(ask("GET", path, &["Host: evil.example", &token]).status, 421, "{path}");
        assert_eq!(ask("GET", path, &[&token]).status, 421, "{path}");
        for page in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
            let answer = ask("GET", path, &[HOST, &token, page]);
            assert_eq!(answer.status, 403, "{path} {page}");
            assert!(!answer.head.contains("access-control"), "{answer:?}");
        }
        assert_eq!(ask("OPTIONS", path, &[HOST, &token]).status, 403, "{path}");
    }
    let version = ask("GET", "/api/v1/version", &[HOST, &token]);
    assert_eq!((version.status, version.body["version"].as_str()), (200, Some(env!("CARGO_PKG_VERSION"))));
    assert!(version.head.contains("nosniff") && version.head.contains("no-store"));
    assert!(!version.head.contains("access-control") && !version.head.contains("\r\nserver:"));
}

/// Row 4, on TCP.
#[test]
fn on_tcp_the_host_must_be_the_address_itself() {
    let place = Place::new();
    let daemon = Daemon::start_with(&place, &["--api", "127.0.0.1:0"]);
    let token = format!("Authorization: Bearer {}", daemon.token());
    let (_, addr) = tcp(&daemon.ready);
    let ask = |host: &str| {
        let (stream, _) = tcp(&daemon.ready);
        exchange(stream, "GET", "/api/v1/version", &[&format!("Host: {host}"), &token], b"").status
    };
    assert_eq!(ask(&addr), 200);
    assert_eq!(ask(&addr.replace("127.0.0.1", "localhost")), 200);
    for host in ["127.0.0.1", "rebound.example", "rebound.example:80", "[::1]:80", "localhost"] {
        assert_eq!(ask(host), 421, "{host}");
    }
    // clients find it by the note in the state folder
    assert!(daemon.list().is_empty());
}

/// Row 7.
#[test]
fn reading_changes_nothing_and_changes_are_sent_as_json() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let body = br#"{"source":"0123456789012345678901234567890123456789","paused":true}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let kind = format!("Content-Type: {kind}");
        assert_eq!(daemon.request("POST", "/api/v1/torrents", &[&kind], body).status, 415, "{kind}");
    }
    assert_eq!(daemon.request("POST", "/api/v1/torrents", &[], body).status, 415);
    let packed = [JSON, "Content-Encoding: gzip"];
    assert_eq!(daemon.request("POST", "/api/v1/torrents", &packed, body).status, 415);
    let added = daemon.request("POST", "/api/v1/torrents", &[JSON], body);
    assert_eq!(added.status, 200, "{added:?}");
    let hash = added.body["hash"].as_str().unwrap();
    let path = format!("/api/v1/torrents/{hash}");
    for (method, path) in [
        ("GET", format!("{path}/pause")),
        ("GET", format!("{path}/resume")),
        ("HEAD", format!("{path}/resume")),
        ("GET", "/api/v1/stop".to_owned()),
        ("PUT", path.clone()),
        ("POST", path.clone()),
        ("DELETE", "/api/v1/torrents".to_owned()),
    ] {
        assert_eq!(daemon.request(method, &path, &[], b"").status, 405, "{method} {path}");
    }
    assert_eq!(daemon.list()[0]["state"], "paused");
}

/// Rows 15 and 16.
#[test]
fn bodies_and_heads_are_bounded_and_read_strictly() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let post = |path: &str, kind: &str, body: &[u8]| daemon.request("POST", path, &[kind], body);
    for bad in [
        "",
        "[]",
        "{",
        "{}",
        r#"{"source":7}"#,
        r#"{"source":"x","source":"y"}"#,
        r#"{"source":"0123456789012345678901234567890123456789","colour":"red"}"#,
        r#"{"source":"file:///etc/passwd"}"#,
        r#"{"source":"/etc/passwd"}"#,
    ] {
        let answer = post("/api/v1/torrents", JSON, bad.as_bytes());
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        assert!(!answer.body["error"].as_str().unwrap().contains('\n'));
    }
    let deep = [b"{\"source\":".to_vec(), vec![b'['; 100_000]].concat();
    assert_eq!(post("/api/v1/torrents", JSON, &deep).status, 400);
    assert_eq!(
        post("/api/v1/torrents?colour=red", "Content-Type: application/x-bittorrent", b"de").status,
        400
    );
    let hash = "0123456789012345678901234567890123456789";
    let select = format!("/api/v1/torrents/{hash}/select");
    assert_eq!(post(&select, JSON, &vec![b' '; (1 << 20) + 1]).status, 413);
    assert_eq!(post(&select, JSON, br#"{"select":"0"}"#).status, 404);
    // a torrent may be as large as torrents are, and no larger
    let kind = ["Host: localhost", "Content-Type: application/x-bittorrent"];
    let token = format!("Authorization: Bearer {}", daemon.token());
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    let head = format!("{}\r\n{}\r\n{token}\r\nContent-Length: {}", kind[0], kind[1], (32 << 20) + 1);
    stream.write_all(format!("POST /api/v1/torrents HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");
    let long = format!("X-Long: {}", "x".repeat(40_000));
    assert_eq!(daemon.request("GET", "/api/v1/version", &[&long], b"").status, 431);
}

#[test]
fn what_is_not_there_is_told_as_such_and_what_is_there_by_its_hash() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let hash = "0123456789012345678901234567890123456789";
    let path = format!("/api/v1/torrents/{hash}");
    assert_eq!(daemon.request("GET", &path, &[], b"").status, 404);
    assert_eq!(daemon.request("DELETE", &path, &[], b"").status, 404);
    assert_eq!(daemon.request("POST", &format!("{path}/pause"), &[], b"").status, 404);
    assert_eq!(daemon.request("GET", "/api/v1/torrents/film", &[], b"").status, 404);
    assert_eq!(daemon.request("GET", "/api/v2/torrents", &[], b"").status, 404);
    let body = format!(r#"{{"source":"{hash}"}}"#);
    assert_eq!(daemon.request("POST", "/api/v1/torrents", &[JSON], body.as_bytes()).status, 200);
    let again = daemon.request("POST", "/api/v1/torrents", &[JSON], body.as_bytes());
    assert_eq!((again.status, again.body["hash"].as_str()), (409, Some(hash)));
    // it was acknowledged when it was durable, which may be before it runs
    let state = || daemon.request("GET", &path, &[], b"").body["state"].clone();
    let deadline = Instant::now() + PATIENCE;
    while state() != "metadata" {
        assert!(Instant::now() < deadline, "it is {}", state());
    }
    let page = daemon.request("GET", "/api/v1/torrents?offset=1&limit=5", &[], b"");
    assert_eq!(
        (page.body["total"].as_u64(), page.body["torrents"].as_array().map(Vec::len)),
        (Some(1), Some(0))
    );
    assert_eq!(daemon.request("DELETE", &path, &[], b"").status, 200);
    assert_eq!(daemon.request("DELETE", &path, &[], b"").status, 404);
}
