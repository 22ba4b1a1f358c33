//! Questions that everybody asks of a Pod.

pub mod amounts;

use std::collections::BTreeMap;

use crate::{
    Timestamp, conditions,
    core_v1::{Container, ContainerStatus, Pod, PodCondition, PodSpec, Taint, Toleration},
    meta_v1,
    quantity::{ByteCount, Millicores, Quantity},
};

/// Where [`node_name`] stands in the bytes of a Pod, for [`encoded::text`](crate::encoded::text): `spec.nodeName`.
pub const NODE_NAME: [u32; 2] = [2, 10];

/// Whether the name of an image names the host of a registry. One without means the registry of the masters.
#[must_use]
pub fn names_host(image: &str) -> bool {
    let first = image.split('/').next().unwrap_or_default();
    image.contains('/') && (first.contains(['.', ':']) || first == "localhost")
}

/// The repository of an image of the masters' registry; `None` if the image is elsewhere.
#[must_use]
pub fn repository(image: &str) -> Option<&str> {
    if names_host(image) || image.contains("://") {
        return None;
    }
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    Some(name.get(last..)?.find(':').map_or(name, |colon| &name[..last + colon]))
}

/// Whether a Pod runs an image of a repository of the masters' registry.
#[must_use]
pub fn runs_of(spec: &PodSpec, repository: &str) -> bool {
    let mut all = spec.init_containers.iter().chain(&spec.containers);
    all.any(|container| self::repository(&container.image) == Some(repository))
}

/// Amounts of what the scheduler counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// CPU time.
    pub cpu: Millicores,
    /// Memory.
    pub memory: ByteCount,
}

impl Resources {
    /// Whether `self` has room for `other`.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        self.cpu >= other.cpu && self.memory >= other.memory
    }

    /// The greater of both, each for itself.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }

    /// Reads `cpu` and `memory` of a resource list; what is absent or unreadable is none.
    #[must_use]
    pub fn of(list: &BTreeMap<String, meta_v1::Quantity>) -> Self {
        let amount = |name| amount(list, name).unwrap_or_default();
        Self { cpu: amount("cpu").into(), memory: amount("memory").into() }
    }
}

impl std::ops::Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

impl std::ops::Sub for Resources {
    type Output = Self;

    /// Stays at nothing rather than wrap.
    fn sub(self, other: Self) -> Self {
        Self { cpu: self.cpu - other.cpu, memory: self.memory - other.memory }
    }
}

impl std::iter::Sum for Resources {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), std::ops::Add::add)
    }
}

/// How much a container may use; `None` is as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// CPU time.
    pub cpu: Option<Millicores>,
    /// Memory.
    pub memory: Option<ByteCount>,
}

fn amount(list: &BTreeMap<String, meta_v1::Quantity>, name: &str) -> Option<Quantity> {
    list.get(name).and_then(|quantity| Quantity::try_from(quantity).ok())
}

/// Where a Pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Not all its containers have started yet.
    #[default]
    Pending,
    /// At least one container runs or is to run again.
    Running,
    /// All containers ended well and will not start again.
    Succeeded,
    /// All containers ended, one of them badly, and will not start again.
    Failed,
    /// Its node does not answer.
    Unknown,
}

impl Phase {
    /// The word in `status.phase`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether no container will ever run again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Where a Pod is in its life; a Pod that nobody reported on is pending.
#[must_use]
pub fn phase(pod: &Pod) -> Phase {
    match pod.status.as_ref().map_or("", |status| &status.phase) {
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        "Unknown" => Phase::Unknown,
        _ => Phase::Pending,
    }
}

/// Whether a container that ended starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Yes, however it ended.
    #[default]
    Always,
    /// Only if it ended badly.
    OnFailure,
    /// No.
    Never,
}

/// Whether the Pod's containers start again when they end.
#[must_use]
pub fn restart_policy(spec: &PodSpec) -> RestartPolicy {
    match spec.restart_policy.as_str() {
        "OnFailure" => RestartPolicy::OnFailure,
        "Never" => RestartPolicy::Never,
        _ => RestartPolicy::Always,
    }
}

/// Whether no container will ever run again.
#[must_use]
pub fn is_terminal(pod: &Pod) -> bool {
    phase(pod).is_terminal()
}

/// Whether it is being deleted.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some())
}

/// Whether it counts as a replica: neither ended nor being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !is_terminating(pod)
}

/// Whether it may be given work: its condition `Ready` is `True`.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    conditions::is_true(conditions_of(pod), conditions::READY)
}

/// Whether it has been ready for `min_ready_s` seconds.
#[must_use]
pub fn is_available(pod: &Pod, min_ready_s: i32, now: Timestamp) -> bool {
    let Some(ready) = condition(pod, conditions::READY).filter(|ready| ready.status == "True") else { return false };
    let Ok(min_ready_s @ 1..) = u64::try_from(min_ready_s) else { return true };
    ready.last_transition_time.as_ref().is_some_and(|since| now.since(since.into()).as_secs() >= min_ready_s)
}

/// A condition of the Pod.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    conditions::get(conditions_of(pod), kind)
}

/// Puts a condition into the Pod's status. Says whether anything changed; see [`conditions::set`].
pub fn set_condition(pod: &mut Pod, condition: PodCondition) -> bool {
    conditions::set(&mut pod.status.get_or_insert_default().conditions, condition)
}

fn conditions_of(pod: &Pod) -> &[PodCondition] {
    pod.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// The node that it is bound to, if it is.
#[must_use]
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().map(|spec| spec.node_name.as_str()).filter(|name| !name.is_empty())
}

/// What was reported of a container, init containers included.
#[must_use]
pub fn container_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    status.container_statuses.iter().chain(&status.init_container_statuses).find(|status| status.name == name)
}

/// How often its containers were started again.
#[must_use]
pub fn restarts(pod: &Pod) -> i64 {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
    statuses.map(|status| i64::from(status.restart_count)).sum()
}

/// Whether an init container keeps running beside the containers: its own restartPolicy is `Always`.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What a container asks for.
#[must_use]
pub fn container_requests(container: &Container) -> Resources {
    container.resources.as_ref().map(|resources| Resources::of(&resources.requests)).unwrap_or_default()
}

/// What a container may use.
#[must_use]
pub fn container_limits(container: &Container) -> Limits {
    let Some(resources) = &container.resources else { return Limits::default() };
    let amount = |name| amount(&resources.limits, name);
    Limits { cpu: amount("cpu").map(Into::into), memory: amount("memory").map(Into::into) }
}

/// What the scheduler sets aside: the containers together, or the greatest init container with the sidecars started
/// before it if that is more; plus the overhead. Kubernetes' rule.
#[must_use]
pub fn requests(pod: &Pod) -> Resources {
    pod.spec.as_ref().map(spec_requests).unwrap_or_default()
}

/// As [`requests`], of a spec.
#[must_use]
pub fn spec_requests(spec: &PodSpec) -> Resources {
    let mut sidecars = Resources::default();
    let mut initial = Resources::default();
    for container in &spec.init_containers {
        let own = container_requests(container);
        if is_sidecar(container) {
            sidecars = sidecars + own;
            initial = initial.max(sidecars);
        } else {
            initial = initial.max(sidecars + own);
        }
    }
    let running: Resources = spec.containers.iter().map(container_requests).sum();
    (running + sidecars).max(initial) + Resources::of(&spec.overhead)
}

/// What the whole Pod may use: the containers' limits together, `None` where one of them has none.
#[must_use]
pub fn limits(pod: &Pod) -> Limits {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut limits = containers.map(container_limits);
    let Some(first) = limits.next() else { return Limits::default() };
    limits.fold(first, |sum, next| Limits {
        cpu: sum.cpu.zip(next.cpu).map(|(sum, next)| sum + next),
        memory: sum.memory.zip(next.memory).map(|(sum, next)| sum + next),
    })
}

/// `Guaranteed` if every container has equal requests and limits of cpu and memory, `BestEffort` if none has any,
/// `Burstable` otherwise.
#[must_use]
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let all = || spec.containers.iter().chain(&spec.init_containers);
    let bare = |container: &Container| {
        container_requests(container) == Resources::default() && container_limits(container) == Limits::default()
    };
    let exact = |container: &Container| {
        let Resources { cpu, memory } = container_requests(container);
        container_limits(container) == Limits { cpu: Some(cpu), memory: Some(memory) }
    };
    match () {
        () if all().all(bare) => "BestEffort",
        () if all().all(exact) => "Guaranteed",
        () => "Burstable",
    }
}

/// The number of a container port by its name.
#[must_use]
pub fn port_by_name(spec: &PodSpec, name: &str) -> Option<i32> {
    let sidecars = spec.init_containers.iter().filter(|container| is_sidecar(container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports.into_iter().find(|port| port.name == name).map(|port| port.container_port)
}

/// The owner that controls an object, if one does.
#[must_use]
pub fn controller_of(meta: &meta_v1::ObjectMeta) -> Option<&meta_v1::OwnerReference> {
    meta.owner_references.iter().find(|owner| owner.controller == Some(true))
}

/// Whether a toleration covers a taint.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let key = toleration.key.is_empty() || toleration.key == taint.key;
    let value = match toleration.operator.as_str() {
        "Exists" => true,
        // Without a key only `Exists` means anything; validation refuses the rest.
        _ => !toleration.key.is_empty() && toleration.value == taint.value,
    };
    effect && key && value
}

/// The first taint with one of the `effects` that none of the tolerations covers.
#[must_use]
pub fn untolerated<'a>(tolerations: &[Toleration], taints: &'a [Taint], effects: &[&str]) -> Option<&'a Taint> {
    let matters = |taint: &&Taint| effects.contains(&taint.effect.as_str());
    taints.iter().filter(matters).find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

#[cfg(test)]
mod tests;
