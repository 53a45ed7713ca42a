//! Plain tables: columns as wide as what is in them.

/// The rows as lines, columns two spaces apart. Columns named in `right` are aligned on the right; the last one is never
/// filled up.
pub(super) fn lines(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| len(c)).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, text) in row.iter().enumerate() {
            let fill = std::iter::repeat_n(' ', widths[column] - len(text));
            if column > 0 {
                line.push_str("  ");
            }
            if right.contains(&column) {
                line.extend(fill);
                line.push_str(text);
            } else {
                line.push_str(text);
                if column + 1 < columns {
                    line.extend(fill);
                }
            }
        }
        line
    };
    rows.iter().map(line).collect()
}

/// Characters of a text.
fn len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["A", "SIZE", "NAME"], ["äbc", "7", "x"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(lines(&rows, &[1]), ["A    SIZE  NAME", "äbc     7  x"]);
        assert!(lines(&[], &[]).is_empty());
    }
}
