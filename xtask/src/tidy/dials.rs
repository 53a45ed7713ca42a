//! The ways out: code that dials or sends stands only in files where every address has passed the one gate.

use super::Finding;
use crate::source::{Source, has_word};
use crate::tree::Tree;

/// A file that may dial or send, and the file that lets its addresses through; `None` where the user, or this machine's
/// own configuration, names the address and nobody else can.
struct WayOut {
    path: &'static str,
    gate: Option<&'static str>,
}

const fn gated(path: &'static str, gate: &'static str) -> WayOut {
    WayOut { path, gate: Some(gate) }
}

const fn users(path: &'static str) -> WayOut {
    WayOut { path, gate: None }
}

/// Every way out of the product.
const WAYS_OUT: &[WayOut] = &[
    // peers, whoever named them
    gated("crates/runtime/src/shard/conns.rs", "crates/engine/src/peer_list/gate.rs"),
    // HTTP trackers, their redirects, and torrents by URL
    gated("crates/runtime/src/http.rs", "crates/runtime/src/http.rs"),
    gated("crates/runtime/src/http_pool.rs", "crates/runtime/src/http.rs"),
    // datagrams of the DHT and to UDP trackers
    gated("crates/runtime/src/listen.rs", "crates/dht/src/node/client.rs"),
    gated("crates/runtime/src/sys/datagrams.rs", "crates/engine/src/tracker/attempt.rs"),
    // the multicast groups of BEP 14
    users("crates/runtime/src/lsd.rs"),
    // the daemon's own socket
    users("crates/unchoke/src/api/socket.rs"),
    users("crates/unchoke/src/remote/client.rs"),
    // which of our addresses a node that the user named sees
    users("crates/unchoke/src/commands/dht/asker.rs"),
];

/// What dials or sends, as it is written.
const DIALS: &[&str] = &[
    "TcpStream::connect",
    "UnixStream::connect",
    ".connect_timeout(",
    ".connect_to(",
    ".send_to(",
    ".send_to_vectored(",
    "sendto(",
    "sendmsg(",
    "sendmmsg(",
];

/// Clients that dial by themselves.
const CLIENTS: &[&str] = &["reqwest", "TcpSocket", "HttpConnector"];

/// Folders whose code is not the product's.
const OUTSIDE: &[&str] = &["interop/", "fuzz/", "xtask/"];

/// Code that dials or sends outside the ways out, and ways out whose gate is open.
pub(super) fn ways_out(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let is_outside = OUTSIDE.iter().any(|folder| source.path.starts_with(folder));
        if is_outside || WAYS_OUT.iter().any(|way| way.path == source.path) {
            continue;
        }
        let lines = source.production().filter(|(_, code)| dials(code));
        let what = "dials or sends, and is not one of the ways out whose addresses are gated";
        found.extend(lines.map(|(line, _)| Finding::new(&source.path, line, what)));
    }
    found.extend(WAYS_OUT.iter().filter_map(|way| open_gate(tree, way)));
    found
}

fn dials(code: &str) -> bool {
    DIALS.iter().any(|call| code.contains(call))
        || CLIENTS.iter().any(|client| has_word(code, client))
        // a socket's own method; a connection of another kind has a path before its name
        || code.contains("socket.connect(")
}

fn open_gate(tree: &Tree, way: &WayOut) -> Option<Finding> {
    let source = |path: &str| tree.sources.iter().find(|source| source.path == path);
    source(way.path)?;
    let gate = way.gate?;
    let is_shut = source(gate).is_some_and(asks_the_scope);
    (!is_shut).then(|| Finding::new(way.path, 0, format!("its gate {gate} does not ask the rule of scopes")))
}

fn asks_the_scope(source: &Source) -> bool {
    source.production().any(|(_, code)| code.contains("may_use(") || code.contains("may_tell("))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    //= C1
    #[test]
    fn code_that_dials_outside_the_ways_out_is_found() {
        let text = "fn a() { TcpStream::connect(b); }\nfn c() { socket.send_to(d, e); }\nfn f() { connect(g) }\n\
                    #[cfg(test)]\nmod tests { fn a() { TcpStream::connect(b); } }\n";
        let what = "dials or sends, and is not one of the ways out whose addresses are gated";
        let files = [("crates/engine/src/a.rs", text), ("interop/src/a.rs", text)];
        assert_eq!(
            found(ways_out, &files),
            [format!("crates/engine/src/a.rs:1: {what}"), format!("crates/engine/src/a.rs:2: {what}")]
        );
    }

    //= C1
    #[test]
    fn a_way_out_whose_gate_is_open_is_found() {
        let conns = ("crates/runtime/src/shard/conns.rs", "fn a() { TcpStream::connect(b); }\n");
        let shut = ("crates/engine/src/peer_list/gate.rs", "fn a() { scope::may_use(b, c) }\n");
        let open = ("crates/engine/src/peer_list/gate.rs", "fn a() { true }\n");
        assert_eq!(found(ways_out, &[conns, shut]), <[String; 0]>::default());
        assert_eq!(
            found(ways_out, &[conns, open]),
            [
                "crates/runtime/src/shard/conns.rs:1: its gate crates/engine/src/peer_list/gate.rs does not ask the rule of \
              scopes"
            ]
        );
    }
}
