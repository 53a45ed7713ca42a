//! What can go wrong with a disk, in kinds a user can act on.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// What stopped an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk is full.
    NoSpace,
    /// The user's quota is used up.
    Quota,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The system does not let this user do it.
    PermissionDenied,
    /// The root folder is not there: not made yet, or on a disk that is not mounted.
    MissingRoot,
    /// A file is not there, or ends before the bytes asked for.
    Missing,
    /// Something that is not a folder stands where a folder is needed.
    NotADirectory,
    /// A folder or a special file stands where a plain file is needed.
    NotAFile,
    /// A symbolic link stands in the way; links below the root are never followed.
    Symlink,
    /// A name is longer than the file system takes.
    NameTooLong,
    /// A name that cannot be written to a torrent or be opened safely.
    BadName,
    /// The process or the system has no descriptor left.
    TooManyFiles,
    /// The file is larger than the file system takes.
    TooLarge,
    /// The part file in this place is damaged or belongs to another torrent.
    PartFile,
    /// Another process works on the same torrent.
    Busy,
    /// Something stands where a file was to be moved.
    Exists,
    /// It was told to stop.
    Stopped,
    /// The file is not as it was: something else wrote to it, or put another in its place.
    Changed,
    /// Any other failure.
    Io,
}

/// A failed operation on a path. Displays as one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {}", .path.display(), self.reason())]
#[non_exhaustive]
pub struct StorageError {
    /// What to tell apart.
    pub kind: ErrorKind,
    /// What was tried, as a verb: `"write"`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StorageError {
    /// Wraps what the system said about `path`.
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        StorageError { kind: ErrorKind::of(&source), action, path: path.into(), source }
    }

    pub(crate) fn with_kind(
        kind: ErrorKind,
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        StorageError { kind, action, path: path.into(), source: source.into() }
    }

    fn reason(&self) -> String {
        let text = match self.kind {
            ErrorKind::NoSpace => "no space left on the disk; free some, then go on",
            ErrorKind::Quota => "the disk quota is used up; free some space or raise it, then go on",
            ErrorKind::ReadOnly => "the file system is read-only; mount it writable or choose another folder",
            ErrorKind::PermissionDenied => {
                "permission denied; change its owner or mode, or choose another folder"
            }
            ErrorKind::MissingRoot => "the folder does not exist; create it or mount its disk",
            ErrorKind::Missing => "the file is missing or shorter than expected; recheck the torrent",
            ErrorKind::NotADirectory => "it is not a folder; move it away",
            ErrorKind::NotAFile => "it is not a plain file; move it away",
            ErrorKind::Symlink => {
                "a symbolic link is in the way and is not followed; replace it by what it points to"
            }
            ErrorKind::NameTooLong => "the name is too long for this file system; choose another disk",
            ErrorKind::BadName => "the name is not allowed; rename it",
            ErrorKind::TooManyFiles => "too many open files; raise the limit (ulimit -n)",
            ErrorKind::TooLarge => "the file is too large for this file system; choose another disk",
            ErrorKind::PartFile => "the part file is damaged or of another torrent; move it away",
            ErrorKind::Busy => "another process works on this torrent; stop it first",
            ErrorKind::Exists => "something else is there and is never overwritten; move it away",
            ErrorKind::Stopped => "it was told to stop",
            ErrorKind::Changed => "something else changed the file; recheck the torrent",
            ErrorKind::Io if Errno::from_io_error(&self.source) == Some(Errno::IO) => {
                "the disk reports a failure; look at the disk, then go on"
            }
            ErrorKind::Io => return self.source.to_string(),
        };
        text.to_owned()
    }
}

impl ErrorKind {
    /// Whether there is no room left for this user.
    pub fn is_full(self) -> bool {
        matches!(self, ErrorKind::NoSpace | ErrorKind::Quota)
    }

    /// Whether it may end without anybody touching the torrent, and [`crate::Storage::probe`] can tell: room is made, a
    /// disk is mounted, descriptors are given back.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            ErrorKind::NoSpace
                | ErrorKind::Quota
                | ErrorKind::ReadOnly
                | ErrorKind::MissingRoot
                | ErrorKind::TooManyFiles
        )
    }

    /// The kind of what the system said; a missing entry is [`ErrorKind::Missing`].
    pub fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC) => ErrorKind::NoSpace,
            Some(Errno::DQUOT) => ErrorKind::Quota,
            Some(Errno::ROFS) => ErrorKind::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => ErrorKind::PermissionDenied,
            Some(Errno::NOENT) => ErrorKind::Missing,
            Some(Errno::NOTDIR) => ErrorKind::NotADirectory,
            Some(Errno::ISDIR) => ErrorKind::NotAFile,
            Some(Errno::LOOP | Errno::XDEV) => ErrorKind::Symlink,
            Some(Errno::NAMETOOLONG) => ErrorKind::NameTooLong,
            Some(Errno::MFILE | Errno::NFILE) => ErrorKind::TooManyFiles,
            Some(Errno::FBIG) => ErrorKind::TooLarge,
            Some(Errno::EXIST) => ErrorKind::Exists,
            None if error.kind() == io::ErrorKind::UnexpectedEof => ErrorKind::Missing,
            _ => ErrorKind::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= H3e-4
    #[test]
    fn every_failure_a_user_can_mend_has_its_kind_and_one_line() {
        for (errno, kind) in [
            (Errno::NOSPC, ErrorKind::NoSpace),
            (Errno::DQUOT, ErrorKind::Quota),
            (Errno::ROFS, ErrorKind::ReadOnly),
            (Errno::ACCESS, ErrorKind::PermissionDenied),
            (Errno::PERM, ErrorKind::PermissionDenied),
            (Errno::NOTDIR, ErrorKind::NotADirectory),
            (Errno::NAMETOOLONG, ErrorKind::NameTooLong),
            (Errno::MFILE, ErrorKind::TooManyFiles),
            (Errno::NFILE, ErrorKind::TooManyFiles),
            (Errno::FBIG, ErrorKind::TooLarge),
            (Errno::IO, ErrorKind::Io),
        ] {
            let error = StorageError::new("write", "/data/x", errno);
            assert_eq!(error.kind, kind);
            let line = error.to_string();
            assert!(line.starts_with("cannot write /data/x: ") && !line.contains('\n'), "{line}");
        }
    }
}
