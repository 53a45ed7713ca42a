//! JSON forms of torrents, for `show --json` and the events.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use unchoke_wire::metainfo::{FileEntry, Metainfo};
use unchoke_wire::{InfoHash, InfoHashes, Magnet};

use crate::describe::hex;

/// The object that `show --json` prints for a `.torrent` file. A million files are written one by one.
#[derive(Serialize)]
pub(crate) struct Torrent<'m> {
    name: &'m str,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    total_size: u64,
    piece_length: u32,
    piece_count: u32,
    private: bool,
    comment: Option<&'m str>,
    created_by: Option<&'m str>,
    creation_date: Option<i64>,
    source: Option<&'m str>,
    #[serde(serialize_with = "files")]
    files: &'m [FileEntry],
    trackers: &'m [Vec<String>],
    web_seeds: &'m [String],
    nodes: Vec<String>,
}

impl<'m> Torrent<'m> {
    /// What there is to say of a torrent.
    pub(crate) fn of(m: &'m Metainfo) -> Self {
        let (info_hash_v1, info_hash_v2) = hashes(&m.info_hashes);
        Torrent {
            name: &m.info.name,
            info_hash_v1,
            info_hash_v2,
            total_size: m.info.layout.total_len(),
            piece_length: m.info.layout.piece_len(),
            piece_count: m.info.layout.piece_count(),
            private: m.info.private,
            comment: m.comment.as_deref(),
            created_by: m.created_by.as_deref(),
            creation_date: m.creation_date.map(|d| d.0),
            source: m.info.source.as_deref(),
            files: &m.info.files,
            trackers: &m.trackers,
            web_seeds: &m.web_seeds,
            nodes: m.nodes.iter().map(ToString::to_string).collect(),
        }
    }
}

fn files<S: Serializer>(files: &[FileEntry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(files.iter().map(file))
}

/// The same object for a magnet: what only the metadata tells is null, and `peers` are those it names.
pub(crate) fn magnet(m: &Magnet) -> Value {
    let (v1, v2) = hashes(&m.info_hashes);
    json!({
        "name": m.display_name,
        "info_hash_v1": v1,
        "info_hash_v2": v2,
        "total_size": m.length,
        "piece_length": null,
        "piece_count": null,
        "private": null,
        "comment": null,
        "created_by": null,
        "creation_date": null,
        "source": null,
        "files": [],
        "trackers": m.trackers.iter().map(|t| [t]).collect::<Vec<_>>(),
        "web_seeds": m.web_seeds,
        "nodes": m.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "peers": m.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "public_key": m.publisher.as_ref().map(|p| hex(&p.key)),
        "salt": m.publisher.as_ref().map(|p| hex(&p.salt)),
    })
}

/// Both info-hashes in hex, where there are.
pub(crate) fn hashes(hashes: &InfoHashes) -> (Option<String>, Option<String>) {
    (hashes.v1.map(|h| InfoHash::V1(h).to_string()), hashes.v2.map(|h| InfoHash::V2(h).to_string()))
}

fn file(f: &FileEntry) -> Value {
    let mut object = Map::new();
    object.insert("path".into(), f.display_path().into());
    object.insert("length".into(), f.length.into());
    let flags = [("pad", f.is_pad), ("executable", f.is_executable), ("hidden", f.is_hidden)];
    for (name, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
        object.insert(name.into(), true.into());
    }
    if let Some(target) = &f.symlink {
        object.insert("symlink".into(), target.join("/").into());
    }
    if let Some(root) = f.root {
        object.insert("root".into(), InfoHash::V2(root).to_string().into());
    }
    Value::Object(object)
}
