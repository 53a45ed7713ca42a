//! A line between two namespaces that is slow, long or bad, and can be made worse while it is used.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clients::first_missing;
use crate::lab::Lab;
use crate::netns::Namespaces;
use crate::proc::{Process, command_with};

/// What the line is like at first.
pub(crate) struct Shape {
    /// One way.
    pub(crate) delay_ms: u32,
    pub(crate) rate_mbit: u32,
    /// Whether packets may be larger than any real line has them: wanted for speed, ruinous for faults.
    pub(crate) is_whole: bool,
}

/// A line; gone when dropped.
pub(crate) struct Line {
    process: Process,
    input: ChildStdin,
}

impl Line {
    /// Names what a line needs and is not here.
    pub(crate) fn missing(lab: &Lab) -> Option<String> {
        let tun = || (!Path::new("/dev/net/tun").exists()).then(|| "/dev/net/tun".to_owned());
        let site = || lab.namespaced_site().err().map(|error| format!("{error:#}"));
        first_missing(&["python3", "ip"]).or_else(tun).or_else(site)
    }

    /// Joins the namespaces; each end gets its address, as `10.0.0.1/24` or `fd00::1/64`.
    pub(crate) fn lay(
        lab: &Lab,
        dir: &Path,
        namespaces: &Namespaces,
        addresses: [&str; 2],
        shape: &Shape,
    ) -> Result<Self> {
        let script = lab.script("link.py", include_str!("link.py"))?;
        let [(a, _), (b, _)] = namespaces.ends();
        let mut command = command_with("python3", []);
        command.arg(script).args([a, addresses[0], b, addresses[1]]);
        command.args([shape.delay_ms, shape.rate_mbit].map(|figure| figure.to_string()));
        command.arg(if shape.is_whole { "whole" } else { "cut" });
        let log = dir.join("link");
        fs::create_dir_all(&log)?;
        let (mut process, input) = Process::start_with_input(command, &log.join("log"))?;
        process.wait_for_output("ready", Duration::from_secs(10)).context("start the link")?;
        Ok(Self { process, input })
    }

    /// Changes it by a command of the script.
    pub(crate) fn say(&mut self, command: &str) -> Result<()> {
        // a link that is gone shows here and not as a slow transfer
        self.process.expect_running().context("the link")?;
        writeln!(self.input, "{command}").context("tell the link")
    }
}
