//! A Pod in one line. The word under STATUS is what people look at first, so it follows Kubernetes' printer exactly.

use super::{Cell, Common, NONE, age, or};
use crate::{
    Timestamp,
    core_v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus},
    meta_v1::Time,
    pod::{container_status, is_ready, is_sidecar, is_terminating, phase},
};

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

/// Looks a Pod over.
#[must_use]
pub fn summary(pod: &Pod) -> Summary {
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let status = pod.status.as_ref().unwrap_or(&no_status);
    let sidecars = spec.init_containers.iter().filter(|container| is_sidecar(container)).count();
    let mut summary = Summary {
        ready: 0,
        total: spec.containers.len() + sidecars,
        status: or(&status.reason, phase(pod).word()).to_owned(),
        restarts: 0,
        last_restart: None,
    };
    let initializing = initialize(&mut summary, spec, status);
    if !initializing || crate::conditions::is_true(&status.conditions, "Initialized") {
        run(&mut summary, pod, spec, status);
    }
    if is_terminating(pod) && status.reason == "NodeLost" {
        "Unknown".clone_into(&mut summary.status);
    } else if is_terminating(pod) && !phase(pod).is_terminal() {
        "Terminating".clone_into(&mut summary.status);
    }
    summary
}

/// Looks at the init containers up to the one that is at work, and says whether there is one.
fn initialize(summary: &mut Summary, spec: &PodSpec, status: &PodStatus) -> bool {
    for (index, container) in status.init_container_statuses.iter().enumerate() {
        count_restarts(summary, container);
        let sidecar = spec.init_containers.iter().any(|own| own.name == container.name && is_sidecar(own));
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
    let sidecars = spec.init_containers.iter().filter(|container| is_sidecar(container));
    for container in sidecars.filter_map(|container| container_status(pod, &container.name)) {
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
        let word = if is_ready(pod) { "Running" } else { "NotReady" };
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

pub(super) fn row(common: Common, pod: &Pod, now: Timestamp) -> Vec<Cell> {
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
        crate::pod::node_name(pod).unwrap_or(NONE).into(),
        or(&status.nominated_node_name, NONE).into(),
        gates(pod, status).into(),
    ]
}

fn gates(pod: &Pod, status: &PodStatus) -> String {
    let gates = pod.spec.as_ref().map_or(&[][..], |spec| &spec.readiness_gates);
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let met = gates.iter().filter(|gate| crate::conditions::is_true(&status.conditions, &gate.condition_type)).count();
    format!("{met}/{}", gates.len())
}
