//! The functions and the `use` paths of a source.

use crate::source::{Source, item_end, line_of, skip_attributes, word_starts};

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, counted from 0.
    pub(crate) first: usize,
    /// The line of its closing brace.
    pub(crate) last: usize,
}

impl Function {
    /// Its lines, from the one with `fn` to the one with the closing brace.
    pub(crate) fn line_count(&self) -> usize {
        self.last - self.first + 1
    }
}

/// Every function with a body, in the order of their starts.
pub(crate) fn functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in word_starts(code, "fn") {
        let Some(name) = name_after_fn(&code[at..]) else { continue };
        let end = item_end(code, at);
        if code[..end].ends_with('}') {
            found.push(Function {
                name: name.to_owned(),
                first: line_of(code, at),
                last: line_of(code, end - 1),
            });
        }
    }
    found
}

/// Every function with `#[test]` above it, from that line on.
pub(crate) fn test_functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("#[test]") {
        let item = skip_attributes(code, at);
        let Some(name) = name_after_fn(&code[item..]) else { continue };
        let last = line_of(code, item_end(code, item) - 1);
        found.push(Function { name: name.to_owned(), first: line_of(code, at), last });
    }
    found
}

/// The name in `fn name…`; nothing for a function pointer type.
pub(crate) fn name_after_fn(code: &str) -> Option<&str> {
    let rest = code.strip_prefix("fn")?.trim_start();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// Every path that a `use` brings in, written out in full, with the line of the `use`.
pub(crate) fn use_paths(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in word_starts(code, "use") {
        let tree = &code[at + "use".len()..];
        let Some(end) = tree.find(';') else { continue };
        let mut paths = Vec::new();
        expand("", tree[..end].trim(), &mut paths);
        found.extend(paths.into_iter().map(|path| (line_of(code, at), path)));
    }
    found
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = path.strip_suffix("::self").unwrap_or(path);
        if path == "self" {
            paths.push(prefix.trim_end_matches(':').to_owned());
        } else if !path.is_empty() {
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let body = tree[open + 1..].trim_end();
    for branch in split_top_level(body.strip_suffix('}').unwrap_or(body)) {
        expand(&prefix, branch.trim(), paths);
    }
}

fn split_top_level(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (i, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&list[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = Source::new(
            "a.rs",
            "type F = fn(u8);\n/// x\npub fn one(\n    a: u8,\n) {\n    a;\n}\ntrait T { fn two(); }\n",
        );
        let expected = Function { name: "one".to_owned(), first: 2, last: 6 };
        assert_eq!(functions(&source), [expected]);
        assert_eq!(functions(&source)[0].line_count(), 5);
    }

    #[test]
    fn use_trees_are_written_out() {
        let source = Source::new("a.rs", "use std::{fs::{self, File}, net::TcpStream as S};\nuse a::b;\n");
        let paths: Vec<String> = use_paths(&source).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["std::fs", "std::fs::File", "std::net::TcpStream", "a::b"]);
    }
}
