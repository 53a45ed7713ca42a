//! What a daemon was asked for, and what it must therefore have: certainly, or either of two things where the kill came
//! before the answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::api::Request;
use super::place::{DIRS, Place};
use crate::fixtures::Rng;

/// During what the daemon is killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Add,
    Download,
    Finish,
    Move,
    Select,
    Pause,
    Remove,
    RemoveData,
    Recheck,
    Start,
}

impl Kind {
    /// Those that move bytes come more often.
    pub(super) const ALL: [Kind; 16] = [
        Kind::Add,
        Kind::Download,
        Kind::Download,
        Kind::Download,
        Kind::Finish,
        Kind::Finish,
        Kind::Finish,
        Kind::Move,
        Kind::Move,
        Kind::Move,
        Kind::Select,
        Kind::Pause,
        Kind::Remove,
        Kind::RemoveData,
        Kind::Recheck,
        Kind::Start,
    ];

    /// How long after the request the kill comes at the latest.
    pub(super) fn longest(self) -> Duration {
        Duration::from_millis(match self {
            Kind::Add | Kind::Select | Kind::Pause | Kind::Remove | Kind::RemoveData => 25,
            Kind::Download => 600,
            Kind::Finish => 60,
            Kind::Move => 50,
            Kind::Recheck => 40,
            Kind::Start => 300,
        })
    }
}

/// What is known of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// The folder it is in.
    pub(super) dir: usize,
    pub(super) is_paused: bool,
    /// Which files are wanted.
    pub(super) selection: Option<Vec<usize>>,
    /// Bytes received and sent, and when they were seen.
    pub(super) totals: Vec<(Instant, [u64; 2])>,
}

/// What a torrent may be: one thing, or one of two.
#[derive(Clone, Debug)]
pub(super) struct Possible {
    pub(super) now: Option<Known>,
    pub(super) or: Option<Option<Known>>,
    /// Whether its data may be gone while it is still there.
    pub(super) data_may_be_gone: bool,
}

/// All torrents, by their place.
pub(super) struct Model {
    pub(super) torrents: Vec<Possible>,
}

/// What is asked next, and what comes of it.
pub(super) struct Step {
    torrent: usize,
    pub(super) request: Option<Request>,
    after: Option<Known>,
    deletes: bool,
}

impl Model {
    /// Nothing is there.
    pub(super) fn new(count: usize) -> Self {
        let absent = Possible { now: None, or: None, data_may_be_gone: false };
        Model { torrents: vec![absent; count] }
    }

    /// Brings a torrent to where the step begins, and gives the step.
    pub(super) fn prepare(&mut self, kind: Kind, place: &mut Place, rng: &mut Rng) -> Result<Step> {
        let torrent = rng.below(self.torrents.len());
        let hash = place.torrents[torrent].hash.clone();
        let path = format!("/api/v1/torrents/{hash}");
        if kind == Kind::Add {
            self.without(torrent, place)?;
            let (request, after) = add(place, torrent, rng);
            return Ok(Step { torrent, request: Some(request), after: Some(after), deletes: false });
        }
        if matches!(kind, Kind::Download | Kind::Finish) {
            // one that has something left to get
            let is_over = match &self.torrents[torrent].now {
                Some(_) => place.api().get(&path)?["left"].as_u64() == Some(0),
                None => false,
            };
            if is_over {
                self.without(torrent, place)?;
            }
        }
        let mut known = self.with(torrent, place, rng)?;
        let (mut request, mut after) = (None, Some(known.clone()));
        let mut deletes = false;
        match kind {
            Kind::Add | Kind::Start => {}
            Kind::Download | Kind::Finish => {
                if known.is_paused {
                    place.api().expect(&Request::plain("POST", format!("{path}/resume")))?;
                    known.is_paused = false;
                }
                self.torrents[torrent].now = Some(known.clone());
                after = Some(known);
                if kind == Kind::Finish {
                    wait_nearly_done(place, &path)?;
                }
            }
            Kind::Move => {
                let dir = (known.dir + 1 + rng.below(DIRS.len() - 1)) % DIRS.len();
                let body = json!({ "dir": DIRS[dir] });
                request = Some(Request::json("POST", format!("{path}/move"), &body));
                after = Some(Known { dir, ..known });
            }
            Kind::Select => {
                let count = place.torrents[torrent].metainfo.info.files.len();
                let first = rng.below(count);
                let chosen: Vec<usize> = (first..count).collect();
                let body = json!({ "select": format!("{first}-{}", count - 1) });
                request = Some(Request::json("POST", format!("{path}/select"), &body));
                after = Some(Known { selection: Some(chosen), ..known });
            }
            Kind::Pause => {
                let verb = if known.is_paused { "resume" } else { "pause" };
                request = Some(Request::plain("POST", format!("{path}/{verb}")));
                after = Some(Known { is_paused: !known.is_paused, ..known });
            }
            Kind::Recheck => request = Some(Request::plain("POST", format!("{path}/recheck"))),
            Kind::Remove | Kind::RemoveData => {
                deletes = kind == Kind::RemoveData;
                request = Some(Request::plain("DELETE", format!("{path}?delete_data={deletes}")));
                after = None;
            }
        }
        Ok(Step { torrent, request, after, deletes })
    }

    /// Notes what was asked, and whether it was answered.
    pub(super) fn apply(&mut self, step: &Step, is_done: bool) {
        let possible = &mut self.torrents[step.torrent];
        if is_done {
            possible.now.clone_from(&step.after);
        } else if possible.now != step.after {
            possible.or = Some(step.after.clone());
            possible.data_may_be_gone = step.deletes;
        }
    }

    /// Takes a torrent out, if it is there, with its data.
    fn without(&mut self, torrent: usize, place: &Place) -> Result<()> {
        if self.torrents[torrent].now.take().is_some() {
            let hash = &place.torrents[torrent].hash;
            let path = format!("/api/v1/torrents/{hash}?delete_data=true");
            place.api().expect(&Request::plain("DELETE", path))?;
        }
        Ok(())
    }

    /// Adds a torrent, if it is not there, and lets some of it come.
    fn with(&mut self, torrent: usize, place: &Place, rng: &mut Rng) -> Result<Known> {
        if let Some(known) = &self.torrents[torrent].now {
            return Ok(known.clone());
        }
        let (request, known) = add(place, torrent, rng);
        place.api().expect(&request)?;
        self.torrents[torrent].now = Some(known.clone());
        if rng.below(2) == 0 {
            std::thread::sleep(Duration::from_millis(rng.next() % 300));
        }
        Ok(known)
    }
}

fn add(place: &Place, torrent: usize, rng: &mut Rng) -> (Request, Known) {
    let dir = rng.below(DIRS.len());
    let is_paused = rng.below(5) == 0;
    let query = format!("?dir={}&paused={is_paused}", DIRS[dir].replace('/', "%2F"));
    let request = Request {
        method: "POST",
        path: format!("/api/v1/torrents{query}"),
        kind: "application/x-bittorrent",
        body: place.torrents[torrent].bytes.clone(),
    };
    (request, Known { dir, is_paused, selection: None, totals: Vec::new() })
}

/// Waits until a torrent has all but a few of its pieces, or nothing more comes.
fn wait_nearly_done(place: &Place, path: &str) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let left = place.api().get(path)?["left"].as_u64();
        if left.is_some_and(|left| left < 200_000) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
