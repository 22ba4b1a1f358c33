//! A simulated worker: runs the Pods bound to its node as their images' behaviour says, and reports.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use api::{
    Change, ChangeType, DeleteOptions, Object, Subresource, Timestamp, Write,
    conditions::{self, ConditionStatus},
    core_v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Node,
        NodeStatus, Pod, PodIp, PodStatus,
    },
    kinds::Resource,
    meta_v1::Quantity,
    pod,
};

/// How long a container rests after its first failure. Doubles with each further one.
const REST_MIN: Duration = Duration::from_secs(10);

/// The longest rest between two starts.
const REST_MAX: Duration = Duration::from_secs(300);

/// How containers of an image behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// From being bound to running.
    pub start: Duration,
    /// From running to ready; never, if it is `None`.
    pub ready: Option<Duration>,
    /// From running to ending by itself with a code.
    pub end: Option<(Duration, i32)>,
    /// From being told to stop to having stopped.
    pub stop: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { start: ms(200), ready: Some(ms(300)), end: None, stop: ms(100) }
    }
}

/// What a worker learns.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// Something about its node or its Pods changed.
    Seen(Change),
    /// Everything that exists, after it was cut off.
    Listed(Vec<Arc<Object>>),
    /// A container has been started.
    Started { uid: String, run: u32 },
    /// A container answers.
    Answers { uid: String, run: u32 },
    /// A container ends by itself.
    EndsItself { uid: String, run: u32, code: i32 },
    /// A container has ended.
    Ended { uid: String, code: i32 },
    /// A Pod that was told to stop has stopped.
    Stopped { uid: String },
}

impl Signal {
    /// Whether it does not reach a worker that is cut off.
    pub(crate) fn comes_from_outside(&self) -> bool {
        match self {
            Self::Seen(_) | Self::Listed(_) => true,
            Self::Started { .. }
            | Self::Answers { .. }
            | Self::EndsItself { .. }
            | Self::Ended { .. }
            | Self::Stopped { .. } => false,
        }
    }
}

/// What a worker wants.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "most wishes are reports")]
pub(crate) enum Wish {
    /// To report.
    Write(Write),
    /// To be told something later.
    Later(Duration, Signal),
}

/// A simulated worker.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    pub(crate) cut_off: bool,
    range: Option<Ipv4Addr>,
    addresses: u32,
    /// What it hears and says stays in order: nothing arrives before these times.
    heard_until: Timestamp,
    said_until: Timestamp,
    pub(crate) pods: BTreeMap<String, Running>,
}

/// A Pod on the worker.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pod: Pod,
    phase: Stage,
    /// How often its container was started; what belongs to an earlier start is old news.
    run: u32,
    address: String,
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Running,
    Ready,
    Resting,
    Over(i32),
    Stopping,
}

impl Worker {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cut_off: false,
            range: None,
            addresses: 0,
            heard_until: Timestamp(0),
            said_until: Timestamp(0),
            pods: BTreeMap::new(),
        }
    }

    /// When it hears something that could arrive at a time.
    pub(crate) fn hears_at(&mut self, time: Timestamp) -> Timestamp {
        self.heard_until = self.heard_until.max(time);
        self.heard_until
    }

    /// When something is heard from it that could arrive at a time.
    pub(crate) fn speaks_at(&mut self, time: Timestamp) -> Timestamp {
        self.said_until = self.said_until.max(time);
        self.said_until
    }

    /// The node as the worker registers it.
    pub(crate) fn node(&self, room: &[(&str, &str)]) -> Node {
        let room: BTreeMap<String, Quantity> =
            room.iter().map(|(name, amount)| ((*name).to_owned(), Quantity { string: (*amount).to_owned() })).collect();
        let ready = conditions::new("Ready", ConditionStatus::True, "KubeletReady", "", Timestamp(0));
        let status =
            NodeStatus { capacity: room.clone(), allocatable: room, conditions: vec![ready], ..NodeStatus::default() };
        let mut node = Node { status: Some(status), ..Node::default() };
        node.metadata_mut().name.clone_from(&self.name);
        node.metadata_mut().labels.insert("kubernetes.io/hostname".to_owned(), self.name.clone());
        node
    }

    pub(crate) fn handle(
        &mut self,
        signal: Signal,
        behaviours: &BTreeMap<String, Behaviour>,
        now: Timestamp,
    ) -> Vec<Wish> {
        match signal {
            Signal::Seen(change) => self.seen(&change.object, change.change == ChangeType::Deleted, behaviours, now),
            Signal::Listed(objects) => self.listed(&objects, behaviours, now),
            Signal::Started { uid, run } => self.step(&uid, Some(run), Stage::Running, behaviours, now),
            Signal::Answers { uid, run } => self.step(&uid, Some(run), Stage::Ready, behaviours, now),
            Signal::EndsItself { uid, run, code } => {
                let current = self.pods.get(&uid).is_some_and(|running| running.run == run);
                if current { self.ended(&uid, code, behaviours, now) } else { Vec::new() }
            }
            Signal::Ended { uid, code } => self.ended(&uid, code, behaviours, now),
            Signal::Stopped { uid } => self.stopped(&uid),
        }
    }

    fn seen(
        &mut self,
        object: &Object,
        gone: bool,
        behaviours: &BTreeMap<String, Behaviour>,
        now: Timestamp,
    ) -> Vec<Wish> {
        match object {
            Object::Node(node) if node.name() == self.name => {
                let range = node.spec.as_ref().and_then(|spec| spec.pod_cidr.split('/').next()?.parse().ok());
                self.range = range.or(self.range);
                let homeless: Vec<String> = self.pods.keys().cloned().collect();
                homeless.iter().flat_map(|uid| self.begin(uid, behaviours, now)).collect()
            }
            Object::Pod(pod) if gone => {
                self.pods.remove(pod.uid());
                Vec::new()
            }
            Object::Pod(pod) if pod::node_name(pod) == Some(&self.name) => self.pod(pod, behaviours, now),
            _ => Vec::new(),
        }
    }

    fn listed(&mut self, all: &[Arc<Object>], behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        let own = |object: &&Arc<Object>| match &***object {
            Object::Pod(pod) => pod::node_name(pod) == Some(&self.name),
            Object::Node(node) => node.name() == self.name,
            _ => false,
        };
        let own: Vec<Arc<Object>> = all.iter().filter(own).cloned().collect();
        self.pods.retain(|uid, _| own.iter().any(|object| object.get::<Pod>().is_some_and(|pod| pod.uid() == uid)));
        let mut wishes: Vec<Wish> = own.iter().flat_map(|object| self.seen(object, false, behaviours, now)).collect();
        wishes.extend(self.pods.values().map(|running| Wish::Write(running.report())));
        wishes
    }

    fn pod(&mut self, pod: &Pod, behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        let uid = pod.uid().to_owned();
        let stopping = pod::is_terminating(pod);
        if let Some(running) = self.pods.get_mut(&uid) {
            running.pod = pod.clone();
            if !stopping || running.phase == Stage::Stopping {
                return Vec::new();
            }
            running.phase = Stage::Stopping;
            let report = Wish::Write(running.report());
            return vec![report, Wish::Later(behaviour(pod, behaviours).stop, Signal::Stopped { uid })];
        }
        if pod::is_terminal(pod) {
            return if stopping { vec![Wish::Write(remove(pod))] } else { Vec::new() };
        }
        let phase = if stopping { Stage::Stopping } else { Stage::Starting };
        let running = Running { pod: pod.clone(), phase, run: 0, address: String::new(), since: now };
        self.pods.insert(uid.clone(), running);
        if stopping { self.stopped(&uid) } else { self.begin(&uid, behaviours, now) }
    }

    /// Starts a Pod once the node has addresses for it.
    fn begin(&mut self, uid: &str, behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        let (Some(range), Some(running)) = (self.range, self.pods.get_mut(uid)) else { return Vec::new() };
        if !running.address.is_empty() || running.phase != Stage::Starting {
            return Vec::new();
        }
        self.addresses += 1;
        running.address = Ipv4Addr::from_bits(range.to_bits() + self.addresses).to_string();
        running.start(uid, Duration::ZERO, behaviours, now)
    }

    fn step(
        &mut self,
        uid: &str,
        run: Option<u32>,
        to: Stage,
        behaviours: &BTreeMap<String, Behaviour>,
        now: Timestamp,
    ) -> Vec<Wish> {
        let Some(running) = self.pods.get_mut(uid) else { return Vec::new() };
        let active = matches!(running.phase, Stage::Starting | Stage::Resting | Stage::Running);
        if run.is_some_and(|run| run != running.run) || !active {
            return Vec::new();
        }
        running.phase = to;
        running.since = now;
        let mut wishes = vec![Wish::Write(running.report())];
        if to == Stage::Running {
            let behaviour = behaviour(&running.pod, behaviours);
            let (uid, run) = (uid.to_owned(), running.run);
            wishes.extend(behaviour.ready.map(|after| Wish::Later(after, Signal::Answers { uid: uid.clone(), run })));
            wishes.extend(behaviour.end.map(|(after, code)| Wish::Later(after, Signal::EndsItself { uid, run, code })));
        }
        wishes
    }

    fn ended(&mut self, uid: &str, code: i32, behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        let Some(running) = self.pods.get_mut(uid) else { return Vec::new() };
        if !matches!(running.phase, Stage::Running | Stage::Ready) {
            return Vec::new();
        }
        let policy = running.pod.spec.as_ref().map_or("", |spec| spec.restart_policy.as_str());
        let again = match policy {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        };
        running.since = now;
        running.phase = if again { Stage::Resting } else { Stage::Over(code) };
        let mut wishes = vec![Wish::Write(running.report())];
        if again {
            let rest = REST_MIN.saturating_mul(1 << running.run.saturating_sub(1).min(8)).min(REST_MAX);
            wishes.extend(running.start(uid, rest, behaviours, now));
        }
        wishes
    }

    fn stopped(&mut self, uid: &str) -> Vec<Wish> {
        self.pods.remove(uid).map(|running| Wish::Write(remove(&running.pod))).into_iter().collect()
    }
}

impl Running {
    /// Whether a container of it may be running.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Stage::Over(_) | Stage::Resting)
    }

    fn start(
        &mut self,
        uid: &str,
        rest: Duration,
        behaviours: &BTreeMap<String, Behaviour>,
        now: Timestamp,
    ) -> Vec<Wish> {
        self.run += 1;
        self.since = now;
        let after = rest + behaviour(&self.pod, behaviours).start;
        vec![Wish::Later(after, Signal::Started { uid: uid.to_owned(), run: self.run })]
    }

    fn report(&self) -> Write {
        let mut pod = self.pod.clone();
        let meta = pod.metadata_mut();
        meta.resource_version.clear();
        let status = pod.status.get_or_insert_default();
        self.fill(status);
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        status.container_statuses =
            containers.map(|container| self.container(&container.name, &container.image)).collect();
        Write::Update(pod.into(), Subresource::Status)
    }

    fn fill(&self, status: &mut PodStatus) {
        status.phase = match self.phase {
            Stage::Starting => "Pending",
            Stage::Running | Stage::Ready | Stage::Resting | Stage::Stopping => "Running",
            Stage::Over(0) => "Succeeded",
            Stage::Over(_) => "Failed",
        }
        .to_owned();
        status.pod_ip.clone_from(&self.address);
        status.pod_ips = vec![PodIp { ip: self.address.clone() }];
        let ready = ConditionStatus::from(self.phase == Stage::Ready);
        for kind in ["ContainersReady", "Ready"] {
            conditions::set(&mut status.conditions, conditions::new(kind, ready, "", "", self.since));
        }
    }

    fn container(&self, name: &str, image: &str) -> ContainerStatus {
        let mut state = ContainerState::default();
        match self.phase {
            Stage::Starting => state.waiting = Some(waiting("ContainerCreating")),
            Stage::Resting => state.waiting = Some(waiting("CrashLoopBackOff")),
            Stage::Running | Stage::Ready | Stage::Stopping => {
                state.running = Some(ContainerStateRunning { started_at: Some(self.since.into()) });
            }
            Stage::Over(exit_code) => {
                let reason = if exit_code == 0 { "Completed" } else { "Error" }.to_owned();
                state.terminated = Some(ContainerStateTerminated { exit_code, reason, ..Default::default() });
            }
        }
        let restart_count = i32::try_from(self.run.saturating_sub(1)).unwrap_or(i32::MAX);
        let ready = self.phase == Stage::Ready;
        let (name, image) = (name.to_owned(), image.to_owned());
        ContainerStatus { name, image, ready, restart_count, state: Some(state), ..ContainerStatus::default() }
    }
}

fn waiting(reason: &str) -> ContainerStateWaiting {
    ContainerStateWaiting { reason: reason.to_owned(), message: String::new() }
}

fn behaviour(pod: &Pod, behaviours: &BTreeMap<String, Behaviour>) -> Behaviour {
    let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|container| container.image.as_str());
    image.and_then(|image| behaviours.get(image)).copied().unwrap_or_default()
}

/// The Pod has stopped: nothing of it is left here.
fn remove(pod: &Pod) -> Write {
    let uid = Some(pod.uid().to_owned());
    Write::Delete(pod.key(), DeleteOptions { grace_period_s: Some(0), uid, ..DeleteOptions::default() })
}
