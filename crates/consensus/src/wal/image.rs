//! What a log says, however it was read.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Record;
use crate::{Entry, HardState, Mark, brain::FOUNDING_INDEX, codec::piece_len};

/// What a log says, all records taken together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogImage {
    pub(crate) hard: HardState,
    /// The newest snapshot that the log knows of; none only if the founding was cut short.
    pub(crate) mark: Option<Mark>,
    /// Where the member began: the founding, or nothing at all. None when that part of the log is gone.
    pub(crate) origin: Option<Mark>,
    /// Entries without a gap; their data are slices of whole segments, see [`LogImage::detach`].
    pub(crate) entries: VecDeque<Entry>,
}

impl LogImage {
    pub(super) fn take(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Entry(entry) => self.place(entry)?,
            // At the head of a segment stands an older commit index. What was agreed stays agreed.
            Record::HardState(hard) => self.hard = HardState { commit: hard.commit.max(self.hard.commit), ..hard },
            Record::Mark(mark) => {
                if mark.index <= FOUNDING_INDEX {
                    self.origin = Some(mark.clone());
                }
                self.mark = Some(mark);
            }
            Record::Truncate(from) => self.truncate(from),
        }
        Ok(())
    }

    /// An entry below the first one is no damage: it replaced entries whose beginning is in a segment that is gone by now.
    fn place(&mut self, entry: Entry) -> Result<(), String> {
        if let Some(last) = self.entries.back()
            && entry.index > last.index.saturating_add(1)
        {
            return Err(format!("entry {} follows entry {}", entry.index, last.index));
        }
        self.truncate(entry.index);
        self.entries.push_back(entry);
        Ok(())
    }

    fn truncate(&mut self, from: u64) {
        let Some(first) = self.entries.front().map(|entry| entry.index) else { return };
        self.entries.truncate(piece_len(from.saturating_sub(first), usize::MAX));
    }

    /// Forgets entries up to an index and gives the others memory of their own: a slice would keep a whole segment in memory
    /// for as long as one object lives.
    pub(crate) fn detach(&mut self, after: u64) {
        self.entries.retain(|entry| entry.index > after);
        for entry in &mut self.entries {
            entry.data = Bytes::copy_from_slice(&entry.data);
            entry.context = Bytes::copy_from_slice(&entry.context);
        }
    }

    /// Whether the log goes on from a snapshot at an index. A snapshot beyond the log's end came from a leader, and the crash
    /// came before the log knew of it.
    pub(crate) fn continues(&self, index: u64) -> bool {
        let log_mark = self.mark.as_ref().map_or(0, |mark| mark.index);
        let is_joined = self.entries.front().map_or(log_mark <= index, |first| first.index <= index.saturating_add(1));
        index <= self.last() && is_joined
    }

    /// The last index that the log reaches.
    pub(crate) fn last(&self) -> u64 {
        let mark = self.mark.as_ref().map_or(0, |mark| mark.index);
        self.entries.back().map_or(mark, |entry| entry.index.max(mark))
    }
}
