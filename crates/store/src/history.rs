//! The history of each kind: one bounded ring of changes. All kinds that users define share one, so that many of them take no more
//! room than one. An event is kept once and shared by all watchers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use api::{ChangeType, Kind, Revision};
use tokio::sync::Notify;

use crate::Event;

/// The most events that one kind's ring keeps: enough for minutes of a busy cluster.
pub const EVENTS_MAX: usize = 65_536;

/// The most memory that one kind's ring keeps alive, in bytes.
pub const RING_BYTES_MAX: usize = 32 << 20;

/// As [`RING_BYTES_MAX`], of CustomResourceDefinitions: they are large and change seldom, and a thousand of them come at once.
pub const DEFINITIONS_RING_BYTES_MAX: usize = 8 << 20;

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

/// Whose changes somebody looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// At those of one kind.
    At(Kind),
    /// At those of all kinds that users define.
    AtAllCustom,
}

impl Looked {
    /// In which lane those changes are, by [`Kind::row`].
    pub(crate) fn row(self) -> usize {
        match self {
            Self::At(kind) => kind.row(),
            Self::AtAllCustom => Kind::ROWS - 1,
        }
    }

    /// Whether a change of a kind, which is in the same lane, is one of them.
    fn sees(self, kind: Kind) -> bool {
        match self {
            Self::At(looked) => looked == kind,
            Self::AtAllCustom => true,
        }
    }
}

/// The history of one kind, or of all that users define.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event after this revision is in `events`, unless a kind's own floor is higher.
    floor: Revision,
    /// Where the history of each kind begins, if it was cut off since `floor`.
    floors: BTreeMap<Kind, Revision>,
    watchers: Vec<(Looked, Weak<Notify>)>,
}

impl Lane {
    /// Forgets everything up to `floor`: the state was replaced by a snapshot.
    pub(crate) fn restart(&mut self, floor: Revision) {
        self.events.drain(..).for_each(|event| cool(&event));
        self.bytes = 0;
        self.floor = floor;
        self.floors.clear();
        wake(&self.all_watchers());
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        let is_definition = event.record.key.kind == Kind::CustomResourceDefinition;
        let bytes_max = if is_definition { DEFINITIONS_RING_BYTES_MAX } else { RING_BYTES_MAX };
        self.bytes += event.size();
        self.events.push_back(event);
        if let Some(old) = self.events.len().checked_sub(WARM_EVENTS + 1) {
            cool(&self.events[old]);
        }
        while self.bytes > bytes_max || self.events.len() > EVENTS_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            cool(&oldest);
            self.bytes -= oldest.size();
            self.floors.insert(oldest.record.key.kind, oldest.revision());
        }
    }

    /// Every watcher that is still there and looks at a kind, to be woken once the lane is free for them; those that are gone
    /// are forgotten.
    pub(crate) fn watchers(&mut self, kind: Kind) -> Vec<Arc<Notify>> {
        self.watchers.retain(|(_, watcher)| watcher.strong_count() > 0);
        let looking = self.watchers.iter().filter(|(looked, _)| looked.sees(kind));
        looking.filter_map(|(_, watcher)| watcher.upgrade()).collect()
    }

    fn all_watchers(&self) -> Vec<Arc<Notify>> {
        self.watchers.iter().filter_map(|(_, watcher)| watcher.upgrade()).collect()
    }

    /// Wakes a watcher from now on, if everything after its revision is still here.
    pub(crate) fn subscribe(&mut self, watcher: &Arc<Notify>, looked: Looked, after: Revision) -> Result<(), Expired> {
        self.reaches(looked, after)?;
        self.watchers.push((looked, Arc::downgrade(watcher)));
        Ok(())
    }

    /// Adds the events after one revision and up to another, as many as may be given at once.
    pub(crate) fn after(
        &self,
        looked: Looked,
        within: (Revision, Revision),
        into: &mut Vec<Arc<Event>>,
    ) -> Result<(), Expired> {
        into.extend(self.between(looked, within)?.take(BATCH_MAX).cloned());
        Ok(())
    }

    /// All events after one revision and up to another, in order: a pointer each, to what the ring keeps anyway.
    pub(crate) fn all_after(&self, looked: Looked, within: (Revision, Revision)) -> Result<Vec<Arc<Event>>, Expired> {
        Ok(self.between(looked, within)?.cloned().collect())
    }

    fn between(
        &self,
        looked: Looked,
        (cursor, until): (Revision, Revision),
    ) -> Result<impl Iterator<Item = &Arc<Event>>, Expired> {
        self.reaches(looked, cursor)?;
        let start = self.events.partition_point(|event| event.revision() <= cursor);
        let fresh = self.events.range(start..).take_while(move |event| event.revision() <= until);
        Ok(fresh.filter(move |event| looked.sees(event.record.key.kind)))
    }

    fn reaches(&self, looked: Looked, revision: Revision) -> Result<(), Expired> {
        let cut = match looked {
            Looked::At(kind) => self.floors.get(&kind).copied(),
            Looked::AtAllCustom => self.floors.values().copied().max(),
        };
        let floor = self.floor.max(cut.unwrap_or_default());
        if revision < floor { Err(Expired { asked: revision, floor }) } else { Ok(()) }
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
