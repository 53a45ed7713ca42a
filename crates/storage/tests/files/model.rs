//! Files behave like memory, whatever the layout and the selection.

use proptest::prelude::*;
use unchoke_storage::{
    FilePool, FileSpec, FileStorage, MemoryStorage, Options, PieceRead, Storage, StorageSpec,
};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

use crate::support::check;

#[derive(Clone, Debug)]
enum Op {
    Write { piece: u32, from: u32, len: u32, seed: u8 },
    Read { piece: u32, from: u32, len: u32 },
    Select(u16),
    Sync,
    Reopen,
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u32>(), any::<u8>()).prop_map(|(piece, seed)| Op::Write { piece, from: 0, len: u32::MAX, seed }),
        1 => (any::<u32>(), 0u32..40, 1u32..40, any::<u8>()).prop_map(|(piece, from, len, seed)| Op::Write { piece, from, len, seed }),
        4 => (any::<u32>(), 0u32..40, 1u32..40).prop_map(|(piece, from, len)| Op::Read { piece, from, len }),
        2 => any::<u16>().prop_map(Op::Select),
        1 => Just(Op::Sync),
        1 => Just(Op::Reopen),
    ]
}

fn spec(piece_len: u32, files: &[(u64, bool)]) -> StorageSpec {
    let named = files.iter().enumerate().map(|(i, (len, is_pad))| FileSpec {
        path: vec!["t".to_owned(), format!("d{}", i % 3), format!("f{i}")],
        len: *len,
        is_pad: *is_pad && i > 0,
        ..FileSpec::default()
    });
    let layout = Layout::new(piece_len, files.iter().map(|f| f.0)).expect("a sound layout");
    StorageSpec { layout, files: named.collect() }
}

/// A stretch of the torrent out of any three numbers.
fn stretch(layout: &Layout, piece: u32, from: u32, len: u32) -> BlockRef {
    let piece = PieceIndex(piece % layout.piece_count());
    let begin = from % layout.len_of(piece);
    BlockRef { piece, begin, len: len.min(layout.len_of(piece) - begin) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn files_equal_memory(
        piece_len in 1u32..40,
        files in prop::collection::vec((0u64..50, prop::bool::weighted(0.2)), 1..9),
        ops in prop::collection::vec(ops(), 1..60),
    ) {
        prop_assume!(files.iter().map(|f| f.0).sum::<u64>() > 0);
        let dir = tempfile::tempdir().expect("a folder");
        let spec = spec(piece_len, &files);
        let layout = spec.layout.clone();
        let memory = MemoryStorage::new(spec.clone()).expect("safe names");
        let mut selection = vec![true; spec.files.len()];
        let open = |selection: &[bool]| {
            let options = Options { selection: Some(selection.to_vec()), pool: FilePool::new(2), ..Options::default() };
            FileStorage::open(dir.path(), spec.clone(), options).expect("safe names")
        };
        let mut disk = open(&selection);
        // which bytes of each piece were written: others may be missing on disk
        let mut written: Vec<Vec<bool>> = layout.pieces().map(|p| vec![false; layout.len_of(p) as usize]).collect();
        for op in ops {
            match op {
                Op::Write { piece, from, len, seed } => {
                    let r = stretch(&layout, piece, from, len);
                    let data: Vec<u8> = (0..=255).cycle().take(r.len as usize).map(|i| seed.wrapping_add(i) | 1).collect();
                    disk.write(r.piece, r.begin, &data).expect("writes");
                    memory.write(r.piece, r.begin, &data).expect("writes");
                    written[r.piece.0 as usize][r.begin as usize..][..r.len as usize].fill(true);
                }
                Op::Read { piece, from, len } => {
                    let r = stretch(&layout, piece, from, len);
                    if written[r.piece.0 as usize][r.begin as usize..][..r.len as usize].iter().all(|w| *w) {
                        let (mut a, mut b) = (vec![3; r.len as usize], vec![4; r.len as usize]);
                        disk.read(r, &mut a).expect("reads");
                        memory.read(r, &mut b).expect("reads");
                        prop_assert_eq!(a, b);
                    }
                }
                Op::Select(bits) => {
                    selection = (0..spec.files.len()).map(|i| bits & (1 << i) != 0).collect();
                    disk.set_selection(&selection).expect("selects");
                }
                Op::Sync => disk.sync().expect("syncs"),
                Op::Reopen => {
                    drop(disk);
                    disk = open(&selection);
                }
            }
        }
        let (a, found) = check(&disk, 0..layout.piece_count());
        let (b, _) = check(&memory, 0..layout.piece_count());
        for (piece, written) in layout.pieces().zip(&written) {
            let start = usize::try_from(layout.start_of(piece)).expect("in memory");
            let range = start..start + written.len();
            if written.iter().all(|w| *w) {
                prop_assert_ne!(found[piece.0 as usize], PieceRead::Missing);
                prop_assert_eq!(&a[range.clone()], &b[range]);
            }
        }
        disk.delete().expect("deletes");
        prop_assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
