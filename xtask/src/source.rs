//! One Rust file split into code, comments and literals, with the lines that are tests known.
//!
//! The split is a lexer's: it knows nested comments, raw strings, and a lifetime from a character. All
//! columns stay where they were, because what is left out of a part becomes spaces.

/// A Rust file as the checks read it. Lines are counted from 0 inside, from 1 in messages.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// The text without comments and without what stands in quotes.
    pub(crate) code: String,
    /// The text of comments alone.
    pub(crate) comments: String,
    /// The whole text.
    pub(crate) text: String,
    /// For each line, whether it is test code.
    is_test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let kinds = kinds(text.as_bytes());
        let code = keep(text, &kinds, Kind::Code);
        let comments = keep(text, &kinds, Kind::Comment);
        let mut is_test = vec![is_test_path(path); text.lines().count()];
        for region in test_regions(&code) {
            is_test[region.first..=region.last].fill(true);
        }
        Self { path: path.to_owned(), code, comments, text: text.to_owned(), is_test }
    }

    /// Takes the whole file for test code: another file declares it as a test module.
    pub(crate) fn set_test(&mut self) {
        self.is_test.fill(true);
    }

    /// Whether the line is test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test.get(line).copied().unwrap_or(false)
    }

    /// How many lines are not test code.
    pub(crate) fn production_lines(&self) -> usize {
        self.is_test.iter().filter(|is_test| !**is_test).count()
    }

    /// The code of every line, with its number.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate()
    }

    /// The code of every line that is not test code, with its number.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code_lines().filter(|(line, _)| !self.is_test(*line))
    }

    /// The files that this one declares as test modules with `#[cfg(test)] mod name;`.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let mut files = Vec::new();
        for region in test_regions(&self.code) {
            let item = self.code[region.item..region.end].trim();
            let Some(name) = item.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) else {
                continue;
            };
            files.push(format!("{folder}/{name}.rs"));
            files.push(format!("{folder}/{name}/mod.rs"));
        }
        files
    }
}

/// The number of the line that holds the byte `at`, counted from 0.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Whether `byte` can be part of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The places where `word` stands in `code` with no identifier character on either side.
pub(crate) fn word_starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_none_or(|i| !is_word(bytes[i]));
        let after = bytes.get(at + word.len()).is_none_or(|byte| !is_word(*byte));
        before && after
    })
}

/// Whether `word` stands in `code` as a word of its own.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    word_starts(code, word).next().is_some()
}

/// The byte after the item that starts at `start`: past its `;`, or past the brace that closes it.
pub(crate) fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (i, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return i + 1;
                }
            }
            b';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

/// The byte after the attributes and blanks that start at `start`.
pub(crate) fn skip_attributes(code: &str, start: usize) -> usize {
    let bytes = code.as_bytes();
    let mut at = start;
    loop {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if !code[at..].starts_with("#[") {
            return at;
        }
        let mut depth = 0_usize;
        while at < bytes.len() {
            match bytes[at] {
                b'[' => depth += 1,
                b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && bytes[at - 1] == b']' {
                break;
            }
        }
    }
}

fn is_test_path(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    file == "tests.rs" || parts.any(|part| part == "tests" || part == "benches")
}

struct Region {
    first: usize,
    last: usize,
    item: usize,
    end: usize,
}

fn test_regions(code: &str) -> Vec<Region> {
    let starts = code.match_indices("#[cfg(").filter(|(at, _)| {
        let condition = code[at + "#[cfg(".len()..].trim_start();
        ["test)", "all(test,", "all(test)", "any(test,"].iter().any(|form| condition.starts_with(form))
    });
    let region = |(at, _): (usize, &str)| {
        let item = skip_attributes(code, at);
        let end = item_end(code, item);
        Region { first: line_of(code, at), last: line_of(code, end.saturating_sub(1)), item, end }
    };
    starts.map(region).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

fn keep(text: &str, kinds: &[Kind], kept: Kind) -> String {
    let bytes = text.bytes().zip(kinds);
    let bytes = bytes.map(|(byte, kind)| if byte == b'\n' || *kind == kept { byte } else { b' ' });
    String::from_utf8(bytes.collect()).expect("kinds change only at character boundaries")
}

fn kinds(text: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(text.len());
    while kinds.len() < text.len() {
        let at = kinds.len();
        let (kind, end) = token(text, at);
        kinds.resize(end.clamp(at + 1, text.len()), kind);
    }
    kinds
}

/// The kind of the token at `at` and the byte after it.
fn token(text: &[u8], at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    if rest.starts_with(b"//") {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (Kind::Comment, at + end);
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, at + block_comment_len(rest));
    }
    if let Some(len) = raw_string_len(text, at) {
        return (Kind::Literal, at + len);
    }
    match rest[0] {
        b'"' => (Kind::Literal, at + quoted_len(rest, b'"')),
        b'\'' if is_character(rest) => (Kind::Literal, at + quoted_len(rest, b'\'')),
        _ => (Kind::Code, at + 1),
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the raw string whose `r` is at `at`, if there is one.
fn raw_string_len(text: &[u8], at: usize) -> Option<usize> {
    let rest = &text[at..];
    let is_prefix = at.checked_sub(1).is_some_and(|i| matches!(text[i], b'b' | b'c'));
    let word_before = if is_prefix { at.checked_sub(2) } else { at.checked_sub(1) };
    if rest[0] != b'r' || word_before.is_some_and(|i| is_word(text[i])) {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    let len = rest[body..].windows(closing.len()).position(|window| window == closing);
    Some(len.map_or(rest.len(), |len| body + len + closing.len()))
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether the quote at the start opens a character, not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    let Some(&first) = rest.get(1) else { return false };
    let len = match first {
        b'\\' => return true,
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    rest.get(1 + len) == Some(&b'\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("crates/wire/src/sample.rs", text)
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        let found =
            source("let a = \"unsafe // x\"; // unsafe\nlet b = r#\"\"unsafe\"#; /* unsafe /* */ */ c");
        assert!(!found.code.contains("unsafe"));
        assert!(found.code.ends_with(" c"));
        assert_eq!(found.comments.lines().next().map(str::trim), Some("// unsafe"));
    }

    #[test]
    fn a_lifetime_opens_no_literal() {
        let found =
            source("fn f<'a>(x: &'a str) -> char { '\"' } fn g(c: char) -> bool { c == '\\'' || c == 'é' }");
        assert!(found.code.contains("fn g(c: char)"));
        assert!(!found.code.contains('"'));
        assert!(found.code.contains("|| c =="));
    }

    #[test]
    fn byte_raw_strings_end_at_their_own_hashes() {
        let found = source("br##\"a\"# b\"## + tail");
        assert_eq!(found.code.split_whitespace().collect::<Vec<_>>(), ["b", "+", "tail"]);
        assert!(source("let var\n= for_r; \"x\"").code.contains("for_r"));
    }

    #[test]
    fn cfg_test_items_are_test_lines() {
        let found =
            source("fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        let tests: Vec<usize> =
            found.code_lines().map(|(line, _)| line).filter(|line| found.is_test(*line)).collect();
        assert_eq!(tests, [1, 2, 3, 4, 5]);
        assert_eq!(found.production_lines(), 2);
    }

    #[test]
    fn cfg_not_test_is_production() {
        assert_eq!(source("#[cfg(not(test))]\nfn a() {}\n").production_lines(), 2);
        assert_eq!(source("#[cfg(all(test, unix))]\nfn a() {}\n").production_lines(), 0);
    }

    #[test]
    fn tests_folders_and_tests_files_are_test_code() {
        for path in
            ["crates/wire/tests/message.rs", "crates/dht/src/node/tests.rs", "crates/sim/benches/a.rs"]
        {
            assert_eq!(Source::new(path, "fn a() {}\n").production_lines(), 0, "{path}");
        }
        assert_eq!(Source::new("crates/wire/src/latests.rs", "fn a() {}\n").production_lines(), 1);
    }

    #[test]
    fn declared_test_modules_name_their_files() {
        let text = "#[cfg(test)]\nmod pair;\nmod other;\n";
        assert_eq!(Source::new("a/src/lib.rs", text).test_modules(), ["a/src/pair.rs", "a/src/pair/mod.rs"]);
        assert_eq!(Source::new("a/src/x.rs", text).test_modules()[0], "a/src/x/pair.rs");
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("unsafe { }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(has_word("std::fs::read", "std::fs"));
    }

    #[test]
    fn items_end_at_their_own_brace_or_semicolon() {
        let code = "fn f(a: [u8; 2]) -> u8 { if x { 1 } else { 2 } } fn g();";
        assert_eq!(&code[..item_end(code, 0)], "fn f(a: [u8; 2]) -> u8 { if x { 1 } else { 2 } }");
        assert_eq!(item_end(code, 49), code.len());
    }
}
