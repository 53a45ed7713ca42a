//! Options of `sim`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use unchoke_sim::FaultSet;
use unchoke_sim::dht::{Attack, Share};

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
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: u64,
    /// Runs at the same time [default: one a core]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Of `all` or `list`, those whose names begin so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) only: Option<String>,
    /// Of the faults a scenario plans, only these: numbers with commas between them, or `none`
    #[arg(long, value_name = "LIST")]
    pub(crate) faults: Option<FaultSet>,
    /// Draw the run to this file: who sent what to whom, when
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    pub(crate) svg: Option<PathBuf>,
    /// Draw from this second on
    #[arg(long, value_name = "S", requires = "svg", value_parser = seconds)]
    pub(crate) from: Option<Duration>,
    /// Draw up to this second
    #[arg(long, value_name = "S", requires = "svg", value_parser = seconds)]
    pub(crate) to: Option<Duration>,
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
#[command(after_help = SIM_DHT_HELP)]
pub(crate) struct DhtSimArgs {
    /// Live nodes [default: 100000; 1000 in a network that lives]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    pub(crate) nodes: Option<u32>,
    /// Part of the nodes in tables that are gone
    #[arg(long, value_name = "SHARE", default_value = "0.2")]
    pub(crate) dead: Share,
    /// Lookups to measure
    #[arg(long, value_name = "N", default_value_t = 3000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) lookups: u32,
    /// What fixes everything left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Make every node and keep all of them awake, instead of those a lookup meets
    #[arg(long, conflicts_with_all = ["hours", "churn", "start"])]
    pub(crate) full: bool,
    /// Let the network live for so long [default: 2, with --churn or --start]
    #[arg(long, value_name = "H", value_parser = hours)]
    pub(crate) hours: Option<Duration>,
    /// Let nodes come and go
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) churn: Option<ChurnArg>,
    /// How a network that lives begins [default: warm]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) start: Option<StartArg>,
    /// Part of the datagrams lost, each way
    #[arg(long, value_name = "SHARE", default_value = "0.02")]
    pub(crate) loss: Share,
    /// Median round-trip time in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rtt: u32,
    /// Let each pair of nodes keep its round-trip time instead of drawing one for each exchange
    #[arg(long)]
    pub(crate) pair_rtt: bool,
    /// Put NATs before four of ten nodes: by address, by port, and symmetric
    #[arg(long)]
    pub(crate) nat: bool,
    /// Part of the nodes that are of other makes: BEP 5 alone, twenty nodes a reply, read-only
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub(crate) foreign: Share,
    /// What attackers do: see below
    #[arg(long, value_name = "NAME")]
    pub(crate) attack: Option<Attack>,
    /// Part of the nodes that are attackers, where they are nodes like all others
    #[arg(long, value_name = "SHARE", default_value = "0.2", requires = "attack")]
    pub(crate) hostile: Share,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// How often nodes come and go.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ChurnArg {
    /// Half of the sessions are shorter than an hour
    Calm,
    /// Half an hour
    Medium,
    /// Ten minutes, with more very short ones
    Harsh,
}

/// How a network begins.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StartArg {
    /// In the middle of its life
    Warm,
    /// With one node of a hundred; the others join in waves of as many
    Waves,
    /// With nobody; all join within a minute by three routers
    Rush,
}

const SIM_DHT_HELP: &str = "\
A SHARE is a number from 0 to 0.99.

By default the network is a snapshot: tables are drawn as if all had lived for long, nodes exist once they are \
talked to, and only those that search are awake. --full makes all of them and keeps them awake. With --hours, \
--churn or --start the network lives: its nodes join, look after their tables and leave.

Attacks (in a snapshot, unless they say otherwise):
  eclipse         64 addresses in four /24s want each of 20 keys, with ids BEP 42 allows
  eclipse-any-id  the same with ids beside the key
  poison          attackers name each other only
  values          attackers name peers nobody announced
  liars           attackers invent nodes close to what is sought
  droppers        attackers answer pings and nothing else
  votes           attackers tell everybody a wrong address; for a network that lives
  id-changers     attackers have another id in each reply
  amplify         one attacker asks in the name of a victim
  bootstrap       who searches just started; 95 % of its saved nodes and all routers are dead";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds are a number".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "seconds are from 0 on".to_string())
}

fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| "hours are a number".to_string())?;
    if !(0.1..=1000.0).contains(&hours) {
        return Err("hours are from 0.1 to 1000".into());
    }
    Ok(Duration::from_secs_f64(hours * 3600.0))
}

#[cfg(test)]
mod tests {
    use crate::args::definition;

    fn refusal(args: &str) -> Option<String> {
        let words = ["unchoke", "sim"].into_iter().chain(args.split_whitespace());
        definition().try_get_matches_from(words).err().map(|error| error.to_string())
    }

    #[test]
    fn wrong_values_of_a_simulated_dht_are_refused_with_what_is_right() {
        for (args, hint) in [
            ("dht --dead 2", "a share is a number from 0 to 0.99"),
            ("dht --nodes 5", "100..=20000000"),
            ("dht --attack x", "attacks are eclipse, eclipse-any-id"),
            ("dht --hours 0", "hours are from 0.1 to 1000"),
            ("dht --churn odd", "calm, medium, harsh"),
            ("dht --full --churn calm", "cannot be used with"),
            ("swarm --runs 0", "1.."),
            ("swarm --faults 1,x", "faults are numbers below 64"),
            ("swarm --from 3", "--svg"),
            ("", "SCENARIO"),
        ] {
            let text = refusal(args).unwrap_or_default();
            assert!(text.contains(hint), "{args}: {text}");
        }
        for args in [
            "dht",
            "dht --nodes 1000 --dead 0.2 --seed 7 --json",
            "golden-b --seed 7",
            "list",
            "mix/net --faults 3,7 --svg x --to 9",
        ] {
            assert_eq!(refusal(args), None, "{args}");
        }
    }
}
