//! EndpointSlices for the Endpoints that users write: what stands behind a Service without selector.
//!
//! Proxies read slices only. So each Endpoints object of a Service without selector is shown as slices, which go with it,
//! unless its user says that they write slices themselves.

use std::{collections::BTreeMap, net::IpAddr};

use api::{
    Key, Kind, Timestamp,
    core_v1::{EndpointAddress, EndpointSubset, Endpoints, Service},
    discovery_v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    meta_v1::ObjectMeta,
    validate::ENDPOINTS_MAX,
    well_known::{LAST_APPLIED_ANNOTATION, SERVICE_NAME_LABEL, SKIP_MIRROR_LABEL},
};

use super::{
    endpoints::{self, CHANGED_AT_ANNOTATION},
    slices::{self, MANAGER_LABEL},
};
use crate::{
    names, owners,
    plan::Plan,
    world::{Shift, World},
};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";

/// What programs that elect a leader keep in Endpoints, which then list nobody.
const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// The first slot of slices with IPv6 addresses: a slice's name must not pass to one of the other sort.
const IPV6_SLOT: u64 = 1 << 32;

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    // Without them their slices go as their dependents.
    let Some(Endpoints { metadata: Some(meta), subsets }) = world.get(key) else { return plan };
    if meta.uid.is_empty() || meta.deletion_timestamp.is_some() {
        return plan;
    }
    let wanted = if is_mirrored(world, meta) { wanted(meta, subsets) } else { BTreeMap::new() };
    slices::settle(world, &meta.namespace, slices::kept(world, &meta.uid, MANAGER), wanted, &mut plan);
    plan
}

pub(crate) fn concerns(_: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Endpoints>() {
        look(key.clone());
    }
    let mut of =
        |service: &Key| look(Key::namespaced(Kind::Endpoints, service.namespace.clone(), service.name.clone()));
    if let Some(service) = shift.key_of::<Service>() {
        of(service);
    }
    let own = shift.states::<EndpointSlice>().filter(|slice| slices::is_kept_by(slice, MANAGER));
    own.filter_map(slices::service_of).for_each(|service| of(&service));
}

/// Whether Endpoints are a user's, and those of a Service that asks for them.
fn is_mirrored(world: &World, meta: &ObjectMeta) -> bool {
    let skipped = meta.labels.get(SKIP_MIRROR_LABEL).is_some_and(|skip| skip == "true");
    if skipped || meta.annotations.contains_key(LEADER_ANNOTATION) || endpoints::is_kept(meta) {
        return false;
    }
    let service = world.named::<Service>(&meta.namespace, &meta.name);
    let spec = service.and_then(|service| service.spec.as_ref());
    spec.is_some_and(|spec| spec.selector.is_empty())
}

/// What the endpoints of a slice have in common: whether their addresses are IPv6, and their ports.
type Sort<'a> = (bool, Vec<(&'a str, i32, &'a str, Option<&'a str>)>);

/// The slices that there should be, by name.
fn wanted(meta: &ObjectMeta, subsets: &[EndpointSubset]) -> BTreeMap<String, EndpointSlice> {
    let mut slices = BTreeMap::new();
    let mut next = [0, IPV6_SLOT];
    for ((is_ipv6, _), (ports, endpoints)) in sorted(subsets) {
        let endpoints: Vec<Endpoint> = endpoints.into_values().collect();
        for endpoints in endpoints.chunks(ENDPOINTS_MAX) {
            let slot = &mut next[usize::from(is_ipv6)];
            let name = names::child(&meta.name, &meta.uid, *slot);
            *slot += 1;
            let address_type = if is_ipv6 { "IPv6" } else { "IPv4" }.to_owned();
            let metadata = Some(metadata(meta, name.clone()));
            let (ports, endpoints) = (ports.clone(), endpoints.to_vec());
            slices.insert(name, EndpointSlice { metadata, endpoints, ports, address_type });
        }
    }
    slices
}

/// The ports of some endpoints, and the endpoints by their addresses.
type Group = (Vec<EndpointPort>, BTreeMap<IpAddr, Endpoint>);

/// All endpoints by what they have in common. An address that is listed twice is ready if it is so once.
fn sorted(subsets: &[EndpointSubset]) -> BTreeMap<Sort<'_>, Group> {
    let mut groups = BTreeMap::new();
    for ready in [true, false] {
        for subset in subsets {
            let addresses = if ready { &subset.addresses } else { &subset.not_ready_addresses };
            for address in addresses {
                let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
                let numbers = subset.ports.iter();
                let numbers = numbers
                    .map(|port| (port.name.as_str(), port.port, port.protocol.as_str(), port.app_protocol.as_deref()));
                let group: &mut Group =
                    groups.entry((ip.is_ipv6(), numbers.collect())).or_insert_with(|| (ports(subset), BTreeMap::new()));
                group.1.entry(ip).or_insert_with(|| endpoint(address, ip, ready));
            }
        }
    }
    groups
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let port = |port: &api::core_v1::EndpointPort| EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() }),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    };
    subset.ports.iter().map(port).collect()
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: Some(address.hostname.clone()).filter(|hostname| !hostname.is_empty()),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        ..Endpoint::default()
    }
}

fn metadata(endpoints: &ObjectMeta, name: String) -> ObjectMeta {
    let mut labels = endpoints.labels.clone();
    labels.insert(SERVICE_NAME_LABEL.to_owned(), endpoints.name.clone());
    labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.annotations.clone();
    annotations.retain(|key, _| ![CHANGED_AT_ANNOTATION, LAST_APPLIED_ANNOTATION].contains(&key.as_str()));
    ObjectMeta {
        generate_name: format!("{}-", endpoints.name),
        name,
        namespace: endpoints.namespace.clone(),
        labels,
        annotations,
        owner_references: vec![owners::controller_reference(Kind::Endpoints, endpoints)],
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
