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

mod descriptors;
mod frame;
mod framer;
mod image;
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

pub(crate) use descriptors::patiently;
pub(crate) use frame::{BLOCK, Identity, Position, SegmentHeader};
pub(crate) use framer::Framer;
pub(crate) use image::LogImage;
pub(crate) use record::Record;
pub(crate) use recovery::{Reader, recover};
pub(crate) use segment::{name, sync_dir};

use crate::OpenError;
use frame::FRAME_HEADER;
use segment::Segment;

/// A frame is closed when it holds so many bytes; the longest command still fits behind that.
const FRAME_BYTES: usize = 1 << 20;

/// Most unused segments that are kept for reuse.
const SPARES_MAX: usize = 2;

/// How long segments are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) first: u64,
    pub(crate) max: u64,
}

/// A segment that is full.
#[derive(Debug)]
pub(crate) struct Closed {
    path: PathBuf,
    bytes: u64,
    /// The highest index of any entry in it.
    pub(crate) last_index: u64,
}

impl Closed {
    pub(crate) fn number(&self) -> Option<u64> {
        segment::number(&self.path)
    }
}

/// The end of the log: where the next frame goes.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    sizes: Sizes,
    identity: Identity,
    closed: VecDeque<Closed>,
    current: Segment,
    framer: Framer,
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
            framer: Framer::new(FRAME_BYTES, &LogImage::default(), Position::default(), 0),
            spares: Vec::new(),
            preparing: None,
            is_closed: Arc::default(),
        })
    }

    /// Where the log is, for whoever must make room or change a disk.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes records durable, in order. When this returns, they survive a crash.
    ///
    /// # Errors
    /// After an error nobody knows what the disk holds: the log must not be used any more.
    pub(crate) fn append(&mut self, records: impl IntoIterator<Item = Record>) -> io::Result<()> {
        for record in records {
            if self.framer.push(record) {
                self.flush()?;
            }
        }
        if self.framer.is_empty() { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.current.offset + self.framer.frame_bytes() as u64 > self.current.bytes {
            self.rotate()?;
            self.framer.open_segment();
        }
        self.current.write_durably(self.framer.seal(self.current.epoch))?;
        self.framer.clear();
        self.prepare_ahead();
        Ok(())
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
        let header = SegmentHeader::new(self.current.number + 1, self.identity, self.framer.next)?;
        let begun = Segment::begin(&self.dir, &path, &header)?;
        let closed = std::mem::replace(&mut self.current, begun);
        self.closed.push_back(Closed { path: closed.path, bytes: closed.bytes, last_index: self.framer.last_index });
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
    ((FRAME_BYTES + crate::COMMAND_BYTES_MAX + (128 << 10) + FRAME_HEADER + 2 * BLOCK) as u64)
        < crate::config::SEGMENT_BYTES_MIN
);
