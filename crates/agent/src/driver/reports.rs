//! Writes to the masters: statuses, removals and events, in batches. The latest status of a Pod wins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    DeleteOptions, Key, Object, Reason, Subresource, Timestamp, Write,
    core_v1::{ContainerStatus, ObjectReference, Pod},
    event::{self, EventType},
    kinds::Resource as _,
    pod::{Phase, phase},
};
use rpc::Client;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::brain::{CREATING, INITIALIZING, Note};

/// The source of this node's events.
const COMPONENT: &str = "kapelle-agent";

/// The most writes of one batch.
pub const BATCH_WRITES_MAX: usize = 256;

/// The most events that wait; more are dropped, since statuses matter more.
const EVENTS_MAX: usize = 10_000;

/// How long after a Pod has begun that is said, unless there is more to say of it.
const BEGUN_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before a batch that failed as a whole is sent again.
const RETRY: Duration = Duration::from_millis(200);

/// How long a stopping agent waits for what is not written yet.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// What this node has to tell the masters. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Reports {
    queue: Arc<Mutex<Queue>>,
    wake: Arc<Notify>,
    /// Whether nothing is on its way.
    idle: watch::Sender<bool>,
    /// Which node says all this.
    node: Arc<str>,
}

impl Reports {
    /// Nothing to tell yet, and nobody who writes it.
    pub(crate) fn new(node: &str) -> Self {
        Self { queue: Arc::default(), wake: Arc::default(), idle: watch::Sender::new(true), node: node.into() }
    }

    /// Starts the task that writes.
    pub(crate) fn start(client: Client, node: &str) -> Self {
        let reports = Self::new(node);
        tokio::spawn(reports.clone().write(client));
        reports
    }

    /// Writes the status of a Pod. That it has begun is said a little later: mostly it runs by then, and one write says both.
    pub(crate) fn status(&self, pod: Arc<Pod>) {
        let from = has_only_begun(&pod).then(|| Instant::now() + BEGUN_AFTER);
        let uid = pod.uid().into();
        let pod = Arc::try_unwrap(pod).unwrap_or_else(|pod| Pod::clone(&pod));
        self.lock().status(uid, Wish { write: Write::Update(Object::from(pod), Subresource::Status), from });
        self.wake.notify_one();
    }

    /// Removes a Pod from the cluster's state: it has ended here.
    pub(crate) fn remove(&self, key: Key, uid: &Arc<str>) {
        let options = DeleteOptions { grace_period_s: Some(0), uid: Some(uid.to_string()), ..DeleteOptions::default() };
        self.lock().remove(uid.clone(), Write::Delete(key, options));
        self.wake.notify_one();
    }

    /// Tells users something of a Pod.
    pub(crate) fn tell(&self, pod: &Arc<Pod>, note: &Note, now: Timestamp) {
        let kind = if note.warning { EventType::Warning } else { EventType::Normal };
        self.event_about(event::reference_to(&**pod), kind, note.reason, &note.message, now);
    }

    /// Tells users something of any object.
    pub(crate) fn event(&self, about: &Object, kind: EventType, reason: &str, message: &str, now: Timestamp) {
        self.event_about(event::reference(about), kind, reason, message, now);
    }

    fn event_about(&self, about: ObjectReference, kind: EventType, reason: &str, message: &str, now: Timestamp) {
        let mut event = event::new(about, kind, reason, message, COMPONENT, now);
        event.source.get_or_insert_default().host = self.node.to_string();
        self.lock().event(Write::Create(Object::from(event)));
        self.wake.notify_one();
    }

    /// Waits until everything is written, but not for long: what was to be said later is said at once.
    pub(crate) async fn flush(&self) {
        let mut idle = self.idle.subscribe();
        self.lock().pods.values_mut().for_each(|wish| wish.from = None);
        self.wake.notify_one();
        let empty = async {
            while !self.is_empty() || !*idle.borrow_and_update() {
                if idle.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FLUSH_WITHIN, empty).await;
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self, client: Client) {
        let mut is_heard = true;
        loop {
            let (batch, due) = self.lock().take(Instant::now());
            if batch.is_empty() {
                self.idle.send_replace(true);
                match due {
                    Some(due) => drop(tokio::time::timeout_at(due, self.wake.notified()).await),
                    None => self.wake.notified().await,
                }
                continue;
            }
            self.idle.send_replace(false);
            let writes = batch.iter().map(|queued| queued.write.clone()).collect();
            match client.batch(writes).await {
                Ok(outcomes) => {
                    is_heard = true;
                    for (queued, outcome) in batch.into_iter().zip(outcomes) {
                        if let Err(error) = outcome {
                            self.refused(&client, queued, &error).await;
                        }
                    }
                }
                Err(error) => {
                    if std::mem::take(&mut is_heard) {
                        tracing::warn!(%error, "no master takes the statuses of this node's Pods");
                    }
                    batch.into_iter().for_each(|queued| self.lock().put_back(queued));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn refused(&self, client: &Client, queued: Queued, error: &api::Error) {
        match (error.reason, &queued.write) {
            // The Pod is gone, or another one has its name: nothing to say about it any more.
            (Reason::NotFound | Reason::Conflict, _) if queued.pod.is_some() => {}
            (Reason::AlreadyExists, Write::Create(Object::Event(_))) => repeat(client, &queued.write).await,
            // Events are for people; who says too much is not heard.
            (Reason::TooManyRequests, Write::Create(Object::Event(_))) => {
                tracing::debug!(%error, "an event was dropped");
            }
            _ if error.reason.retryable() => self.lock().put_back(queued),
            _ => tracing::debug!(%error, "a write was refused"),
        }
    }
}

/// What waits to be written.
#[derive(Default)]
struct Queue {
    /// The latest wish for each Pod, by uid.
    pods: HashMap<Arc<str>, Wish>,
    events: Vec<Write>,
}

/// What is to be written of a Pod.
#[derive(Debug)]
struct Wish {
    write: Write,
    /// Not before this.
    from: Option<Instant>,
}

impl Wish {
    fn at_once(write: Write) -> Self {
        Self { write, from: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.from.is_none_or(|from| from <= now)
    }
}

/// A write on its way.
#[derive(Clone, Debug, PartialEq)]
struct Queued {
    /// The uid of the Pod that it concerns; none for an event.
    pod: Option<Arc<str>>,
    write: Write,
}

impl Queue {
    fn status(&mut self, pod: Arc<str>, mut wish: Wish) {
        match self.pods.get(&pod) {
            // A removal that waits is the last word.
            Some(Wish { write: Write::Delete(..), .. }) => return,
            // Nobody waits longer because more was said since.
            Some(before) => wish.from = wish.from.and_then(|from| Some(from.min(before.from?))),
            None => {}
        }
        self.pods.insert(pod, wish);
    }

    fn remove(&mut self, pod: Arc<str>, write: Write) {
        self.pods.insert(pod, Wish::at_once(write));
    }

    fn event(&mut self, write: Write) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(write);
        }
    }

    fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.events.is_empty()
    }

    /// The next batch, statuses first; and when there will be another, if that takes no news.
    fn take(&mut self, now: Instant) -> (Vec<Queued>, Option<Instant>) {
        let due = self.pods.iter().filter(|(_, wish)| wish.is_due(now)).map(|(uid, _)| uid);
        let uids: Vec<Arc<str>> = due.take(BATCH_WRITES_MAX).cloned().collect();
        let removed = uids.into_iter().filter_map(|uid| self.pods.remove_entry(&uid));
        let mut batch: Vec<_> = removed.map(|(uid, wish)| Queued { pod: Some(uid), write: wish.write }).collect();
        let more = BATCH_WRITES_MAX.saturating_sub(batch.len()).min(self.events.len());
        batch.extend(self.events.drain(..more).map(|write| Queued { pod: None, write }));
        // After a burst the queue gives its memory back.
        if self.is_empty() {
            *self = Self::default();
        }
        (batch, self.pods.values().filter_map(|wish| wish.from).min())
    }

    /// Tries again what may still succeed, unless there is a newer wish.
    fn put_back(&mut self, queued: Queued) {
        match queued.pod {
            Some(uid) => drop(self.pods.entry(uid).or_insert(Wish::at_once(queued.write))),
            None => self.events.push(queued.write),
        }
    }
}

/// Whether the status of a Pod says no more than that its containers are being made.
fn has_only_begun(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let is_made = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.map_or("", |waiting| waiting.reason.as_str());
        matches!(reason, CREATING | INITIALIZING) && container.last_state.is_none()
    };
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses);
    phase(pod) == Phase::Pending && containers.into_iter().all(is_made)
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

#[cfg(test)]
mod tests {
    use api::core_v1::PodStatus;

    use super::*;

    fn pod(uid: &str, phase: &str) -> Arc<Pod> {
        let mut pod =
            Pod { status: Some(PodStatus { phase: phase.to_owned(), ..PodStatus::default() }), ..Pod::default() };
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = (format!("pod-{uid}"), "default".to_owned(), uid.to_owned());
        Arc::new(pod)
    }

    /// What a batch says of Pods, in order of their uids: a phase, or nothing of one that goes.
    fn phases(batch: &[Queued]) -> Vec<(&str, String)> {
        let phase = |write: &Write| match write {
            Write::Update(Object::Pod(pod), Subresource::Status) => {
                pod.status.as_ref().map(|status| status.phase.clone()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let mut phases: Vec<_> =
            batch.iter().filter_map(|queued| Some((queued.pod.as_deref()?, phase(&queued.write)))).collect();
        phases.sort();
        phases
    }

    #[test]
    fn the_latest_status_of_a_pod_counts_and_its_removal_is_the_last_word() {
        let reports = Reports::new("n1");
        for (uid, phase) in [("a", "Pending"), ("b", "Pending"), ("a", "Running")] {
            reports.status(pod(uid, phase));
        }
        reports.remove(pod("b", "").key(), &"b".into());
        reports.status(pod("b", "Running"));
        let (batch, _) = reports.lock().take(Instant::now());
        assert_eq!(phases(&batch), [("a", "Running".to_owned()), ("b", String::new())]);
        assert!(reports.is_empty());

        // A write that failed gives way to what was said since.
        reports.status(pod("a", "Succeeded"));
        batch.into_iter().for_each(|queued| reports.lock().put_back(queued));
        let (batch, _) = reports.lock().take(Instant::now());
        assert_eq!(phases(&batch), [("a", "Succeeded".to_owned()), ("b", String::new())]);
    }

    #[test]
    fn that_a_pod_has_begun_is_said_later_unless_there_is_more_to_say() {
        let (reports, now) = (Reports::new("n1"), Instant::now());
        let later = now + 2 * BEGUN_AFTER;
        for uid in ["a", "b"] {
            reports.status(pod(uid, "Pending"));
        }
        let (batch, due) = reports.lock().take(now);
        assert_eq!(phases(&batch), []);
        assert!(due.is_some_and(|due| due > now) && !reports.is_empty());
        reports.status(pod("a", "Running"));
        assert_eq!(phases(&reports.lock().take(now).0), [("a", "Running".to_owned())]);
        let again = Write::Update(Object::from(Pod::clone(&pod("b", "Pending"))), Subresource::Status);
        reports.lock().status("b".into(), Wish { write: again, from: Some(later + BEGUN_AFTER) });
        let (batch, due) = reports.lock().take(later);
        assert_eq!(phases(&batch), [("b", "Pending".to_owned())], "nobody waits longer because the same is said again");
        assert_eq!(due, None);
    }

    #[tokio::test]
    async fn whoever_stops_says_at_once_what_was_to_be_said_later() {
        let (reports, now) = (Reports::new("n1"), Instant::now());
        reports.status(pod("a", "Pending"));
        // Nobody writes here.
        reports.flush().await;
        let (batch, due) = reports.lock().take(now);
        assert_eq!((phases(&batch), due), (vec![("a", "Pending".to_owned())], None));
    }

    #[test]
    fn statuses_go_before_events_and_events_have_a_limit() {
        let reports = Reports::new("n1");
        let about = pod("a", "Running");
        let note = Note { warning: true, reason: "Failed", message: "it failed".to_owned() };
        for _ in 0..=EVENTS_MAX {
            reports.tell(&about, &note, Timestamp(0));
        }
        reports.status(about.clone());
        assert_eq!(reports.lock().events.len(), EVENTS_MAX);
        let (batch, _) = reports.lock().take(Instant::now());
        assert_eq!((batch.len(), phases(&batch).len()), (BATCH_WRITES_MAX, 1));
        assert!(batch[0].pod.is_some());
        let Write::Create(Object::Event(event)) = &batch[1].write else { unreachable!("an event") };
        assert_eq!((event.r#type.as_str(), event.reason.as_str()), ("Warning", "Failed"));
        assert_eq!(event.source.as_ref().map(|source| source.host.as_str()), Some("n1"));
    }

    #[tokio::test]
    async fn whoever_stops_waits_for_nothing_if_nothing_is_left() {
        Reports::new("n1").flush().await;
    }
}
