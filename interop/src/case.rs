//! A case: its name, what it needs, how it is run, and what its run came to.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::lab::Lab;
use crate::proc::tail;

/// One line of the matrix.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Whether it waits most of the time, so that it may run beside those that work.
    pub(crate) is_waiting: bool,
    check: Check,
    needs: Needs,
}

/// The body of a case; it is given an empty folder of its own.
type Check = Box<dyn Fn(&Lab, &Path) -> Result<()> + Send + Sync>;

/// Names the first thing that is not installed or not allowed here.
type Needs = Box<dyn Fn(&Lab) -> Option<String> + Send + Sync>;

/// What a case came to.
pub(crate) enum Outcome {
    Passed,
    Skipped(String),
    /// The error and the ends of the logs.
    Failed(String),
}

/// A figure of time that was not reached: alone of all failures, it may be the machine's, which can only make it worse.
#[derive(Debug)]
pub(crate) struct TooSlow(String);

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TooSlow {}

/// Fails with [`TooSlow`] and what `figure` says unless `is_reached`.
pub(crate) fn ensure_quick(is_reached: bool, figure: impl FnOnce() -> String) -> Result<()> {
    if is_reached { Ok(()) } else { Err(TooSlow(figure()).into()) }
}

impl Case {
    /// A case that runs `check` unless `needs` names something missing.
    pub(crate) fn new(
        name: String,
        needs: impl Fn(&Lab) -> Option<String> + Send + Sync + 'static,
        check: impl Fn(&Lab, &Path) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name, is_waiting: false, check: Box::new(check), needs: Box::new(needs) }
    }

    /// The same, as one that waits most of the time.
    pub(crate) fn waiting(self) -> Self {
        Self { is_waiting: true, ..self }
    }

    /// True when no filter is given or one of them is part of the name.
    pub(crate) fn is_wanted(&self, filters: &[String]) -> bool {
        filters.is_empty() || filters.iter().any(|filter| self.name.contains(filter))
    }

    /// Runs it in a folder of its own; once more, and once again, where only a figure of time was not reached.
    pub(crate) fn run(&self, lab: &Lab) -> (Outcome, Duration) {
        let start = Instant::now();
        if let Some(missing) = (self.needs)(lab) {
            return (Outcome::Skipped(missing), start.elapsed());
        }
        let mut outcome = self.run_once(lab);
        for _ in 1..MEASURES_MAX {
            let Err((error, _)) = &outcome else { break };
            if !error.is::<TooSlow>() {
                break;
            }
            println!("{}: {error:#}; measured anew", self.name);
            outcome = self.run_once(lab);
        }
        let outcome = match outcome {
            Ok(()) => Outcome::Passed,
            Err((error, logs)) => Outcome::Failed(format!("{error:#}{logs}")),
        };
        (outcome, start.elapsed())
    }

    /// Runs it; the error comes with the ends of the logs.
    fn run_once(&self, lab: &Lab) -> Result<(), (anyhow::Error, String)> {
        let dir = lab.case_dir(&self.name).map_err(|error| (error, String::new()))?;
        let result = (self.check)(lab, &dir).map_err(|error| (error, log_tails(&dir)));
        // Memory is scarce where the folder is in it; the run's folder goes at the end in any case.
        let _ = fs::remove_dir_all(&dir);
        result
    }
}

/// The ends of the logs `dir/*/log`, in order of name.
fn log_tails(dir: &Path) -> String {
    let Ok(entries) = fs::read_dir(dir) else { return String::new() };
    let mut logs: Vec<_> =
        entries.flatten().map(|entry| entry.path().join("log")).filter(|log| log.is_file()).collect();
    logs.sort();
    let mut text = String::new();
    for log in logs {
        let owner = log.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        for line in tail(&log, LOG_LINES).lines() {
            text.push_str(&format!("\n    {owner}: {line}"));
        }
    }
    text
}

const LOG_LINES: usize = 15;
/// How often a figure of time is measured until it is reached.
const MEASURES_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_any_part_of_a_name() {
        let case = Case::new("dht/get/aria2".into(), |_| None, |_, _| Ok(()));
        assert!(case.is_wanted(&[]));
        assert!(case.is_wanted(&["aria2".into()]));
        assert!(case.is_wanted(&["http".into(), "dht/get".into()]));
        assert!(!case.is_wanted(&["http".into()]));
    }

    #[test]
    fn a_figure_of_time_is_measured_anew_and_no_other_failure_is() {
        let lab = Lab::new(std::path::PathBuf::new()).unwrap();
        let runs = |failure: fn(usize) -> Result<()>| {
            let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = std::sync::Arc::clone(&count);
            let next = move || counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let case = Case::new("measured".into(), |_| None, move |_, _| failure(next()));
            (matches!(case.run(&lab).0, Outcome::Passed), count.load(std::sync::atomic::Ordering::Relaxed))
        };
        assert_eq!(runs(|n| ensure_quick(n == 2, || "late".into())), (true, 2));
        assert_eq!(runs(|_| ensure_quick(false, || "late".into())), (false, MEASURES_MAX));
        assert_eq!(runs(|_| anyhow::bail!("wrong")), (false, 1));
    }

    #[test]
    fn log_tails_name_the_process_of_each_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("seeder")).unwrap();
        fs::write(dir.path().join("seeder/log"), "hello\n").unwrap();
        assert_eq!(log_tails(dir.path()), "\n    seeder: hello");
    }
}
