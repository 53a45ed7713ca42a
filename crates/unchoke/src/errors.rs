//! How a command fails: one line on stderr that says what, where and what to do, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use unchoke_runtime::SessionError;
use unchoke_storage::{ErrorKind, StorageError};

use crate::args::definition;

/// The command line itself is wrong: exit 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Exit code of a run that was interrupted and can be gone on with.
pub(crate) fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

/// Prints the line for `error` and says how to exit.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return report_parse(error);
    }
    let is_pipe_gone =
        |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe && error.downcast_ref::<Unread>().is_some();
    if error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(is_pipe_gone) {
        return ExitCode::SUCCESS;
    }
    warn(text(error));
    if error.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

/// What went wrong with its causes, up to the one that tells all there is to tell.
fn text(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        parts.push(match cause.downcast_ref::<io::Error>() {
            Some(error) => reason(error),
            None => without_number(&cause.to_string()).to_owned(),
        });
        if cause.is::<StorageError>() || cause.is::<SessionError>() {
            break;
        }
    }
    parts.join(": ")
}

/// Prints one line about something that is worth knowing and stops nothing.
pub(crate) fn warn(text: impl fmt::Display) {
    let line = format!("unchoke: {}\n", one_line(&text.to_string()));
    // when stderr is closed nobody is there to be told
    let _ = io::Write::write_all(&mut io::stderr().lock(), line.as_bytes());
}

/// Marks a failure to write to stdout: when its reader went away, that is no failure of ours.
#[derive(Debug)]
pub(crate) struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write the output")
    }
}

/// What is wrong with `path`, in words for its user: `cannot read x: no such file`.
pub(crate) fn about(action: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot {action} {}: {}", path.display(), reason(error))
}

/// What the system said, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = match ErrorKind::of(error) {
        ErrorKind::Missing => "no such file or folder",
        ErrorKind::NoSpace => "no space left on the disk; free some and try again",
        ErrorKind::Quota => "the disk quota is used up; free some space and try again",
        ErrorKind::ReadOnly => "the file system is read-only; choose another folder",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::NotAFile => "it is a folder",
        ErrorKind::NotADirectory => "a part of the path is not a folder",
        _ => return without_number(&error.to_string()).to_owned(),
    };
    text.to_owned()
}

/// What the system said up to its number.
pub(crate) fn without_number(text: &str) -> &str {
    text.split_once(" (os error").map_or(text, |(words, _)| words)
}

/// Text without line breaks and control characters, so that it stays one line and moves no cursor.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Help and version go to stdout; what is wrong with a command line is told in one line.
fn report_parse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Kind;
    if matches!(error.kind(), Kind::DisplayHelp | Kind::DisplayVersion) {
        return match error.print() {
            // a reader that went away has read enough
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                warn(format_args!("{Unread}: {}", reason(&e)));
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        };
    }
    warn(parse_line(error, std::env::args().skip(1)));
    ExitCode::from(USAGE)
}

/// What clap says in a paragraph of the command line `words`, as one line.
fn parse_line(error: &clap::Error, words: impl Iterator<Item = String>) -> String {
    use clap::error::ErrorKind as Kind;
    let text = error.to_string();
    let help = help_for(words);
    if error.kind() == Kind::DisplayHelpOnMissingArgumentOrSubcommand {
        return format!("no command given; `{help}` lists them");
    }
    let mut line = String::new();
    let told = text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:"));
    for part in told.filter(|l| !l.is_empty() && !l.starts_with("For more information")) {
        let part = part.strip_prefix("error: ").unwrap_or(part);
        if let Some(tip) = part.strip_prefix("tip: ") {
            line.push_str("; ");
            line.push_str(tip);
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(part);
        }
    }
    format!("{line}; see `{help}`")
}

/// What shows the help of the command that begins with `words`.
fn help_for(words: impl Iterator<Item = String>) -> String {
    let mut command = definition();
    let mut help = "unchoke help".to_owned();
    for word in words {
        let Some(next) = command.find_subcommand(&word).cloned() else { break };
        help.push(' ');
        help.push_str(&word);
        command = next;
    }
    help
}

/// Exit code of a wrong command line.
const USAGE: u8 = 2;
/// Exit code after Ctrl-C or a request to end.
pub(crate) const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_one_line_whatever_a_name_holds() {
        assert_eq!(one_line("a\nb\u{1b}[31m\r\n"), "a\\nb\\u{1b}[31m");
    }

    #[test]
    fn what_is_told_is_told_once() {
        let full = StorageError::new("write", "/d/f", io::Error::from_raw_os_error(28));
        let error = anyhow::Error::new(full).context("cannot get x");
        assert_eq!(
            text(&error),
            "cannot get x: cannot write /d/f: no space left on the disk; free some, then go on"
        );
    }

    #[test]
    fn the_system_is_quoted_without_its_numbers() {
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), "no such file or folder");
        assert_eq!(reason(&io::Error::from_raw_os_error(32)), "Broken pipe");
    }
    #[test]
    fn a_wrong_command_line_names_the_help_of_its_own_command() {
        for (line, help) in [
            ("dht find-node zz", "`unchoke help dht find-node`"),
            ("sim dht --nodes 0", "`unchoke help sim dht`"),
            ("dht", "`unchoke help dht`"),
            ("nonsense", "`unchoke help`"),
        ] {
            let words = || line.split(' ').map(str::to_owned);
            let all = std::iter::once("unchoke".to_owned()).chain(words());
            let error = definition().try_get_matches_from(all).unwrap_err();
            let text = parse_line(&error, words());
            assert!(text.contains(help), "{line}: {text}");
        }
    }
}
