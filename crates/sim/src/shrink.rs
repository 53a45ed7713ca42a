//! Shortens a run that fails: fewer faults of its plan, fewer peers, as long as it still fails the same way.

use crate::fault::{FaultPlan, FaultSet};
use crate::scenarios::{Failure, Report, Scenario, Setup};
use crate::watch::watch;

/// Runs that one shortening may take.
const RUNS_MAX: usize = 200;
/// Fewer peers than this are not tried: no scenario makes sense without two.
const PEERS_MIN: usize = 2;

/// A run that fails and cannot be made shorter.
#[derive(Clone, Debug)]
pub struct Shortest {
    /// It, with the command that shows it again.
    pub failure: Failure,
    /// The whole plan; the numbers of faults are places in it.
    pub plan: FaultPlan,
    /// How many runs it took.
    pub runs: usize,
}

/// Shortens a failing run of a scenario; `None` when it does not fail, or fails in its first repetition only.
pub fn shrink(scenario: &Scenario, setup: &Setup) -> Option<Shortest> {
    shrink_run(&|setup| scenario.play(setup), setup)
}

/// Shortens a failing run of whatever plays setups.
fn shrink_run(play: &dyn Fn(&Setup) -> Result<Report, Failure>, setup: &Setup) -> Option<Shortest> {
    let (result, seen) = watch(false, || play(setup));
    let first = result.err()?;
    let plan = seen.plan;
    let kind = kind_of(&first.what);
    let mut runs = 1;
    let mut best = first;
    let mut fails = |setup: Setup, best: &mut Failure| {
        runs += 1;
        let failure = play(&setup).err().filter(|f| kind_of(&f.what) == kind);
        let is_failing = failure.is_some() && runs <= RUNS_MAX;
        if let Some(failure) = failure.filter(|_| is_failing) {
            *best = failure;
        }
        is_failing
    };
    if !plan.is_empty() {
        let all: FaultSet = setup.faults.unwrap_or_else(|| FaultSet::first(plan.faults.len()));
        let kept: Vec<usize> = all.iter().filter(|n| *n < plan.faults.len()).collect();
        drop_faults(*setup, kept, &mut best, &mut fails);
    }
    let peers = best.setup.peers.unwrap_or(16);
    // the fewest first: the first that fails is the answer
    for n in PEERS_MIN..peers.min(PEERS_MIN + 8) {
        let setup = Setup { peers: Some(n), ..best.setup };
        if fails(setup, &mut best) {
            break;
        }
    }
    Some(Shortest { failure: best, plan, runs })
}

/// Leaves out faults in ever smaller groups until each one that is left is needed (Zeller's ddmin).
fn drop_faults(
    setup: Setup,
    mut kept: Vec<usize>,
    best: &mut Failure,
    fails: &mut impl FnMut(Setup, &mut Failure) -> bool,
) {
    if fails(Setup { faults: Some(FaultSet::first(0)), ..setup }, best) {
        return;
    }
    let mut groups = 2;
    while kept.len() > 1 {
        let size = kept.len().div_ceil(groups);
        let without = (0..kept.len()).step_by(size).find_map(|from| {
            let rest = kept.iter().enumerate().filter(|(i, _)| *i < from || *i >= from + size);
            let rest: Vec<usize> = rest.map(|(_, n)| *n).collect();
            let setup = Setup { faults: Some(rest.iter().copied().collect()), ..setup };
            fails(setup, best).then_some(rest)
        });
        match without {
            Some(rest) => {
                groups = (groups - 1).max(2);
                kept = rest;
            }
            None if size == 1 => break,
            None => groups = (groups * 2).min(kept.len()),
        }
    }
}

/// What a failure is about: its first line without numbers, so that a shorter run that fails otherwise is another one.
fn kind_of(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultKind, Profile};
    use crate::host::HostSettings;
    use crate::world::World;
    use unchoke_wire::time::Duration;

    /// A run whose checker is broken: a host that was killed counts as wrong.
    fn broken(setup: &Setup) -> Result<Report, Failure> {
        let mut world = World::new(setup.seed, false);
        for _ in 0..setup.peers.unwrap_or(6) {
            world.add_host(HostSettings::default());
        }
        let kinds = &[FaultKind::Loss, FaultKind::Jitter, FaultKind::SlowLine, FaultKind::Nat];
        let within = Duration::from_secs(5);
        let profile = Profile { kinds, count: (12, 13), within, lasts_ms: (100, 900), spared: 0 };
        let mut plan = FaultPlan::draw(setup.seed, &profile, 2, 0);
        plan.faults[7].kind = FaultKind::Kill;
        world.set_plan(plan, setup.faults);
        world.run_for(Duration::from_secs(10));
        if world.marks().hit().contains(&crate::Mark::Kill) {
            let what = format!("{} hosts and one was killed", world.hosts().count());
            return Err(Failure { name: "broken".to_owned(), setup: *setup, what });
        }
        Ok(Report {
            name: "broken",
            seed: setup.seed,
            hosts: 0,
            time: Duration::ZERO,
            digest: 0,
            marks: std::collections::BTreeSet::new(),
            figures: Vec::new(),
        })
    }

    #[test]
    fn a_failing_run_shrinks_to_the_one_fault_that_matters() {
        let shortest = shrink_run(&broken, &Setup::of_seed(3)).unwrap();
        assert_eq!(shortest.failure.replay(), "unchoke sim broken --seed 3 --faults 7 --peers 2");
        assert!(shortest.runs < 40, "{} runs", shortest.runs);
        assert_eq!(shortest.plan.faults.len(), 12);
    }

    #[test]
    fn a_run_that_does_not_fail_is_left_alone() {
        let setup = Setup { faults: Some(FaultSet::first(7)), ..Setup::of_seed(3) };
        assert!(shrink_run(&broken, &setup).is_none());
    }
}
