//! `unchoke sim SCENARIO`: runs over scenarios and seeds in parallel, and what came of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use unchoke_sim::scenarios::{Scenario, Setup};
use unchoke_sim::shrink::{Shortest, shrink};
use unchoke_sim::{Failure, FaultKind, Mark, Report};

/// Failures of one scenario that are shortened and told; more are only counted.
const TOLD_MAX: usize = 3;

/// What is to be played.
pub(super) struct Runs {
    /// The scenarios, in the order they are told.
    pub(super) scenarios: Vec<&'static Scenario>,
    /// What each run is made of, but for the seed.
    pub(super) setup: Setup,
    /// How many seeds, counted up from that of the setup.
    pub(super) seeds: u64,
    /// Runs at the same time.
    pub(super) jobs: usize,
    /// Whether every run is told, not only every scenario.
    pub(super) tells_each: bool,
}

/// What came of all runs of one scenario.
#[derive(Default)]
struct Sum {
    reports: Vec<Report>,
    failures: Vec<Failure>,
    panics: Vec<u64>,
    time: Duration,
    runs: u64,
}

impl Sum {
    fn failed(&self) -> usize {
        self.failures.len() + self.panics.len()
    }
}

/// Plays all of it and tells what came of it; whether nothing failed.
///
/// # Errors
/// The output cannot be written.
pub(super) fn play(runs: &Runs, out: &mut impl Write) -> Result<bool> {
    let sums: Vec<Mutex<Sum>> = runs.scenarios.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..runs.jobs {
            let (done, next, sums) = (done.clone(), &next, &sums);
            scope.spawn(move || work(runs, next, sums, &done));
        }
        drop(done);
        // lines come in the order of the catalogue, whatever is done first
        let mut waiting = BTreeSet::new();
        let mut at = 0;
        for index in finished {
            waiting.insert(index);
            while waiting.remove(&at) {
                tell(runs, at, &sums[at], out)?;
                at += 1;
            }
        }
        anyhow::Ok(())
    })?;
    let sums: Vec<Sum> = sums.into_iter().map(|s| s.into_inner().expect("no run panics outside")).collect();
    if sums.len() > 1 {
        totals(runs, &sums, began.elapsed(), out)?;
    }
    Ok(sums.iter().all(|s| s.failed() == 0))
}

/// Takes one run after the other, scenario by scenario.
fn work(runs: &Runs, next: &AtomicUsize, sums: &[Mutex<Sum>], done: &std::sync::mpsc::Sender<usize>) {
    let seeds = usize::try_from(runs.seeds).unwrap_or(usize::MAX);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (index, seed) = (number / seeds, number % seeds);
        let Some(scenario) = runs.scenarios.get(index) else { return };
        let setup = Setup { seed: runs.setup.seed.saturating_add(seed as u64), ..runs.setup };
        let began = Instant::now();
        let result = std::panic::catch_unwind(|| scenario.play(&setup));
        let mut sum = sums[index].lock().expect("nobody panics with the lock");
        sum.time += began.elapsed();
        sum.runs += 1;
        match result {
            Ok(Ok(report)) => sum.reports.push(report),
            Ok(Err(failure)) => sum.failures.push(failure),
            Err(_) => sum.panics.push(setup.seed),
        }
        if sum.runs == runs.seeds && done.send(index).is_err() {
            return;
        }
    }
}

/// The line of a scenario, and its failures.
fn tell(runs: &Runs, index: usize, sum: &Mutex<Sum>, out: &mut impl Write) -> Result<()> {
    let mut sum = sum.lock().expect("nobody panics with the lock");
    let name = runs.scenarios[index].name;
    sum.reports.sort_by_key(|r| r.seed);
    sum.failures.sort_by_key(|f| f.setup.seed);
    sum.panics.sort_unstable();
    if runs.tells_each {
        sum.reports.iter().try_for_each(|report| writeln!(out, "{report}"))?;
    } else {
        let marks: BTreeSet<Mark> = sum.reports.iter().flat_map(|r| r.marks.iter().copied()).collect();
        let ms = sum.time.as_secs_f64() * 1000.0 / sum.runs.max(1) as f64;
        let (count, failed) = (sum.runs, sum.failed());
        writeln!(out, "{name:<32} {count} runs, {failed} failed, {ms:.1} ms each, {} marks", marks.len())?;
    }
    for failure in sum.failures.iter().take(TOLD_MAX) {
        writeln!(out, "{failure}")?;
        if let Some(Shortest { failure, plan, runs }) = shrink(runs.scenarios[index], &failure.setup) {
            writeln!(out, "shortest of {runs} runs: {}", failure.what.lines().next().unwrap_or_default())?;
            for number in failure.setup.faults.iter().flat_map(|f| f.iter()) {
                plan.faults.get(number).map_or(Ok(()), |fault| writeln!(out, "  {number}: {fault}"))?;
            }
            writeln!(out, "replay: {}", failure.replay())?;
        }
    }
    for seed in sum.panics.iter().take(TOLD_MAX) {
        let setup = Setup { seed: *seed, ..runs.setup };
        let what = "it panicked".to_owned();
        writeln!(out, "{}", Failure { name: name.to_owned(), setup, what })?;
    }
    Ok(out.flush()?)
}

/// What came of everything.
fn totals(runs: &Runs, sums: &[Sum], took: Duration, out: &mut impl Write) -> Result<()> {
    let reports = || sums.iter().flat_map(|s| &s.reports);
    let hit: BTreeSet<Mark> = reports().flat_map(|r| r.marks.iter().copied()).collect();
    let missed: Vec<String> =
        Mark::ALL.iter().filter(|m| !hit.contains(m)).map(|m| format!("{m:?}")).collect();
    let kinds = FaultKind::ALL.iter().filter(|k| hit.contains(&k.mark())).count();
    let failed: usize = sums.iter().map(Sum::failed).sum();
    let crashes: u64 = reports()
        .flat_map(|r| &r.figures)
        .filter(|(name, _)| *name == "crash points")
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum();
    let all: u64 = sums.iter().map(|s| s.runs).sum();
    let innocents =
        sums.iter().flat_map(|s| &s.failures).filter(|f| f.what.contains("and is honest")).count();
    writeln!(
        out,
        "{} scenarios x {} seeds: {all} runs, {failed} failed, {:.0} s with {} at a time",
        sums.len(),
        runs.seeds,
        took.as_secs_f64(),
        runs.jobs
    )?;
    let missed = if missed.is_empty() { "none".to_owned() } else { missed.join(", ") };
    writeln!(out, "marks: {} of {} hit, missed: {missed}", hit.len(), Mark::ALL.len())?;
    writeln!(out, "fault kinds: {kinds} of {} had an effect", FaultKind::ALL.len())?;
    writeln!(out, "crash points: {crashes}; innocents banned: {innocents}")?;
    for failure in sums.iter().flat_map(|s| &s.failures) {
        writeln!(out, "failed: {}", failure.replay())?;
    }
    for (scenario, sum) in runs.scenarios.iter().zip(sums) {
        for seed in &sum.panics {
            writeln!(out, "panicked: unchoke sim {} --seed {seed}", scenario.name)?;
        }
    }
    Ok(())
}
