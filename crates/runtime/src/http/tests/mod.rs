//! HTTP against servers that mean harm: a thread that answers with bytes of our choice.

mod certificates;
mod gate;
mod herd;
mod replies;

use super::*;
use crate::names::Lookup;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use unchoke_engine::id::RequestId;

/// Answers every request by what `answer` makes of its path and its whole head, and hangs up.
fn serve(answer: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = head_of(&mut stream);
            let path = head.split(' ').nth(1).unwrap_or_default();
            // who has hung up does not want the rest
            let _ = stream.write_all(&answer(path, &head));
        }
    });
    addr
}

/// The head of a request; what came of it when it ends early.
fn head_of(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn request(url: &str, timeout: Duration) -> HttpRequest {
    HttpRequest { request: RequestId(1), url: url.to_owned(), family: Family::V4, timeout }
}

/// What a tracker's URL leads to.
fn get(url: &str) -> Reply {
    run(Http::new().unwrap().get(&request(url, Duration::from_secs(60))))
}

/// HTTP whose names are looked up by `lookup`.
fn http_with(lookup: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Http {
    let lookup: Lookup = Box::new(move |host| {
        let found = lookup(&host);
        Box::pin(async move { Ok(found) })
    });
    Http { names: Arc::new(Names::new(lookup)), ..Http::new().unwrap() }
}

#[test]
fn a_host_that_is_asked_again_is_asked_over_the_same_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..20 {
            head_of(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let http = Http::new().unwrap();
    run(async {
        for n in 0..20 {
            let url = format!("http://{addr}/announce?n={n}");
            assert_eq!(http.get(&request(&url, Duration::from_secs(60))).await.unwrap().body, b"ok");
        }
    });
    server.join().unwrap();
}

//= C4
#[test]
fn what_a_url_says_of_its_user_goes_to_no_other_origin() {
    let other = serve(|_, head| ok("", head.as_bytes()));
    let first = serve(move |path, head| match path {
        "/announce/away" => redirect(&format!("http://{other}/announce")),
        "/announce/here" => redirect("/announce/there"),
        "/announce/scheme" => redirect(&format!("//{other}/announce")),
        _ => ok("", head.as_bytes()),
    });
    let seen = |path: &str| {
        let answer = get(&format!("http://joe:hunter22@{first}/announce/{path}")).unwrap();
        String::from_utf8(answer.body).unwrap().to_ascii_lowercase()
    };
    for path in ["there", "here"] {
        assert!(seen(path).contains("authorization: basic am9lomh1bnrlcjiy"), "{path}");
    }
    for path in ["away", "scheme"] {
        let head = seen(path);
        assert!(!head.contains("authorization") && !head.contains("joe"), "{head}");
        assert!(!head.contains("referer") && !head.contains("cookie"), "{head}");
    }
}
