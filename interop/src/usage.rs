//! What a process has cost: CPU time and memory as `/proc` has them.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::proc::read_back;

/// How often a process is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The kernel counts a process's time in these, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time so far, of all threads and of children that have ended.
    pub(crate) cpu_s: f64,
    /// Anonymous memory that is resident.
    pub(crate) anon_mib: f64,
    /// Whether it has ended, and only waits for its parent to take note.
    pub(crate) has_ended: bool,
}

impl Usage {
    /// A look at process `pid`. The last one at a process that has ended, and is not yet reaped, has all its time.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // A process that has ended has no memory any more, and no line of it.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let (cpu_s, has_ended) = times(&stat).context("read /proc/PID/stat")?;
        Ok(Self { cpu_s, anon_mib: anon_kib(&status).unwrap_or(0.0) / 1024.0, has_ended })
    }
}

/// CPU seconds of a `/proc/PID/stat`, and whether the process has ended; the name in it may hold anything but its end.
fn times(stat: &str) -> Option<(f64, bool)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<f64>().ok());
    let ticks: f64 = ticks.sum::<Option<f64>>()?;
    Some((ticks / TICKS_PER_SECOND, fields[0] == "Z"))
}

fn anon_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What a command cost from its start to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    /// The most that was seen.
    pub(crate) anon_mib: f64,
    pub(crate) stdout: String,
}

/// Runs `command` to its end; an error unless it succeeds.
pub(crate) fn cost_of(command: &mut Command) -> Result<Cost> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let begin = Instant::now();
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let watcher = {
        let pid = child.id();
        thread::spawn(move || most_memory(pid))
    };
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a child has a number")?;
    // It is left to be reaped, so that its time can still be read.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let wall_s = begin.elapsed().as_secs_f64();
    let cpu_s = Usage::of(child.id())?.cpu_s;
    let anon_mib = watcher.join().map_err(|_| anyhow::anyhow!("the watcher of {program} panicked"))?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{program} failed with {status}: {}", read_back(&mut err)?.trim());
    }
    Ok(Cost { wall_s, cpu_s, anon_mib, stdout: read_back(&mut out)? })
}

/// The most anonymous memory process `pid` is seen with until it ends.
fn most_memory(pid: u32) -> f64 {
    let mut most = 0.0_f64;
    while let Ok(usage) = Usage::of(pid) {
        most = most.max(usage.anon_mib);
        if usage.has_ended {
            break;
        }
        thread::sleep(LOOK / 4);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_has_the_children_that_ended_and_any_name_is_passed() {
        let stat = "77 (a) b) S 1 77 77 0 -1 4194560 1 0 0 0 120 34 5 1 20 0 5 0 99 1 1";
        assert_eq!(times(stat), Some((1.6, false)));
        assert_eq!(times("77 (a) Z 1 77 77 0 -1 4194560 1 0 0 0 7 0 0 0 20"), Some((0.07, true)));
        assert_eq!(times("77 (a"), None);
    }

    #[test]
    fn memory_is_the_anonymous_part() {
        assert_eq!(anon_kib("VmRSS:\t 900 kB\nRssAnon:\t    2048 kB\n"), Some(2048.0));
        assert_eq!(anon_kib("State:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_command_is_counted_to_its_end() {
        let cost = cost_of(
            Command::new("sh").args(["-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo $i"]),
        );
        let cost = cost.unwrap();
        assert_eq!(cost.stdout, "50000\n");
        assert!(cost.cpu_s > 0.0 && cost.wall_s >= cost.cpu_s * 0.5);
        assert!(cost_of(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).is_err());
    }
}
