//! No name, no redirect and no way to write an address leads where who told it may not point us.

use super::*;
use unchoke_wire::limits::HTTP_REDIRECTS_MAX;

/// Every way to write this machine, its networks, and what cannot be asked; `H` is a name that resolves there.
const INSIDE: &[&str] = &[
    "http://127.0.0.1/announce",
    "http://127.1/announce",
    "http://2130706433/announce",
    "http://017700000001/announce",
    "http://0177.0.0.1/announce",
    "http://0x7f.1/announce",
    "http://0x7f000001/announce",
    "http://127.0.0.1./announce",
    "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/announce",
    "http://\u{2460}\u{2461}\u{2466}\u{3002}0.0.1/announce",
    "http://%31%32%37.0.0.1/announce",
    "http://[::1]/announce",
    "http://[0:0:0:0:0:0:0:1]/announce",
    "http://[::127.0.0.1]/announce",
    "http://[::ffff:127.0.0.1]/announce",
    "http://[::ffff:7f00:1]/announce",
    "http://[2002:7f00:1::]/announce",
    "http://[2002:a00:1::1]/announce",
    "http://[64:ff9b::7f00:1]/announce",
    "http://[64:ff9b::a9fe:a9fe]/announce",
    "http://[64:ff9b:1::a00:1]/announce",
    "http://0.0.0.0/announce",
    "http://0/announce",
    "http://[::]/announce",
    "http://10.0.0.1/announce",
    "http://0xa000001/announce",
    "http://172.16.0.1/announce",
    "http://192.168.1.1/announce",
    "http://100.64.0.1/announce",
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/announce",
    "http://[fd00::1]/announce",
    "http://[fec0::1]/announce",
    "http://224.0.0.1/announce",
    "http://255.255.255.255/announce",
    "http://[ff02::1]/announce",
    "http://localhost/announce",
    "http://LOCALHOST./announce",
    "http://rebound.example/announce",
    "http://xn--bcher-kva.example/announce",
    "http://b\u{fc}cher.example/announce",
];

const GLOBAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8));

//= C1
#[test]
fn nobody_outside_names_an_address_inside_however_it_is_written() {
    let http = http_with(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    for url in INSIDE {
        for family in [Family::V4, Family::V6] {
            let reply = run(http.follow(url, Teller::At(GLOBAL), family, 1000));
            let error = reply.expect_err(url);
            let is_refused = error.contains("may not name") || error.contains("no address of this family");
            assert!(is_refused, "{url} over {family:?}: {error}");
        }
        let both = [Family::V4, Family::V6].map(|f| run(http.follow(url, Teller::At(GLOBAL), f, 1000)));
        assert!(
            both.iter().any(|r| r.as_ref().is_err_and(|e| e.contains("may not name"))),
            "{url}: {both:?}"
        );
    }
}

//= C1
//= H3f-6
#[test]
fn redirects_are_followed_a_few_times_and_stay_in_their_scope() {
    let addr = serve(|path, _| match path {
        "/announce/a?x=%00%ff" => redirect("/announce/b"),
        "/announce/b" => ok("", b"hello"),
        "/announce/loop" => redirect("/announce/loop"),
        "/announce/inside" => redirect("http://10.1.2.3/announce"),
        "/announce/link" => redirect("http://169.254.169.254/announce"),
        "/announce/service" => redirect("/transmission/rpc"),
        "/announce/dots" => redirect("/announce/../transmission/rpc"),
        "/announce/file" => redirect("file:///etc/passwd"),
        "/announce/data" => redirect("data:text/plain,d8:intervali60ee"),
        "/announce/script" => redirect("javascript:alert(1)"),
        _ => match path.strip_prefix("/announce/count/").and_then(|n| n.parse::<usize>().ok()) {
            Some(0) => ok("", b"end"),
            Some(n) => redirect(&format!("/announce/count/{}", n - 1)),
            None => ok("", b"a service of this machine"),
        },
    });
    let answer = get(&format!("http://{addr}/announce/a?x=%00%ff")).unwrap();
    assert_eq!((answer.status, &answer.body[..], answer.remote), (200, &b"hello"[..], Some(addr.ip())));
    for (path, why) in [
        ("loop", "redirects"),
        ("inside", "may not name"),
        ("link", "may not name"),
        ("service", "/announce and /scrape alone"),
        ("dots", "/announce and /scrape alone"),
        ("file", "cannot do file"),
        ("data", "cannot do data"),
        ("script", "cannot do javascript"),
        (&format!("count/{}", HTTP_REDIRECTS_MAX + 1), "redirects"),
    ] {
        let error = get(&format!("http://{addr}/announce/{path}")).unwrap_err();
        assert!(error.contains(why), "{path}: {error}");
    }
    let count = format!("http://{addr}/announce/count/{HTTP_REDIRECTS_MAX}");
    assert_eq!(get(&count).unwrap().body, b"end");
}

//= C1
#[test]
fn a_tracker_on_this_machine_is_asked_for_nothing_but_what_trackers_give() {
    let addr = serve(|_, _| ok("", b"a service of this machine"));
    let port = addr.port();
    let http = http_with(move |_| vec![addr.ip()]);
    let ask = |url: &str| run(http.get(&request(url, Duration::from_secs(60))));
    for url in [
        format!("http://{addr}/"),
        format!("http://{addr}/transmission/rpc"),
        format!("http://{addr}/announce/../transmission/rpc"),
        format!("http://{addr}/announce/%2e%2e/transmission/rpc"),
        format!("http://{addr}/announce/.%2E\\transmission/rpc"),
        format!("http://{addr}\\@t.example/announce"),
        // a name of a stranger's
        format!("http://rebound.example:{port}/transmission/rpc"),
    ] {
        let error = ask(&url).expect_err(&url);
        assert!(error.contains("/announce and /scrape alone"), "{url}: {error}");
    }
    for url in [format!("http://{addr}/announce?key=1"), format!("http://t.example:{port}/scrape")] {
        assert_eq!(ask(&url).unwrap().status, 200, "{url}");
    }
    // the user may ask for anything
    let torrent = run(http.follow(&format!("http://{addr}/a.torrent"), Teller::User, Family::V4, 1000));
    assert_eq!(torrent.unwrap().status, 200);
}

//= C1
//= H3f-5
#[test]
fn a_name_that_moves_inside_between_two_lookups_is_refused_where_it_is_dialled() {
    let addr = serve(|path, _| if path == "/announce" { redirect("/announce/again") } else { ok("", b"x") });
    let turns = std::sync::atomic::AtomicUsize::new(0);
    // outside when it is asked about first, inside from then on
    let http = http_with(move |_| match turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => vec![GLOBAL],
        _ => vec![addr.ip()],
    });
    let first = run(http.names().resolve("rebound.example"));
    assert_eq!(first, Ok(vec![GLOBAL]));
    let teller = Teller::At(GLOBAL);
    let error = run(http.follow("http://again.example/announce", teller, Family::V4, 1000)).unwrap_err();
    assert!(error.contains("may not name"), "{error}");
}

//= H3f-5
#[test]
fn of_ten_addresses_one_that_answers_is_enough() {
    let addr = serve(|_, _| ok("", b"hello"));
    // nobody listens at the others; all are of this machine
    let http = http_with(move |_| (1..=10).rev().map(|n| IpAddr::from([127, 0, 0, n])).collect());
    let url = format!("http://ten.example:{}/announce", addr.port());
    // those above the limit are not tried, among them the one that listens
    assert!(run(http.get(&request(&url, Duration::from_secs(60)))).is_err());
    let http = http_with(move |_| (1..=8).rev().map(|n| IpAddr::from([127, 0, 0, n])).collect());
    assert_eq!(run(http.get(&request(&url, Duration::from_secs(60)))).unwrap().body, b"hello");
}

/// Row 56 of the metainfo suite.
//= H3c-56
#[test]
fn a_tracker_on_the_link_is_refused_before_it_is_asked() {
    for url in [
        "http://169.254.169.254/x?info_hash=",
        "http://0.0.0.0:80/announce",
        "http://239.192.152.143:6771/announce",
    ] {
        assert!(get(url).unwrap_err().contains("may not name"), "{url}");
    }
}
