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

impl PieceBuffer {
    fn is_writer(&self, incoming: &Incoming) -> bool {
        self.writers.get(&incoming.block.begin) == Some(&incoming.conn)
    }
}

/// A block as it arrives from one connection.
#[derive(Debug)]
pub struct Incoming {
    /// The block.
    pub block: BlockRef,
    conn: ConnId,
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
        let aside = (!is_writer).then(|| Vec::with_capacity(block.len as usize));
        Incoming { block, conn, got: 0, aside }
    }

    fn open(&mut self, layout: &Layout, piece: PieceIndex) -> &mut PieceBuffer {
        self.pieces.entry(piece).or_insert_with(|| PieceBuffer {
            data: vec![0; layout.len_of(piece) as usize].into_boxed_slice(),
            writers: BTreeMap::new(),
        })
    }

    /// Takes the next bytes of a block; never more than are left of it. Bytes that lost their place, since another
    /// connection was quicker or the piece is gone, are dropped.
    pub fn write(&mut self, incoming: &mut Incoming, bytes: &[u8]) {
        let from = (incoming.block.begin + incoming.got) as usize;
        incoming.got += u32::try_from(bytes.len()).expect("a part of a block");
        assert!(incoming.got <= incoming.block.len, "bytes beyond their block");
        match &mut incoming.aside {
            Some(aside) => aside.extend_from_slice(bytes),
            None => {
                if let Some(buffer) = self.pieces.get_mut(&incoming.block.piece)
                    && buffer.is_writer(incoming)
                {
                    buffer.data[from..from + bytes.len()].copy_from_slice(bytes);
                }
            }
        }
    }

    /// Whether every byte that came of this block is still here, so that it can [`end`](Self::end).
    pub fn holds(&self, incoming: &Incoming) -> bool {
        let is_writer = |b: &PieceBuffer| incoming.aside.is_some() || b.is_writer(incoming);
        self.pieces.get(&incoming.block.piece).is_some_and(is_writer)
    }

    /// Ends a whole block that is of use and held: its bytes are in place afterwards, whoever else is sending it.
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
        if let Some(buffer) = self.pieces.get_mut(&incoming.block.piece)
            && incoming.aside.is_none()
            && buffer.is_writer(incoming)
        {
            buffer.writers.remove(&incoming.block.begin);
        }
    }

    /// Puts back a piece of an earlier run.
    pub fn restore(&mut self, piece: PieceIndex, data: Box<[u8]>) {
        self.pieces.insert(piece, PieceBuffer { data, writers: BTreeMap::new() });
    }

    /// Gives back the memory of a piece that is not begun any more, unless a block of it is arriving.
    pub fn forget_idle(&mut self, piece: PieceIndex) {
        if self.pieces.get(&piece).is_some_and(|b| b.writers.is_empty()) {
            self.pieces.remove(&piece);
        }
    }

    /// Takes out a complete piece.
    pub fn take(&mut self, piece: PieceIndex) -> Option<Box<[u8]>> {
        self.pieces.remove(&piece).map(|b| b.data)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.pieces.values().map(|b| b.data.len() as u64).sum()
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

    #[test]
    fn who_was_overtaken_writes_no_more_and_holds_nothing() {
        let layout = Layout::new(32_768, [32_768]).unwrap();
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let (x, y, z) = (conns.insert(()), conns.insert(()), conns.insert(()));
        let block = BlockRef { piece: PieceIndex(0), begin: 0, len: 16_384 };
        let mut buffers = PieceBuffers::default();
        let mut slow = buffers.begin(&layout, block, x);
        let mut quick = buffers.begin(&layout, block, y);
        buffers.write(&mut quick, &[2; 16_384]);
        buffers.end(quick);
        buffers.write(&mut slow, &[1; 16_000]);
        assert!(!buffers.holds(&slow));
        assert!(buffers.take(PieceIndex(0)).unwrap()[..16_384].iter().all(|b| *b == 2));
        let third = buffers.begin(&layout, block, z);
        buffers.write(&mut slow, &[1; 384]);
        buffers.abandon(&slow);
        assert!(buffers.holds(&third) && !buffers.holds(&slow));
        buffers.forget_idle(PieceIndex(0));
        assert!(buffers.holds(&third), "a block is arriving");
        buffers.abandon(&third);
        buffers.forget_idle(PieceIndex(0));
        assert_eq!(buffers.bytes(), 0);
    }
}
