//! Endpoints: what the EndpointSlices of a Service say, as one object, for whoever reads nothing newer.
//!
//! Each Service with a selector has one of its own name, which goes with it. Those of Services without selector are their
//! users'; see `endpoint_slice_mirroring`.

use std::{collections::BTreeMap, net::IpAddr};

use api::{
    Key, Kind, Propagation, Timestamp,
    core_v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service, ServiceSpec},
    discovery_v1::{Endpoint, EndpointSlice},
    meta_v1::ObjectMeta,
    validate::limits::SMALL_LIST_MAX,
};

use super::{endpoint_slice, slices};
use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// Says that this controller keeps the object.
const MANAGER_LABEL: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// Says that addresses were left out, because there are too many for one object.
const OVER_CAPACITY_ANNOTATION: &str = "endpoints.kubernetes.io/over-capacity";
const TRUNCATED: &str = "truncated";

/// When the Pods changed because of which the object did. Slices do not tell that, so it is taken away.
pub(super) const CHANGED_AT_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The most addresses of one Endpoints object, as in Kubernetes: it is written as a whole whenever one of them changes.
const LISTED_MAX: usize = 1_000;

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let present = world.named::<Endpoints>(&key.namespace, &key.name);
    if let Some(Service { metadata: Some(meta), spec: Some(spec), .. }) = world.get(key) {
        let leaves = meta.deletion_timestamp.is_some() || world.is_closing(&meta.namespace);
        if leaves || spec.selector.is_empty() || meta.uid.is_empty() {
            return plan;
        }
        if spec.r#type != "ExternalName" {
            keep(world, meta, spec, present, &mut plan);
            return plan;
        }
    }
    if let Some(stale) = present.filter(|present| present.metadata.as_ref().is_some_and(is_stale)) {
        plan.delete_object(&stale.clone().into(), Propagation::Background);
    }
    plan
}

pub(crate) fn concerns(_: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Service>() {
        look(key.clone());
    }
    if let Some(key) = shift.key_of::<Endpoints>() {
        look(Key::namespaced(Kind::Service, key.namespace.clone(), key.name.clone()));
    }
    shift.states().filter_map(slices::service_of).for_each(look);
}

/// Whether this controller keeps an object; others are their users'.
pub(super) fn is_kept(meta: &ObjectMeta) -> bool {
    meta.labels.get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER)
}

fn is_stale(meta: &ObjectMeta) -> bool {
    is_kept(meta) && meta.deletion_timestamp.is_none()
}

/// Makes the Endpoints of a Service as its slices are.
fn keep(world: &World, service: &ObjectMeta, spec: &ServiceSpec, present: Option<&Endpoints>, plan: &mut Plan) {
    let slices = slices::kept(world, &service.uid, endpoint_slice::MANAGER);
    let mut subsets = subsets(spec, slices);
    let is_truncated = truncate(&mut subsets);
    let mut metadata = metadata(present, &service.namespace, &service.name);
    metadata.labels = slices::labels(service, spec);
    metadata.labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    metadata.annotations.remove(CHANGED_AT_ANNOTATION);
    if is_truncated {
        metadata.annotations.insert(OVER_CAPACITY_ANNOTATION.to_owned(), TRUNCATED.to_owned());
    } else {
        metadata.annotations.remove(OVER_CAPACITY_ANNOTATION);
    }
    settle(present, Endpoints { metadata: Some(metadata), subsets }, plan);
}

/// What an object says of itself so far; of a new one, its name.
pub(super) fn metadata(present: Option<&Endpoints>, namespace: &str, name: &str) -> ObjectMeta {
    let own = present.and_then(|present| present.metadata.clone());
    let (name, namespace) = (name.to_owned(), namespace.to_owned());
    own.unwrap_or_else(|| ObjectMeta { name, namespace, ..ObjectMeta::default() })
}

/// Makes an object as it is wanted, unless it is being deleted.
pub(super) fn settle(present: Option<&Endpoints>, wanted: Endpoints, plan: &mut Plan) {
    let leaves = wanted.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some());
    match present {
        None => _ = plan.create(wanted),
        Some(present) if leaves || *present == wanted => {}
        Some(_) => _ = plan.update(wanted),
    }
}

/// The endpoints of slices, together where they have the same ports, in the order of their addresses.
fn subsets<'a>(spec: &ServiceSpec, slices: impl Iterator<Item = &'a EndpointSlice>) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<Vec<(&str, i32)>, EndpointSubset> = BTreeMap::new();
    // Pods that have none of a Service's ports are no endpoints of it.
    for slice in slices.filter(|slice| spec.ports.is_empty() || !slice.ports.is_empty()) {
        let numbers = slice.ports.iter().map(|port| (port.name(), port.port())).collect();
        let subset = by_ports.entry(numbers).or_insert_with(|| with_ports(slice));
        slice.endpoints.iter().for_each(|endpoint| add(subset, endpoint));
    }
    let has_any = |subset: &EndpointSubset| !subset.addresses.is_empty() || !subset.not_ready_addresses.is_empty();
    let mut subsets: Vec<EndpointSubset> = by_ports.into_values().filter(has_any).collect();
    for addresses in subsets.iter_mut().flat_map(|subset| [&mut subset.addresses, &mut subset.not_ready_addresses]) {
        addresses.sort_by_cached_key(|address| address.ip.parse::<IpAddr>().ok());
    }
    subsets
}

/// No addresses, with the ports of a slice.
fn with_ports(slice: &EndpointSlice) -> EndpointSubset {
    let port = |port: &api::discovery_v1::EndpointPort| EndpointPort {
        name: port.name().to_owned(),
        port: port.port(),
        protocol: port.protocol().to_owned(),
        app_protocol: port.app_protocol.clone(),
    };
    EndpointSubset { ports: slice.ports.iter().map(port).collect(), ..EndpointSubset::default() }
}

/// Pods that are being stopped are left out, unless the Service wants all of them.
fn add(subset: &mut EndpointSubset, endpoint: &Endpoint) {
    let conditions = endpoint.conditions.unwrap_or_default();
    let addresses = match (conditions.ready(), conditions.terminating()) {
        (true, _) => &mut subset.addresses,
        (false, false) => &mut subset.not_ready_addresses,
        (false, true) => return,
    };
    addresses.extend(endpoint.addresses.first().map(|ip| EndpointAddress {
        ip: ip.clone(),
        target_ref: endpoint.target_ref.clone(),
        hostname: endpoint.hostname.clone().unwrap_or_default(),
        node_name: endpoint.node_name.clone(),
    }));
}

/// Leaves out what is too much for one object: Pods that are not ready before those that are, of each subset a like part.
/// Says whether anything was.
fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let before = count(subsets, |subset| subset.addresses.len() + subset.not_ready_addresses.len());
    subsets.truncate(SMALL_LIST_MAX);
    let ready = count(subsets, |subset| subset.addresses.len());
    shorten(subsets.iter_mut().map(|subset| &mut subset.addresses), LISTED_MAX);
    let room = LISTED_MAX.saturating_sub(ready);
    shorten(subsets.iter_mut().map(|subset| &mut subset.not_ready_addresses), room);
    subsets.retain(|subset| !subset.addresses.is_empty() || !subset.not_ready_addresses.is_empty());
    count(subsets, |subset| subset.addresses.len() + subset.not_ready_addresses.len()) < before
}

fn count(subsets: &[EndpointSubset], of: impl Fn(&EndpointSubset) -> usize) -> usize {
    subsets.iter().map(of).sum()
}

/// Shortens lists to so many addresses together, each in proportion to its length.
fn shorten<'a>(lists: impl Iterator<Item = &'a mut Vec<EndpointAddress>>, most: usize) {
    let lists: Vec<&mut Vec<EndpointAddress>> = lists.collect();
    let all = lists.iter().map(|list| list.len()).sum::<usize>().max(1);
    let mut left = most;
    for list in lists {
        list.truncate((list.len() * most).div_ceil(all).min(left));
        left -= list.len();
    }
}

#[cfg(test)]
mod tests;
