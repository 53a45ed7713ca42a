//! Unwanted files: their bytes wait in the part file and come home when wanted.

use unchoke_storage::{ErrorKind, FileFact, PieceRead, ResumeRecord, Storage, check_facts};
use unchoke_wire::{Bitfield, InfoHashes, PieceIndex, WireHash};

use crate::support::{check, open_selected, piece, read_piece, spec, tree, write_all};

const PART: &str = ".t.unchoke-part";

/// Pieces of 10: a has 0–1, b 1–3, c 3–4, d 4.
fn files() -> Vec<(&'static str, u64)> {
    vec![("a", 15), ("b", 20), ("c", 10), ("d", 5)]
}

#[test]
fn bytes_of_unwanted_neighbours_wait_in_the_part_file() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, false]);
    for p in [0, 1, 3, 4] {
        s.write(PieceIndex(p), 0, &piece(s.spec(), p)).unwrap();
    }
    s.sync().unwrap();
    assert_eq!(tree(dir.path()), [PART, "t", "t/a", "t/c"]);
    for p in [0, 1, 3, 4] {
        assert_eq!(read_piece(&s, p), piece(s.spec(), p));
    }
    let (buf, found) = check(&s, 0..5);
    use PieceRead::{Data, Missing};
    assert_eq!(found, [Data, Data, Missing, Data, Data]);
    assert_eq!(buf[30..50], [piece(s.spec(), 3), piece(s.spec(), 4)].concat());
    // a restart finds them again
    drop(s);
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, false]);
    assert_eq!(read_piece(&s, 1), piece(s.spec(), 1));
    assert!(matches!(
        s.facts()[..],
        [
            FileFact::Present { len: 15, .. },
            FileFact::Present { .. },
            FileFact::Present { .. },
            FileFact::Present { .. }
        ]
    ));
}

#[test]
fn bytes_move_when_their_file_is_wanted_and_the_part_file_goes_when_empty() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, false]);
    for p in [0, 1, 3, 4] {
        s.write(PieceIndex(p), 0, &piece(s.spec(), p)).unwrap();
    }
    s.set_selection(&[true, false, true, true]).unwrap();
    assert_eq!(tree(dir.path()), [PART, "t", "t/a", "t/c", "t/d"]);
    s.set_selection(&[true; 4]).unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b", "t/c", "t/d"]);
    s.write(PieceIndex(2), 0, &piece(s.spec(), 2)).unwrap();
    for p in 0..5 {
        assert_eq!(read_piece(&s, p), piece(s.spec(), p));
    }
}

#[test]
fn a_file_wanted_since_the_last_run_gets_its_bytes_at_first_use() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, false, false]);
    s.write(PieceIndex(1), 0, &piece(s.spec(), 1)).unwrap();
    s.sync().unwrap();
    drop(s);
    let s = crate::support::open(dir.path(), spec(10, &files()));
    assert_eq!(read_piece(&s, 1), piece(s.spec(), 1));
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b"]);
}

#[test]
fn a_file_begun_before_it_was_deselected_goes_on_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true; 4]);
    s.write(PieceIndex(1), 0, &piece(s.spec(), 1)).unwrap();
    s.set_selection(&[false, true, true, true]).unwrap();
    s.write(PieceIndex(0), 0, &piece(s.spec(), 0)).unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b"]);
    assert_eq!(read_piece(&s, 0), piece(s.spec(), 0));
}

#[test]
fn a_piece_in_flight_of_a_file_just_deselected_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
    write_all(&s);
    s.sync().unwrap();
    drop(s);
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
    for p in 0..5 {
        assert_eq!(read_piece(&s, p), piece(s.spec(), p));
    }
}

//= H3d-3
#[test]
fn what_is_known_of_a_file_made_by_a_piece_in_flight_holds_at_the_next_start() {
    let (dir, selection) = (tempfile::tempdir().unwrap(), [true, false, true, true]);
    let s = open_selected(dir.path(), spec(10, &files()), &selection);
    // of b alone there is piece 2, which the part file has no place for
    for p in [1, 2, 3] {
        s.write(PieceIndex(p), 0, &piece(s.spec(), p)).unwrap();
    }
    let mut record = ResumeRecord::new(WireHash([1; 20]), InfoHashes::default());
    let mut have = Bitfield::none(5);
    for p in [1, 2, 3] {
        have.set(PieceIndex(p));
    }
    record.claim(have.clone(), &s).unwrap();
    drop(s);
    let s = open_selected(dir.path(), spec(10, &files()), &selection);
    let resume = check_facts(&record, &s);
    assert_eq!((resume.trusted, resume.doubtful.count()), (have, 0));
    for p in [1, 2, 3] {
        assert_eq!(read_piece(&s, p), piece(s.spec(), p));
    }
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b", "t/c"]);
}

#[test]
fn a_piece_that_comes_in_runs_moves_too() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[false, true, true, true]);
    let bytes = piece(s.spec(), 1);
    s.write(PieceIndex(1), 0, &bytes[..2]).unwrap();
    s.set_selection(&[true; 4]).unwrap();
    s.write(PieceIndex(1), 2, &bytes[2..]).unwrap();
    assert_eq!(read_piece(&s, 1), bytes);
}

#[test]
fn the_part_file_of_another_torrent_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    for foreign in [&b"not a part file at all, but longer than the table of one"[..], b"x"] {
        std::fs::write(dir.path().join(PART), foreign).unwrap();
        let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
        let error = s.write(PieceIndex(1), 0, &piece(s.spec(), 1)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PartFile);
        assert_eq!(std::fs::read(dir.path().join(PART)).unwrap(), foreign);
    }
}

#[test]
fn a_part_file_that_a_crash_left_blank_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    for blank in [0, 10, 10_000] {
        std::fs::write(dir.path().join(PART), vec![0; blank]).unwrap();
        let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
        s.write(PieceIndex(1), 0, &piece(s.spec(), 1)).unwrap();
        drop(s);
        let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
        assert_eq!(read_piece(&s, 1), piece(s.spec(), 1));
        s.delete().unwrap();
    }
}

#[test]
fn a_crash_between_move_and_clear_moves_the_same_bytes_again() {
    let dir = tempfile::tempdir().unwrap();
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
    s.write(PieceIndex(1), 0, &piece(s.spec(), 1)).unwrap();
    s.sync().unwrap();
    let part = std::fs::read(dir.path().join(PART)).unwrap();
    s.set_selection(&[true; 4]).unwrap();
    drop(s);
    std::fs::write(dir.path().join(PART), part).unwrap();
    // deselected again, but on the disk already
    let s = open_selected(dir.path(), spec(10, &files()), &[true, false, true, true]);
    assert_eq!(read_piece(&s, 1), piece(s.spec(), 1));
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b"]);
}
