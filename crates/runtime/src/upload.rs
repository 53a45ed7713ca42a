//! A send plan on its way into a socket: header bytes from memory, blocks straight from files.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use unchoke_engine::TorrentId;
use unchoke_engine::output::{SendPart, SendPlan};
use unchoke_storage::{Located, Storage};
use unchoke_wire::BlockRef;

use crate::sys;

/// Parts written by one system call.
const SLICES_MAX: usize = 32;

/// A plan that is being written.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The torrent whose blocks these are.
    pub(crate) torrent: TorrentId,
    parts: VecDeque<Part>,
    /// Bytes of the first part that are written.
    written: usize,
    /// Whether small writes are held back since blocks come from files.
    is_corked: bool,
    has_files: bool,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// A block that lies in one file, in memory.
    File(BlockRef, Located),
    /// A block that somebody is reading.
    Cold(BlockRef),
}

/// How far a write came.
#[derive(Debug)]
pub(crate) enum Progress {
    /// All is written.
    Done,
    /// The socket takes no more at the moment.
    Full,
    /// The next block is being read.
    Waiting,
    /// A block could not be read.
    ReadFailed(BlockRef, String),
    /// The connection is broken.
    Broken,
}

impl Upload {
    /// Looks where the blocks of a plan are. Those not in memory are to be read: see [`Upload::cold_blocks`].
    /// Without a storage there can be no blocks that are ours to send, and all count as cold.
    pub(crate) fn new(plan: SendPlan, storage: Option<&Arc<dyn Storage>>) -> Self {
        let locate = |part| match part {
            SendPart::Bytes(bytes) => Part::Bytes(bytes),
            SendPart::Block(block) => match storage.and_then(|s| s.locate(block)) {
                Some(located) => Part::File(block, located),
                None => Part::Cold(block),
            },
        };
        let mut parts: VecDeque<Part> = plan.parts.into_iter().map(locate).collect();
        let has_files = probe(&mut parts);
        Upload { torrent: plan.torrent, parts, written: 0, is_corked: false, has_files }
    }

    /// The blocks to be read, in order.
    pub(crate) fn cold_blocks(&self) -> Vec<BlockRef> {
        let cold = |part: &Part| match part {
            Part::Cold(block) => Some(*block),
            _ => None,
        };
        self.parts.iter().filter_map(cold).collect()
    }

    /// Takes the bytes of the cold blocks, in order.
    pub(crate) fn fill(&mut self, blocks: Vec<Vec<u8>>) {
        let cold = self.parts.iter_mut().filter(|p| matches!(p, Part::Cold(_)));
        for (part, bytes) in cold.zip(blocks) {
            *part = Part::Bytes(bytes);
        }
    }

    /// Writes as much as the socket takes. Also answers how many bytes that were.
    pub(crate) fn write(&mut self, socket: &mut (impl Write + AsFd)) -> (Progress, u64) {
        let mut total = 0;
        if self.has_files && !self.is_corked {
            // corking only saves packets: without it all goes out just the same
            self.is_corked = sys::set_cork(&*socket, true).is_ok();
        }
        let progress = loop {
            match self.step(socket) {
                Ok(Step::Wrote(bytes)) => total += u64::try_from(bytes).expect("a length fits 64 bits"),
                Ok(Step::Stop(progress)) => break progress,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Progress::Full,
                Err(_) => break Progress::Broken,
            }
        };
        if self.is_corked && matches!(progress, Progress::Done | Progress::Waiting) {
            let _ = sys::set_cork(&*socket, false);
            self.is_corked = false;
        }
        (progress, total)
    }

    fn step(&mut self, socket: &mut (impl Write + AsFd)) -> io::Result<Step> {
        let bytes = match self.parts.front() {
            None => return Ok(Step::Stop(Progress::Done)),
            Some(Part::Cold(_)) => return Ok(Step::Stop(Progress::Waiting)),
            Some(Part::Bytes(_)) => {
                let bytes = self.write_bytes(socket)?;
                if bytes == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                bytes
            }
            Some(Part::File(block, located)) => {
                let len = usize::try_from(located.len).expect("a u32 fits the address space");
                let at = located.offset + u64::try_from(self.written).expect("a length fits 64 bits");
                match sys::send_file(&*socket, &located.file, at, len - self.written)? {
                    0 => {
                        let error = "the file ends before this block".to_owned();
                        return Ok(Step::Stop(Progress::ReadFailed(*block, error)));
                    }
                    bytes => bytes,
                }
            }
        };
        self.advance(bytes);
        Ok(Step::Wrote(bytes))
    }

    /// Writes the bytes at the front up to the next block that is not in a buffer.
    fn write_bytes(&self, socket: &mut impl Write) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut skip = self.written;
        for (part, slice) in self.parts.iter().zip(&mut slices) {
            let Part::Bytes(bytes) = part else { break };
            *slice = IoSlice::new(&bytes[skip..]);
            (skip, count) = (0, count + 1);
        }
        socket.write_vectored(&slices[..count])
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(part) = self.parts.front() {
            let len = match part {
                Part::Bytes(bytes) => bytes.len(),
                Part::File(_, located) => usize::try_from(located.len).expect("a u32 fits the address space"),
                Part::Cold(_) => return,
            };
            let left = len - self.written;
            if bytes < left {
                self.written += bytes;
                return;
            }
            bytes -= left;
            self.written = 0;
            self.parts.pop_front();
        }
    }
}

enum Step {
    Wrote(usize),
    Stop(Progress),
}

/// Makes cold what is not in memory, asking once for each run of blocks that follow one another in a file. Says
/// whether anything is left to be sent from files.
fn probe(parts: &mut VecDeque<Part>) -> bool {
    let mut has_files = false;
    let mut at = 0;
    while at < parts.len() {
        let end = run_end(parts, at);
        let run: (Option<&Located>, u32) = parts.range(at..end).fold((None, 0), |(first, len), part| {
            let Part::File(_, located) = part else { return (first, len) };
            (first.or(Some(located)), len + located.len)
        });
        if let (Some(first), len) = run {
            let is_warm = sys::is_resident(&first.file, first.offset, len);
            has_files |= is_warm;
            for part in parts.range_mut(at..end).filter(|_| !is_warm) {
                if let Part::File(block, _) = part {
                    *part = Part::Cold(*block);
                }
            }
        }
        at = end;
    }
    has_files
}

/// The end of the run that begins at `start`: its file parts lie one after another in one file.
fn run_end(parts: &VecDeque<Part>, start: usize) -> usize {
    let mut last: Option<&Located> = None;
    for (at, part) in parts.iter().enumerate().skip(start) {
        let Part::File(_, located) = part else { continue };
        let follows = |l: &Located| {
            Arc::ptr_eq(&l.file, &located.file) && l.offset + u64::from(l.len) == located.offset
        };
        if last.is_some_and(|l| !follows(l)) {
            return at;
        }
        last = Some(located);
    }
    parts.len()
}
