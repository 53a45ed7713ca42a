//! `unchoke daemon`: a session as a service, with its state in one folder and its API beside it.

mod place;
mod torrents;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use unchoke_runtime::{Session, SessionConfig, SessionEvent};

use crate::api::model::Whereabouts;
use crate::api::{self, Api, ApiAddr, Guard, Server, Token};
use crate::args::DaemonArgs;
use crate::commands::{catch_signals, everywhere, listen};
use crate::errors::{about, interrupted, warn};
use crate::output::line;
use crate::state;

pub(crate) use torrents::Torrents;

/// Runs until it is told to end.
///
/// # Errors
/// One line: a folder or port that cannot be used, or a state that another daemon has.
pub(crate) fn run(args: &DaemonArgs) -> Result<ExitCode> {
    let downloads = &args.download_dir;
    let downloads = downloads.canonicalize().map_err(|e| about("use the folder", downloads, &e))?;
    std::fs::read_dir(&downloads).map_err(|e| about("use the folder", &downloads, &e))?;
    let dir = state::daemon(args.state.as_deref())?;
    let stop = catch_signals()?;
    let session = start(args, &dir)?;
    let events = session.events();
    let token = Token::open(&dir.join(TOKEN))?;
    let api = args.api.clone().unwrap_or_else(|| ApiAddr::Unix(dir.join(SOCKET)));
    let bound = api::bind(&api)?;
    let addr = bound.addr.clone();
    let heard: Vec<String> = session.local_addrs().iter().map(ToString::to_string).collect();
    let is_asked = Arc::new(AtomicBool::new(false));
    let api = Arc::new(Api {
        torrents: Torrents::new(session, downloads, args.swarm.discovery()),
        guard: Guard::new(token, &addr),
        stop: Arc::clone(&is_asked),
    });
    let server = Server::start(bound, api::router(Arc::clone(&api)))?;
    let note = Note::write(&dir, &addr)?;
    if let Some(notice) = api.torrents.notice() {
        warn(notice);
    }
    line(format_args!("listening on {}, api at {addr}", heard.join(", ")))?;
    while !stop.load(Ordering::Relaxed) && !is_asked.load(Ordering::Relaxed) {
        if let Ok(event) = events.recv_timeout(TICK) {
            log(&event);
        }
    }
    // nothing is taken any more that would not be kept
    drop(server);
    drop(note);
    if let Some(api) = Arc::into_inner(api) {
        api.torrents.end(SHUTDOWN_TIMEOUT);
    }
    Ok(if stop.load(Ordering::Relaxed) { interrupted() } else { ExitCode::SUCCESS })
}

fn start(args: &DaemonArgs, dir: &Path) -> Result<Session> {
    let swarm = &args.swarm;
    let config = SessionConfig {
        dht_file: Some(dir.join("dht-nodes")),
        state_dir: Some(dir.to_owned()),
        state_reserve_len: STATE_RESERVE_LEN,
        ..swarm.config()
    };
    listen(&swarm.listen, everywhere, config)
}

fn log(event: &SessionEvent) {
    match event {
        SessionEvent::Warning { hash, text } => tracing::warn!(%hash, "{text}"),
        SessionEvent::Ready { hash, have, pieces } => tracing::info!(%hash, have, pieces, "ready"),
        other => tracing::debug!(?other, "event"),
    }
}

/// The note in the state folder that tells clients where the daemon is; goes when dropped.
struct Note(PathBuf);

impl Note {
    fn write(dir: &Path, addr: &ApiAddr) -> Result<Self> {
        let api = match addr {
            // clients may run in another folder
            ApiAddr::Unix(path) => {
                let whole = std::path::absolute(path).map_err(|e| about("use", path, &e))?;
                ApiAddr::Unix(whole)
            }
            ApiAddr::Tcp(_) => addr.clone(),
        };
        let note = Whereabouts { api: api.to_string(), pid: std::process::id() };
        let text = serde_json::to_string(&note).context("cannot say where the API is")?;
        let (path, temp) = (dir.join(NOTE), dir.join("api.json.new"));
        std::fs::write(&temp, text + "\n")
            .and_then(|()| std::fs::rename(&temp, &path))
            .map_err(|e| about("write", &path, &e))?;
        Ok(Note(path))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // one that stays behind leads to nobody, which clients can tell
        let _ = std::fs::remove_file(&self.0);
    }
}

/// In the state folder: where the daemon is.
pub(crate) const NOTE: &str = "api.json";
/// In the state folder: the secret of the API.
pub(crate) const TOKEN: &str = "token";
/// In the state folder: the socket of the API.
pub(crate) const SOCKET: &str = "api.sock";
/// Bytes set aside for the state on a disk that is full otherwise.
const STATE_RESERVE_LEN: u64 = 64 << 20;
/// The longest wait for a request to end to be noticed.
const TICK: Duration = Duration::from_millis(200);
/// How long trackers may take to hear that we go.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
