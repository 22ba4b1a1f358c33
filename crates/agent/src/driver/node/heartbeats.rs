//! Says to every master that this node is alive, and hears what they answer.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::Reason;
use rpc::{
    Client,
    services::{HeartbeatRequest, HeartbeatResponse},
};
use tokio::task::JoinSet;

use super::{health::Health, masters::Masters};

/// How often the connections are compared with the list of masters.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before a master is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// What is done with the images that a master says have come.
pub(crate) type ImagesCame = Arc<dyn Fn(HeartbeatResponse) + Send + Sync>;

/// What says to the masters that this node lives. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Heartbeats {
    pub(crate) client: Client,
    /// The node's name.
    pub(crate) node: Arc<str>,
    pub(crate) health: Arc<Health>,
    pub(crate) masters: Arc<Masters>,
    pub(crate) images_came: ImagesCame,
}

impl Heartbeats {
    /// Speaks to all masters for ever.
    pub(crate) async fn send(self) -> Infallible {
        let hearing = Arc::new(AtomicUsize::new(0));
        let mut voices = HashMap::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let masters = self.client.masters();
            voices.retain(|url, _| masters.contains(url));
            for url in masters {
                voices.entry(url).or_insert_with_key(|url| {
                    // Dropping the set ends the task.
                    let mut voice = JoinSet::new();
                    voice.spawn(self.clone().speak(url.clone(), hearing.clone()));
                    voice
                });
            }
        }
    }

    /// Speaks to one master for ever. A node that the cluster has forgotten asks whether it has.
    async fn speak(self, url: String, hearing: Arc<AtomicUsize>) {
        loop {
            let mut heard = None;
            let take = |response| {
                heard.get_or_insert_with(|| Heard::new(&hearing));
                self.take(response);
            };
            let (node, health) = (self.node.to_string(), self.health.clone());
            let say = move || HeartbeatRequest { node: node.clone(), unrouted: health.unrouted() };
            let error = self.client.heartbeats(&url, say, take).await;
            let was_heard = heard.take().is_some();
            if error.reason == Reason::NotFound || rpc::status::revoked_by(&error).is_some() {
                self.health.forget();
            } else if was_heard && hearing.load(Ordering::Relaxed) == 0 {
                tracing::warn!(%error, "no master hears this node any more");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes in what a master says in return.
    fn take(&self, mut response: HeartbeatResponse) {
        if let Some(group) = response.masters.take() {
            self.masters.hear(group);
        }
        self.health.unrouted_by(response.unrouted_by.clone());
        if response.more_images || !response.images.is_empty() {
            (self.images_came)(response);
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use rpc::services::MasterGroup;

    use super::*;
    use crate::driver::testing;

    #[tokio::test]
    async fn what_a_master_says_reaches_whom_it_concerns() {
        let came = Arc::new(Mutex::new(Vec::new()));
        let noted = came.clone();
        let heartbeats = Heartbeats {
            client: testing::client(),
            node: "n1".into(),
            health: Arc::new(Health::new()),
            masters: Arc::default(),
            images_came: Arc::new(move |response| noted.lock().unwrap().push(response.images)),
        };
        heartbeats.take(HeartbeatResponse { unrouted_by: vec!["n2".to_owned()], ..HeartbeatResponse::default() });
        assert_eq!(heartbeats.health.subscribe().borrow().unrouted_by, ["n2"]);
        assert!(came.lock().unwrap().is_empty(), "no image came");

        let group = MasterGroup { cluster_id: "a".to_owned(), applied: 7, members: vec![1] };
        heartbeats.take(HeartbeatResponse { masters: Some(group), more_images: true, ..HeartbeatResponse::default() });
        heartbeats.masters.admit(1).await.unwrap();
        assert!(heartbeats.health.subscribe().borrow().unrouted_by.is_empty(), "the latest word counts");
        heartbeats.take(HeartbeatResponse { images: vec!["a:1".to_owned()], ..HeartbeatResponse::default() });
        assert_eq!(*came.lock().unwrap(), [vec![], vec!["a:1".to_owned()]], "some that are not named, and one");
    }

    #[test]
    fn a_master_hears_this_node_as_long_as_a_connection_stands() {
        let hearing = Arc::new(AtomicUsize::new(0));
        let (one, two) = (Heard::new(&hearing), Heard::new(&hearing));
        assert_eq!(hearing.load(Ordering::Relaxed), 2);
        drop((one, two));
        assert_eq!(hearing.load(Ordering::Relaxed), 0);
    }
}
