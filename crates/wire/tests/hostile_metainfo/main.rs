//! Torrents and magnets that mean harm, or were made without care: each row of the corpus is refused with the error of its
//! kind, or read as it says.

mod corpus;

use corpus::bencode::{single, torrent};
use corpus::{Case, Due, Input, rows};
use unchoke_wire::metainfo::Info;
use unchoke_wire::{Magnet, Metainfo, limits};

/// Stack of a thread that reads any torrent: nothing recurses.
const STACK_LEN: usize = 256 << 10;

/// Rows of the plan that the corpus does not hold: resume records, which storage reads.
const ELSEWHERE: [u8; 2] = [65, 66];

#[test]
fn every_row_of_the_plan_is_here_or_in_storage() {
    let mut numbers: Vec<u8> = rows().iter().map(|row| row.number).chain(ELSEWHERE).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=66).collect::<Vec<u8>>());
    assert!(rows().iter().all(|row| !row.name.is_empty() && !(row.cases)().is_empty()));
}

//= BEP 27: private torrents
//= BEP 47: file attributes
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
fn every_row_is_refused_with_its_error_or_read_as_it_says() {
    for row in rows() {
        let walk = move || {
            for (number, case) in (row.cases)().iter().enumerate() {
                check(case, &format!("row {} ({}), case {number}", row.number, row.name));
            }
        };
        let thread = std::thread::Builder::new().stack_size(STACK_LEN).spawn(walk).unwrap();
        assert!(thread.join().is_ok(), "row {}: {}", row.number, row.name);
    }
}

fn check(case: &Case, name: &str) {
    match (&case.input, &case.due) {
        (Input::Torrent(bytes), Due::Refused(due)) => {
            let error = Metainfo::parse(bytes).map(|_| ()).expect_err(name);
            is_told(&format!("{error:?}"), &error.to_string(), due, name);
        }
        (Input::Magnet(text), Due::Refused(due)) => {
            let error = text.parse::<Magnet>().map(|_| ()).expect_err(name);
            is_told(&format!("{error:?}"), &error.to_string(), due, name);
        }
        (Input::Torrent(bytes), Due::Torrent(claim)) => claim(&Metainfo::parse(bytes).expect(name)),
        (Input::Magnet(text), Due::Magnet(claim)) => claim(&text.parse().expect(name)),
        (Input::Torrent(_), Due::Magnet(_)) | (Input::Magnet(_), Due::Torrent(_)) => {
            panic!("{name}: mixed up")
        }
    }
}

fn is_told(kind: &str, text: &str, due: &str, name: &str) {
    assert!(kind.starts_with(due), "{name}: {kind} where {due} is due");
    assert!(!text.is_empty() && !text.contains('\n'), "{name}: {text}");
}

//= H3c-7
#[test]
fn an_info_dictionary_of_peers_is_bounded_as_a_file_is() {
    let max = limits::METAINFO_LEN_MAX;
    let error = Info::parse(&vec![b' '; max + 1]).unwrap_err();
    assert_eq!(format!("{error:?}"), format!("TooLarge({})", max + 1));
    assert_eq!(format!("{:?}", Info::parse(b"le").unwrap_err()), "NotDict");
}

#[test]
fn no_cut_or_flipped_byte_of_a_torrent_panics() {
    let mut refused = 0;
    let [hybrid, v2] = [
        &include_bytes!("../data/libtorrent_hybrid.torrent")[..],
        include_bytes!("../data/libtorrent_v2.torrent"),
    ];
    for good in [torrent(&single()), v2.to_vec(), hybrid.to_vec()] {
        for at in 0..good.len() {
            refused += usize::from(Metainfo::parse(&good[..at]).is_err());
            for bit in [0x01, 0x10, 0x80] {
                let mut bytes = good.clone();
                bytes[at] ^= bit;
                refused += usize::from(Metainfo::parse(&bytes).is_err());
            }
        }
        assert!(Metainfo::parse(&good).is_ok());
    }
    assert!(refused > 2_000, "{refused}");
}
