//! A daemon killed at random moments: `unchoke-interop kill9 --runs N --seed S [--jobs N] [--unchoke PATH]`.
//!
//! Each run asks the shipped binary's daemon for something, kills it with SIGKILL at a moment the seed chooses, starts it
//! again on the same state, and looks at everything that was ever acknowledged: torrents and their options, the pieces
//! it claims to peers against the bytes on the disk, what was removed, totals, and files of others.

mod api;
mod checks;
mod model;
mod place;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::case::Case;
use crate::fixtures::Rng;
use checks::Findings;
use model::{Kind, Model};
use place::Place;

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The binary under test; `None`: build it.
    pub(crate) unchoke: Option<PathBuf>,
    runs: usize,
    seed: u64,
    jobs: usize,
}

impl Args {
    /// Reads the options.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut parsed = Args { unchoke: None, runs: 1000, seed: 1, jobs: 3 };
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let value = args.next().with_context(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--unchoke" => parsed.unchoke = Some(value.into()),
                "--runs" => parsed.runs = value.parse().context("--runs needs a number")?,
                "--seed" => parsed.seed = value.parse().context("--seed needs a number")?,
                "--jobs" => parsed.jobs = value.parse().context("--jobs needs a number")?,
                _ => bail!("kill9 [--runs N] [--seed S] [--jobs N] [--unchoke PATH]"),
            }
        }
        Ok(parsed)
    }
}

/// A few runs.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "kill9/short".into(),
        |_| None,
        |lab, dir| {
            let findings = play(&lab.unchoke.binary, dir, SHORT_RUNS, 7, 1)?;
            ensure!(findings.is_clean(), "{findings}");
            Ok(())
        },
    )]
}

/// Plays all runs and prints what came of them. `true` when nothing was lost and nothing false was claimed.
pub(crate) fn run(args: &Args, binary: &Path) -> Result<bool> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("unchoke-kill9-");
    let root = if memory.is_dir() { builder.tempdir_in(memory)? } else { builder.tempdir()? };
    let began = Instant::now();
    let findings = play(binary, root.path(), args.runs, args.seed, args.jobs)?;
    println!("{findings}");
    println!("seed {}, {} jobs, {:.0} s", args.seed, args.jobs, began.elapsed().as_secs_f64());
    Ok(findings.is_clean())
}

/// Plays `runs` runs on `jobs` daemons side by side, each of which keeps its state from run to run.
fn play(binary: &Path, root: &Path, runs: usize, seed: u64, jobs: usize) -> Result<Findings> {
    let jobs = jobs.clamp(1, runs.max(1));
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Findings::default()));
    let play_job = |job: usize| {
        let mut rng = Rng::new(seed.wrapping_mul(1000) + u64::try_from(job).expect("jobs are few"));
        let place = Place::new(binary, &root.join(format!("j{job}")), &mut rng)?;
        let mut player = Player { model: Model::new(place.torrents.len()), place, rng };
        while next.fetch_add(1, Ordering::Relaxed) < runs {
            let mut findings = Findings::default();
            player.play(&mut findings)?;
            for problem in &findings.problems {
                println!("kill9: seed {seed}, job {job}: {problem}");
            }
            all.lock().expect("no thread panics while it holds the findings").add(findings);
        }
        player.place.unmount();
        Ok(())
    };
    let play_job = &play_job;
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|job| scope.spawn(move || play_job(job))).collect();
        let joined = threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a player panicked")));
        joined.collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    all.into_inner().map_err(|_| anyhow::anyhow!("a player panicked"))
}

/// One daemon and what is known of it.
struct Player {
    place: Place,
    model: Model,
    rng: Rng,
}

impl Player {
    /// One run: something is asked, the daemon is killed, and looked at when it is up again.
    fn play(&mut self, findings: &mut Findings) -> Result<()> {
        findings.runs += 1;
        let kind = self.rng.pick(&Kind::ALL);
        let step = self.model.prepare(kind, &mut self.place, &mut self.rng)?;
        *findings.kills.entry(kind).or_default() += 1;
        let longest = kind.longest();
        let wait = Duration::from_micros(self.rng.next() % u64::try_from(longest.as_micros())?.max(1));
        let is_done = match &step.request {
            Some(request) => {
                let api = self.place.api();
                let began = Instant::now();
                thread::scope(|scope| {
                    let asked = scope.spawn(move || api.ask(request));
                    thread::sleep(wait.saturating_sub(began.elapsed()));
                    let killed = self.place.kill();
                    let answered = asked.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
                    killed?;
                    match answered {
                        // it was dead before it could answer
                        Err(_) => anyhow::Ok(false),
                        Ok(answer) if answer.status == 200 => Ok(true),
                        Ok(answer) => bail!("{kind:?} was answered with {}: {}", answer.status, answer.body),
                    }
                })?
            }
            None => {
                thread::sleep(wait);
                self.place.kill()?;
                true
            }
        };
        findings.acknowledged += usize::from(is_done && step.request.is_some());
        self.model.apply(&step, is_done);
        if kind == Kind::Start {
            // again, while it begins
            self.place.spawn()?;
            thread::sleep(Duration::from_micros(self.rng.next() % 150_000));
            self.place.kill()?;
        }
        if let Err(error) = self.place.start() {
            findings.failed_starts += 1;
            findings.problem(format!("after {kind:?}: it does not start: {error:#}"));
            bail!("it does not start after {kind:?}: {error:#}");
        }
        checks::look(&self.place, &mut self.model, kind, findings).with_context(|| format!("after {kind:?}"))
    }
}

const SHORT_RUNS: usize = 20;
