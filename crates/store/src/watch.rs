//! Watchers: cursors into the history of some kinds.
//!
//! A watcher holds no queue: one that is slow falls behind by its cursor, costs nothing, and is told to list again when the
//! ring has moved past it.

use std::sync::Arc;

use api::Revision;
use tokio::sync::Notify;

use crate::{
    Event,
    history::{BATCH_MAX, Expired, Looked},
    shared::Shared,
};

/// A cursor into the history of some kinds. Ordered, without gaps, without repetition.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    looked: Vec<Looked>,
    cursor: Revision,
    wake: Arc<Notify>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, looked: Vec<Looked>, after: Revision) -> Result<Self, Expired> {
        let watch = Self { shared, looked, cursor: after, wake: Arc::new(Notify::new()) };
        for looked in &watch.looked {
            watch.shared.lane(looked.row()).subscribe(&watch.wake, *looked, after)?;
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
        for looked in &self.looked {
            self.shared.lane(looked.row()).after(*looked, (self.cursor, until), &mut events)?;
        }
        if self.looked.len() > 1 {
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
