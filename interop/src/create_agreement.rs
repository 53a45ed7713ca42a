//! `unchoke create` of a folder of 1,000 files has the info-hash that other makers give it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::case::Case;
use crate::clients::Client;
use crate::fixtures::Payload;
use crate::lab::Lab;
use crate::netns::Host;
use crate::proc::{find_program, run};

/// One case for each other maker.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("create/libtorrent".into(), |lab| lab.libtorrent.missing(), agrees_with_libtorrent),
        Case::new(
            "create/mktorrent".into(),
            |_| find_program("mktorrent").is_none().then(|| "mktorrent".into()),
            agrees_with_mktorrent,
        ),
    ]
}

fn agrees_with_libtorrent(lab: &Lab, dir: &Path) -> Result<()> {
    let tree = tree(lab);
    let theirs = dir.join("theirs.torrent");
    let mut command = lab.libtorrent.script(&Host::loopback());
    command.arg("make").arg(tree.path()).arg(&theirs).arg(tree.piece_length.to_string());
    run(&mut command, Duration::from_secs(60))?;
    compare(lab, dir, &theirs)
}

fn agrees_with_mktorrent(lab: &Lab, dir: &Path) -> Result<()> {
    let tree = tree(lab);
    let theirs = dir.join("theirs.torrent");
    let mut command = Command::new("mktorrent");
    command.args(["-l", &tree.piece_length.ilog2().to_string(), "-a", "http://127.0.0.1/announce", "-o"]);
    command.arg(&theirs).arg(tree.path());
    run(&mut command, Duration::from_secs(60))?;
    compare(lab, dir, &theirs)
}

/// The 1,000 files in pieces of 32 KiB, the smallest mktorrent makes.
fn tree(lab: &Lab) -> Payload {
    Payload { piece_length: 32 << 10, ..lab.payloads.tree().clone() }
}

/// Both torrents are read by our `show`, which a case of its own holds against libtorrent.
fn compare(lab: &Lab, dir: &Path, theirs: &Path) -> Result<()> {
    let ours = dir.join("ours.torrent");
    lab.unchoke.create(&tree(lab), &ours, &[])?;
    let (our_hash, their_hash) = (lab.unchoke.info_hash(&ours)?, lab.unchoke.info_hash(theirs)?);
    if our_hash != their_hash {
        bail!("our info-hash is {our_hash}, theirs {their_hash}");
    }
    Ok(())
}
