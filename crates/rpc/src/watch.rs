//! A watch that survives: it resumes where it was when a connection breaks, and starts over when history is lost.

use std::{sync::Arc, time::Duration};

use api::{Change, ChangeType, Error, Reason, Revision};
use futures::{Stream, stream};
use tonic::Streaming;

use crate::{
    client::{Client, Objects, Query, Repeat, objects},
    convert,
    services::{WatchEvent, WatchRequest, WatchResponse, watch_event},
    status,
};

/// How long to wait before connecting again: short at first, then longer, so that a master that starts is met at once and
/// one that is gone is not flooded.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a watch says.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Changes, in order.
    Changes(Vec<Change>),
    /// Everything that existed at the start was reported as added.
    Synced(Revision),
    /// History was lost. Everything that exists follows as added, then [`Update::Synced`]; what is not among it is gone.
    Restarted,
}

impl Client {
    /// Watches what a query selects: from the beginning, or after a revision. See [`Update`].
    ///
    /// The stream never ends by itself; it connects again as often as needed. It yields an error, and then ends, only if
    /// the query itself is refused.
    pub fn watch(
        &self,
        query: Query,
        after: Option<Revision>,
    ) -> impl Stream<Item = Result<Update, Error>> + Send + 'static + use<> {
        let watcher = Watcher {
            client: self.clone(),
            query,
            after,
            open: None,
            told: false,
            pause: Duration::ZERO,
            queue: Vec::new(),
            ended: false,
        };
        stream::unfold(watcher, |mut watcher| async move { Some((watcher.next().await?, watcher)) })
    }

    async fn open_watch(&self, query: &Query, after: Option<Revision>) -> Result<Streaming<WatchResponse>, Error> {
        let request = WatchRequest {
            kind: convert::kind_to_wire(query.kind),
            namespace: query.namespace.clone(),
            label_selector: query.labels.clone(),
            field_selector: query.fields.clone(),
            resource_version: after.map(|revision| revision.to_string()).unwrap_or_default(),
            allow_bookmarks: true,
        };
        let send = |mut client: Objects, request| async move { client.watch(request).await };
        self.ask(Repeat::Always, objects, request, send).await
    }
}

struct Watcher {
    client: Client,
    query: Query,
    /// Everything up to here was reported. `None` while the initial state is not complete.
    after: Option<Revision>,
    open: Option<Streaming<WatchResponse>>,
    /// Changes were reported since the last start.
    told: bool,
    pause: Duration,
    /// What was understood and not yet yielded, last first.
    queue: Vec<Update>,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Update, Error>> {
        while !self.ended {
            if let Some(update) = self.queue.pop() {
                return Some(Ok(update));
            }
            if let Err(error) = self.step().await {
                self.open = None;
                if let Some(outcome) = self.failed(error).await {
                    return Some(outcome);
                }
            }
        }
        None
    }

    /// Connects, or reads one message.
    async fn step(&mut self) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            self.open = Some(self.client.open_watch(&self.query, self.after).await?);
            return Ok(());
        };
        let message = open.message().await.map_err(|error| status::from_tonic(&error))?;
        let message = message.ok_or_else(|| Error::new(Reason::ServiceUnavailable, "the watch has ended"))?;
        self.pause = Duration::ZERO;
        self.understand(message)
    }

    fn understand(&mut self, message: WatchResponse) -> Result<(), Error> {
        let mut updates = Vec::new();
        let mut changes = Vec::new();
        let mut after = self.after;
        for event in message.events {
            let revision = convert::revision_from_wire(&event.resource_version)?.unwrap_or_default();
            match change(event, revision)? {
                Ok(change) => changes.push(change),
                Err(Bookmark { initial_end }) => {
                    updates.extend((!changes.is_empty()).then(|| Update::Changes(std::mem::take(&mut changes))));
                    updates.extend(initial_end.then_some(Update::Synced(revision)));
                    after = Some(revision);
                }
            }
            // During the initial state revisions are those of the objects: they do not say how far the watch is.
            after = after.map(|after| after.max(revision));
        }
        updates.extend((!changes.is_empty()).then_some(Update::Changes(changes)));
        self.after = after;
        self.told |= !updates.is_empty();
        updates.reverse();
        self.queue = updates;
        Ok(())
    }

    /// What to say about a failure; nothing if trying again mends it.
    async fn failed(&mut self, error: Error) -> Option<Result<Update, Error>> {
        match error.reason {
            Reason::Expired => self.restarted(),
            Reason::BadRequest
            | Reason::Unauthorized
            | Reason::Forbidden
            | Reason::Invalid
            | Reason::MethodNotAllowed => {
                self.ended = true;
                Some(Err(error))
            }
            _ => self.interrupted(&error).await,
        }
    }

    async fn interrupted(&mut self, error: &Error) -> Option<Result<Update, Error>> {
        tracing::debug!(%error, kind = %self.query.kind, "watch interrupted");
        tokio::time::sleep(self.pause).await;
        let (first, longest) = RETRY;
        // A master that lags catches up soon; one whose history is another never will.
        let ahead = error.causes.iter().any(|cause| cause.reason == "ResourceVersionTooLarge");
        if ahead && self.pause == longest {
            return self.restarted();
        }
        self.pause = (self.pause * 2).clamp(first, longest);
        // The initial state was not complete: it comes again, perhaps without some of what was reported.
        if self.after.is_none() && self.told { self.restarted() } else { None }
    }

    fn restarted(&mut self) -> Option<Result<Update, Error>> {
        self.after = None;
        self.told = false;
        Some(Ok(Update::Restarted))
    }
}

/// Where the watch is.
struct Bookmark {
    initial_end: bool,
}

fn change(event: WatchEvent, revision: Revision) -> Result<Result<Change, Bookmark>, Error> {
    let change = match event.r#type() {
        watch_event::Type::Added => ChangeType::Added,
        watch_event::Type::Modified => ChangeType::Modified,
        watch_event::Type::Deleted => ChangeType::Deleted,
        watch_event::Type::Bookmark => return Ok(Err(Bookmark { initial_end: event.initial_events_end })),
        watch_event::Type::Unspecified => return Err(Error::internal("the master sent a change of no type")),
    };
    let object = Arc::new(convert::object_from_answer(event.object)?);
    Ok(Ok(Change { change, object, revision }))
}
