//! What goes wrong is told in one line that names it, with the right exit code, and nothing is lost.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, Seed, is_same_tree};

/// Twenty command lines that are wrong in themselves, and what the line about each names.
const BAD_COMMAND_LINES: &[(&[&str], &str)] = &[
    (&[], "no command"),
    (&["fetch"], "'fetch'"),
    (&["get"], "SOURCE"),
    (&["get", "x.torrent", "--fast"], "'--fast'"),
    (&["get", "x.torrent", "--peer", "localhost"], "'localhost'"),
    (&["get", "x.torrent", "--listen", "6881"], "'6881'"),
    (&["get", "x.torrent", "--transport", "carrier-pigeon"], "'carrier-pigeon'"),
    (&["get", "x.torrent", "--encryption", "maybe"], "'maybe'"),
    (&["get", "x.torrent", "--select", "3-1"], "'3-1'"),
    (&["get", "x.torrent", "--limit-down", "fast"], "'fast'"),
    (&["get", "x.torrent", "--ratio", "1"], "--seed"),
    (&["get", "x.torrent", "--seed", "--ratio", "-1"], "'-1'"),
    (&["get", "x.torrent", "--json", "--quiet"], "'--quiet'"),
    (&["get", "x.torrent", "--dht-node", "n:0"], "'n:0'"),
    (&["seed", "x.torrent", "--seed-time", "soon"], "'soon'"),
    (&["create"], "PATH"),
    (&["create", "x", "--piece-length", "48KiB"], "49152"),
    (&["create", "x", "--tracker", "ftp://t.example"], "'ftp://t.example'"),
    (&["create", "x", "--node", "n.example"], "'n.example'"),
    (&["create", "x", "--web-seed", "udp://w.example:1"], "'udp://w.example:1'"),
    (&["verify", "x.torrent"], "--dir"),
    (&["completions", "cmd"], "'cmd'"),
    (&["dht"], "`unchoke help dht`"),
    (&["dht", "pong"], "'pong'"),
    (&["dht", "ping"], "`unchoke help dht ping`"),
    (&["dht", "ping", "localhost"], "'localhost'"),
    (&["dht", "find-node", "1234"], "40 hex digits"),
    (&["dht", "announce", "x.torrent"], "--port"),
    (&["dht", "announce", "x.torrent", "--port", "0"], "'0'"),
    (&["dht", "put"], "VALUE"),
    (&["dht", "put", "x", "--file", "y"], "--file"),
    (&["dht", "put", "x", "--seq", "1"], "--key"),
    (&["dht", "put", "--torrent", "x.torrent"], "--key"),
    (&["dht", "get"], "TARGET"),
    (&["dht", "get", "--key", "1234"], "64 hex digits"),
    (&["dht", "node", "--every", "0"], "'0'"),
    (&["dht", "sample", "-4", "-6"], "--ipv6"),
    (&["get", "x.torrent", "--follow=now"], "'now'"),
    (&["man", "fetch"], "'fetch'"),
];

#[test]
fn a_wrong_command_line_is_one_line_and_exit_2() {
    let place = Place::new();
    for (args, name) in BAD_COMMAND_LINES {
        place.fails(2, args, &[name]);
    }
}

const NAME: &str = "4:name1:a";
const PIECE_LEN: &str = "12:piece lengthi16384e";
const PIECES: &str = "6:pieces20:aaaaaaaaaaaaaaaaaaaa";

/// Thirty torrents that cannot be used.
fn bad_torrents() -> Vec<String> {
    let info = |parts: &[&str]| format!("d4:infod{}ee", parts.concat());
    let files = |files: &str| info(&[&format!("5:filesl{files}e"), NAME, PIECE_LEN, PIECES]);
    let good = info(&["6:lengthi5e", NAME, PIECE_LEN, PIECES]);
    vec![
        String::new(),
        "hello".to_owned(),
        "<html>404</html>".to_owned(),
        "i1e".to_owned(),
        "le".to_owned(),
        "de".to_owned(),
        "d4:infoi1ee".to_owned(),
        "d4:infolee".to_owned(),
        good[..good.len() / 2].to_owned(),
        good[..good.len() - 1].to_owned(),
        good.replace("i5e", "i05e"),
        good.replace("i5e", "i-5e"),
        good.replace("i5e", "i0e"),
        good.replace("i5e", "i99999999999999999999e"),
        good.replace("i5e", "1:5"),
        good.replace("i16384e", "i0e"),
        good.replace("i16384e", "i-1e"),
        good.replace("i16384e", "i4294967296e"),
        good.replace("i5e", "i16385e"),
        good.replace("20:aaaaaaaaaaaaaaaaaaaa", "19:aaaaaaaaaaaaaaaaaaa"),
        good.replace("20:aaaaaaaaaaaaaaaaaaaa", "0:"),
        info(&["6:lengthi5e", PIECE_LEN, PIECES]),
        info(&["6:lengthi5e", NAME, PIECES]),
        info(&["6:lengthi5e", NAME, PIECE_LEN]),
        info(&[NAME, PIECE_LEN, PIECES]),
        info(&["6:lengthi5e", "6:lengthi5e", NAME, PIECE_LEN, PIECES]),
        info(&["5:filesld6:lengthi5e4:pathl1:beee", "6:lengthi5e", NAME, PIECE_LEN, PIECES]),
        info(&["6:lengthi5e", "12:meta versioni3e", NAME, PIECE_LEN, PIECES]),
        files(""),
        files("i1e"),
        files("d6:lengthi5ee"),
        files("d6:lengthi5e4:pathlee"),
        files("d6:lengthi5e4:pathli1eee"),
        files("d4:pathl1:bee"),
        format!("d1:x{}{}e", "l".repeat(1000), "e".repeat(1000)),
    ]
}

/// Magnets that cannot be used.
const BAD_MAGNETS: &[&str] = &[
    "magnet:",
    "magnet:?",
    "magnet:?dn=name",
    "magnet:?xt=urn:btih:",
    "magnet:?xt=urn:btih:1234",
    "magnet:?xt=urn:btih:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "magnet:?xt=urn:sha1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    "magnet:?xt=urn:btmh:1220aaf4",
    "magnet:?xs=urn:btpk:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    "magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e&s=6",
    "magnet:?xt=urn:btih:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d&xt=urn:btih:baf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
];

#[test]
fn a_bad_torrent_is_named_and_nothing_else_happens() {
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    let torrents = bad_torrents();
    assert!(torrents.len() >= 30);
    for (number, bytes) in torrents.iter().enumerate() {
        let name = format!("bad-{number}.torrent");
        place.write(&name, bytes);
        place.fails(1, &["show", &name, "--json"], &[&name]);
        place.fails(1, &["magnet", &name], &[&name]);
        place.fails(1, &["verify", &name, "--dir", "."], &[&name]);
        place.fails(1, &["get", &name, "--dir", "out", "--no-dht"], &[&name]);
        place.fails(1, &["seed", &name, "--dir", "out", "--no-dht"], &[&name]);
        assert_eq!(std::fs::read(place.path(&name)).unwrap(), bytes.as_bytes());
    }
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 0);
}

#[test]
fn a_bad_magnet_is_named_and_nothing_else_happens() {
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    for magnet in BAD_MAGNETS {
        place.fails(1, &["show", magnet, "--json"], &[&magnet[..magnet.len().min(60)]]);
        place.fails(1, &["get", magnet, "--dir", "out", "--no-dht"], &["magnet"]);
    }
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    place.write("f", b"x");
    place.write("empty/none", b"");
    place.ok(&["create", "f"]);
    for (args, name) in [
        (&["show", "nowhere.torrent"][..], "nowhere.torrent"),
        (&["show", "empty"], "empty"),
        (&["magnet", "nowhere.torrent"], "nowhere.torrent"),
        (&["create", "nowhere"], "nowhere"),
        (&["create", "empty"], "no bytes"),
        (&["create", "f", "-o", "nowhere/f.torrent"], "nowhere"),
        (&["create", "f", "-o", "empty"], "empty"),
        (&["verify", "f.torrent", "--dir", "nowhere"], "nowhere"),
        (&["verify", "f.torrent", "--dir", "f"], "not a folder"),
        (&["get", "f.torrent", "--dir", "nowhere"], "nowhere"),
        (&["get", "f.torrent", "--dir", "nowhere/deep"], "nowhere/deep"),
        (&["get", "f.torrent", "--dir", "f"], "not a folder"),
        (&["seed", "f.torrent", "--dir", "nowhere"], "nowhere"),
        (&["seed", "f.torrent", "--dir", "empty"], "1 B of 1 B are missing"),
        (&["man", "--dir", "nowhere"], "nowhere"),
        (&["get", "f.torrent", "--select", "1"], "no file 1"),
        (&["get", "f.torrent", "--select", "*.iso"], "'*.iso'"),
        (&["get", "f.torrent", "--transport", "utp"], "uTP"),
        (&["get", "f.torrent", "--encryption", "require"], "encrypt"),
        (&["get", "f.torrent", "--no-dht", "--listen", "127.0.0.1:0", "--trace", "f.torrent"], "f.torrent"),
    ] {
        place.fails(1, args, &[name]);
    }
    assert!(!place.path("nowhere").exists());
    assert_eq!(std::fs::read(place.path("f")).unwrap(), b"x");
    assert_eq!(place.show("f.torrent")["name"], "f", "the torrent is as it was");
}

#[test]
fn a_busy_port_is_named_when_it_was_asked_for_and_gone_around_when_not() {
    let place = Place::new();
    place.write("f", b"x");
    place.ok(&["create", "f"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    place.fails(1, &["get", "f.torrent", "--no-dht", "--listen", &addr], &[&addr, "in use", "--listen"]);
    place.fails(1, &["seed", "f.torrent", "--no-dht", "--listen", &addr], &[&addr, "in use", "--listen"]);
    // another test or program may have it already
    let _usual = TcpListener::bind("0.0.0.0:6881");
    place.ok(&["get", "f.torrent", "--no-dht"]);
}

#[test]
fn bad_data_is_not_seeded_and_how_much_is_told() {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--piece-length", "16KiB"]);
    let path = place.path("t/z.txt");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let ended = place.run(&["seed", "t.torrent", "--no-dht", "--listen", "127.0.0.1:0", "--quiet"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    ended.is_one_line(&["t: 1 of 153 pieces"]);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn without_a_state_folder_there_is_a_warning_and_the_download() {
    let (place, seed) = swarm();
    place.write("plain", b"a file where a folder is needed");
    let mut command = place.command(&get(&seed, "out"));
    let output = command.env("UNCHOKE_STATE", place.path("plain/state")).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.lines().count() == 1 && err.contains("UNCHOKE_STATE") && err.contains("plain/state"),
        "{err}"
    );
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn a_full_disk_stops_the_download_and_with_more_room_it_goes_on() {
    let (place, seed) = swarm();
    let Some(disk) = SmallDisk::mount(&place.path("out"), "size=1m") else { return };
    let ended = place.run(&get(&seed, "out"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended.is_one_line(&["no space left", "out/t"]);
    disk.remount("size=16m");
    let again: Vec<&str> =
        get(&seed, "out").into_iter().filter(|a| *a != "--quiet").chain(["--json"]).collect();
    let ended = place.run(&again);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let downloaded = ended.event("summary")["downloaded"].as_u64().unwrap();
    assert!(downloaded < 2_500_000, "what was there is kept, {downloaded} bytes were downloaded");
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn a_read_only_folder_is_named() {
    let (place, seed) = swarm();
    let Some(disk) = SmallDisk::mount(&place.path("out"), "size=16m") else { return };
    disk.remount("ro");
    let ended = place.run(&get(&seed, "out"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended.is_one_line(&["read-only", "out"]);
    place.fails(1, &["create", "t", "-o", "out/t.torrent"], &["out/t.torrent", "read-only"]);
}

#[test]
fn a_torrent_is_written_whole_or_not_at_all() {
    let place = Place::new();
    place.write("f", b"x");
    std::fs::create_dir(place.path("out")).unwrap();
    let Some(_disk) = SmallDisk::mount(&place.path("out"), "size=4k") else { return };
    // a page is all there is
    place.write("out/filler", vec![0; 4096]);
    place.fails(1, &["create", "f", "-o", "out/f.torrent"], &["out/f.torrent", "no space left"]);
    let left: Vec<_> =
        std::fs::read_dir(place.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["filler"]);
}

/// A seeded torrent and a folder `out`.
fn swarm() -> (Place, Seed) {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--piece-length", "16KiB"]);
    std::fs::create_dir(place.path("out")).unwrap();
    let seed = place.seed(&["t.torrent"]);
    (place, seed)
}

fn get<'a>(seed: &'a Seed, dir: &'a str) -> Vec<&'a str> {
    vec![
        "get",
        "t.torrent",
        "--quiet",
        "--no-dht",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &seed.addr,
        "--dir",
        dir,
    ]
}

/// A small file system in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, aloud, without the right to mount.
    fn mount(at: &Path, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at);
        match command.output() {
            Ok(output) if output.status.success() => Some(SmallDisk(at.to_owned())),
            _ => {
                eprintln!("SKIPPED: a small disk can be mounted by root alone");
                None
            }
        }
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status = Command::new("mount").args(["-o", &option]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily, as a process that was just killed may still be in it
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
