//! Disks that fill up, turn read-only, go away and come back, under the shipped binary's daemon. Each in a mount
//! namespace of its own, so that nothing is mounted anywhere else, whatever happens. They need root, and no other client.

mod mounts;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::attack::daemon::Daemon;
use crate::case::Case;
use crate::clients::{Client, Job, Peer, Role, Source};
use crate::disk_faults::mounts::Mounts;
use crate::fixtures::{Payload, Rng};
use crate::lab::Lab;
use crate::netns::Host;
use crate::ports::free_port;
use crate::proc::wait_until;

/// Every case. They wait most of the time.
pub(crate) fn cases() -> Vec<Case> {
    let all: [(&str, Run); 6] = [
        ("full", goes_on_when_there_is_room),
        ("full-ext4", goes_on_when_there_is_room_on_a_loop_device),
        ("read-only", goes_on_when_it_can_be_written),
        ("unmounted", waits_for_its_mount),
        ("unmounted-at-start", begins_nothing_where_its_mount_is_missing),
        ("changed", gives_nobody_what_others_wrote),
    ];
    all.into_iter()
        .map(|(name, run)| {
            Case::new(format!("disk-faults/{name}"), move |_| Mounts::missing(name), run).waiting()
        })
        .collect()
}

type Run = fn(&Lab, &Path) -> Result<()>;

/// A torrent with a seed of it.
struct Stage {
    payload: Payload,
    at: PathBuf,
    torrent: Vec<u8>,
    seed: Peer,
    from: SocketAddr,
}

/// A client of ours that finds nobody by itself.
fn job<'a>(
    role: Role,
    torrent: &'a Path,
    dir: &'a Path,
    state: &'a Path,
    host: &'a Host,
    port: u16,
) -> Job<'a> {
    let source = Source::Torrent(torrent);
    let (dial, dht_nodes, lsd, pex, rate_limit) = (None, &[][..], false, false, None);
    Job { role, host, port, source, dir, state, dial, dht_nodes, lsd, pex, rate_limit }
}

impl Stage {
    fn new(lab: &Lab, dir: &Path) -> Result<Self> {
        let parent = dir.join("payload");
        fs::create_dir_all(&parent)?;
        let payload = Payload { label: "disk", name: NAME, parent, piece_length: PIECE, size: SIZE };
        fs::write(payload.path(), Rng::new(11).bytes(usize::try_from(SIZE)?))?;
        let at = dir.join("case.torrent");
        lab.unchoke.create(&payload, &at, &[])?;
        let state = dir.join("seed");
        fs::create_dir_all(&state)?;
        let (host, port) = (Host::loopback(), free_port()?);
        let job = job(Role::Seed, &at, &payload.parent, &state, &host, port);
        let seed = lab.unchoke.start(&job).context("start the seed")?;
        let from = host.at(port);
        Ok(Stage { torrent: fs::read(&at)?, at, payload, seed, from })
    }

    /// Downloads from a daemon alone, to a folder of its own below `dir`.
    fn leech(&self, lab: &Lab, dir: &Path, from: &Daemon) -> Result<Peer> {
        let (state, copy) = (dir.join("leech"), dir.join("copy"));
        fs::create_dir_all(&state)?;
        fs::create_dir_all(&copy)?;
        let host = Host::loopback();
        let job =
            Job { dial: Some(from.addr), ..job(Role::Get, &self.at, &copy, &state, &host, free_port()?) };
        lab.unchoke.start(&job).context("start the leech")
    }

    /// A daemon in the namespace that downloads to the mount `data`.
    fn daemon(&self, lab: &Lab, dir: &Path, mounts: &Mounts) -> Result<Daemon> {
        let home = dir.join("daemon");
        fs::create_dir_all(&home)?;
        Daemon::start_by(mounts.command(&lab.unchoke.binary), &home, mounts.data(), &[])
    }

    fn add(&self, daemon: &Daemon) -> Result<()> {
        daemon.add(&self.torrent, &[self.from])
    }

    fn complete(&self, daemon: &Daemon, mounts: &Mounts) -> Result<()> {
        wait_until("the whole torrent", LIMIT, || Ok(the_only(daemon)?["state"] == "seeding"))?;
        self.payload.check_copy(&mounts.seen(&mounts.data()), false)
    }
}

fn the_only(daemon: &Daemon) -> Result<Value> {
    daemon.torrents()?.into_iter().next().context("the daemon has no torrent")
}

/// Waits until the torrent stopped, and says why.
fn stopped(daemon: &Daemon) -> Result<String> {
    wait_until("the torrent to stop", LIMIT, || Ok(the_only(daemon)?["state"] == "error"))?;
    Ok(the_only(daemon)?["error"].as_str().context("it does not say why")?.to_owned())
}

/// Waits until it seeds again, which it must do by itself and without checking anything.
fn seeds_again(daemon: &Daemon) -> Result<()> {
    wait_until("the torrent to go on", SOON, || {
        let torrent = the_only(daemon)?;
        ensure!(torrent["state"] != "checking", "it is checked: {torrent}");
        Ok(torrent["state"] == "seeding")
    })
}

//= H3e-1
fn goes_on_when_there_is_room(lab: &Lab, dir: &Path) -> Result<()> {
    let mounts = Mounts::new(dir)?;
    mounts.mount(&["-t", "tmpfs", "-o", "size=6m", "none"], &mounts.data())?;
    fills_up(lab, dir, &mounts, || mounts.mount(&["-o", "remount,size=64m"], &mounts.data()))
}

//= H3e-1
fn goes_on_when_there_is_room_on_a_loop_device(lab: &Lab, dir: &Path) -> Result<()> {
    let mounts = Mounts::new(dir)?;
    mounts.ext4("disk.img", 32 << 20, &mounts.data())?;
    let (filler, room) = (mounts.seen(&mounts.data()).join("filler"), 8 << 20);
    let available = rustix::fs::statvfs(mounts.seen(&mounts.data()))?;
    let len = usize::try_from((available.f_bavail * available.f_frsize).saturating_sub(room))?;
    fs::write(&filler, vec![7; len])?;
    fills_up(lab, dir, &mounts, || Ok(fs::remove_file(&filler)?))
}

fn fills_up(lab: &Lab, dir: &Path, mounts: &Mounts, make_room: impl FnOnce() -> Result<()>) -> Result<()> {
    let stage = Stage::new(lab, dir)?;
    let daemon = stage.daemon(lab, dir, mounts)?;
    stage.add(&daemon)?;
    let why = stopped(&daemon)?;
    ensure!(why.contains("no space left"), "it stopped for another reason: {why}");
    make_room()?;
    stage.complete(&daemon, mounts)?;
    let downloaded = the_only(&daemon)?["downloaded"].as_u64().unwrap_or(u64::MAX);
    let most = SIZE + 2 * u64::from(PIECE);
    ensure!(downloaded <= most, "{downloaded} bytes for a torrent of {SIZE}");
    daemon.stop()
}

//= H3e-4
fn goes_on_when_it_can_be_written(lab: &Lab, dir: &Path) -> Result<()> {
    let mounts = Mounts::new(dir)?;
    mounts.mount(&["-t", "tmpfs", "none"], &mounts.data())?;
    mounts.mount(&["-o", "remount,ro"], &mounts.data())?;
    let stage = Stage::new(lab, dir)?;
    let daemon = stage.daemon(lab, dir, &mounts)?;
    stage.add(&daemon)?;
    let why = stopped(&daemon)?;
    ensure!(why.contains("read-only"), "it stopped for another reason: {why}");
    mounts.mount(&["-o", "remount,rw"], &mounts.data())?;
    stage.complete(&daemon, &mounts)?;
    daemon.stop()
}

/// A daemon that has completed its download on a disk that is mounted at the data folder; where that disk is.
fn complete_on_a_mount(lab: &Lab, dir: &Path) -> Result<(Mounts, PathBuf, Stage, Daemon)> {
    let mounts = Mounts::new(dir)?;
    let disk = mounts.place("disk")?;
    mounts.mount(&["-t", "tmpfs", "none"], &disk)?;
    mounts.mount(&["--bind", &disk.to_string_lossy()], &mounts.data())?;
    let stage = Stage::new(lab, dir)?;
    let daemon = stage.daemon(lab, dir, &mounts)?;
    stage.add(&daemon)?;
    stage.complete(&daemon, &mounts)?;
    Ok((mounts, disk, stage, daemon))
}

//= H3e-6
//= F3
fn waits_for_its_mount(lab: &Lab, dir: &Path) -> Result<()> {
    let (mounts, disk, stage, daemon) = complete_on_a_mount(lab, dir)?;
    // the mount goes away while it seeds
    mounts.unmount(&mounts.data())?;
    let why = stopped(&daemon)?;
    ensure!(why.contains("mount its disk"), "it stopped for another reason: {why}");
    mounts.expect_empty(&mounts.data())?;
    // another disk comes to its place, and goes
    mounts.mount(&["-t", "tmpfs", "none"], &mounts.data())?;
    std::thread::sleep(LOOKS);
    ensure!(the_only(&daemon)?["state"] == "error", "another disk is taken for its own");
    mounts.expect_empty(&mounts.data())?;
    mounts.unmount(&mounts.data())?;
    // its own comes back
    mounts.mount(&["--bind", &disk.to_string_lossy()], &mounts.data())?;
    seeds_again(&daemon)?;
    stage.payload.check_copy(&mounts.seen(&mounts.data()), false)?;
    daemon.stop()
}

//= H3e-6
//= F3
fn begins_nothing_where_its_mount_is_missing(lab: &Lab, dir: &Path) -> Result<()> {
    let (mounts, disk, stage, daemon) = complete_on_a_mount(lab, dir)?;
    daemon.stop()?;
    mounts.unmount(&mounts.data())?;
    // it sleeps until somebody wants it
    let daemon = stage.daemon(lab, dir, &mounts)?;
    let leech = stage.leech(lab, dir, &daemon)?;
    let why = stopped(&daemon)?;
    ensure!(why.contains("mount"), "it stopped for another reason: {why}");
    mounts.expect_empty(&mounts.data())?;
    mounts.mount(&["--bind", &disk.to_string_lossy()], &mounts.data())?;
    seeds_again(&daemon)?;
    drop(leech);
    daemon.stop()
}

//= H3e-7
fn gives_nobody_what_others_wrote(lab: &Lab, dir: &Path) -> Result<()> {
    type Meddle = fn(&Path) -> Result<()>;
    let ways: [(&str, Meddle); 5] = [
        ("overwritten", |at| {
            Ok(fs::File::options().write(true).open(at)?.write_all_at(&[0; 4096], 3 << 20)?)
        }),
        ("truncated", |at| Ok(fs::File::options().write(true).open(at)?.set_len(5 << 20)?)),
        ("removed", |at| Ok(fs::remove_file(at)?)),
        ("folder", |at| {
            fs::remove_file(at)?;
            Ok(fs::create_dir(at)?)
        }),
        ("link", |at| {
            fs::remove_file(at)?;
            Ok(symlink("/etc/hostname", at)?)
        }),
    ];
    let stage = Stage::new(lab, dir)?;
    for (what, meddle) in ways {
        let dir = dir.join(what);
        fs::create_dir_all(&dir)?;
        let mounts = Mounts::new(&dir)?;
        mounts.mount(&["-t", "tmpfs", "none"], &mounts.data())?;
        let daemon = stage.daemon(lab, &dir, &mounts)?;
        stage.add(&daemon)?;
        stage.complete(&daemon, &mounts)?;
        meddle(&mounts.seen(&mounts.data()).join(NAME))?;
        // whoever downloads from it alone gets no byte that is wrong: the daemon mends the file from its seed, or stops
        let mut leech = stage.leech(lab, &dir, &daemon)?;
        let is_in_the_way = matches!(what, "folder" | "link");
        let ended = wait_until("the end", LIMIT, || {
            Ok(leech.process.exit_status()?.is_some() || the_only(&daemon)?["state"] == "error")
        });
        ended.with_context(|| what.to_owned())?;
        let is_stopped = the_only(&daemon)?["state"] == "error";
        ensure!(is_stopped == is_in_the_way, "{what}: {}", the_only(&daemon)?);
        let told = leech.process.output()?;
        ensure!(!told.contains("piece_failed"), "{what}: a peer was given what others wrote");
        if !is_stopped {
            stage.complete(&daemon, &mounts).with_context(|| what.to_owned())?;
        }
        daemon.stop()?;
    }
    stage.seed.process.stop(LIMIT)
}

const NAME: &str = "disk.bin";
const PIECE: u32 = 256 << 10;
const SIZE: u64 = 12 << 20;
/// For each part of a case.
const LIMIT: Duration = Duration::from_secs(90);
/// How long a torrent may take to notice that its disk is well: two looks at it, and a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// More than the time between two looks.
const LOOKS: Duration = Duration::from_secs(7);
