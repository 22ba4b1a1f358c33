//! What Pods use.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Amounts;
use crate::{
    Timestamp,
    core_v1::{Pod, PodSpec, ResourceRequirements},
    pod::{self, amounts},
    quantity::Quantity,
    resources::{LIMITS_PREFIX, OFFERED, REQUESTS_PREFIX, is_extended, is_huge_pages},
};

/// Where a quota limits one of these, every container must say its own amount. In Kubernetes this counts as a mistake that it is
/// too late to undo.
const TO_BE_SAID: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// Whether what the Pod asks for is still taken: not if it has ended, or should have been stopped by now.
#[must_use]
pub fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    let deleted = pod.metadata.as_ref().and_then(|meta| {
        let at = Timestamp::from(meta.deletion_timestamp.as_ref()?);
        let grace_period_s = u64::try_from(meta.deletion_grace_period_seconds?).unwrap_or_default();
        Some(at.after(Duration::from_secs(grace_period_s)))
    });
    !pod::is_terminal(pod) && deleted.is_none_or(|stopped| now <= stopped)
}

/// What a Pod uses beside being an object.
pub(super) fn usage(pod: &Pod, now: Timestamp) -> Amounts {
    let Some(spec) = pod.spec.as_ref().filter(|_| is_charged(pod, now)) else { return Amounts::new() };
    named(&amounts::requests_with_overhead(spec), &amounts::limits_with_overhead(spec))
}

/// Amounts by the names that quotas have for them.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), Quantity::from_whole(1))]);
    for name in OFFERED {
        if let Some(request) = requests.get(name) {
            used.insert(name.to_owned(), *request);
            used.insert(format!("{REQUESTS_PREFIX}{name}"), *request);
        }
        used.extend(limits.get(name).map(|limit| (format!("{LIMITS_PREFIX}{name}"), *limit)));
    }
    for (name, request) in requests {
        if is_huge_pages(name) {
            used.insert(name.clone(), *request);
        }
        if is_huge_pages(name) || is_extended(name) {
            used.insert(format!("{REQUESTS_PREFIX}{name}"), *request);
        }
    }
    used
}

/// What containers must say because a quota limits it, and do not.
pub(super) fn unsaid<'a>(spec: &PodSpec, limited: impl Iterator<Item = &'a str>) -> Option<String> {
    if amounts::are_of_whole(spec) {
        return None;
    }
    let wanted: BTreeSet<&str> = limited.filter(|name| TO_BE_SAID.contains(name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let nothing = ResourceRequirements::default();
    for container in spec.containers.iter().chain(&spec.init_containers).filter(|_| !wanted.is_empty()) {
        let own = container.resources.as_ref().unwrap_or(&nothing);
        let said = named(&amounts::read(&own.requests), &amounts::read(&own.limits));
        for name in wanted.iter().filter(|name| !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(&container.name);
        }
    }
    let told = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
}
