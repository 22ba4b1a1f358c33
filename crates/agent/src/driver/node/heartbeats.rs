//! Says to every master that this node is alive, and hears what they answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::Reason;
use rpc::services::{HeartbeatRequest, HeartbeatResponse};
use tokio::task::JoinSet;

use super::{AgentError, World, images};

/// How often it is looked whether the masters are others.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before a master is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Speaks to all masters for ever. Ends only if they refuse this node.
pub(crate) async fn send(world: Arc<World>) -> AgentError {
    let hearing = Arc::new(AtomicUsize::new(0));
    let mut voices = HashMap::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let masters = world.client.masters();
        voices.retain(|url, _| masters.contains(url));
        for url in masters {
            voices.entry(url).or_insert_with_key(|url| {
                // Dropping the set ends the task.
                let mut voice = JoinSet::new();
                voice.spawn(speak(world.clone(), url.clone(), hearing.clone()));
                voice
            });
        }
    }
}

/// Speaks to one master for ever. A node that the cluster has forgotten asks whether it has.
async fn speak(world: Arc<World>, url: String, hearing: Arc<AtomicUsize>) {
    loop {
        let mut heard = None;
        let take = |mut answer: HeartbeatResponse| {
            heard.get_or_insert_with(|| Heard::new(&hearing));
            if let Some(group) = answer.masters.take() {
                world.masters.hear(group);
            }
            world.health.unrouted_by(answer.unrouted_by.clone());
            if answer.more_images || !answer.images.is_empty() {
                let world = world.clone();
                tokio::spawn(async move { images::came(&world, answer).await });
            }
        };
        let (node, health) = (world.config.name.clone(), world.health.clone());
        let say = move || HeartbeatRequest { node: node.clone(), unrouted: health.unrouted() };
        let error = world.client.heartbeats(&url, say, take).await;
        let was_heard = heard.take().is_some();
        if error.reason == Reason::NotFound || rpc::status::revoked_by(&error).is_some() {
            world.health.forget();
        } else if was_heard && hearing.load(Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "no master hears this node any more");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// As long as it exists, a master hears this node.
struct Heard(Arc<AtomicUsize>);

impl Heard {
    fn new(hearing: &Arc<AtomicUsize>) -> Self {
        hearing.fetch_add(1, Ordering::Relaxed);
        Self(hearing.clone())
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
