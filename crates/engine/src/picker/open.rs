//! A piece that was begun, and who was asked for or sent each of its blocks.

use crate::id::PeerKey;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, BlockIndex, PieceIndex};

/// A begun piece. Complete and not yet verified counts as begun.
#[derive(Debug)]
pub(super) struct Open {
    blocks: Vec<Block>,
    free: usize,
    received: usize,
    /// No block below is free.
    free_from: usize,
    /// The peer that is to get the rest of it, if it is fast enough or on parole.
    pub(super) holder: Option<PeerKey>,
    /// Nobody else may work on it while the holder does.
    pub(super) is_exclusive: bool,
    /// For whom it is listed among the pieces with free blocks; `None`: it is not.
    pub(super) listed: Option<Option<PeerKey>>,
}

#[derive(Clone, Debug)]
enum Block {
    Free,
    /// The second and later ones only in end-game.
    Requested {
        first: Asked,
        more: Vec<Asked>,
    },
    /// From this peer; `None`: in an earlier run.
    Received(Option<PeerKey>),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: PeerKey,
    overdue_at: Instant,
}

impl Open {
    /// A piece of so many blocks, all free.
    pub(super) fn new(block_count: u32) -> Self {
        let len = at(BlockIndex(block_count));
        Open {
            blocks: vec![Block::Free; len],
            free: len,
            received: 0,
            free_from: 0,
            holder: None,
            is_exclusive: false,
            listed: None,
        }
    }

    /// Marks the lowest free block as asked for.
    pub(super) fn request_next(&mut self, peer: PeerKey, overdue_at: Instant) -> Option<BlockIndex> {
        let rest = self.blocks.get(self.free_from..)?;
        let Some(ahead) = rest.iter().position(|b| matches!(b, Block::Free)) else {
            self.free_from = self.blocks.len();
            return None;
        };
        let index = self.free_from + ahead;
        self.blocks[index] = Block::Requested { first: Asked { peer, overdue_at }, more: Vec::new() };
        self.free -= 1;
        self.free_from = index + 1;
        Some(block(index))
    }

    /// Marks a block that was asked for elsewhere as asked for here too.
    pub(super) fn request_again(&mut self, index: BlockIndex, peer: PeerKey, overdue_at: Instant) {
        if let Some(Block::Requested { more, .. }) = self.blocks.get_mut(at(index)) {
            more.push(Asked { peer, overdue_at });
        }
    }

    /// A block that was lacking came in. Returns the others that were asked for it.
    pub(super) fn receive(&mut self, index: BlockIndex, from: PeerKey) -> Vec<PeerKey> {
        let Some(state) = self.blocks.get_mut(at(index)) else { return Vec::new() };
        let before = core::mem::replace(state, Block::Received(Some(from)));
        self.received += 1;
        match before {
            Block::Requested { first, more } => {
                let asked = core::iter::once(first.peer).chain(more.iter().map(|a| a.peer));
                asked.filter(|p| *p != from).collect()
            }
            Block::Free => {
                self.free -= 1;
                Vec::new()
            }
            Block::Received(_) => panic!("only a block that was lacking comes in"),
        }
    }

    /// A block is there from an earlier run.
    pub(super) fn restore(&mut self, index: BlockIndex) {
        if let Some(state @ Block::Free) = self.blocks.get_mut(at(index)) {
            *state = Block::Received(None);
            self.free -= 1;
            self.received += 1;
        }
    }

    /// This peer will not send this block.
    pub(super) fn release(&mut self, index: BlockIndex, peer: PeerKey) {
        let place = at(index);
        let Some(state @ Block::Requested { .. }) = self.blocks.get_mut(place) else { return };
        let Block::Requested { first, more } = state else { return };
        if first.peer != peer {
            more.retain(|a| a.peer != peer);
        } else if more.is_empty() {
            *state = Block::Free;
            self.free += 1;
            self.free_from = self.free_from.min(place);
        } else {
            *first = more.remove(0);
        }
    }

    /// This peer will send nothing more of this piece.
    pub(super) fn release_all(&mut self, peer: PeerKey) {
        for index in 0..self.blocks.len() {
            self.release(block(index), peer);
        }
        if self.holder == Some(peer) {
            self.holder = None;
            self.is_exclusive = false;
        }
    }

    /// The block to ask `peer` for although others were asked: overdue with all of them, asked for least often, for
    /// the longest time. With how often it was asked for and when it was overdue.
    pub(super) fn overdue(&self, peer: PeerKey, now: Instant) -> Option<(usize, Instant, BlockIndex)> {
        let blocks = self.blocks.iter().enumerate();
        blocks
            .filter_map(|(i, state)| match state {
                Block::Requested { first, more } => {
                    let mut all = core::iter::once(first).chain(more);
                    let fits = all.all(|a| a.peer != peer && a.overdue_at <= now);
                    fits.then(|| (more.len() + 1, first.overdue_at, block(i)))
                }
                _ => None,
            })
            .min()
    }

    /// When the next block is overdue with all who were asked for it.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let requested = self.blocks.iter().filter_map(|state| match state {
            Block::Requested { first, more } => {
                more.iter().map(|a| a.overdue_at).chain([first.overdue_at]).max()
            }
            _ => None,
        });
        requested.min()
    }

    /// Whether somebody was asked for a block of it and is in time.
    pub(super) fn is_worked_on(&self, now: Instant) -> bool {
        self.blocks.iter().any(|state| match state {
            Block::Requested { first, more } => {
                core::iter::once(first).chain(more).any(|a| a.overdue_at > now)
            }
            _ => false,
        })
    }

    /// Whether this peer was asked for a block of it or sent one.
    pub(super) fn is_shared_by(&self, peer: PeerKey) -> bool {
        self.holder == Some(peer)
            || self.blocks.iter().any(|state| match state {
                Block::Free => false,
                Block::Received(from) => *from == Some(peer),
                Block::Requested { first, more } => first.peer == peer || more.iter().any(|a| a.peer == peer),
            })
    }

    /// Whether this block exists and is not there.
    pub(super) fn lacks(&self, index: BlockIndex) -> bool {
        self.blocks.get(at(index)).is_some_and(|state| !matches!(state, Block::Received(_)))
    }

    /// Free blocks.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// Blocks that are there.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Whether every block is there.
    pub(super) fn is_complete(&self) -> bool {
        self.received == self.blocks.len()
    }

    /// Whether no block is there or asked for.
    pub(super) fn is_untouched(&self) -> bool {
        self.free == self.blocks.len()
    }

    /// Whether no block is asked for.
    pub(super) fn is_idle(&self) -> bool {
        self.free + self.received == self.blocks.len()
    }

    /// The blocks that are there and who sent them.
    pub(super) fn contributors(&self) -> impl Iterator<Item = (BlockIndex, Option<PeerKey>)> + '_ {
        self.blocks.iter().enumerate().filter_map(|(i, state)| match state {
            Block::Received(from) => Some((block(i), *from)),
            _ => None,
        })
    }

    /// The blocks that are there, a bit for each.
    pub(super) fn received_mask(&self) -> Bitfield {
        let mut mask = Bitfield::none(block(self.blocks.len()).0);
        for (index, _) in self.contributors() {
            mask.set(PieceIndex(index.0));
        }
        mask
    }
}

fn at(block: BlockIndex) -> usize {
    usize::try_from(block.0).expect("a u32 fits the address space")
}

fn block(index: usize) -> BlockIndex {
    BlockIndex(u32::try_from(index).expect("blocks are counted in u32"))
}
