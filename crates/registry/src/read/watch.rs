//! Watches: what matches a query, as it changes, in order and without gaps.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::{ChangeType, Error, Key, Kind, Object, ReadAt, Reason, Revision, Verb, custom::Definition};
use futures::{Stream, stream};
use store::{Event, Expired, Record, View, Watch};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    Registry,
    access::{Access, Caller, Roles},
};

use super::{
    Found,
    query::{Item, WatchFrom, WatchQuery, single},
};

/// The most open watches of a master. One costs some KiB and a socket; 5,000 nodes have four each.
pub(crate) const WATCHES_MAX: usize = 65_536;

/// How often a watch that asked for bookmarks says where it is. Kubernetes' minute.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The most objects of the initial state in one batch, so that a large one is not held in memory twice.
const INITIAL_BATCH_MAX: usize = 512;

impl Registry {
    /// Watches what matches a query. The stream ends after an [`Item::Error`], and when the process stops.
    ///
    /// # Errors
    /// 410 if history does not reach back to where the watch should begin; otherwise as [`Registry::list`].
    pub async fn watch(
        &self,
        query: WatchQuery,
    ) -> Result<impl Stream<Item = Vec<Item>> + Send + 'static + use<>, Error> {
        let asked = Key::namespaced(query.kind, query.namespace.as_deref().unwrap_or_default(), "");
        self.authorise(Access::to_many(Verb::Watch, &asked, &query.fields)).await?;
        let at = match query.from {
            WatchFrom::Existing(at) => at,
            WatchFrom::Now => ReadAt::Latest,
            WatchFrom::After(revision) => ReadAt::NotOlderThan(revision),
        };
        let view = self.view(at).await?;
        let (after, existing) = match query.from {
            WatchFrom::Existing(_) => (view.revision(), true),
            WatchFrom::Now => (view.revision(), false),
            WatchFrom::After(revision) => (revision, false),
        };
        let full =
            |_| Error::new(Reason::TooManyRequests, "the master has as many open watches as it can; try another");
        let permit = self.inner.watches.clone().try_acquire_owned().map_err(full)?;
        let definition = self.definition(&view, query.kind);
        let kinds: &[Kind] = match definition {
            Some(_) => &[query.kind, Kind::CustomResourceDefinition],
            None => &[query.kind],
        };
        let watch = self.inner.store.watch(kinds, after).map_err(expired)?;
        let mut bookmarks = interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let initial = existing.then_some(Initial { view, after: None });
        let reader = Reader { registry: self.clone(), asked, decided_by: None };
        let watcher = Watcher {
            reader,
            watch,
            query,
            definition,
            initial,
            bookmarks,
            closing: Box::pin(self.inner.closing.clone().cancelled_owned()),
            ended: false,
            _permit: permit,
        };
        Ok(stream::unfold(watcher, |mut watcher| async move { Some((watcher.next().await?, watcher)) }))
    }
}

/// Old enough to be forgotten.
fn expired(expired: Expired) -> Error {
    Error::new(Reason::Expired, format!("too old resource version: {} ({})", expired.asked, expired.floor))
}

/// Who reads a watch. Roles change while it is open, so that it is decided anew whenever they have, before anything is told:
/// stronger than in Kubernetes, where a watch goes on that would not be allowed any more.
struct Reader {
    registry: Registry,
    /// Objects of which kind, and where.
    asked: Key,
    /// By which roles it was allowed last.
    decided_by: Option<Arc<Roles>>,
}

impl Reader {
    /// Why nothing more is to be told; `None` as long as something may be.
    fn refused(&mut self, query: &WatchQuery) -> Option<Error> {
        let Caller::User(user) = self.registry.caller() else { return None };
        let roles = self.registry.inner.rights.of(&self.registry.inner.store.view());
        if self.decided_by.as_ref().is_some_and(|before| Arc::ptr_eq(before, &roles)) {
            return None;
        }
        let refused = user.authorise(Access::to_many(Verb::Watch, &self.asked, &query.fields), || roles.clone()).err();
        self.decided_by = Some(roles);
        refused
    }
}

/// One open watch.
struct Watcher {
    reader: Reader,
    watch: Watch,
    query: WatchQuery,
    /// What is defined of the kind, if a user has defined it. When that changes, the watch ends: whoever goes on elsewhere is
    /// told everything as it is then.
    definition: Option<Arc<Definition>>,
    initial: Option<Initial>,
    bookmarks: Interval,
    /// Kept from one batch to the next: all watches wait on one token.
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// What existed at the start and was not sent yet.
struct Initial {
    view: View,
    after: Option<Key>,
}

impl Watcher {
    async fn next(&mut self) -> Option<Vec<Item>> {
        let items = self.items().await?;
        match self.reader.refused(&self.query) {
            Some(error) => {
                (self.ended, self.initial) = (true, None);
                Some(vec![Item::Error(error)])
            }
            None => Some(items),
        }
    }

    async fn items(&mut self) -> Option<Vec<Item>> {
        if let Some(items) = self.existing() {
            return Some(items);
        }
        while !self.ended {
            let items = tokio::select! {
                // Changes first: what happened before the end is said before it.
                biased;
                events = self.watch.next() => self.report(events),
                () = self.closing.as_mut() => self.end(),
                _ = self.bookmarks.tick() => self.bookmark(),
            };
            if !items.is_empty() {
                return Some(items);
            }
        }
        None
    }

    /// The next objects of the initial state; `None` when there are no more.
    fn existing(&mut self) -> Option<Vec<Item>> {
        let Initial { view, after } = self.initial.take()?;
        let WatchQuery { kind, ref namespace, ref fields, .. } = self.query;
        let single = single(kind, namespace.as_deref(), fields);
        let alone = single.as_ref().and_then(|key| view.get(key));
        let many = single.is_none().then(|| view.list(kind, namespace.as_deref(), after.as_ref()));
        let mut items = Vec::new();
        let mut last = None;
        for record in alone.into_iter().chain(many.into_iter().flatten()) {
            if items.len() == INITIAL_BATCH_MAX {
                break;
            }
            last = Some(record.key.clone());
            if is_open(&self.query) || selects(&self.query, record) {
                let revision = record.revision;
                let object = Found::from(record).defined(self.definition.as_ref());
                items.push(Item::Change { change: ChangeType::Added, object, revision });
            }
        }
        if items.len() == INITIAL_BATCH_MAX {
            self.initial = Some(Initial { view, after: last });
        } else if self.query.send_initial_events {
            items.push(Item::Bookmark { revision: view.revision(), initial_end: true });
        }
        Some(items).filter(|items| !items.is_empty())
    }

    fn report(&mut self, events: Result<Vec<Arc<Event>>, Expired>) -> Vec<Item> {
        match events {
            Ok(events) => self.told(&events),
            Err(error) => {
                self.ended = true;
                vec![Item::Error(expired(error))]
            }
        }
    }

    fn told(&mut self, events: &[Arc<Event>]) -> Vec<Item> {
        let mut items = Vec::new();
        for event in events {
            if event.record.key.kind == self.query.kind {
                items.extend(seen(&self.query, event, self.definition.as_ref()));
            } else if self.definition.as_ref().is_some_and(|definition| is_changed(definition, event)) {
                self.ended = true;
                break;
            }
        }
        items
    }

    fn bookmark(&mut self) -> Vec<Item> {
        if !self.query.bookmarks {
            return Vec::new();
        }
        // Moves the cursor to the present also where the kind's own changes are rare.
        let events = self.watch.ready();
        let mut items = self.report(events);
        if !self.ended {
            items.push(Item::Bookmark { revision: self.watch.cursor(), initial_end: false });
        }
        items
    }

    fn end(&mut self) -> Vec<Item> {
        let items = self.bookmark();
        self.ended = true;
        items
    }
}

fn selects(query: &WatchQuery, record: &Record) -> bool {
    record.is_selected(&query.labels, &query.fields)
}

/// Whether everything of its kind and namespace is selected.
fn is_open(query: &WatchQuery) -> bool {
    query.labels.is_everything() && query.fields.is_everything()
}

/// Whether a change of a definition makes another one of what was defined.
fn is_changed(definition: &Definition, event: &Event) -> bool {
    let info = definition.kind.info();
    if *event.record.key.name != *format!("{}.{}", info.plural, info.group) {
        return false;
    }
    let object = event.record.object();
    // That it is to go changes nothing yet: who watches sees the objects go.
    let same = object.metadata().is_some_and(|meta| {
        let says_the_same = meta.generation == definition.generation || meta.deletion_timestamp.is_some();
        meta.uid == definition.uid && says_the_same
    });
    event.change == ChangeType::Deleted || !same
}

/// What a change looks like to somebody who sees only what the query selects.
fn seen(query: &WatchQuery, event: &Event, definition: Option<&Arc<Definition>>) -> Option<Item> {
    if query.namespace.as_deref().is_some_and(|namespace| namespace != &*event.record.key.namespace) {
        return None;
    }
    let revision = event.revision();
    let object = Found::from(&event.record).defined(definition);
    if is_open(query) {
        return Some(Item::Change { change: event.change, object, revision });
    }
    let before = event.before.as_ref().filter(|before| selects(query, before));
    let now = event.change != ChangeType::Deleted && selects(query, &event.record);
    let (change, object) = match (before, now) {
        (None, false) => return None,
        (None, true) => (ChangeType::Added, object),
        (Some(_), true) => (ChangeType::Modified, object),
        (Some(before), false) => (ChangeType::Deleted, last_seen(&before.object(), revision).into()),
    };
    Some(Item::Change { change, object, revision })
}

/// The state that the watcher knew, under the revision at which it went out of sight.
fn last_seen(before: &Object, revision: Revision) -> Arc<Object> {
    let mut last = before.clone();
    last.metadata_mut().resource_version = revision.to_string();
    Arc::new(last)
}
