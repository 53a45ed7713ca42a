//! Files that something else changes while they are in use.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};

use unchoke_storage::{ErrorKind, FileFact, Storage};
use unchoke_wire::{BlockRef, FileIndex, PieceIndex};

use crate::support::{open, piece, read_piece, spec, write_all};

fn block(p: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(p), begin: 0, len: 10 }
}

/// What a read of a piece says, by each way there is.
fn says(storage: &dyn Storage, p: u32) -> Option<ErrorKind> {
    let mut buf = [0; 10];
    let now = storage.read_now(&[block(p)], &mut buf);
    let waited = storage.read(block(p), &mut buf).err().map(|e| e.kind);
    assert!(now == 0 || waited.is_none(), "bytes without waiting, and then {waited:?}");
    waited
}

/// Whatever somebody does to a file that is being seeded.
type Meddle = fn(&std::path::Path);

//= H3e-7
#[test]
fn no_byte_is_read_of_a_file_that_something_else_changed() {
    let ways: [(&str, Meddle); 6] = [
        ("cut short", |at| fs::File::options().write(true).open(at).unwrap().set_len(9).unwrap()),
        ("overwritten", |at| {
            fs::File::options().write(true).open(at).unwrap().write_all_at(b"x", 3).unwrap();
        }),
        ("removed", |at| fs::remove_file(at).unwrap()),
        ("replaced by another file", |at| {
            let other = at.with_file_name("other");
            fs::write(&other, [1; 10]).unwrap();
            fs::rename(other, at).unwrap();
        }),
        ("replaced by a folder", |at| {
            fs::remove_file(at).unwrap();
            fs::create_dir(at).unwrap();
        }),
        ("replaced by a link to the same bytes", |at| {
            let other = at.with_file_name("moved");
            fs::rename(at, &other).unwrap();
            symlink(other, at).unwrap();
        }),
    ];
    for (what, meddle) in ways {
        let dir = tempfile::tempdir().unwrap();
        let s = open(dir.path(), spec(10, &[("a", 10), ("b", 10)]));
        write_all(&s);
        s.sync().unwrap();
        let facts = s.facts();
        assert_eq!((says(&s, 0), says(&s, 1), s.changed()), (None, None, vec![]), "{what}");
        // the clock of a file system is coarse
        let at = dir.path().join("t/a");
        fs::File::open(&at).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        s.renew(&[FileIndex(0)]);
        meddle(&at);
        if what.contains("link") {
            // what is open is what it was; by its name it is another
            assert_eq!(s.changed(), [FileIndex(0)], "{what}");
            s.close_files();
        }
        assert!(says(&s, 0).is_some(), "{what}");
        assert!(says(&s, 0).is_some(), "{what}: and again");
        assert_eq!((says(&s, 1), s.changed()), (None, vec![FileIndex(0)]), "{what}");
        let now = s.facts();
        assert_eq!((now[1], now[0] == facts[0]), (facts[1], false), "{what}: {now:?}");
        assert!(!matches!(now[0], FileFact::Present { .. }), "{what}: not taken for ours without a check");
    }
}

//= H3e-7
#[test]
fn a_file_that_is_checked_anew_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let s = open(dir.path(), spec(10, &[("a", 10)]));
    write_all(&s);
    s.sync().unwrap();
    s.facts();
    fs::File::open(dir.path().join("t/a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(says(&s, 0), Some(ErrorKind::Changed));
    s.renew(&[FileIndex(0)]);
    assert_eq!((says(&s, 0), s.changed()), (None, vec![]));
    assert_eq!(read_piece(&s, 0), piece(s.spec(), 0));
}

#[test]
fn our_own_writes_are_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let s = open(dir.path(), spec(10, &[("a", 30)]));
    for p in 0..3 {
        s.write(PieceIndex(p), 0, &piece(s.spec(), p)).unwrap();
        assert_eq!(says(&s, p), None);
        s.sync().unwrap();
        assert!(matches!(s.facts()[0], FileFact::Present { .. }));
        assert_eq!((says(&s, p), s.changed()), (None, vec![]));
    }
}
