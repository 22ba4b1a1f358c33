//! What a Pod's life looks like from outside: its status, and what users are told.

use api::{
    Timestamp,
    conditions::{self, CONTAINERS_READY, ConditionStatus, INITIALIZED, POD_SCHEDULED, READY},
    core_v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
        HostIp, PodCondition, PodIp, PodStatus,
    },
    pod::{self, Phase},
};

use super::{
    Note,
    container::{Container, Past, Step},
    life::PodLife,
};

/// The word for an end for want of memory, in statuses and events alike.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// The status of the Pod now. Times of conditions that did not change stay.
pub(crate) fn of(life: &PodLife, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let address = life.address().map(|address| address.to_string());
    let mut status = PodStatus {
        phase: phase(life).word().to_owned(),
        host_ip: life.host.to_string(),
        host_ips: vec![HostIp { ip: life.host.to_string() }],
        pod_ip: address.clone().unwrap_or_default(),
        pod_ips: address.into_iter().map(|ip| PodIp { ip }).collect(),
        start_time: Some(life.began.into()),
        qos_class: life.pod.spec.as_ref().map(pod::qos_class).unwrap_or_default().to_owned(),
        conditions: before.map(|status| status.conditions.clone()).unwrap_or_default(),
        init_container_statuses: containers(life, true),
        container_statuses: containers(life, false),
        ..PodStatus::default()
    };
    if let Some((reason, message)) = &life.failed {
        (*reason).clone_into(&mut status.reason);
        message.clone_into(&mut status.message);
    }
    // The scheduler's condition is its own; a Pod that was bound by hand has none yet.
    if conditions::get(&status.conditions, POD_SCHEDULED).is_none() {
        set(&mut status, POD_SCHEDULED, None, now);
    }
    for (kind, why_not) in judgements(life) {
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
fn judgements(life: &PodLife) -> [Judgement; 4] {
    let unready = |init: bool, good: fn(&Container) -> bool| {
        let bad: Vec<&str> =
            life.containers.iter().filter(|c| c.init == init && !good(c)).map(|c| c.spec.name.as_str()).collect();
        (!bad.is_empty()).then(|| format!("[{}]", bad.join(" ")))
    };
    let initialized = unready(true, Container::succeeded)
        .map(|names| ("ContainersNotInitialized", format!("containers with incomplete status: {names}")));
    let containers = if phase(life) == Phase::Succeeded {
        Some(("PodCompleted", String::new()))
    } else if life.is_ending() {
        Some(("ContainersNotReady", "the Pod is ending".to_owned()))
    } else {
        unready(false, Container::is_ready)
            .map(|names| ("ContainersNotReady", format!("containers with unready status: {names}")))
    };
    let unaddressed = || life.no_address.clone().unwrap_or_else(|| "no address was given yet".to_owned());
    let network = life.address().is_none().then(|| ("NoAddress", unaddressed()));
    [
        ("PodReadyToStartContainers", network),
        (INITIALIZED, initialized),
        (READY, containers.clone()),
        (CONTAINERS_READY, containers),
    ]
}

fn phase(life: &PodLife) -> Phase {
    let main = || life.containers.iter().filter(|container| !container.init);
    if life.is_over() {
        let well = life.failed.is_none() && main().all(Container::succeeded);
        return if well { Phase::Succeeded } else { Phase::Failed };
    }
    // A container that ran once makes the Pod run, also while it waits to run again.
    let ran = |container: &Container| container.is_running() || container.is_done() || container.last.is_some();
    if main().any(ran) { Phase::Running } else { Phase::Pending }
}

fn containers(life: &PodLife, init: bool) -> Vec<ContainerStatus> {
    life.containers.iter().filter(|container| container.init == init).map(|container| one(life, container)).collect()
}

fn one(life: &PodLife, container: &Container) -> ContainerStatus {
    let began = container.number > 0 && !matches!(container.step, Step::Idle | Step::Preparing | Step::Waiting { .. });
    let ready = if container.init { container.succeeded() } else { container.is_ready() && !life.is_ending() };
    ContainerStatus {
        name: container.spec.name.clone(),
        state: Some(Box::new(state(life, container))),
        last_state: container.last.as_ref().map(|past| Box::new(terminated(life, container, past))),
        ready,
        restart_count: container.restarts,
        image: container.spec.image.clone(),
        image_id: container.image_id.clone(),
        container_id: if began { container_id(life, container, container.number) } else { String::new() },
        started: Some(container.is_running() && container.probes.started()),
        ..ContainerStatus::default()
    }
}

fn container_id(life: &PodLife, container: &Container, run: u32) -> String {
    format!("wasm://{}/{}/{run}", life.uid, container.spec.name)
}

fn state(life: &PodLife, container: &Container) -> ContainerState {
    let waiting = |reason: &str, message: &str| ContainerState {
        waiting: Some(ContainerStateWaiting { reason: reason.to_owned(), message: message.to_owned() }),
        ..ContainerState::default()
    };
    match &container.step {
        // As in Kubernetes: until a container of a Pod with init containers has begun, the Pod is initializing.
        Step::Idle | Step::Preparing | Step::Starting if life.containers.iter().any(|other| other.init) => {
            waiting("PodInitializing", "")
        }
        Step::Idle | Step::Preparing | Step::Starting => waiting("ContainerCreating", ""),
        Step::Waiting { reason, message, .. } => waiting(reason, message),
        Step::Running { since } => {
            let running = ContainerStateRunning { started_at: Some((*since).into()) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        Step::Done(past) => terminated(life, container, past),
    }
}

fn terminated(life: &PodLife, container: &Container, past: &Past) -> ContainerState {
    let Past { number, since, at, ended } = past;
    let terminated = ContainerStateTerminated {
        exit_code: ended.code,
        reason: ended.reason.clone(),
        message: ended.message.clone(),
        started_at: Some((*since).into()),
        finished_at: Some((*at).into()),
        container_id: if *number == 0 { String::new() } else { container_id(life, container, *number) },
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// What happened to the containers since the users were told last.
pub(crate) fn news(life: &mut PodLife, _now: Timestamp) -> Vec<Note> {
    let mut notes = Vec::new();
    for container in &mut life.containers {
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
        Step::Waiting { reason: "CrashLoopBackOff", message, .. } => Some(Note::warning("BackOff", message.clone())),
        Step::Waiting { message, .. } => Some(Note::warning("Failed", message.clone())),
        Step::Idle | Step::Preparing | Step::Done(_) => None,
    }
}
