//! A send plan on its way into a socket: messages and blocks gathered into few large writes.
//!
//! The blocks of a plan are read into one buffer, by one call for each run of them that lies in one file, and leave in
//! one vectored write. For blocks of 16 KiB that costs the sender no more than handing each to the kernel by
//! `sendfile`, and the receiver half (docs/decisions/0009).

use std::io::{self, IoSlice, Write};

use unchoke_engine::TorrentId;
use unchoke_engine::output::{SendPart, SendPlan};
use unchoke_storage::Storage;
use unchoke_wire::BlockRef;

use crate::workers::guarded;

/// Parts written by one system call: a whole plan's.
const SLICES_MAX: usize = 64;

/// A plan that is being written.
#[derive(Debug)]
pub(crate) struct Upload {
    plan: SendPlan,
    /// The bytes of the blocks, end to end; it may be longer. Empty while somebody reads into it.
    body: Vec<u8>,
    /// Bytes of `body` that are there.
    ready: usize,
    /// Bytes of all blocks together.
    body_len: usize,
    /// Bytes of the plan that are written.
    written: usize,
}

/// Blocks that have to be waited for.
#[derive(Debug)]
pub(crate) struct ColdBlocks {
    /// The blocks, in order.
    pub(crate) blocks: Vec<BlockRef>,
    /// Their place in `body`.
    pub(crate) from: usize,
    /// Where to read them.
    pub(crate) body: Vec<u8>,
}

/// How far a write came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All is written.
    Done,
    /// The socket takes no more at the moment.
    Full,
    /// The next block is being read.
    Waiting,
    /// The connection is broken.
    Broken,
}

impl Upload {
    /// Reads what is in memory of the blocks of a plan into `body`, a buffer of any content. The others have to be
    /// read: see [`Upload::take_cold`]. Without a storage all are.
    pub(crate) fn new(plan: SendPlan, storage: Option<&dyn Storage>, mut body: Vec<u8>) -> Self {
        let body_len = plan.blocks.iter().map(|b| len_of(b.block)).sum();
        let mut ready = 0;
        if body_len > 0 {
            if body.len() < body_len {
                body.resize(body_len, 0);
            }
            let blocks: Vec<BlockRef> = plan.blocks.iter().map(|b| b.block).collect();
            let target = &mut body[..body_len];
            // whoever panics now does so again for the worker, who tells of it
            let read = storage.map(|s| guarded(|| Ok(s.read_now(&blocks, target))));
            ready = read.and_then(Result::ok).unwrap_or(0).min(body_len);
        }
        Upload { plan, body, ready, body_len, written: 0 }
    }

    /// The torrent whose blocks these are.
    pub(crate) fn torrent(&self) -> TorrentId {
        self.plan.torrent
    }

    /// The blocks to be waited for, if any, and the buffer for them, which is to come back by [`Upload::fill`].
    pub(crate) fn take_cold(&mut self) -> Option<ColdBlocks> {
        if self.ready == self.body_len {
            return None;
        }
        let mut from = 0;
        let is_warm = |block: &BlockRef| {
            let end = from + len_of(*block);
            let is_warm = end <= self.ready;
            from = if is_warm { end } else { from };
            is_warm
        };
        let blocks = self.plan.blocks.iter().map(|b| b.block).skip_while(is_warm).collect();
        self.ready = 0;
        Some(ColdBlocks { blocks, from, body: std::mem::take(&mut self.body) })
    }

    /// Takes the buffer back with the bytes of all blocks.
    pub(crate) fn fill(&mut self, body: Vec<u8>) {
        (self.body, self.ready) = (body, self.body_len);
    }

    /// Gives the buffer away, or one for which this plan is too small: a plan that waits for a slow peer then holds no
    /// more than its own bytes.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        let is_done = self.written == self.body_len + self.plan.bytes.len();
        if is_done {
            return Some(std::mem::take(&mut self.body)).filter(|b| !b.is_empty());
        }
        let is_roomy = self.ready == self.body_len && self.body.len() > 2 * self.body_len;
        is_roomy.then(|| {
            let own = self.body[..self.body_len].to_vec();
            std::mem::replace(&mut self.body, own)
        })
    }

    /// Writes as much as the socket takes. Also answers how many bytes that were.
    pub(crate) fn write(&mut self, socket: &mut impl Write) -> (Progress, u64) {
        let mut total = 0;
        let progress = loop {
            match self.write_once(socket) {
                Ok(0) if self.written == self.body_len + self.plan.bytes.len() => break Progress::Done,
                Ok(0) => break Progress::Waiting,
                Ok(bytes) => {
                    self.written += bytes;
                    total += u64::try_from(bytes).expect("a length fits 64 bits");
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Progress::Full,
                Err(_) => break Progress::Broken,
            }
        };
        (progress, total)
    }

    /// One write of what comes next, up to the first block that is not there; `Ok(0)` when nothing can be written.
    fn write_once(&self, socket: &mut impl Write) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (mut count, mut skip, mut at) = (0, self.written, 0);
        for part in self.plan.parts() {
            let bytes = match part {
                SendPart::Bytes(bytes) => bytes,
                SendPart::Block(block) => {
                    let end = at + len_of(block);
                    if end > self.ready || count == SLICES_MAX {
                        break;
                    }
                    &self.body[std::mem::replace(&mut at, end)..end]
                }
            };
            let rest = bytes.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(bytes.len());
            if !rest.is_empty() && count < SLICES_MAX {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        if count == 0 {
            return Ok(0);
        }
        match socket.write_vectored(&slices[..count])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            bytes => Ok(bytes),
        }
    }
}

fn len_of(block: BlockRef) -> usize {
    usize::try_from(block.len).expect("a u32 fits the address space")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use unchoke_engine::output::PlanBlock;
    use unchoke_storage::{FileSpec, MemoryStorage, StorageSpec};
    use unchoke_wire::{BLOCK_LEN, Layout, PieceIndex};

    const LEN: u32 = 20 * BLOCK_LEN;

    fn storage() -> MemoryStorage {
        let file = FileSpec { path: vec!["f".to_owned()], len: u64::from(LEN), ..FileSpec::default() };
        let spec = StorageSpec { layout: Layout::new(LEN, [u64::from(LEN)]).unwrap(), files: vec![file] };
        let storage = MemoryStorage::new(spec).unwrap();
        storage.write(PieceIndex(0), 0, &bytes(0..LEN)).unwrap();
        storage
    }

    fn bytes(range: std::ops::Range<u32>) -> Vec<u8> {
        range.map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    fn block(n: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(0), begin: n * BLOCK_LEN, len: BLOCK_LEN }
    }

    /// The blocks with a header before each, and a message at the end.
    fn plan(blocks: &[u32]) -> SendPlan {
        let place = |(i, n): (usize, &u32)| PlanBlock { after: 13 * (i + 1), block: block(*n) };
        let bytes = vec![255; 13 * blocks.len() + 5];
        let blocks = blocks.iter().enumerate().map(place).collect();
        SendPlan { torrent: TorrentId::default(), bytes, blocks }
    }

    fn expected(blocks: &[u32]) -> Vec<u8> {
        let one = |n: &u32| [vec![255; 13], bytes(n * BLOCK_LEN..(n + 1) * BLOCK_LEN)].concat();
        blocks.iter().flat_map(one).chain([255; 5]).collect()
    }

    #[test]
    fn messages_and_blocks_come_out_in_order_through_a_socket_that_fills_up() {
        let storage = storage();
        let blocks: Vec<u32> = (0..16).chain([3, 19]).collect();
        let mut upload = Upload::new(plan(&blocks), Some(&storage), vec![9; 100]);
        assert!(upload.take_cold().is_none());
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (mut got, mut total, mut fulls) = (Vec::new(), 0, 0);
        loop {
            let (progress, written) = upload.write(&mut ours);
            total += written;
            let mut buf = vec![0; usize::try_from(written).unwrap()];
            theirs.read_exact(&mut buf).unwrap();
            got.extend(buf);
            match progress {
                Progress::Done => break,
                Progress::Full => fulls += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(got == expected(&blocks) && fulls > 0);
        assert_eq!(total, u64::try_from(got.len()).unwrap());
        assert!(upload.release().is_some_and(|body| body.len() == 18 * 16_384));
    }

    #[test]
    fn a_block_that_is_being_read_holds_up_only_what_comes_after_it() {
        let mut upload = Upload::new(plan(&[1, 2]), None, Vec::new());
        let mut cold = upload.take_cold().unwrap();
        assert_eq!((cold.blocks, cold.from), (vec![block(1), block(2)], 0));
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(upload.write(&mut ours), (Progress::Waiting, 13));
        assert!(upload.release().is_none());
        cold.body.copy_from_slice(&bytes(BLOCK_LEN..3 * BLOCK_LEN));
        upload.fill(cold.body);
        assert!(matches!(upload.write(&mut ours), (Progress::Done, _)));
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == expected(&[1, 2]));
    }

    #[test]
    fn only_what_is_not_in_memory_is_read_again() {
        let storage = storage();
        let mut p = plan(&[1, 2, 3]);
        // none of the torrent: reading ends before it
        p.blocks[1].block.piece = PieceIndex(7);
        let mut upload = Upload::new(p, Some(&storage), Vec::new());
        let cold = upload.take_cold().unwrap();
        assert_eq!((cold.blocks.len(), cold.from), (2, 16_384));
        assert!(cold.body[..16_384] == bytes(BLOCK_LEN..2 * BLOCK_LEN));
    }

    #[test]
    fn a_small_plan_that_waits_gives_a_large_buffer_back() {
        let storage = storage();
        let mut upload = Upload::new(plan(&[4]), Some(&storage), vec![0; 1 << 20]);
        assert!(upload.release().is_some_and(|body| body.len() == 1 << 20));
        assert!(upload.release().is_none());
        let mut out = Vec::new();
        assert!(matches!(upload.write(&mut out), (Progress::Done, _)));
        assert!(out == expected(&[4]));
    }
}
