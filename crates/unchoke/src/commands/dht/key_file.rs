//! The file of a secret key: 64 hex digits, readable by its owner alone. A file that is there is never written to.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Result, bail};
use ed25519_dalek::{Signer, SigningKey};
use unchoke_wire::item::{MutableItem, signed_bytes};

use crate::describe::hex;
use crate::errors::{about, warn};
use crate::random;

/// A key that values are signed with.
pub(super) struct Key(SigningKey);

impl Key {
    /// Reads the file.
    ///
    /// # Errors
    /// One line: it cannot be read, or holds no key.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("cannot read the key {}: no such file; --new-key makes one", path.display())
            }
            Err(e) => return Err(about("read the key", path, &e)),
        };
        let mode = file.metadata().map(|m| m.permissions().mode()).unwrap_or_default();
        if mode & OTHERS != 0 {
            warn(format_args!("the key {} is open to others; `chmod 600` closes it", path.display()));
        }
        let mut text = String::new();
        let read = file.take(FILE_LEN_MAX).read_to_string(&mut text);
        match read.ok().and_then(|_| parse_hex(text.trim_end())) {
            Some(seed) => Ok(Key(SigningKey::from_bytes(&seed))),
            None => bail!("{} is no key: a key file holds 64 hex digits; name another file", path.display()),
        }
    }

    /// Makes a key and its file.
    ///
    /// # Errors
    /// One line: the file is there already, or cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let seed: [u8; 32] = random::bytes()?;
        let made = File::options().write(true).create_new(true).mode(0o600).open(path);
        let mut file = match made {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!(
                    "{} is there already and is left as it is; leave out --new-key to use it",
                    path.display()
                )
            }
            Err(e) => return Err(about("write the key", path, &e)),
        };
        let written = writeln!(file, "{}", hex(&seed)).and_then(|()| file.sync_all());
        written.map_err(|e| about("write the key", path, &e))?;
        Ok(Key(SigningKey::from_bytes(&seed)))
    }

    /// What the key's values are found under.
    pub(super) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The item of this value, signed.
    pub(super) fn sign(&self, salt: &[u8], seq: i64, value: &[u8]) -> MutableItem {
        MutableItem {
            key: self.public(),
            salt: salt.to_vec(),
            seq,
            value: value.to_vec(),
            signature: self.0.sign(&signed_bytes(salt, seq, value)).to_bytes(),
        }
    }
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
        let key = Key::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read(&path).unwrap();
        assert!(Key::create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), text);
        assert_eq!(Key::read(&path).unwrap().public(), key.public());
        std::fs::write(&path, "d8:announce").unwrap();
        assert!(Key::read(&path).is_err());
    }

    #[test]
    fn what_a_key_signs_verifies() {
        let key = Key(SigningKey::from_bytes(&[7; 32]));
        let item = key.sign(b"salt", 3, b"5:hello");
        let public = ed25519_dalek::VerifyingKey::from_bytes(&item.key).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(&item.signature);
        public.verify_strict(&signed_bytes(b"salt", 3, b"5:hello"), &signature).unwrap();
        assert!(public.verify_strict(&signed_bytes(b"", 3, b"5:hello"), &signature).is_err());
    }
}
