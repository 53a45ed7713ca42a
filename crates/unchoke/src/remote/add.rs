//! `unchoke add`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::client::{Client, Content, Method};
use crate::api::model::{Add, Added};
use crate::args::AddArgs;
use crate::errors::{one_line, warn};
use crate::output::line;
use crate::source;

pub(super) fn run(client: &Client, args: &AddArgs) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for source in &args.sources {
        match add(client, args, source) {
            Ok(added) if args.json => line(serde_json::to_string(&added)?)?,
            Ok(Added { hash, name }) => match name {
                Some(name) => line(format_args!("added {} ({hash})", one_line(&name)))?,
                None => line(format_args!("added {hash}"))?,
            },
            // what is wrong with the daemon is wrong for all of them
            Err(error) if args.sources.len() == 1 => return Err(error),
            Err(error) => {
                warn(format_args!("{error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn add(client: &Client, args: &AddArgs, text: &str) -> Result<Added> {
    let peers: Vec<String> = args.peers.iter().map(ToString::to_string).collect();
    let mut add = Add {
        source: None,
        dir: args.dir.clone(),
        select: args.select.clone(),
        peers: (!peers.is_empty()).then(|| peers.join(",")),
        paused: args.paused,
        sequential: args.sequential,
        super_seeding: args.super_seed,
    };
    let sent = if source::is_remote(text) {
        add.source = Some(text.to_owned());
        let body = serde_json::to_vec(&add)?;
        let content = Content { kind: "application/json", bytes: &body };
        client.send(Method::POST, "/api/v1/torrents", Some(content))
    } else {
        let bytes = source::file(Path::new(text))?;
        let content = Content { kind: "application/x-bittorrent", bytes: &bytes };
        client.send(Method::POST, &format!("/api/v1/torrents?{}", query(&add)?), Some(content))
    };
    sent.with_context(|| format!("cannot add {}", source::shortened(text)))
}

/// The options beside the bytes of a torrent.
fn query(add: &Add) -> Result<String> {
    serde_urlencoded::to_string(add).context("cannot make a request")
}
