//! The log as Raft reads it: in memory, from the newest snapshot's tail to the end.

use std::{cell::Cell, collections::VecDeque};

use raft::{
    Error, GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{Entry, Snapshot},
};

use crate::{
    HardState, Mark, MemberId,
    codec::piece_len,
    raft_types::{to_raft_hard_state, to_raft_members, to_raft_snapshot},
};

/// The index of the founding: the empty machine with its first members. It has no entry and no snapshot file, so that a
/// later member, whose log is really empty, must take a snapshot and so learns who the members are.
pub(crate) const FOUNDING_INDEX: u64 = 1;

/// What an entry costs beside its data, in bytes, for every budget here.
pub(crate) const ENTRY_OVERHEAD_BYTES: u64 = 64;

/// The bytes that budgets charge for an entry.
pub(crate) fn cost(entry: &Entry) -> u64 {
    entry.data.len() as u64 + entry.context.len() as u64 + ENTRY_OVERHEAD_BYTES
}

/// The in-memory log. What is in here is readable by Raft at once, durable only when the driver says so.
#[derive(Debug)]
pub(crate) struct Log {
    /// The newest durable snapshot.
    pub(crate) mark: Mark,
    pub(crate) hard: HardState,
    /// Index and term of the entry before the first.
    before: (u64, u64),
    entries: VecDeque<Entry>,
    /// Somebody needs a snapshot that does not exist yet.
    pub(crate) wanted: Cell<bool>,
}

impl Log {
    pub(crate) fn new(mark: Mark, hard: HardState, entries: Vec<Entry>) -> Self {
        let before = (mark.index, mark.term);
        Self { mark, hard, before, entries: entries.into(), wanted: Cell::new(false) }
    }

    pub(crate) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// Where the entry at an index stands, or would stand, that is not before the first.
    fn place(&self, index: u64) -> usize {
        piece_len(index - self.first(), usize::MAX)
    }

    /// Appends, replacing everything from the first new index on: a follower's log yields to its leader's.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(head) = entries.first() else { return };
        assert!(head.index > self.before.0, "an entry at {} would rewrite the snapshot", head.index);
        assert!(head.index <= self.last() + 1, "an entry at {} leaves a gap after {}", head.index, self.last());
        self.entries.truncate(self.place(head.index));
        self.entries.extend(entries.iter().cloned());
    }

    /// Starts anew from a snapshot that came from the leader.
    pub(crate) fn install(&mut self, mark: Mark) {
        self.before = (mark.index, mark.term);
        self.hard.commit = self.hard.commit.max(mark.index);
        self.mark = mark;
        self.entries.clear();
    }

    /// Notes a snapshot of this member's own and forgets the entries before it, but for a tail for slow followers.
    pub(crate) fn compact(&mut self, mark: Mark, tail_bytes: u64) {
        let mut tail = 0;
        let covered = piece_len(mark.index.saturating_sub(self.before.0), self.entries.len());
        let kept = self.entries.iter().take(covered).rev().take_while(|entry| {
            tail += cost(entry);
            tail <= tail_bytes
        });
        let forgotten = covered - kept.count();
        if let Some(last) = self.entries.drain(..forgotten).next_back() {
            self.before = (last.index, last.term);
        }
        self.mark = mark;
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(to_raft_hard_state(self.hard), to_raft_members(&self.mark.members)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "entries up to {high} of a log that ends at {}", self.last());
        let (low, high) = (self.place(low), self.place(high));
        let budget = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            // The first always fits, or a large entry would never be sent.
            let fits = bytes == 0 || bytes + cost(entry) <= budget;
            bytes += cost(entry);
            fits
        };
        Ok(self.entries.range(low..high).take_while(fits).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(self.place(index));
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// A snapshot from before its receiver was added would be thrown away there: Raft wants to find itself in it.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let is_known = self.mark.members.contains(MemberId(to));
        if self.mark.index <= FOUNDING_INDEX || self.mark.index < request_index || !is_known {
            self.wanted.set(true);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(to_raft_snapshot(&self.mark))
    }
}
