//! Children of the harness: started with a log, watched with deadlines, and ended by pid whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

/// A running program whose output goes to a log; killed and reaped when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// Where this run's output begins in the log: a restarted client appends to the same one.
    log_start: u64,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to `log`.
    pub(crate) fn start(command: Command, log: &Path) -> Result<Self> {
        Self::spawn(command, log, Stdio::null())
    }

    /// As [`Process::start`], and gives the way to its input.
    pub(crate) fn start_with_input(command: Command, log: &Path) -> Result<(Self, ChildStdin)> {
        let mut process = Self::spawn(command, log, Stdio::piped())?;
        let input = process.child.stdin.take().expect("its input is piped");
        Ok((process, input))
    }

    fn spawn(mut command: Command, log: &Path, input: Stdio) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log).context("open a log")?;
        let log_start = file.metadata()?.len();
        let program = describe(&command);
        let child = command
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        Ok(Self { child, log: log.to_owned(), log_start })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, or `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// True once it has exited with code 0; an error for any other exit.
    pub(crate) fn has_finished_well(&mut self) -> Result<bool> {
        match self.exit_status()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => bail!("it ended with {status}"),
        }
    }

    /// An error if it has ended, for processes that should live until they are stopped.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("it ended early with {status}"),
        }
    }

    /// What this run has written so far.
    pub(crate) fn output(&self) -> Result<String> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.log_start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until `text` is in this run's output; an error if the process ends first or `limit` passes.
    pub(crate) fn wait_for_output(&mut self, text: &str, limit: Duration) -> Result<()> {
        wait_until(&format!("output {text:?}"), limit, || {
            if self.output()?.contains(text) {
                return Ok(true);
            }
            self.expect_running().map(|()| false)
        })
    }

    /// Ends it with SIGTERM; an error if it is still there after `limit` (it is then killed).
    pub(crate) fn stop(mut self, limit: Duration) -> Result<()> {
        if self.exit_status()?.is_none() {
            run(&mut command_with("kill", ["-TERM", &self.pid().to_string()]), Duration::from_secs(5))?;
        }
        wait_until("the end of a process after SIGTERM", limit, || Ok(self.exit_status()?.is_some()))
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.expect_running().context("it was to be killed in the middle")?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process has already been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls `claim` until it is true; an error from it, or `limit` running out, ends the wait.
pub(crate) fn wait_until(what: &str, limit: Duration, mut claim: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if claim().with_context(|| format!("while waiting for {what}"))? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("no {what} within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs `command` to its end and returns its stdout; an error carries its stderr.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String> {
    let (success, stdout, stderr) = run_any(command, limit)?;
    if success { Ok(stdout) } else { Err(anyhow!("{} failed: {}", describe(command), stderr.trim())) }
}

/// Runs `command` to its end whatever it answers: whether it succeeded, its stdout, its stderr.
pub(crate) fn run_any(command: &mut Command, limit: Duration) -> Result<(bool, String, String)> {
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let program = describe(command);
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let mut process = Process { child, log: PathBuf::new(), log_start: 0 };
    let mut status = None;
    wait_until(&format!("the end of {program}"), limit, || {
        status = process.exit_status()?;
        Ok(status.is_some())
    })?;
    Ok((status.is_some_and(|s| s.success()), read_back(&mut out)?, read_back(&mut err)?))
}

/// A command with its arguments, for one-line calls.
pub(crate) fn command_with<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Where `program` is, in `PATH` or the folders of system programs.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The last `lines` lines of a log, or nothing when there is none.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn describe(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// All that a file holds, as text.
pub(crate) fn read_back(file: &mut File) -> Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_last_lines_and_forgives_a_missing_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), "two\nthree");
        assert_eq!(tail(&log, 9), "one\ntwo\nthree");
        assert_eq!(tail(&dir.path().join("none"), 2), "");
    }

    #[test]
    fn run_returns_stdout_and_reports_stderr() {
        let limit = Duration::from_secs(10);
        assert_eq!(run(&mut command_with("sh", ["-c", "echo fine"]), limit).unwrap(), "fine\n");
        let error = run(&mut command_with("sh", ["-c", "echo broken >&2; exit 3"]), limit).unwrap_err();
        assert!(error.to_string().contains("broken"));
    }

    #[test]
    fn wait_gives_up_at_its_deadline() {
        let error = wait_until("a miracle", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "no a miracle within 0 s");
    }
}
