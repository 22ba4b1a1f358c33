//! Which objects a quota counts.

use crate::{
    Object,
    core_v1::{Pod, PodAffinityTerm, PodSpec, ResourceQuota, ScopedResourceSelectorRequirement},
    pod,
    resources::Scope,
};

/// Whether a quota counts only some objects.
pub(super) fn are_any(quota: &ResourceQuota) -> bool {
    let Some(spec) = &quota.spec else { return false };
    let selector = spec.scope_selector.as_ref();
    !spec.scopes.is_empty() || selector.is_some_and(|selector| !selector.match_expressions.is_empty())
}

/// Whether an object is among those that a quota counts. Scopes tell Pods apart, and nothing else.
pub(super) fn hold(quota: &ResourceQuota, object: &Object) -> bool {
    let Some(spec) = &quota.spec else { return true };
    let pod = object.get::<Pod>().and_then(|pod| pod.spec.as_ref());
    let expressions = spec.scope_selector.iter().flat_map(|selector| &selector.match_expressions);
    spec.scopes.iter().all(|scope| pod.is_some_and(|pod| holds(scope, &Values::Any, pod)))
        && expressions
            .into_iter()
            .all(|expression| pod.is_some_and(|pod| holds(&expression.scope_name, &Values::of(expression), pod)))
}

/// Whether a change of a Pod can move it from one quota to another.
pub(super) fn is_terminating(spec: &PodSpec) -> bool {
    spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0)
}

/// Which values a scope may have.
enum Values<'a> {
    /// It must have one.
    Any,
    /// It must have none.
    None,
    /// One of these.
    In(&'a [String]),
    /// None of these, if it has one.
    NotIn(&'a [String]),
}

impl<'a> Values<'a> {
    fn of(expression: &'a ScopedResourceSelectorRequirement) -> Self {
        match expression.operator.as_str() {
            "In" => Self::In(&expression.values),
            "NotIn" => Self::NotIn(&expression.values),
            "DoesNotExist" => Self::None,
            _ => Self::Any,
        }
    }

    fn admit(&self, value: &str) -> bool {
        let is_one_of = |values: &[String]| values.iter().any(|known| known == value);
        match self {
            Self::Any => !value.is_empty(),
            Self::None => value.is_empty(),
            Self::In(values) => !value.is_empty() && is_one_of(values),
            Self::NotIn(values) => value.is_empty() || !is_one_of(values),
        }
    }
}

fn holds(scope: &str, values: &Values<'_>, spec: &PodSpec) -> bool {
    let is_best_effort = || pod::qos_class(spec) == "BestEffort";
    match Scope::of(scope) {
        Some(Scope::Terminating) => is_terminating(spec),
        Some(Scope::NotTerminating) => !is_terminating(spec),
        Some(Scope::BestEffort) => is_best_effort(),
        Some(Scope::NotBestEffort) => !is_best_effort(),
        Some(Scope::PriorityClass) => values.admit(&spec.priority_class_name),
        Some(Scope::CrossNamespacePodAffinity) => looks_elsewhere(spec),
        Some(Scope::VolumeAttributesClass) | None => false,
    }
}

/// Whether an affinity of the Pod looks at Pods of other namespaces.
fn looks_elsewhere(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let elsewhere = |term: &PodAffinityTerm| !term.namespaces.is_empty() || term.namespace_selector.is_some();
    let near = affinity.pod_affinity.iter().map(|near| {
        (
            &near.required_during_scheduling_ignored_during_execution,
            &near.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let apart = affinity.pod_anti_affinity.iter().map(|apart| {
        (
            &apart.required_during_scheduling_ignored_during_execution,
            &apart.preferred_during_scheduling_ignored_during_execution,
        )
    });
    near.chain(apart).any(|(required, preferred)| {
        let preferred = preferred.iter().filter_map(|wish| wish.pod_affinity_term.as_ref());
        required.iter().chain(preferred).any(elsewhere)
    })
}
