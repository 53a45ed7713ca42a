//! Bencode (BEP 3): an iterative parser that borrows its input, and a writer.
//!
//! [`Document::parse`] makes one flat list of tokens, without recursion, so that nesting costs no stack; values are
//! cursors into it. Every value knows its raw [`span`](Value::span), since info-hashes are taken over received bytes.

use crate::limits;

/// Why bytes are not bencode, with the offset of the offending byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ends inside a value.
    #[error("ends inside a value at byte {0}")]
    Eof(usize),
    /// A byte that begins no value.
    #[error("not bencode at byte {0}")]
    NotBencode(usize),
    /// A number with a leading zero, `-0`, no digits, or outside 64 bits.
    #[error("malformed number at byte {0}")]
    Number(usize),
    /// A dictionary key that is not a string.
    #[error("dictionary key is not a string at byte {0}")]
    Key(usize),
    /// A key twice in one dictionary.
    #[error("duplicate dictionary key at byte {0}")]
    DuplicateKey(usize),
    /// Nested deeper than the limit.
    #[error("nested deeper than {max} levels at byte {0}", max = limits::BENCODE_DEPTH_MAX)]
    Depth(usize),
    /// More values than the limit.
    #[error("more than {max} values at byte {0}", max = limits::BENCODE_TOKENS_MAX)]
    Tokens(usize),
    /// Bytes after the value, where none are allowed.
    #[error("bytes after the end at byte {0}")]
    Trailing(usize),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Int(i64),
    /// Offset of the first byte of the string itself.
    Str(u32),
    List,
    Dict,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: u32,
    end: u32,
    /// Index of the first token after this value.
    next: u32,
}

/// A parsed document over borrowed bytes.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    tokens: Vec<Token>,
}

/// One value of a document.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    bytes: &'d [u8],
    tokens: &'d [Token],
    at: usize,
}

/// A dictionary of a document.
#[derive(Clone, Copy)]
pub struct Dict<'d>(Value<'d>);

struct Open {
    token: usize,
    /// For a dictionary: whether a key is due next, and the last key, to find duplicates in sorted input fast.
    key_due: bool,
    last_key: Option<(usize, usize)>,
    is_sorted: bool,
}

impl<'a> Document<'a> {
    /// Parses bytes that are one value and nothing else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (doc, used) = Self::parse_prefix(bytes)?;
        if used != bytes.len() {
            return Err(Error::Trailing(used));
        }
        Ok(doc)
    }

    /// Parses the value at the front and says how many bytes it took.
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, usize), Error> {
        // a datagram's worth at once; longer documents grow
        let tokens = Vec::with_capacity((bytes.len() / 6).min(64));
        Parser { bytes, at: 0, tokens, open: Vec::with_capacity(4) }.run()
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value { bytes: self.bytes, tokens: &self.tokens, at: 0 }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    open: Vec<Open>,
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<(Document<'a>, usize), Error> {
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(Error::Tokens(self.bytes.len()));
        }
        loop {
            let start = self.at;
            let Some(&byte) = self.bytes.get(start) else { return Err(Error::Eof(start)) };
            let in_dict = self.open.last().is_some_and(|o| matches!(self.tokens[o.token].kind, Kind::Dict));
            let key_due = in_dict && self.open.last().is_some_and(|o| o.key_due);
            match byte {
                b'e' => self.close(start)?,
                b'0'..=b'9' => self.string(start, key_due)?,
                _ if key_due => return Err(Error::Key(start)),
                b'i' => {
                    let value = self.integer(start)?;
                    self.push(start, Kind::Int(value), self.at)?;
                }
                b'l' | b'd' => self.enter(start, byte == b'd')?,
                _ => return Err(Error::NotBencode(start)),
            }
            // a key makes its value due; a whole value makes the next key due; an opened container changes nothing
            if !matches!(byte, b'l' | b'd')
                && let Some(open) = self.open.last_mut()
            {
                open.key_due = byte == b'e' || !key_due;
            }
            if self.open.is_empty() {
                return Ok((Document { bytes: self.bytes, tokens: self.tokens }, self.at));
            }
        }
    }

    fn push(&mut self, start: usize, kind: Kind, end: usize) -> Result<(), Error> {
        if self.tokens.len() >= limits::BENCODE_TOKENS_MAX {
            return Err(Error::Tokens(start));
        }
        let next = offset(self.tokens.len() + 1);
        self.tokens.push(Token { kind, start: offset(start), end: offset(end), next });
        Ok(())
    }

    fn enter(&mut self, start: usize, is_dict: bool) -> Result<(), Error> {
        if self.open.len() >= limits::BENCODE_DEPTH_MAX {
            return Err(Error::Depth(start));
        }
        let token = self.tokens.len();
        self.push(start, if is_dict { Kind::Dict } else { Kind::List }, start)?;
        self.open.push(Open { token, key_due: is_dict, last_key: None, is_sorted: true });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, start: usize) -> Result<(), Error> {
        let open = self.open.pop().ok_or(Error::NotBencode(start))?;
        let is_dict = matches!(self.tokens[open.token].kind, Kind::Dict);
        if is_dict && !open.key_due {
            return Err(Error::NotBencode(start));
        }
        self.at += 1;
        let next = offset(self.tokens.len());
        let end = offset(self.at);
        let token = &mut self.tokens[open.token];
        (token.next, token.end) = (next, end);
        if is_dict && !open.is_sorted {
            self.check_duplicates(open.token)?;
        }
        Ok(())
    }

    /// Unsorted dictionaries are accepted (BEP 3 wants them sorted; old files are not), a key twice is not.
    fn check_duplicates(&self, token: usize) -> Result<(), Error> {
        let root = Value { bytes: self.bytes, tokens: &self.tokens, at: token };
        let mut keys: Vec<(&[u8], u32)> = Dict(root).entries().map(|(k, v)| (k, v.token().start)).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|w| w[0].0 == w[1].0) {
            Some(w) => Err(Error::DuplicateKey(w[1].1 as usize)),
            None => Ok(()),
        }
    }

    fn string(&mut self, start: usize, is_key: bool) -> Result<(), Error> {
        let mut at = start;
        let mut len = 0usize;
        while let Some(digit) = self.bytes.get(at).filter(|b| b.is_ascii_digit()) {
            len = len
                .checked_mul(10)
                .and_then(|l| l.checked_add(usize::from(digit - b'0')))
                .ok_or(Error::Number(start))?;
            at += 1;
        }
        match self.bytes.get(at) {
            None => return Err(Error::Eof(at)),
            Some(b':') if self.bytes[start] != b'0' || at == start + 1 => {}
            Some(_) => return Err(Error::Number(start)),
        }
        let from = at + 1;
        let to =
            from.checked_add(len).filter(|to| *to <= self.bytes.len()).ok_or(Error::Eof(self.bytes.len()))?;
        self.push(start, Kind::Str(offset(from)), to)?;
        self.at = to;
        if is_key && let Some(open) = self.open.last_mut() {
            if let Some((a, b)) = open.last_key {
                match self.bytes[a..b].cmp(&self.bytes[from..to]) {
                    core::cmp::Ordering::Less => {}
                    core::cmp::Ordering::Equal => return Err(Error::DuplicateKey(start)),
                    core::cmp::Ordering::Greater => open.is_sorted = false,
                }
            }
            open.last_key = Some((from, to));
        }
        Ok(())
    }

    fn integer(&mut self, start: usize) -> Result<i64, Error> {
        let rest = &self.bytes[start + 1..];
        let len = rest.iter().take(21).position(|b| *b == b'e').ok_or(if rest.len() < 21 {
            Error::Eof(self.bytes.len())
        } else {
            Error::Number(start)
        });
        // an integer that is cut off but already malformed is a number error too
        let digits = match len {
            Ok(len) => &rest[..len],
            Err(e) if rest.iter().all(|b| b.is_ascii_digit() || *b == b'-') => return Err(e),
            Err(_) => return Err(Error::Number(start)),
        };
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        let is_canonical = match unsigned {
            [b'0'] => digits.len() == 1,
            [b'1'..=b'9', tail @ ..] => tail.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let value = core::str::from_utf8(digits).ok().filter(|_| is_canonical).and_then(|s| s.parse().ok());
        self.at = start + 2 + digits.len();
        value.ok_or(Error::Number(start))
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("the input's length was checked to fit")
}

impl<'d> Value<'d> {
    fn token(&self) -> &'d Token {
        &self.tokens[self.at]
    }

    /// The raw bytes of this value.
    pub fn span(&self) -> &'d [u8] {
        let t = self.token();
        &self.bytes[t.start as usize..t.end as usize]
    }

    /// The string, if this is one.
    pub fn as_bytes(&self) -> Option<&'d [u8]> {
        match self.token().kind {
            Kind::Str(from) => Some(&self.bytes[from as usize..self.token().end as usize]),
            _ => None,
        }
    }

    /// The string, if this is one and is UTF-8.
    pub fn as_str(&self) -> Option<&'d str> {
        self.as_bytes().and_then(|b| core::str::from_utf8(b).ok())
    }

    /// The integer, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.token().kind {
            Kind::Int(i) => Some(i),
            _ => None,
        }
    }

    /// The integer, if this is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|i| u64::try_from(i).ok())
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<impl Iterator<Item = Value<'d>> + use<'d>> {
        matches!(self.token().kind, Kind::List).then(|| self.children())
    }

    /// The dictionary, if this is one.
    pub fn as_dict(&self) -> Option<Dict<'d>> {
        matches!(self.token().kind, Kind::Dict).then_some(Dict(*self))
    }

    /// Whether it is written in the one way BEP 3 allows: the keys of every dictionary inside it are sorted. The rest
    /// (no key twice, no leading zeros) holds for whatever was parsed.
    pub fn is_canonical(&self) -> bool {
        (self.at..self.token().next as usize)
            .filter_map(|at| Value { at, ..*self }.as_dict())
            .all(|dict| dict.entries().map(|(key, _)| key).is_sorted())
    }

    fn children(&self) -> impl Iterator<Item = Value<'d>> + use<'d> {
        let this = *self;
        let end = self.token().next as usize;
        let mut at = self.at + 1;
        core::iter::from_fn(move || {
            (at < end).then(|| {
                let child = Value { at, ..this };
                at = child.token().next as usize;
                child
            })
        })
    }
}

impl<'d> Dict<'d> {
    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Option<Value<'d>> {
        self.entries().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// All entries in the order they were written.
    pub fn entries(&self) -> impl Iterator<Item = (&'d [u8], Value<'d>)> + use<'d> {
        let mut children = self.0.children();
        core::iter::from_fn(move || {
            let key = children.next()?.as_bytes()?;
            Some((key, children.next()?))
        })
    }

    /// The raw bytes of the dictionary.
    pub fn span(&self) -> &'d [u8] {
        self.0.span()
    }
}

/// Writes bencode. Keys must be written in ascending order of their bytes, as BEP 3 wants; this is asserted.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Self {
        Writer { out: Vec::with_capacity(len) }
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes an integer.
    pub fn int(&mut self, i: i64) {
        self.out.push(b'i');
        if i < 0 {
            self.out.push(b'-');
        }
        self.decimal(i.unsigned_abs());
        self.out.push(b'e');
    }

    /// Writes a string.
    pub fn bytes(&mut self, s: &[u8]) {
        self.decimal(s.len() as u64);
        self.out.push(b':');
        self.out.extend_from_slice(s);
    }

    fn decimal(&mut self, mut n: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789"[(n % 10) as usize];
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// Writes a value that is bencoded already.
    pub fn raw(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// Writes a list whose items `f` writes.
    pub fn list(&mut self, f: impl FnOnce(&mut Writer)) {
        self.out.push(b'l');
        f(self);
        self.out.push(b'e');
    }

    /// Writes a dictionary whose entries `f` writes.
    pub fn dict(&mut self, f: impl FnOnce(&mut DictWriter<'_>)) {
        self.out.push(b'd');
        f(&mut DictWriter { writer: self, last_key: None });
        self.out.push(b'e');
    }
}

/// Writes the entries of one dictionary, keys ascending.
#[derive(Debug)]
pub struct DictWriter<'w> {
    writer: &'w mut Writer,
    /// Where in the output the last key lies.
    last_key: Option<(usize, usize)>,
}

impl DictWriter<'_> {
    /// Writes `key` and hands out the writer for its value.
    ///
    /// # Panics
    /// When `key` does not come after the key before it.
    pub fn key(&mut self, key: &[u8]) -> &mut Writer {
        assert!(
            self.last_key.is_none_or(|(from, to)| &self.writer.out[from..to] < key),
            "keys are written in ascending order"
        );
        self.writer.bytes(key);
        let end = self.writer.out.len();
        self.last_key = Some((end - key.len(), end));
        self.writer
    }

    /// Writes a string entry.
    pub fn bytes(&mut self, key: &[u8], value: &[u8]) {
        self.key(key).bytes(value);
    }

    /// Writes an integer entry.
    pub fn int(&mut self, key: &[u8], value: i64) {
        self.key(key).int(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn err(bytes: &[u8]) -> Error {
        Document::parse(bytes).expect_err("must be refused")
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for (i, text) in [(0, "i0e"), (-1, "i-1e"), (10, "i10e"), (i64::MIN, "i-9223372036854775808e")] {
            let mut w = Writer::new();
            w.int(i);
            assert_eq!(w.finish(), text.as_bytes());
        }
        let mut w = Writer::with_capacity(20);
        w.bytes(b"0123456789");
        assert_eq!(w.finish(), b"10:0123456789");
    }

    #[test]
    fn a_value_is_canonical_when_every_dictionary_in_it_is_sorted() {
        for (text, is_canonical) in [
            ("i1e", true),
            ("de", true),
            ("d1:ai1e1:bi2ee", true),
            ("d1:bi1e1:ai2ee", false),
            ("ld1:bi1e1:ai2eee", false),
            ("d1:ad1:z0:1:y0:ee", false),
            ("d1:al1:z1:yee", true),
        ] {
            assert_eq!(
                Document::parse(text.as_bytes()).unwrap().root().is_canonical(),
                is_canonical,
                "{text}"
            );
        }
        let doc = Document::parse(b"d1:zd1:ai1ee1:yi2ee").unwrap();
        let inner = doc.root().as_dict().unwrap().get(b"z").unwrap();
        assert!(inner.is_canonical() && !doc.root().is_canonical());
    }

    #[test]
    fn the_examples_of_bep_3_parse() {
        assert_eq!(Document::parse(b"4:spam").unwrap().root().as_bytes(), Some(&b"spam"[..]));
        for (text, value) in [("i3e", 3), ("i-3e", -3), ("i0e", 0)] {
            assert_eq!(Document::parse(text.as_bytes()).unwrap().root().as_int(), Some(value));
        }
        let doc = Document::parse(b"l4:spam4:eggse").unwrap();
        let items: Vec<_> = doc.root().as_list().unwrap().map(|v| v.as_str().unwrap()).collect();
        assert_eq!(items, ["spam", "eggs"]);
        let doc = Document::parse(b"d3:cow3:moo4:spam4:eggse").unwrap();
        let dict = doc.root().as_dict().unwrap();
        assert_eq!(dict.get(b"cow").unwrap().as_str(), Some("moo"));
        assert_eq!(dict.get(b"spam").unwrap().as_str(), Some("eggs"));
        let doc = Document::parse(b"d4:spaml1:a1:bee").unwrap();
        let spam = doc.root().as_dict().unwrap().get(b"spam").unwrap();
        assert_eq!((spam.span(), spam.as_list().unwrap().count()), (&b"l1:a1:be"[..], 2));
    }

    #[test]
    fn the_file_tree_example_of_bep_52_parses_with_its_length_prefix_mended() {
        let text = [
            &b"d4:infod9:file treed4:dir1d4:dir2d9:fileA.txtd0:d6:lengthi1024e11:pieces root32:"[..],
            &[b'a'; 32],
            b"eeeeeee",
        ]
        .concat();
        let doc = Document::parse(&text).unwrap();
        let mut at = doc.root().as_dict().unwrap();
        for key in ["info", "file tree", "dir1", "dir2", "fileA.txt", ""] {
            at = at.get(key.as_bytes()).unwrap().as_dict().unwrap();
        }
        assert_eq!(at.get(b"length").unwrap().as_int(), Some(1024));
    }

    #[test]
    fn malformed_numbers_are_refused() {
        for text in
            ["i-0e", "i03e", "i01e", "ie", "i-e", "i1x", "i9223372036854775808e", "00005:hello", "01:a"]
        {
            assert!(matches!(err(text.as_bytes()), Error::Number(0)), "{text}");
        }
        assert_eq!(err(b"i1"), Error::Eof(2));
        assert_eq!(err(b"-1:a"), Error::NotBencode(0));
        assert_eq!(err(b"99999999999999999999:a"), Error::Number(0));
        assert_eq!(err(b"5:abc"), Error::Eof(5));
    }

    #[test]
    fn dictionaries_want_string_keys_once_each_in_any_order() {
        assert_eq!(err(b"di1ei2ee"), Error::Key(1));
        assert_eq!(err(b"d1:ai1e1:ai2ee"), Error::DuplicateKey(7));
        assert!(matches!(err(b"d1:bi1e1:ai2e1:bi3ee"), Error::DuplicateKey(_)));
        assert_eq!(err(b"d1:ae"), Error::NotBencode(4));
        assert!(Document::parse(b"d1:bi1e1:ai2ee").is_ok());
    }

    #[test]
    fn a_million_open_lists_cost_an_error_and_no_stack() {
        assert_eq!(err(&vec![b'l'; 1_000_000]), Error::Depth(limits::BENCODE_DEPTH_MAX));
        let deep = |n| [vec![b'l'; n], vec![b'e'; n]].concat();
        assert!(Document::parse(&deep(limits::BENCODE_DEPTH_MAX)).is_ok());
        assert!(Document::parse(&deep(limits::BENCODE_DEPTH_MAX + 1)).is_err());
    }

    #[test]
    fn one_value_above_the_token_limit_is_refused() {
        let list = |n: usize| [b"l".to_vec(), b"i1e".repeat(n), b"e".to_vec()].concat();
        assert!(Document::parse(&list(limits::BENCODE_TOKENS_MAX - 1)).is_ok());
        assert!(matches!(err(&list(limits::BENCODE_TOKENS_MAX)), Error::Tokens(_)));
    }

    #[test]
    fn a_prefix_says_where_the_rest_begins() {
        let (doc, used) = Document::parse_prefix(b"d8:msg_typei1eeRAW").unwrap();
        assert_eq!((doc.root().span(), used), (&b"d8:msg_typei1ee"[..], 15));
        assert_eq!(err(b"i1ei2e"), Error::Trailing(3));
    }

    #[derive(Clone, Debug)]
    enum Tree {
        Int(i64),
        Str(Vec<u8>),
        List(Vec<Tree>),
        Dict(std::collections::BTreeMap<Vec<u8>, Tree>),
    }

    fn write(w: &mut Writer, tree: &Tree) {
        match tree {
            Tree::Int(i) => w.int(*i),
            Tree::Str(s) => w.bytes(s),
            Tree::List(items) => w.list(|w| items.iter().for_each(|t| write(w, t))),
            Tree::Dict(map) => w.dict(|d| map.iter().for_each(|(k, t)| write(d.key(k), t))),
        }
    }

    fn same(v: Value<'_>, tree: &Tree) -> bool {
        match tree {
            Tree::Int(i) => v.as_int() == Some(*i),
            Tree::Str(s) => v.as_bytes() == Some(s),
            Tree::List(items) => {
                let got: Vec<_> = v.as_list().unwrap().collect();
                got.len() == items.len() && got.iter().zip(items).all(|(v, t)| same(*v, t))
            }
            Tree::Dict(map) => {
                let got: Vec<_> = v.as_dict().unwrap().entries().collect();
                got.len() == map.len()
                    && got.iter().zip(map).all(|((k, v), (key, t))| k == key && same(*v, t))
            }
        }
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![any::<i64>().prop_map(Tree::Int), any::<Vec<u8>>().prop_map(Tree::Str)];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
                prop::collection::btree_map(any::<Vec<u8>>(), inner, 0..8).prop_map(Tree::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_parses_to_the_same(tree in trees()) {
            let mut w = Writer::new();
            write(&mut w, &tree);
            let bytes = w.finish();
            let doc = Document::parse(&bytes).unwrap();
            prop_assert!(same(doc.root(), &tree));
            prop_assert_eq!(doc.root().span(), &bytes[..]);
        }

        #[test]
        fn any_bytes_parse_or_err(bytes in prop::collection::vec(prop_oneof![Just(b'd'), Just(b'l'), Just(b'i'), Just(b'e'), Just(b':'), b'0'..=b'9', any::<u8>()], 0..100)) {
            let _ = Document::parse_prefix(&bytes);
        }
    }
}
