//! `unchoke show --json` agrees with libtorrent on generated torrents, odd ones among them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::case::Case;
use crate::clients::Client;
use crate::lab::Lab;
use crate::metainfo_samples::samples;
use crate::netns::Host;
use crate::proc::run;

/// The one case.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("show/libtorrent".into(), |lab| lab.libtorrent.missing(), agrees_with_libtorrent)]
}

fn agrees_with_libtorrent(lab: &Lab, dir: &Path) -> Result<()> {
    let torrents = write_samples(dir)?;
    let mut command = lab.libtorrent.script(&Host::loopback());
    command.arg("read").args(&torrents);
    let answers = run(&mut command, Duration::from_secs(60))?;
    let mut differences = Vec::new();
    for (torrent, line) in torrents.iter().zip(answers.lines()) {
        let theirs: Value =
            serde_json::from_str(line).with_context(|| format!("libtorrent answered {line:?}"))?;
        let difference = match (theirs["error"].as_str(), lab.unchoke.show(torrent)) {
            (Some(theirs), Ok(_)) => Some(format!("libtorrent refuses it ({theirs}), we do not")),
            (Some(_), Err(_)) => None,
            (None, Err(ours)) => Some(format!("we refuse it: {ours:#}")),
            (None, Ok(ours)) => difference(&ours, &theirs),
        };
        if let Some(difference) = difference {
            differences.push(format!("{}: {difference}", torrent.file_name().unwrap_or_default().display()));
        }
    }
    if answers.lines().count() != SAMPLES {
        bail!("libtorrent answered for {} of {SAMPLES} torrents", answers.lines().count());
    }
    if !differences.is_empty() {
        let shown = differences[..differences.len().min(10)].join("\n    ");
        bail!("{} of {SAMPLES} torrents (seed {SEED}) differ:\n    {shown}", differences.len());
    }
    Ok(())
}

fn write_samples(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (index, torrent) in samples(SEED, SAMPLES).iter().enumerate() {
        let path = dir.join(format!("{index:03}.torrent"));
        fs::write(&path, torrent)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The first field in which the two differ.
fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    for field in FIELDS {
        let (our, their) = (normal(&ours[*field]), normal(&theirs[*field]));
        if our != their {
            return Some(format!("{field}: ours {our}, theirs {their}"));
        }
    }
    let (our_files, their_files) = (files(ours), files(theirs));
    if our_files.len() != their_files.len() {
        return Some(format!("we list {} files, they {}", our_files.len(), their_files.len()));
    }
    let mut pairs = our_files.iter().zip(&their_files).enumerate();
    pairs
        .find(|(_, (our, their))| our != their)
        .map(|(i, (our, their))| format!("file {i}: ours {our}, theirs {their}"))
}

/// Nothing said is one thing, however it is written: null, an empty text, an empty list, no date.
fn normal(value: &Value) -> Value {
    let is_nothing = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) | Value::Object(_) => false,
    };
    if is_nothing { Value::Null } else { value.clone() }
}

/// The files, reduced to what both sides say about one.
fn files(torrent: &Value) -> Vec<Value> {
    let list = torrent["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_set = |file: &Value, flag: &str| file[flag] == true;
    list.iter()
        .map(|file| {
            json!({
                "path": file["path"], "length": file["length"], "pad": is_set(file, "pad"),
                "executable": is_set(file, "executable"), "hidden": is_set(file, "hidden"),
            })
        })
        .collect()
}

const SAMPLES: usize = 200;
const SEED: u64 = 1;
const FIELDS: &[&str] = &[
    "name",
    "info_hash_v1",
    "total_size",
    "piece_length",
    "piece_count",
    "private",
    "comment",
    "created_by",
    "creation_date",
    "trackers",
    "web_seeds",
    "nodes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_are_the_same() {
        let ours = json!({"comment": null, "creation_date": null, "files": [{"path": "a", "length": 1}]});
        let theirs = json!({"comment": "", "creation_date": 0, "nodes": [],
            "files": [{"path": "a", "length": 1, "pad": false}]});
        assert_eq!(difference(&ours, &theirs), None);
    }

    #[test]
    fn the_first_difference_is_named() {
        let ours = json!({"name": "a", "files": [{"path": "a", "length": 1}]});
        assert_eq!(difference(&ours, &json!({"name": "b"})).unwrap(), "name: ours \"a\", theirs \"b\"");
        let theirs = json!({"name": "a", "files": [{"path": "a", "length": 2}]});
        assert!(difference(&ours, &theirs).unwrap().starts_with("file 0: "));
    }
}
