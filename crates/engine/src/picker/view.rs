//! What the picker is told of a peer that is to be asked for blocks.

use crate::id::PeerKey;
use unchoke_wire::{Bitfield, PieceIndex};

/// A peer as the picker sees it.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// Its name.
    pub key: PeerKey,
    /// The pieces it has, as they were told to [`super::Picker::peer_joined`] and since.
    pub has: &'a Bitfield,
    /// It chokes us: only pieces of `allowed_fast` may be asked for.
    pub is_choked: bool,
    /// Pieces it serves while it chokes us (BEP 6).
    pub allowed_fast: &'a [PieceIndex],
    /// Pieces it would like to serve, the newest first; only the first [`super::SUGGESTED_MAX`] count.
    pub suggested: &'a [PieceIndex],
    /// It let us wait too long: it gets one block at a time, of the commonest pieces.
    pub is_snubbed: bool,
    /// It was part of a piece that failed: it gets whole pieces for itself.
    pub is_on_parole: bool,
    /// Block bytes a second it sends; zero when unknown.
    pub rate: u64,
    /// Blocks it was asked for and has not sent.
    pub requests_out: usize,
    /// What [`super::Picker::open_bytes`] may grow to. A torrent without any begun piece may always begin one.
    pub open_bytes_max: u64,
    /// What other peers of the torrent have that could be asked at once and have nothing to do: connected, of
    /// interest, nothing outstanding, and either not choking us or connected for less than two seconds.
    pub idle_others: &'a [&'a Bitfield],
}
