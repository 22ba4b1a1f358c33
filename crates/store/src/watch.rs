//! History for watchers: one bounded ring of changes a kind, and cursors into it.
//!
//! An event is kept once and shared. A watcher holds no queue: one that is slow falls behind by its cursor, costs nothing,
//! and is told to list again when the ring has moved past it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use api::{ChangeType, Kind, Revision};
use tokio::sync::Notify;

use crate::{Event, machine::Shared};

/// The most events that one kind's ring keeps: enough for minutes of a busy cluster.
pub const EVENTS_MAX: usize = 65_536;

/// The most memory that one kind's ring keeps alive, in bytes.
pub const RING_BYTES_MAX: usize = 32 << 20;

/// So many events of a kind stay as they were decoded: the watchers that keep up read them at once. A decoded object takes
/// several times the memory of its bytes, so what is older and was replaced since is kept as bytes.
const WARM_EVENTS: usize = 64;

/// The most events that one call of [`Watch::next`] answers, so that a watcher far behind does not build one huge answer.
const BATCH_MAX: usize = 1024;

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
        self.events.clear();
        self.bytes = 0;
        self.floor = floor;
        self.wake();
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

    /// Wakes every watcher and forgets those that are gone.
    pub(crate) fn wake(&mut self) {
        self.watchers.retain(|watcher| {
            let watcher = watcher.upgrade();
            watcher.inspect(|watcher| watcher.notify_one()).is_some()
        });
    }

    fn after(&self, cursor: Revision, until: Revision, into: &mut Vec<Arc<Event>>) -> Result<(), Expired> {
        if cursor < self.floor {
            return Err(Expired { asked: cursor, floor: self.floor });
        }
        let start = self.events.partition_point(|event| event.revision() <= cursor);
        let fresh = self.events.range(start..).take_while(|event| event.revision() <= until);
        into.extend(fresh.take(BATCH_MAX).cloned());
        Ok(())
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

/// A cursor into the history of some kinds. Ordered, without gaps, without repetition.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    kinds: Vec<Kind>,
    cursor: Revision,
    wake: Arc<Notify>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, kinds: &[Kind], after: Revision) -> Result<Self, Expired> {
        let watch = Self { shared, kinds: kinds.to_vec(), cursor: after, wake: Arc::new(Notify::new()) };
        for kind in kinds {
            let mut lane = lock(&watch.shared.lanes[*kind as usize]);
            if after < lane.floor {
                return Err(Expired { asked: after, floor: lane.floor });
            }
            lane.watchers.push(Arc::downgrade(&watch.wake));
        }
        Ok(watch)
    }

    /// Everything up to this revision was answered.
    #[must_use]
    pub fn cursor(&self) -> Revision {
        self.cursor
    }

    /// The next changes, at least one, in order. May be dropped and called again without losing any.
    ///
    /// # Errors
    /// [`Expired`] if the watcher was so slow that the ring moved past it.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        loop {
            let events = self.ready()?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.wake.notified().await;
        }
    }

    /// The changes that are there already; empty if there are none. Moves the cursor to the present if all were answered.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn ready(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        // Lanes are filled before the view is published, so up to the view's revision no lane has a gap.
        let until = self.shared.view().revision();
        let mut events = Vec::new();
        for kind in &self.kinds {
            lock(&self.shared.lanes[*kind as usize]).after(self.cursor, until, &mut events)?;
        }
        if self.kinds.len() > 1 {
            events.sort_unstable_by_key(|event| event.revision());
            // A lane may have had more than it gave: what another lane gave beyond that must wait its turn.
            if events.len() > BATCH_MAX {
                events.truncate(BATCH_MAX);
            }
        }
        self.cursor = match events.last() {
            Some(last) if events.len() >= BATCH_MAX => last.revision(),
            _ => self.cursor.max(until),
        };
        Ok(events)
    }
}

/// A lane is plain data that no panic leaves half changed.
pub(crate) fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
