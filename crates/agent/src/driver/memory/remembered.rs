//! A watch that begins with what was last known if no master answers, and keeps what it shows.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::{Change, ChangeType, Error, Key, Kind, Object, Revision, core_v1::Pod};
use futures::{Stream, StreamExt as _};
use rpc::{Mirror, Update};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Memory, files::Encoded, uses};

/// How long masters may take to answer before what was last known is used: a master that has just started, or has just been
/// elected, answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long changes are gathered before they are written.
const KEEP_AFTER: Duration = Duration::from_secs(1);

/// What is kept of an object until it is written. Its bytes take a tenth of the memory that the decoded object would.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) encoded: Encoded,
    /// What it uses, if it is a Pod.
    pub(super) uses: Arc<[Key]>,
}

impl From<Arc<Object>> for Kept {
    fn from(object: Arc<Object>) -> Self {
        let uses = object.get::<Pod>().map(|pod| uses(pod).into_iter().collect());
        Self { encoded: (&*object).into(), uses: uses.unwrap_or_default() }
    }
}

type Updates = Pin<Box<dyn Stream<Item = Result<Update, Error>> + Send>>;

/// A watch of all that a node may know of one kind.
pub(crate) struct Remembered {
    updates: Updates,
    memory: Memory,
    kind: Kind,
    /// What the masters have said so far.
    mirror: Mirror<Kept>,
    told: Told,
    /// What is to be said before anything else, last first.
    queue: Vec<Update>,
    pub(super) keep_at: Option<Instant>,
    pub(super) keeping: Option<JoinHandle<()>>,
}

/// What whoever watches was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: the masters may still answer until then.
    Nothing { until: Instant },
    /// What was last known.
    Memory,
    /// What the masters say.
    News,
}

impl Remembered {
    pub(crate) fn new(
        updates: impl Stream<Item = Result<Update, Error>> + Send + 'static,
        memory: Memory,
        kind: Kind,
    ) -> Self {
        Self {
            updates: Box::pin(updates),
            memory,
            kind,
            mirror: Mirror::default(),
            told: Told::Nothing { until: Instant::now() + PATIENCE },
            queue: Vec::new(),
            keep_at: None,
            keeping: None,
        }
    }

    /// What the watch says next. What was last known is followed by [`Update::Restarted`] when the masters answer. May be
    /// dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Result<Update, Error>> {
        loop {
            if let Some(update) = self.queue.pop() {
                return Some(Ok(update));
            }
            let patience = match self.told {
                Told::Nothing { until } => Some(until),
                Told::Memory | Told::News => None,
            };
            tokio::select! {
                update = self.updates.next() => {
                    let update = update?;
                    if self.told == Told::Memory && update.is_ok() {
                        self.queue.push(update.clone().ok()?);
                        self.take(&update);
                        return Some(Ok(Update::Restarted));
                    }
                    self.take(&update);
                    return Some(update);
                }
                () = at(patience) => self.remember(),
                () = at(self.keep_at) => self.keep(),
            }
        }
    }

    fn remember(&mut self) {
        self.told = Told::Memory;
        let Some(objects) = self.memory.recall(self.kind) else { return };
        if self.memory.set_old(true) {
            tracing::warn!("no master answers: this node goes on with what it last knew");
        }
        let added = |object: Arc<Object>| Change { change: ChangeType::Added, object, revision: Revision::default() };
        let changes = objects.into_iter().map(added).collect();
        self.queue = vec![Update::Synced(Revision::default()), Update::Changes(changes)];
    }

    /// Takes in what the masters say.
    fn take(&mut self, update: &Result<Update, Error>) {
        if update.is_err() {
            return;
        }
        self.told = Told::News;
        if self.memory.set_old(false) {
            tracing::warn!("the masters answer again: what this node knew before is replaced");
        }
        if self.mirror.take(update.clone()) && self.keep_at.is_none() {
            self.keep_at = Some(Instant::now() + KEEP_AFTER);
        }
    }

    /// Writes what is known, one file after the other.
    pub(super) fn keep(&mut self) {
        if self.keeping.as_ref().is_some_and(|keeping| !keeping.is_finished()) {
            self.keep_at = Some(Instant::now() + KEEP_AFTER);
            return;
        }
        self.keep_at = None;
        let (memory, kind, at) = (self.memory.clone(), self.kind, SystemTime::now());
        let objects: Vec<Kept> = self.mirror.kept().cloned().collect();
        self.keeping = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = memory.keep(kind, &objects, at) {
                tracing::warn!(%error, %kind, "what this node knows cannot be kept for a start without masters");
            }
        }));
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
