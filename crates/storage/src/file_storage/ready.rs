//! Reading what is in memory already, for threads that must not wait, and asking the disk for what is not.

use unchoke_wire::layout::FileSpan;
use unchoke_wire::{BlockRef, FileIndex};

use super::{FileStorage, part_len};
use crate::volume;

/// Bytes asked of a disk without moving parts at once.
const AHEAD_MAX: u64 = 1 << 20;
/// Bytes asked of a spinning disk at once, so that it moves its heads seldom.
const AHEAD_SPINNING_MAX: u64 = 4 << 20;

impl FileStorage {
    /// Reads the stretches end to end, as far as their files are open and their bytes in memory. What follows one
    /// another in a file is read by one call.
    pub(super) fn read_ready(&self, blocks: &[BlockRef], buf: &mut [u8]) -> usize {
        let layout = &self.spec.layout;
        let blocks = blocks.iter().take_while(|b| layout.contains(**b));
        let mut spans = blocks.flat_map(|b| layout.spans(b.piece, b.begin, b.len)).peekable();
        let mut done = 0;
        while let Some(mut run) = spans.next() {
            let follows =
                |run: &FileSpan, s: &FileSpan| s.file == run.file && run.offset + run.len == s.offset;
            while let Some(next) = spans.next_if(|s| follows(&run, s)) {
                run.len += next.len;
            }
            let whole = part_len(run.len);
            let wanted = whole.min(buf.len() - done);
            let got = self.read_ready_span(run, &mut buf[done..done + wanted]);
            done += got;
            if got < whole {
                break;
            }
        }
        done
    }

    fn read_ready_span(&self, span: FileSpan, buf: &mut [u8]) -> usize {
        if self.spec.file(span.file).is_pad {
            buf.fill(0);
            return buf.len();
        }
        if self.may_be_parted(span.file) {
            return 0;
        }
        let ready = self.options.pool.find_ready((self.id, span.file.0));
        let Some((file, is_in_memory)) = ready else { return 0 };
        let len = volume::read_now(&file, buf, span.offset, is_in_memory);
        // whoever waits for the rest hears what is wrong
        if len > 0 && self.check_witness(span.file, &file).is_ok() { len } else { 0 }
    }

    /// Asks the disk for the beginning of a stretch, as much as is worth reading in one go.
    pub(super) fn ask_ahead(&self, stretch: BlockRef) {
        let layout = &self.spec.layout;
        if !layout.contains(stretch) {
            return;
        }
        let mut room = self.ahead_max();
        for span in layout.spans(stretch.piece, stretch.begin, stretch.len) {
            let len = span.len.min(room);
            room -= len;
            if len > 0 && !self.spec.file(span.file).is_pad && !self.may_be_parted(span.file) {
                self.ask_span(span.file, span.offset, len);
            }
        }
    }

    fn ask_span(&self, file: FileIndex, offset: u64, len: u64) {
        // whoever reads it tells what is wrong with it
        if let Ok(file) = self.file(file, false) {
            volume::will_need(&file, offset, len);
        }
    }

    fn ahead_max(&self) -> u64 {
        if self.is_on_spinning_disk() { AHEAD_SPINNING_MAX } else { AHEAD_MAX }
    }

    /// Whether the root is on a disk with moving parts.
    pub(super) fn is_on_spinning_disk(&self) -> bool {
        *self.is_spinning.get_or_init(|| self.open_root(false).is_ok_and(|root| root.is_rotational()))
    }
}
