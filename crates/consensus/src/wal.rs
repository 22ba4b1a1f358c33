//! The log on disk: append, make durable, forget.
//!
//! A log is a row of segments. A segment is a file of fixed length: one header block, then frames. Each durable write is
//! exactly one frame, aligned to blocks, so after a crash at most the last frame can be torn: a frame that is not readable
//! *before* a readable one of the same use of the segment means that the disk lost what it had promised, and opening is
//! refused. Frames carry the segment's epoch (random for each use), a running number and the checksum of the frame before
//! them, so bytes that an earlier use left behind are never taken for frames.
//!
//! Segments are filled with zeros ahead of their use, in the background, and reused when a snapshot has made them
//! unnecessary: a write into blocks that exist already needs no journal commit and is about twice as fast. Only the very
//! first segment of a new log is merely allocated, so that founding a group takes milliseconds; it is small, and segments
//! double up to their full size.

mod frame;
mod record;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

pub(crate) use frame::Identity;
pub(crate) use record::Record;
pub(crate) use recovery::{LogImage, recover};
pub(crate) use segment::sync_dir;

use crate::{HardState, Mark, OpenError};
use frame::{BLOCK, FRAME_HEADER, FrameBuffer, Position, SegmentHeader};
use segment::Segment;

/// A frame is closed when it holds so many bytes; the longest command still fits behind that.
const FRAME_BYTES: usize = 1 << 20;

/// So many unused segments are kept for reuse.
const SPARES_MAX: usize = 2;

/// How long segments are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) first: u64,
    pub(crate) max: u64,
}

/// A segment that is full.
#[derive(Debug)]
struct Closed {
    path: PathBuf,
    bytes: u64,
    /// The highest index of any entry in it.
    last_index: u64,
}

/// The end of the log: where the next frame goes.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    sizes: Sizes,
    identity: Identity,
    closed: VecDeque<Closed>,
    current: Segment,
    /// The highest index of any entry in the current segment.
    last_index: u64,
    next: Position,
    buffer: FrameBuffer,
    /// The newest promises and snapshot, repeated at the head of each segment so that older ones can go.
    hard: HardState,
    mark: Option<Mark>,
    spares: Vec<PathBuf>,
    preparing: Option<JoinHandle<io::Result<PathBuf>>>,
    /// The log is closed; a segment that is being prepared is not wanted any more.
    is_closed: Arc<AtomicBool>,
}

impl Wal {
    /// Begins a log in an empty directory.
    pub(crate) fn found(dir: &Path, sizes: Sizes, identity: Identity) -> Result<Self, OpenError> {
        let start = || {
            let path = dir.join("founding.tmp");
            segment::allocate(&path, sizes.first)?;
            let position = Position::default();
            let header = SegmentHeader::new(1, identity, position)?;
            Segment::begin(dir, &path, &header)
        };
        let current = start().map_err(|source| OpenError::Io { what: "begin the log in", path: dir.into(), source })?;
        Ok(Self {
            dir: dir.into(),
            sizes,
            identity,
            closed: VecDeque::new(),
            current,
            last_index: 0,
            next: Position::default(),
            buffer: FrameBuffer::default(),
            hard: HardState::default(),
            mark: None,
            spares: Vec::new(),
            preparing: None,
            is_closed: Arc::default(),
        })
    }

    /// Makes records durable, in order. When this returns, they survive a crash.
    ///
    /// # Errors
    /// After an error nobody knows what the disk holds: the log must not be used any more.
    pub(crate) fn append(&mut self, records: impl IntoIterator<Item = Record>) -> io::Result<()> {
        for record in records {
            self.buffer.push(&record);
            self.remember(record);
            if self.buffer.payload_bytes() >= FRAME_BYTES {
                self.flush()?;
            }
        }
        if self.buffer.payload_bytes() > 0 { self.flush() } else { Ok(()) }
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Entry(entry) => self.last_index = self.last_index.max(entry.index),
            Record::HardState(hard) => self.hard = hard,
            Record::Mark(mark) => self.mark = Some(mark),
            Record::Truncate(_) => {}
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.current.offset + self.buffer.frame_bytes() as u64 > self.current.bytes {
            // What `remember` saw belongs to the frame that goes into the next segment; noting it for this one as well only
            // keeps this one longer.
            self.rotate()?;
            let checkpoint = self.mark.clone().map(Record::Mark).into_iter();
            self.buffer.prepend(checkpoint.chain([Record::HardState(self.checkpoint_state())]));
        }
        let frame = self.buffer.seal(self.current.epoch, self.next);
        self.current.write_durably(frame.bytes)?;
        self.next = Position { sequence: self.next.sequence + 1, chain: frame.checksum };
        self.buffer.clear();
        self.prepare_ahead();
        Ok(())
    }

    /// The promises at the head of a segment must not promise entries that only follow: a commit index is found again.
    fn checkpoint_state(&self) -> HardState {
        let commit = self.mark.as_ref().map_or(0, |mark| mark.index);
        HardState { commit, ..self.hard }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let bytes = (self.current.bytes * 2).min(self.sizes.max);
        let path = match (self.spares.pop(), self.preparing.take()) {
            (Some(spare), preparing) => {
                self.preparing = preparing;
                spare
            }
            (None, Some(preparing)) => join(preparing)?,
            (None, None) => segment::fill(&self.spare_path(), bytes, &self.is_closed)?,
        };
        let header = SegmentHeader::new(self.current.number + 1, self.identity, self.next)?;
        let begun = Segment::begin(&self.dir, &path, &header)?;
        let closed = std::mem::replace(&mut self.current, begun);
        self.closed.push_back(Closed { path: closed.path, bytes: closed.bytes, last_index: self.last_index });
        Ok(())
    }

    fn spare_path(&self) -> PathBuf {
        self.dir.join(format!("spare-{}.tmp", self.current.number + 1))
    }

    /// Fills the next segment with zeros while the second half of this one is still free.
    fn prepare_ahead(&mut self) {
        if self.current.offset * 2 < self.current.bytes || self.preparing.is_some() || !self.spares.is_empty() {
            return;
        }
        let bytes = (self.current.bytes * 2).min(self.sizes.max);
        let path = self.spare_path();
        let is_closed = self.is_closed.clone();
        let fill = move || segment::fill(&path, bytes, &is_closed);
        // Without a thread the segment is filled when it is needed.
        self.preparing = std::thread::Builder::new().name("log-ahead".into()).spawn(fill).ok();
    }

    /// Forgets entries before `keep_from`, in whole segments; full-sized ones are kept for reuse.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub(crate) fn forget(&mut self, keep_from: u64) -> io::Result<()> {
        let unnecessary = self.closed.iter().take_while(|closed| closed.last_index < keep_from).count();
        for closed in self.closed.drain(..unnecessary) {
            if closed.bytes == self.sizes.max && self.spares.len() < SPARES_MAX {
                let spare = closed.path.with_extension("spare.tmp");
                std::fs::rename(&closed.path, &spare)?;
                self.spares.push(spare);
            } else {
                std::fs::remove_file(&closed.path)?;
            }
        }
        // A reused file gets a new header: after a crash it must not be found under its old name with that header.
        if unnecessary > 0 { sync_dir(&self.dir) } else { Ok(()) }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        // The helper must not write into the directory after its lock is gone.
        self.is_closed.store(true, Ordering::Relaxed);
        if let Some(preparing) = self.preparing.take() {
            let _ = join(preparing);
        }
    }
}

fn join(preparing: JoinHandle<io::Result<PathBuf>>) -> io::Result<PathBuf> {
    preparing.join().unwrap_or_else(|_| Err(io::Error::other("filling a segment panicked")))
}

// The largest frame (a nearly full one, the longest command, a checkpoint) must fit into the smallest segment.
const _: () = assert!(
    FRAME_BYTES + crate::COMMAND_BYTES_MAX + (128 << 10) + FRAME_HEADER + 2 * BLOCK
        < crate::config::SEGMENT_BYTES_MIN as usize
);
