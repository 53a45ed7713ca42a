//! What the DHT stores, in words: bencoded values, clients' versions.

use serde_json::{Map, Value as Json, json};
use unchoke_wire::bencode::{Document, Value, Writer};

use crate::describe::hex;

/// Bytes as a bencoded string.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(bytes);
    writer.finish()
}

/// The bytes of a bencoded string; `None` for another value.
pub(super) fn as_string(value: &[u8]) -> Option<Vec<u8>> {
    Document::parse(value).ok()?.root().as_bytes().map(<[u8]>::to_vec)
}

/// A bencoded value for people: text as it is, anything else like JSON.
pub(super) fn text(value: &[u8]) -> String {
    match json(value) {
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
        None => hex(value),
    }
}

/// A bencoded value as JSON: bytes that are no text become `{"hex": …}`. `None` when it is no bencode.
pub(super) fn json(value: &[u8]) -> Option<Json> {
    Document::parse(value).ok().map(|document| of(document.root()))
}

/// Nested as deep as the parser lets values be.
fn of(value: Value<'_>) -> Json {
    if let Some(number) = value.as_int() {
        number.into()
    } else if let Some(bytes) = value.as_bytes() {
        word(bytes).map_or_else(|| json!({"hex": hex(bytes)}), Json::from)
    } else if let Some(items) = value.as_list() {
        items.map(of).collect()
    } else {
        let entries = value.as_dict().into_iter().flat_map(|d| d.entries().collect::<Vec<_>>());
        let key = |key: &[u8]| word(key).map_or_else(|| hex(key), str::to_owned);
        Json::Object(entries.map(|(name, value)| (key(name), of(value))).collect::<Map<_, _>>())
    }
}

fn word(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains(|c: char| c.is_control() && !"\n\t".contains(c)))
}

/// A client by its version (BEP 5): two letters and two numbers as a rule.
pub(super) fn client(version: &[u8]) -> String {
    match version {
        [a, b, major, minor] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() => {
            format!("{}{} {major}.{minor}", char::from(*a), char::from(*b))
        }
        _ => version.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_people_read_them() {
        for (value, told) in [
            (&b"5:hello"[..], "hello"),
            (b"i-42e", "-42"),
            (b"li1e3:twoe", "[1,\"two\"]"),
            (b"d2:ih3:\x01\x02\xffe", "{\"ih\":{\"hex\":\"0102ff\"}}"),
            (b"3:\x01\x02\xff", "{\"hex\":\"0102ff\"}"),
            (b"junk", "6a756e6b"),
        ] {
            assert_eq!(text(value), told);
        }
        assert_eq!(string(b"hello"), b"5:hello");
        assert_eq!(as_string(b"5:hello"), Some(b"hello".to_vec()));
        assert_eq!(as_string(b"i1e"), None);
    }

    #[test]
    fn clients_are_told_by_letters_and_numbers() {
        assert_eq!(client(b"UK\x00\x01"), "UK 0.1");
        assert_eq!(client(b"LT\x02\x0b"), "LT 2.11");
        assert_eq!(client(b"\xffx"), "\\xffx");
    }
}
