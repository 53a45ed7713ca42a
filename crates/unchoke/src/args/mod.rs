//! The command line: one definition, from which help, manual pages and completions are made.

mod daemon;
mod dht;
mod sim;
mod transfer;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use unchoke_wire::HostPort;

use crate::selection::{self, Pick, PieceList};
use crate::{commands, units};

pub(crate) use daemon::{
    AddArgs, DaemonArgs, InfoArgs, LsArgs, MoveArgs, NamesArgs, RemoteArgs, RemoveArgs, StopArgs,
};
pub(crate) use dht::{
    AnnounceArgs, DhtArgs, DhtCommand, DhtNetArgs, FindNodeArgs, GetItemArgs, GetPeersArgs, LookupArgs,
    NodeArgs, PingArgs, PutArgs, SampleArgs,
};
pub(crate) use sim::{ChurnArg, DhtSimArgs, SimArgs, SimNetwork, StartArg};
pub(crate) use transfer::{Encryption, GetArgs, NetArgs, SeedArgs, Transport};

/// A BitTorrent client: downloads, seeds, makes and checks torrents.
#[derive(Debug, Parser)]
#[command(name = "unchoke", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 wrong command line, 130 interrupted.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download torrents
    Get(GetArgs),
    /// Check files and seed them
    Seed(SeedArgs),
    /// Make a .torrent file of a file or a folder
    Create(CreateArgs),
    /// Show what a torrent is
    Show(ShowArgs),
    /// Print the magnet link of a .torrent file
    Magnet(MagnetArgs),
    /// Check files against their torrent
    Verify(VerifyArgs),
    /// Ask the DHT, store in it, or run a node of it
    Dht(DhtArgs),
    /// Run torrents as a service, with an API
    Daemon(DaemonArgs),
    /// Add torrents to the daemon
    Add(AddArgs),
    /// List the daemon's torrents
    Ls(LsArgs),
    /// Show all about torrents of the daemon
    Info(InfoArgs),
    /// Let torrents of the daemon rest
    Pause(NamesArgs),
    /// Let torrents of the daemon go on
    Resume(NamesArgs),
    /// Move the files of a torrent of the daemon to another folder
    Move(MoveArgs),
    /// Check the files of torrents of the daemon
    Recheck(NamesArgs),
    /// Remove torrents from the daemon
    Remove(RemoveArgs),
    /// End the daemon
    Stop(StopArgs),
    /// Play a trackerless swarm of three on this machine, told step by step
    Demo(DemoArgs),
    /// Play a swarm in virtual time; the same seed gives the same run
    Sim(SimArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print or write manual pages
    Man(ManArgs),
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Show every message
    #[arg(long)]
    pub(crate) trace: bool,
    /// Print one JSON object for every message
    #[arg(long, conflicts_with = "trace")]
    pub(crate) json: bool,
}

/// Options of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// File or folder to make a torrent of
    pub(crate) path: PathBuf,
    /// Where to write the torrent [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the torrent file if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Bytes of a piece, a power of two such as 256KiB or 1M [default: for about 1500 pieces]
    #[arg(short = 'l', long, value_name = "SIZE", value_parser = units::piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// Tracker; each is asked after the one before it failed, those with commas between them in any order
    #[arg(short, long = "tracker", value_name = "URL", value_parser = commands::tracker_tier)]
    pub(crate) trackers: Vec<Vec<String>>,
    /// DHT node to begin with
    #[arg(long = "node", value_name = "HOST:PORT")]
    pub(crate) nodes: Vec<HostPort>,
    /// URL the payload can be downloaded from
    #[arg(short, long = "web-seed", value_name = "URL", value_parser = commands::web_seed)]
    pub(crate) web_seeds: Vec<String>,
    /// Share with peers of its trackers only
    #[arg(short, long)]
    pub(crate) private: bool,
    /// Text that makes the info-hash another one, as some trackers want it
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// Text shown to people
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Leave out when it was made
    #[arg(long)]
    pub(crate) no_date: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// .torrent file, magnet link, URL of a .torrent file, or info-hash
    pub(crate) source: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `magnet`.
#[derive(Debug, Args)]
pub(crate) struct MagnetArgs {
    /// .torrent file
    pub(crate) torrent: PathBuf,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// .torrent file
    pub(crate) torrent: PathBuf,
    /// Folder the files lie in: the data is at DIR/NAME
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Files to check, by their place from 0 such as 0,2,4-6, or by name such as '*.iso'; may be repeated
    #[arg(long = "file", value_name = "LIST|GLOB", value_parser = selection::pick)]
    pub(crate) files: Vec<Pick>,
    /// Pieces to check, by their place from 0 such as 7 or 0,10-19; may be repeated
    #[arg(long = "piece", value_name = "N|A-B", value_parser = selection::pieces)]
    pub(crate) pieces: Vec<PieceList>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Command whose page to print; that of unchoke itself by default
    pub(crate) command: Option<String>,
    /// Write all pages to this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

/// Reads the command line.
///
/// # Errors
/// What clap says, for [`crate::errors::report`]; asking for help is among it.
pub(crate) fn parse() -> Result<Cli> {
    Ok(Cli::try_parse()?)
}

/// The whole definition.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        definition().debug_assert();
    }

    #[test]
    fn every_option_and_command_says_what_it_is_for() {
        let mut commands: Vec<clap::Command> = definition().get_subcommands().cloned().collect();
        while let Some(command) = commands.pop() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} of {}", arg.get_id(), command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
