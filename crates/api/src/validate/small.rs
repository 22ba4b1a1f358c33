//! Namespaces, Nodes, Events and Leases.

use prost::Message as _;

use super::{
    causes::{Causes, Path},
    limits::{
        CONDITIONS_MAX, EVENT_BYTES_MAX, FINALIZERS_MAX, IMAGES_MAX, NODE_STATUS_BYTES_MAX, SMALL_LIST_MAX, TAINTS_MAX,
    },
    names, resources,
};
use crate::{
    Object,
    coordination_v1::Lease,
    core_v1::{Event, Namespace, Node, Taint},
};

/// What a taint does to Pods that do not tolerate it.
pub(super) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// The longest message of an event of the new style (with `eventTime`), in bytes.
const EVENT_MESSAGE_BYTES_MAX: usize = crate::event::MESSAGE_BYTES_MAX;
/// The longest reason of an event of the new style, in bytes.
const EVENT_REASON_BYTES_MAX: usize = 128;

pub(super) fn namespace(causes: &mut Causes, namespace: &Namespace) {
    let at = Path::Root.field("spec");
    let at = at.field("finalizers");
    let names = namespace.spec.as_ref().map(|spec| spec.finalizers.as_slice()).unwrap_or_default();
    let few = causes.at_most(&at, names.len(), FINALIZERS_MAX);
    for (index, name) in names.iter().enumerate().filter(|_| few) {
        causes.syntax(&at.index(index), name, names::qualified);
        if !name.contains('/') && name != crate::defaults::NAMESPACE_FINALIZER {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.invalid(&at.index(index), name, why);
        }
    }
}

pub(super) fn namespace_status(causes: &mut Causes, namespace: &Namespace) {
    let count = namespace.status.as_ref().map_or(0, |status| status.conditions.len());
    causes.at_most(&Path::Root.field("status").field("conditions"), count, CONDITIONS_MAX);
}

pub(super) fn finalizers(causes: &mut Causes, object: &Object) {
    match object.get::<Namespace>() {
        Some(found) => namespace(causes, found),
        None => causes.forbidden(&Path::Root.field("spec"), "only a Namespace has spec.finalizers"),
    }
}

pub(super) fn node(causes: &mut Causes, node: &Node) {
    let Some(spec) = &node.spec else { return };
    let at = Path::Root.field("spec");
    taints(causes, &spec.taints, &at.field("taints"));
    let few = causes.at_most(&at.field("podCIDRs"), spec.pod_cidrs.len(), 2);
    for (index, range) in spec.pod_cidrs.iter().enumerate().filter(|_| few) {
        if !is_cidr(range) {
            let why = "must be an address range in CIDR form (e.g. '10.9.8.0/24')";
            causes.invalid(&at.field("podCIDRs").index(index), range, why);
        }
    }
    if spec.pod_cidrs.first().is_some_and(|first| *first != spec.pod_cidr) {
        causes.invalid(&at.field("podCIDR"), &spec.pod_cidr, "must be the first of podCIDRs");
    }
    node_status(causes, node);
}

pub(super) fn node_status(causes: &mut Causes, node: &Node) {
    let Some(status) = &node.status else { return };
    let at = Path::Root.field("status");
    if status.encoded_len() > NODE_STATUS_BYTES_MAX {
        causes.too_long(&at, NODE_STATUS_BYTES_MAX);
    }
    for (field, count, count_max) in [
        ("conditions", status.conditions.len(), CONDITIONS_MAX),
        ("addresses", status.addresses.len(), SMALL_LIST_MAX),
        ("images", status.images.len(), IMAGES_MAX),
    ] {
        causes.at_most(&at.field(field), count, count_max);
    }
    resources::list(causes, &status.capacity, &at.field("capacity"));
    resources::list(causes, &status.allocatable, &at.field("allocatable"));
}

pub(super) fn update_node(causes: &mut Causes, old: &Node, new: &Node) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    let at = Path::Root.field("spec");
    for (field, old, new) in
        [("podCIDR", &old.pod_cidr, &new.pod_cidr), ("providerID", &old.provider_id, &new.provider_id)]
    {
        if !old.is_empty() && old != new {
            causes.forbidden(&at.field(field), "may not change once set");
        }
    }
}

fn taints(causes: &mut Causes, taints: &[Taint], at: &Path<'_>) {
    let few = causes.at_most(at, taints.len(), TAINTS_MAX);
    for (index, taint) in taints.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        causes.required_syntax(&at.field("key"), &taint.key, names::qualified);
        causes.syntax(&at.field("value"), &taint.value, names::label_value);
        causes.required_one_of(&at.field("effect"), &taint.effect, &TAINT_EFFECTS);
        let same = |other: &&Taint| other.key == taint.key && other.effect == taint.effect;
        if taints[..index].iter().any(|other| same(&other)) {
            causes.duplicate(&at, &format!("{}:{}", taint.key, taint.effect));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let bits_max = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

pub(super) fn event(causes: &mut Causes, event: &Event) {
    if event.encoded_len() > EVENT_BYTES_MAX {
        causes.too_long(&Path::Root, EVENT_BYTES_MAX);
    }
    let at = Path::Root.field("involvedObject");
    let Some(about) = &event.involved_object else { return causes.required(&at, "") };
    let own = event.metadata.as_ref().map_or("", |meta| &meta.namespace);
    let theirs = if about.namespace.is_empty() { "default" } else { &about.namespace };
    // Events on objects without a namespace may also be kept with the system's.
    if own != theirs && !(about.namespace.is_empty() && own == "kube-system") {
        causes.invalid(&at.field("namespace"), &about.namespace, "does not match event.namespace");
    }
    if event.event_time.is_some() {
        causes.one_of(&Path::Root.field("type"), &event.r#type, &["Normal", "Warning"]);
        causes.required_syntax(&Path::Root.field("reportingController"), &event.reporting_component, names::qualified);
        limit(causes, "reason", &event.reason, EVENT_REASON_BYTES_MAX);
        limit(causes, "message", &event.message, EVENT_MESSAGE_BYTES_MAX);
    }
}

fn limit(causes: &mut Causes, field: &'static str, text: &str, bytes_max: usize) {
    if text.len() > bytes_max {
        causes.too_long(&Path::Root.field(field), bytes_max);
    }
}

pub(super) fn lease(causes: &mut Causes, lease: &Lease) {
    let Some(spec) = &lease.spec else { return };
    let at = Path::Root.field("spec");
    if let Some(seconds @ ..=0) = spec.lease_duration_seconds {
        causes.invalid(&at.field("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(transitions) = spec.lease_transitions {
        causes.not_negative(&at.field("leaseTransitions"), transitions.into());
    }
}
