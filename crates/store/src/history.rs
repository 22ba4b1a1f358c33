//! The history of each kind: one bounded ring of changes. An event is kept once and shared by all watchers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use api::{ChangeType, Revision};
use tokio::sync::Notify;

use crate::Event;

/// The most events that one kind's ring keeps: enough for minutes of a busy cluster.
pub const EVENTS_MAX: usize = 65_536;

/// The most memory that one kind's ring keeps alive, in bytes.
pub const RING_BYTES_MAX: usize = 32 << 20;

/// Newest events of a kind that stay as they were decoded: the watchers that keep up read them at once. A decoded object takes
/// several times the memory of its bytes, so what is older and was replaced since is kept as bytes.
const WARM_EVENTS: usize = 64;

/// The most events that a watcher is given at once, so that one far behind does not build one huge answer.
pub(crate) const BATCH_MAX: usize = 1024;

/// The revision is older than the history that is kept: list, then watch from the list's revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is too old: history starts after {floor}")]
pub struct Expired {
    /// The revision that was asked for.
    pub asked: Revision,
    /// The newest revision that is no longer in the history.
    pub floor: Revision,
}

/// The history of one kind.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event after this revision is in `events`.
    floor: Revision,
    watchers: Vec<Weak<Notify>>,
}

impl Lane {
    /// Forgets everything up to `floor`: the state was replaced by a snapshot.
    pub(crate) fn restart(&mut self, floor: Revision) {
        self.events.drain(..).for_each(|event| cool(&event));
        self.bytes = 0;
        self.floor = floor;
        wake(&self.watchers());
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.size();
        self.events.push_back(event);
        if let Some(old) = self.events.len().checked_sub(WARM_EVENTS + 1) {
            cool(&self.events[old]);
        }
        while self.bytes > RING_BYTES_MAX || self.events.len() > EVENTS_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            cool(&oldest);
            self.bytes -= oldest.size();
            self.floor = oldest.revision();
        }
    }

    /// Every watcher that is still there, to be woken once the lane is free for them; the others are forgotten.
    pub(crate) fn watchers(&mut self) -> Vec<Arc<Notify>> {
        self.watchers.retain(|watcher| watcher.strong_count() > 0);
        self.watchers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Wakes a watcher from now on, if everything after its revision is still here.
    pub(crate) fn subscribe(&mut self, watcher: &Arc<Notify>, after: Revision) -> Result<(), Expired> {
        self.reaches(after)?;
        self.watchers.push(Arc::downgrade(watcher));
        Ok(())
    }

    /// Adds the events after one revision and up to another, as many as may be given at once.
    pub(crate) fn after(&self, cursor: Revision, until: Revision, into: &mut Vec<Arc<Event>>) -> Result<(), Expired> {
        self.reaches(cursor)?;
        let start = self.events.partition_point(|event| event.revision() <= cursor);
        let fresh = self.events.range(start..).take_while(|event| event.revision() <= until);
        into.extend(fresh.take(BATCH_MAX).cloned());
        Ok(())
    }

    fn reaches(&self, revision: Revision) -> Result<(), Expired> {
        if revision < self.floor { Err(Expired { asked: revision, floor: self.floor }) } else { Ok(()) }
    }
}

/// Drops the decoded values that an event leaves behind when it is no news any more.
fn cool(event: &Event) {
    event.before.iter().for_each(|before| before.forget());
    match event.change {
        ChangeType::Deleted => event.record.forget(),
        ChangeType::Added | ChangeType::Modified => event.record.age(),
    }
}

/// Tells watchers that there is something new.
pub(crate) fn wake(watchers: &[Arc<Notify>]) {
    watchers.iter().for_each(|watcher| watcher.notify_one());
}

/// A lane is plain data that no panic leaves half changed.
pub(crate) fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
