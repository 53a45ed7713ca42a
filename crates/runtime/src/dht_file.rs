//! What the DHT leaves to the next run, as text: a line that says what it is, then a line for each of our ids and for
//! each node. A damaged line is left out; a file of another version is none.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use unchoke_engine::hub::DhtState;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{NodeId, NodeInfo};

/// The first line.
const HEAD: &str = "unchoke dht 1";
/// Bytes read at most: a line has an id's 40 digits and an address.
const FILE_LEN_MAX: u64 = 128 << 10;

/// What an earlier run left; nothing when there was no such run.
pub(crate) fn load(path: &Path) -> DhtState {
    let mut text = Vec::new();
    // a file that cannot be read is as good as none
    let _ = std::fs::File::open(path).and_then(|f| f.take(FILE_LEN_MAX).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let mut state = DhtState::default();
    if lines.next() != Some(HEAD) {
        return state;
    }
    for line in lines {
        match &*line.split(' ').collect::<Vec<_>>() {
            ["id", family, id] => state.ids.extend(parse_family(family).zip(parse_id(id))),
            ["node", id, addr] => {
                let node = parse_id(id).zip(addr.parse::<SocketAddr>().ok());
                state.nodes.extend(node.map(|(id, addr)| NodeInfo { id, addr }));
            }
            _ => {}
        }
    }
    state.ids.truncate(2 * DhtState::IDS_MAX);
    state.nodes.truncate(2 * DhtState::NODES_MAX);
    state
}

/// Replaces the file as a whole.
pub(crate) fn save(path: &Path, state: &DhtState) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let mut file = std::fs::File::create(&temp)?;
    file.write_all(write(state).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temp, path)
}

fn write(state: &DhtState) -> String {
    let mut text = format!("{HEAD}\n");
    for (family, id) in &state.ids {
        let family = if *family == Family::V4 { "v4" } else { "v6" };
        line(&mut text, format_args!("id {family} {}", hex(id)));
    }
    for NodeInfo { id, addr } in &state.nodes {
        line(&mut text, format_args!("node {} {addr}", hex(id)));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all that is written");
}

fn hex(id: &NodeId) -> String {
    id.0.iter().fold(String::with_capacity(40), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

fn parse_family(word: &str) -> Option<Family> {
    match word {
        "v4" => Some(Family::V4),
        "v6" => Some(Family::V6),
        _ => None,
    }
}

fn parse_id(digits: &str) -> Option<NodeId> {
    let mut id = NodeId([0; 20]);
    if digits.len() != 2 * id.0.len() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in id.0.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> DhtState {
        let node = |id: u8, addr: &str| NodeInfo { id: NodeId([id; 20]), addr: addr.parse().unwrap() };
        DhtState {
            ids: vec![(Family::V4, NodeId([7; 20])), (Family::V6, NodeId([8; 20]))],
            nodes: vec![node(1, "1.2.3.4:5"), node(0xab, "[2a00::1]:6")],
        }
    }

    #[test]
    fn ids_and_nodes_come_back_and_damaged_lines_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht");
        save(&path, &state()).unwrap();
        assert_eq!(load(&path), state());
        let text = std::fs::read_to_string(&path).unwrap();
        let zeros = "0".repeat(38);
        let damaged = [
            "x",
            "node 0 1.2.3.4:5",
            &format!("node é{zeros} 1.2.3.4:5"),
            &format!("node +1{zeros} 1.2.3.4:5"),
            &format!("node 00{zeros} 1.2.3.4"),
            &format!("node 00{zeros} example.org:1"),
            &format!("id v5 00{zeros}"),
            "id v4",
        ]
        .join("\n");
        std::fs::write(&path, format!("{text}{damaged}")).unwrap();
        assert_eq!(load(&path), state());
        // cut off in the middle of its last line
        std::fs::write(&path, &text[..text.len() - 12]).unwrap();
        assert_eq!(load(&path), DhtState { nodes: vec![state().nodes[0]], ..state() });
    }

    #[test]
    fn a_file_of_another_version_or_none_or_one_of_endless_length_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht");
        assert_eq!(load(&path), DhtState::default());
        let text = write(&state());
        std::fs::write(&path, text.replace("dht 1", "dht 2")).unwrap();
        assert_eq!(load(&path), DhtState::default());
        let node = text.lines().last().unwrap();
        std::fs::write(&path, format!("{HEAD}\n{}", format!("{node}\n").repeat(100_000))).unwrap();
        assert_eq!(load(&path).nodes.len(), 2 * DhtState::NODES_MAX);
    }

    #[test]
    fn the_file_is_the_old_one_or_the_new_one_whatever_lies_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht");
        save(&path, &state()).unwrap();
        // a save that was cut short left this
        std::fs::write(dir.path().join("dht.tmp"), "unch").unwrap();
        assert_eq!(load(&path), state());
        save(&path, &DhtState::default()).unwrap();
        assert_eq!(load(&path), DhtState::default());
    }
}
