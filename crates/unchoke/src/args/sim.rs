//! Options of `sim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use unchoke_sim::dht::Share;

/// Options of `sim`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SimArgs {
    /// Scenario to play, `all`, or `list`
    #[arg(required = true)]
    pub(crate) scenario: Option<String>,
    /// What fixes everything left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seeds to play, counted up from --seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) runs: u64,
    /// Peers, in scenarios that leave it open
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) peers: Option<u16>,
    /// A network instead of a scenario.
    #[command(subcommand)]
    pub(crate) network: Option<SimNetwork>,
}

/// Networks to simulate.
#[derive(Debug, Subcommand)]
pub(crate) enum SimNetwork {
    /// Measure lookups in a DHT of any size
    Dht(DhtSimArgs),
}

/// Options of `sim dht`.
#[derive(Debug, Args)]
pub(crate) struct DhtSimArgs {
    /// Live nodes
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(10..=20_000_000))]
    pub(crate) nodes: u32,
    /// Part of the nodes in tables that are gone
    #[arg(long, value_name = "SHARE", default_value = "0.2")]
    pub(crate) dead: Share,
    /// Lookups to measure
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) lookups: u32,
    /// What fixes everything left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Make every node and let all of them live, instead of those a lookup meets
    #[arg(long)]
    pub(crate) full: bool,
    /// Part of the datagrams lost, each way
    #[arg(long, value_name = "SHARE", default_value = "0.02")]
    pub(crate) loss: Share,
    /// Let each pair of nodes keep its round-trip time instead of drawing one for each exchange
    #[arg(long)]
    pub(crate) pair_rtt: bool,
    /// Part of the nodes that are of other makes: BEP 5 alone, twenty nodes a reply, read-only
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub(crate) foreign: Share,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
