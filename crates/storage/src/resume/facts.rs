//! Which pieces a record may still claim, judged by what the disk says about their files.

use unchoke_wire::{Bitfield, FileIndex, PieceIndex};

use super::ResumeRecord;
use crate::spec::at;
use crate::storage::{FileFact, Storage};

/// What of a record still holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Pieces that are there: the record claims them, and each of their files is as it was.
    pub trusted: Bitfield,
    /// Pieces to check: a file of theirs is not as it was, and none is missing.
    pub doubtful: Bitfield,
    /// Whether the record claims pieces and every file that was there is gone: most likely its disk is not mounted.
    /// Nothing should be created then.
    pub is_storage_missing: bool,
}

/// Compares the facts of `record` with those of the disk. A file that changed makes only its own pieces doubtful; a
/// missing file takes its pieces away.
///
/// A record over another number of pieces or files, as one without metadata, claims nothing: all pieces of files that
/// are there are doubtful.
pub fn check_facts(record: &ResumeRecord, storage: &dyn Storage) -> Resume {
    let spec = storage.spec();
    let layout = &spec.layout;
    let pieces = layout.piece_count();
    let fits = record.have.len() == pieces && record.facts.len() == spec.files.len();
    let mut trusted = if fits { record.have.clone() } else { Bitfield::none(pieces) };
    let mut doubtful = Bitfield::none(pieces);
    let mut missing = Bitfield::none(pieces);
    let facts = storage.facts();
    assert_eq!(facts.len(), spec.files.len(), "one fact a file");
    let mut was_there = false;
    let mut is_there = false;
    for file in (0u32..).map(FileIndex).take(facts.len()).filter(|f| spec.file(*f).is_stored()) {
        let then = record.facts.get(at(file)).copied().filter(|_| fits).unwrap_or(FileFact::Doubtful);
        let now = facts[at(file)];
        was_there |= then != FileFact::Missing;
        is_there |= now != FileFact::Missing;
        let target = match now {
            FileFact::Missing => &mut missing,
            FileFact::Present { .. } if now == then => continue,
            _ => &mut doubtful,
        };
        for piece in layout.pieces_of(file).map(PieceIndex) {
            target.set(piece);
        }
    }
    for piece in doubtful.iter().chain(missing.iter()) {
        trusted.clear(piece);
    }
    for piece in missing.iter() {
        doubtful.clear(piece);
    }
    let is_storage_missing = fits && record.have.count() > 0 && was_there && !is_there;
    Resume { trusted, doubtful, is_storage_missing }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::sample;
    use super::*;
    use crate::file_storage::{FileStorage, Options};
    use crate::spec::{FileSpec, StorageSpec};
    use unchoke_wire::Layout;

    /// Pieces of 10 bytes; files a (25), b (10), c (15): 5 pieces, of which a has 0–2, b 2–3, c 3–4.
    fn complete(dir: &std::path::Path) -> (FileStorage, ResumeRecord) {
        let files: Vec<FileSpec> = [("a", 25), ("b", 10), ("c", 15)]
            .map(|(name, len)| FileSpec {
                path: vec!["t".to_owned(), name.to_owned()],
                len,
                ..FileSpec::default()
            })
            .into();
        let layout = Layout::new(10, files.iter().map(|f| f.len)).unwrap();
        let storage = FileStorage::open(dir, StorageSpec { layout, files }, Options::default()).unwrap();
        for piece in 0..5 {
            storage.write(PieceIndex(piece), 0, &[1; 10]).unwrap();
        }
        storage.sync().unwrap();
        let record = ResumeRecord { have: Bitfield::all(5), facts: storage.facts(), ..sample() };
        (storage, record)
    }

    fn pieces(b: &Bitfield) -> Vec<u32> {
        b.iter().map(|p| p.0).collect()
    }

    #[test]
    fn unchanged_files_are_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, record) = complete(dir.path());
        let resume = check_facts(&record, &storage);
        assert!(resume.trusted.is_all() && resume.doubtful.count() == 0 && !resume.is_storage_missing);
    }

    //= H3c-66
    #[test]
    fn a_changed_file_makes_only_its_own_pieces_doubtful() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, record) = complete(dir.path());
        let b = dir.path().join("t/b");
        // replaced by a file of the same length
        std::fs::write(dir.path().join("other"), [2; 10]).unwrap();
        std::fs::rename(dir.path().join("other"), &b).unwrap();
        let resume = check_facts(&record, &storage);
        assert_eq!((pieces(&resume.trusted), pieces(&resume.doubtful)), (vec![0, 1, 4], vec![2, 3]));
        // cut short
        std::fs::write(&b, [2; 4]).unwrap();
        assert_eq!(pieces(&check_facts(&record, &storage).doubtful), [2, 3]);
        // gone
        std::fs::remove_file(&b).unwrap();
        let resume = check_facts(&record, &storage);
        assert_eq!((pieces(&resume.trusted), pieces(&resume.doubtful)), (vec![0, 1, 4], vec![]));
        assert!(!resume.is_storage_missing);
        // a link to the very same bytes is not the file
        std::fs::write(dir.path().join("elsewhere"), [1; 10]).unwrap();
        std::os::unix::fs::symlink("../elsewhere", &b).unwrap();
        assert_eq!(pieces(&check_facts(&record, &storage).doubtful), [2, 3]);
    }

    //= H3c-66
    #[test]
    fn all_files_gone_means_the_storage_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, record) = complete(dir.path());
        std::fs::rename(dir.path().join("t"), dir.path().join("unmounted")).unwrap();
        let resume = check_facts(&record, &storage);
        assert!(resume.is_storage_missing);
        assert_eq!((resume.trusted.count(), resume.doubtful.count()), (0, 0));
    }

    #[test]
    fn pieces_written_after_the_record_are_found_by_a_check() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, record) = complete(dir.path());
        let mut have = Bitfield::none(5);
        have.set(PieceIndex(4));
        let facts = vec![FileFact::Missing, FileFact::Missing, record.facts[2]];
        let resume = check_facts(&ResumeRecord { have, facts, ..record.clone() }, &storage);
        assert_eq!((pieces(&resume.trusted), pieces(&resume.doubtful)), (vec![4], vec![0, 1, 2, 3]));
        let alien = ResumeRecord { have: Bitfield::all(4), ..record };
        assert_eq!(pieces(&check_facts(&alien, &storage).doubtful), [0, 1, 2, 3, 4]);
    }
}
