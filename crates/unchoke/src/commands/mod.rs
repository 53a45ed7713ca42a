//! The commands, one a file.

mod completions;
mod create;
mod demo;
mod dht;
mod follow;
mod get;
mod magnet;
mod man;
mod seed;
mod session;
mod show;
mod signals;
mod sim;
mod sim_all;
mod sim_dht;
mod transfer;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Command;
use crate::{daemon, remote};

pub(crate) use create::{tracker_tier, web_seed};
pub(crate) use dht::{public_key, salt_text, target};
pub(crate) use follow::Version;
pub(crate) use session::{everywhere, listen};
pub(crate) use signals::catch as catch_signals;
pub(crate) use transfer::{Phase, Tracked};

/// Runs the command.
///
/// # Errors
/// One line for the user; see [`crate::errors::report`].
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Get(args) => get::run(&args),
        Command::Seed(args) => seed::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Magnet(args) => magnet::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Dht(args) => dht::run(&args),
        Command::Daemon(args) => daemon::run(&args),
        Command::Add(args) => remote::add(&args),
        Command::Ls(args) => remote::ls(&args),
        Command::Info(args) => remote::info(&args),
        Command::Pause(args) => remote::pause(&args),
        Command::Resume(args) => remote::resume(&args),
        Command::Move(args) => remote::relocate(&args),
        Command::Recheck(args) => remote::recheck(&args),
        Command::Remove(args) => remote::remove(&args),
        Command::Stop(args) => remote::stop(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
