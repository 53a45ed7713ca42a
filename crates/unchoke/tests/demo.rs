//! The notes' exchange on real sockets: `unchoke demo --json`, message by message.

use std::process::{Command, Stdio};

use serde_json::Value;

/// One message as the demo tells it.
#[derive(Debug)]
struct Told {
    host: String,
    peer: String,
    is_sent: bool,
    message: String,
    all: Value,
}

fn play() -> Vec<Told> {
    let out = Command::new(env!("CARGO_BIN_EXE_unchoke"))
        .args(["demo", "--json"])
        .output()
        .expect("the program runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).map(told).collect()
}

fn told(all: Value) -> Told {
    let text = |key: &str| all[key].as_str().unwrap_or_else(|| panic!("no {key} in {all}")).to_owned();
    Told {
        host: text("host"),
        peer: text("peer"),
        is_sent: text("direction") == "sent",
        message: text("message"),
        all: all.clone(),
    }
}

impl Told {
    fn is(&self, host: &str, is_sent: bool, peer: &str, message: &str) -> bool {
        (self.host.as_str(), self.is_sent, self.peer.as_str(), self.message.as_str())
            == (host, is_sent, peer, message)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.all[key].as_u64()
    }
}

/// The place of the first message that A sends to or gets from `peer`.
fn place(all: &[Told], is_sent: bool, peer: &str, message: &str) -> usize {
    let found = all.iter().position(|t| t.is("A", is_sent, peer, message));
    found.unwrap_or_else(|| panic!("A never {} {message} with {peer}", if is_sent { "sent" } else { "got" }))
}

/// The place of the message by which A learns of `peer`: an answer to its `get_peers`, or the peer's own announcement
/// if that reaches A, a node like the others, sooner.
fn learned_of(all: &[Told], peer: &str) -> usize {
    let tells = |t: &Told| {
        let is_answer = t.message == "get_peers reply" && t.all.get("values").is_some();
        is_answer || (t.message == "announce_peer" && t.peer == peer)
    };
    all.iter().position(|t| t.host == "A" && !t.is_sent && tells(t)).expect("A learns of both")
}

/// The pieces in all messages of this kind between A and `peer`, in order, runs told once.
fn pieces(all: &[Told], is_sent: bool, peer: &str, message: &str) -> Vec<u64> {
    let of_kind = all.iter().filter(|t| t.is("A", is_sent, peer, message));
    let mut pieces: Vec<u64> = of_kind.map(|t| t.number("piece").expect("names a piece")).collect();
    pieces.dedup();
    pieces
}

//= S41
//= S42
//= S44
//= S45
//= S46
//= S47
//= S48
//= S49
//= S50
//= S51
//= S52
#[test]
fn the_trackerless_exchange_of_the_notes_happens_in_their_order() {
    let all = play();
    let is_dht = |t: &Told, name: &str| t.all["protocol"] == "dht" && t.message == name;
    // B and C announced themselves before A asked
    let asked = all.iter().position(|t| t.host == "A" && is_dht(t, "get_peers")).unwrap();
    for host in ["B", "C"] {
        assert!(
            all[..asked].iter().any(|t| t.host == host && t.is_sent && is_dht(t, "announce_peer")),
            "{host}"
        );
    }
    // A's first words go to the node that the torrent names; peers come by get_peers alone
    assert_eq!((all.iter().find(|t| t.host == "A").unwrap().peer.as_str()), "N");
    assert!(all.iter().all(|t| t.all.get("values").is_none() || t.message == "get_peers reply"));
    assert!(all.iter().any(|t| t.host == "A" && !t.is_sent && t.all.get("values").is_some()));
    for (peer, bits) in [("B", "0xe0"), ("C", "0xc0")] {
        let order = [
            learned_of(&all, peer),
            place(&all, true, peer, "handshake"),
            place(&all, false, peer, "handshake"),
            place(&all, false, peer, "bitfield"),
            place(&all, true, peer, "interested"),
            place(&all, false, peer, "unchoke"),
            place(&all, true, peer, "request"),
            place(&all, false, peer, "piece"),
        ];
        assert!(order.is_sorted(), "{peer}: {order:?}");
        assert_eq!(all[order[3]].all["bits"], bits);
        let mut haves = pieces(&all, true, peer, "have");
        haves.sort_unstable();
        assert_eq!(haves, [0, 1, 2], "three haves to {peer}");
    }
    // the rarest first, and from B; the others from C, who is idle
    let first = all.iter().find(|t| t.host == "A" && t.is_sent && t.message == "request").unwrap();
    assert_eq!((first.peer.as_str(), first.number("piece")), ("B", Some(2)));
    assert_eq!(pieces(&all, true, "B", "request"), [2]);
    let mut from_c = pieces(&all, true, "C", "request");
    from_c.sort_unstable();
    assert_eq!(from_c, [0, 1]);
    // C gets its last piece from A
    let served = place(&all, true, "C", "piece");
    assert_eq!(all[served].number("piece"), Some(2));
    assert!(place(&all, false, "C", "interested") < place(&all, true, "C", "unchoke"));
    assert!(place(&all, true, "C", "unchoke") < served);
    assert!(all[served..].iter().any(|t| t.is("A", false, "C", "have") && t.number("piece") == Some(2)));
}

#[test]
fn the_demo_tells_the_exchange_in_words_with_its_messages() {
    let out = Command::new(env!("CARGO_BIN_EXE_unchoke")).arg("demo").output().unwrap();
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    for words in ["A joins the DHT", "bits 0xe0", "bits 0xc0", "rarest piece first", "All three are seeds"] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_without_a_complaint() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unchoke"));
    command.args(["demo", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}
