//! The file of a secret key: 64 hex digits, readable by its owner alone. A file that is there is never written to.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Result, bail};
use unchoke_runtime::dht::item::SecretKey;

use crate::describe::hex;
use crate::errors::{about, warn};
use crate::random;

/// Reads the file.
///
/// # Errors
/// One line: it cannot be read, or holds no key.
pub(super) fn read(path: &Path) -> Result<SecretKey> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bail!("cannot read the key {}: no such file; --new-key makes one", path.display())
        }
        Err(e) => return Err(about("read the key", path, &e)),
    };
    let mode = file.metadata().map(|m| m.permissions().mode()).unwrap_or_default();
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(|e| about("read the key", path, &e))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let Some(seed) = parse_hex(text.trim_end()) else {
        bail!("{} is no key: a key file holds 64 hex digits; name another file", path.display())
    };
    if mode & OTHERS != 0 {
        let shown = path.display();
        warn(format_args!("the key {shown} is open to others; `chmod 600 {shown}` closes it"));
    }
    Ok(SecretKey::from_seed(&seed))
}

/// Makes a key and its file.
///
/// # Errors
/// One line: the file is there already, or cannot be written.
pub(super) fn create(path: &Path) -> Result<SecretKey> {
    let seed: [u8; 32] = random::bytes()?;
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match made {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already and is left as it is; leave out --new-key to use it", path.display())
        }
        Err(e) => return Err(about("write the key", path, &e)),
    };
    let written = writeln!(file, "{}", hex(&seed)).and_then(|()| file.sync_all());
    if let Err(e) = written {
        // a part of a key is none; what cannot be removed either is told by the next attempt
        let _ = std::fs::remove_file(path);
        return Err(about("write the key", path, &e));
    }
    Ok(SecretKey::from_seed(&seed))
}

/// 32 bytes from 64 hex digits.
pub(super) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The rights of all but the owner.
const OTHERS: u32 = 0o077;
/// A key, a line break, and what an editor may add.
const FILE_LEN_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read(&path).unwrap();
        assert!(create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), text);
        assert_eq!(read(&path).unwrap().public(), key.public());
        std::fs::write(&path, "d8:announce").unwrap();
        assert!(read(&path).is_err());
    }
}
