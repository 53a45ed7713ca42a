//! `unchoke magnet`: the magnet link of a `.torrent` file.

use std::process::ExitCode;

use anyhow::Result;
use unchoke_wire::Magnet;

use crate::args::MagnetArgs;
use crate::{output, source};

pub(super) fn run(args: &MagnetArgs) -> Result<ExitCode> {
    let metainfo = source::torrent(&args.torrent)?;
    output::line(Magnet::from(&metainfo))?;
    Ok(ExitCode::SUCCESS)
}
