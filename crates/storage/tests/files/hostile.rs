//! What stands in a file's place is not followed, opened or written when it is not a plain file.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use unchoke_storage::{ErrorKind, FileFact, FileSpec, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

use crate::support::{open, piece, spec, tree, write_all};

#[test]
fn a_link_below_the_root_is_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("b"), b"precious!!").unwrap();
    std::fs::create_dir(dir.path().join("t")).unwrap();
    // a folder that leads away, one that leads elsewhere in the torrent, and a file that leads away
    symlink(outside.path(), dir.path().join("t/away")).unwrap();
    std::fs::create_dir(dir.path().join("t/real")).unwrap();
    symlink("real", dir.path().join("t/near")).unwrap();
    symlink(outside.path().join("b"), dir.path().join("t/file")).unwrap();
    let s = open(dir.path(), spec(10, &[("away/b", 10), ("near/c", 10), ("file", 10), ("away/new/d", 10)]));
    for p in 0..4 {
        assert_eq!(s.write(PieceIndex(p), 0, &[0; 10]).unwrap_err().kind, ErrorKind::Symlink, "piece {p}");
        let block = BlockRef { piece: PieceIndex(p), begin: 0, len: 10 };
        assert_eq!(s.read(block, &mut [0; 10]).unwrap_err().kind, ErrorKind::Symlink, "piece {p}");
        assert_eq!(s.read_now(&[block], &mut [0; 10]), 0);
    }
    assert_eq!(s.facts(), [FileFact::Doubtful; 4]);
    s.delete().unwrap();
    assert_eq!(tree(outside.path()), ["b"]);
    assert_eq!(std::fs::read(outside.path().join("b")).unwrap(), b"precious!!");
}

#[test]
fn the_torrents_own_folder_may_not_be_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("t")).unwrap();
    let s = open(dir.path(), spec(10, &[("a", 10)]));
    assert_eq!(s.write(PieceIndex(0), 0, &[0; 10]).unwrap_err().kind, ErrorKind::Symlink);
    assert!(tree(outside.path()).is_empty());
}

#[test]
fn a_file_replaced_by_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let s = open(dir.path(), spec(10, &[("a", 10)]));
    write_all(&s);
    s.close_files();
    let at = dir.path().join("t/a");
    std::fs::rename(&at, dir.path().join("victim")).unwrap();
    symlink("../victim", &at).unwrap();
    assert_eq!(s.write(PieceIndex(0), 0, &[0; 10]).unwrap_err().kind, ErrorKind::Symlink);
    assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), piece(s.spec(), 0));
}

#[test]
fn folders_and_files_in_each_others_place_are_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("t/a")).unwrap();
    std::fs::write(dir.path().join("t/b"), b"").unwrap();
    let s = open(dir.path(), spec(10, &[("a", 10), ("b/c", 10)]));
    assert_eq!(s.write(PieceIndex(0), 0, &[1; 10]).unwrap_err().kind, ErrorKind::NotAFile);
    assert_eq!(s.write(PieceIndex(1), 0, &[1; 10]).unwrap_err().kind, ErrorKind::NotADirectory);
    let mut buf = [0; 10];
    let error = s.read(BlockRef { piece: PieceIndex(0), begin: 0, len: 10 }, &mut buf).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAFile);
    assert!(error.to_string().contains("t/a"), "{error}");
    s.delete().unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b"], "neither is ours");
}

#[test]
fn a_pipe_in_a_files_place_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("t")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("t/a")).status();
    if !made.is_ok_and(|s| s.success()) {
        println!("skipped: no mkfifo here");
        return;
    }
    let s = open(dir.path(), spec(10, &[("a", 10)]));
    assert_eq!(s.write(PieceIndex(0), 0, &[1; 10]).unwrap_err().kind, ErrorKind::NotAFile);
    let block = BlockRef { piece: PieceIndex(0), begin: 0, len: 10 };
    assert_eq!(s.read(block, &mut [0; 10]).unwrap_err().kind, ErrorKind::NotAFile);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_path_of_any_components_leaves_the_root(
        path in prop::collection::vec(
            prop_oneof![
                2 => Just("..".to_owned()),
                2 => Just("out".to_owned()),
                2 => Just("in".to_owned()),
                1 => Just(String::new()),
                1 => Just("../x".to_owned()),
                1 => Just("/tmp/x".to_owned()),
                1 => "[./a\\\\-]{1,6}",
                1 => any::<String>(),
            ],
            1..6,
        ),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("in")).expect("makes it");
        symlink(dir.path(), root.join("out")).expect("makes it");
        let files = vec![FileSpec { path, len: 3, ..FileSpec::default() }];
        let spec = StorageSpec { layout: Layout::new(3, [3]).expect("a sound layout"), files };
        if let Ok(storage) = FileStorage::open(&root, spec, Options::default()) {
            let _ = storage.write(PieceIndex(0), 0, b"abc");
            let _ = storage.finish();
            let _ = storage.delete();
        }
        prop_assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
        prop_assert!(root.join("out").is_symlink());
    }
}
