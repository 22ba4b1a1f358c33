//! The life of one Pod on this node.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{
    Key, Timestamp, core_v1,
    kinds::Resource as _,
    pod::{self, RestartPolicy},
};

use super::{
    Addresses, Effect, Ended, Failure, Note, ProbeKind, Run, Shape, Uid,
    container::{Container, Past, Step},
    status::{self, Facts},
};

/// The grace period of a Pod that names none, in seconds.
const GRACE_S: i64 = 30;

/// How far the end of a Pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// Nobody has asked for it.
    No,
    /// Services are forgetting the Pod; the containers run until they have, or until then.
    Draining { until: Timestamp },
    /// The containers are asked to end.
    Stopping,
    /// What it left on this node is being removed.
    Cleaning,
    /// It is being removed from the cluster's state.
    Removing,
}

/// One Pod on this node.
#[derive(Debug)]
pub(crate) struct PodLife {
    uid: Uid,
    pod: Arc<core_v1::Pod>,
    host: Ipv4Addr,
    containers: Vec<Container>,
    began: Timestamp,
    address: Option<Ipv4Addr>,
    /// The address is told, but may be another Pod's by now.
    released: bool,
    /// Why there is no address, if none was left.
    no_address: Option<String>,
    ending: Ending,
    drained: bool,
    /// The cluster's state has no such Pod any more: nothing is reported or removed there.
    vanished: bool,
    /// Why the Pod was ended by this node: reason and message.
    failed: Option<(&'static str, String)>,
    reported: Option<core_v1::PodStatus>,
}

impl PodLife {
    pub(crate) fn new(uid: Uid, pod: Arc<core_v1::Pod>, host: Ipv4Addr, now: Timestamp) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let policy = pod::restart_policy(&spec);
        let known =
            |list: &[core_v1::ContainerStatus], name: &str| list.iter().find(|status| status.name == name).cloned();
        let make = |container: &core_v1::Container, init: bool| {
            let list = if init { &status.init_container_statuses } else { &status.container_statuses };
            Container::new(Arc::new(container.clone()), init, known(list, &container.name).as_ref(), policy, now)
        };
        let init = spec.init_containers.iter().map(|container| make(container, true));
        let containers = init.chain(spec.containers.iter().map(|container| make(container, false))).collect();
        Self {
            uid,
            host,
            containers,
            began: status.start_time.as_ref().map_or(now, Timestamp::from),
            address: status.pod_ip.parse().ok(),
            released: false,
            no_address: None,
            ending: Ending::No,
            drained: false,
            vanished: false,
            failed: None,
            reported: pod.status.clone(),
            pod,
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.pod.key()
    }

    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }

    pub(crate) fn set_address(&mut self, address: Option<Ipv4Addr>) {
        self.address = address;
        self.no_address = None;
    }

    /// The address that no other Pod may have: that of a Pod that is over is only told.
    pub(crate) fn held_address(&self) -> Option<Ipv4Addr> {
        self.address.filter(|_| !self.released && !self.is_over())
    }

    /// Gives the address back once nothing will use it any more.
    pub(crate) fn release(&mut self) -> Option<Ipv4Addr> {
        let address = self.address.filter(|_| !self.released && self.is_over())?;
        self.released = true;
        Some(address)
    }

    /// No address is left for the Pod: tells so, once.
    pub(crate) fn starve(&mut self, addresses: &Addresses) -> Effect {
        let message = format!("no address is left for this Pod: {addresses}");
        self.no_address = Some(message.clone());
        Effect::Tell(self.pod.clone(), Note::warning("FailedCreatePodSandBox", message))
    }

    pub(crate) fn wants_address(&self) -> bool {
        self.ending == Ending::No && !self.is_over()
    }

    /// Where a run is among the containers, if it is the present one.
    pub(crate) fn find(&self, run: &Run) -> Option<usize> {
        self.containers
            .iter()
            .position(|container| container.spec.name == *run.container && container.number == run.number)
    }

    pub(crate) fn policy(&self) -> RestartPolicy {
        self.pod.spec.as_ref().map_or(RestartPolicy::Always, pod::restart_policy)
    }

    /// Whether every container has ended for good.
    fn is_over(&self) -> bool {
        let broken =
            self.containers.iter().any(|container| container.init && container.is_done() && !container.succeeded());
        let mut main = self.containers.iter().filter(|container| !container.init);
        self.failed.is_some() && !self.containers.iter().any(Container::is_busy)
            || broken
            || main.all(Container::is_done)
    }

    /// The Pod as the cluster has it now.
    pub(crate) fn seen(&mut self, pod: Arc<core_v1::Pod>) {
        for container in &mut self.containers {
            let spec = pod.spec.as_ref();
            let specs = spec.map(|spec| if container.init { &spec.init_containers } else { &spec.containers });
            let now = specs.and_then(|specs| specs.iter().find(|spec| spec.name == container.spec.name));
            // The image is all of a container that may change; a new one takes effect with the next run.
            if let Some(now) = now.filter(|now| now.image != container.spec.image) {
                container.spec = Arc::new(now.clone());
            }
        }
        self.pod = pod;
    }

    pub(crate) fn drained(&mut self) {
        self.drained = true;
    }

    pub(crate) fn vanished(&mut self) {
        self.vanished = true;
        self.drained = true;
    }

    pub(crate) fn prepared(&mut self, at: usize, image: String) {
        let container = &mut self.containers[at];
        if container.step == Step::Preparing {
            container.image_id = image;
            container.step = Step::Starting;
        }
    }

    pub(crate) fn failed(&mut self, at: usize, failure: Failure, now: Timestamp) {
        self.containers[at].failed(failure, now);
    }

    pub(crate) fn again(&mut self, at: usize, now: Timestamp) {
        self.containers[at].again(now);
    }

    pub(crate) fn started(&mut self, at: usize, shape: Shape, now: Timestamp) {
        self.containers[at].started(shape, now);
    }

    pub(crate) fn instances_ended(&mut self, at: usize, ended: Ended, now: Timestamp) {
        self.containers[at].instances_ended(ended, now);
    }

    pub(crate) fn ended(&mut self, at: usize, ended: Ended, now: Timestamp) {
        let policy =
            if self.ending == Ending::No && self.failed.is_none() { self.policy() } else { RestartPolicy::Never };
        self.containers[at].ended(ended, policy, now);
    }

    pub(crate) fn probed(&mut self, at: usize, kind: ProbeKind, result: Result<(), String>, now: Timestamp) {
        let container = &mut self.containers[at];
        if !container.is_running() {
            return;
        }
        let heard = container.probes.answered(kind, result.is_ok(), now);
        // Owners are told of the probes that they asked for: not of those that come early and count for nothing, nor that a
        // program has not settled.
        let worth_telling = heard.counts && kind != ProbeKind::Settling;
        container.probe_failed = result.err().filter(|_| worth_telling).map(|message| (kind, message));
        container.must_restart |= heard.unhealthy;
    }

    /// Does the next steps. Returns when to look again although nothing happens.
    pub(crate) fn advance(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Option<Timestamp> {
        let mut again = None;
        self.enforce_deadline(now, &mut again);
        if self.vanished || pod::is_terminating(&self.pod) || self.failed.is_some() {
            self.end(now, effects, &mut again);
        } else {
            self.go_on(now, effects, &mut again);
        }
        self.report(now, effects);
        again
    }

    fn enforce_deadline(&mut self, now: Timestamp, again: &mut Option<Timestamp>) {
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        let Some(seconds) = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|_| !self.is_over()) else {
            return;
        };
        let deadline = self.began.after(Duration::from_secs(seconds));
        if deadline > now {
            sooner(again, deadline);
        } else if self.failed.is_none() {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.failed = Some(("DeadlineExceeded", message));
        }
    }

    /// Starts what should run, asks what should be asked.
    fn go_on(&mut self, now: Timestamp, effects: &mut Vec<Effect>, again: &mut Option<Timestamp>) {
        let Some(address) = self.address.filter(|_| !self.is_over()) else { return };
        for at in 0..self.containers.len() {
            let is_init = self.containers[at].init;
            let earlier = self.containers[..at].iter().all(|container| !container.init || container.succeeded());
            if !earlier {
                break;
            }
            self.container(at, address, now, effects, again);
            if is_init && !self.containers[at].succeeded() {
                break;
            }
        }
    }

    fn container(
        &mut self,
        at: usize,
        address: Ipv4Addr,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        again: &mut Option<Timestamp>,
    ) {
        let (uid, pod) = (self.uid.clone(), self.pod.clone());
        let container = &mut self.containers[at];
        match &container.step {
            Step::Waiting { until, .. } if *until > now => sooner(again, *until),
            Step::Idle | Step::Waiting { .. } => {
                container.begin();
                effects.push(Effect::Prepare(container.run(&uid), pod));
            }
            Step::Starting if !container.asked_to_start => {
                container.asked_to_start = true;
                effects.push(Effect::Start(container.run(&uid), pod, address));
            }
            Step::Running { .. } => watch_over(container, &uid, &pod, address, now, effects, again),
            Step::Preparing | Step::Starting | Step::Done(_) => {}
        }
    }

    /// Ends the Pod step by step: first nobody reaches it, then its containers end, then nothing is left of it.
    fn end(&mut self, now: Timestamp, effects: &mut Vec<Effect>, again: &mut Option<Timestamp>) {
        let grace = self.grace();
        if self.ending == Ending::No {
            self.ending = Ending::Draining { until: now.after(grace / 2) };
            effects.push(Effect::Drain(self.uid.clone(), self.address.into_iter().collect()));
        }
        if let Ending::Draining { until } = self.ending {
            if !self.drained && until > now && self.containers.iter().any(Container::is_running) {
                sooner(again, until);
                return;
            }
            self.ending = Ending::Stopping;
            self.stop_all(grace, effects);
        }
        if self.ending == Ending::Stopping && !self.containers.iter().any(Container::is_busy) {
            self.settle(now);
            let stays = self.failed.is_some() && !self.vanished && !pod::is_terminating(&self.pod);
            if stays {
                return;
            }
            self.ending = Ending::Cleaning;
            effects.push(Effect::Clean(self.uid.clone()));
            if !self.vanished {
                self.ending = Ending::Removing;
                effects.push(Effect::Remove(self.key(), self.uid.clone()));
            }
        }
    }

    fn grace(&self) -> Duration {
        let meta = self.pod.metadata();
        let spec = self.pod.spec.as_ref();
        let asked = meta
            .and_then(|meta| meta.deletion_grace_period_seconds)
            .or(spec.and_then(|spec| spec.termination_grace_period_seconds));
        let seconds = if self.vanished { 0 } else { asked.unwrap_or(GRACE_S) };
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    fn stop_all(&mut self, grace: Duration, effects: &mut Vec<Effect>) {
        for container in self.containers.iter_mut().filter(|container| container.is_busy()) {
            container.stopping = true;
            effects.push(Effect::Stop(container.run(&self.uid), grace));
            if container.is_running() {
                let message = format!("Stopping container {}", container.spec.name);
                effects.push(Effect::Tell(self.pod.clone(), Note::normal("Killing", message)));
            }
        }
    }

    /// What never ran will not run any more.
    fn settle(&mut self, now: Timestamp) {
        for container in self.containers.iter_mut().filter(|container| !container.is_done()) {
            let ended =
                Ended { code: 137, reason: "Error".to_owned(), message: "the Pod ended before it ran".to_owned() };
            container.step = Step::Done(Past { number: container.number, since: now, at: now, ended });
        }
    }

    fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            uid: &self.uid,
            spec: self.pod.spec.as_ref(),
            host: self.host,
            began: self.began,
            address: self.address,
            no_address: self.no_address.as_deref(),
            containers: &self.containers,
            failed: self.failed.as_ref(),
            is_ending: self.is_ending(),
            is_over: self.is_over(),
        }
    }

    fn report(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for note in status::news(&mut self.containers) {
            effects.push(Effect::Tell(self.pod.clone(), note));
        }
        if self.vanished || self.ending >= Ending::Cleaning {
            return;
        }
        let status = status::of(self.facts(), self.reported.as_ref(), now);
        if self.reported.as_ref() != Some(&status) {
            self.reported = Some(status.clone());
            // The status is this node's alone, so no revision is a precondition; the uid is. Nothing else is read of it.
            let mut pod = core_v1::Pod { status: Some(status), ..core_v1::Pod::default() };
            let metadata = pod.metadata_mut();
            self.pod.name().clone_into(&mut metadata.name);
            self.pod.namespace().clone_into(&mut metadata.namespace);
            self.pod.uid().clone_into(&mut metadata.uid);
            effects.push(Effect::Report(Arc::new(pod)));
        }
    }
}

/// A running container: is it time to ask how it is, or to start it again?
fn watch_over(
    container: &mut Container,
    uid: &Uid,
    pod: &Arc<core_v1::Pod>,
    address: Ipv4Addr,
    now: Timestamp,
    effects: &mut Vec<Effect>,
    again: &mut Option<Timestamp>,
) {
    let run = container.run(uid);
    if container.must_restart && !container.stopping {
        container.stopping = true;
        let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE_S);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let (kind, own) = container.probes.verdict().unwrap_or((ProbeKind::Liveness, None));
        effects.push(Effect::Stop(run, own.unwrap_or(grace)));
        let (name, kind) = (&container.spec.name, kind.word().to_lowercase());
        let never = pod.spec.as_ref().is_some_and(|spec| pod::restart_policy(spec) == RestartPolicy::Never);
        let fate = if never { "ended" } else { "restarted" };
        let message = format!("Container {name} failed {kind} probe, will be {fate}");
        effects.push(Effect::Tell(pod.clone(), Note::normal("Killing", message)));
        return;
    }
    let (due, next) = container.probes.due(now);
    effects.extend(due.into_iter().map(|kind| Effect::Probe(run.clone(), kind, pod.clone(), address)));
    if let Some(next) = next {
        sooner(again, next);
    }
}

fn sooner(again: &mut Option<Timestamp>, at: Timestamp) {
    *again = Some(again.map_or(at, |known| known.min(at)));
}
