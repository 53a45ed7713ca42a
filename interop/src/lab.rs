//! What the cases of a run share: the payloads, the clients, the namespaces, and what of them is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::clients::Client;
use crate::clients::aria2::Aria2;
use crate::clients::libtorrent::Libtorrent;
use crate::clients::qbittorrent::Qbittorrent;
use crate::clients::transmission::Transmission;
use crate::clients::unchoke::Unchoke;
use crate::fixtures::Payloads;
use crate::netns::{Namespaces, Site};

/// Everything a case needs; its files and namespaces go when it is dropped.
pub(crate) struct Lab {
    pub(crate) unchoke: Unchoke,
    pub(crate) libtorrent: Libtorrent,
    pub(crate) payloads: Payloads,
    transmission: Transmission,
    qbittorrent: Qbittorrent,
    aria2: Aria2,
    namespaces: Result<Namespaces>,
    root: TempDir,
}

/// Where `interop/install.sh` puts what no package manager installs.
pub(crate) fn peers_dir() -> PathBuf {
    match std::env::var_os("UNCHOKE_PEERS") {
        Some(peers) => PathBuf::from(peers),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/unchoke-peers"),
    }
}

/// A client of somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other {
    Libtorrent,
    Transmission,
    Qbittorrent,
    Aria2,
}

impl Other {
    /// In the order of their cases.
    pub(crate) const ALL: [Self; 4] = [Self::Libtorrent, Self::Transmission, Self::Qbittorrent, Self::Aria2];
}

impl Lab {
    /// Writes the payloads into memory where there is a memory file system, and makes the namespaces if it may.
    pub(crate) fn new(unchoke: PathBuf) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let builder = &mut tempfile::Builder::new();
        builder.prefix("unchoke-interop-");
        let root = if memory.is_dir() { builder.tempdir_in(memory)? } else { builder.tempdir()? };
        // opentracker gives up its rights and must still reach its folder.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            unchoke: Unchoke { binary: unchoke, is_quiet: false },
            libtorrent: Libtorrent::new(root.path())?,
            payloads: Payloads::write(&root.path().join("payloads")).context("write the payloads")?,
            transmission: Transmission::default(),
            qbittorrent: Qbittorrent,
            aria2: Aria2,
            namespaces: Namespaces::new(),
            root,
        })
    }

    /// The client itself.
    pub(crate) fn client(&self, other: Other) -> &dyn Client {
        match other {
            Other::Libtorrent => &self.libtorrent,
            Other::Transmission => &self.transmission,
            Other::Qbittorrent => &self.qbittorrent,
            Other::Aria2 => &self.aria2,
        }
    }

    /// Hosts in namespaces; an error without the right to make any.
    pub(crate) fn namespaced_site(&self) -> Result<Site> {
        match &self.namespaces {
            Ok(namespaces) => Ok(namespaces.site()),
            Err(error) => anyhow::bail!("no network namespaces: {error:#}"),
        }
    }

    /// A script of ours, written below the run's folder.
    pub(crate) fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.root.path().join(name);
        if !path.is_file() {
            // Whole or not there at all: other cases may be about to start it.
            let mut file = tempfile::NamedTempFile::new_in(self.root.path())?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            file.persist(&path)?;
        }
        Ok(path)
    }

    /// An empty folder for one case.
    pub(crate) fn case_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.path().join(name.replace('/', "-"));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}
