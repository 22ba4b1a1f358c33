//! Which Secrets, ConfigMaps and ServiceAccounts the Pods of each node use: the graph by which Kubernetes' node authorizer
//! decides, kept as the Pods change, so that a question costs the same however many of them there are.

use std::sync::Arc;

use api::{
    Kind,
    core_v1::{Container, LocalObjectReference as Reference, Pod, Volume, VolumeProjection},
    encoded, pod,
};
use arc_swap::ArcSwapOption;
use imbl::HashMap;
use store::{Objects, Record, View};

/// What Pods used in the state at which somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct NodeUses {
    current: ArcSwapOption<Uses>,
}

impl NodeUses {
    /// What the Pods of a state use. Only Pods that have changed since somebody asked are looked at.
    pub(super) fn of(&self, view: &View) -> Arc<Uses> {
        let before = self.current.load_full();
        if let Some(uses) = before.as_ref().filter(|uses| uses.pods.are_those_of(view, Kind::Pod)) {
            return uses.clone();
        }
        let uses = Arc::new(before.as_deref().cloned().unwrap_or_default().moved_to(view));
        self.current.store(Some(uses.clone()));
        uses
    }
}

/// How many Pods of which node use what. Cloning is O(1) and shares everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// Of which Pods the rest was made.
    pods: Objects,
    counts: HashMap<Use, usize>,
}

/// That Pods of a node use an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Use {
    node: String,
    kind: Kind,
    namespace: Arc<str>,
    name: String,
}

impl Uses {
    /// Whether a Pod of a node uses a Secret, ConfigMap or ServiceAccount.
    pub(super) fn has(&self, node: &str, kind: Kind, namespace: &Arc<str>, name: &str) -> bool {
        let namespace = namespace.clone();
        self.counts.contains_key(&Use { node: node.to_owned(), kind, namespace, name: name.to_owned() })
    }

    /// Those of another state.
    fn moved_to(mut self, view: &View) -> Self {
        let later = view.objects(Kind::Pod);
        for (gone, new) in std::mem::replace(&mut self.pods, later.clone()).changes_to(&later) {
            gone.into_iter().flat_map(uses_of).for_each(|one| self.take(one));
            new.into_iter().flat_map(uses_of).for_each(|one| *self.counts.entry(one).or_default() += 1);
        }
        self
    }

    fn take(&mut self, one: Use) {
        match self.counts.get_mut(&one) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&one)),
        }
    }
}

/// What the Pod of a record uses on its node; nothing while it has none.
fn uses_of(record: &Arc<Record>) -> Vec<Use> {
    let node = encoded::text(&record.bytes, &pod::NODE_NAME);
    if node.is_empty() {
        return Vec::new();
    }
    let object = record.object();
    let named = object.get::<Pod>().map(named).unwrap_or_default();
    let namespace = &record.key.namespace;
    let used = |(kind, name)| Use { node: node.to_owned(), kind, namespace: namespace.clone(), name };
    named.into_iter().map(used).collect()
}

/// The Secrets and ConfigMaps that a Pod names, as volumes, as environment, or to pull its images, and its ServiceAccount. One
/// may come more than once.
fn named(pod: &Pod) -> Vec<(Kind, String)> {
    let mut found = Named::default();
    let Some(spec) = &pod.spec else { return found.0 };
    spec.volumes.iter().for_each(|volume| found.volume(volume));
    spec.init_containers.iter().chain(&spec.containers).for_each(|container| found.container(container));
    if !spec.service_account_name.is_empty() {
        found.0.push((Kind::ServiceAccount, spec.service_account_name.clone()));
    }
    spec.image_pull_secrets.iter().for_each(|secret| found.add(Kind::Secret, Some(secret)));
    found.0
}

#[derive(Default)]
struct Named(Vec<(Kind, String)>);

impl Named {
    fn add(&mut self, kind: Kind, reference: Option<&Reference>) {
        self.0.extend(reference.map(|reference| (kind, reference.name.clone())));
    }

    fn volume(&mut self, volume: &Volume) {
        let Some(source) = &volume.volume_source else { return };
        if let Some(map) = &source.config_map {
            self.add(Kind::ConfigMap, map.local_object_reference.as_ref());
        }
        self.0.extend(source.secret.iter().map(|secret| (Kind::Secret, secret.secret_name.clone())));
        let projected = source.projected.iter().flat_map(|projected| &projected.sources);
        projected.for_each(|projection| self.projection(projection));
    }

    fn projection(&mut self, projection: &VolumeProjection) {
        if let Some(map) = &projection.config_map {
            self.add(Kind::ConfigMap, map.local_object_reference.as_ref());
        }
        if let Some(secret) = &projection.secret {
            self.add(Kind::Secret, secret.local_object_reference.as_ref());
        }
    }

    fn container(&mut self, container: &Container) {
        for source in &container.env_from {
            if let Some(map) = &source.config_map_ref {
                self.add(Kind::ConfigMap, map.local_object_reference.as_ref());
            }
            if let Some(secret) = &source.secret_ref {
                self.add(Kind::Secret, secret.local_object_reference.as_ref());
            }
        }
        for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
            if let Some(map) = &source.config_map_key_ref {
                self.add(Kind::ConfigMap, map.local_object_reference.as_ref());
            }
            if let Some(secret) = &source.secret_key_ref {
                self.add(Kind::Secret, secret.local_object_reference.as_ref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        Key, Object,
        json::{self, Strictness},
        yaml,
    };
    use store::{Expect, Op, State, Txn};

    use super::*;

    fn pod(text: &str) -> Object {
        let value = yaml::parse(text, Strictness::Strict).unwrap().value;
        json::decode(Kind::Pod, &value, Strictness::Strict).unwrap().object
    }

    fn apply(state: &mut State, op: Op) {
        state.apply(&Txn { ops: vec![op] }).unwrap();
    }

    fn put(state: &mut State, object: &Object) {
        apply(state, Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any });
    }

    const EVERY_WAY: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {nodeName: w1,
      imagePullSecrets: [{name: pull}],
      volumes: [{name: a, secret: {secretName: mounted}}, {name: b, configMap: {name: map}},
        {name: c, projected: {sources: [{secret: {name: projected}}, {configMap: {name: projected-map}}]}}],
      initContainers: [{name: i, image: i, envFrom: [{secretRef: {name: from}}, {configMapRef: {name: from-map}}]}],
      containers: [{name: c, image: c, env: [{name: A, valueFrom: {secretKeyRef: {name: key, key: k}}},
        {name: B, valueFrom: {configMapKeyRef: {name: key-map, key: k}}}]}]}}";

    #[test]
    fn every_way_to_use_something_counts_on_the_pods_node_alone() {
        let mut state = State::default();
        put(&mut state, &pod(EVERY_WAY));
        put(
            &mut state,
            &pod(&EVERY_WAY
                .replace("name: p,", "name: early,")
                .replace("nodeName: w1,", "")
                .replace("mounted", "early")),
        );
        let uses = NodeUses::default().of(&state.view());
        let has = |node: &str, kind, namespace: &str, name: &str| uses.has(node, kind, &namespace.into(), name);
        for name in ["pull", "mounted", "projected", "from", "key"] {
            assert!(has("w1", Kind::Secret, "shop", name), "{name}");
            assert!(!has("w1", Kind::ConfigMap, "shop", name) && !has("w2", Kind::Secret, "shop", name), "{name}");
            assert!(!has("w1", Kind::Secret, "other", name), "{name}");
        }
        for name in ["map", "projected-map", "from-map", "key-map"] {
            assert!(has("w1", Kind::ConfigMap, "shop", name), "{name}");
        }
        assert!(
            !has("w1", Kind::Secret, "shop", "early") && !has("", Kind::Secret, "shop", "early"),
            "it has no node yet"
        );
    }

    #[test]
    fn it_follows_the_pods_and_is_what_reading_them_anew_gives() {
        let (kept, mut state) = (NodeUses::default(), State::default());
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for round in 0..400 {
            let (name, node, secret) = (next(12), next(3), next(5));
            let object = pod(&format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: p{name}, namespace: shop}}, spec: {{nodeName: w{node},
                  volumes: [{{name: v, secret: {{secretName: s{secret}}}}}]}}}}"
            ));
            if next(4) == 0 && state.view().get(&object.key()).is_some() {
                apply(&mut state, Op::Delete { key: object.key(), expect: Expect::Any });
            } else {
                put(&mut state, &object);
            }
            if round % 7 == 0 {
                let (followed, anew) = (kept.of(&state.view()), NodeUses::default().of(&state.view()));
                assert_eq!(followed.counts, anew.counts, "after {round} writes");
            }
        }
        let all: Vec<Key> = state.view().list(Kind::Pod, None, None).map(|record| record.key.clone()).collect();
        all.into_iter().for_each(|key| apply(&mut state, Op::Delete { key, expect: Expect::Any }));
        assert!(kept.of(&state.view()).counts.is_empty(), "nothing is left behind");
    }
}
