//! Plain tables: columns as wide as what is in them.

/// The rows as lines, columns two spaces apart. Columns named in `right` are aligned on the right; the last one is never
/// filled up.
pub(super) fn lines(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or_default()).collect();
    let cell = |(column, text): (usize, &String)| match (right.contains(&column), column + 1 == columns) {
        (true, _) => format!("{text:>width$}", width = widths[column]),
        (false, true) => text.clone(),
        (false, false) => format!("{text:<width$}", width = widths[column]),
    };
    rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ")).collect()
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
