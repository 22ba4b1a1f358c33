//! Heartbeats as readers of the API see them: as in Kubernetes, each is the Lease of its node in `kube-node-lease`.

use std::sync::Arc;

use api::{Key, Kind, Object, Timestamp, coordination_v1, meta_v1, well_known::NODE_LEASE_NAMESPACE};
use store::View;

use super::heartbeats::{Heartbeats, Sign};
use crate::read::{Found, ListPage, ListQuery, selected};

/// Seconds for which a node counts as alive after a heartbeat, as its Lease says: Kubernetes' value.
pub const LEASE_SECONDS: i32 = 40;

impl Heartbeats {
    /// A Lease as readers see it: the stored one renewed by the latest heartbeat, or one made up from it.
    pub(crate) fn lease(&self, view: &View, key: &Key, stored: Option<Found>) -> Option<Found> {
        let at = (&*key.namespace == NODE_LEASE_NAMESPACE).then(|| self.alive(&key.name)).flatten();
        let Some(at) = at else { return stored };
        match stored.map(|stored| stored.object()).as_deref() {
            Some(Object::Lease(lease)) => Some(Object::from(renewed((**lease).clone(), &key.name, at)).into()),
            Some(_) | None => made_up(view, key, at).map(Found::from),
        }
    }

    /// A page of Leases with the heartbeats in it. Leases that are not stored come with the last page.
    pub(crate) fn leases(&self, view: &View, query: &ListQuery, page: ListPage) -> ListPage {
        let last = page.continue_.is_none();
        ListPage { items: self.with_beats(view, query, page.items, last), ..page }
    }

    fn with_beats(&self, view: &View, query: &ListQuery, items: Vec<Found>, last: bool) -> Vec<Found> {
        if query.namespace.as_deref().is_some_and(|namespace| namespace != NODE_LEASE_NAMESPACE) {
            return items;
        }
        let renew = |item: Found| self.lease(view, &item.key(), Some(item.clone())).unwrap_or(item);
        let mut items: Vec<Found> = items.into_iter().map(renew).collect();
        if !last {
            return items;
        }
        for heartbeat in self.all().into_iter().filter(|heartbeat| heartbeat.sign == Sign::Alive) {
            let key = Key::namespaced(Kind::Lease, NODE_LEASE_NAMESPACE, heartbeat.node);
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
        namespace: NODE_LEASE_NAMESPACE.to_owned(),
        uid: node.uid,
        resource_version: node.resource_version,
        creation_timestamp: node.creation_timestamp,
        owner_references: vec![owner],
        ..Default::default()
    };
    let lease = coordination_v1::Lease { metadata: Some(metadata), ..Default::default() };
    Some(Arc::new(renewed(lease, &key.name, at).into()))
}
