//! Bencode without any of a writer's care.

/// Keys and the bytes of their values.
pub type Entries = Vec<(&'static str, Vec<u8>)>;

pub fn int(i: i64) -> Vec<u8> {
    format!("i{i}e").into_bytes()
}

pub fn bytes(b: &[u8]) -> Vec<u8> {
    [format!("{}:", b.len()).as_bytes(), b].concat()
}

pub fn str(s: &str) -> Vec<u8> {
    bytes(s.as_bytes())
}

pub fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"l".to_vec(), items.concat(), b"e".to_vec()].concat()
}

pub fn list_of(strings: &[&str]) -> Vec<u8> {
    list(&strings.iter().map(|s| str(s)).collect::<Vec<_>>())
}

pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(k, v)| [str(k), v.clone()].concat()).collect();
    [b"d".to_vec(), entries, b"e".to_vec()].concat()
}

/// The info dictionary of one good file of one piece.
pub fn single() -> Entries {
    vec![("length", int(1)), ("name", str("set")), ("piece length", int(16_384)), ("pieces", bytes(&[7; 20]))]
}

/// The info dictionary of these files, good for all that fit one piece.
pub fn listed(files: &[Vec<u8>]) -> Entries {
    let mut info = without(&single(), "length");
    info.insert(0, ("files", list(files)));
    info
}

pub fn without(info: &[(&'static str, Vec<u8>)], key: &str) -> Entries {
    info.iter().filter(|(k, _)| *k != key).cloned().collect()
}

pub fn with(info: &[(&'static str, Vec<u8>)], key: &'static str, value: Vec<u8>) -> Entries {
    let mut info = without(info, key);
    info.push((key, value));
    info.sort();
    info
}

pub fn file(length: i64, elements: &[&str]) -> Vec<u8> {
    dict(&[("length", int(length)), ("path", list_of(elements))])
}

pub fn link(elements: &[&str], target: &[&str]) -> Vec<u8> {
    dict(&[
        ("attr", str("l")),
        ("length", int(0)),
        ("path", list_of(elements)),
        ("symlink path", list_of(target)),
    ])
}

/// A torrent of this info dictionary alone.
pub fn torrent(info: &[(&str, Vec<u8>)]) -> Vec<u8> {
    dict(&[("info", dict(info))])
}

/// A good torrent with these keys beside its info.
pub fn torrent_with(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = entries.to_vec();
    all.push(("info", dict(&single())));
    dict(&all)
}

/// A torrent of these files.
pub fn torrent_of(files: &[Vec<u8>]) -> Vec<u8> {
    torrent(&listed(files))
}

/// A good torrent with this value in its info dictionary.
pub fn torrent_where(key: &'static str, value: Vec<u8>) -> Vec<u8> {
    torrent(&with(&single(), key, value))
}

pub fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("is in there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
