//! Objects as rows: the columns that `kubectl get` shows, computed here once for REST, gRPC and the command line.
//!
//! Headings, order and cells are those of Kubernetes 1.32, because scripts cut them apart.

pub mod age;
mod columns;
pub mod pod;

use std::collections::BTreeMap;

pub use columns::columns;

use crate::{
    Object, Timestamp, apps_v1, coordination_v1, core_v1, discovery_v1, event,
    meta_v1::{LabelSelector, ObjectMeta},
    selector,
};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading; clients print it in capitals.
    pub name: &'static str,
    /// `string` or `integer`: OpenAPI's word.
    pub r#type: &'static str,
    /// OpenAPI's format; `name` marks the column of the object's name.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0: always shown; 1: only in wide output.
    pub priority: i32,
}

/// What stands in one place of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Int(number) => number.fmt(f),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// What is shown where there is nothing.
const NONE: &str = "<none>";
/// What is shown where nothing is known.
const UNKNOWN: &str = "<unknown>";
/// How many ports or addresses of a slice are shown.
const SHOWN_MAX: usize = 3;

/// One cell for each of [`columns`], wide ones included.
#[must_use]
pub fn row(object: &Object, now: Timestamp) -> Vec<Cell> {
    let none = ObjectMeta::default();
    let meta = object.metadata().unwrap_or(&none);
    let common =
        Common { name: meta.name.as_str().into(), age: age::since(meta.creation_timestamp.as_ref(), now).into() };
    match object {
        Object::Namespace(namespace) => namespace_row(common, namespace),
        Object::Node(node) => node_row(common, node),
        Object::Pod(found) => pod::row(common, found, now),
        Object::Service(service) => service_row(common, service),
        Object::EndpointSlice(slice) => slice_row(common, slice),
        Object::ConfigMap(map) => vec![common.name, (map.data.len() + map.binary_data.len()).into(), common.age],
        Object::Secret(secret) => {
            vec![common.name, secret.r#type.as_str().into(), secret.data.len().into(), common.age]
        }
        Object::Event(event) => event_row(common, event, now),
        Object::Lease(lease) => lease_row(common, lease),
        Object::Deployment(deployment) => deployment_row(common, deployment),
        Object::ReplicaSet(set) => replica_set_row(common, set),
    }
}

/// The cells that most rows have.
struct Common {
    name: Cell,
    age: Cell,
}

/// The text, or what stands for none.
fn or<'a>(text: &'a str, none: &'a str) -> &'a str {
    if text.is_empty() { none } else { text }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    or(&pairs.join(","), NONE).to_owned()
}

fn namespace_row(common: Common, namespace: &core_v1::Namespace) -> Vec<Cell> {
    let phase = namespace.status.as_ref().map_or("", |status| &status.phase);
    vec![common.name, phase.into(), common.age]
}

fn node_row(common: Common, node: &core_v1::Node) -> Vec<Cell> {
    let none = core_v1::NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    let no_info = core_v1::NodeSystemInfo::default();
    let info = status.node_info.as_ref().unwrap_or(&no_info);
    let address = |kind| {
        let found = status.addresses.iter().find(|address| address.r#type == kind);
        found.map_or(NONE, |address| &address.address).into()
    };
    vec![
        common.name,
        node_status(node, status).into(),
        node_roles(node).into(),
        common.age,
        info.kubelet_version.as_str().into(),
        address("InternalIP"),
        address("ExternalIP"),
        or(&info.os_image, UNKNOWN).into(),
        or(&info.kernel_version, UNKNOWN).into(),
        or(&info.container_runtime_version, UNKNOWN).into(),
    ]
}

fn node_status(node: &core_v1::Node, status: &core_v1::NodeStatus) -> String {
    let word = match crate::conditions::get(&status.conditions, "Ready").map(|ready| ready.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = node.spec.as_ref().is_some_and(|spec| spec.unschedulable);
    if closed { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn node_roles(node: &core_v1::Node) -> String {
    let labels = node.metadata.iter().flat_map(|meta| &meta.labels);
    let role = |(key, value): (&String, &String)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None => (key == "kubernetes.io/role").then(|| value.clone()),
    };
    let mut roles: Vec<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    roles.sort();
    roles.dedup();
    or(&roles.join(","), NONE).to_owned()
}

fn service_row(common: Common, service: &core_v1::Service) -> Vec<Cell> {
    let none = core_v1::ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let ports: Vec<String> = spec.ports.iter().map(service_port).collect();
    vec![
        common.name,
        spec.r#type.as_str().into(),
        or(&spec.cluster_ip, NONE).into(),
        external_ip(service, spec).into(),
        or(&ports.join(","), NONE).into(),
        common.age,
        labels(&spec.selector).into(),
    ]
}

/// The port at which the Service answers. No port of a node is shown, since none is opened.
fn service_port(port: &core_v1::ServicePort) -> String {
    let core_v1::ServicePort { port, protocol, .. } = port;
    format!("{port}/{protocol}")
}

fn external_ip(service: &core_v1::Service, spec: &core_v1::ServiceSpec) -> String {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress =
        balancer.into_iter().flat_map(|balancer| &balancer.ingress).map(|ingress| or(&ingress.ip, &ingress.hostname));
    // Addresses that a user wrote into the spec are not taken over, so they are not shown.
    match spec.r#type.as_str() {
        "ExternalName" => spec.external_name.clone(),
        "LoadBalancer" => or(&joined(ingress), "<pending>").to_owned(),
        _ => NONE.to_owned(),
    }
}

fn slice_row(common: Common, slice: &discovery_v1::EndpointSlice) -> Vec<Cell> {
    let port = |port: &discovery_v1::EndpointPort| match (port.port, &port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "*".to_owned(),
    };
    let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).cloned();
    vec![
        common.name,
        slice.address_type.as_str().into(),
        some_of(slice.ports.iter().map(port)).into(),
        some_of(addresses).into(),
        common.age,
    ]
}

/// The first few, and how many more there are.
fn some_of(mut parts: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = parts.by_ref().take(SHOWN_MAX).collect();
    let shown = shown.join(",");
    match parts.count() {
        0 => or(&shown, "<unset>").to_owned(),
        more => format!("{shown} + {more} more..."),
    }
}

fn lease_row(common: Common, lease: &coordination_v1::Lease) -> Vec<Cell> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    vec![common.name, holder.unwrap_or("").into(), common.age]
}

fn event_row(common: Common, event: &core_v1::Event, now: Timestamp) -> Vec<Cell> {
    let none = core_v1::ObjectReference::default();
    let about = event.involved_object.as_ref().unwrap_or(&none);
    let time = |time: Option<Timestamp>| time.map_or_else(|| UNKNOWN.to_owned(), |time| age::human(now.since(time)));
    let first = event.first_timestamp.as_ref().map(Timestamp::from);
    let first = first.or_else(|| event.event_time.as_ref().map(Timestamp::from));
    let count = event.series.as_ref().map_or(event.count, |series| series.count);
    vec![
        time(event::last_seen(event)).into(),
        event.r#type.as_str().into(),
        event.reason.as_str().into(),
        format!("{}/{}", about.kind.to_lowercase(), about.name).into(),
        about.field_path.as_str().into(),
        event_source(event).into(),
        event.message.trim().into(),
        time(first).into(),
        count.max(1).into(),
        common.name,
    ]
}

fn event_source(event: &core_v1::Event) -> String {
    let none = core_v1::EventSource::default();
    let core_v1::EventSource { component, host } = event.source.as_ref().unwrap_or(&none);
    let component = or(component, &event.reporting_component);
    let host = or(host, &event.reporting_instance);
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

fn deployment_row(common: Common, deployment: &apps_v1::Deployment) -> Vec<Cell> {
    let none = apps_v1::DeploymentSpec::default();
    let spec = deployment.spec.as_ref().unwrap_or(&none);
    let status = deployment.status.clone().unwrap_or_default();
    let mut row = vec![
        common.name,
        format!("{}/{}", status.ready_replicas, spec.replicas.unwrap_or(1)).into(),
        status.updated_replicas.into(),
        status.available_replicas.into(),
        common.age,
    ];
    row.extend(workload(spec.template.as_ref(), spec.selector.as_ref()));
    row
}

fn replica_set_row(common: Common, set: &apps_v1::ReplicaSet) -> Vec<Cell> {
    let none = apps_v1::ReplicaSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&none);
    let status = set.status.clone().unwrap_or_default();
    let mut row = vec![
        common.name,
        spec.replicas.unwrap_or(1).into(),
        status.replicas.into(),
        status.ready_replicas.into(),
        common.age,
    ];
    row.extend(workload(spec.template.as_ref(), spec.selector.as_ref()));
    row
}

/// Containers, images and selector.
fn workload(template: Option<&core_v1::PodTemplateSpec>, selector: Option<&LabelSelector>) -> [Cell; 3] {
    let containers = || template.iter().filter_map(|t| t.spec.as_ref()).flat_map(|spec| &spec.containers);
    let names = joined(containers().map(|container| container.name.as_str()));
    let images = joined(containers().map(|container| container.image.as_str()));
    [names.into(), images.into(), selector::print(selector).into()]
}

#[cfg(test)]
mod tests;
