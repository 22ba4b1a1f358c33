//! Which nodes a Pod may run on, and why not on the others.

use std::fmt;

use api::{
    conditions,
    core_v1::{Node, PodSpec, Taint},
    kinds::Resource as _,
    pod,
};

use super::{demands::Demands, selector};
use crate::{nodes::UNSCHEDULABLE, world::Load};

/// Why a Pod may not run on a node. In the order in which explanations list them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misfit {
    Cpu,
    Memory,
    Device { name: String },
    Pods,
    Affinity,
    PodAffinity,
    PodAntiAffinity,
    Spread,
    Taint { key: String, value: String },
    NotReady,
    Cordoned,
}

impl fmt::Display for Misfit {
    /// In Kubernetes' words, which users search for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "Insufficient cpu",
            Self::Memory => "Insufficient memory",
            Self::Device { name } => return write!(f, "Insufficient {name}"),
            Self::Pods => "Too many pods",
            Self::Affinity => "node(s) didn't match Pod's node affinity/selector",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::Taint { key, value } => return write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Self::NotReady => "node(s) were not ready",
            Self::Cordoned => "node(s) were unschedulable",
        })
    }
}

/// The effects of taints that keep Pods away.
const REPELLING: [&str; 2] = ["NoSchedule", "NoExecute"];

/// Whether the Pod may run on the node. The first reason counts; of resources all that are missing are named.
pub(super) fn check(demands: &Demands<'_>, node: &Node, load: Option<&Load>) -> Result<(), Vec<Misfit>> {
    let because = |misfit| Err(vec![misfit]);
    if is_cordoned(demands.spec, node) {
        return because(Misfit::Cordoned);
    }
    if let Some(taint) = untolerated(demands.spec, node) {
        return because(Misfit::Taint { key: taint.key.clone(), value: taint.value.clone() });
    }
    if !is_ready(node) {
        return because(Misfit::NotReady);
    }
    if !selector::is_selected(demands.spec, node) {
        return because(Misfit::Affinity);
    }
    let mut missing = missing(demands, load);
    let lacks = demands.devices.iter().filter(|device| !device.on.contains(node.name()));
    missing.extend(lacks.map(|device| Misfit::Device { name: device.name.clone() }));
    if !missing.is_empty() {
        return Err(missing);
    }
    if !demands.near.iter().all(|domains| domains.hold(node)) {
        return because(Misfit::PodAffinity);
    }
    if demands.apart.iter().any(|domains| domains.hold(node)) {
        return because(Misfit::PodAntiAffinity);
    }
    let mut limits = demands.spread.iter().filter(|spread| spread.strict);
    if limits.any(|spread| spread.skew_on(node).is_none_or(|skew| skew > spread.skew_max)) {
        return because(Misfit::Spread);
    }
    Ok(())
}

/// How many taints that would rather not have the Pod it does not tolerate.
pub(super) fn discouragements(spec: &PodSpec, node: &Node) -> usize {
    let discouraging = taints(node).iter().filter(|taint| taint.effect == "PreferNoSchedule");
    discouraging.filter(|taint| !spec.tolerations.iter().any(|toleration| pod::tolerates(toleration, taint))).count()
}

fn is_cordoned(spec: &PodSpec, node: &Node) -> bool {
    let taint = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    let closed = node.spec.as_ref().is_some_and(|spec| spec.unschedulable);
    closed && !spec.tolerations.iter().any(|toleration| pod::tolerates(toleration, &taint))
}

fn untolerated<'a>(spec: &PodSpec, node: &'a Node) -> Option<&'a Taint> {
    pod::untolerated(&spec.tolerations, taints(node), &REPELLING)
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().map_or(&[], |spec| &spec.taints)
}

fn is_ready(node: &Node) -> bool {
    let alive = node.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none());
    alive && node.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::READY))
}

fn missing(demands: &Demands<'_>, load: Option<&Load>) -> Vec<Misfit> {
    let Some(load) = load else { return vec![Misfit::Pods] };
    let total = load.requested + demands.requests;
    let mut missing = Vec::new();
    // Who asks for nothing takes nothing, also from a node that is already promised away.
    if demands.requests.cpu > api::quantity::Millicores::ZERO && total.cpu > load.room.cpu {
        missing.push(Misfit::Cpu);
    }
    if demands.requests.memory > api::quantity::ByteCount::ZERO && total.memory > load.room.memory {
        missing.push(Misfit::Memory);
    }
    if load.running >= load.pods_max {
        missing.push(Misfit::Pods);
    }
    missing
}
