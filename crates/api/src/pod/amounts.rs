//! What a whole Pod asks for and may use, of every resource that its containers name.

use std::collections::BTreeMap;

use super::is_sidecar;
use crate::{
    core_v1::{Container, PodSpec, ResourceRequirements},
    meta_v1,
    quantity::Quantity,
};

/// Amounts by resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// What a Pod may say for all of its containers together.
const OF_WHOLE_PODS: [&str; 2] = ["cpu", "memory"];

type List = BTreeMap<String, meta_v1::Quantity>;

/// Which of both lists of a container is meant.
type Side = fn(&ResourceRequirements) -> &List;

/// What it asks for: the containers together, or the greatest init container with the sidecars started before it if that is
/// more; or what it says for all of them.
#[must_use]
pub fn requests(spec: &PodSpec) -> Amounts {
    total(spec, |resources| &resources.requests)
}

/// What it may use, in the same way.
#[must_use]
pub fn limits(spec: &PodSpec) -> Amounts {
    total(spec, |resources| &resources.limits)
}

/// As [`requests`], with what the sandbox itself costs.
#[must_use]
pub fn requests_with_overhead(spec: &PodSpec) -> Amounts {
    let mut requests = requests(spec);
    add(&mut requests, &read(&spec.overhead));
    requests
}

/// As [`limits`], with what the sandbox itself costs of what is limited.
#[must_use]
pub fn limits_with_overhead(spec: &PodSpec) -> Amounts {
    let mut limits = limits(spec);
    let mut overhead = read(&spec.overhead);
    overhead.retain(|name, _| limits.get(name).is_some_and(|limit| !limit.is_zero()));
    add(&mut limits, &overhead);
    limits
}

/// Whether it says something for all of its containers together.
#[must_use]
pub fn are_of_whole(spec: &PodSpec) -> bool {
    let lists = spec.resources.iter().flat_map(|resources| [&resources.requests, &resources.limits]);
    lists.flat_map(BTreeMap::keys).any(|name| OF_WHOLE_PODS.contains(&name.as_str()))
}

/// The amounts of a list; what cannot be read is left out.
#[must_use]
pub fn read(list: &List) -> Amounts {
    list.iter().filter_map(|(name, text)| Some((name.clone(), Quantity::try_from(text).ok()?))).collect()
}

/// Adds each amount to that of the same resource.
pub fn add(sum: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = *entry + *amount;
    }
}

fn total(spec: &PodSpec, side: Side) -> Amounts {
    let own = |container: &Container| container.resources.as_ref().map(|own| read(side(own))).unwrap_or_default();
    let mut running = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut running, &own(container)));
    let (mut sidecars, mut initial) = (Amounts::new(), Amounts::new());
    for container in &spec.init_containers {
        let own = own(container);
        if is_sidecar(container) {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            most(&mut initial, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, &own);
            most(&mut initial, &together);
        }
    }
    most(&mut running, &initial);
    if let Some(of_whole) = &spec.resources {
        let mut said = read(side(of_whole));
        said.retain(|name, _| OF_WHOLE_PODS.contains(&name.as_str()));
        running.extend(said);
    }
    running
}

/// Keeps of each resource the greater amount.
fn most(sum: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match sum.get_mut(name) {
            Some(known) if *known >= *amount => {}
            Some(known) => *known = *amount,
            None => _ = sum.insert(name.clone(), *amount),
        }
    }
}
