//! The log thread: everything that waits becomes one write.

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use super::{
    News, RaftInbox,
    inbox::{Inbox, Taken},
    peers::Peers,
};
use crate::{
    HardState, Mark, OnFailure,
    brain::Persist,
    message::Message,
    snapshot,
    wal::{Record, Wal},
};

/// Without work the thread looks around this often; it is woken for work.
const IDLE: Duration = Duration::from_secs(3600);

/// A backlog is reported piece by piece, about every so many bytes: a frame of the log.
const REPORT_BYTES: usize = 1 << 20;

/// What the raft thread wants written.
#[derive(Debug)]
pub(super) enum Task {
    Persist(Persist),
    Forget { mark: Mark, keep_from: u64 },
}

pub(super) type LogInbox = Inbox<Infallible, Task>;

pub(super) struct LogThread<O> {
    pub(super) wal: Wal,
    pub(super) hard: HardState,
    pub(super) snapshots: PathBuf,
    pub(super) tasks: Arc<LogInbox>,
    pub(super) raft: Arc<RaftInbox<O>>,
    pub(super) peers: Option<Arc<Peers>>,
}

impl<O> LogThread<O> {
    pub(super) fn run(mut self, policy: OnFailure) {
        super::priority::run_soon();
        let raft = self.raft.clone();
        if let Err(reason) = super::failure::guard(policy, move || self.work()) {
            raft.tell(News::Failed(reason));
        }
    }

    fn work(&mut self) -> Result<(), String> {
        loop {
            let Taken { control: tasks, is_closed, .. } = self.tasks.take(IDLE);
            if tasks.is_empty() && is_closed {
                return Ok(());
            }
            self.write(tasks).map_err(|error| format!("writing the log in {}: {error}", self.wal.dir().display()))?;
        }
    }

    fn write(&mut self, tasks: Vec<Task>) -> io::Result<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for task in tasks {
            match task {
                Task::Persist(persist) => {
                    bytes += persist.entries.iter().map(|entry| entry.data.len()).sum::<usize>();
                    batch.push(persist);
                    if bytes >= REPORT_BYTES {
                        bytes = 0;
                        self.persist(std::mem::take(&mut batch))?;
                    }
                }
                Task::Forget { mark, keep_from } => {
                    self.persist(std::mem::take(&mut batch))?;
                    self.wal.append([Record::Mark(mark)])?;
                    self.wal.forget(keep_from)?;
                    snapshot::prune(&self.snapshots)?;
                }
            }
        }
        self.persist(batch)
    }

    /// Writes everything at once, reports it, and only then lets go of the messages that promise it: their answers must not
    /// overtake the report.
    fn persist(&mut self, batch: Vec<Persist>) -> io::Result<()> {
        let Some(number) = batch.last().map(|persist| persist.number) else { return Ok(()) };
        let mut after = Vec::new();
        let hard = &mut self.hard;
        let records = batch.into_iter().flat_map(|persist| records(persist, hard, &mut after));
        self.wal.append(records)?;
        self.raft.tell(News::Persisted(number));
        route(self.peers.as_deref(), after);
        Ok(())
    }
}

/// A write as records. It may take several frames, and a crash may keep only the first ones. Before the entries goes a new
/// vote, so that none is of a later term than the promises, and what was agreed before them: whoever holds the removal of a
/// member also knows that it has no vote. After the entries goes what is agreed among them, so that the commit index never
/// points beyond the end.
pub(crate) fn records(persist: Persist, known: &mut HardState, after: &mut Vec<Message>) -> Vec<Record> {
    let Persist { number: _, restore, entries, hard, after: messages } = persist;
    after.extend(messages);
    let mut records = Vec::with_capacity(entries.len() + 4);
    if let Some(mark) = restore {
        known.commit = mark.index;
        records.extend([Record::Truncate(0), Record::Mark(mark), Record::HardState(*known)]);
    }
    if let Some(first) = entries.first() {
        let before = HardState { commit: hard.commit.min(first.index - 1), ..hard };
        if before != *known {
            *known = before;
            records.push(Record::HardState(before));
        }
    }
    records.extend(entries.into_iter().map(Record::Entry));
    if hard != *known {
        records.push(Record::HardState(hard));
    }
    *known = hard;
    records
}

/// Messages leave through the connections; a member without a dialler has nobody to write to.
pub(super) fn route(peers: Option<&Peers>, messages: Vec<Message>) {
    match peers {
        Some(peers) => peers.send(messages),
        None => messages.iter().for_each(|message| tracing::debug!(to = %message.to(), "no way to another member")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, EntryKind};

    /// A crash between two frames keeps the first records only.
    #[test]
    fn what_was_agreed_before_entries_stands_before_them() {
        let entry = |index| Entry {
            term: 3,
            index,
            kind: EntryKind::Command,
            data: bytes::Bytes::new(),
            context: bytes::Bytes::new(),
        };
        let mut known = HardState { term: 3, vote: 1, commit: 4 };
        let hard = HardState { commit: 8, ..known };
        let persist = Persist { number: 1, restore: None, entries: vec![entry(8), entry(9)], hard, after: Vec::new() };
        let written = records(persist, &mut known, &mut Vec::new());
        let before = Record::HardState(HardState { commit: 7, ..hard });
        assert_eq!(written, [before, Record::Entry(entry(8)), Record::Entry(entry(9)), Record::HardState(hard)]);
        assert_eq!(known, hard);
        let persist = Persist { number: 2, restore: None, entries: vec![entry(10)], hard, after: Vec::new() };
        assert_eq!(records(persist, &mut known, &mut Vec::new()), [Record::Entry(entry(10))]);
    }
}
