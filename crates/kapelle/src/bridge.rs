//! Joins the controllers to the one door: changes and heartbeats in, writes out. They run on the master that leads.

use std::{io, thread};

use control::{Brain, Config, Event, Ticket, driver};
use futures::StreamExt as _;
use registry::{Registry, Sign};
use tokio::{sync::mpsc, task::JoinSet};

use crate::clock::now;

/// How many batches may wait on either side before the other has to wait as well.
const BATCHES: usize = 256;

/// Starts the controllers and the scheduler on a thread of their own: looking at everything that exists takes long when it is
/// much, and no request may wait for that.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(registry: Registry, config: Config) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || runtime.block_on(control(registry, config));
    thread::Builder::new().name("control".into()).spawn(work).map(drop)
}

/// Runs the controllers and the scheduler whenever this master leads, until the process stops.
///
/// A new leader begins with a new brain: it knows what the log says and grants every node a full term before it misses a
/// heartbeat. What an old leader still had on its way carries preconditions, so it cannot undo what the new one did.
async fn control(registry: Registry, config: Config) {
    while registry.until_leading().await {
        tracing::debug!("this master leads: the controllers start");
        tokio::select! {
            () = run(registry.clone(), config.clone()) => return,
            () = registry.until_following() => tracing::debug!("this master follows: the controllers stop"),
        }
    }
}

/// Runs the controllers until the Registry's feed ends or this is dropped.
async fn run(registry: Registry, config: Config) {
    let (events, inputs) = mpsc::channel(BATCHES);
    let (writes, wishes) = mpsc::channel(BATCHES);
    let mut tasks = JoinSet::new();
    tasks.spawn(observe(registry.clone(), events.clone()));
    tasks.spawn(listen(registry.clone(), events.clone()));
    tasks.spawn(carry_out(registry, wishes, events));
    driver::run(Brain::new(config), inputs, writes, now).await;
}

/// Everything that exists, then every change.
async fn observe(registry: Registry, events: mpsc::Sender<Vec<Event>>) {
    let mut feed = Box::pin(registry.feed(api::Kind::ALL));
    let mut first = true;
    while let Some(changes) = feed.next().await {
        let mut batch = vec![Event::Observed(changes)];
        if std::mem::take(&mut first) {
            batch.push(Event::Synced);
        }
        if events.send(batch).await.is_err() {
            return;
        }
    }
}

async fn listen(registry: Registry, events: mpsc::Sender<Vec<Event>>) {
    let mut heartbeats = Box::pin(registry.heartbeats());
    while let Some(beats) = heartbeats.next().await {
        let batch = beats.into_iter().map(|beat| match (beat.node.to_string(), beat.at, beat.sign) {
            (node, at, Sign::Alive) => Event::Heartbeat { node, at },
            (node, at, Sign::Gone) => Event::Gone { node, at },
        });
        if events.send(batch.collect()).await.is_err() {
            return;
        }
    }
}

/// Writes of one batch share a group commit. Batches do not wait for each other: the controllers go on deciding.
async fn carry_out(
    registry: Registry,
    mut wishes: mpsc::Receiver<Vec<(Ticket, api::Write)>>,
    events: mpsc::Sender<Vec<Event>>,
) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            batch = wishes.recv() => match batch {
                Some(batch) => drop(under_way.spawn(settle(registry.clone(), batch, events.clone()))),
                None => return,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
}

async fn settle(registry: Registry, batch: Vec<(Ticket, api::Write)>, events: mpsc::Sender<Vec<Event>>) {
    let (tickets, writes): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = registry.submit_all(writes).await;
    let settled = tickets.into_iter().zip(outcomes).map(|(ticket, outcome)| Event::Settled { ticket, outcome });
    // Nobody listens only while the process ends or another master has taken over.
    let _ = events.send(settled.collect()).await;
}
