//! A socket in the file system that only its owner can open.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::errors::about;

/// The socket's file; goes when dropped, unless another one took its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

/// Listens at `path`. A socket that nobody listens at any more is replaced.
///
/// # Errors
/// One line: somebody listens there, something else is there, or what the system says.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile)> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("cannot listen on {}: something else is there; choose another path", path.display())
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            bail!("cannot listen on {}: it is in use by another daemon; stop it first", path.display())
        }
        _ => {}
    }
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let temp = PathBuf::from(temp);
    match std::fs::remove_file(&temp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(about("remove", &temp, &e)),
        _ => {}
    }
    let listen = || {
        let listener = UnixListener::bind(&temp)?;
        // nobody knows it by its name before it is closed to others
        std::fs::set_permissions(&temp, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        std::fs::rename(&temp, path)?;
        Ok((listener, id(path)?))
    };
    let (listener, id) = listen().map_err(|e| about("listen on", path, &e))?;
    Ok((listener, SocketFile { path: path.to_owned(), id }))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|id| id == self.id) {
            // a socket that stays behind is replaced by the next daemon
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_one_in_use_or_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, file) = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listen(&path).unwrap_err().to_string().contains("in use"));
        // as after a kill
        std::mem::forget(file);
        drop(listener);
        let (_listener, file) = listen(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        std::fs::write(&path, "x").unwrap();
        assert!(listen(&path).unwrap_err().to_string().contains("something else"));
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
