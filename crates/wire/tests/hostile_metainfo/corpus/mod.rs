//! The corpus of torrents and magnets that mean harm, or were made without care: rows with their numbers, each with the
//! inputs that its generator makes and what has to come of them.
//!
//! Rows 65 and 66 are about resume records, and belong to storage.

pub mod bencode;
mod files;
mod form;
mod names;
mod rest;
mod v2;

use unchoke_wire::{Magnet, Metainfo};

/// One row.
pub struct Row {
    /// Its number, from 1.
    pub number: u8,
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// Makes its inputs.
    pub cases: fn() -> Vec<Case>,
}

/// One input of a row.
pub struct Case {
    /// What is read.
    pub input: Input,
    /// What has to come of it.
    pub due: Due,
}

/// What is read.
pub enum Input {
    /// A `.torrent` file.
    Torrent(Vec<u8>),
    /// The text of a magnet.
    Magnet(String),
}

/// What has to come of an input.
pub enum Due {
    /// An error whose `Debug` form begins so: its name, and where they matter its values.
    Refused(&'static str),
    /// A torrent that this holds of.
    Torrent(Box<dyn Fn(&Metainfo)>),
    /// A magnet that this holds of.
    Magnet(Box<dyn Fn(&Magnet)>),
}

/// Every row, by number.
pub fn rows() -> Vec<Row> {
    let parts = [form::ROWS, names::ROWS, files::ROWS, v2::ROWS, rest::ROWS];
    let mut rows: Vec<Row> =
        parts.into_iter().flatten().map(|&(number, name, cases)| Row { number, name, cases }).collect();
    rows.sort_by_key(|row| row.number);
    rows
}

/// A row as its part lists it.
type Listed = (u8, &'static str, fn() -> Vec<Case>);

fn refused(bytes: impl AsRef<[u8]>, error: &'static str) -> Case {
    Case { input: Input::Torrent(bytes.as_ref().to_vec()), due: Due::Refused(error) }
}

fn read(bytes: Vec<u8>, claim: impl Fn(&Metainfo) + 'static) -> Case {
    Case { input: Input::Torrent(bytes), due: Due::Torrent(Box::new(claim)) }
}

fn magnet_refused(text: String, error: &'static str) -> Case {
    Case { input: Input::Magnet(text), due: Due::Refused(error) }
}

fn magnet_read(text: String, claim: impl Fn(&Magnet) + 'static) -> Case {
    Case { input: Input::Magnet(text), due: Due::Magnet(Box::new(claim)) }
}
