//! The line before everything that is kept: what it is, its version, and a checksum over all of it.

use super::record::DecodeError;

/// A kind of thing that is kept, in the newest version this program knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// What it is, ending in a space.
    pub(crate) magic: &'static [u8],
    /// The version written.
    pub(crate) version: u32,
}

impl Format {
    /// Puts the line with version and checksum, both over all that follows and the version itself, before the body.
    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let head = [self.magic, format!("{} ", self.version).as_bytes()].concat();
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head), body);
        [&head, format!("{sum:08x}\n").as_bytes(), body].concat()
    }

    /// The body. Any changed byte is [`DecodeError::Damaged`].
    pub(crate) fn unseal<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let parts = || {
            let rest = bytes.strip_prefix(self.magic)?;
            let space = rest.iter().take(11).position(|b| *b == b' ')?;
            let version: u32 = core::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
            let (_, body) = rest[space + 1..].split_at_checked(9)?;
            Some((version, body))
        };
        let (version, body) = parts().ok_or(DecodeError::Damaged)?;
        // the same bytes come out again only if nothing was changed, the checksum's own spelling included
        if (Format { version, ..*self }).seal(body) != bytes {
            return Err(DecodeError::Damaged);
        }
        match version {
            got if got == self.version => Ok(body),
            got if got > self.version => Err(DecodeError::FutureVersion { got, newest: self.version }),
            _ => Err(DecodeError::Damaged),
        }
    }
}
