//! Finishing, removing, missing roots, full disks.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use unchoke_storage::{Allocation, ErrorKind, FileFact, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::PieceIndex;

use crate::support::{open, open_selected, piece, read_piece, spec, tree, write_all};

#[test]
fn finishing_makes_empty_files_and_execute_bits() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(10, &[("run", 10), ("data", 5), ("empty", 0), ("unwanted", 0)]);
    spec.files[0].is_executable = true;
    let s = open_selected(dir.path(), spec, &[true, true, true, false]);
    write_all(&s);
    s.finish().unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/data", "t/empty", "t/run"]);
    let mode = |f: &str| std::fs::metadata(dir.path().join("t").join(f)).unwrap().permissions().mode();
    assert_eq!((mode("run") & 0o100, mode("data") & 0o111), (0o100, 0));
}

fn with_links(targets: &[(&str, &str)]) -> StorageSpec {
    let mut files = vec![("sub/real", 10)];
    files.extend(targets.iter().map(|(name, _)| (*name, 0)));
    let mut spec = spec(10, &files);
    for (file, (_, target)) in spec.files[1..].iter_mut().zip(targets) {
        file.symlink = Some(target.split_terminator('/').map(str::to_owned).collect());
    }
    spec
}

//= BEP 47: a symlink leads to a file or folder of its torrent
//= test
#[test]
fn links_are_made_last_and_only_to_places_in_the_torrent() {
    let dir = tempfile::tempdir().unwrap();
    let targets = [
        ("good", "t/sub/real"),
        ("sub/deep/good", "t/sub/real"),
        ("chain", "t/good"),
        ("folder", "t/sub"),
        ("sub/top", "t"),
        ("up", "t/../../x"),
        ("absolute", "/etc/passwd"),
        ("outside", "etc/passwd"),
        ("loop", "t/loop"),
        ("ping", "t/pong"),
        ("pong", "t/ping"),
        ("dangling", "t/nothing"),
        ("nowhere", ""),
    ];
    let open = |makes_symlinks| {
        let options = Options { makes_symlinks, ..Options::default() };
        FileStorage::open(dir.path(), with_links(&targets), options).unwrap()
    };
    let s = open(false);
    write_all(&s);
    s.finish().unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/sub", "t/sub/real"], "off by default");
    let s = open(true);
    s.finish().unwrap();
    s.finish().unwrap();
    let made = ["t", "t/chain", "t/folder", "t/good", "t/sub", "t/sub/deep", "t/sub/deep/good", "t/sub/real"];
    assert_eq!(tree(dir.path()), [&made[..], &["t/sub/top"]].concat());
    let link = |at: &str| std::fs::read_link(dir.path().join("t").join(at)).unwrap();
    assert_eq!((link("good"), link("sub/deep/good")), (PathBuf::from("sub/real"), "../../sub/real".into()));
    assert_eq!((link("folder"), link("sub/top")), (PathBuf::from("sub"), "..".into()));
    assert_eq!(std::fs::read(dir.path().join("t/sub/deep/good")).unwrap(), piece(s.spec(), 0));
    s.delete().unwrap();
    assert!(tree(dir.path()).is_empty());
}

#[test]
fn deleting_leaves_foreign_files_and_their_folders() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("a", 15), ("x/b", 10), ("x/y/c", 5), ("z/d", 10)];
    let s = open_selected(dir.path(), spec(10, &files), &[true, true, true, false]);
    write_all(&s);
    std::fs::write(dir.path().join("t/x/mine"), b"1").unwrap();
    std::fs::write(dir.path().join("beside"), b"2").unwrap();
    std::fs::remove_file(dir.path().join("t/a")).unwrap();
    std::os::unix::fs::symlink("../beside", dir.path().join("t/a")).unwrap();
    s.delete().unwrap();
    assert_eq!(tree(dir.path()), ["beside", "t", "t/a", "t/x", "t/x/mine"]);
    assert_eq!(std::fs::read(dir.path().join("beside")).unwrap(), b"2");
    s.delete().unwrap();
}

#[test]
fn a_missing_root_is_never_made_unless_allowed_and_never_its_parents() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk/downloads");
    let open = |may_create_root| {
        let options = Options { may_create_root, ..Options::default() };
        FileStorage::open(&root, spec(10, &[("a", 10)]), options).unwrap()
    };
    for storage in [open(false), open(true)] {
        for error in [storage.prepare().unwrap_err(), storage.write(PieceIndex(0), 0, &[1; 10]).unwrap_err()]
        {
            assert_eq!((error.kind, &error.path), (ErrorKind::MissingRoot, &root));
            assert!(error.to_string().contains("does not exist"), "{error}");
        }
        assert_eq!(storage.facts(), [FileFact::Missing]);
        storage.delete().unwrap();
        storage.sync().unwrap();
    }
    assert!(tree(dir.path()).is_empty());
    std::fs::create_dir(dir.path().join("disk")).unwrap();
    assert_eq!(open(false).prepare().unwrap_err().kind, ErrorKind::MissingRoot);
    open(true).write(PieceIndex(0), 0, &[1; 10]).unwrap();
    assert_eq!(tree(dir.path()), ["disk", "disk/downloads", "disk/downloads/t", "disk/downloads/t/a"]);
}

#[test]
fn the_root_may_be_a_link() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    let s = open(&dir.path().join("link"), spec(10, &[("a", 10)]));
    write_all(&s);
    assert!(dir.path().join("real/t/a").exists());
}

#[test]
fn a_failed_sync_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let s = open(dir.path(), spec(10, &[("a", 10), ("b", 10)]));
    write_all(&s);
    s.close_files();
    std::fs::remove_file(dir.path().join("t/a")).unwrap();
    assert!(s.sync().is_err());
    assert!(s.sync().is_err(), "nothing was written since, but what was is still not safe");
    assert!(matches!(s.facts()[..], [FileFact::Doubtful, FileFact::Present { .. }]));
}

/// A small disk of its own, unmounted when dropped. `None`, said aloud, where mounting is not permitted.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, options: &str) -> Option<Self> {
        let run = |args: &[&str]| {
            Command::new("mount").args(args).arg(at).output().is_ok_and(|o| o.status.success())
        };
        if !run(&["-t", "tmpfs", "-o", options, "tmpfs"]) {
            println!("skipped: mounting a tmpfs is not permitted here");
            return None;
        }
        Some(Disk(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(done.is_ok_and(|s| s.success()), "remounts");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = Disk::mount(dir.path(), "size=256k") else { return };
    let spec = spec(1 << 16, &[("a", 1 << 17), ("b", 1 << 18)]);
    let s = open(dir.path(), spec.clone());
    let failed = (0..6).find_map(|p| s.write(PieceIndex(p), 0, &piece(&spec, p)).err().map(|e| (p, e)));
    let (p, error) = failed.expect("384 KiB do not fit");
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert_eq!(read_piece(&s, 0), piece(&spec, 0));
    std::fs::remove_file(dir.path().join("t/a")).unwrap();
    s.close_files();
    s.write(PieceIndex(p), 0, &piece(&spec, p)).unwrap();
    assert_eq!(read_piece(&s, p), piece(&spec, p));
    // full allocation sees it before the first byte
    s.delete().unwrap();
    let options = Options { allocation: Allocation::Full, ..Options::default() };
    let s = FileStorage::open(dir.path(), spec, options).unwrap();
    assert_eq!(s.prepare().unwrap_err().kind, ErrorKind::NoSpace);
}

#[test]
fn a_read_only_disk_is_told_and_still_serves() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path(), "size=1m") else { return };
    let spec = spec(10, &[("a", 10), ("b", 10)]);
    let s = open(dir.path(), spec.clone());
    s.write(PieceIndex(0), 0, &piece(&spec, 0)).unwrap();
    drop(s);
    disk.remount("ro");
    let s = open(dir.path(), spec.clone());
    assert_eq!(read_piece(&s, 0), piece(&spec, 0));
    for p in [0, 1] {
        assert_eq!(s.write(PieceIndex(p), 0, &piece(&spec, p)).unwrap_err().kind, ErrorKind::ReadOnly);
    }
}

#[test]
fn a_folder_without_write_permission_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), b"").is_ok() {
        println!("skipped: permissions do not bind this user");
        return;
    }
    let s = open(&locked, spec(10, &[("a", 10)]));
    assert_eq!(s.write(PieceIndex(0), 0, &[1; 10]).unwrap_err().kind, ErrorKind::PermissionDenied);
}

#[test]
fn a_name_too_long_for_the_disk_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let s = open(dir.path(), spec(10, &[(&"n".repeat(256), 10)]));
    assert_eq!(s.write(PieceIndex(0), 0, &[1; 10]).unwrap_err().kind, ErrorKind::NameTooLong);
}
