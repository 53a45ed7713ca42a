//! The DHT's nodes between runs: a line each, the id in hex and the address. A damaged line is left out.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;

/// Nodes read at most.
const NODES_MAX: usize = 1000;
/// Bytes read at most: a line has the id's 40 digits and an address.
const FILE_LEN_MAX: u64 = 128 << 10;

/// A node's id and address.
pub(crate) type SavedNode = ([u8; 20], SocketAddr);

/// The nodes of an earlier run; none when there was no such run.
pub(crate) fn load(path: &Path) -> Vec<SavedNode> {
    let mut text = Vec::new();
    // a file that cannot be read is as good as none
    let _ = std::fs::File::open(path).and_then(|f| f.take(FILE_LEN_MAX).read_to_end(&mut text));
    String::from_utf8_lossy(&text).lines().filter_map(parse).take(NODES_MAX).collect()
}

/// Replaces the file as a whole.
pub(crate) fn save(path: &Path, nodes: &[SavedNode]) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let mut file = std::fs::File::create(&temp)?;
    let mut text = Vec::new();
    for (id, addr) in nodes {
        id.iter().try_for_each(|b| write!(text, "{b:02x}"))?;
        writeln!(text, " {addr}")?;
    }
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(temp, path)
}

fn parse(line: &str) -> Option<SavedNode> {
    let (id, addr) = line.split_once(' ')?;
    let mut bytes = [0; 20];
    if id.len() != 2 * bytes.len() || !id.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&id[at..at + 2], 16).ok()?;
    }
    Some((bytes, addr.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_back_and_damaged_lines_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht");
        let nodes =
            vec![([1; 20], "1.2.3.4:5".parse().unwrap()), ([0xab; 20], "[2a00::1]:6".parse().unwrap())];
        save(&path, &nodes).unwrap();
        assert_eq!(load(&path), nodes);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("x\n0 1.2.3.4:5\né{} 1.2.3.4:5\n{text}", "0".repeat(38))).unwrap();
        assert_eq!(load(&path), nodes);
        assert_eq!(load(&dir.path().join("none")), []);
    }
}
