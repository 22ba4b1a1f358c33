//! Which nodes have lately said that they are alive. Kept in memory: heartbeats never enter the log.
//!
//! To readers of the API a heartbeat looks as it does in Kubernetes, as the Lease of the node in `kube-node-lease`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{Error, Key, Kind, Object, Timestamp, coordination_v1, meta_v1};
use bytes::Bytes;
use futures::{Stream, stream};
use store::View;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::access::Access;

use super::{Found, ListPage, ListQuery, Registry, read::selected};

/// Where nodes have their Leases.
const NAMESPACE: &str = "kube-node-lease";

/// Seconds for which a node counts as alive after a heartbeat, as its Lease says: Kubernetes' value.
const LEASE_SECONDS: i32 = 40;

/// How many heartbeats a reader may be behind before it gets the latest of every node instead.
const BACKLOG_MAX: usize = 4096;

/// A node said that it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The node's name.
    pub node: Arc<str>,
    /// When, by the clock of the Registry.
    pub at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Heartbeats {
    latest: Mutex<HashMap<Arc<str>, Timestamp>>,
    news: broadcast::Sender<Heartbeat>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self { latest: Mutex::default(), news: broadcast::channel(BACKLOG_MAX).0 }
    }
}

impl Registry {
    /// Notes that a node is alive.
    ///
    /// # Errors
    /// If no such node is registered: it should register itself again; if another node asks.
    pub fn heartbeat(&self, node: &str) -> Result<(), Error> {
        self.caller.authorise(Access::Heartbeat(node), || self.state())?;
        let view = self.state();
        let key = Key::cluster(Kind::Node, node);
        if view.get(&key).is_none() {
            return Err(Error::not_found(&key));
        }
        self.inner.consensus.broadcast(Bytes::copy_from_slice(key.name.as_bytes()));
        self.inner.heartbeats.note(&view, Heartbeat { node: key.name, at: self.now() });
        Ok(())
    }

    /// Hears of the heartbeats that other masters took, until the process stops: whichever master a node talks to, the one
    /// that leads must know that it lives.
    pub async fn hear_masters(&self) {
        let mut notes = self.inner.consensus.notes();
        loop {
            match notes.recv().await {
                Ok((_, note)) => {
                    let Ok(node) = std::str::from_utf8(&note) else { continue };
                    let view = self.state();
                    let key = Key::cluster(Kind::Node, node);
                    if view.get(&key).is_some() {
                        self.inner.heartbeats.note(&view, Heartbeat { node: key.name, at: self.now() });
                    }
                }
                // The next heartbeat of a node that was missed comes in seconds.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The latest heartbeat of every node, then heartbeats as they come. A reader that is too slow misses some, never the
    /// latest.
    pub fn heartbeats(&self) -> impl Stream<Item = Vec<Heartbeat>> + Send + 'static + use<> {
        let news = self.inner.heartbeats.news.subscribe();
        let start = (self.clone(), news, true);
        stream::unfold(start, |(registry, mut news, all)| async move {
            let heartbeats = &registry.inner.heartbeats;
            let batch = if all { Some(heartbeats.all()) } else { heartbeats.fresh(&mut news).await };
            batch.map(|batch| (batch, (registry, news, false)))
        })
    }
}

impl Heartbeats {
    fn latest(&self) -> MutexGuard<'_, HashMap<Arc<str>, Timestamp>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, view: &View, heartbeat: Heartbeat) {
        let mut latest = self.latest();
        latest.insert(heartbeat.node.clone(), heartbeat.at);
        // Names of nodes that are gone are dropped before they are the majority.
        if latest.len() > 2 * view.count(Kind::Node) {
            latest.retain(|node, _| view.get(&Key::cluster(Kind::Node, node.clone())).is_some());
        }
        drop(latest);
        // Nobody listening is no failure.
        let _ = self.news.send(heartbeat);
    }

    fn all(&self) -> Vec<Heartbeat> {
        self.latest().iter().map(|(node, at)| Heartbeat { node: node.clone(), at: *at }).collect()
    }

    async fn fresh(&self, news: &mut broadcast::Receiver<Heartbeat>) -> Option<Vec<Heartbeat>> {
        let mut batch = match news.recv().await {
            Ok(heartbeat) => vec![heartbeat],
            Err(RecvError::Lagged(_)) => return Some(self.all()),
            Err(RecvError::Closed) => return None,
        };
        while let Ok(heartbeat) = news.try_recv() {
            batch.push(heartbeat);
        }
        Some(batch)
    }

    /// A Lease as readers see it: the stored one renewed by the latest heartbeat, or one made up from it.
    pub(super) fn lease(&self, view: &View, key: &Key, stored: Option<Found>) -> Option<Found> {
        let at = (&*key.namespace == NAMESPACE).then(|| self.latest().get(&*key.name).copied()).flatten();
        let Some(at) = at else { return stored };
        match stored.map(|stored| stored.object()).as_deref() {
            Some(Object::Lease(lease)) => Some(Object::from(renewed((**lease).clone(), &key.name, at)).into()),
            Some(_) | None => made_up(view, key, at).map(Found::from),
        }
    }

    /// A page of Leases with the heartbeats in it. Leases that are not stored come with the last page.
    pub(super) fn leases(&self, view: &View, query: &ListQuery, page: ListPage) -> ListPage {
        let last = page.continue_.is_none();
        ListPage { items: self.with_beats(view, query, page.items, last), ..page }
    }

    fn with_beats(&self, view: &View, query: &ListQuery, items: Vec<Found>, last: bool) -> Vec<Found> {
        if query.namespace.as_deref().is_some_and(|namespace| namespace != NAMESPACE) {
            return items;
        }
        let renew = |item: Found| self.lease(view, &item.key(), Some(item.clone())).unwrap_or(item);
        let mut items: Vec<Found> = items.into_iter().map(renew).collect();
        if !last {
            return items;
        }
        for heartbeat in self.all() {
            let key = Key::namespaced(Kind::Lease, NAMESPACE, heartbeat.node);
            if view.get(&key).is_none() {
                let lease = made_up(view, &key, heartbeat.at).filter(|lease| selected(query, lease));
                items.extend(lease.map(Found::from));
            }
        }
        items.sort_by_cached_key(Found::key);
        items
    }
}

fn renewed(mut lease: coordination_v1::Lease, node: &str, at: Timestamp) -> coordination_v1::Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity.get_or_insert_with(|| node.to_owned());
    spec.lease_duration_seconds.get_or_insert(LEASE_SECONDS);
    if spec.renew_time.as_ref().is_none_or(|stored| Timestamp::from(stored) < at) {
        spec.renew_time = Some(at.into());
    }
    lease
}

/// The Lease that the node would have in Kubernetes. It is the node's: same uid, same age.
fn made_up(view: &View, key: &Key, at: Timestamp) -> Option<Arc<Object>> {
    let node = view.get(&Key::cluster(Kind::Node, key.name.clone()))?.object();
    let node = node.metadata().cloned().unwrap_or_default();
    let owner = meta_v1::OwnerReference {
        api_version: Kind::Node.api_version(),
        kind: Kind::Node.to_string(),
        name: node.name.clone(),
        uid: node.uid.clone(),
        ..Default::default()
    };
    let metadata = meta_v1::ObjectMeta {
        name: node.name,
        namespace: NAMESPACE.to_owned(),
        uid: node.uid,
        resource_version: node.resource_version,
        creation_timestamp: node.creation_timestamp,
        owner_references: vec![owner],
        ..Default::default()
    };
    let lease = coordination_v1::Lease { metadata: Some(metadata), ..Default::default() };
    Some(Arc::new(renewed(lease, &key.name, at).into()))
}
