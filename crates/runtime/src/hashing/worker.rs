//! One thread: its reader, its buffer, and group after group.

use std::ops::Range;
use std::sync::PoisonError;

use unchoke_hash::{Sha1Digest, Sha1Stream};
use unchoke_storage::{PieceRead, PieceReader, StorageError};
use unchoke_wire::{Layout, PieceIndex};

use super::{Group, Job, Part, bytes};

/// Bytes of each piece that the disk is asked for before they are needed.
const AHEAD_LEN: u32 = 1 << 20;

pub(super) struct Worker<'a> {
    job: &'a Job<'a>,
    reader: Box<dyn PieceReader + 'a>,
    /// A stripe of each piece of a group, one after another.
    buf: Vec<u8>,
    /// What there is of each piece of the group.
    found: Vec<PieceRead>,
    /// The same of a run of them.
    found_of_run: Vec<PieceRead>,
}

/// A piece that is hashed stripe by stripe.
struct Lane {
    /// Its place in the group, and so in the buffer.
    at: usize,
    piece: PieceIndex,
    len: u32,
    /// `None` once a file turned out to be too short.
    stream: Option<Sha1Stream>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(job: &'a Job<'a>) -> Self {
        Worker {
            job,
            reader: job.storage.piece_reader(),
            buf: vec![0; job.plan.buffer_len()],
            found: Vec::new(),
            found_of_run: Vec::new(),
        }
    }

    /// Hashes groups until there are none left.
    pub(super) fn run(mut self) -> Part {
        let mut part = Vec::new();
        let mut next = self.job.take();
        if let Some(group) = next {
            self.fetch(group.pieces)?;
        }
        while let Some(group) = next.filter(|_| !self.job.is_over()) {
            next = self.job.take_ahead();
            if let Some(ahead) = next {
                self.fetch(ahead.pieces)?;
            }
            part.push((group.at, self.hash(group)?));
            if next.is_none() {
                next = self.job.take();
            }
        }
        Ok(part)
    }

    /// Has the beginning of a group brought from the disk.
    fn fetch(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        let layout = self.layout();
        let ahead = layout.piece_len().min(AHEAD_LEN);
        let mut from = 0;
        while from < pieces.len() {
            // one stretch of pieces that are fetched whole and follow each other
            let end = if ahead == layout.piece_len() { end_of_run(pieces, from) } else { from + 1 };
            let count = u64::try_from(end - from).expect("a count fits");
            self.reader.read_ahead(pieces[from], 0, u64::from(ahead) * count)?;
            from = end;
        }
        Ok(())
    }

    fn hash(&mut self, group: Group<'_>) -> Result<Vec<Option<Sha1Digest>>, StorageError> {
        let job = self.job;
        let turn = job.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        self.survey(group.pieces)?;
        let mut digests = vec![None; group.pieces.len()];
        let mut not_read = 0;
        for (i, piece) in group.pieces.iter().enumerate() {
            let len = self.layout().len_of(*piece);
            if self.found[i] == PieceRead::Hole {
                digests[i] = Some(job.of_zeros(len));
            }
            if self.found[i] != PieceRead::Data {
                not_read += u64::from(len);
            }
        }
        self.tell(not_read);
        if job.plan.is_whole {
            self.read_whole(group.pieces)?;
            drop(turn);
            self.hash_whole(group.pieces, &mut digests);
        } else {
            self.hash_stripes(group.pieces, &mut digests)?;
        }
        Ok(digests)
    }

    /// Finds out what there is of a group.
    fn survey(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        self.found.clear();
        let mut from = 0;
        while from < pieces.len() {
            let end = end_of_run(pieces, from);
            self.reader.survey(pieces[from].0..pieces[end - 1].0 + 1, &mut self.found_of_run)?;
            self.found.append(&mut self.found_of_run);
            from = end;
        }
        Ok(())
    }

    /// Reads all data of a group, pieces that follow each other at once.
    fn read_whole(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        let mut from = 0;
        while from < pieces.len() {
            if self.found[from] != PieceRead::Data {
                from += 1;
                continue;
            }
            let is_data = |found: &&PieceRead| **found == PieceRead::Data;
            let data = self.found[from..].iter().take_while(is_data).count();
            let end = end_of_run(pieces, from).min(from + data);
            let stretch = self.place(pieces, from).start..self.place(pieces, end - 1).end;
            match self.reader.read(pieces[from], 0, &mut self.buf[stretch]) {
                Ok(true) => {}
                // cut short since it was looked at; which of them it was does not matter
                Ok(false) => self.found[from..end].fill(PieceRead::Missing),
                Err(error) if self.job.unreadable.is_none() => return Err(error),
                Err(_) => self.read_each(pieces, from..end)?,
            }
            from = end;
        }
        Ok(())
    }

    /// Reads pieces one by one, as one of them cannot be read.
    fn read_each(&mut self, pieces: &[PieceIndex], which: Range<usize>) -> Result<(), StorageError> {
        for at in which {
            let stretch = self.place(pieces, at);
            let is_there = match self.reader.read(pieces[at], 0, &mut self.buf[stretch]) {
                Ok(is_there) => is_there,
                Err(error) => {
                    self.job.note_unreadable(pieces[at], error)?;
                    false
                }
            };
            if !is_there {
                self.found[at] = PieceRead::Missing;
            }
        }
        Ok(())
    }

    fn hash_whole(&mut self, pieces: &[PieceIndex], digests: &mut [Option<Sha1Digest>]) {
        let data: Vec<usize> = (0..pieces.len()).filter(|i| self.found[*i] == PieceRead::Data).collect();
        let inputs: Vec<&[u8]> = data.iter().map(|i| &self.buf[self.place(pieces, *i)]).collect();
        let mut of_data = vec![Sha1Digest::default(); inputs.len()];
        unchoke_hash::sha1_batch(&inputs, &mut of_data);
        for (i, digest) in data.iter().zip(of_data) {
            digests[*i] = Some(digest);
        }
        let lens = inputs.iter().map(|input| u64::try_from(input.len()).expect("a length fits"));
        self.tell(lens.sum());
    }

    /// Where piece `i` of a group that is read whole lies in the buffer.
    fn place(&self, pieces: &[PieceIndex], i: usize) -> Range<usize> {
        let at = i * bytes(self.layout().piece_len());
        at..at + bytes(self.layout().len_of(pieces[i]))
    }

    /// Reads and hashes a stripe of every piece, then the next.
    fn hash_stripes(
        &mut self,
        pieces: &[PieceIndex],
        digests: &mut [Option<Sha1Digest>],
    ) -> Result<(), StorageError> {
        let (layout, job) = (self.layout(), self.job);
        let is_data = |i: &usize| self.found[*i] == PieceRead::Data;
        let lane = |at: usize| {
            let piece = pieces[at];
            Lane { at, piece, len: layout.len_of(piece), stream: Some(Sha1Stream::new()) }
        };
        let mut lanes: Vec<Lane> = (0..pieces.len()).filter(is_data).map(lane).collect();
        let len_max = lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for begin in (0..len_max).step_by(bytes(job.plan.stripe_len)) {
            if job.is_over() {
                return Ok(());
            }
            self.stripe(&mut lanes, begin)?;
        }
        for lane in lanes {
            digests[lane.at] = lane.stream.map(Sha1Stream::finish);
        }
        Ok(())
    }

    /// Reads and hashes what begins at byte `begin` of every piece.
    fn stripe(&mut self, lanes: &mut [Lane], begin: u32) -> Result<(), StorageError> {
        let stripe_len = self.job.plan.stripe_len;
        let mut done = 0;
        let mut work = Vec::with_capacity(lanes.len());
        let mut slots = self.buf.chunks_mut(bytes(stripe_len)).enumerate();
        for lane in lanes.iter_mut().filter(|lane| begin < lane.len) {
            let len = stripe_len.min(lane.len - begin);
            done += u64::from(len);
            let slot = slots.find(|(at, _)| *at == lane.at).expect("the buffer has a slot for every piece").1;
            let slot = &mut slot[..bytes(len)];
            if begin.is_multiple_of(AHEAD_LEN) && lane.len - begin > AHEAD_LEN {
                let ahead = begin + AHEAD_LEN;
                let len = AHEAD_LEN.min(lane.len - ahead);
                self.reader.read_ahead(lane.piece, ahead, u64::from(len))?;
            }
            if lane.stream.is_some() {
                let is_there = match self.reader.read(lane.piece, begin, slot) {
                    Ok(is_there) => is_there,
                    Err(error) => {
                        self.job.note_unreadable(lane.piece, error)?;
                        false
                    }
                };
                lane.stream = lane.stream.take().filter(|_| is_there);
            }
            if let Some(stream) = &mut lane.stream {
                work.push((stream, &*slot));
            }
        }
        Sha1Stream::update_batch(&mut work);
        self.tell(done);
        Ok(())
    }

    fn tell(&self, len: u64) {
        if len > 0 {
            (self.job.progress)(len);
        }
    }

    fn layout(&self) -> &'a Layout {
        &self.job.storage.spec().layout
    }
}

/// The end of the pieces that follow each other from place `from` on.
fn end_of_run(pieces: &[PieceIndex], from: usize) -> usize {
    let follows = |pair: &&[PieceIndex]| pair[1].0 == pair[0].0 + 1;
    from + 1 + pieces[from..].windows(2).take_while(follows).count()
}
