//! What a Pod's life looks like from outside: its status, and what users are told.

use std::net::Ipv4Addr;

use api::{
    Timestamp,
    conditions::{self, CONTAINERS_READY, ConditionStatus, INITIALIZED, POD_SCHEDULED, READY},
    core_v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
        HostIp, PodCondition, PodIp, PodSpec, PodStatus,
    },
    pod::{self, Phase},
};

use super::{
    Note, Uid,
    container::{CRASH_LOOP, Container, Past, Step},
};

/// Why a container waits that is being made, and one that waits for those before it.
pub(crate) const CREATING: &str = "ContainerCreating";
pub(crate) const INITIALIZING: &str = "PodInitializing";

/// The word for an end for want of memory, in statuses and events alike.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// What a status tells of.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) uid: &'a Uid,
    pub(crate) spec: Option<&'a PodSpec>,
    /// The node's own address.
    pub(crate) host: Ipv4Addr,
    pub(crate) began: Timestamp,
    pub(crate) address: Option<Ipv4Addr>,
    /// Why there is no address, if none was left.
    pub(crate) no_address: Option<&'a str>,
    pub(crate) containers: &'a [Container],
    /// Why the Pod was ended by this node: reason and message.
    pub(crate) failed: Option<&'a (&'static str, String)>,
    /// Somebody has asked for its end.
    pub(crate) is_ending: bool,
    /// None of its containers runs or will run again.
    pub(crate) is_over: bool,
}

/// The status of a Pod now. Times of conditions that did not change stay.
pub(crate) fn of(pod: Facts<'_>, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let address = pod.address.map(|address| address.to_string());
    let mut status = PodStatus {
        phase: phase(pod).word().to_owned(),
        host_ip: pod.host.to_string(),
        host_ips: vec![HostIp { ip: pod.host.to_string() }],
        pod_ip: address.clone().unwrap_or_default(),
        pod_ips: address.into_iter().map(|ip| PodIp { ip }).collect(),
        start_time: Some(pod.began.into()),
        qos_class: pod.spec.map(pod::qos_class).unwrap_or_default().to_owned(),
        conditions: before.map(|status| status.conditions.clone()).unwrap_or_default(),
        init_container_statuses: containers(pod, true),
        container_statuses: containers(pod, false),
        ..PodStatus::default()
    };
    if let Some((reason, message)) = pod.failed {
        (*reason).clone_into(&mut status.reason);
        message.clone_into(&mut status.message);
    }
    // The scheduler's condition is its own; a Pod that was bound by hand has none yet.
    if conditions::get(&status.conditions, POD_SCHEDULED).is_none() {
        set(&mut status, POD_SCHEDULED, None, now);
    }
    for (kind, why_not) in judgements(pod) {
        set(&mut status, kind, why_not, now);
    }
    status
}

fn set(status: &mut PodStatus, kind: &str, why_not: Option<(&str, String)>, now: Timestamp) {
    let condition: PodCondition = match why_not {
        None => conditions::new(kind, ConditionStatus::True, "", "", now),
        Some((reason, message)) => conditions::new(kind, ConditionStatus::False, reason, &message, now),
    };
    conditions::set(&mut status.conditions, condition);
}

type Judgement = (&'static str, Option<(&'static str, String)>);

/// Each condition of the Pod with the reason why it does not hold.
fn judgements(pod: Facts<'_>) -> [Judgement; 4] {
    let unready = |init: bool, good: fn(&Container) -> bool| {
        let bad: Vec<&str> =
            pod.containers.iter().filter(|c| c.init == init && !good(c)).map(|c| c.spec.name.as_str()).collect();
        (!bad.is_empty()).then(|| format!("[{}]", bad.join(" ")))
    };
    let initialized = unready(true, Container::succeeded)
        .map(|names| ("ContainersNotInitialized", format!("containers with incomplete status: {names}")));
    let containers = if phase(pod) == Phase::Succeeded {
        Some(("PodCompleted", String::new()))
    } else if pod.is_ending {
        Some(("ContainersNotReady", "the Pod is ending".to_owned()))
    } else {
        unready(false, Container::is_ready)
            .map(|names| ("ContainersNotReady", format!("containers with unready status: {names}")))
    };
    let unaddressed = || pod.no_address.unwrap_or("no address was given yet").to_owned();
    let network = pod.address.is_none().then(|| ("NoAddress", unaddressed()));
    [
        ("PodReadyToStartContainers", network),
        (INITIALIZED, initialized),
        (READY, containers.clone()),
        (CONTAINERS_READY, containers),
    ]
}

fn phase(pod: Facts<'_>) -> Phase {
    let main = || pod.containers.iter().filter(|container| !container.init);
    if pod.is_over {
        let well = pod.failed.is_none() && main().all(Container::succeeded);
        return if well { Phase::Succeeded } else { Phase::Failed };
    }
    // A container that ran once makes the Pod run, also while it waits to run again.
    let ran = |container: &Container| container.is_running() || container.is_done() || container.last.is_some();
    if main().any(ran) { Phase::Running } else { Phase::Pending }
}

fn containers(pod: Facts<'_>, init: bool) -> Vec<ContainerStatus> {
    pod.containers.iter().filter(|container| container.init == init).map(|container| one(pod, container)).collect()
}

fn one(pod: Facts<'_>, container: &Container) -> ContainerStatus {
    let began = match container.step {
        Step::Running { .. } | Step::Done(_) => container.number > 0,
        Step::Idle | Step::Waiting { .. } | Step::Preparing | Step::Starting => false,
    };
    // That its image is there is no news by itself: a status costs a write.
    let ran = began || container.last.is_some();
    let ready = if container.init { container.succeeded() } else { container.is_ready() && !pod.is_ending };
    ContainerStatus {
        name: container.spec.name.clone(),
        state: Some(Box::new(state(pod, container))),
        last_state: container.last.as_ref().map(|past| Box::new(terminated(pod.uid, container, past))),
        ready,
        restart_count: container.restarts,
        image: container.spec.image.clone(),
        image_id: if ran { container.image_id.clone() } else { String::new() },
        container_id: if began { container_id(pod.uid, container, container.number) } else { String::new() },
        started: Some(container.is_running() && container.probes.started()),
        ..ContainerStatus::default()
    }
}

fn container_id(pod: &Uid, container: &Container, run: u32) -> String {
    format!("wasm://{}/{}/{run}", pod, container.spec.name)
}

fn state(pod: Facts<'_>, container: &Container) -> ContainerState {
    let waiting = |reason: &str, message: &str| ContainerState {
        waiting: Some(ContainerStateWaiting { reason: reason.to_owned(), message: message.to_owned() }),
        ..ContainerState::default()
    };
    match &container.step {
        // As in Kubernetes: until a container of a Pod with init containers has begun, the Pod is initializing.
        Step::Idle | Step::Preparing | Step::Starting if pod.containers.iter().any(|other| other.init) => {
            waiting(INITIALIZING, "")
        }
        Step::Idle | Step::Preparing | Step::Starting => waiting(CREATING, ""),
        Step::Waiting { reason, message, .. } => waiting(reason, message),
        Step::Running { since } => {
            let running = ContainerStateRunning { started_at: Some((*since).into()) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        Step::Done(past) => terminated(pod.uid, container, past),
    }
}

fn terminated(pod: &Uid, container: &Container, past: &Past) -> ContainerState {
    let Past { number, since, at, ended } = past;
    let terminated = ContainerStateTerminated {
        exit_code: ended.code,
        reason: ended.reason.clone(),
        message: ended.message.clone(),
        started_at: Some((*since).into()),
        finished_at: Some((*at).into()),
        container_id: if *number == 0 { String::new() } else { container_id(pod, container, *number) },
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// What happened to the containers since the users were told last.
pub(crate) fn news(containers: &mut [Container]) -> Vec<Note> {
    let mut notes = Vec::new();
    for container in containers {
        if let Some((kind, message)) = container.probe_failed.take() {
            notes.push(Note::warning("Unhealthy", format!("{} probe failed: {message}", kind.word())));
        }
        if let Some(ended) = container.lost.take() {
            notes.push(Note::warning(OUT_OF_MEMORY, format!("Container {}: {}", container.spec.name, ended.message)));
        }
        let word = word(&container.step);
        if container.told == Some((container.number, word)) {
            continue;
        }
        container.told = Some((container.number, word));
        notes.extend(note(container));
    }
    notes
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Idle => "Idle",
        Step::Waiting { .. } => "Waiting",
        Step::Preparing => "Preparing",
        Step::Starting => "Starting",
        Step::Running { .. } => "Running",
        Step::Done(_) => "Done",
    }
}

fn note(container: &Container) -> Option<Note> {
    let (name, image) = (&container.spec.name, &container.spec.image);
    match &container.step {
        Step::Starting => Some(Note::normal("Pulled", format!("Image \"{image}\" is ready ({})", container.image_id))),
        Step::Running { .. } => Some(Note::normal("Started", format!("Started container {name}"))),
        Step::Waiting { reason: CRASH_LOOP, message, .. } => Some(Note::warning("BackOff", message.clone())),
        Step::Waiting { message, .. } => Some(Note::warning("Failed", message.clone())),
        Step::Idle | Step::Preparing | Step::Done(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::{core_v1, pod::RestartPolicy};

    use super::*;
    use crate::brain::{Ended, Shape};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn container(name: &str) -> Container {
        let spec = core_v1::Container { name: name.to_owned(), ..core_v1::Container::default() };
        Container::new(Arc::new(spec), false, None, RestartPolicy::Never, NOW)
    }

    fn facts<'a>(uid: &'a Uid, containers: &'a [Container]) -> Facts<'a> {
        Facts {
            uid,
            spec: None,
            host: Ipv4Addr::new(192, 168, 0, 1),
            began: NOW,
            address: Some(Ipv4Addr::new(10, 244, 0, 7)),
            no_address: None,
            containers,
            failed: None,
            is_ending: false,
            is_over: false,
        }
    }

    /// Why a condition does not hold: its reason and its message.
    fn why_not<'a>(status: &'a PodStatus, kind: &str) -> Option<(&'a str, &'a str)> {
        let condition: &PodCondition = conditions::get(&status.conditions, kind)?;
        (condition.status == "False").then_some((condition.reason.as_str(), condition.message.as_str()))
    }

    #[test]
    fn a_pod_is_ready_when_all_its_containers_are_and_nobody_ends_it() {
        let uid: Uid = "u1".into();
        let mut containers = [container("one"), container("two")];
        containers[0].begin();
        containers[0].started(Shape::Handler, NOW);
        let status = of(facts(&uid, &containers), None, NOW);
        assert_eq!((status.phase.as_str(), status.pod_ip.as_str()), ("Running", "10.244.0.7"));
        assert_eq!(why_not(&status, "Ready"), Some(("ContainersNotReady", "containers with unready status: [two]")));
        assert_eq!(status.container_statuses[0].container_id, "wasm://u1/one/1");

        containers[1].begin();
        containers[1].started(Shape::Handler, NOW);
        assert_eq!(why_not(&of(facts(&uid, &containers), None, NOW), "Ready"), None);
        let ending = of(Facts { is_ending: true, ..facts(&uid, &containers) }, None, NOW);
        assert_eq!(why_not(&ending, "Ready"), Some(("ContainersNotReady", "the Pod is ending")));
    }

    #[test]
    fn a_pod_that_is_over_has_succeeded_if_all_its_containers_have() {
        let uid: Uid = "u1".into();
        let mut containers = [container("one")];
        containers[0].begin();
        containers[0].started(Shape::Program, NOW);
        let ended = Ended { code: 0, reason: "Completed".to_owned(), message: String::new() };
        containers[0].ended(ended, RestartPolicy::Never, NOW);
        let over = Facts { is_over: true, ..facts(&uid, &containers) };
        let status = of(over, None, NOW);
        assert_eq!((status.phase.as_str(), why_not(&status, "Ready")), ("Succeeded", Some(("PodCompleted", ""))));
        let evicted = ("Evicted", "the node is full".to_owned());
        let failed = of(Facts { failed: Some(&evicted), ..over }, None, NOW);
        assert_eq!((failed.phase.as_str(), failed.reason.as_str()), ("Failed", "Evicted"));
    }

    #[test]
    fn why_there_is_no_address_is_told() {
        let uid: Uid = "u1".into();
        let network = |no_address| {
            let status = of(Facts { address: None, no_address, ..facts(&uid, &[]) }, None, NOW);
            why_not(&status, "PodReadyToStartContainers").map(|(_, message)| message.to_owned())
        };
        assert_eq!(network(None).as_deref(), Some("no address was given yet"));
        assert_eq!(network(Some("none is left")).as_deref(), Some("none is left"));
    }

    #[test]
    fn what_happened_is_told_once() {
        let mut containers = [container("one")];
        assert_eq!(news(&mut containers), []);
        containers[0].begin();
        containers[0].started(Shape::Handler, NOW);
        let told = news(&mut containers);
        assert_eq!(told.iter().map(|note| note.reason).collect::<Vec<_>>(), ["Started"]);
        assert_eq!(news(&mut containers), []);
    }
}
