//! Drives the [`Brain`]: the only file of this crate that waits, and the only one that is told what time it is.

use std::time::Duration;

use api::{Timestamp, Write, kinds::certificates::certificate_signing_request::Approval, x509::Order};
use tokio::sync::mpsc;

use crate::{Brain, Effect, Event, Ticket};

/// How many batches of events are taken together at most, so that a storm of changes does not keep decisions waiting.
const BATCHES_MAX: usize = 256;

/// How long a wake-up may lie ahead. Clocks may be set; looking at one now and then costs nothing.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Something that the brain wants carried out, and wants to hear of.
#[derive(Debug)]
pub enum Errand {
    /// To write this.
    Write(Write),
    /// To sign this, and to write what was signed.
    Sign(Box<Order>),
    /// To approve this, if who asks may have it.
    Approve(Box<Approval>),
}

/// Runs the brain until `inputs` are closed or nobody takes `writes` any more.
///
/// Whoever carries out the writes must not wait for room in `inputs` with the same task: the driver waits for room in
/// `writes`, and both would wait for each other.
pub async fn run(
    mut brain: Brain,
    mut inputs: mpsc::Receiver<Vec<Event>>,
    writes: mpsc::Sender<Vec<(Ticket, Errand)>>,
    now: fn() -> Timestamp,
) {
    let mut wake_at = None;
    loop {
        let Some(events) = next(&mut inputs, wake_at, now).await else { return };
        if events.iter().any(|event| matches!(event, Event::Woken)) {
            wake_at = None;
        }
        let mut batch = Vec::new();
        for effect in brain.handle_all(events, now()) {
            match effect {
                Effect::Write { ticket, write } => batch.push((ticket, Errand::Write(write))),
                Effect::Sign { ticket, order } => batch.push((ticket, Errand::Sign(order))),
                Effect::Approve { ticket, approval } => batch.push((ticket, Errand::Approve(approval))),
                Effect::WakeAt(time) => wake_at = Some(time),
            }
        }
        if !batch.is_empty() && writes.send(batch).await.is_err() {
            return;
        }
    }
}

/// What has happened by now, at least one event; nothing once the inputs are closed.
async fn next(
    inputs: &mut mpsc::Receiver<Vec<Event>>,
    wake_at: Option<Timestamp>,
    now: fn() -> Timestamp,
) -> Option<Vec<Event>> {
    loop {
        let sleep = wake_at.map_or(SLEEP_MAX, |time| time.since(now()).min(SLEEP_MAX));
        match tokio::time::timeout(sleep, inputs.recv()).await {
            Ok(None) => return None,
            Ok(Some(mut events)) => {
                for _ in 1..BATCHES_MAX {
                    let Ok(more) = inputs.try_recv() else { break };
                    events.extend(more);
                }
                return Some(events);
            }
            Err(_) if wake_at.is_some_and(|time| time <= now()) => return Some(vec![Event::Woken]),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
