//! The commands that talk to a daemon.

mod add;
mod client;
mod info;
mod list;
mod names;
mod table;

use std::process::ExitCode;

use anyhow::Result;

use crate::api::model::{Done, Move};
use crate::args::{AddArgs, InfoArgs, LsArgs, MoveArgs, NamesArgs, RemoveArgs, StopArgs};
use crate::errors::warn;
use crate::output::line;
use client::{Client, Content, Method};
use names::Named;

pub(crate) use client::connect;

/// `unchoke add`.
pub(crate) fn add(args: &AddArgs) -> Result<ExitCode> {
    add::run(&connect(&args.remote)?, args)
}

/// `unchoke ls`.
pub(crate) fn ls(args: &LsArgs) -> Result<ExitCode> {
    list::run(&connect(&args.remote)?, args)
}

/// `unchoke info`.
pub(crate) fn info(args: &InfoArgs) -> Result<ExitCode> {
    info::run(&connect(&args.remote)?, args)
}

/// `unchoke pause`.
pub(crate) fn pause(args: &NamesArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?;
    let pause = |t: &Named| client.send::<Done>(Method::POST, &format!("{}/pause", t.path()), None);
    each(&client, &args.torrents, args.all, "paused", args.json, pause)
}

/// `unchoke resume`.
pub(crate) fn resume(args: &NamesArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?;
    let resume = |t: &Named| client.send::<Done>(Method::POST, &format!("{}/resume", t.path()), None);
    each(&client, &args.torrents, args.all, "resumed", args.json, resume)
}

/// `unchoke move`: returns when the files are there.
pub(crate) fn relocate(args: &MoveArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?.patient();
    let body = serde_json::to_vec(&Move { dir: args.dir.clone() })?;
    let relocate = |t: &Named| {
        let content = Content { kind: "application/json", bytes: &body };
        client.send::<Done>(Method::POST, &format!("{}/move", t.path()), Some(content))
    };
    each(&client, std::slice::from_ref(&args.torrent), false, "moved", args.json, relocate)
}

/// `unchoke recheck`.
pub(crate) fn recheck(args: &NamesArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?;
    let recheck = |t: &Named| client.send::<Done>(Method::POST, &format!("{}/recheck", t.path()), None);
    each(&client, &args.torrents, args.all, "rechecking", args.json, recheck)
}

/// `unchoke remove`.
pub(crate) fn remove(args: &RemoveArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?;
    let query = if args.delete_data { "?delete_data=true" } else { "" };
    let remove = |t: &Named| client.send::<Done>(Method::DELETE, &format!("{}{query}", t.path()), None);
    each(&client, &args.torrents, false, "removed", args.json, remove)
}

/// `unchoke stop`: returns when the daemon is gone.
pub(crate) fn stop(args: &StopArgs) -> Result<ExitCode> {
    let client = connect(&args.remote)?;
    client.send::<Done>(Method::POST, "/api/v1/stop", None)?;
    client.wait_gone()?;
    Ok(ExitCode::SUCCESS)
}

/// Does something to each of the torrents named, and tells of each; goes on after one that failed.
fn each(
    client: &Client,
    names: &[String],
    all: bool,
    done: &str,
    json: bool,
    act: impl Fn(&Named) -> Result<Done>,
) -> Result<ExitCode> {
    let torrents = match all {
        true => names::all(client)?,
        false => names::find(client, names)?,
    };
    let mut code = ExitCode::SUCCESS;
    for torrent in &torrents {
        match act(torrent) {
            Ok(_) if json => line(serde_json::json!({ "hash": torrent.hash, "done": done }))?,
            Ok(_) => line(format_args!("{done} {}", torrent.shown()))?,
            Err(error) => {
                warn(format_args!("{}: {error:#}", torrent.shown()));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
