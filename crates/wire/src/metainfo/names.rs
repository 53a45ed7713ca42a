//! Names a stranger chose, made safe to use on a disk.
//!
//! Data must be found where other clients left it, so the rules are those of libtorrent, byte for byte. Beyond them,
//! names that Windows cannot hold are rewritten on every system, so that a torrent has the same names everywhere.

use std::collections::BTreeSet;
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

/// Gives files whose paths collide new names: `a.txt` becomes `a.1.txt`. Directories and earlier files keep theirs;
/// pad files never reach a disk and do not take part. Paths are compared as the least capable file system would:
/// normalized and without regard to case.
pub(super) fn resolve_duplicates(files: &mut [FileEntry]) -> Result<(), MetainfoError> {
    if !may_collide(files) {
        return Ok(());
    }
    let mut taken = BTreeSet::new();
    for file in files.iter().filter(|f| !f.is_pad) {
        let mut dir = String::new();
        for element in &file.path[..file.path.len() - 1] {
            push_folded(&mut dir, element);
            taken.insert(dir.clone());
        }
    }
    let mut probes = 0;
    for (index, file) in files.iter_mut().enumerate().filter(|(_, f)| !f.is_pad) {
        let (last, dirs) = file.path.split_last_mut().expect("no path is empty");
        let mut dir = String::new();
        dirs.iter().for_each(|d| push_folded(&mut dir, d));
        let original = last.clone();
        for n in 1.. {
            let mut key = dir.clone();
            push_folded(&mut key, last);
            if taken.insert(key) {
                break;
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

/// Whether two paths may collide: told from 64-bit hashes, which errs on one side only.
fn may_collide(files: &[FileEntry]) -> bool {
    let mut seen: Vec<(u64, bool)> = Vec::with_capacity(files.len());
    for file in files.iter().filter(|f| !f.is_pad) {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for (i, element) in file.path.iter().enumerate() {
            fold(element, |b| hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            hash = (hash ^ u64::from(b'/')).wrapping_mul(0x0100_0000_01b3);
            let is_file = i + 1 == file.path.len();
            if is_file || seen.last() != Some(&(hash, false)) {
                seen.push((hash, is_file));
            }
        }
    }
    seen.sort_unstable();
    seen.windows(2).any(|w| w[0].0 == w[1].0 && w[1].1)
}

fn push_folded(path: &mut String, element: &str) {
    let mut bytes = core::mem::take(path).into_bytes();
    bytes.push(b'/');
    fold(element, |b| bytes.push(b));
    *path = String::from_utf8(bytes).expect("folding yields whole characters");
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
