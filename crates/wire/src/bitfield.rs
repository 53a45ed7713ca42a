//! A set of pieces, in the bit order of the wire: piece 0 is the highest bit of the first byte (BEP 3).

use crate::layout::PieceIndex;

/// Which pieces of a torrent somebody has. Spare bits at the end are always zero.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

/// Why bytes are no bitfield for a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// Not ⌈pieces / 8⌉ bytes long.
    #[error("bitfield of {got} bytes where {expected} are due")]
    Length {
        /// Bytes due.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A bit beyond the last piece is set.
    #[error("bitfield with a spare bit set")]
    SpareBit,
}

impl Bitfield {
    /// A set over `len` pieces with none of them.
    pub fn none(len: u32) -> Self {
        Bitfield { bytes: vec![0; Self::byte_len(len)], len, ones: 0 }
    }

    /// A set over `len` pieces with all of them.
    pub fn all(len: u32) -> Self {
        let mut bytes = vec![0xff; Self::byte_len(len)];
        if let Some(last) = bytes.last_mut() {
            *last &= Self::last_mask(len);
        }
        Bitfield { bytes, len, ones: len }
    }

    //= BEP 3: bitfield is ceil(n/8) bytes, high bit first, spare bits zero
    /// Reads the payload of a bitfield message for a torrent of `len` pieces.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        if bytes.len() != Self::byte_len(len) {
            return Err(BitfieldError::Length { expected: Self::byte_len(len), got: bytes.len() });
        }
        if bytes.last().is_some_and(|last| last & !Self::last_mask(len) != 0) {
            return Err(BitfieldError::SpareBit);
        }
        let ones = words(bytes).map(u64::count_ones).sum();
        Ok(Bitfield { bytes: bytes.to_vec(), len, ones })
    }

    /// How many bytes a set over `len` pieces takes.
    pub fn byte_len(len: u32) -> usize {
        usize::try_from(len.div_ceil(8)).expect("a u32 fits the address space")
    }

    fn last_mask(len: u32) -> u8 {
        match len % 8 {
            0 => 0xff,
            used => !(0xff >> used),
        }
    }

    #[inline]
    fn at(piece: PieceIndex) -> (usize, u8) {
        (usize::try_from(piece.0 / 8).expect("a u32 fits the address space"), 0x80 >> (piece.0 % 8))
    }

    /// How many pieces the torrent has.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the set is over no pieces at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces are in the set.
    #[inline]
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether every piece is in the set.
    pub fn is_all(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `piece` is in the set; `false` beyond the end.
    #[inline]
    pub fn has(&self, piece: PieceIndex) -> bool {
        let (byte, bit) = Self::at(piece);
        piece.0 < self.len && self.bytes.get(byte).is_some_and(|b| b & bit != 0)
    }

    /// Puts `piece` in; `true` if it was not in. Beyond the end nothing happens.
    pub fn set(&mut self, piece: PieceIndex) -> bool {
        if piece.0 >= self.len || self.has(piece) {
            return false;
        }
        let (byte, bit) = Self::at(piece);
        self.bytes[byte] |= bit;
        self.ones += 1;
        true
    }

    /// Takes `piece` out; `true` if it was in.
    pub fn clear(&mut self, piece: PieceIndex) -> bool {
        if !self.has(piece) {
            return false;
        }
        let (byte, bit) = Self::at(piece);
        self.bytes[byte] &= !bit;
        self.ones -= 1;
        true
    }

    /// The payload of a bitfield message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        words(&self.bytes).zip(0..).flat_map(|(bits, at)| Ones { bits, at })
    }

    /// The pieces not in the set, ascending.
    pub fn missing(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let len = self.len;
        words(&self.bytes).zip(0..).flat_map(|(bits, at)| Ones { bits: !bits, at }).filter(move |p| p.0 < len)
    }

    /// The pieces in both sets, from the word of 64 that `from` lies in to the end and then from the first word,
    /// ascending in each part. Both are over the same torrent. What neither part has in common is passed over by
    /// Some bytes at a time.
    pub fn common<'a>(
        &'a self,
        other: &'a Bitfield,
        from: PieceIndex,
    ) -> impl Iterator<Item = PieceIndex> + 'a {
        let len = self.bytes.len().min(other.bytes.len());
        let (word, _) = Self::at(from);
        let middle = (word / WORD_LEN * WORD_LEN).min(len);
        let (a, b) = (&self.bytes[..len], &other.bytes[..len]);
        common_in(a, b, middle).chain(common_in(&a[..middle], &b[..middle], 0))
    }

    /// How many pieces are in both sets. Both are over the same torrent.
    pub fn count_common(&self, other: &Bitfield) -> u32 {
        words(&self.bytes).zip(words(&other.bytes)).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// Whether some piece is in both sets. Both are over the same torrent.
    pub fn has_common(&self, other: &Bitfield) -> bool {
        let mut strides = self.bytes.chunks(STRIDE).zip(other.bytes.chunks(STRIDE));
        strides.any(|(a, b)| a.iter().zip(b).fold(0, |any, (a, b)| any | (a & b)) != 0)
    }

    /// Whether `self` has a piece that `other` lacks. Both are over the same torrent.
    pub fn has_any_not_in(&self, other: &Bitfield) -> bool {
        let mut strides = self.bytes.chunks(STRIDE).zip(other.bytes.chunks(STRIDE));
        strides.any(|(a, b)| a.iter().zip(b).fold(0, |any, (a, b)| any | (a & !b)) != 0)
    }
}

/// Bytes of a word.
const WORD_LEN: usize = 8;
/// Bytes looked at before it is asked whether there was anything: a few registers of a vector unit.
const STRIDE: usize = 128;

/// The bytes as numbers of eight, the first bit highest; zeros beyond the end.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, rest) = bytes.as_chunks::<WORD_LEN>();
    let mut last = [0; WORD_LEN];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(u64::from_be_bytes(last));
    whole.iter().map(|word| u64::from_be_bytes(*word)).chain(last)
}

/// The bits that both have from byte `start` on, which begins a word.
fn common_in<'a>(a: &'a [u8], b: &'a [u8], start: usize) -> impl Iterator<Item = PieceIndex> + 'a {
    let strides = a[start..]
        .chunks(STRIDE)
        .zip(b[start..].chunks(STRIDE))
        .zip((start / WORD_LEN..).step_by(STRIDE / WORD_LEN));
    let used = strides.filter(|((a, b), _)| a.iter().zip(*b).fold(0, |any, (a, b)| any | (a & b)) != 0);
    used.flat_map(|((a, b), first)| {
        let first = u32::try_from(first).expect("pieces are counted in u32");
        words(a).zip(words(b)).zip(first..).flat_map(|((a, b), at)| Ones { bits: a & b, at })
    })
}

/// The ones of a word as pieces, ascending.
struct Ones {
    bits: u64,
    /// The index of the word.
    at: u32,
}

impl Iterator for Ones {
    type Item = PieceIndex;

    fn next(&mut self) -> Option<PieceIndex> {
        if self.bits == 0 {
            return None;
        }
        let bit = self.bits.leading_zeros();
        self.bits &= !(1 << 63 >> bit);
        Some(PieceIndex(self.at * u64::BITS + bit))
    }
}

impl core::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bitfield({}/{})", self.ones, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    //= S31
    #[test]
    fn the_notes_example_10100011_means_pieces_0_2_6_7() {
        let b = Bitfield::from_bytes(&[0b1010_0011], 8).unwrap();
        assert_eq!(b.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 2, 6, 7]);
        assert_eq!(b.as_bytes(), [0xa3]);
    }

    //= S33
    #[test]
    fn a_seed_has_all_ones_and_no_spare_bit() {
        assert_eq!(Bitfield::all(3).as_bytes(), [0xe0]);
        assert!(Bitfield::all(3).is_all());
        assert_eq!(Bitfield::from_bytes(&[0xf0], 3), Err(BitfieldError::SpareBit));
        assert_eq!(Bitfield::from_bytes(&[], 3), Err(BitfieldError::Length { expected: 1, got: 0 }));
    }

    proptest! {
        #[test]
        fn set_and_clear_agree_with_a_list(len in 1u32..100, ops in prop::collection::vec((0u32..110, any::<bool>()), 0..200)) {
            let mut b = Bitfield::none(len);
            let mut model = [false; 110];
            for (i, on) in ops {
                let changed = if on { b.set(PieceIndex(i)) } else { b.clear(PieceIndex(i)) };
                let slot = &mut model[i as usize];
                prop_assert_eq!(changed, i < len && *slot != on);
                if i < len { *slot = on; }
            }
            let have: Vec<u32> = (0..len).filter(|i| model[*i as usize]).collect();
            prop_assert_eq!(b.iter().map(|p| p.0).collect::<Vec<_>>(), have.clone());
            prop_assert_eq!(b.missing().count() + have.len(), len as usize);
            prop_assert_eq!(b.count() as usize, have.len());
            prop_assert_eq!(&Bitfield::from_bytes(b.as_bytes(), len).unwrap(), &b);
        }

        #[test]
        fn what_two_sets_have_in_common_agrees_with_a_list(
            len in 1u32..3000,
            a in prop::collection::vec(0u32..3000, 0..40),
            b in prop::collection::vec(0u32..3000, 0..40),
            share in any::<bool>(),
            from in 0u32..3100,
        ) {
            let set = |of: &[u32]| {
                let mut set = Bitfield::none(len);
                of.iter().for_each(|p| _ = set.set(PieceIndex(*p)));
                set
            };
            let (one, other) = (set(&a), set(&if share { [a.clone(), b].concat() } else { b }));
            let both: Vec<PieceIndex> = one.iter().filter(|p| other.has(*p)).collect();
            let mut common: Vec<PieceIndex> = one.common(&other, PieceIndex(from)).collect();
            if let Some(first) = common.first() {
                let ahead = both.iter().any(|p| p.0 / 64 >= from / 64);
                prop_assert_eq!(first.0 / 64 >= from / 64, ahead);
            }
            common.sort();
            prop_assert_eq!(&common, &both);
            prop_assert_eq!(one.count_common(&other) as usize, both.len());
            prop_assert_eq!(one.has_common(&other), !both.is_empty());
            prop_assert_eq!(one.has_any_not_in(&other), one.iter().any(|p| !other.has(p)));
            prop_assert_eq!(one.missing().count(), (len - one.count()) as usize);
        }
    }
}
