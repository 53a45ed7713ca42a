//! Torrents of a daemon by what people call them: their hash, its beginning, or their name.

use anyhow::{Result, bail};

use super::client::{Client, Method};
use crate::api::model::{List, Torrent};
use crate::errors::{one_line, warn};

/// A torrent of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    /// Its hash in hex.
    pub(super) hash: String,
    /// Its name, where it is known.
    pub(super) name: Option<String>,
}

impl Named {
    /// Its route.
    pub(super) fn path(&self) -> String {
        format!("/api/v1/torrents/{}", self.hash)
    }

    /// What people are told it is.
    pub(super) fn shown(&self) -> String {
        one_line(self.name.as_deref().unwrap_or(&self.hash))
    }
}

/// All torrents, by their hash.
///
/// # Errors
/// What the daemon says.
pub(super) fn all(client: &Client) -> Result<Vec<Named>> {
    Ok(torrents(client)?.into_iter().map(|t| Named { hash: t.hash, name: t.name }).collect())
}

/// All torrents with their figures, by their hash.
///
/// # Errors
/// What the daemon says.
pub(super) fn torrents(client: &Client) -> Result<Vec<Torrent>> {
    let list = client.send::<List>(Method::GET, "/api/v1/torrents", None)?;
    list.notice.iter().for_each(warn);
    Ok(list.torrents)
}

/// The torrents that are called this. Whole hashes are not looked up.
///
/// # Errors
/// One line naming what fits none, or several with these.
pub(super) fn find(client: &Client, names: &[String]) -> Result<Vec<Named>> {
    let is_hash = |text: &String| text.len() == HASH_LEN && is_hex(text);
    let known = match names.iter().all(is_hash) {
        true => Vec::new(),
        false => all(client)?,
    };
    let mut found: Vec<Named> = Vec::new();
    for name in names {
        let torrent = match is_hash(name) {
            true => Named { hash: name.to_ascii_lowercase(), name: None },
            false => one(&known, name)?.clone(),
        };
        if !found.contains(&torrent) {
            found.push(torrent);
        }
    }
    Ok(found)
}

fn one<'t>(known: &'t [Named], text: &str) -> Result<&'t Named> {
    let start = text.to_ascii_lowercase();
    let by_hash = |t: &&Named| is_hex(text) && t.hash.starts_with(&start);
    let fitting: Vec<&Named> =
        known.iter().filter(|t| by_hash(t) || t.name.as_deref() == Some(text)).collect();
    match &fitting[..] {
        [] => bail!("no torrent is called '{}'; `unchoke ls` lists them", one_line(text)),
        [torrent] => Ok(torrent),
        several => {
            let told = several.iter().take(TOLD_MAX).map(|t| format!("{} ({})", t.shown(), short(&t.hash)));
            let told: Vec<String> = told.collect();
            let more = if several.len() > TOLD_MAX { ", …" } else { "" };
            bail!("'{}' fits {} torrents: {}{more}", one_line(text), several.len(), told.join(", "))
        }
    }
}

/// The beginning of a hash that tells it from others as a rule.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..SHORT_LEN).unwrap_or(hash)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

const HASH_LEN: usize = 40;
const SHORT_LEN: usize = 10;
/// Torrents that a message lists.
const TOLD_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_called_by_its_name_or_the_beginning_of_its_hash() {
        let named =
            |hash: &str, name: Option<&str>| Named { hash: hash.repeat(20), name: name.map(Into::into) };
        let known =
            [named("ab", Some("film")), named("ac", Some("film")), named("cd", Some("a")), named("ef", None)];
        assert_eq!(one(&known, "ABAB").unwrap(), &known[0]);
        assert_eq!(one(&known, "ac").unwrap(), &known[1]);
        assert_eq!(one(&known, "e").unwrap(), &known[3]);
        let several = one(&known, "film").unwrap_err().to_string();
        assert!(several.contains("fits 2 torrents: film (ababababab), film (acacacacac)"), "{several}");
        // one by its name, two by their hash
        assert!(one(&known, "a").unwrap_err().to_string().contains("fits 3 torrents"));
        for none in ["", "fil", "0", "abc"] {
            assert!(one(&known, none).unwrap_err().to_string().contains("no torrent is called"), "{none}");
        }
    }
}
