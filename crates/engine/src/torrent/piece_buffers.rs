//! The bytes of pieces being received, until they are verified and written.

use super::buffer_pool::BufferPool;
use crate::id::ConnId;
use std::collections::BTreeMap;
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, Layout, PieceIndex};

#[derive(Debug)]
struct PieceBuffer {
    data: Box<[u8]>,
    /// Who is writing a block straight to its place, by where the block begins; few at a time.
    writers: Vec<(u32, ConnId)>,
}

impl PieceBuffer {
    fn new(data: Box<[u8]>) -> Self {
        PieceBuffer { data, writers: Vec::new() }
    }

    /// Makes `conn` the writer of a block unless there is one; whether it is the writer.
    fn claim(&mut self, begin: u32, conn: ConnId) -> bool {
        if let Some((_, writer)) = self.writers.iter().find(|(at, _)| *at == begin) {
            return *writer == conn;
        }
        self.writers.push((begin, conn));
        true
    }

    fn release(&mut self, begin: u32) {
        self.writers.retain(|(at, _)| *at != begin);
    }

    fn is_writer(&self, incoming: &Incoming) -> bool {
        self.writers.contains(&(incoming.block.begin, incoming.conn))
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
    /// Begins to receive a block that lies in the torrent. The memory of its piece is from `pool` and holds anything
    /// until blocks are written to it.
    pub fn begin(
        &mut self,
        layout: &Layout,
        block: BlockRef,
        conn: ConnId,
        pool: &mut BufferPool,
    ) -> Incoming {
        let buffer = self
            .pieces
            .entry(block.piece)
            .or_insert_with(|| PieceBuffer::new(pool.take(layout.len_of(block.piece) as usize)));
        let is_writer = buffer.claim(block.begin, conn);
        let aside = (!is_writer).then(|| Vec::with_capacity(block.len as usize));
        Incoming { block, conn, got: 0, aside }
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
        buffer.release(incoming.block.begin);
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
            buffer.release(incoming.block.begin);
        }
    }

    /// Puts back a piece of an earlier run.
    pub fn restore(&mut self, piece: PieceIndex, data: Box<[u8]>) {
        self.pieces.insert(piece, PieceBuffer::new(data));
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

    /// A copy of a piece's bytes, for saving: those of `blocks`, and zeros for the rest, which is of other pieces.
    pub fn copy(&self, piece: PieceIndex, blocks: &Bitfield) -> Option<Box<[u8]>> {
        let data = &self.pieces.get(&piece).filter(|_| blocks.count() > 0)?.data;
        let mut copy = vec![0; data.len()];
        for block in blocks.iter() {
            let from = block.0 as usize * BLOCK_LEN as usize;
            let to = data.len().min(from + BLOCK_LEN as usize);
            copy[from..to].copy_from_slice(&data[from..to]);
        }
        Some(copy.into_boxed_slice())
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
        let (mut buffers, mut pool) = (PieceBuffers::default(), BufferPool::default());
        let mut from_x = buffers.begin(&layout, block, x, &mut pool);
        buffers.write(&mut from_x, &[1; 8_000]);
        let mut from_y = buffers.begin(&layout, block, y, &mut pool);
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
        let (mut buffers, mut pool) = (PieceBuffers::default(), BufferPool::default());
        let mut slow = buffers.begin(&layout, block, x, &mut pool);
        let mut quick = buffers.begin(&layout, block, y, &mut pool);
        buffers.write(&mut quick, &[2; 16_384]);
        buffers.end(quick);
        buffers.write(&mut slow, &[1; 16_000]);
        assert!(!buffers.holds(&slow));
        assert!(buffers.take(PieceIndex(0)).unwrap()[..16_384].iter().all(|b| *b == 2));
        let third = buffers.begin(&layout, block, z, &mut pool);
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
