//! DHT messages as bytes, for a load that costs its sender little and owes nothing to the codec under test.

use crate::fixtures::Rng;

/// A node id or key.
pub(crate) type Id = [u8; 20];

/// A random id.
pub(crate) fn random_id(rng: &mut Rng) -> Id {
    rng.bytes(20).try_into().expect("twenty were asked for")
}

/// `find_node` for `target`.
pub(crate) fn find_node(from: &Id, target: &Id) -> Vec<u8> {
    [b"d1:ad2:id20:", &from[..], b"6:target20:", target, b"e1:q9:find_node1:t2:fn1:y1:qe"].concat()
}

/// `get_peers` for `key`.
pub(crate) fn get_peers(from: &Id, key: &Id) -> Vec<u8> {
    [b"d1:ad2:id20:", &from[..], b"9:info_hash20:", key, b"e1:q9:get_peers1:t2:gp1:y1:qe"].concat()
}

/// `announce_peer` of `port` under `key`.
pub(crate) fn announce_peer(from: &Id, key: &Id, port: u16, token: &[u8]) -> Vec<u8> {
    let (port, len) = (format!("{port}"), format!("{}", token.len()));
    [
        b"d1:ad2:id20:",
        &from[..],
        b"9:info_hash20:",
        key,
        b"4:porti",
        port.as_bytes(),
        b"e5:token",
        len.as_bytes(),
        b":",
        token,
        b"e1:q13:announce_peer1:t2:ap1:y1:qe",
    ]
    .concat()
}

/// Whether this is a response, by its last key.
pub(crate) fn is_response(message: &[u8]) -> bool {
    message.ends_with(b"1:y1:re")
}

/// The string behind `key`, which is written as bencode has it, such as `2:id`. What it finds inside of another string
/// is found wrongly: ids are random, and long enough for that not to happen.
pub(crate) fn string_after<'m>(message: &'m [u8], key: &[u8]) -> Option<&'m [u8]> {
    let at = message.windows(key.len()).position(|window| window == key)? + key.len();
    let rest = &message[at..];
    let colon = rest.iter().position(|b| *b == b':').filter(|digits| (1..=4).contains(digits))?;
    let len: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    rest.get(colon + 1..colon + 1 + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_the_bytes_of_bep_5() {
        let (from, key) = (*b"abcdefghij0123456789", *b"mnopqrstuvwxyz123456");
        assert_eq!(
            find_node(&from, &key),
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:fn1:y1:qe"
        );
        assert_eq!(
            announce_peer(&from, &key, 6881, b"aoeusnth").as_slice(),
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe\
              1:q13:announce_peer1:t2:ap1:y1:qe"
        );
    }

    #[test]
    fn strings_are_found_by_their_key() {
        let reply = b"d1:rd2:id20:0123456789abcdefghij5:token8:aoeusnthe1:t2:gp1:y1:re";
        assert!(is_response(reply));
        assert_eq!(string_after(reply, b"5:token"), Some(&b"aoeusnth"[..]));
        assert_eq!(string_after(reply, b"6:values"), None);
        assert_eq!(string_after(b"5:token9:short", b"5:token"), None);
    }
}
