//! What one peer has, also before anybody knows how many pieces there are.

use unchoke_wire::message::Message;
use unchoke_wire::{Bitfield, PieceIndex, limits};

/// Have messages kept before the metadata is known; what comes beyond is forgotten, which only costs requests.
const EARLY_HAVES_MAX: usize = 10_000;

/// Bytes of memory of early claims at most.
pub const EARLY_LEN_MAX: usize =
    limits::BITFIELD_LEN_MAX as usize + 2 * EARLY_HAVES_MAX * size_of::<PieceIndex>();

/// A peer claimed pieces that do not exist. The peer broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("claims pieces the torrent does not have")]
pub struct WrongClaim;

/// What a peer has, as far as it told.
#[derive(Clone, Debug)]
pub enum PeerHas {
    /// The number of pieces is not known yet: claims are kept as they came.
    Early {
        /// The payload of its bitfield.
        bitfield: Option<Vec<u8>>,
        /// Whether it said it has all.
        is_all: bool,
        /// Single pieces it told of.
        haves: Vec<PieceIndex>,
    },
    /// The set of its pieces.
    Known(Bitfield),
}

impl PeerHas {
    /// Nothing, of an unknown number of pieces.
    pub fn early() -> Self {
        PeerHas::Early { bitfield: None, is_all: false, haves: Vec::new() }
    }

    /// The set, once the number of pieces is known.
    pub fn known(&self) -> Option<&Bitfield> {
        match self {
            PeerHas::Known(b) => Some(b),
            PeerHas::Early { .. } => None,
        }
    }

    /// Bytes held for it.
    pub fn held(&self) -> usize {
        match self {
            PeerHas::Known(has) => has.as_bytes().len(),
            PeerHas::Early { bitfield, haves, .. } => {
                bitfield.as_ref().map_or(0, Vec::capacity) + haves.capacity() * size_of::<PieceIndex>()
            }
        }
    }

    /// Whether it is known to have all.
    pub fn is_seed(&self) -> bool {
        self.known().is_some_and(Bitfield::is_all)
    }

    /// Takes a bitfield, have-all or have-none: the set is what it says, whatever was said before.
    ///
    /// # Errors
    /// The bitfield has the wrong length or a spare bit.
    pub fn replace(&mut self, message: &Message<'_>) -> Result<(), WrongClaim> {
        match self {
            PeerHas::Known(has) => {
                *has = match message {
                    Message::Bitfield(b) => Bitfield::from_bytes(b, has.len()).map_err(|_| WrongClaim)?,
                    Message::HaveAll => Bitfield::all(has.len()),
                    _ => Bitfield::none(has.len()),
                };
            }
            PeerHas::Early { bitfield, is_all, haves } => {
                haves.clear();
                *is_all = matches!(message, Message::HaveAll);
                *bitfield = match message {
                    Message::Bitfield(b) => Some(b.to_vec()),
                    _ => None,
                };
            }
        }
        Ok(())
    }

    /// Takes a have; `true` if it is news, or may be.
    ///
    /// # Errors
    /// There is no such piece.
    pub fn have(&mut self, piece: PieceIndex) -> Result<bool, WrongClaim> {
        match self {
            PeerHas::Known(has) if piece.0 >= has.len() => Err(WrongClaim),
            PeerHas::Known(has) => Ok(has.set(piece)),
            PeerHas::Early { .. } if piece.0 >= limits::PIECES_MAX => Err(WrongClaim),
            PeerHas::Early { haves, .. } => {
                let has_room = haves.len() < EARLY_HAVES_MAX;
                if has_room {
                    haves.push(piece);
                }
                Ok(has_room)
            }
        }
    }

    /// Takes back a piece; `true` if it was there.
    ///
    /// # Errors
    /// There is no such piece.
    pub fn lose(&mut self, piece: PieceIndex) -> Result<bool, WrongClaim> {
        match self {
            PeerHas::Known(has) if piece.0 >= has.len() => Err(WrongClaim),
            PeerHas::Known(has) => Ok(has.clear(piece)),
            PeerHas::Early { haves, .. } => {
                haves.retain(|p| *p != piece);
                Ok(false)
            }
        }
    }

    /// Turns early claims into a set over `pieces` pieces.
    ///
    /// # Errors
    /// A claim contradicts that number.
    pub fn learn(&mut self, pieces: u32) -> Result<(), WrongClaim> {
        let PeerHas::Early { bitfield, is_all, haves } = self else { return Ok(()) };
        let mut has = match bitfield {
            Some(bytes) => Bitfield::from_bytes(bytes, pieces).map_err(|_| WrongClaim)?,
            None if *is_all => Bitfield::all(pieces),
            None => Bitfield::none(pieces),
        };
        for piece in haves.drain(..) {
            if piece.0 >= pieces {
                return Err(WrongClaim);
            }
            has.set(piece);
        }
        *self = PeerHas::Known(has);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= S39
    #[test]
    fn knowledge_is_the_bitfield_and_then_the_haves() {
        let mut has = PeerHas::early();
        has.replace(&Message::Bitfield(&[0b1100_0000])).unwrap();
        has.have(PieceIndex(2)).unwrap();
        has.learn(3).unwrap();
        assert_eq!(has.known().unwrap().as_bytes(), [0xe0]);
        has.replace(&Message::HaveNone).unwrap();
        assert_eq!(has.known().unwrap().count(), 0);
        has.replace(&Message::HaveAll).unwrap();
        assert!(has.is_seed());
    }

    #[test]
    fn claims_beyond_the_last_piece_are_wrong_at_once_or_when_it_is_known() {
        let mut has = PeerHas::Known(Bitfield::none(3));
        assert_eq!(has.have(PieceIndex(3)), Err(WrongClaim));
        assert_eq!(has.replace(&Message::Bitfield(&[0, 0])), Err(WrongClaim));
        assert_eq!(has.replace(&Message::Bitfield(&[0b0001_0000])), Err(WrongClaim));
        let mut early = PeerHas::early();
        early.have(PieceIndex(7)).unwrap();
        assert_eq!(early.learn(7), Err(WrongClaim));
        let mut early = PeerHas::early();
        early.replace(&Message::Bitfield(&[0xff, 0xff])).unwrap();
        assert_eq!(early.learn(3), Err(WrongClaim));
    }
}
