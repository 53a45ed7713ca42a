//! Moves on one file system and between two, cut off, refused, and into a full disk.

use std::collections::BTreeMap;
use std::process::Command;

use unchoke_wire::Layout;

use super::*;
use crate::spec::FileSpec;

static NEVER: AtomicBool = AtomicBool::new(false);

type Tree = BTreeMap<String, Vec<u8>>;

fn spec() -> StorageSpec {
    let file = |path: &[&str], len| FileSpec {
        path: path.iter().map(|p| (*p).to_owned()).collect(),
        len,
        ..FileSpec::default()
    };
    let link = FileSpec { symlink: Some(vec!["t".to_owned(), "a".to_owned()]), ..file(&["t", "link"], 0) };
    let files = vec![
        file(&["t", "a"], 3_000_000),
        file(&["t", "d", "b"], 10),
        file(&["t", "d", "e", "c"], 20),
        link,
        file(&["t", "never"], 5),
    ];
    StorageSpec { layout: Layout::new(16_384, files.iter().map(|f| f.len)).unwrap(), files }
}

/// Writes the torrent, all but one file of it, and a file of somebody else.
fn fill(dir: &Path) {
    std::fs::create_dir_all(dir.join("t/d/e")).unwrap();
    let mut large = vec![0; 3_000_000];
    large[1_500_000..1_600_000].fill(7);
    std::fs::write(dir.join("t/a"), large).unwrap();
    std::fs::write(dir.join("t/d/b"), b"0123456789").unwrap();
    std::fs::write(dir.join("t/d/e/c"), [9; 20]).unwrap();
    std::os::unix::fs::symlink("a", dir.join("t/link")).unwrap();
    std::fs::write(dir.join(".t.unchoke-part"), b"part").unwrap();
}

/// All files below a folder, and where links lead.
fn tree(dir: &Path) -> Tree {
    let mut found = Tree::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(name, target.into_os_string().into_encoded_bytes());
            } else {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Two folders: on one file system, and on two where there are two.
fn places() -> Vec<(tempfile::TempDir, tempfile::TempDir)> {
    let mut places = vec![(tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())];
    let device = |dir: &Path| rustix::fs::stat(dir).map(|s| s.st_dev).ok();
    let memory = Path::new("/dev/shm");
    if device(memory).is_some() && device(memory) != device(places[0].0.path()) {
        places.push((tempfile::tempdir().unwrap(), tempfile::tempdir_in(memory).unwrap()));
    } else {
        eprintln!("skipped: there is no second file system");
    }
    places
}

//= H3d-3
#[test]
fn all_of_a_torrent_and_nothing_else_is_moved() {
    for (from, to) in places() {
        fill(from.path());
        std::fs::write(from.path().join("t/d/mine"), b"of somebody else").unwrap();
        let all = tree(from.path());
        let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
        relocation.check().unwrap();
        relocation.place(&NEVER).unwrap();
        let mut moved = all.clone();
        let mine = moved.remove("t/d/mine").unwrap();
        // the source is whole until somebody says that it may go
        assert_eq!((tree(from.path()), tree(to.path())), (all, moved.clone()));
        relocation.clear_source().unwrap();
        assert_eq!(tree(from.path()), Tree::from([("t/d/mine".to_owned(), mine)]));
        assert_eq!(tree(to.path()), moved);
        assert!(!from.path().join("t/d/e").exists(), "what is left empty goes");
        // both steps may be done again
        relocation.place(&NEVER).unwrap();
        relocation.clear_source().unwrap();
        assert_eq!(tree(to.path()), moved);
    }
}

#[test]
fn a_copy_keeps_time_mode_and_holes() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for (from, to) in places() {
        fill(from.path());
        let file = std::fs::File::options().write(true).open(from.path().join("t/d/b")).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5)).unwrap();
        std::fs::remove_file(from.path().join("t/a")).unwrap();
        std::fs::File::create(from.path().join("t/a")).unwrap().set_len(3_000_000).unwrap();
        Relocation::new(spec(), from.path(), to.path()).unwrap().place(&NEVER).unwrap();
        let moved = std::fs::metadata(to.path().join("t/d/b")).unwrap();
        assert_eq!((moved.mode() & 0o777, moved.mtime(), moved.mtime_nsec()), (0o640, 1_000_000, 5));
        let sparse = std::fs::metadata(to.path().join("t/a")).unwrap();
        assert!(sparse.len() == 3_000_000 && sparse.blocks() < 1000, "{}", sparse.blocks());
    }
}

//= F7
#[test]
fn a_file_that_is_in_the_way_is_named_and_stays() {
    for (from, to) in places() {
        fill(from.path());
        std::fs::create_dir_all(to.path().join("t/d")).unwrap();
        std::fs::write(to.path().join("t/d/b"), b"foreign").unwrap();
        let (source, target) = (tree(from.path()), tree(to.path()));
        let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
        let error = relocation.check().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.to_string().contains("t/d/b") && !error.to_string().contains('\n'), "{error}");
        // one that came after the check
        let error = relocation.place(&NEVER).unwrap_err();
        assert!(error.is_undone && error.error.kind == ErrorKind::Exists, "{error}");
        assert_eq!((tree(from.path()), tree(to.path())), (source, target));
        // a link is in the way, too, wherever it leads
        std::fs::remove_file(to.path().join("t/d/b")).unwrap();
        std::os::unix::fs::symlink("nowhere", to.path().join("t/d/b")).unwrap();
        assert_eq!(relocation.check().unwrap_err().kind, ErrorKind::Exists);
    }
}

#[test]
fn a_folder_is_not_moved_into_itself_however_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let other_name = tempfile::tempdir().unwrap().path().join("x");
    std::fs::create_dir_all(other_name.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(dir.path(), &other_name).unwrap();
    let all = tree(dir.path());
    for to in [dir.path(), &other_name] {
        let relocation = Relocation::new(spec(), dir.path(), to).unwrap();
        assert!(relocation.check().is_err() && relocation.place(&NEVER).is_err());
        assert!(relocation.clear_source().is_err());
        assert_eq!(tree(dir.path()), all);
    }
    // nor is anything removed where the torrent's own folder is one and the same
    let to = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir.path().join("t"), to.path().join("t")).unwrap();
    let relocation = Relocation::new(spec(), dir.path(), to.path()).unwrap();
    assert!(relocation.place(&NEVER).is_err() && relocation.clear_source().is_err());
    assert_eq!(tree(dir.path()), all);
    std::fs::remove_dir_all(other_name.parent().unwrap()).unwrap();
}

#[test]
fn a_move_that_is_stopped_leaves_everything_as_it_was() {
    for (from, to) in places() {
        fill(from.path());
        let all = tree(from.path());
        let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
        let error = relocation.place(&AtomicBool::new(true)).unwrap_err();
        assert!(error.is_undone && error.error.kind == ErrorKind::Stopped, "{error}");
        assert_eq!((tree(from.path()), tree(to.path())), (all, Tree::new()));
        assert!(!to.path().join("t").exists());
    }
}

//= F7
#[test]
fn a_move_that_was_cut_off_goes_on_or_goes_back() {
    // as many files as were placed before the cut; then half a copy of the next
    for (cut, goes_back) in (0..6).flat_map(|cut| [(cut, false), (cut, true)]) {
        for (from, to) in places() {
            fill(from.path());
            let all = tree(from.path());
            let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
            for (number, path) in relocation.paths().enumerate() {
                let (old, new) = (from.path().join(path.join("/")), to.path().join(path.join("/")));
                if !old.exists() {
                    continue;
                }
                if number < cut {
                    std::fs::create_dir_all(new.parent().unwrap()).unwrap();
                    match old.is_symlink() {
                        true => std::os::unix::fs::symlink("a", new).unwrap(),
                        false => {
                            if std::fs::hard_link(&old, &new).is_err() {
                                std::fs::copy(&old, &new).unwrap();
                            }
                        }
                    }
                } else {
                    let temp = to.path().join(relocation.temp_path(number).join("/"));
                    std::fs::write(temp, b"half").unwrap();
                    break;
                }
            }
            if goes_back {
                relocation.undo().unwrap();
                assert_eq!((tree(from.path()), tree(to.path())), (all, Tree::new()), "{cut}");
            } else {
                relocation.place(&NEVER).unwrap();
                relocation.clear_source().unwrap();
                assert_eq!((tree(from.path()), tree(to.path())), (Tree::new(), all), "{cut}");
            }
        }
    }
}

#[test]
fn files_that_were_renamed_are_found_and_taken_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path());
    let all = tree(from.path());
    let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
    let recorded = relocation.find_all().unwrap().from;
    let cut = || {
        std::fs::create_dir_all(to.path().join("t/d")).unwrap();
        for path in ["t/a", "t/d/b"] {
            std::fs::rename(from.path().join(path), to.path().join(path)).unwrap();
        }
    };
    cut();
    let found = relocation.find_all().unwrap();
    let told = |fact: &&FileFact| matches!(fact, FileFact::Present { .. });
    assert!(recorded.iter().filter(told).all(|fact| found.holds(*fact)));
    assert!(!found.is_source_missing(&recorded));
    relocation.undo().unwrap();
    assert_eq!((tree(from.path()), tree(to.path())), (all.clone(), Tree::new()));
    cut();
    relocation.place(&NEVER).unwrap();
    relocation.clear_source().unwrap();
    assert_eq!(tree(to.path()), all);
}

//= F3
#[test]
fn a_source_that_is_not_mounted_is_told_from_one_that_was_moved() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path());
    let relocation = Relocation::new(spec(), from.path(), to.path()).unwrap();
    let recorded = relocation.find_all().unwrap().from;
    let recorded = &recorded[..recorded.len() - 1];
    assert!(!relocation.find_all().unwrap().is_source_missing(recorded));
    std::fs::rename(from.path().join("t"), to.path().join("away")).unwrap();
    std::fs::remove_file(from.path().join(".t.unchoke-part")).unwrap();
    assert!(relocation.find_all().unwrap().is_source_missing(recorded));
    std::fs::rename(to.path().join("away"), to.path().join("t")).unwrap();
    assert!(!relocation.find_all().unwrap().is_source_missing(recorded), "it is all there");
    assert!(!relocation.find_all().unwrap().is_source_missing(&[FileFact::Missing; 5]), "nothing was");
}

//= H3d-3
//= F7
#[test]
fn a_full_disk_leaves_the_source_untouched_and_nothing_behind() {
    let disk = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(disk.path()).output();
    if !mount.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: a small file system cannot be mounted by this user");
        return;
    }
    let from = tempfile::tempdir().unwrap();
    fill(from.path());
    std::fs::write(from.path().join("t/a"), vec![5; 3_000_000]).unwrap();
    let all = tree(from.path());
    let relocation = Relocation::new(spec(), from.path(), disk.path()).unwrap();
    relocation.check().unwrap();
    let error = relocation.place(&NEVER).unwrap_err();
    let after = (tree(from.path()), tree(disk.path()));
    Command::new("umount").arg("-l").arg(disk.path()).output().unwrap();
    assert!(error.is_undone && error.error.kind == ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("no space") && !error.to_string().contains('\n'), "{error}");
    assert_eq!(after, (all, Tree::new()));
}
