//! Reads: one object, a page of objects of one state, and (in `watch` and `feed`) what changes.

mod endpoints;
mod feed;
mod found;
pub(crate) mod pages;
mod query;
pub(crate) mod watch;

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Revision, Subresource, Timestamp, Verb,
    error::Cause,
    kinds::Source,
    selector::{Fields, Labels},
};
use store::View;

use crate::{Registry, access::Access, refused};

pub use endpoints::Endpoint;
pub(crate) use endpoints::ready;
pub use found::{Encoded, Found};
pub use query::{Item, ListAt, ListPage, ListQuery, WatchFrom, WatchQuery};

use pages::Token;
pub(crate) use query::selected;
use query::single;

impl Registry {
    /// Reads one object.
    ///
    /// # Errors
    /// If it does not exist, or if no state can be had that is new enough.
    pub async fn get(&self, key: &Key, at: ReadAt) -> Result<Found, Error> {
        self.get_part(key, Subresource::None, at).await
    }

    /// As [`Registry::get`], for whoever may read a subresource of the object.
    ///
    /// # Errors
    /// As [`Registry::get`].
    pub async fn get_part(&self, key: &Key, subresource: Subresource, at: ReadAt) -> Result<Found, Error> {
        self.authorise(Access::to_subresource(Verb::Get, key, subresource)).await?;
        let found = match key.kind.info().source {
            Source::State => self.stored(key, at).await?,
            Source::Health => self.components().await.into_iter().find(|object| object.key() == *key).map(Found::from),
        };
        found.ok_or_else(|| Error::not_found(key))
    }

    /// The latest state of an object, for somebody who was allowed to do something with it, and need not be to read it.
    pub(crate) async fn found(&self, key: &Key) -> Result<Found, Error> {
        self.stored(key, ReadAt::Latest).await?.ok_or_else(|| Error::not_found(key))
    }

    async fn stored(&self, key: &Key, at: ReadAt) -> Result<Option<Found>, Error> {
        let view = self.view(at).await?;
        let definition = self.definition(&view, key.kind);
        let found = view.get(key).map(|record| Found::from(record).defined(definition.as_ref()));
        Ok(if key.kind == Kind::Lease { self.inner.heartbeats.lease(&view, key, found) } else { found })
    }

    /// Reads the objects of a kind, or a page of them.
    ///
    /// # Errors
    /// If no state can be had that is new enough, if the exact state that is asked for is forgotten (410), or if the token of a
    /// page is not one of ours (400) or too old (410).
    pub async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        let asked = Key::namespaced(query.kind, query.namespace.as_deref().unwrap_or_default(), "");
        self.authorise(Access::to_many(Verb::List, &asked, &query.fields)).await?;
        self.listed(&query).await
    }

    /// As [`Registry::list`], for somebody who was allowed to do something with all of them.
    pub(crate) async fn listed(&self, query: &ListQuery) -> Result<ListPage, Error> {
        match query.kind.info().source {
            Source::State => self.list_stored(query).await,
            Source::Health => Ok(self.whole(self.components().await, query)),
        }
    }

    async fn list_stored(&self, query: &ListQuery) -> Result<ListPage, Error> {
        let token = query.continue_.as_deref().map(Token::parse).transpose()?;
        let view = match &token {
            Some(token) => self.view_of_pages(query, token).await?,
            None => match query.at {
                ListAt::Fresh(at) => self.view(at).await?,
                ListAt::Exactly(revision) => {
                    self.view_at(query.kind, revision).await?.ok_or_else(|| Error::new(Reason::Expired, FORGOTTEN))?
                }
            },
        };
        let mut page = page(&view, query, token.as_ref(), self.now());
        // An old state of its objects is shown by what is defined of them now, as are single objects.
        if let Some(definition) = self.present_definition(query.kind) {
            page.items = page.items.into_iter().map(|found| found.defined(Some(&definition))).collect();
        }
        if page.continue_.is_some() {
            self.inner.pins.keep(query.kind, view.clone(), self.now());
        }
        if query.kind == Kind::Lease {
            return Ok(self.inner.heartbeats.leases(&view, query, page));
        }
        Ok(page)
    }

    /// The state of the pages before.
    async fn view_of_pages(&self, query: &ListQuery, token: &Token) -> Result<View, Error> {
        token.check(query)?;
        match token.revision() {
            Some(revision) if token.is_fresh(self.now()) => {
                self.view_at(query.kind, revision).await?.ok_or_else(|| token.expired())
            }
            Some(_) => Err(token.expired()),
            None => self.view(ReadAt::Latest).await,
        }
    }

    /// The state at one revision, as far as a kind goes: kept for pages here, or rebuilt from what has changed since, whichever
    /// master gave the pages before. `None` if it is forgotten.
    async fn view_at(&self, kind: Kind, revision: Revision) -> Result<Option<View>, Error> {
        if let Some(view) = self.inner.pins.get(kind, revision, self.now()) {
            return Ok(Some(view));
        }
        self.view(ReadAt::NotOlderThan(revision)).await?;
        Ok(self.inner.store.view_at(kind, revision).ok())
    }

    /// All that a query selects of objects that are not stored. There are few of them, so they come in one page.
    fn whole(&self, objects: Vec<Object>, query: &ListQuery) -> ListPage {
        let items = objects.into_iter().filter(|object| selected(query, object)).map(Found::from).collect();
        ListPage { items, revision: self.state().revision(), continue_: None, remaining: None }
    }

    /// The state that a reader wants.
    pub(crate) async fn view(&self, at: ReadAt) -> Result<View, Error> {
        let view = self.state();
        match at {
            ReadAt::Any => return Ok(view),
            ReadAt::NotOlderThan(revision) if view.revision() >= revision => return Ok(view),
            ReadAt::NotOlderThan(_) | ReadAt::Latest => {}
        }
        self.inner.consensus.read_barrier().await.map_err(|error| refused(&error))?;
        let view = self.state();
        match at {
            ReadAt::NotOlderThan(revision) if view.revision() < revision => Err(too_new(revision, view.revision())),
            ReadAt::NotOlderThan(_) | ReadAt::Latest | ReadAt::Any => Ok(view),
        }
    }
}

/// Kubernetes' words for an exact state that nobody remembers.
const FORGOTTEN: &str = "The resourceVersion for the provided list is too old.";

/// Kubernetes' words; client libraries look for the cause.
fn too_new(asked: Revision, current: Revision) -> Error {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let cause =
        Cause { reason: "ResourceVersionTooLarge", field: String::new(), message: "Too large resource version".into() };
    Error { causes: vec![cause], ..Error::new(Reason::Timeout, message) }
}

/// The query that a token of any list stands for, and the page that it asks for in a state. For `decoders`.
pub(crate) fn page_of(view: &View, text: &str) -> Option<(ListQuery, ListPage)> {
    let token = Token::parse(text).ok()?;
    let (kind, namespace) = token.list()?;
    let (labels, fields) = (Labels::everything(), Fields::everything());
    let continue_ = Some(token.to_string());
    let query = ListQuery { kind, namespace, labels, fields, limit: Some(1), continue_, at: ReadAt::Any.into() };
    token.check(&query).ok()?;
    let page = page(view, &query, Some(&token), Timestamp(0));
    Some((query, page))
}

fn page(view: &View, query: &ListQuery, token: Option<&Token>, now: Timestamp) -> ListPage {
    if let Some(key) = single(query.kind, query.namespace.as_deref(), &query.fields) {
        let found = view.get(&key).filter(|record| record.is_selected(&query.labels, &query.fields));
        let items = found.into_iter().map(Found::from).collect();
        return ListPage { items, revision: view.revision(), continue_: None, remaining: None };
    }
    let after = token.map(|token| token.after(query.kind));
    let mut records = view.list(query.kind, query.namespace.as_deref(), after.as_ref());
    let everything = query.labels.is_everything() && query.fields.is_everything();
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut items: Vec<Found> = Vec::new();
    while items.len() < limit {
        let Some(record) = records.next() else { break };
        if everything || record.is_selected(&query.labels, &query.fields) {
            items.push(record.into());
        }
    }
    let full = query.limit.is_some() && items.len() == limit;
    let more = full && records.next().is_some();
    let last = items.last().map(Found::key).filter(|_| more);
    let remaining = (more && everything).then(|| remaining(view, query, token, items.len()));
    let since = token.map_or(now, |token| token.since(now));
    let continue_ = last.map(|last| Token::new(query, view.revision(), since, &last, remaining).to_string());
    ListPage { items, revision: view.revision(), continue_, remaining }
}

/// Counted at the first page of a state; the token carries it on to the next ones.
fn remaining(view: &View, query: &ListQuery, token: Option<&Token>, here: usize) -> u64 {
    let before = token.and_then(Token::remaining).unwrap_or_else(|| {
        let after = token.map(|token| token.after(query.kind));
        let count = match (query.namespace.as_deref(), &after) {
            (None, None) => view.count(query.kind),
            (namespace, after) => view.list(query.kind, namespace, after.as_ref()).count(),
        };
        count as u64
    });
    before.saturating_sub(here as u64)
}
