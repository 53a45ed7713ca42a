//! A crash after every operation: of the process, of the power, and of the power after one of the process.

use super::{Played, Scenario, Setup};
use crate::crash::{DATA, FAR, NEAR, Session, Shape, Tally, cut, no_marks};
use rand::RngExt;
use std::path::Path;
use unchoke_storage::Allocation;
use unchoke_wire::time::Duration;

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "crash/add", what: "torrents are added one by one", run: |s| play(s, add) },
    Scenario { name: "crash/add-many", what: "many torrents are added at once", run: add_many },
    Scenario { name: "crash/edit", what: "torrents are paused and resumed", run: |s| play(s, edit) },
    Scenario { name: "crash/select", what: "other files are chosen", run: |s| play(s, select) },
    Scenario { name: "crash/remove", what: "torrents are removed", run: |s| play(s, |s| remove(s, false)) },
    Scenario {
        name: "crash/remove-data",
        what: "torrents are removed with their data",
        run: |s| play(s, |s| remove(s, true)),
    },
    Scenario { name: "crash/download", what: "a torrent is downloaded", run: |s| play(s, download) },
    Scenario { name: "crash/download-five", what: "torrents are downloaded", run: download_some },
    Scenario {
        name: "crash/unflushed",
        what: "pieces are written and not synced",
        run: |s| play(s, unflushed),
    },
    Scenario { name: "crash/finish", what: "a torrent is finished", run: |s| play(s, finish) },
    Scenario {
        name: "crash/finish-part",
        what: "a torrent is finished in parts",
        run: |s| play(s, finish_part),
    },
    Scenario {
        name: "crash/move",
        what: "torrents go to another folder of their disk",
        run: |s| play(s, |s| relocate(s, NEAR)),
    },
    Scenario {
        name: "crash/move-across",
        what: "torrents go to another disk",
        run: |s| play(s, |s| relocate(s, FAR)),
    },
    Scenario {
        name: "crash/move-renamed",
        what: "torrents go to another folder of a disk without second names",
        run: |s| tell(s, Session::without_links(s.seed)?, |s| relocate(s, NEAR)),
    },
    Scenario {
        name: "crash/move-remove",
        what: "torrents are removed with their data when a move broke off",
        run: |s| play(s, remove_moving),
    },
    Scenario { name: "crash/full-allocation", what: "space is claimed at once", run: |s| play(s, full) },
    Scenario {
        name: "crash/generations",
        what: "records are replaced again and again",
        run: |s| play(s, generations),
    },
    Scenario {
        name: "crash/restart",
        what: "a session ends and begins in between",
        run: |s| play(s, restart),
    },
    Scenario {
        name: "crash/stop",
        what: "a session with many torrents is told to end",
        run: |s| play(s, stop),
    },
    Scenario { name: "crash/two-sessions", what: "a second session begins", run: |s| play(s, two) },
    Scenario { name: "crash/life", what: "all of it, in any order", run: |s| play(s, life) },
];

/// Makes a history, and cuts it.
fn play(setup: &Setup, script: impl FnOnce(&mut Session) -> Result<(), String>) -> Result<Played, String> {
    tell(setup, Session::new(setup.seed)?, script)
}

/// As [`play`], of a session that begins so.
fn tell(
    setup: &Setup,
    mut session: Session,
    script: impl FnOnce(&mut Session) -> Result<(), String>,
) -> Result<Played, String> {
    script(&mut session)?;
    let tally = cut(&session.into_tale(), setup.seed)?;
    Ok(played(tally))
}

fn played(tally: Tally) -> Played {
    let Tally { operations, points, torrents, trusted, checked } = tally;
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    for number in [operations as u64, points as u64, torrents as u64, trusted, checked] {
        digest = (digest ^ number).wrapping_mul(0x0100_0000_01b3);
    }
    Played {
        hosts: 1,
        time: Duration::ZERO,
        digest,
        marks: no_marks(),
        figures: vec![
            ("crash points", points.to_string()),
            ("operations", operations.to_string()),
            ("pieces trusted", trusted.to_string()),
            ("pieces checked", checked.to_string()),
        ],
    }
}

fn add(s: &mut Session) -> Result<(), String> {
    for shape in [Shape::Single, Shape::Folders, Shape::Single] {
        s.add(1, shape)?;
    }
    Ok(())
}

fn add_many(setup: &Setup) -> Result<Played, String> {
    play(setup, |s| s.add(setup.peers.unwrap_or(30), Shape::Single).map(drop))
}

fn edit(s: &mut Session) -> Result<(), String> {
    let hashes = s.add(3, Shape::Single)?;
    for _ in 0..8 {
        let hash = hashes[s.rng.random_range(0..hashes.len())];
        let is_paused = s.rng.random_bool(0.6);
        s.pause(hash, is_paused)?;
    }
    Ok(())
}

fn select(s: &mut Session) -> Result<(), String> {
    let hash = s.add(1, Shape::Folders)?[0];
    for _ in 0..3 {
        s.select(hash)?;
        s.download(hash, 2)?;
    }
    s.save(&[hash])
}

fn remove(s: &mut Session, delete_data: bool) -> Result<(), String> {
    let mut hashes = s.add(1, Shape::Folders)?;
    hashes.extend(s.add(2, Shape::Single)?);
    s.select(hashes[0])?;
    for hash in &hashes {
        s.download(*hash, 4)?;
    }
    s.save(&hashes[..2])?;
    hashes.into_iter().try_for_each(|hash| s.remove(hash, delete_data))
}

fn download(s: &mut Session) -> Result<(), String> {
    let hash = s.add(1, Shape::Single)?[0];
    while s.download(hash, 2)? {
        s.save(&[hash])?;
    }
    s.save(&[hash])
}

fn download_some(setup: &Setup) -> Result<Played, String> {
    play(setup, |s| {
        let hashes = s.add(setup.peers.unwrap_or(5), Shape::Single)?;
        for _ in 0..3 {
            for hash in &hashes {
                s.download(*hash, 1)?;
            }
            s.save(&hashes)?;
        }
        Ok(())
    })
}

fn unflushed(s: &mut Session) -> Result<(), String> {
    let hashes = [s.add(1, Shape::Folders)?[0], s.add(1, Shape::Single)?[0]];
    for hash in hashes {
        s.download(hash, 3)?;
    }
    s.save(&hashes)?;
    for hash in hashes {
        s.download(hash, 20)?;
    }
    Ok(())
}

fn finish(s: &mut Session) -> Result<(), String> {
    for shape in [Shape::Folders, Shape::Single] {
        let hash = s.add(1, shape)?[0];
        s.complete(hash)?;
    }
    Ok(())
}

fn finish_part(s: &mut Session) -> Result<(), String> {
    let hash = s.add(1, Shape::Folders)?[0];
    for _ in 0..2 {
        s.select(hash)?;
        s.complete(hash)?;
    }
    Ok(())
}

fn relocate(s: &mut Session, to: &str) -> Result<(), String> {
    let (some, all) = (s.add(1, Shape::Folders)?[0], s.add(1, Shape::Single)?[0]);
    s.select(some)?;
    s.download(some, 3)?;
    s.complete(all)?;
    s.relocate(some, to)?;
    s.relocate(all, to)?;
    s.complete(some)?;
    s.relocate(some, DATA)
}

fn remove_moving(s: &mut Session) -> Result<(), String> {
    for (to, is_placed) in [(NEAR, false), (NEAR, true), (FAR, false), (FAR, true)] {
        let hash = s.add(1, Shape::Folders)?[0];
        s.select(hash)?;
        s.download(hash, 3)?;
        s.remove_moving(hash, to, is_placed)?;
    }
    Ok(())
}

fn full(s: &mut Session) -> Result<(), String> {
    s.allocation = Allocation::Full;
    let hash = s.add(1, Shape::Folders)?[0];
    s.complete(hash)
}

fn generations(s: &mut Session) -> Result<(), String> {
    let hashes = s.add(4, Shape::Single)?;
    for _ in 0..12 {
        let hash = hashes[s.rng.random_range(0..hashes.len())];
        s.download(hash, 1)?;
        s.save(&[hash])?;
    }
    Ok(())
}

fn restart(s: &mut Session) -> Result<(), String> {
    let hash = s.add(1, Shape::Folders)?[0];
    for _ in 0..3 {
        s.download(hash, 2)?;
        s.save(&[hash])?;
        s.restart()?;
    }
    s.complete(hash)
}

fn stop(s: &mut Session) -> Result<(), String> {
    let hashes = s.add(6, Shape::Single)?;
    for hash in &hashes {
        s.download(*hash, 2)?;
    }
    s.save(&hashes)?;
    s.restart()
}

fn two(s: &mut Session) -> Result<(), String> {
    let hash = s.add(1, Shape::Single)?[0];
    s.second()?;
    s.download(hash, 3)?;
    s.second()?;
    s.save(&[hash])
}

fn life(s: &mut Session) -> Result<(), String> {
    let mut hashes = s.add(1, Shape::Folders)?;
    for _ in 0..10 {
        let at = s.rng.random_range(0..hashes.len().max(1));
        match (s.rng.random_range(0..9), hashes.get(at).copied()) {
            (0, _) | (_, None) => {
                let shape = if s.rng.random_bool(0.5) { Shape::Single } else { Shape::Folders };
                hashes.extend(s.add(1, shape)?);
            }
            (1, Some(hash)) => s.pause(hash, true)?,
            (2, Some(hash)) => s.select(hash)?,
            (3, Some(hash)) => s.complete(hash)?,
            (4, Some(hash)) => {
                let delete_data = s.rng.random_bool(0.5);
                s.remove(hash, delete_data)?;
                hashes.remove(at);
            }
            (5, Some(_)) => s.restart()?,
            (6, Some(hash)) => {
                let to = [DATA, NEAR, FAR][s.rng.random_range(0..3)];
                if s.dir(hash) != Some(Path::new(to)) {
                    s.relocate(hash, to)?;
                }
            }
            (_, Some(hash)) => {
                s.download(hash, 3)?;
                s.save(&[hash])?;
            }
        }
    }
    Ok(())
}
