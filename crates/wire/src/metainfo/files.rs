//! The files of a torrent (BEP 3), with their attributes (BEP 47).

use super::names::{SUBSTITUTE, safe_element};
use super::{MetainfoError, names};
use crate::bencode::{Dict, Value};
use crate::limits;

/// One file as the info dictionary describes it, under a name that is safe to use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileEntry {
    /// Safe elements, never empty. Those of a torrent of many files begin with the torrent's name, but for a pad file
    /// without a name, which is `.pad/LENGTH`.
    pub path: Vec<String>,
    /// Bytes of the torrent's stream that this file takes; zero for a symbolic link.
    pub length: u64,
    /// Zeros between files that are never written or requested (BEP 47).
    pub is_pad: bool,
    /// To be marked executable.
    pub is_executable: bool,
    /// To be hidden where the system can.
    pub is_hidden: bool,
    /// A symbolic link. It is made only where [`symlink`](Self::symlink) says so, and nothing else is made in its place.
    pub is_link: bool,
    /// Path of another file or directory of this torrent that this one links to. `None` too for a link that leads
    /// nowhere, outside or back to itself.
    pub symlink: Option<Vec<String>>,
    /// SHA-1 of the whole file, where told.
    pub sha1: Option<[u8; 20]>,
    /// Root of the file's hash tree, in torrents that have a v2 part and files that are not empty.
    pub root: Option<[u8; 32]>,
}

impl FileEntry {
    /// The path with `/` between its elements.
    pub fn display_path(&self) -> String {
        self.path.join("/")
    }
}

/// Attributes and length, shared by the v1 list, the v1 single file and the leaves of a v2 tree.
pub(super) fn file_of(dict: Dict<'_>, index: usize, path: Vec<String>) -> Result<FileEntry, MetainfoError> {
    //= BEP 47: file attributes
    let attr = dict.get(b"attr").and_then(|v| v.as_bytes()).unwrap_or_default();
    let is_link = attr.contains(&b'l') && dict.get(b"symlink path").is_some();
    let length = if is_link { 0 } else { length_of(dict, index)? };
    check_path_len(&path, index)?;
    Ok(FileEntry {
        length,
        // the mark of pad files in torrents older than the attribute
        is_pad: attr.contains(&b'p') || path.iter().any(|e| e.contains("_____padding_file_")),
        is_executable: attr.contains(&b'x'),
        is_hidden: attr.contains(&b'h'),
        is_link,
        symlink: dict.get(b"symlink path").filter(|_| is_link).and_then(link_target),
        sha1: dict.get(b"sha1").and_then(|v| v.as_bytes()).and_then(|b| b.try_into().ok()),
        root: None,
        path,
    })
}

fn length_of(dict: Dict<'_>, index: usize) -> Result<u64, MetainfoError> {
    let value = dict.get(b"length");
    let got = value.and_then(|v| v.as_int());
    got.and_then(|n| u64::try_from(n).ok())
        .filter(|n| *n <= limits::FILE_LEN_MAX)
        .ok_or(MetainfoError::Length { file: Some(index), got })
}

fn check_path_len(path: &[String], index: usize) -> Result<(), MetainfoError> {
    let bytes: usize = path.iter().map(|e| e.len() + 1).sum();
    if bytes > limits::PATH_LEN_MAX + 1 { Err(MetainfoError::PathLength(index)) } else { Ok(()) }
}

/// The files of the `files` list, below a directory called `name`.
pub(super) fn of_list(value: Value<'_>, name: &str) -> Result<Vec<FileEntry>, MetainfoError> {
    let count = value.as_list().ok_or(MetainfoError::NoFiles)?.count();
    if count == 0 {
        return Err(MetainfoError::NoFiles);
    }
    if count > limits::FILES_MAX {
        return Err(MetainfoError::TooManyFiles(count));
    }
    let mut files = Vec::with_capacity(count);
    for (index, item) in value.as_list().into_iter().flatten().enumerate() {
        let dict = item.as_dict().ok_or(MetainfoError::NoFiles)?;
        files.push(listed(dict, index, name)?);
    }
    Ok(files)
}

fn listed(dict: Dict<'_>, index: usize, name: &str) -> Result<FileEntry, MetainfoError> {
    let list = |key: &[u8]| dict.get(key).filter(|v| v.as_list().is_some());
    let elements =
        list(b"path.utf-8").or_else(|| list(b"path")).filter(|v| v.as_list().is_some_and(|l| l.count() > 0));
    let Some(elements) = elements else {
        let mut file = file_of(dict, index, vec![".pad".to_owned()])?;
        if !file.is_pad {
            return Err(MetainfoError::Path(index));
        }
        file.path.push(file.length.to_string());
        return Ok(file);
    };
    let mut path = vec![name.to_owned()];
    for element in elements.as_list().into_iter().flatten() {
        let raw = element.as_bytes().ok_or(MetainfoError::Path(index))?;
        if path.len() > limits::PATH_DEPTH_MAX {
            return Err(MetainfoError::PathDepth(index));
        }
        path.push(safe_element(raw).unwrap_or_else(|| SUBSTITUTE.to_owned()));
    }
    file_of(dict, index, path)
}

/// What a link names, below the torrent's root; `None` when that is nothing in there.
fn link_target(value: Value<'_>) -> Option<Vec<String>> {
    let element = |e: Value<'_>| match e.as_bytes()? {
        b"." | b".." => None,
        raw => Some(safe_element(raw).unwrap_or_else(|| SUBSTITUTE.to_owned())),
    };
    let target: Option<Vec<String>> = value.as_list()?.map(element).collect();
    target.filter(|t| !t.is_empty() && t.len() <= limits::PATH_DEPTH_MAX)
}

/// Links followed before they are taken for a loop, as Linux does.
const LINK_HOPS_MAX: usize = 40;

/// Gives every file a path of its own, and makes the targets of links whole paths, or nothing where no file or
/// directory of the torrent has that path.
pub(super) fn settle(files: &mut [FileEntry], name: &str) -> Result<(), MetainfoError> {
    names::resolve_duplicates(files)?;
    if files.iter().all(|f| f.symlink.is_none()) {
        return Ok(());
    }
    for target in files.iter_mut().filter_map(|f| f.symlink.as_mut()) {
        target.insert(0, name.to_owned());
    }
    let keep: Vec<bool> = {
        let places = Places::of(files);
        files.iter().map(|f| f.symlink.as_deref().is_some_and(|t| places.reach(t))).collect()
    };
    for (file, keep) in files.iter_mut().zip(keep) {
        file.symlink.take_if(|_| !keep);
    }
    Ok(())
}

/// Every path a link may lead to: those of the files in their order, where a directory's files come right after it.
struct Places<'f>(Vec<&'f FileEntry>);

impl<'f> Places<'f> {
    fn of(files: &'f [FileEntry]) -> Self {
        let mut files: Vec<&FileEntry> = files.iter().filter(|f| !f.is_pad).collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Places(files)
    }

    /// Whether following `target` ends at a file that is no link, or at a directory.
    fn reach(&self, mut target: &'f [String]) -> bool {
        for _ in 0..LINK_HOPS_MAX {
            let at = self.0.partition_point(|f| f.path[..] < *target);
            match self.0.get(at).filter(|f| f.path.starts_with(target)) {
                None => return false,
                Some(file) if file.path.len() > target.len() || !file.is_link => return true,
                Some(link) => match &link.symlink {
                    Some(next) => target = next,
                    None => return false,
                },
            }
        }
        false
    }
}
