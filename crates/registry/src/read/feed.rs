//! The feed of the controllers: the whole state, of some kinds or of all, then every change of it.

use std::{borrow::Borrow, cmp::Ordering, collections::BTreeSet, sync::Arc};

use api::{ChangeType, Key, Kind, Observation, Revision};
use futures::{Stream, stream};
use store::{Event, Record, Store, Watch};
use tokio_util::sync::CancellationToken;

use crate::Registry;

impl Registry {
    /// Everything that exists of some kinds as one batch of additions (the first batch, empty if there is nothing), then
    /// changes as they happen. A reader that was too slow for the history gets the differences instead: nothing is
    /// reported twice, nothing is missed. Objects are decoded when somebody looks at them, as [`Record::outline`] has them.
    /// Ends when the process stops.
    pub fn feed(&self, kinds: &[Kind]) -> impl Stream<Item = Vec<Observation>> + Send + 'static + use<> {
        self.fed(Some(kinds.to_vec()))
    }

    /// As [`Registry::feed`], of all kinds, those included that users define.
    pub fn feed_all(&self) -> impl Stream<Item = Vec<Observation>> + Send + 'static + use<> {
        self.fed(None)
    }

    fn fed(&self, kinds: Option<Vec<Kind>>) -> impl Stream<Item = Vec<Observation>> + Send + 'static + use<> {
        let feed = Feed {
            store: self.inner.store.clone(),
            kinds,
            watch: None,
            known: BTreeSet::new(),
            begun: false,
            closing: self.inner.closing.clone(),
        };
        stream::unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) })
    }
}

struct Feed {
    store: Store,
    /// `None` for all.
    kinds: Option<Vec<Kind>>,
    watch: Option<Watch>,
    /// What the reader was told.
    known: BTreeSet<Told>,
    begun: bool,
    closing: CancellationToken,
}

/// What the reader was told of an object. It stands under the name that the record has.
struct Told(Arc<Record>);

impl Borrow<Key> for Told {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}

impl Ord for Told {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl PartialOrd for Told {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Told {}

impl Feed {
    async fn next(&mut self) -> Option<Vec<Observation>> {
        loop {
            let Some(watch) = &mut self.watch else {
                let changes = self.relist();
                let first = !std::mem::replace(&mut self.begun, true);
                if first || !changes.is_empty() {
                    return Some(changes);
                }
                continue;
            };
            let events = tokio::select! {
                events = watch.next() => events,
                () = self.closing.cancelled() => return None,
            };
            match events {
                Ok(events) => return Some(events.iter().map(|event| self.learn(event)).collect()),
                Err(_) => self.watch = None,
            }
        }
    }

    fn learn(&mut self, event: &Event) -> Observation {
        match event.change {
            ChangeType::Added | ChangeType::Modified => self.known.replace(Told(event.record.clone())),
            ChangeType::Deleted => self.known.take(&event.record.key),
        };
        event.observation()
    }

    /// The differences between what was told and what is.
    #[expect(clippy::mutable_key_type, reason = "the name of a record never changes")]
    fn relist(&mut self) -> Vec<Observation> {
        let view = self.store.view();
        self.watch = match &self.kinds {
            Some(kinds) => self.store.watch(kinds, view.revision()).ok(),
            None => self.store.watch_all(view.revision()).ok(),
        };
        let kinds = self.kinds.clone().unwrap_or_else(|| view.kinds().collect());
        let mut known = BTreeSet::new();
        let mut changes = Vec::new();
        for kind in kinds {
            for record in view.list(kind, None, None) {
                changes.extend(difference(self.known.take(&record.key), record));
                known.insert(Told(record.clone()));
            }
        }
        let lost = std::mem::replace(&mut self.known, known);
        changes.extend(lost.iter().map(|Told(record)| told(ChangeType::Deleted, record, view.revision())));
        changes
    }
}

fn difference(before: Option<Told>, record: &Arc<Record>) -> Option<Observation> {
    let change = match &before {
        Some(Told(before)) if before.revision == record.revision => return None,
        Some(_) => ChangeType::Modified,
        None => ChangeType::Added,
    };
    Some(told(change, record, record.revision))
}

fn told(change: ChangeType, record: &Arc<Record>, revision: Revision) -> Observation {
    Observation { change, object: record.clone(), revision }
}
