//! The spec of a Pod, alone or in a template.

use std::collections::BTreeSet;

use super::{
    TAINT_EFFECTS,
    causes::{Causes, Path},
    container,
    limits::{CONTAINERS_MAX, SMALL_LIST_MAX, SPREADS_MAX, TAINTS_MAX, TERMS_MAX},
    meta,
    names::{self, Syntax},
    resources, volume,
};
use crate::core_v1::{Container, PodAffinityTerm, PodSpec, Toleration, TopologySpreadConstraint};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

pub(crate) fn spec(causes: &mut Causes, spec: &PodSpec, at: &Path<'_>) {
    refused(causes, spec, at);
    let volumes = volume::volumes(causes, &spec.volumes, &at.field("volumes"));
    containers(causes, spec, &volumes, at);
    causes.required_one_of(&at.field("restartPolicy"), &spec.restart_policy, &RESTART_POLICIES);
    causes.required_one_of(&at.field("dnsPolicy"), &spec.dns_policy, &DNS_POLICIES);
    if let Some(seconds) = spec.termination_grace_period_seconds {
        causes.not_negative(&at.field("terminationGracePeriodSeconds"), seconds);
    }
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        causes.invalid(&at.field("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647, inclusive");
    }
    optional_names(causes, spec, at);
    meta::labels(causes, &spec.node_selector, &at.field("nodeSelector"));
    small_lists(causes, spec, at);
    affinity(causes, spec, &at.field("affinity"));
    tolerations(causes, &spec.tolerations, &at.field("tolerations"));
    spreading(causes, &spec.topology_spread_constraints, &at.field("topologySpreadConstraints"));
    resources::list(causes, &spec.overhead, &at.field("overhead"));
    if let Some(found) = &spec.resources {
        resources::requirements(causes, found, &at.field("resources"));
    }
}

fn small_lists(causes: &mut Causes, spec: &PodSpec, at: &Path<'_>) {
    for (field, count) in [
        ("imagePullSecrets", spec.image_pull_secrets.len()),
        ("hostAliases", spec.host_aliases.len()),
        ("readinessGates", spec.readiness_gates.len()),
        ("schedulingGates", spec.scheduling_gates.len()),
        ("resourceClaims", spec.resource_claims.len()),
    ] {
        causes.at_most(&at.field(field), count, SMALL_LIST_MAX);
    }
}

/// Each term is tried on every node, or on every Pod.
fn affinity(causes: &mut Causes, spec: &PodSpec, at: &Path<'_>) {
    let Some(affinity) = &spec.affinity else { return };
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    if let Some(node) = &affinity.node_affinity {
        let at = at.field("nodeAffinity");
        let terms = node.required_during_scheduling_ignored_during_execution.as_ref();
        let all = terms.map_or(0, |terms| terms.node_selector_terms.len());
        causes.at_most(&at.field(required).field("nodeSelectorTerms"), all, TERMS_MAX);
        let all = node.preferred_during_scheduling_ignored_during_execution.len();
        causes.at_most(&at.field(preferred), all, TERMS_MAX);
        for term in terms.into_iter().flat_map(|terms| &terms.node_selector_terms).take(TERMS_MAX) {
            let all = term.match_expressions.len() + term.match_fields.len();
            causes.at_most(&at.field(required).field("matchExpressions"), all, TERMS_MAX);
        }
    }
    if let Some(near) = &affinity.pod_affinity {
        let must = &near.required_during_scheduling_ignored_during_execution;
        pod_terms(causes, must, &at.field("podAffinity").field(required));
        let may = near.preferred_during_scheduling_ignored_during_execution.len();
        causes.at_most(&at.field("podAffinity").field(preferred), may, TERMS_MAX);
    }
    if let Some(apart) = &affinity.pod_anti_affinity {
        let must = &apart.required_during_scheduling_ignored_during_execution;
        pod_terms(causes, must, &at.field("podAntiAffinity").field(required));
        let may = apart.preferred_during_scheduling_ignored_during_execution.len();
        causes.at_most(&at.field("podAntiAffinity").field(preferred), may, TERMS_MAX);
    }
}

fn pod_terms(causes: &mut Causes, terms: &[PodAffinityTerm], at: &Path<'_>) {
    if !causes.at_most(at, terms.len(), TERMS_MAX) {
        return;
    }
    for (index, term) in terms.iter().enumerate() {
        if let Some(selector) = &term.label_selector {
            meta::selector(causes, selector, &at.index(index).field("labelSelector"));
        }
    }
}

/// What Kubernetes would give and a sandbox cannot, where going on without it would break what was asked.
fn refused(causes: &mut Causes, spec: &PodSpec, at: &Path<'_>) {
    let network = "a sandbox has no access to its node's network; remove it and reach the Pod through a Service";
    let processes = "a sandbox has no access to its node's processes; remove the field";
    let gates = "the scheduler does not wait for gates; create the Pod when it may start";
    let context = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let host_process = context.is_some_and(|options| options.host_process == Some(true));
    for (field, set, why) in [
        ("hostNetwork", spec.host_network, network),
        ("hostPID", spec.host_pid, processes),
        ("hostIPC", spec.host_ipc, processes),
        ("securityContext.windowsOptions.hostProcess", host_process, processes),
        ("schedulingGates", !spec.scheduling_gates.is_empty(), gates),
        ("resourceClaims", !spec.resource_claims.is_empty(), "nodes have no devices to claim; remove the claims"),
        ("ephemeralContainers", !spec.ephemeral_containers.is_empty(), "a sandbox cannot be entered; read its logs"),
    ] {
        if set {
            causes.forbidden(&at.field(field), why);
        }
    }
}

fn containers(causes: &mut Causes, spec: &PodSpec, volumes: &BTreeSet<&str>, at: &Path<'_>) {
    if spec.containers.is_empty() {
        causes.required(&at.field("containers"), "");
    }
    let mut known = BTreeSet::new();
    for (field, list) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        let at = at.field(field);
        let few = causes.at_most(&at, list.len(), CONTAINERS_MAX);
        for (index, found) in list.iter().enumerate().filter(|_| few) {
            let at = at.index(index);
            container::container(causes, found, volumes, &at);
            if !known.insert(found.name.as_str()) {
                causes.duplicate(&at.field("name"), &found.name);
            }
            own_restart_policy(causes, found, field == "initContainers", &at);
        }
    }
}

fn own_restart_policy(causes: &mut Causes, container: &Container, initial: bool, at: &Path<'_>) {
    let policy = at.field("restartPolicy");
    match (&container.restart_policy, initial) {
        (None, _) => {}
        (Some(_), false) => causes.forbidden(&policy, "may not be set for non-init containers"),
        (Some(_), true) => {
            let why = "init containers that go on running are not supported; list it under `containers`";
            causes.forbidden(&policy, why);
        }
    }
    if initial && container.restart_policy.is_none() {
        for (field, probe) in [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
            ("startupProbe", &container.startup_probe),
        ] {
            if probe.is_some() {
                causes.forbidden(&at.field(field), "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

fn optional_names(causes: &mut Causes, spec: &PodSpec, at: &Path<'_>) {
    let checks: [(&str, &str, Syntax); 7] = [
        ("nodeName", &spec.node_name, names::dns_subdomain),
        ("hostname", &spec.hostname, names::dns_label),
        ("subdomain", &spec.subdomain, names::dns_label),
        ("schedulerName", &spec.scheduler_name, names::dns_subdomain),
        ("serviceAccountName", &spec.service_account_name, names::dns_subdomain),
        ("priorityClassName", &spec.priority_class_name, names::dns_subdomain),
        ("runtimeClassName", spec.runtime_class_name.as_deref().unwrap_or(""), names::dns_subdomain),
    ];
    for (field, value, check) in checks {
        if !value.is_empty() {
            causes.syntax(&at.field(field), value, check);
        }
    }
}

fn tolerations(causes: &mut Causes, tolerations: &[Toleration], at: &Path<'_>) {
    let few = causes.at_most(at, tolerations.len(), TAINTS_MAX);
    for (index, toleration) in tolerations.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        let operator = at.field("operator");
        if !toleration.key.is_empty() {
            causes.syntax(&at.field("key"), &toleration.key, names::qualified);
        } else if toleration.operator != "Exists" {
            let why = "must be Exists when `key` is empty, which means \"match all values and all keys\"";
            causes.invalid(&operator, &toleration.operator, why);
        }
        match toleration.operator.as_str() {
            "" | "Equal" => causes.syntax(&at.field("value"), &toleration.value, names::label_value),
            "Exists" if !toleration.value.is_empty() => {
                causes.invalid(&at.field("value"), &toleration.value, "must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            other => causes.unsupported(&operator, other, &["Equal", "Exists"]),
        }
        if !toleration.effect.is_empty() {
            causes.one_of(&at.field("effect"), &toleration.effect, &TAINT_EFFECTS);
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != "NoExecute" {
            let why = "must be 'NoExecute' when `tolerationSeconds` is set";
            causes.invalid(&at.field("effect"), &toleration.effect, why);
        }
    }
}

fn spreading(causes: &mut Causes, constraints: &[TopologySpreadConstraint], at: &Path<'_>) {
    let few = causes.at_most(at, constraints.len(), SPREADS_MAX);
    for (index, constraint) in constraints.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        if constraint.max_skew <= 0 {
            causes.invalid(&at.field("maxSkew"), constraint.max_skew, "must be greater than zero");
        }
        causes.required_syntax(&at.field("topologyKey"), &constraint.topology_key, names::qualified);
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        causes.required_one_of(&at.field("whenUnsatisfiable"), &constraint.when_unsatisfiable, &supported);
        if let Some(selector) = &constraint.label_selector {
            meta::selector(causes, selector, &at.field("labelSelector"));
        }
    }
}
