//! Objects and worlds for tests, in few words.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ChangeType, Key, Kind, Object, Observation, Revision, Timestamp,
    apps_v1::{
        Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus,
        RollingUpdateDeployment,
    },
    conditions::{self, ConditionStatus},
    core_v1::{
        Container, ContainerPort, EndpointSubset, Endpoints, Namespace, Node, NodeCondition, NodeStatus, Pod, PodSpec,
        PodTemplateSpec, ResourceRequirements, Service, ServicePort, ServiceSpec,
    },
    kinds::Resource,
    meta_v1::{IntOrString, LabelSelector, ObjectMeta, Quantity},
    pod,
};

use crate::{config::Config, controller::Controller, owners::controller_reference, plan::Plan, world::World};

/// When tests happen.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000_000);

/// The certificate of the authority, as far as tests look.
pub(crate) const AUTHORITY: &str = "the authority's certificate";

/// A world in which these objects were observed, each at a revision of its own, with its name as uid.
pub(crate) fn world(objects: impl IntoIterator<Item = Object>) -> World {
    let mut world = World::new(Config { authority: AUTHORITY.to_owned(), ..Config::default() });
    world.begin(NOW);
    for (index, object) in objects.into_iter().enumerate() {
        world.observe(&added(object, index as u64 + 1));
    }
    world
}

/// The news that an object exists, at a revision.
pub(crate) fn added(object: Object, revision: u64) -> Observation {
    change(ChangeType::Added, object, revision)
}

pub(crate) fn change(change: ChangeType, mut object: Object, revision: u64) -> Observation {
    object.metadata_mut().resource_version = revision.to_string();
    Observation { change, object: Arc::new(object), revision: Revision(revision) }
}

/// What a controller wants to do about an object.
pub(crate) fn plan(world: &World, controller: Controller, key: &Key) -> Plan {
    controller.reconcile(world, key, NOW)
}

/// The labels of a text such as `app=web,tier=front`.
pub(crate) fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: name.to_owned(),
        generation: 1,
        creation_timestamp: Some(Timestamp(NOW.0 - 60_000).into()),
        ..ObjectMeta::default()
    }
}

/// What every kind of object can be told in tests.
pub(crate) trait Told: Resource + Into<Object> + Clone {
    fn labelled(mut self, text: &str) -> Self {
        self.metadata_mut().labels.extend(labels(text));
        self
    }

    fn annotated(mut self, key: &str, value: &str) -> Self {
        self.metadata_mut().annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    fn owned_by<T: Resource>(mut self, owner: &T) -> Self {
        let meta = owner.metadata().cloned().unwrap_or_default();
        self.metadata_mut().owner_references.push(controller_reference(T::KIND, &meta));
        self
    }

    fn leaving(mut self, finalizers: &[&str]) -> Self {
        let meta = self.metadata_mut();
        meta.deletion_timestamp = Some(NOW.into());
        meta.finalizers = finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect();
        self
    }

    fn object(&self) -> Object {
        self.clone().into()
    }
}

impl<T: Resource + Into<Object> + Clone> Told for T {}

/// A Pod with one container.
pub(crate) fn pod(name: &str) -> Pod {
    let spec =
        PodSpec { containers: vec![Container { name: "main".into(), ..Container::default() }], ..PodSpec::default() };
    Pod { metadata: Some(meta("default", name)), spec: Some(spec), status: None }
}

/// What a Pod can be told in tests.
pub(crate) trait PodTold: Sized {
    fn spec(self, change: impl FnOnce(&mut PodSpec)) -> Self;
    fn on(self, node: &str) -> Self;
    fn phase(self, phase: &str) -> Self;
    fn ready(self) -> Self;
    fn at(self, address: &str) -> Self;
    fn requesting(self, cpu: &str, memory: &str) -> Self;
    fn with_port(self, name: &str, number: i32) -> Self;
}

impl PodTold for Pod {
    fn spec(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(self.spec.get_or_insert_default());
        self
    }

    fn on(self, node: &str) -> Self {
        self.spec(|spec| node.clone_into(&mut spec.node_name))
    }

    fn phase(mut self, phase: &str) -> Self {
        phase.clone_into(&mut self.status.get_or_insert_default().phase);
        self
    }

    fn ready(self) -> Self {
        let mut pod = self.phase("Running");
        pod::set_condition(&mut pod, conditions::new("Ready", ConditionStatus::True, "", "", NOW));
        pod
    }

    fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.status.get_or_insert_default().pod_ip);
        self
    }

    fn requesting(self, cpu: &str, memory: &str) -> Self {
        self.spec(|spec| {
            let requests = resources(&[("cpu", cpu), ("memory", memory)]);
            spec.containers[0].resources = Some(ResourceRequirements { requests, ..ResourceRequirements::default() });
        })
    }

    fn with_port(self, name: &str, number: i32) -> Self {
        let port = ContainerPort { name: name.to_owned(), container_port: number, ..ContainerPort::default() };
        self.spec(|spec| spec.containers[0].ports.push(port))
    }
}

/// Quantities by name.
pub(crate) fn resources(list: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    list.iter().map(|(name, text)| ((*name).to_owned(), Quantity { string: (*text).to_owned() })).collect()
}

/// A node that is ready and has room for 2 CPUs, 4 GiB and 10 Pods.
pub(crate) fn node(name: &str) -> Node {
    let ready: NodeCondition = conditions::new("Ready", ConditionStatus::True, "KubeletReady", "", NOW);
    let allocatable = resources(&[("cpu", "2"), ("memory", "4Gi"), ("pods", "10")]);
    let status = NodeStatus { allocatable, conditions: vec![ready], ..NodeStatus::default() };
    Node { metadata: Some(meta("", name)), spec: None, status: Some(status) }
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace { metadata: Some(meta("", name)), ..Namespace::default() }
}

fn selector(text: &str) -> Option<LabelSelector> {
    Some(LabelSelector { match_labels: labels(text), ..LabelSelector::default() })
}

fn template(image: &str) -> Option<PodTemplateSpec> {
    let container = Container { name: "main".into(), image: image.to_owned(), ..Container::default() };
    let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    let metadata = ObjectMeta { labels: labels("app=web"), ..ObjectMeta::default() };
    Some(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
}

/// A ReplicaSet of Pods labelled `app=web`.
pub(crate) fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    let spec = ReplicaSetSpec {
        replicas: Some(replicas),
        selector: selector("app=web"),
        template: template("hello:1"),
        min_ready_seconds: 0,
    };
    let status = ReplicaSetStatus { observed_generation: 1, ..ReplicaSetStatus::default() };
    ReplicaSet { metadata: Some(meta("default", name)), spec: Some(spec), status: Some(status) }
}

/// A Deployment of Pods labelled `app=web` with one Pod more than wanted and none fewer during updates.
pub(crate) fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    let rolling =
        RollingUpdateDeployment { max_surge: Some(IntOrString::int(1)), max_unavailable: Some(IntOrString::int(0)) };
    let strategy = DeploymentStrategy { r#type: "RollingUpdate".to_owned(), rolling_update: Some(rolling) };
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        selector: selector("app=web"),
        template: template(image),
        strategy: Some(strategy),
        ..DeploymentSpec::default()
    };
    Deployment { metadata: Some(meta("default", name)), spec: Some(spec), status: None }
}

/// A Service that sends `port` to the same port of Pods with these labels.
pub(crate) fn service(name: &str, selector: &str, port: i32) -> Service {
    let port = ServicePort { name: "http".to_owned(), port, target_port: None, ..ServicePort::default() };
    let spec = ServiceSpec { selector: labels(selector), ports: vec![port], ..ServiceSpec::default() };
    Service { metadata: Some(meta("default", name)), spec: Some(spec), status: None }
}

/// Endpoints that a user wrote.
pub(crate) fn endpoints(name: &str, subsets: Vec<EndpointSubset>) -> Endpoints {
    Endpoints { metadata: Some(meta("default", name)), subsets }
}

pub(crate) fn key(kind: Kind, name: &str) -> Key {
    let namespace = if kind.info().namespaced { "default" } else { "" };
    Key::namespaced(kind, namespace, name)
}
