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
                match sys::send_file(&*socket, &located.file, at, len - self.written) {
                    // sockets do not fail like this: it is the disk
                    Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                        return Ok(Step::Stop(Progress::ReadFailed(*block, e.to_string())));
                    }
                    Err(e) => return Err(e),
                    Ok(0) => {
                        let error = "the file ends before this block".to_owned();
                        return Ok(Step::Stop(Progress::ReadFailed(*block, error)));
                    }
                    Ok(bytes) => bytes,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use unchoke_storage::{FileSpec, FileStorage, Options, StorageSpec};
    use unchoke_wire::{BLOCK_LEN, Layout, PieceIndex};

    const LEN: u32 = 20 * BLOCK_LEN;

    fn storage(dir: &std::path::Path) -> Arc<dyn Storage> {
        let file = FileSpec { path: vec!["f".to_owned()], len: u64::from(LEN), ..FileSpec::default() };
        let spec = StorageSpec { layout: Layout::new(LEN, [u64::from(LEN)]).unwrap(), files: vec![file] };
        let storage = FileStorage::open(dir, spec, Options::default()).unwrap();
        storage.write(PieceIndex(0), 0, &bytes(0..LEN)).unwrap();
        Arc::new(storage)
    }

    fn bytes(range: std::ops::Range<u32>) -> Vec<u8> {
        range.map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    fn block(n: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(0), begin: n * BLOCK_LEN, len: BLOCK_LEN }
    }

    fn plan(blocks: &[u32]) -> SendPlan {
        let parts = blocks.iter().flat_map(|n| [SendPart::Bytes(vec![255; 13]), SendPart::Block(block(*n))]);
        SendPlan { torrent: TorrentId::default(), parts: parts.collect() }
    }

    fn expected(blocks: &[u32]) -> Vec<u8> {
        let one = |n: &u32| [vec![255; 13], bytes(n * BLOCK_LEN..(n + 1) * BLOCK_LEN)].concat();
        blocks.iter().flat_map(one).collect()
    }

    #[test]
    fn headers_and_blocks_come_out_in_order_through_a_socket_that_fills_up() {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path());
        let blocks: Vec<u32> = (0..16).chain([3, 19]).collect();
        let mut upload = Upload::new(plan(&blocks), Some(&storage));
        assert!(cfg!(not(target_os = "linux")) || upload.cold_blocks().is_empty());
        let cold = upload.cold_blocks().iter().map(|b| bytes(b.begin..b.begin + b.len)).collect();
        upload.fill(cold);
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
    }

    #[test]
    fn a_block_that_is_being_read_holds_up_only_what_comes_after_it() {
        let mut upload = Upload::new(plan(&[1, 2]), None);
        assert_eq!(upload.cold_blocks(), [block(1), block(2)]);
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert!(matches!(upload.write(&mut ours), (Progress::Waiting, 13)));
        upload.fill(vec![bytes(BLOCK_LEN..2 * BLOCK_LEN), bytes(2 * BLOCK_LEN..3 * BLOCK_LEN)]);
        assert!(matches!(upload.write(&mut ours), (Progress::Done, _)));
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == expected(&[1, 2]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_cut_short_while_it_is_sent_is_a_failed_read() {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path());
        let mut upload = Upload::new(plan(&[4]), Some(&storage));
        File::options().write(true).open(dir.path().join("f")).unwrap().set_len(10).unwrap();
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let (progress, _) = upload.write(&mut ours);
        assert!(matches!(progress, Progress::ReadFailed(b, _) if b == block(4)), "{progress:?}");
    }
}
