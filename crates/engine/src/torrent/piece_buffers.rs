//! The bytes of pieces being received, until they are verified and written.

use crate::id::ConnId;
use std::collections::BTreeMap;
use unchoke_wire::{Bitfield, BlockRef, Layout, PieceIndex};

#[derive(Debug)]
struct PieceBuffer {
    data: Box<[u8]>,
    /// Who is writing a block straight to its place.
    writers: BTreeMap<u32, ConnId>,
}

/// A block as it arrives from one connection.
#[derive(Debug)]
pub struct Incoming {
    /// The block.
    pub block: BlockRef,
    got: u32,
    /// Its bytes, when another connection is writing to the block's place.
    aside: Option<Vec<u8>>,
}

/// The bytes of the open pieces of one torrent.
///
/// A block has one writer at a time. A second connection that sends the same block (end-game) collects it aside, so
/// that the bytes of a block in place are those of one peer, and blame for bad ones hits the right one.
#[derive(Debug, Default)]
pub struct PieceBuffers {
    pieces: BTreeMap<PieceIndex, PieceBuffer>,
}

impl PieceBuffers {
    /// Begins to receive a block that lies in the torrent.
    pub fn begin(&mut self, layout: &Layout, block: BlockRef, conn: ConnId) -> Incoming {
        let buffer = self.open(layout, block.piece);
        let is_writer = *buffer.writers.entry(block.begin).or_insert(conn) == conn;
        Incoming { block, got: 0, aside: (!is_writer).then(|| Vec::with_capacity(block.len as usize)) }
    }

    fn open(&mut self, layout: &Layout, piece: PieceIndex) -> &mut PieceBuffer {
        self.pieces.entry(piece).or_insert_with(|| PieceBuffer {
            data: vec![0; layout.len_of(piece) as usize].into_boxed_slice(),
            writers: BTreeMap::new(),
        })
    }

    /// Takes the next bytes of a block; never more than are left of it.
    pub fn write(&mut self, incoming: &mut Incoming, bytes: &[u8]) {
        let from = (incoming.block.begin + incoming.got) as usize;
        incoming.got += u32::try_from(bytes.len()).expect("a part of a block");
        assert!(incoming.got <= incoming.block.len, "bytes beyond their block");
        match &mut incoming.aside {
            Some(aside) => aside.extend_from_slice(bytes),
            None => {
                if let Some(buffer) = self.pieces.get_mut(&incoming.block.piece) {
                    buffer.data[from..from + bytes.len()].copy_from_slice(bytes);
                }
            }
        }
    }

    /// Ends a whole block that is of use: its bytes are in place afterwards.
    pub fn end(&mut self, incoming: Incoming) {
        let Some(buffer) = self.pieces.get_mut(&incoming.block.piece) else { return };
        buffer.writers.remove(&incoming.block.begin);
        if let Some(aside) = incoming.aside {
            let from = incoming.block.begin as usize;
            buffer.data[from..from + aside.len()].copy_from_slice(&aside);
        }
    }

    /// Drops a block that broke off or is of no use.
    pub fn abandon(&mut self, incoming: &Incoming) {
        if incoming.aside.is_none()
            && let Some(buffer) = self.pieces.get_mut(&incoming.block.piece)
        {
            buffer.writers.remove(&incoming.block.begin);
        }
    }

    /// Puts back a piece of an earlier run.
    pub fn restore(&mut self, piece: PieceIndex, data: Box<[u8]>) {
        self.pieces.insert(piece, PieceBuffer { data, writers: BTreeMap::new() });
    }

    /// Takes out a complete piece.
    pub fn take(&mut self, piece: PieceIndex) -> Option<Box<[u8]>> {
        self.pieces.remove(&piece).map(|b| b.data)
    }

    /// A copy of a piece's bytes, for saving; only `blocks` of it are meaningful.
    pub fn copy(&self, piece: PieceIndex, blocks: &Bitfield) -> Option<Box<[u8]>> {
        (blocks.count() > 0).then(|| self.pieces.get(&piece).map(|b| b.data.clone())).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    #[test]
    fn two_senders_of_one_block_never_mix_their_bytes() {
        let layout = Layout::new(32_768, [32_768]).unwrap();
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let (x, y) = (conns.insert(()), conns.insert(()));
        let block = BlockRef { piece: PieceIndex(0), begin: 16_384, len: 16_384 };
        let mut buffers = PieceBuffers::default();
        let mut from_x = buffers.begin(&layout, block, x);
        buffers.write(&mut from_x, &[1; 8_000]);
        let mut from_y = buffers.begin(&layout, block, y);
        buffers.write(&mut from_y, &[2; 16_384]);
        buffers.write(&mut from_x, &[1; 300]);
        buffers.end(from_y);
        buffers.abandon(&from_x);
        let data = buffers.take(PieceIndex(0)).unwrap();
        assert!(data[..16_384].iter().all(|b| *b == 0) && data[16_384..].iter().all(|b| *b == 2));
    }
}
