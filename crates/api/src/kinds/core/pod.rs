//! Pods.
//!
//! What everybody asks of a Pod is in [`crate::pod`]; the rules of its spec, which templates share, are in
//! [`crate::validate`], [`crate::defaults`] and [`crate::warnings`].

use std::{borrow::Cow, collections::BTreeSet};

use prost::Message as _;

use crate::{
    Error, Subresource, Timestamp, conditions,
    core_v1::{
        ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus, Toleration,
    },
    defaults::{self, pod::TERMINATION_GRACE_PERIOD_SECONDS},
    kinds::{Allocation, Resource as _, Scale, deletion, strategy::Strategy},
    meta_v1::Time,
    pod::{self, Phase},
    selector::{self, Field},
    table::{
        Cell, Column, Common, NONE, age,
        columns::{AGE, NAME, text, wide},
        or,
    },
    validate::{
        self, Causes, Path,
        limits::{CONDITIONS_MAX, CONTAINERS_MAX, POD_STATUS_BYTES_MAX, SMALL_LIST_MAX},
        meta,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const PHASES: [Phase; 5] = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown];

const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "How many of the containers are ready."),
    text("Status", "What the Pod as a whole does, in one word."),
    text("Restarts", "How often its containers were started again, and when last."),
    AGE,
    wide(text("IP", "The Pod's address.")),
    wide(text("Node", "The node on which it runs.")),
    wide(text("Nominated Node", "The node on which room is being made for it.")),
    wide(text("Readiness Gates", "How many of the conditions that others set are met.")),
];

static FIELDS: &[Field<Pod>] = selector::selectable! { pod: Pod;
    "spec.nodeName" => Some(pod.spec.as_ref()?.node_name.as_str().into());
    "spec.restartPolicy" => Some(pod.spec.as_ref()?.restart_policy.as_str().into());
    "spec.schedulerName" => Some(pod.spec.as_ref()?.scheduler_name.as_str().into());
    "spec.serviceAccountName" => Some(pod.spec.as_ref()?.service_account_name.as_str().into());
    "spec.hostNetwork" => selector::flag(pod.spec.as_ref()?.host_network);
    "status.phase" => Some(pod::phase(pod).word().into());
    "status.podIP" => Some(pod.status.as_ref()?.pod_ip.as_str().into());
    "status.podIPs" => Some(pod.status.as_ref()?.pod_ips.iter().map(|ip| ip.ip.as_str()).collect::<Vec<_>>().join(",").into());
    "status.nominatedNodeName" => Some(pod.status.as_ref()?.nominated_node_name.as_str().into());
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: hello
  namespace: default
  labels: {app: hello}
spec:
  containers:
  - name: hello
    image: registry.example.com/hello:v1
    ports:
    - containerPort: 8080
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
";

pub(crate) struct PodStrategy;

impl Strategy for PodStrategy {
    type Object = Pod;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, pod: &mut Pod) {
        let spec = pod.spec.get_or_insert_default();
        defaults::pod::spec(spec);
        defaults::pod::only_of_pods(spec);
        let qos_class = pod::qos_class(spec);
        let status = pod.status.get_or_insert_default();
        defaults::text(&mut status.phase, Phase::Pending.word());
        defaults::text(&mut status.qos_class, qos_class);
    }

    fn validate(&self, causes: &mut Causes, pod: &Pod) {
        let at = Path::Root.field("spec");
        match &pod.spec {
            Some(spec) => validate::pod::spec(causes, spec, &at),
            None => causes.required(&at, ""),
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &Pod, new: &Pod) {
        validate_update(causes, old, new);
    }

    fn validate_status(&self, causes: &mut Causes, pod: &Pod) {
        validate_status(causes, pod);
    }

    fn warn(&self, warnings: &mut Warnings, pod: &Pod) {
        pod.spec.iter().for_each(|spec| warnings.pod_spec(spec, "spec"));
    }

    fn prepare_for_create(&self, pod: &mut Pod) {
        pod.status = None;
    }

    fn prepare_for_update(&self, new: &mut Pod, old: &Pod) {
        new.status.clone_from(&old.status);
        // Writers who do not know what the Pod's class said need not say it again.
        let (Some(new), Some(old)) = (&mut new.spec, &old.spec) else { return };
        new.priority = new.priority.or(old.priority);
        if new.preemption_policy.is_none() {
            new.preemption_policy.clone_from(&old.preemption_policy);
        }
    }

    fn update_status(&self, pod: &mut Pod, sent: &Pod) {
        pod.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &Pod) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Pod, _: i32) {}

    fn is_new_generation(&self, old: Option<&Pod>, new: &Pod, _: Subresource) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut Pod) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Pod) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        pod: &mut Pod,
        grace_period_s: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        mark(pod, grace_period_s, now);
        Ok(())
    }

    /// Its node lets go of it when its containers have stopped.
    fn is_held(&self, pod: &Pod) -> bool {
        pod.metadata.as_ref().and_then(|meta| meta.deletion_grace_period_seconds).unwrap_or(0) > 0
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, pod: &Pod, common: Common, now: Timestamp) -> Vec<Cell> {
        row(pod, common, now)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, pod: &'a Pod, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, pod)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// A Pod's spec is what its node acts on, so it stays but for the fields that Kubernetes lets change.
fn validate_update(causes: &mut Causes, old: &Pod, new: &Pod) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    let at = Path::Root.field("spec");
    for (field, count, before) in [
        ("containers", new.containers.len(), old.containers.len()),
        ("initContainers", new.init_containers.len(), old.init_containers.len()),
    ] {
        if count != before {
            return causes.forbidden(&at.field(field), "pod updates may not add or remove containers");
        }
    }
    let deadline = at.field("activeDeadlineSeconds");
    match (old.active_deadline_seconds, new.active_deadline_seconds) {
        (Some(before), Some(now)) if now > before => {
            causes.invalid(&deadline, now, format_args!("must be less than or equal to previous value {before}"));
        }
        (Some(_), None) => causes.invalid(&deadline, "", "must not update from a positive integer to nil value"),
        _ => {}
    }
    let same =
        |a: &Toleration, b: &Toleration| *a == Toleration { toleration_seconds: a.toleration_seconds, ..b.clone() };
    if !old.tolerations.iter().all(|before| new.tolerations.iter().any(|now| same(before, now))) {
        causes.forbidden(
            &at.field("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
    if masked(old, new) != *new {
        let why = "pod updates may not change fields other than `spec.containers[*].image`, \
                   `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions) and \
                   `spec.terminationGracePeriodSeconds` (only to 1 if it was negative)";
        causes.forbidden(&at, why);
    }
}

/// The old spec with what may change taken from the new one.
fn masked(old: &PodSpec, new: &PodSpec) -> PodSpec {
    let mut expected = old.clone();
    expected.active_deadline_seconds = new.active_deadline_seconds;
    expected.tolerations.clone_from(&new.tolerations);
    if old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0)
        && new.termination_grace_period_seconds == Some(1)
    {
        expected.termination_grace_period_seconds = Some(1);
    }
    let both = [(&mut expected.containers, &new.containers), (&mut expected.init_containers, &new.init_containers)];
    for (old, new) in both {
        for (old, new) in old.iter_mut().zip(new) {
            old.image.clone_from(&new.image);
        }
    }
    expected
}

/// The scheduler names a node, once.
pub(crate) fn validate_binding(causes: &mut Causes, old: &Pod, new: &Pod) {
    let (of_old, of_new) = (old.metadata.clone().unwrap_or_default(), new.metadata.clone().unwrap_or_default());
    if of_old.labels != of_new.labels {
        let at = Path::Root.field("metadata");
        meta::labels(causes, &of_new.labels, &at.field("labels"));
    }
    let at = Path::Root.field("spec");
    let at = at.field("nodeName");
    let Some(node) = pod::node_name(new) else { return causes.required(&at, "") };
    causes.syntax(&at, node, names::dns_subdomain);
    if let Some(before) = pod::node_name(old).filter(|before| *before != node) {
        causes.invalid(&at, node, format_args!("the Pod is already bound to node {before:?}"));
    }
}

/// What a node may report.
fn validate_status(causes: &mut Causes, pod: &Pod) {
    let Some(status) = &pod.status else { return };
    let at = Path::Root.field("status");
    causes.required_one_of(&at.field("phase"), &status.phase, &PHASES.map(Phase::word));
    if status.encoded_len() > POD_STATUS_BYTES_MAX {
        causes.too_long(&at, POD_STATUS_BYTES_MAX);
    }
    for (field, count, count_max) in [
        ("conditions", status.conditions.len(), CONDITIONS_MAX),
        ("podIPs", status.pod_ips.len(), SMALL_LIST_MAX),
        ("hostIPs", status.host_ips.len(), SMALL_LIST_MAX),
        ("initContainerStatuses", status.init_container_statuses.len(), CONTAINERS_MAX),
        ("ephemeralContainerStatuses", status.ephemeral_container_statuses.len(), CONTAINERS_MAX),
    ] {
        causes.at_most(&at.field(field), count, count_max);
    }
    let at = at.field("containerStatuses");
    let few = causes.at_most(&at, status.container_statuses.len(), CONTAINERS_MAX);
    for (index, container) in status.container_statuses.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        causes.not_negative(&at.field("restartCount"), container.restart_count.into());
    }
}

/// What the part `binding` does: names the node, once, and not while the Pod goes.
///
/// # Errors
/// If no node is named, or the Pod is bound already or being deleted.
pub fn bind(old: &Pod, sent: &Pod, now: Timestamp) -> Result<Pod, Error> {
    let key = old.key();
    let node =
        pod::node_name(sent).ok_or_else(|| Error::bad_request("spec.nodeName: name the node to bind the Pod to"))?;
    if let Some(bound) = pod::node_name(old) {
        return Err(Error::conflict(&key, format!("pod {} is already assigned to node \"{bound}\"", key.name)));
    }
    if pod::is_terminating(old) {
        let why = format!("pod {} is being deleted, cannot be assigned to a host", key.name);
        return Err(Error::conflict(&key, why));
    }
    let mut new = old.clone();
    new.spec.get_or_insert_default().node_name = node.to_owned();
    // Whoever binds a Pod may tell it something of the node.
    let (said, metadata) = (sent.metadata.clone().unwrap_or_default(), new.metadata_mut());
    metadata.labels.extend(said.labels);
    metadata.annotations.extend(said.annotations);
    let condition: PodCondition =
        conditions::new(conditions::POD_SCHEDULED, conditions::ConditionStatus::True, "", "", now);
    pod::set_condition(&mut new, condition);
    Ok(new)
}

/// A Pod that runs gets time to stop. A second deletion may shorten that time, never lengthen it.
fn mark(pod: &mut Pod, grace_period_s: Option<i64>, now: Timestamp) {
    let idle = pod::node_name(pod).is_none() || pod::is_terminal(pod);
    let own = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds)
        .unwrap_or(TERMINATION_GRACE_PERIOD_SECONDS);
    let metadata = pod.metadata.get_or_insert_default();
    let Some(deadline) = metadata.deletion_timestamp else {
        let grace_period_s = if idle { 0 } else { grace_period_s.unwrap_or(own).max(0) };
        return deletion::mark(metadata, grace_period_s, now);
    };
    let before = metadata.deletion_grace_period_seconds.unwrap_or(0);
    let asked = if idle { 0 } else { grace_period_s.unwrap_or(before).max(0) };
    if asked < before {
        let seconds = deadline.seconds.saturating_sub(before).saturating_add(asked);
        metadata.deletion_timestamp = Some(Time { seconds, nanos: 0 });
        metadata.deletion_grace_period_seconds = Some(asked);
    }
}

/// What a Pod's containers and conditions come down to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many containers are ready, sidecars included.
    pub ready: usize,
    /// How many containers there are, sidecars included.
    pub total: usize,
    /// What the Pod does, in one word.
    pub status: String,
    /// How often containers were started again.
    pub restarts: i32,
    /// When one last ended and was started again.
    pub last_restart: Option<Time>,
}

/// Looks a Pod over. The word under STATUS is what people look at first, so it follows Kubernetes' printer exactly.
#[must_use]
pub fn summary(pod: &Pod) -> Summary {
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let status = pod.status.as_ref().unwrap_or(&no_status);
    let sidecars = spec.init_containers.iter().filter(|container| pod::is_sidecar(container)).count();
    let mut summary = Summary {
        ready: 0,
        total: spec.containers.len() + sidecars,
        status: or(&status.reason, pod::phase(pod).word()).to_owned(),
        restarts: 0,
        last_restart: None,
    };
    let initializing = initialize(&mut summary, spec, status);
    if !initializing || conditions::is_true(&status.conditions, conditions::INITIALIZED) {
        run(&mut summary, pod, spec, status);
    }
    if pod::is_terminating(pod) && status.reason == "NodeLost" {
        "Unknown".clone_into(&mut summary.status);
    } else if pod::is_terminating(pod) && !pod::phase(pod).is_terminal() {
        "Terminating".clone_into(&mut summary.status);
    }
    summary
}

/// Looks at the init containers up to the one that is at work, and says whether there is one.
fn initialize(summary: &mut Summary, spec: &PodSpec, status: &PodStatus) -> bool {
    for (index, container) in status.init_container_statuses.iter().enumerate() {
        count_restarts(summary, container);
        let sidecar = spec.init_containers.iter().any(|own| own.name == container.name && pod::is_sidecar(own));
        let terminated = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        if terminated.is_some_and(|end| end.exit_code == 0) {
            continue;
        }
        if sidecar && container.started == Some(true) {
            summary.ready += usize::from(container.ready);
            continue;
        }
        let waiting = waiting_reason(container).filter(|reason| *reason != "PodInitializing");
        summary.status = match (terminated, waiting) {
            (Some(end), _) => format!("Init:{}", ended(end)),
            (None, Some(reason)) => format!("Init:{reason}"),
            (None, None) => format!("Init:{index}/{}", spec.init_containers.len()),
        };
        return true;
    }
    false
}

/// Looks at the containers, once the init containers are done. Of several reasons the first container's is shown.
fn run(summary: &mut Summary, pod: &Pod, spec: &PodSpec, status: &PodStatus) {
    (summary.restarts, summary.last_restart) = (0, None);
    let sidecars = spec.init_containers.iter().filter(|container| pod::is_sidecar(container));
    for container in sidecars.filter_map(|container| pod::container_status(pod, &container.name)) {
        count_restarts(summary, container);
    }
    let mut any_running = false;
    for container in status.container_statuses.iter().rev() {
        count_restarts(summary, container);
        let state = container.state.as_deref();
        if let Some(reason) = waiting_reason(container) {
            reason.clone_into(&mut summary.status);
        } else if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
            summary.status = ended(end);
        } else if container.ready && state.is_some_and(|state: &ContainerState| state.running.is_some()) {
            any_running = true;
            summary.ready += 1;
        }
    }
    if summary.status == "Completed" && any_running {
        // One container has ended well, others still run.
        let word = if pod::is_ready(pod) { "Running" } else { "NotReady" };
        word.clone_into(&mut summary.status);
    }
}

fn count_restarts(summary: &mut Summary, container: &ContainerStatus) {
    summary.restarts = summary.restarts.saturating_add(container.restart_count);
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = last.and_then(|end| end.finished_at);
    if let Some(ended) = ended.filter(|ended| summary.last_restart.is_none_or(|last| last.seconds < ended.seconds)) {
        summary.last_restart = Some(ended);
    }
}

fn waiting_reason(container: &ContainerStatus) -> Option<&str> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some(waiting.reason.as_str()).filter(|reason| !reason.is_empty())
}

fn ended(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_str(), end.signal) {
        ("", 0) => format!("ExitCode:{}", end.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn row(pod: &Pod, common: Common, now: Timestamp) -> Vec<Cell> {
    let summary = summary(pod);
    let restarts = match &summary.last_restart {
        Some(last) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, age::since(Some(last), now)),
        _ => summary.restarts.to_string(),
    };
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let ip = status.pod_ips.first().map_or(status.pod_ip.as_str(), |ip| &ip.ip);
    vec![
        common.name,
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts.into(),
        common.age,
        or(ip, NONE).into(),
        pod::node_name(pod).unwrap_or(NONE).into(),
        or(&status.nominated_node_name, NONE).into(),
        gates(pod, status).into(),
    ]
}

fn gates(pod: &Pod, status: &PodStatus) -> String {
    let gates = pod.spec.as_ref().map_or(&[][..], |spec| &spec.readiness_gates);
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let met = gates.iter().filter(|gate| conditions::is_true(&status.conditions, &gate.condition_type)).count();
    format!("{met}/{}", gates.len())
}
