//! Writes to the masters: statuses, removals and events, in batches. The latest status of a Pod wins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    DeleteOptions, Key, Object, Reason, Subresource, Timestamp, Write,
    core_v1::Pod,
    event::{self, EventType},
    kinds::Resource as _,
};
use rpc::Client;
use tokio::sync::{Notify, watch};

use crate::brain::Note;

/// Who says so, in events.
const COMPONENT: &str = "kapelle-agent";

/// The most writes of one batch.
const BATCH_MAX: usize = 256;

/// The most events that wait; more are dropped, since statuses matter more.
const EVENTS_MAX: usize = 10_000;

/// How long to wait before a batch that failed as a whole is sent again.
const RETRY: Duration = Duration::from_millis(200);

/// How long a stopping agent waits for what is not written yet.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Clone)]
pub(crate) struct Reports {
    queue: Arc<Mutex<Queue>>,
    wake: Arc<Notify>,
    idle: watch::Receiver<bool>,
    /// Which node says all this.
    node: Arc<str>,
}

#[derive(Default)]
struct Queue {
    /// The latest wish for each Pod, by uid.
    pods: HashMap<Arc<str>, Write>,
    events: Vec<Write>,
}

impl Reports {
    /// Starts the task that writes.
    pub(crate) fn start(client: Client, node: &str) -> Self {
        let (tell, idle) = watch::channel(true);
        let reports = Self { queue: Arc::default(), wake: Arc::default(), idle, node: node.into() };
        tokio::spawn(reports.clone().write(client, tell));
        reports
    }

    pub(crate) fn status(&self, pod: Arc<Pod>) {
        let uid: Arc<str> = pod.uid().into();
        let write = Write::Update(Object::from(Pod::clone(&pod)), Subresource::Status);
        let mut queue = self.lock();
        // A removal that waits is the last word.
        if !matches!(queue.pods.get(&uid), Some(Write::Delete(..))) {
            queue.pods.insert(uid, write);
        }
        self.wake.notify_one();
    }

    pub(crate) fn remove(&self, key: Key, uid: &Arc<str>) {
        let options = DeleteOptions { grace_period_s: Some(0), uid: Some(uid.to_string()), ..DeleteOptions::default() };
        self.lock().pods.insert(uid.clone(), Write::Delete(key, options));
        self.wake.notify_one();
    }

    pub(crate) fn tell(&self, pod: &Arc<Pod>, note: &Note, now: Timestamp) {
        let kind = if note.warning { EventType::Warning } else { EventType::Normal };
        self.event(&Object::from(Pod::clone(pod)), kind, note.reason, &note.message, now);
    }

    pub(crate) fn event(&self, about: &Object, kind: EventType, reason: &str, message: &str, now: Timestamp) {
        let mut event = event::new(about, kind, reason, message, COMPONENT, now);
        event.source.get_or_insert_default().host = self.node.to_string();
        let mut queue = self.lock();
        if queue.events.len() < EVENTS_MAX {
            queue.events.push(Write::Create(Object::from(event)));
        }
        self.wake.notify_one();
    }

    /// Waits until everything is written, but not for long.
    pub(crate) async fn flush(&self) {
        let mut idle = self.idle.clone();
        let empty = async {
            while !self.is_empty() || !*idle.borrow() {
                if idle.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FLUSH_WITHIN, empty).await;
    }

    fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.pods.is_empty() && queue.events.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self, client: Client, idle: watch::Sender<bool>) {
        let mut is_heard = true;
        loop {
            let batch = self.take();
            if batch.is_empty() {
                idle.send_replace(true);
                self.wake.notified().await;
                continue;
            }
            idle.send_replace(false);
            let writes = batch.iter().map(|(_, write)| write.clone()).collect();
            match client.batch(writes).await {
                Ok(outcomes) => {
                    is_heard = true;
                    for ((uid, write), outcome) in batch.into_iter().zip(outcomes) {
                        if let Err(error) = outcome {
                            self.refused(&client, uid, write, &error).await;
                        }
                    }
                }
                Err(error) => {
                    if std::mem::take(&mut is_heard) {
                        tracing::warn!(%error, "no master takes the statuses of this node's Pods");
                    }
                    batch.into_iter().for_each(|(uid, write)| self.put_back(uid, write));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn take(&self) -> Vec<(Option<Arc<str>>, Write)> {
        let mut queue = self.lock();
        let uids: Vec<Arc<str>> = queue.pods.keys().take(BATCH_MAX).cloned().collect();
        let mut batch: Vec<_> = uids
            .into_iter()
            .filter_map(|uid| queue.pods.remove_entry(&uid))
            .map(|(uid, write)| (Some(uid), write))
            .collect();
        let room = BATCH_MAX.saturating_sub(batch.len()).min(queue.events.len());
        batch.extend(queue.events.drain(..room).map(|write| (None, write)));
        // After a burst the queue gives its memory back.
        if queue.pods.is_empty() && queue.events.is_empty() {
            *queue = Queue::default();
        }
        batch
    }

    /// Tries again what may still succeed, unless there is a newer wish.
    fn put_back(&self, uid: Option<Arc<str>>, write: Write) {
        let mut queue = self.lock();
        match uid {
            Some(uid) => drop(queue.pods.entry(uid).or_insert(write)),
            None => queue.events.push(write),
        }
    }

    async fn refused(&self, client: &Client, uid: Option<Arc<str>>, write: Write, error: &api::Error) {
        match (error.reason, &write) {
            // The Pod is gone, or another one has its name: nothing to say about it any more.
            (Reason::NotFound | Reason::Conflict, _) if uid.is_some() => {}
            (Reason::AlreadyExists, Write::Create(Object::Event(_))) => repeat(client, &write).await,
            // Events are for people; who says too much is not heard.
            (Reason::TooManyRequests, Write::Create(Object::Event(_))) => {
                tracing::debug!(%error, "an event was dropped");
            }
            _ if error.reason.retryable() => self.put_back(uid, write),
            _ => tracing::debug!(%error, "a write was refused"),
        }
    }
}

/// The same thing happened again: count it.
async fn repeat(client: &Client, write: &Write) {
    let Ok(Object::Event(mut event)) = client.get(&write.key()).await else { return };
    let again = match write {
        Write::Create(Object::Event(fresh)) => event::last_seen(fresh),
        _ => None,
    };
    if let Some(now) = again {
        event::repeat(&mut event, now);
        let _ = client.update(Object::from(event), Subresource::None).await;
    }
}
