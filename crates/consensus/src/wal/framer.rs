//! Records become frames: what the next frame holds and where it stands in the chain. Knows no file, so the log on disk and
//! the one in memory that tests crash (`wal_image`) write the same bytes.

use super::{
    Record,
    frame::{FrameBuffer, Position},
    image::LogImage,
};
use crate::{HardState, Mark};

/// The end of a log, without its medium.
#[derive(Debug)]
pub(crate) struct Framer {
    /// A frame is closed when it holds so many bytes.
    frame_bytes_max: usize,
    pub(crate) next: Position,
    buffer: FrameBuffer,
    /// The newest promises and snapshot, repeated at the head of each segment so that older ones can go.
    hard: HardState,
    mark: Option<Mark>,
    /// The highest index of any entry so far.
    pub(crate) last_index: u64,
}

impl Framer {
    /// Goes on after what was read, or begins.
    pub(crate) fn new(frame_bytes_max: usize, image: &LogImage, next: Position, last_index: u64) -> Self {
        let (hard, mark) = (image.hard, image.mark.clone());
        Self { frame_bytes_max, next, buffer: FrameBuffer::default(), hard, mark, last_index }
    }

    /// Takes in a record; true when the frame is full.
    pub(crate) fn push(&mut self, record: Record) -> bool {
        self.buffer.push(&record);
        match record {
            Record::Entry(entry) => self.last_index = self.last_index.max(entry.index),
            Record::HardState(hard) => self.hard = hard,
            Record::Mark(mark) => self.mark = Some(mark),
            Record::Truncate(_) => {}
        }
        self.buffer.payload_bytes() >= self.frame_bytes_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.payload_bytes() == 0
    }

    /// How many bytes the frame takes in a segment.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.buffer.frame_bytes()
    }

    /// The frame is the first of a segment. What `push` saw belongs to it too; noting it for the segment before as well only
    /// keeps that one longer.
    pub(crate) fn open_segment(&mut self) {
        let checkpoint = self.mark.clone().map(Record::Mark).into_iter();
        self.buffer.prepend(checkpoint.chain([Record::HardState(self.checkpoint_state())]));
    }

    /// The promises at the head of a segment must not promise entries that only follow: a commit index is found again.
    fn checkpoint_state(&self) -> HardState {
        let commit = self.mark.as_ref().map_or(0, |mark| mark.index);
        HardState { commit, ..self.hard }
    }

    /// The frame as it is to be written. An error in writing it is the end of the log, so the chain may go on at once.
    pub(crate) fn seal(&mut self, epoch: u64) -> &[u8] {
        let frame = self.buffer.seal(epoch, self.next);
        self.next = Position { sequence: self.next.sequence + 1, chain: frame.checksum };
        frame.bytes
    }

    /// The frame was written; the next one begins.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }
}
