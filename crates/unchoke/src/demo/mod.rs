//! `unchoke demo`: a trackerless swarm of three on this machine, with the real engine on real sockets, told step by
//! step.
//!
//! A has nothing, B has all three pieces, C has the first two. They meet through a DHT node that the torrent names.
//! B and C only answer, so that it is A who brings C what it lacks.

mod cast;
mod story;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cast::{Cast, Who};
use story::Story;
use unchoke_runtime::{Event, HubEvent, SessionEvent};

/// How long the whole exchange may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How the exchange is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Telling {
    /// In words, with the messages that matter.
    Words,
    /// In words, with every message.
    Trace,
    /// Every message as a line of JSON.
    Json,
}

/// Plays the exchange.
///
/// # Errors
/// A socket cannot be had, or the exchange did not end in time.
pub(crate) fn run(telling: Telling, out: &mut dyn Write) -> Result<()> {
    let start = Instant::now();
    let mut cast = Cast::assemble()?;
    let mut story = Story::new(telling, out, start);
    story.begin(&cast)?;
    let mut announced = [false; 2];
    let mut complete = [false; 3];
    while complete != [true; 3] {
        let left = TIME_MAX.saturating_sub(start.elapsed());
        let Some((who, event)) = cast.next_event(left) else {
            let done = complete.iter().filter(|c| **c).count();
            bail!("the exchange did not end within {} s: {done} of 3 peers are seeds", TIME_MAX.as_secs());
        };
        match &event {
            SessionEvent::Dht(HubEvent::DhtAnnounced { nodes: 1.., .. }) => match who {
                Who::B => announced[0] = true,
                Who::C => announced[1] = true,
                Who::Router | Who::A => {}
            },
            SessionEvent::Torrent { event: Event::Completed { .. }, .. } => match who {
                Who::A => complete[0] = true,
                Who::B => complete[1] = true,
                Who::C => complete[2] = true,
                Who::Router => {}
            },
            _ => {}
        }
        story.tell(&cast, who, &event)?;
        if announced == [true; 2] && !cast.has_started(Who::A) {
            cast.start_a()?;
            story.a_starts(&cast)?;
        }
    }
    // what was under way when the last peer completed belongs to the story
    while let Some((who, event)) = cast.next_event(Duration::from_millis(300)) {
        story.tell(&cast, who, &event)?;
    }
    cast.check()?;
    story.end(&cast)?;
    cast.leave();
    Ok(())
}
