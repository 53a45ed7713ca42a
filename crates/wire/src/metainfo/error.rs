//! Why a `.torrent` file or an info dictionary is refused, in words for its user.

use crate::bencode;
use crate::layout::LayoutError;
use crate::limits;

/// Why a `.torrent` file or an info dictionary is refused. Files are counted from zero.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// The input ends inside a value.
    #[error("the file is cut off: it ends inside a value at byte {0}")]
    Eof(usize),
    /// Not bencode.
    #[error("not a torrent file: no bencode at byte {0}")]
    NotBencode(usize),
    /// The outermost value is no dictionary.
    #[error("not a torrent file: its outermost value is no dictionary")]
    NotDict,
    /// Nested deeper than [`limits::BENCODE_DEPTH_MAX`].
    #[error("nested deeper than {max} levels at byte {0}", max = limits::BENCODE_DEPTH_MAX)]
    Depth(usize),
    /// More values than [`limits::BENCODE_TOKENS_MAX`].
    #[error("more than {max} values at byte {0}", max = limits::BENCODE_TOKENS_MAX)]
    Tokens(usize),
    /// More bytes than [`limits::METAINFO_LEN_MAX`].
    #[error("{0} bytes, {max} are the most", max = limits::METAINFO_LEN_MAX)]
    TooLarge(usize),
    /// A malformed number.
    #[error("malformed number at byte {0}")]
    Number(usize),
    /// A dictionary key that is not a string.
    #[error("dictionary key is not a string at byte {0}")]
    Key(usize),
    /// A key twice in one dictionary.
    #[error("duplicate dictionary key at byte {0}")]
    DuplicateKey(usize),
    /// No `info` dictionary.
    #[error("info: missing, or not a dictionary")]
    MissingInfo,
    /// No `name` string.
    #[error("name: missing, or not a string")]
    MissingName,
    /// Missing, out of range, or not what the version asks for.
    #[error("piece length: {}", piece_length_text(*.0))]
    PieceLength(Option<i64>),
    /// The hashes are missing, cut, too few or too many.
    #[error("pieces: {}", pieces_text(*.due, *.bytes))]
    Pieces {
        /// Hashes due.
        due: u32,
        /// Bytes of the string, if it is one.
        bytes: Option<usize>,
    },
    /// More than [`limits::PIECES_MAX`] pieces.
    #[error("{0} pieces, {max} are the most", max = limits::PIECES_MAX)]
    TooManyPieces(u64),
    /// The length of a file, or of all together where `file` is `None`, is missing or out of range.
    #[error("{}", length_text(*.file, *.got))]
    Length {
        /// The file.
        file: Option<usize>,
        /// The number found, if there is one.
        got: Option<i64>,
    },
    /// Both `length` and `files`.
    #[error("both length and files: one file or many?")]
    Ambiguous,
    /// Neither `length` nor a list of files with something in it.
    #[error("files: none, or not a list of dictionaries")]
    NoFiles,
    /// A path that is missing, empty or not a list of strings.
    #[error("path of file {0}: missing, empty, or not a list of strings")]
    Path(usize),
    /// A path of more than [`limits::PATH_DEPTH_MAX`] elements.
    #[error("path of file {0}: deeper than {max} levels", max = limits::PATH_DEPTH_MAX)]
    PathDepth(usize),
    /// A path of more than [`limits::PATH_LEN_MAX`] bytes.
    #[error("path of file {0}: longer than {max} bytes", max = limits::PATH_LEN_MAX)]
    PathLength(usize),
    /// More than [`limits::FILES_MAX`] files.
    #[error("{0} files, {max} are the most", max = limits::FILES_MAX)]
    TooManyFiles(usize),
    /// No free names were found for files of the same name.
    #[error("too many files of the same name, the last being file {0}")]
    DuplicateNames(usize),
    /// A `meta version` that is neither 1 nor 2, or a file tree without version 2.
    #[error("meta version: {}, where 1 and 2 are known", .0.map_or("not a number".into(), |v| v.to_string()))]
    Version(Option<i64>),
    /// The v2 file tree is missing or malformed.
    #[error("file tree: missing, unsorted or malformed")]
    FileTree,
    /// A v2 file without the root of its hash tree.
    #[error("pieces root of file {0}: missing, zero, or not 32 bytes")]
    PiecesRoot(usize),
    /// A v2 piece layer that is malformed, belongs to no file, or does not hash to its root.
    #[error("piece layers: one is malformed, belongs to no file, or does not match its root")]
    PieceLayer,
    /// The v1 and the v2 half of a hybrid describe different files.
    #[error("hybrid torrent: its v1 and v2 parts describe different files")]
    Inconsistent,
}

impl MetainfoError {
    /// The error for bytes that are no bencode, told as their author would see it.
    pub(super) fn of(e: bencode::Error, bytes: &[u8]) -> Self {
        match e {
            bencode::Error::Eof(at) => MetainfoError::Eof(at),
            // a string's length below zero
            bencode::Error::NotBencode(at) if bytes.get(at) == Some(&b'-') => MetainfoError::Number(at),
            bencode::Error::NotBencode(at) | bencode::Error::Trailing(at) => MetainfoError::NotBencode(at),
            bencode::Error::Number(at) => MetainfoError::Number(at),
            bencode::Error::Key(at) => MetainfoError::Key(at),
            bencode::Error::DuplicateKey(at) => MetainfoError::DuplicateKey(at),
            bencode::Error::Depth(at) => MetainfoError::Depth(at),
            bencode::Error::Tokens(at) => MetainfoError::Tokens(at),
        }
    }
}

impl From<LayoutError> for MetainfoError {
    fn from(e: LayoutError) -> Self {
        match e {
            LayoutError::PieceLength(n) => MetainfoError::PieceLength(Some(i64::from(n))),
            LayoutError::TotalLength(n) => MetainfoError::Length { file: None, got: i64::try_from(n).ok() },
            LayoutError::PieceCount(n) => MetainfoError::TooManyPieces(n),
        }
    }
}

fn piece_length_text(got: Option<i64>) -> String {
    let wanted = format!("1 to {} (v2: a power of two from 16384)", limits::PIECE_LEN_MAX);
    match got {
        Some(n) => format!("{n} where {wanted} is due"),
        None => format!("missing, or not a number; {wanted} is due"),
    }
}

fn pieces_text(due: u32, bytes: Option<usize>) -> String {
    match bytes {
        None => "missing, or not a string".to_owned(),
        Some(n) if n % 20 != 0 => format!("{n} bytes are no row of 20-byte hashes"),
        Some(n) => format!("{} hashes where {due} are due", n / 20),
    }
}

fn length_text(file: Option<usize>, got: Option<i64>) -> String {
    let got = got.map_or("missing, or not in range".to_owned(), |n| n.to_string());
    match file {
        Some(i) => format!("length of file {i}: {got}, where 0 to {} is due", limits::FILE_LEN_MAX),
        None => format!("total size: {got}, where 1 to {} is due", limits::TORRENT_LEN_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_speak_in_one_line_of_the_users_words() {
        let pieces = |due, bytes| MetainfoError::Pieces { due, bytes }.to_string();
        assert_eq!(pieces(4, Some(60)), "pieces: 3 hashes where 4 are due");
        assert_eq!(pieces(4, Some(61)), "pieces: 61 bytes are no row of 20-byte hashes");
        assert_eq!(pieces(4, None), "pieces: missing, or not a string");
        let length = MetainfoError::Length { file: Some(2), got: Some(-1) }.to_string();
        assert_eq!(length, "length of file 2: -1, where 0 to 17592186028031 is due");
        assert_eq!(
            MetainfoError::from(LayoutError::TotalLength(u64::MAX)).to_string(),
            "total size: missing, or not in range, where 1 to 281474976710656 is due"
        );
        assert_eq!(MetainfoError::Version(Some(3)).to_string(), "meta version: 3, where 1 and 2 are known");
    }
}
