//! Which files of a torrent to get or to check, and which pieces: `--select` and `--file LIST|GLOB`, `--piece N|A-B`.

use std::ops::RangeInclusive;
use std::str::FromStr;

use unchoke_wire::metainfo::{FileEntry, Info};

/// One `--select` or `--file`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pick {
    /// Files by their place in the torrent, from 0, as `show --json` lists them.
    Ranges(Vec<RangeInclusive<usize>>),
    /// Files whose name, or path below the torrent's name, is like this: `*` stands for any characters, `?` for one.
    Glob(String),
}

/// Reads a pick.
///
/// # Errors
/// One line when a list of numbers has a range that is none.
pub(crate) fn pick(text: &str) -> Result<Pick, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'-')) {
        return if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Pick::Glob(text.to_owned())) };
    }
    ranges(text, "files").map(Pick::Ranges)
}

/// Pieces by their place in the torrent, from 0.
pub(crate) type PieceList = Vec<RangeInclusive<u32>>;

/// Reads a list of pieces.
///
/// # Errors
/// One line when a part of it is no range.
pub(crate) fn pieces(text: &str) -> Result<PieceList, String> {
    ranges(text, "pieces")
}

/// Reads numbers and ranges of them with commas between.
fn ranges<T: FromStr + PartialOrd>(text: &str, of: &str) -> Result<Vec<RangeInclusive<T>>, String> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split(',').map(|part| range(part).ok_or_else(|| format!("'{part}' is no range of {of}"))).collect()
}

/// Reads how many times its size a torrent is to be uploaded.
///
/// # Errors
/// One line when the text is no such number.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|r: &f64| r.is_finite() && *r >= 0.0);
    ratio.ok_or_else(|| format!("'{text}' is not a number such as 1 or 1.5"))
}

/// The files that are picked, one entry a file; all without a pick.
///
/// # Errors
/// One line naming a pick that fits no file.
pub(crate) fn chosen(picks: &[Pick], info: &Info) -> Result<Vec<bool>, String> {
    let count = info.files.len();
    let mut chosen = vec![picks.is_empty(); count];
    for pick in picks {
        match pick {
            Pick::Ranges(ranges) => {
                for range in ranges {
                    let Some(part) = chosen.get_mut(range.clone()) else {
                        return Err(format!(
                            "there is no file {}: the last one is {}",
                            range.end(),
                            count - 1
                        ));
                    };
                    part.fill(true);
                }
            }
            Pick::Glob(glob) => {
                let files = info.files.iter().zip(&mut chosen);
                let fitting = files.filter(|(f, _)| !f.is_pad && is_like(f, glob)).map(|(_, c)| *c = true);
                if fitting.count() == 0 {
                    return Err(format!("no file is like '{glob}'; `unchoke show` lists them"));
                }
            }
        }
    }
    Ok(chosen)
}

fn is_like(file: &FileEntry, glob: &str) -> bool {
    let below = file.path.get(1..).filter(|p| !p.is_empty()).map(|p| p.join("/"));
    let name = file.path.last().map(String::as_str).unwrap_or_default();
    matches(glob, name) || below.is_some_and(|below| matches(glob, &below))
}

/// Whether `text` is like `glob`, in time of their product at most.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // where the last star is, and how far its text went
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (g, t) = (g + 1, t + 1),
            _ => match &mut star {
                Some((at, end)) => {
                    *end += 1;
                    (g, t) = (*at + 1, *end);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::metainfo::Metainfo;
    use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};

    fn info(paths: &[&str]) -> Info {
        let file = |path: &&str| BuildFile {
            path: path.split('/').map(str::to_owned).collect(),
            length: 1,
            ..BuildFile::default()
        };
        let builder = MetainfoBuilder {
            name: "t".to_owned(),
            files: paths.iter().map(file).collect(),
            is_multi_file: true,
            piece_len: 16_384,
            pieces: vec![[0; 20]],
            ..MetainfoBuilder::default()
        };
        Metainfo::parse(&builder.build().unwrap()).unwrap().info
    }

    fn chosen_by(texts: &[&str]) -> Result<Vec<usize>, String> {
        let info = info(&["a.iso", "docs/b.txt", "docs/c.iso", "d-1"]);
        let picks: Vec<Pick> = texts.iter().map(|t| pick(t).unwrap()).collect();
        let chosen = chosen(&picks, &info)?;
        Ok(chosen.iter().enumerate().filter(|(_, c)| **c).map(|(i, _)| i).collect())
    }

    #[test]
    fn files_are_picked_by_place_and_by_name() {
        assert_eq!(chosen_by(&[]).unwrap(), [0, 1, 2, 3]);
        assert_eq!(chosen_by(&["0,2-3"]).unwrap(), [0, 2, 3]);
        assert_eq!(chosen_by(&["*.iso"]).unwrap(), [0, 2]);
        assert_eq!(chosen_by(&["docs/*"]).unwrap(), [1, 2]);
        assert_eq!(chosen_by(&["b.tx?", "3"]).unwrap(), [1, 3]);
        assert_eq!(chosen_by(&["d-1"]).unwrap(), [3]);
    }

    #[test]
    fn a_pick_that_fits_nothing_is_told() {
        assert_eq!(chosen_by(&["1,4"]).unwrap_err(), "there is no file 4: the last one is 3");
        assert_eq!(chosen_by(&["*.mkv"]).unwrap_err(), "no file is like '*.mkv'; `unchoke show` lists them");
        for text in ["", "3-1", "1,", "-", "1--2", "99999999999999999999999"] {
            assert!(pick(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pieces_are_numbers_and_ranges() {
        assert_eq!(pieces("3,5-7").unwrap(), [3..=3, 5..=7]);
        for text in ["", "x", "3-1", "-1", "5000000000"] {
            assert!(pieces(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stars_take_as_much_as_they_must() {
        for (glob, text, is_like) in [
            ("*a*b", "xaaab", true),
            ("*a*b", "xaaabc", false),
            ("**", "", true),
            ("?", "é", true),
            ("a", "ab", false),
            ("a*", "a/b/c", true),
        ] {
            assert_eq!(matches(glob, text), is_like, "{glob} {text}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(40)));
    }

    #[test]
    fn a_ratio_is_a_number() {
        assert_eq!(ratio("1.5"), Ok(1.5));
        for text in ["-1", "NaN", "inf", "x"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
