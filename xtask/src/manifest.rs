//! The little of a `Cargo.toml` that the checks need: its sections, keys and dependencies.

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The line, counted from 0.
    pub(crate) line: usize,
    /// The text between the brackets of the section's head.
    pub(crate) section: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// The entries of a manifest whose values fit on one line; the later lines of a longer value are skipped.
pub(crate) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for (line, row) in text.lines().enumerate() {
        let row = row.trim();
        if let Some(head) = row.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = head.trim_matches(['[', ']']);
        } else if let Some((key, value)) = row.split_once('=')
            && !row.starts_with('#')
        {
            found.push(Entry { line, section, key: key.trim(), value: value.trim() });
        }
    }
    found
}

/// The packages that a member needs when it is not being tested, each with its line.
pub(crate) fn dependencies(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for entry in entries(text) {
        let Some(name) = dependency_name(&entry) else { continue };
        if found.last().is_none_or(|(_, last)| *last != name) {
            found.push((entry.line, name));
        }
    }
    found
}

fn dependency_name(entry: &Entry<'_>) -> Option<String> {
    let (head, table) = match entry.section.split_once("dependencies.") {
        Some((head, table)) => (head, Some(table)),
        None => (entry.section.strip_suffix("dependencies")?, None),
    };
    if head.ends_with("dev-") || head == "workspace." {
        return None;
    }
    let renamed = entry.value.split_once("package = \"").and_then(|(_, rest)| rest.split_once('"'));
    let plain = table.unwrap_or_else(|| entry.key.split('.').next().unwrap_or(entry.key));
    let name = if table.is_some() && entry.key == "package" { entry.value } else { plain };
    let name = renamed.map_or(name, |(name, _)| name);
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_form_are_found_and_dev_ones_are_not() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = { package = \"d\" }\n\
                    [target.'cfg(unix)'.dependencies]\ne = \"1\"\n[dependencies.f]\nversion = \"1\"\nfeatures = []\n\
                    [dev-dependencies]\ng = \"1\"\n[workspace.dependencies]\nh = \"1\"\n[build-dependencies]\ni = \"1\"\n";
        let names: Vec<(usize, String)> = dependencies(text);
        let names: Vec<(usize, &str)> = names.iter().map(|(line, name)| (*line, name.as_str())).collect();
        assert_eq!(names, [(3, "b"), (4, "d"), (6, "e"), (8, "f"), (15, "i")]);
    }

    #[test]
    fn entries_know_their_section() {
        let found = entries("[profile.release]\n# x = 1\noverflow-checks = true\n");
        let expected = Entry { line: 2, section: "profile.release", key: "overflow-checks", value: "true" };
        assert_eq!(found, [expected]);
    }
}
