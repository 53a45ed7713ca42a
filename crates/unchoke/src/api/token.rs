//! The secret that opens the API: 256 random bits in a file that only its owner can read.

use std::fmt;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Result, bail};

use crate::describe::hex;
use crate::errors::about;
use crate::random;

/// The secret, as 64 hex digits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// The token in the file `path`, which is made with a new one if it is not there.
    ///
    /// # Errors
    /// One line: the file cannot be read or made, or holds no token.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.exists() {
            // whoever could read it while it was open to others may have
            std::fs::set_permissions(path, Permissions::from_mode(0o600))
                .map_err(|e| about("use", path, &e))?;
            return Self::read(path);
        }
        let token = hex(&random::bytes::<32>()?);
        let temp = path.with_extension("new");
        match std::fs::remove_file(&temp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(about("remove", &temp, &e)),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&temp);
        file.and_then(|mut f| writeln!(f, "{token}").and_then(|()| f.sync_all()))
            .and_then(|()| std::fs::rename(&temp, path))
            .map_err(|e| about("write", path, &e))?;
        Ok(Token(token))
    }

    /// The token in the file `path`.
    ///
    /// # Errors
    /// One line: the file cannot be read, or holds no token.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| about("read", path, &e))?;
        match Self::parse(text.trim_end()) {
            Some(token) => Ok(token),
            None => bail!("{} holds no token; remove it, and the next daemon makes one", path.display()),
        }
    }

    /// The token of 64 hex digits in lower case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == LEN && is_hex).then(|| Token(text.to_owned()))
    }

    /// Whether `text` is this, in a time that tells nothing of how near it is.
    pub(super) fn is(&self, text: &str) -> bool {
        let differs = |d: u8, (a, b): (u8, u8)| std::hint::black_box(d | (a ^ b));
        text.len() == LEN && self.0.bytes().zip(text.bytes()).fold(0, differs) == 0
    }

    /// What a request says to show that it may.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

const LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::open(&path).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Token::open(&path).unwrap(), token);
        assert_eq!(mode(), 0o600);
        assert!(token.is(&token.0) && !token.is(&token.0[1..]) && !token.is(&token.0.to_uppercase()));
        assert!(!format!("{token:?}").contains(&token.0));
        std::fs::write(&path, "short\n").unwrap();
        assert!(Token::open(&path).unwrap_err().to_string().contains("holds no token"));
    }
}
