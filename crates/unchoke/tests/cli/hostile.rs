//! The corpus of bad torrents and magnets through the commands themselves: one line of error, nothing made, and little
//! memory and time.

#[expect(dead_code, reason = "what the claims hold of is for the tests of the reader")]
#[path = "../../../wire/tests/hostile_metainfo/corpus/mod.rs"]
mod corpus;

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Place;
use corpus::{Due, Input, rows};

/// Bytes of an argument that a system takes.
const ARGUMENT_LEN_MAX: usize = 128 << 10;

/// What a command may take: 512 MiB of addresses, and so many seconds of a processor, which a build that is not made for
/// speed needs more of.
const CAPS: &str = if cfg!(debug_assertions) {
    "ulimit -v 524288 && ulimit -t 20"
} else {
    "ulimit -v 524288 && ulimit -t 2"
};

//= H3c-1
//= H3c-2
//= H3c-3
//= H3c-4
//= H3c-5
//= H3c-6
//= H3c-7
//= H3c-8
//= H3c-9
//= H3c-10
//= H3c-11
//= H3c-12
//= H3c-13
//= H3c-14
//= H3c-15
//= H3c-16
//= H3c-17
//= H3c-18
//= H3c-19
//= H3c-20
//= H3c-21
//= H3c-22
//= H3c-23
//= H3c-24
//= H3c-25
//= H3c-26
//= H3c-27
//= H3c-28
//= H3c-29
//= H3c-30
//= H3c-31
//= H3c-32
//= H3c-33
//= H3c-34
//= H3c-35
//= H3c-36
//= H3c-37
//= H3c-38
//= H3c-39
//= H3c-40
//= H3c-41
//= H3c-42
//= H3c-43
//= H3c-44
//= H3c-45
//= H3c-46
//= H3c-47
//= H3c-48
//= H3c-49
//= H3c-50
//= H3c-51
//= H3c-52
//= H3c-53
//= H3c-54
//= H3c-55
//= H3c-56
//= H3c-57
//= H3c-58
//= H3c-59
//= H3c-60
//= H3c-61
//= H3c-62
//= H3c-63
//= H3c-64
#[test]
fn every_row_is_one_line_of_error_or_shown_and_makes_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    let mut told = 0;
    for row in rows() {
        for (number, case) in (row.cases)().iter().enumerate() {
            let name = format!("row-{}-{number}.torrent", row.number);
            let source = match &case.input {
                Input::Torrent(bytes) => {
                    place.write(&name, bytes);
                    name.clone()
                }
                Input::Magnet(text) if text.len() < ARGUMENT_LEN_MAX => text.clone(),
                Input::Magnet(_) => continue,
            };
            let shown = capped(&place, &["show", &source, "--json"]);
            let is_refused = matches!(case.due, Due::Refused(_));
            assert_eq!(shown.code, Some(i32::from(is_refused)), "{name}: {}", shown.err);
            assert!(
                !shown.err.contains("panicked") && shown.err.lines().count() <= 1,
                "{name}: {}",
                shown.err
            );
            if is_refused {
                shown.is_one_line(&[]);
                assert_eq!(shown.out, "", "{name}");
                let offline = ["--no-dht", "--no-lsd", "--listen", "127.0.0.1:0"];
                let got = capped(&place, &[&["get", &source, "--dir", "out"], &offline[..]].concat());
                got.is_one_line(&[]);
                assert_eq!((got.code, got.out.as_str()), (Some(1), ""), "{name}");
                told += 1;
            } else {
                serde_json::from_str::<serde_json::Value>(&shown.out).unwrap();
            }
            assert_eq!(entries(&place.path("out")), 0, "{name}");
            let _ = std::fs::remove_file(place.path(&name));
            assert_eq!(entries(&place.path("")), 1, "{name}: the folder `out` alone");
        }
    }
    assert!(told >= 100, "{told}");
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// Runs the command under [`CAPS`].
fn capped(place: &Place, args: &[&str]) -> crate::support::Ended {
    let command = place.command(args);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{CAPS} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    shell.current_dir(place.path("")).envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    crate::support::Ended::of(shell.stdin(Stdio::null()).output().unwrap())
}
