//! A mount namespace: what is mounted in it is seen there alone, and gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clients::first_missing;
use crate::proc::{Process, command_with, run, wait_until};

/// A namespace, held open by a process of its own, with an empty folder for mounts.
pub(crate) struct Mounts {
    holder: Process,
    dir: PathBuf,
}

impl Mounts {
    /// What a case of this name lacks here.
    pub(crate) fn missing(name: &str) -> Option<String> {
        let tools = first_missing(&["unshare", "nsenter", "mount", "umount", "sleep"]);
        let allowed = || {
            let mut command = command_with("unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
            run(&mut command, LIMIT).err().map(|_| "the right to mount".to_owned())
        };
        let loops = || match name.ends_with("ext4") {
            true => first_missing(&["mkfs.ext4"]).or_else(loop_devices),
            false => None,
        };
        tools.or_else(allowed).or_else(loops)
    }

    /// A new one; what is mounted lies below `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let dir = dir.join("mounts");
        fs::create_dir_all(dir.join("data"))?;
        let command = command_with("unshare", ["-m", "--propagation", "private", "sleep", "3600"]);
        let holder = Process::start(command, &dir.join("log"))?;
        let mounts = Self { holder, dir };
        // the namespace is there once the process is what it was started for
        let comm = format!("/proc/{}/comm", mounts.holder.pid());
        wait_until("the namespace", LIMIT, || Ok(fs::read_to_string(&comm)?.trim() == "sleep"))?;
        Ok(mounts)
    }

    /// The folder torrents land in.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Another folder to mount on.
    pub(crate) fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.dir.join(name);
        fs::create_dir_all(&place)?;
        Ok(place)
    }

    /// A path of the namespace as we see it.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        path.strip_prefix("/").map_or(path.to_owned(), |below| root.join(below))
    }

    /// `program`, to be run in the namespace. The way there replaces itself by it, so the pid is the program's.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let target = self.holder.pid().to_string();
        let mut command = command_with("nsenter", ["-t", &target, "-m", "--"]);
        command.arg(program.as_ref());
        command
    }

    /// `mount OPTIONS at`.
    pub(crate) fn mount(&self, options: &[&str], at: &Path) -> Result<()> {
        run(self.command("mount").args(options).arg(at), LIMIT).map(|_| ())
    }

    /// Takes a mount away, though it is in use.
    pub(crate) fn unmount(&self, at: &Path) -> Result<()> {
        run(self.command("umount").arg("-l").arg(at), LIMIT).map(|_| ())
    }

    /// Mounts a new ext4 file system of so many bytes, in the file `name`. Its loop device goes with the last mount.
    pub(crate) fn ext4(&self, name: &str, len: u64, at: &Path) -> Result<()> {
        let image = self.dir.join(name);
        fs::File::create(&image)?.set_len(len)?;
        run(command_with("mkfs.ext4", ["-q", "-m", "0"]).arg(&image), LIMIT)?;
        self.mount(&["-o", "loop", &image.to_string_lossy()], at)
    }

    /// An error if anything lies in a folder of the namespace.
    pub(crate) fn expect_empty(&self, at: &Path) -> Result<()> {
        let found = fs::read_dir(self.seen(at)).context("look into the mount point")?.next();
        ensure!(found.is_none(), "something was written where nothing is mounted: {found:?}");
        Ok(())
    }
}

fn loop_devices() -> Option<String> {
    let find = run(&mut command_with("losetup", ["-f"]), LIMIT);
    find.err().map(|_| "a free loop device".to_owned())
}

/// For each command.
const LIMIT: Duration = Duration::from_secs(30);
