//! EndpointSlices: the Pods behind a Service, as proxies read them.
//!
//! A Pod is listed from the moment it has an address until it is gone, with conditions that say whether to send it anything.
//! Pods that resolve a named port differently stand in different slices.

use std::collections::BTreeMap;

use api::{
    Key, Kind, Timestamp,
    core_v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec},
    discovery_v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    int_or_string::Value,
    kinds::Resource as _,
    meta_v1::ObjectMeta,
    pod,
    selector::Labels,
    validate::ENDPOINTS_MAX,
    well_known::SERVICE_NAME_LABEL,
};

use super::slices::{self, MANAGER_LABEL};
use crate::{
    names, nodes, owners,
    plan::Plan,
    world::{Shift, World},
};

/// Says that this controller keeps a slice.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = world.get::<Service>(key) else { return plan };
    let (Some(meta), Some(spec)) = (&service.metadata, &service.spec) else { return plan };
    // Without a selector the user keeps the slices; a Service that goes takes its slices along as its dependents.
    if spec.selector.is_empty() || meta.deletion_timestamp.is_some() || meta.uid.is_empty() {
        return plan;
    }
    let selector = Labels::from_map(&spec.selector);
    let pods = world.pods_matching(&meta.namespace, &selector);
    let pods = pods.map(|pod| (pod, nodes::vouches(world.node_of(pod))));
    let wanted = if spec.r#type == "ExternalName" { BTreeMap::new() } else { wanted(meta, spec, pods) };
    slices::settle(world, &meta.namespace, slices::kept(world, &meta.uid, MANAGER), wanted, &mut plan);
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Service>() {
        look(key.clone());
    }
    if let Some(key) = shift.states().last().and_then(slices::service_of) {
        look(key);
    }
    for pod in shift.states::<Pod>().chain(nodes::pods_in_question(world, shift)) {
        let Some(meta) = &pod.metadata else { continue };
        let services = world.in_namespace::<Service>(&meta.namespace).filter(|service| serves(service, meta));
        services.for_each(|service| look(service.key()));
    }
}

/// Whether a Service's Pods are those with these labels among others. A Service without selector has none.
fn serves(service: &Service, pod: &ObjectMeta) -> bool {
    let selector = service.spec.as_ref().map(|spec| &spec.selector);
    selector.is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    })
}

/// The slices that there should be, by name, for these Pods; of each it is known whether its node vouches for it.
fn wanted<'a>(
    meta: &ObjectMeta,
    spec: &ServiceSpec,
    pods: impl Iterator<Item = (&'a Pod, bool)>,
) -> BTreeMap<String, EndpointSlice> {
    let mut groups: BTreeMap<Vec<PortNumber>, Vec<Endpoint>> = BTreeMap::new();
    for (pod, vouched) in pods {
        if let Some(endpoint) = endpoint(meta, spec, pod, vouched) {
            groups.entry(port_numbers(spec, pod)).or_default().push(endpoint);
        }
    }
    // A Service without Pods has one empty slice, which says that nothing is there rather than that nothing is known.
    if groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    let mut slices = BTreeMap::new();
    for (numbers, endpoints) in &groups {
        let ports = ports(spec, numbers);
        // The most that a slice may list, so that one Pod's change is not a huge write.
        let chunks = endpoints.chunks(ENDPOINTS_MAX);
        let empty = endpoints.is_empty().then_some(&[][..]);
        for endpoints in chunks.chain(empty) {
            let name = names::child(&meta.name, &meta.uid, slices.len() as u64);
            slices.insert(name.clone(), slice(meta, spec, name, ports.clone(), endpoints.to_vec()));
        }
    }
    slices
}

fn slice(
    service: &ObjectMeta,
    spec: &ServiceSpec,
    name: String,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let mut labels = slices::labels(service, spec);
    labels.insert(SERVICE_NAME_LABEL.to_owned(), service.name.clone());
    labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    let metadata = ObjectMeta {
        generate_name: format!("{}-", service.name),
        name,
        namespace: service.namespace.clone(),
        labels,
        owner_references: vec![owners::controller_reference(Kind::Service, service)],
        ..ObjectMeta::default()
    };
    EndpointSlice { metadata: Some(metadata), endpoints, ports, address_type: "IPv4".to_owned() }
}

/// The port on which a Pod answers, for each port of the Service; none if the Pod does not have a port of that name.
type PortNumber = Option<i32>;

fn port_numbers(spec: &ServiceSpec, pod: &Pod) -> Vec<PortNumber> {
    spec.ports.iter().map(|port| port_number(port, pod)).collect()
}

fn port_number(port: &ServicePort, pod: &Pod) -> PortNumber {
    match port.target_port.as_ref().map(|target| target.value()) {
        None | Some(Value::Int(0)) => Some(port.port),
        Some(Value::Int(number)) => Some(number),
        Some(Value::Text(name)) => pod::port_by_name(pod.spec.as_ref()?, name),
    }
}

fn ports(spec: &ServiceSpec, numbers: &[PortNumber]) -> Vec<EndpointPort> {
    let resolved = spec.ports.iter().zip(numbers).filter_map(|(port, number)| Some((port, (*number)?)));
    resolved
        .map(|(port, number)| EndpointPort {
            name: Some(port.name.clone()),
            protocol: Some(if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() }),
            port: Some(number),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}

/// A Pod as an endpoint, if it has an address and has not ended.
fn endpoint(service: &ObjectMeta, spec: &ServiceSpec, pod: &Pod, vouched: bool) -> Option<Endpoint> {
    let address = pod.status.as_ref().map(|status| status.pod_ip.clone()).filter(|ip| !ip.is_empty())?;
    if pod::is_terminal(pod) {
        return None;
    }
    let node = pod::node_name(pod);
    let serving = pod::is_ready(pod) && vouched;
    let terminating = pod::is_terminating(pod);
    let hostname = pod.spec.as_ref().filter(|pod| pod.subdomain == service.name).map(|pod| pod.hostname.clone());
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(spec.publish_not_ready_addresses || serving && !terminating),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname.filter(|hostname| !hostname.is_empty()),
        target_ref: Some(ObjectReference {
            kind: Kind::Pod.to_string(),
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            ..ObjectReference::default()
        }),
        node_name: node.map(ToOwned::to_owned),
        ..Endpoint::default()
    })
}

#[cfg(test)]
mod tests;
