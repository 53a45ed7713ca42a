//! The piece a peer has no longer (BEP 54).

use crate::extension::ExtensionError;
use crate::layout::PieceIndex;

//= BEP 54: lt_donthave
/// Reads the payload of an `lt_donthave` message. Whether the torrent has such a piece is for the caller to check.
///
/// # Errors
/// [`ExtensionError::Malformed`] when it is not four bytes.
pub fn decode(payload: &[u8]) -> Result<PieceIndex, ExtensionError> {
    let index = payload.try_into().map_err(|_| ExtensionError::Malformed("lt_donthave"))?;
    Ok(PieceIndex(u32::from_be_bytes(index)))
}

/// The payload of an `lt_donthave` message.
pub fn encode(piece: PieceIndex) -> [u8; 4] {
    piece.0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_lost_is_four_bytes() {
        assert_eq!(encode(PieceIndex(0x0102_0304)), [1, 2, 3, 4]);
        assert_eq!(decode(&[1, 2, 3, 4]), Ok(PieceIndex(0x0102_0304)));
        for bytes in [&[][..], &[0; 3], &[0; 5]] {
            assert_eq!(decode(bytes), Err(ExtensionError::Malformed("lt_donthave")));
        }
    }
}
