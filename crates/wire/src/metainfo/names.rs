//! Names a stranger chose, made safe to use on a disk.
//!
//! Data must be found where other clients left it, so the rules are those of libtorrent, byte for byte. Beyond them,
//! names that Windows cannot hold are rewritten on every system, so that a torrent has the same names everywhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use unicode_normalization::UnicodeNormalization;

use super::{FileEntry, MetainfoError};
use crate::limits;

/// Stands for a character or a name that cannot be used.
pub(super) const SUBSTITUTE: &str = "_";

/// The path element that `raw` becomes, or `None` when nothing of it is left.
pub(super) fn safe_element(raw: &[u8]) -> Option<String> {
    let mut name = cleaned(raw, false);
    if name.len() > limits::NAME_LEN_MAX {
        name = cleaned(raw, true);
    }
    name.truncate(name.trim_end_matches(['.', ' ']).len());
    if is_reserved(&name) {
        name.insert_str(0, SUBSTITUTE);
    }
    (!name.is_empty()).then_some(name)
}

/// Drops what hides or separates, substitutes what cannot be shown, and cuts after [`limits::NAME_CUT_LEN`] bytes but
/// for the extension. Substitutes alone do not trigger the cut unless `is_strict`.
fn cleaned(raw: &[u8], is_strict: bool) -> String {
    let mut out = String::with_capacity(raw.len().min(limits::NAME_LEN_MAX));
    let mut at = 0;
    let mut is_cut = false;
    while at < raw.len() {
        let (c, used) = decode(&raw[at..]);
        let start = at;
        at += used;
        match c {
            Some(c) if is_dropped(c) => continue,
            Some(c) if !is_forbidden(c) => out.push(c),
            _ => {
                out.push_str(SUBSTITUTE);
                if !is_strict {
                    continue;
                }
            }
        }
        if out.len() >= limits::NAME_CUT_LEN && !is_cut {
            let Some(dot) = extension_after(raw, start) else { break };
            is_cut = true;
            at = dot;
        }
    }
    out
}

/// Where a dot beyond `at` begins an extension of at most eight bytes.
fn extension_after(raw: &[u8], at: usize) -> Option<usize> {
    let from = raw.len().saturating_sub(10).max(at) + 1;
    raw.get(from..)?.iter().rposition(|b| *b == b'.').map(|i| from + i)
}

/// One character and the bytes it takes; `None` where the bytes are no UTF-8. How many bytes a malformed sequence
/// takes is decided by its first byte, so that it becomes one substitute.
fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    let len = match bytes[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        0xf8..=0xfb => 5,
        _ => 1,
    };
    let Some(sequence) = bytes.get(..len) else { return (None, bytes.len()) };
    (core::str::from_utf8(sequence).ok().and_then(|s| s.chars().next()), len)
}

/// Separators, and characters that show nothing or turn the direction of the text: they vanish.
fn is_dropped(c: char) -> bool {
    matches!(c, '/' | '\\' | '\0' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Control characters, and what Windows forbids: they are substituted.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

/// Whether Windows takes this name for a device: case and extension do not matter.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let numbered = |prefix: &str| {
        stem.get(..3).is_some_and(|s| s.eq_ignore_ascii_case(prefix))
            && matches!(
                &stem[3..],
                "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "\u{b9}" | "\u{b2}" | "\u{b3}"
            )
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].iter().any(|r| stem.eq_ignore_ascii_case(r))
        || numbered("COM")
        || numbered("LPT")
}

/// Gives files whose paths collide new names: `a.txt` becomes `a.1.txt`. Directories and earlier files keep theirs, and
/// pad files of the same size may share one, for they never reach a disk. Paths are compared as the least capable file
/// system would: normalized and without regard to case.
pub(super) fn resolve_duplicates(files: &mut [FileEntry]) -> Result<(), MetainfoError> {
    if !may_collide(files) {
        return Ok(());
    }
    // what is at each path, by its hash: a pad file of this size, or anything else. A hash that two paths share costs a
    // file its name, and texts would take as much memory as all folders have bytes.
    let mut taken: BTreeMap<PathHash, Option<u64>> = BTreeMap::new();
    for file in files.iter() {
        let mut dir = PathHash::default();
        for element in &file.path[..file.path.len() - 1] {
            dir = dir.below(element);
            taken.insert(dir, None);
        }
    }
    let mut probes = 0;
    for (index, file) in files.iter_mut().enumerate() {
        let pad = file.is_pad.then_some(file.length);
        let (last, dirs) = file.path.split_last_mut().expect("no path is empty");
        let dir = dirs.iter().fold(PathHash::default(), |dir, element| dir.below(element));
        let original = last.clone();
        for n in 1.. {
            match taken.entry(dir.below(last)) {
                Entry::Vacant(free) => {
                    free.insert(pad);
                    break;
                }
                Entry::Occupied(other) if n == 1 && pad.is_some() && *other.get() == pad => break,
                Entry::Occupied(_) => {}
            }
            // the first collision is the file's own name, which is no probe yet
            probes += usize::from(n > 1);
            if probes > limits::DUPLICATE_PROBES_MAX {
                return Err(MetainfoError::DuplicateNames(index));
            }
            *last = numbered(&original, n);
        }
    }
    Ok(())
}

/// `name` with `.n` before its extension, cut where it would be too long.
fn numbered(name: &str, n: usize) -> String {
    let (stem, extension) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    let suffix = format!(".{n}{extension}");
    // an extension that leaves no room is no extension
    if suffix.len() >= limits::NAME_LEN_MAX {
        return numbered(&name[..name.floor_char_boundary(limits::NAME_CUT_LEN)].replace('.', SUBSTITUTE), n);
    }
    let room = limits::NAME_LEN_MAX - suffix.len();
    format!("{}{suffix}", &stem[..stem.floor_char_boundary(room)])
}

/// Whether two paths may collide: told from their hashes, which errs on one side only.
fn may_collide(files: &[FileEntry]) -> bool {
    let mut seen: Vec<(u64, bool)> = Vec::with_capacity(files.len());
    for file in files {
        let mut path = PathHash::default();
        for (i, element) in file.path.iter().enumerate() {
            path = path.below(element);
            let (hash, is_file) = (path.short(), i + 1 == file.path.len());
            if is_file || seen.last() != Some(&(hash, false)) {
                seen.push((hash, is_file));
            }
        }
    }
    seen.sort_unstable();
    seen.windows(2).any(|w| w[0].0 == w[1].0 && w[1].1)
}

/// A path as the least capable file system sees it, in 128 bits (FNV-1a).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathHash(u128);

impl Default for PathHash {
    fn default() -> Self {
        PathHash(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl PathHash {
    /// The path of `element` in this folder.
    fn below(self, element: &str) -> Self {
        let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b);
        let mut hash = step(self.0, b'/');
        fold(element, |byte| hash = step(hash, byte));
        PathHash(hash)
    }

    fn short(self) -> u64 {
        u64::try_from(self.0 >> 64).expect("half of the bits are left")
    }
}

/// Feeds the bytes of `element` as a file system that folds names sees them. Letters beyond ASCII are folded only
/// where the system's own file systems do so: elsewhere other clients keep such names apart.
fn fold(element: &str, mut each: impl FnMut(u8)) {
    if element.is_ascii() {
        return element.bytes().for_each(|b| each(b.to_ascii_lowercase()));
    }
    let mut buffer = [0; 4];
    for c in element.nfc() {
        if cfg!(any(windows, target_vendor = "apple")) {
            c.to_lowercase().for_each(|l| l.encode_utf8(&mut buffer).bytes().for_each(&mut each));
        } else {
            c.to_ascii_lowercase().encode_utf8(&mut buffer).bytes().for_each(&mut each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What libtorrent 2.1.1 makes of these, on Linux.
    const AS_LIBTORRENT: &[(&[u8], &str)] = &[
        (b"a", "a"),
        (b"abc/../../def", "abc....def"),
        (b"/foobar", "foobar"),
        (b"foobar/", "foobar"),
        (b"/etc/passwd", "etcpasswd"),
        (b"\\\\srv\\s", "srvs"),
        (b".a", ".a"),
        (b"a\0b", "ab"),
        (b"a\x1fb", "a_b"),
        (b"a\x7fb", "a_b"),
        (b"a\xc2\x80b", "a_b"),
        (b"a\xc2\x9fb", "a_b"),
        (b"a\xc2\xa0b", "a\u{a0}b"),
        (b"a\xffb", "a_b"),
        (b"a\xc0\xafb", "a_b"),
        (b"a\xc0b", "a_"),
        (b"a\xed\xa0\x80b", "a_b"),
        (b"a\xf4\x90\x80\x80b", "a_b"),
        (b"a\xf8\x88\x80\x80\x80b", "a_b"),
        (b"a\xe0xyz", "a_z"),
        (b"a\xe2\x82", "a_"),
        (b"a\x80\x80b", "a__b"),
        (b"a\xe2\x80\xaeb", "ab"),
        (b"a\xe2\x80\x8bb", "ab"),
        (b"a\xe2\x80\x8fb", "ab"),
        (b"a\xe2\x81\xa0b", "ab"),
        (b"a\xe2\x81\xa6b", "ab"),
        (b"a\xd8\x9cb", "ab"),
        (b"a\xef\xbb\xbfb", "ab"),
        (b"a\xc2\xadb", "a\u{ad}b"),
        (b"a\xe2\x80\xa8b", "a\u{2028}b"),
        (b"a\xef\xbf\xbeb", "a\u{fffe}b"),
    ];

    fn name(raw: &[u8]) -> String {
        safe_element(raw).unwrap_or_default()
    }

    #[test]
    fn names_become_what_libtorrent_makes_of_them() {
        for (raw, expected) in AS_LIBTORRENT {
            assert_eq!(name(raw), *expected, "{}", raw.escape_ascii());
        }
        for nothing in [&b""[..], b".", b"..", b"/", b"\\", b"//", b"./", b"/..", b".\xe2\x80\x8b.", b"\0"] {
            assert_eq!(safe_element(nothing), None, "{}", nothing.escape_ascii());
        }
    }

    #[test]
    fn long_names_are_cut_as_libtorrent_cuts_them() {
        let x = |n| "x".repeat(n);
        for (raw, expected) in [
            (x(300), x(240)),
            (x(65_536) + ".txt", x(240) + ".txt"),
            (x(300) + ".longextension", x(240)),
            (x(300) + ".12345678", x(240) + ".12345678"),
            (x(300) + ".123456789", x(240)),
            (x(300) + ".a.b", x(240) + ".b"),
            (x(240) + ".txt", x(240) + ".txt"),
            (x(238) + ".txt", x(238) + ".t"),
            (x(300) + ".t\u{200b}xt", x(240) + ".txt"),
            ("\u{20ac}".repeat(100) + ".txt", "\u{20ac}".repeat(80) + ".txt"),
            ("a".to_owned() + &"\u{20ac}".repeat(100), "a".to_owned() + &"\u{20ac}".repeat(80)),
        ] {
            assert_eq!(name(raw.as_bytes()), expected);
        }
        // substitutes alone are not cut before no file system could hold them
        assert_eq!(name(&[0xff; 255]), "_".repeat(255));
        assert_eq!(name(&[0xff; 256]), "_".repeat(240));
    }

    #[test]
    fn names_that_windows_cannot_hold_are_rewritten_everywhere() {
        for (raw, expected) in [
            ("CON", "_CON"),
            ("con", "_con"),
            ("nul.txt", "_nul.txt"),
            ("NUL.tar.gz", "_NUL.tar.gz"),
            ("Aux .c", "_Aux .c"),
            ("COM1 ", "_COM1"),
            ("lpt9", "_lpt9"),
            ("COM\u{b9}", "_COM\u{b9}"),
            ("CONOUT$", "_CONOUT$"),
            ("COM10", "COM10"),
            ("console", "console"),
            ("a.", "a"),
            ("a. .", "a"),
            ("a:b", "a_b"),
            ("C:", "C_"),
            ("a?b*c\"d<e>f|g", "a_b_c_d_e_f_g"),
        ] {
            assert_eq!(name(raw.as_bytes()), expected);
        }
        assert_eq!(safe_element(b"..."), None);
        assert_eq!(safe_element(b"  "), None);
    }

    fn file(path: &str) -> FileEntry {
        FileEntry { path: path.split('/').map(str::to_owned).collect(), ..FileEntry::default() }
    }

    fn resolved(paths: &[&str]) -> Vec<String> {
        let mut files: Vec<FileEntry> = paths.iter().map(|p| file(p)).collect();
        resolve_duplicates(&mut files).unwrap();
        files.iter().map(FileEntry::display_path).collect()
    }

    #[test]
    fn colliding_files_are_numbered_as_libtorrent_numbers_them() {
        for (paths, expected) in [
            (&["N/a", "N/a", "N/A"][..], &["N/a", "N/a.1", "N/A.2"][..]),
            (&["N/a.txt", "N/A.TXT"], &["N/a.txt", "N/A.1.TXT"]),
            (&["N/a", "N/a/b"], &["N/a.1", "N/a/b"]),
            (&["N/a.1", "N/a", "N/a"], &["N/a.1", "N/a", "N/a.2"]),
            (&["N/d.x/a", "N/d.x/a", "N/d/.a", "N/d/.a"], &["N/d.x/a", "N/d.x/a.1", "N/d/.a", "N/d/.1.a"]),
            (&["N/a.tar.gz", "N/a.tar.gz"], &["N/a.tar.gz", "N/a.tar.1.gz"]),
            (&["N/b/x.y", "N/b/x.y", "N/B/x.y"], &["N/b/x.y", "N/b/x.1.y", "N/B/x.2.y"]),
            (&["a.b/a", "a.b/a"], &["a.b/a", "a.b/a.1"]),
        ] {
            assert_eq!(resolved(paths), expected);
        }
    }

    #[test]
    fn a_new_name_never_takes_the_name_of_a_later_file() {
        assert_eq!(resolved(&["N/a", "N/a", "N/a.1"]), ["N/a", "N/a.1", "N/a.1.1"]);
    }

    #[test]
    fn a_numbered_name_is_never_too_long() {
        let long = format!("N/{}.txt", "x".repeat(251));
        let all = resolved(&[&long, &long]);
        assert_eq!(all[1], format!("N/{}.1.txt", "x".repeat(249)));
        let odd = format!("N/.{}", "\u{20ac}".repeat(84));
        let all = resolved(&[&odd, &odd]);
        assert!(all[1].len() <= limits::NAME_LEN_MAX + 2 && all[0] != all[1], "{all:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_name_that_leaves_its_directory(raw in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some(name) = safe_element(&raw) {
                prop_assert!(!name.is_empty() && name.len() <= limits::NAME_LEN_MAX);
                prop_assert!(!name.contains(['/', '\\', '\0', ':']) && !name.contains(char::is_control));
                prop_assert!(!name.ends_with(['.', ' ']) && !is_reserved(&name));
            }
        }

        #[test]
        fn no_two_files_share_a_path_and_none_is_a_directory(
            paths in prop::collection::vec("N(/[aAb.1\u{e9}]{1,2}){1,3}", 1..20)
        ) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let mut seen: Vec<String> = resolved(&paths).iter().map(|p| {
                let mut key = Vec::new();
                p.split('/').for_each(|e| {
                    key.push(b'/');
                    fold(e, |byte| key.push(byte));
                });
                String::from_utf8(key).expect("folding yields whole characters")
            }).collect();
            seen.sort();
            for (i, a) in seen.iter().enumerate() {
                let inside = format!("{a}/");
                prop_assert!(seen[i + 1..].iter().all(|b| a != b && !b.starts_with(&inside)), "{seen:?}");
            }
        }
    }
}
