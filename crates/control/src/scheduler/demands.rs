//! What a Pod demands of a node, worked out once before the nodes are looked at.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    core_v1::{
        Affinity, Namespace, Node, NodeAffinity, Pod, PodAffinityTerm, PodSpec, TopologySpreadConstraint,
        WeightedPodAffinityTerm,
    },
    kinds::Resource,
    meta_v1::LabelSelector,
    pod::{self, Resources, amounts},
    quantity::Quantity,
    resources,
    selector::Labels,
};

use super::selector;
use crate::world::{World, owner_of};

/// What a Pod demands of a node.
pub(super) struct Demands<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) requests: Resources,
    /// What others than Kubernetes have named, and every node has that has enough of it left.
    pub(super) devices: Vec<Device>,
    /// The controller, whose Pods are kept apart.
    pub(super) owner: Option<&'a str>,
    pub(super) spread: Vec<Spread<'a>>,
    /// Where Pods must be that this one wants to be near.
    pub(super) near: Vec<Domains<'a>>,
    /// Where Pods are that this one must not be near.
    pub(super) apart: Vec<Domains<'a>>,
    /// Where Pods are that this one would like to be near (or, if negative, away from), and how much.
    pub(super) likes: Vec<(i64, Domains<'a>)>,
}

/// A resource that others than Kubernetes have named, such as a device, of which the Pod asks for some.
pub(super) struct Device {
    pub(super) name: String,
    /// The nodes with enough of it.
    pub(super) on: BTreeSet<String>,
}

/// One limit on how unevenly Pods may be spread.
pub(super) struct Spread<'a> {
    pub(super) key: &'a str,
    pub(super) skew_max: u64,
    /// Whether it is a limit or only a wish.
    pub(super) strict: bool,
    /// Matching Pods in each domain.
    pub(super) counts: BTreeMap<String, u64>,
    /// One if the Pod itself counts.
    pub(super) own: u64,
}

/// The parts of the cluster in which some Pods are.
pub(super) struct Domains<'a> {
    pub(super) key: &'a str,
    pub(super) values: BTreeSet<String>,
    /// There are none such Pods but the Pod itself is one: then any part will do, or the first could never start.
    pub(super) anywhere: bool,
}

impl<'a> Demands<'a> {
    pub(super) fn of(world: &World, pod: &'a Pod, spec: &'a PodSpec) -> Self {
        let affinity = spec.affinity.as_ref();
        let (near, apart) = required(affinity);
        let domains = |term: &'a PodAffinityTerm| Domains::of(world, pod, term);
        let weighted = preferred(affinity).into_iter();
        let likes = weighted.filter_map(|(sign, like)| {
            Some((sign * i64::from(like.weight), domains(like.pod_affinity_term.as_ref()?)))
        });
        Self {
            pod,
            spec,
            requests: pod::requests(pod),
            devices: Device::all(world, spec),
            owner: owner_of(pod),
            spread: spec.topology_spread_constraints.iter().map(|limit| Spread::of(world, pod, spec, limit)).collect(),
            near: near.iter().map(domains).collect(),
            apart: apart.iter().map(|term| Domains { anywhere: false, ..domains(term) }).collect(),
            likes: likes.collect(),
        }
    }

    pub(super) fn node_affinity(&self) -> Option<&'a NodeAffinity> {
        self.spec.affinity.as_ref()?.node_affinity.as_ref()
    }
}

fn required(affinity: Option<&Affinity>) -> (&[PodAffinityTerm], &[PodAffinityTerm]) {
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    (
        near.map_or(&[], |near| &near.required_during_scheduling_ignored_during_execution),
        apart.map_or(&[], |apart| &apart.required_during_scheduling_ignored_during_execution),
    )
}

/// What is liked, with 1, and disliked, with -1.
fn preferred(affinity: Option<&Affinity>) -> Vec<(i64, &WeightedPodAffinityTerm)> {
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let likes = near.into_iter().flat_map(|near| &near.preferred_during_scheduling_ignored_during_execution);
    let dislikes = apart.into_iter().flat_map(|apart| &apart.preferred_during_scheduling_ignored_during_execution);
    likes.map(|term| (1, term)).chain(dislikes.map(|term| (-1, term))).collect()
}

impl Device {
    fn all(world: &World, spec: &PodSpec) -> Vec<Self> {
        let mut wanted = amounts::requests(spec);
        wanted.retain(|name, amount| resources::is_extended(name) && !amount.is_zero());
        wanted.into_iter().map(|(name, amount)| Self::of(world, name, amount)).collect()
    }

    /// Only on nodes that have such a thing it is looked what the Pods there take of it.
    fn of(world: &World, name: String, amount: Quantity) -> Self {
        let has_room = |node: &&Node| {
            let room = node.status.as_ref().and_then(|status| Quantity::try_from(status.allocatable.get(&name)?).ok());
            room.is_some_and(|room| taken(world, node, &name) + amount <= room)
        };
        let on = world.nodes().filter(has_room).map(|node| node.name().to_owned()).collect();
        Self { name, on }
    }
}

fn taken(world: &World, node: &Node, name: &str) -> Quantity {
    let pods = world.pods_on(node.name()).filter(|pod| !pod::is_terminal(pod));
    let of_pod = |pod: &Pod| amounts::requests(pod.spec.as_ref()?).get(name).copied();
    pods.filter_map(of_pod).fold(Quantity::ZERO, |sum, amount| sum + amount)
}

impl<'a> Spread<'a> {
    fn of(world: &World, pod: &Pod, spec: &PodSpec, constraint: &'a TopologySpreadConstraint) -> Self {
        let key = constraint.topology_key.as_str();
        let pods = Labels::from_optional(constraint.label_selector.as_ref()).unwrap_or_else(|_| Labels::nothing());
        let eligible = world.nodes().filter(|node| selector::is_selected(spec, node));
        let mut counts: BTreeMap<String, u64> =
            eligible.filter_map(|node| Some((selector::label(node, key)?.to_owned(), 0))).collect();
        for other in world.pods_matching(pod.namespace(), &pods).filter(|other| pod::is_active(other)) {
            if let Some(count) = domain_of(world, other, key).and_then(|domain| counts.get_mut(domain)) {
                *count += 1;
            }
        }
        Self {
            key,
            skew_max: u64::try_from(constraint.max_skew).unwrap_or(1).max(1),
            strict: constraint.when_unsatisfiable != "ScheduleAnyway",
            counts,
            own: is_meant(&pods, pod).into(),
        }
    }

    /// How uneven it would be with the Pod on a node; nothing, if the node is in no domain that counts.
    pub(super) fn skew_on(&self, node: &Node) -> Option<u64> {
        let count = self.counts.get(selector::label(node, self.key)?)?;
        Some((count + self.own).saturating_sub(*self.counts.values().min()?))
    }
}

impl<'a> Domains<'a> {
    fn of(world: &World, pod: &Pod, term: &'a PodAffinityTerm) -> Self {
        let key = term.topology_key.as_str();
        let pods = Labels::from_optional(term.label_selector.as_ref()).unwrap_or_else(|_| Labels::nothing());
        let mut values = BTreeSet::new();
        for namespace in namespaces(world, pod, term) {
            let meant = world.pods_matching(&namespace, &pods).filter(|other| pod::is_active(other));
            values.extend(meant.filter_map(|other| domain_of(world, other, key)).map(ToOwned::to_owned));
        }
        let anywhere = values.is_empty() && is_meant(&pods, pod);
        Self { key, values, anywhere }
    }

    pub(super) fn hold(&self, node: &Node) -> bool {
        let Some(domain) = selector::label(node, self.key) else { return false };
        self.anywhere || self.values.contains(domain)
    }
}

/// Where a term looks for Pods: where it says, and in the Pod's own namespace if it says nothing.
fn namespaces(world: &World, pod: &Pod, term: &PodAffinityTerm) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = term.namespaces.iter().cloned().collect();
    if let Some(selector) = &term.namespace_selector {
        names.extend(selected_namespaces(world, selector));
    } else if names.is_empty() {
        names.insert(pod.namespace().to_owned());
    }
    names
}

fn selected_namespaces(world: &World, selector: &LabelSelector) -> Vec<String> {
    let Ok(selector) = Labels::from_selector(selector) else { return Vec::new() };
    let labelled =
        |namespace: &&Namespace| namespace.metadata.as_ref().is_some_and(|meta| selector.matches(&meta.labels));
    world.all::<Namespace>().filter(labelled).map(|namespace| namespace.name().to_owned()).collect()
}

fn is_meant(pods: &Labels, pod: &Pod) -> bool {
    pod::is_active(pod) && pod.metadata.as_ref().is_some_and(|meta| pods.matches(&meta.labels))
}

/// The part of the cluster in which a Pod is.
fn domain_of<'a>(world: &'a World, pod: &Pod, key: &str) -> Option<&'a str> {
    selector::label(world.node_of(pod)?, key)
}

/// Whether a Pod's wishes for nodes mean this one, and how much.
pub(super) fn preference(demands: &Demands<'_>, node: &Node) -> i64 {
    let nodes = demands.node_affinity().into_iter();
    let nodes = nodes.flat_map(|affinity| &affinity.preferred_during_scheduling_ignored_during_execution);
    let meant = nodes.filter(|wish| wish.preference.as_ref().is_some_and(|term| selector::term_matches(term, node)));
    let likes = demands.likes.iter().filter(|(_, domains)| domains.hold(node));
    meant.map(|wish| i64::from(wish.weight)).sum::<i64>() + likes.map(|(weight, _)| weight).sum::<i64>()
}
