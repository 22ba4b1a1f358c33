//! Ways to find objects without looking at all of them. Follows what controllers see, cover included.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use api::{
    Key, Kind, Object,
    core_v1::{Node, Pod},
    meta_v1::ObjectMeta,
    pod::{self, Resources},
    quantity::Quantity,
    selector::{Labels, Operator},
};

/// Objects, by name. They stand in several such sets each, which share the names.
type Keys = BTreeSet<Arc<Key>>;

#[derive(Debug, Default)]
pub(super) struct Index {
    dependents: HashMap<String, Keys>,
    uids: HashMap<String, Arc<Key>>,
    orphans: Keys,
    /// Pods by namespace, label and value.
    labels: HashMap<(String, String, String), Keys>,
    loads: HashMap<String, Load>,
    unbound: Keys,
    departed: HashMap<String, u64>,
}

/// What is on a node, and what the node can hold.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The Pods that are bound to it.
    pods: Keys,
    /// How many of them have not ended.
    pub(crate) running: u64,
    /// What those have asked for.
    pub(crate) requested: Resources,
    /// How many of those each owner has here.
    pub(crate) by_owner: HashMap<String, u64>,
    /// What the node can hold, read once from its status.
    pub(crate) room: Resources,
    /// How many Pods the node can hold.
    pub(crate) pods_max: u64,
}

/// The kinds whose objects controllers adopt: only of these it is kept who belongs to nobody.
const ADOPTED: [Kind; 2] = [Kind::Pod, Kind::ReplicaSet];

/// How many Pods a node holds that does not say: Kubernetes' default.
const PODS_MAX_DEFAULT: u64 = 110;

impl Index {
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.dependents.get(uid).into_iter().flatten().map(Arc::as_ref)
    }

    pub(super) fn by_uid(&self, uid: &str) -> Option<&Key> {
        self.uids.get(uid).map(Arc::as_ref)
    }

    pub(super) fn orphans(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Key> {
        debug_assert!(ADOPTED.contains(&kind), "it is not kept which objects of kind {kind} belong to nobody");
        let from = Key::namespaced(kind, namespace, "");
        let namespace = from.namespace.clone();
        let within = move |key: &&Key| key.kind == kind && key.namespace == namespace;
        self.orphans.range::<Key, _>(from..).map(Arc::as_ref).take_while(within)
    }

    /// The Pods with one of the values that a selector names for a label; of several labels the rarest. Nothing, if it
    /// names no values: then any Pod may be meant.
    pub(super) fn selected<'w>(&'w self, namespace: &str, selector: &Labels) -> Option<impl Iterator<Item = &'w Key>> {
        let named = selector.requirements().iter().filter(|requirement| requirement.operator == Operator::In);
        let sets = named.map(|requirement| {
            let label = |value: &String| (namespace.to_owned(), requirement.key.clone(), value.clone());
            requirement.values.iter().filter_map(|value| self.labels.get(&label(value))).collect::<Vec<_>>()
        });
        let nothing = selector.is_nothing().then(Vec::new);
        let rarest = nothing.or_else(|| sets.min_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>()))?;
        Some(rarest.into_iter().flatten().map(Arc::as_ref))
    }

    pub(super) fn load(&self, node: &str) -> Option<&Load> {
        self.loads.get(node)
    }

    pub(super) fn unbound(&self) -> impl Iterator<Item = &Key> {
        self.unbound.iter().map(Arc::as_ref)
    }

    pub(super) fn departed(&self, owner: &str) -> u64 {
        self.departed.get(owner).copied().unwrap_or(0)
    }

    /// Counts a Pod that vanished; forgets the count when the owner itself vanishes.
    pub(super) fn depart(&mut self, object: &Object) {
        let Some(meta) = object.metadata() else { return };
        self.departed.remove(&meta.uid);
        if let (Kind::Pod, Some(owner)) = (object.kind(), pod::controller_of(meta)) {
            *self.departed.entry(owner.uid.clone()).or_default() += 1;
        }
    }

    pub(super) fn replace(&mut self, key: &Arc<Key>, before: Option<&Object>, after: Option<&Object>) {
        if let Some(meta) = before.and_then(Object::metadata) {
            self.remove_meta(key, meta);
        }
        if let Some(meta) = after.and_then(Object::metadata) {
            self.insert_meta(key, meta);
        }
        if key.kind == Kind::Pod {
            self.replace_pod(key, before.and_then(Object::get), after.and_then(Object::get));
        }
        if key.kind == Kind::Node {
            match after.and_then(Object::get) {
                Some(node) => self.insert_node(key, node),
                None => self.remove_node(key),
            }
        }
    }

    fn insert_meta(&mut self, key: &Arc<Key>, meta: &ObjectMeta) {
        for owner in &meta.owner_references {
            self.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        if !meta.uid.is_empty() {
            self.uids.insert(meta.uid.clone(), key.clone());
        }
        if ADOPTED.contains(&key.kind) && pod::controller_of(meta).is_none() {
            self.orphans.insert(key.clone());
        }
    }

    fn remove_meta(&mut self, key: &Arc<Key>, meta: &ObjectMeta) {
        for owner in &meta.owner_references {
            take(&mut self.dependents, &owner.uid, key);
        }
        if self.uids.get(&meta.uid) == Some(key) {
            self.uids.remove(&meta.uid);
        }
        self.orphans.remove(key);
    }

    fn replace_pod(&mut self, key: &Arc<Key>, before: Option<&Pod>, after: Option<&Pod>) {
        let labels = |pod: Option<&Pod>| pod.and_then(|pod| pod.metadata.as_ref()).map(|meta| meta.labels.clone());
        let (old, new) = (labels(before).unwrap_or_default(), labels(after).unwrap_or_default());
        if old != new {
            for (label, value) in old {
                take(&mut self.labels, &(key.namespace.to_string(), label, value), key);
            }
            for (label, value) in new {
                let label = (key.namespace.to_string(), label, value);
                self.labels.entry(label).or_default().insert(key.clone());
            }
        }
        if let Some((pod, node)) = before.and_then(|pod| Some((pod, pod::node_name(pod)?))) {
            self.unload(key, pod, node);
        }
        if let Some((pod, node)) = after.and_then(|pod| Some((pod, pod::node_name(pod)?))) {
            self.loads.entry(node.to_owned()).or_default().add(key, pod);
        }
        let waits = |pod: &Pod| pod::node_name(pod).is_none() && pod::is_active(pod);
        if after.is_some_and(waits) {
            self.unbound.insert(key.clone())
        } else {
            self.unbound.remove(key)
        };
    }

    fn unload(&mut self, key: &Key, pod: &Pod, node: &str) {
        let Some(load) = self.loads.get_mut(node) else { return };
        load.remove(key, pod);
        if load.pods.is_empty() && load.pods_max == 0 {
            self.loads.remove(node);
        }
    }

    fn insert_node(&mut self, key: &Key, node: &Node) {
        let load = self.loads.entry(key.name.to_string()).or_default();
        let allocatable = node.status.as_ref().map(|status| &status.allocatable);
        load.room = allocatable.map(Resources::of).unwrap_or_default();
        let pods = allocatable.and_then(|list| Quantity::try_from(list.get("pods")?).ok());
        load.pods_max = pods.map_or(PODS_MAX_DEFAULT, |pods| u64::try_from(pods.whole()).unwrap_or(0));
    }

    fn remove_node(&mut self, key: &Key) {
        let Some(load) = self.loads.get_mut(&*key.name) else { return };
        (load.room, load.pods_max) = (Resources::default(), 0);
        if load.pods.is_empty() {
            self.loads.remove(&*key.name);
        }
    }
}

impl Load {
    /// The Pods that are bound to the node, by name.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Key> {
        self.pods.iter().map(Arc::as_ref)
    }

    fn add(&mut self, key: &Arc<Key>, pod: &Pod) {
        self.pods.insert(key.clone());
        if pod::is_terminal(pod) {
            return;
        }
        self.running += 1;
        self.requested = self.requested + pod::requests(pod);
        if let Some(owner) = owner_of(pod) {
            *self.by_owner.entry(owner.to_owned()).or_default() += 1;
        }
    }

    fn remove(&mut self, key: &Key, pod: &Pod) {
        self.pods.remove(key);
        if pod::is_terminal(pod) {
            return;
        }
        self.running -= 1;
        self.requested = self.requested - pod::requests(pod);
        if let Some(owner) = owner_of(pod)
            && let Some(count) = self.by_owner.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(owner);
            }
        }
    }
}

/// The uid of the Pod's controller.
pub(crate) fn owner_of(pod: &Pod) -> Option<&str> {
    pod.metadata.as_ref().and_then(pod::controller_of).map(|owner| owner.uid.as_str())
}

fn take<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Keys>, at: &K, key: &Key) {
    if let Some(keys) = map.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(at);
        }
    }
}
