//! What is filled in where a manifest is silent: Kubernetes' own defaults, so that what is read back is what its users
//! expect, and everything behind the door can rely on the fields being there.
//!
//! Included are what Kubernetes' admission and creation strategies add without asking anybody: default tolerations, the
//! first phase, a Namespace's label and finalizer. What needs the rest of the cluster (addresses, uids, times) is not here.

mod pod;
mod service;

use crate::{Object, apps_v1, core_v1, discovery_v1, meta_v1::IntOrString, pod::Phase};

/// The label by which selectors find a Namespace by its name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// What keeps a Namespace in `spec.finalizers` until it is empty.
pub const NAMESPACE_FINALIZER: &str = "kubernetes";
/// How many replicas, if nobody says.
const REPLICAS: i32 = 1;
/// How many old ReplicaSets stay for `rollout undo`.
const REVISION_HISTORY_LIMIT: i32 = 10;
/// After how many seconds without progress a rollout is reported as failed.
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// How far a rolling update may go above and below the wanted number.
const ROLLING_UPDATE_STEP: &str = "25%";

/// Fills in what the manifest leaves open, as Kubernetes does. Idempotent: applied again, it changes nothing.
pub fn apply(object: &mut Object) {
    match object {
        Object::Namespace(namespace) => namespace_defaults(namespace),
        Object::Node(node) => node_defaults(node),
        Object::Pod(pod) => pod_defaults(pod),
        Object::Service(service) => service::defaults(service),
        Object::EndpointSlice(slice) => slice.ports.iter_mut().for_each(endpoint_port),
        Object::Secret(secret) => secret_defaults(secret),
        Object::Deployment(deployment) => deployment_defaults(deployment),
        Object::ReplicaSet(set) => replica_set_defaults(set),
        Object::ConfigMap(_) | Object::Event(_) | Object::Lease(_) => {}
    }
}

/// Sets a text that is empty.
fn text(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

/// Sets a number that is zero, in fields where zero means nothing.
fn number(field: &mut i32, default: i32) {
    if *field == 0 {
        *field = default;
    }
}

fn namespace_defaults(namespace: &mut core_v1::Namespace) {
    let meta = namespace.metadata.get_or_insert_default();
    if !meta.name.is_empty() {
        meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), meta.name.clone());
    }
    let going = meta.deletion_timestamp.is_some();
    let spec = namespace.spec.get_or_insert_default();
    if spec.finalizers.is_empty() && !going {
        spec.finalizers.push(NAMESPACE_FINALIZER.to_owned());
    }
    let phase = if going { "Terminating" } else { "Active" };
    text(&mut namespace.status.get_or_insert_default().phase, phase);
}

fn node_defaults(node: &mut core_v1::Node) {
    let spec = node.spec.get_or_insert_default();
    if spec.pod_cidrs.is_empty() && !spec.pod_cidr.is_empty() {
        spec.pod_cidrs.push(spec.pod_cidr.clone());
    }
    let status = node.status.get_or_insert_default();
    if status.allocatable.is_empty() {
        status.allocatable.clone_from(&status.capacity);
    }
}

fn pod_defaults(pod: &mut core_v1::Pod) {
    let spec = pod.spec.get_or_insert_default();
    pod::spec(spec);
    pod::only_of_pods(spec);
    let qos_class = crate::pod::qos_class(spec);
    let status = pod.status.get_or_insert_default();
    text(&mut status.phase, Phase::Pending.word());
    text(&mut status.qos_class, qos_class);
}

fn endpoint_port(port: &mut discovery_v1::EndpointPort) {
    port.name.get_or_insert_default();
    port.protocol.get_or_insert_with(|| "TCP".to_owned());
}

fn secret_defaults(secret: &mut core_v1::Secret) {
    for (key, value) in std::mem::take(&mut secret.string_data) {
        secret.data.insert(key, value.into());
    }
    text(&mut secret.r#type, "Opaque");
}

fn deployment_defaults(deployment: &mut apps_v1::Deployment) {
    let spec = deployment.spec.get_or_insert_default();
    spec.replicas.get_or_insert(REPLICAS);
    spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
    spec.progress_deadline_seconds.get_or_insert(PROGRESS_DEADLINE_SECONDS);
    let strategy = spec.strategy.get_or_insert_default();
    text(&mut strategy.r#type, "RollingUpdate");
    if strategy.r#type == "RollingUpdate" {
        let update = strategy.rolling_update.get_or_insert_default();
        update.max_surge.get_or_insert_with(|| IntOrString::text(ROLLING_UPDATE_STEP));
        update.max_unavailable.get_or_insert_with(|| IntOrString::text(ROLLING_UPDATE_STEP));
    }
    template(spec.template.as_mut());
}

fn replica_set_defaults(set: &mut apps_v1::ReplicaSet) {
    let spec = set.spec.get_or_insert_default();
    spec.replicas.get_or_insert(REPLICAS);
    template(spec.template.as_mut());
}

/// A template without a spec stays as it is: validation says what is missing.
fn template(template: Option<&mut core_v1::PodTemplateSpec>) {
    if let Some(spec) = template.and_then(|template| template.spec.as_mut()) {
        pod::spec(spec);
    }
}

#[cfg(test)]
mod tests;
