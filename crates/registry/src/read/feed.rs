//! The feed of the controllers: the whole state of some kinds, then every change of it.

use std::{collections::BTreeMap, sync::Arc};

use api::{Change, ChangeType, Key, Kind};
use futures::{Stream, stream};
use store::{Event, Record, Store, View, Watch};
use tokio_util::sync::CancellationToken;

use crate::Registry;

impl Registry {
    /// Everything that exists of some kinds as one batch of additions (the first batch, empty if there is nothing), then
    /// changes as they happen. A reader that was too slow for the history gets the differences instead: nothing is
    /// reported twice, nothing is missed. Objects are as [`Record::outline`] has them. Ends when the process stops.
    pub fn feed(&self, kinds: &[Kind]) -> impl Stream<Item = Vec<Change>> + Send + 'static + use<> {
        let feed = Feed {
            store: self.inner.store.clone(),
            kinds: kinds.to_vec(),
            watch: None,
            known: BTreeMap::new(),
            begun: false,
            closing: self.inner.closing.clone(),
        };
        stream::unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) })
    }
}

struct Feed {
    store: Store,
    kinds: Vec<Kind>,
    watch: Option<Watch>,
    /// What the reader was told.
    known: BTreeMap<Key, Arc<Record>>,
    begun: bool,
    closing: CancellationToken,
}

impl Feed {
    async fn next(&mut self) -> Option<Vec<Change>> {
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

    fn learn(&mut self, event: &Event) -> Change {
        let key = &event.record.key;
        match event.change {
            ChangeType::Added | ChangeType::Modified => self.known.insert(key.clone(), event.record.clone()),
            ChangeType::Deleted => self.known.remove(key),
        };
        event.outline()
    }

    /// The differences between what was told and what is.
    fn relist(&mut self) -> Vec<Change> {
        let view = self.store.view();
        self.watch = self.store.watch(&self.kinds, view.revision()).ok();
        let mut known = BTreeMap::new();
        let mut changes = Vec::new();
        for kind in &self.kinds {
            for record in view.list(*kind, None, None) {
                changes.extend(difference(self.known.remove(&record.key), record));
                known.insert(record.key.clone(), record.clone());
            }
        }
        let lost = std::mem::replace(&mut self.known, known);
        changes.extend(lost.values().map(|record| lost_change(record, &view)));
        changes
    }
}

fn difference(before: Option<Arc<Record>>, record: &Record) -> Option<Change> {
    let change = match &before {
        Some(before) if before.revision == record.revision => return None,
        Some(_) => ChangeType::Modified,
        None => ChangeType::Added,
    };
    Some(Change { change, object: record.outline(), revision: record.revision })
}

fn lost_change(record: &Record, view: &View) -> Change {
    Change { change: ChangeType::Deleted, object: record.outline(), revision: view.revision() }
}
