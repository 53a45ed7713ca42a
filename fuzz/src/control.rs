//! Words of the command line and of the API that are more than a name or a number.

#[path = "../../crates/unchoke/src/api/address.rs"]
mod address;
#[path = "../../crates/unchoke/src/selection.rs"]
mod selection;

use address::ApiAddr;
use selection::{Pick, chosen, pick, pieces, ratio};
use std::sync::LazyLock;
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::metainfo::{FileEntry, Info, Metainfo};

static INFO: LazyLock<Info> = LazyLock::new(|| {
    let names = ["a", "b.txt", "deep/c.txt", "deep/er/\u{e9}"];
    let builder = MetainfoBuilder {
        name: "N".to_owned(),
        files: names
            .iter()
            .map(|n| BuildFile {
                path: n.split('/').map(str::to_owned).collect(),
                length: 1,
                ..BuildFile::default()
            })
            .collect(),
        is_multi_file: true,
        piece_len: 16_384,
        pieces: vec![[1; 20]],
        ..MetainfoBuilder::default()
    };
    Metainfo::parse(&builder.build().expect("it is sound")).expect("it is sound").info
});

/// A selection names files that are there, or is refused; an API is on this machine alone.
pub fn command_words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(pick) = pick(text)
        && let Ok(files) = chosen(std::slice::from_ref(&pick), &INFO)
    {
        assert_eq!(files.len(), INFO.files.len());
        match &pick {
            Pick::Ranges(ranges) => {
                let has = |n: usize| ranges.iter().any(|r| r.contains(&n));
                assert!(files.iter().enumerate().all(|(n, is_chosen)| *is_chosen == has(n)));
            }
            Pick::Glob(glob) => {
                assert!(files.contains(&true));
                let exact = |f: &FileEntry| f.path.last().is_some_and(|name| name == glob);
                assert!(INFO.files.iter().zip(&files).all(|(f, is_chosen)| *is_chosen || !exact(f)));
            }
        }
    }
    if let Ok(ranges) = pieces(text) {
        assert!(!ranges.is_empty() && ranges.iter().all(|r| r.start() <= r.end()));
    }
    assert!(ratio(text).is_ok_and(|r| r >= 0.0 && r.is_finite()) || ratio(text).is_err());
    match text.parse::<ApiAddr>() {
        Ok(addr @ ApiAddr::Tcp(socket)) => {
            assert!(socket.ip().to_canonical().is_loopback());
            assert_eq!(addr.to_string().parse(), Ok(addr));
        }
        Ok(addr @ ApiAddr::Unix(_)) => assert_eq!(addr.to_string().parse(), Ok(addr)),
        Err(why) => assert!(!why.is_empty()),
    }
}
