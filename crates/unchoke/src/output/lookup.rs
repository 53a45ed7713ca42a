//! A lookup of the DHT as it converges: a live view on a terminal, or every step a line or an event.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use unchoke_runtime::dht::{NodeId, NodeInfo, Step};

use super::{events, line};
use crate::errors::one_line;
use crate::units;

/// What the user wants to hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Results.
    Results,
    /// Results, and a few words about them.
    Words,
    /// Results as events.
    Json,
}

/// Tells what a command of the DHT finds, and draws its lookups while they run.
#[derive(Debug)]
pub(crate) struct Teller {
    told: Told,
    /// Whether every step is told.
    steps: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    tally: Tally,
}

/// Lookups in numbers.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    answered: u64,
    failed: u64,
    peers: u64,
    slow: BTreeSet<NodeId>,
    /// The closest that answered.
    closest: Vec<Close>,
}

/// A node that answered.
#[derive(Debug)]
struct Close {
    shared_bits: usize,
    node: NodeInfo,
    rtt: Duration,
}

impl Teller {
    /// As the options ask for it.
    pub(crate) fn new(is_json: bool, is_quiet: bool, steps: bool) -> Self {
        let told = match (is_json, is_quiet) {
            (true, _) => Told::Json,
            (_, true) => Told::Results,
            _ => Told::Words,
        };
        let bar = (told == Told::Words && !steps && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            ProgressBar::new_spinner().with_style(style.expect("the template above is well-formed"))
        });
        Teller { told, steps, bar, started: Instant::now(), tally: Tally::default() }
    }

    /// What is told.
    pub(crate) fn told(&self) -> Told {
        self.told
    }

    /// Tells a result: a line, or an event with these fields.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn result(
        &self,
        text: impl fmt::Display,
        name: &str,
        fields: impl FnOnce() -> Value,
    ) -> Result<()> {
        match self.told {
            Told::Json => self.event(name, fields()),
            Told::Results | Told::Words => {
                let text = one_line(&text.to_string());
                self.aside(|| line(text))
            }
        }
    }

    /// Tells a result that is told as an event in another way.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<()> {
        match self.told {
            Told::Json => Ok(()),
            Told::Results | Told::Words => self.aside(|| line(text)),
        }
    }

    /// Tells a text of any number of lines.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        text.split('\n').try_for_each(|part| self.line(one_line(part)))
    }

    /// Tells an event, if events are told.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn event(&self, name: &str, fields: Value) -> Result<()> {
        match self.told {
            Told::Json => line(events::event(name, None, fields)),
            Told::Results | Told::Words => Ok(()),
        }
    }

    /// Says a few words, on stderr: stdout is for results.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if self.told == Told::Words {
            let text = one_line(&text.to_string());
            // when stderr is closed nobody is there to be told
            let _ = self.aside(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// Takes a step of a lookup.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn step(&mut self, target: &NodeId, node: &NodeInfo, step: Step) -> Result<()> {
        let shared_bits = node.id.distance(target).shared_bits();
        self.tally.take(shared_bits, node, step);
        if let Some(bar) = &self.bar {
            bar.set_message(self.tally.text(self.started.elapsed()));
            bar.tick();
        }
        if !self.steps {
            return Ok(());
        }
        let (name, details, mut fields) = describe(step);
        if self.told == Told::Json {
            for (field, value) in [
                ("target", json!(target.to_string())),
                ("node", json!(node.addr.to_string())),
                ("id", json!(node.id.to_string())),
                ("shared_bits", json!(shared_bits)),
                ("step", json!(name)),
            ] {
                fields[field] = value;
            }
            return line(events::event("step", None, fields));
        }
        let at = self.started.elapsed().as_secs_f64();
        let shared = units::count(shared_bits, "bit");
        line(format_args!("{at:>8.3} s  {name:<11}  {shared:>8}  {}{details}", node.addr))
    }

    /// Takes the view off the terminal.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints without mixing with the view.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Tally {
    fn take(&mut self, shared_bits: usize, node: &NodeInfo, step: Step) {
        match step {
            Step::Asked => self.asked += 1,
            Step::AskedAgain => {}
            Step::Slow => {
                self.slow.insert(node.id);
            }
            Step::Failed => {
                self.slow.remove(&node.id);
                self.failed += 1;
            }
            Step::Answered { rtt, peers, .. } => {
                self.slow.remove(&node.id);
                self.answered += 1;
                self.peers += u64::try_from(peers).unwrap_or(u64::MAX);
                // a search and a scrape meet the same nodes
                self.closest.retain(|c| c.node.id != node.id);
                let at = self.closest.partition_point(|c| c.shared_bits >= shared_bits);
                self.closest.insert(at, Close { shared_bits, node: *node, rtt });
                self.closest.truncate(CLOSEST_MAX);
            }
        }
    }

    /// The view: a line of numbers, and the closest nodes.
    fn text(&self, elapsed: Duration) -> String {
        let Tally { asked, answered, failed, peers, slow, closest } = self;
        let mut text = format!(
            "{:.1} s  asked {asked}  answered {answered}  slow {}  failed {failed}  peers {peers}",
            elapsed.as_secs_f64(),
            slow.len()
        );
        for Close { shared_bits, node, rtt } in closest {
            let ms = rtt.as_millis();
            text.push_str(&format!("\n  {shared_bits:>3} bits  {ms:>5} ms  {}", node.addr));
        }
        text
    }
}

/// A step: its name, what is to say about it, and its fields.
fn describe(step: Step) -> (&'static str, String, Value) {
    match step {
        Step::Asked => ("asked", String::new(), json!({})),
        Step::AskedAgain => ("asked again", String::new(), json!({})),
        Step::Slow => ("slow", String::new(), json!({})),
        Step::Failed => ("failed", String::new(), json!({})),
        Step::Answered { rtt, nodes, peers } => (
            "answered",
            format!(
                "  {} ms  {}  {}",
                rtt.as_millis(),
                units::count(nodes, "node"),
                units::count(peers, "peer")
            ),
            json!({"rtt": rtt.as_secs_f64(), "nodes": nodes, "peers": peers}),
        ),
    }
}

/// Nodes the view shows.
const CLOSEST_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeInfo {
        NodeInfo { id: NodeId([byte; 20]), addr: ([127, 0, 0, 1], u16::from(byte)).into() }
    }

    #[test]
    fn the_view_shows_the_closest_that_answered_and_who_is_late() {
        let mut tally = Tally::default();
        let answered = Step::Answered { rtt: Duration::from_millis(20), nodes: 8, peers: 2 };
        for byte in 1..=12 {
            tally.take(usize::from(byte), &node(byte), Step::Asked);
        }
        for byte in 1..=10 {
            tally.take(usize::from(byte), &node(byte), answered);
        }
        tally.take(10, &node(10), answered);
        tally.take(11, &node(11), Step::Slow);
        tally.take(12, &node(12), Step::Slow);
        tally.take(12, &node(12), Step::Failed);
        let text = tally.text(Duration::from_millis(1500));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("1.5 s  asked 12  answered 11  slow 1  failed 1  peers 22"));
        assert_eq!(lines.next(), Some("   10 bits     20 ms  127.0.0.1:10"));
        assert_eq!(lines.next(), Some("    9 bits     20 ms  127.0.0.1:9"));
        assert_eq!(lines.count(), CLOSEST_MAX - 2);
    }
}
