//! `--json`: events, one object a line. `docs/json-events.md` describes them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};
use unchoke_engine::event::CloseReason;
use unchoke_engine::input::PeerSource;
use unchoke_runtime::{Event, HubEvent, SessionEvent, State};
use unchoke_wire::metainfo::Info;
use unchoke_wire::mutable_torrent::Publisher;

use super::{Report, line};
use crate::commands::{Phase, Tracked, Version};
use crate::describe::hex;
use crate::units;

/// Prints events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// When figures were told last.
    told: Option<Instant>,
}

impl Events {
    /// Prints one event; `fields` is an object.
    fn say(&self, name: &str, torrent: Option<&Tracked>, fields: Value) -> Result<()> {
        let hash = torrent.map(|t| t.handle.info_hash().to_string());
        line(event(name, hash, fields))
    }
}

/// The object of an event: its name, the time, the torrent, then what belongs to it alone.
pub(crate) fn event(name: &str, hash: Option<String>, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), name.into());
    object.insert("time".into(), units::unix_seconds().into());
    if let Some(hash) = hash {
        object.insert("info_hash".into(), hash.into());
    }
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

impl Report for Events {
    fn version(&mut self, name: &str, publisher: &Publisher, version: Version) -> Result<()> {
        let fields = json!({
            "name": name,
            "key": hex(&publisher.key),
            "salt": hex(&publisher.salt),
            "seq": version.seq,
        });
        line(event("version", Some(version.hash.to_string()), fields))
    }

    fn added(&mut self, torrent: &Tracked) -> Result<()> {
        self.say("added", Some(torrent), json!({"name": torrent.name}))
    }

    fn happened(&mut self, torrent: Option<&Tracked>, event: &SessionEvent) -> Result<()> {
        let told = match event {
            SessionEvent::Torrent { event, .. } => of_torrent(event),
            SessionEvent::Checking { done, total, .. } => {
                Some(("checking", json!({"done": done, "total": total})))
            }
            SessionEvent::Ready { have, pieces, .. } => {
                Some(("ready", json!({"have": have, "pieces": pieces})))
            }
            SessionEvent::Warning { text, .. } => Some(("warning", json!({"text": text}))),
            SessionEvent::Dht(event) => of_dht(event),
            SessionEvent::Network(Event::ExternalIp { ip }) => {
                Some(("external_ip", json!({"ip": ip.to_string()})))
            }
            _ => None,
        };
        told.map_or(Ok(()), |(name, fields)| self.say(name, torrent, fields))
    }

    fn progress(&mut self, torrents: &[Tracked]) -> Result<()> {
        if self.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.told = Some(Instant::now());
        let running = torrents
            .iter()
            .filter(|t| !matches!(t.phase, Phase::Failed(_) | Phase::Seeded | Phase::Replaced));
        running.into_iter().try_for_each(|t| self.say("progress", Some(t), figures(t)))
    }

    fn completed(&mut self, torrent: &Tracked) -> Result<()> {
        self.say("completed", Some(torrent), json!({"name": torrent.name}))
    }

    fn seeding(&mut self, torrent: &Tracked, at: SocketAddr) -> Result<()> {
        self.say("seeding", Some(torrent), json!({"name": torrent.name, "listen": at.to_string()}))
    }

    fn failed(&mut self, torrent: &Tracked, why: &str) -> Result<()> {
        self.say("error", Some(torrent), json!({"name": torrent.name, "text": why}))
    }

    fn summary(&mut self, torrents: &[Tracked]) -> Result<()> {
        for torrent in torrents {
            let (down, up) = torrent.moved();
            let fields = json!({
                "name": torrent.name,
                "result": match &torrent.phase {
                    Phase::Complete(_) | Phase::Seeded => "complete",
                    Phase::Failed(_) => "failed",
                    Phase::Replaced => "replaced",
                    Phase::Running => "incomplete",
                },
                "downloaded": down,
                "uploaded": up,
                "wasted": torrent.stats.corrupt,
                "have": torrent.stats.pieces.0,
                "pieces": torrent.stats.pieces.1,
            });
            self.say("summary", Some(torrent), fields)?;
        }
        Ok(())
    }
}

fn figures(t: &Tracked) -> Value {
    let stats = &t.stats;
    let (down, up) = t.moved();
    json!({
        "state": state(&stats.state),
        "have": stats.pieces.0,
        "pieces": stats.pieces.1,
        "total": stats.total_len,
        "left": stats.left,
        "downloaded": down,
        "uploaded": up,
        "rate_down": stats.rates.0,
        "rate_up": stats.rates.1,
        "peers": stats.peers.0,
        "seeds": stats.seeds,
        "known_peers": stats.peers.1,
    })
}

fn state(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Metadata => "metadata",
        State::Checking { .. } => "checking",
        State::Downloading => "downloading",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Error(_) => "error",
        _ => "other",
    }
}

/// What is told of an event of a torrent; `completed` and `error` have ways of their own.
fn of_torrent(event: &Event) -> Option<(&'static str, Value)> {
    let seconds = |d: &Duration| d.as_secs();
    Some(match event {
        Event::MetadataReceived { info, .. } => {
            let info = Info::parse(info).ok()?;
            ("metadata", json!({"name": info.name, "total": info.payload_len(), "files": info.files.len()}))
        }
        Event::PieceDone { piece, .. } => ("piece", json!({"piece": piece.0})),
        Event::PieceFailed { piece, .. } => ("piece_failed", json!({"piece": piece.0})),
        Event::PeerConnected { remote, peer_id, is_outgoing, .. } => {
            let fields = json!({
                "peer": remote.to_string(), "outgoing": is_outgoing, "client": peer_id.client(),
            });
            ("peer_connected", fields)
        }
        Event::PeerDisconnected { remote, reason, .. } => {
            ("peer_disconnected", json!({"peer": remote.to_string(), "reason": close_reason(reason)}))
        }
        Event::PeerBanned { remote, .. } => ("peer_banned", json!({"peer": remote.to_string()})),
        Event::PeersFound { source, new, .. } => {
            ("peers_found", json!({"source": peer_source(*source), "new": new}))
        }
        Event::TrackerReplied { url, peers, warning, next_in, .. } => {
            let fields = json!({
                "url": url, "peers": peers, "warning": warning, "next_in": seconds(next_in),
            });
            ("tracker", fields)
        }
        Event::TrackerFailed { url, error, next_in, .. } => {
            let next_in = next_in.as_ref().map(seconds);
            ("tracker", json!({"url": url, "error": error, "next_in": next_in}))
        }
        _ => return None,
    })
}

fn of_dht(event: &HubEvent) -> Option<(&'static str, Value)> {
    Some(match event {
        HubEvent::DhtReady { is_v6, nodes } => {
            ("dht", json!({"what": "ready", "ipv6": is_v6, "nodes": nodes}))
        }
        HubEvent::DhtSearched { hash, peers } => {
            ("dht", json!({"what": "searched", "info_hash": hash.to_string(), "peers": peers}))
        }
        HubEvent::DhtAnnounced { hash, nodes } => {
            ("dht", json!({"what": "announced", "info_hash": hash.to_string(), "nodes": nodes}))
        }
        HubEvent::DhtState(_) | HubEvent::Dht { .. } => return None,
    })
}

fn peer_source(source: PeerSource) -> String {
    format!("{source:?}").to_lowercase()
}

fn close_reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Protocol(what) => format!("protocol: {what}"),
        other => snake(&format!("{other:?}")),
    }
}

/// `DialFailed` as `dial_failed`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Between two events of figures.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_begins_with_its_name_time_and_torrent() {
        let event = event("piece", Some("ab".to_owned()), json!({"piece": 3}));
        let keys: Vec<&String> = event.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["event", "time", "info_hash", "piece"]);
    }

    #[test]
    fn reasons_are_words_with_underscores() {
        assert_eq!(close_reason(&CloseReason::WrongInfoHash), "wrong_info_hash");
        assert_eq!(close_reason(&CloseReason::Protocol("x".to_owned())), "protocol: x");
    }
}
