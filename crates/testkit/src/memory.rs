//! What a master holds in memory for each Pod, part by part: the state, its history, the world of the controllers, and the
//! list of what they were told.
//!
//! The shipped controllers and the shipped decisions bring Pods to life on simulated nodes over the shipped state, as a master
//! does, and what each part holds is weighed by letting go of it. The program must have [`Counting`](crate::fuzz::Counting) as
//! its allocator. Bytes are those that were asked for, and so the same in every build; an allocator adds about a tenth.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use api::{
    ChangeType, Cidr, Error, Key, Kind, Object, Reason, Subresource, Timestamp, Write, WriteOutcome,
    apiextensions_v1::CustomResourceDefinition,
    conditions::{self, CONTAINERS_READY, ConditionStatus, INITIALIZED, READY},
    core_v1::{
        ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus, HostIp, Namespace, Node,
        NodeStatus, Pod, PodCondition, PodIp, PodStatus,
    },
    custom::{Definition, Definitions},
    event::{self, EventType},
    json::{self, Strictness},
    kinds::Resource,
    meta_v1::Quantity,
    pod,
    well_known::{DEFAULT_NAMESPACE, SYSTEM_NAMESPACE},
    yaml,
};
use consensus::Machine as _;
use control::{Brain, Config, Effect, Ticket};
use registry::decide::{self, Rules, Stamp};
use store::{Machine, Op, Record, Store, Txn, Watch};

use crate::fuzz::held;

/// When the simulation begins.
const BEGINNING: Timestamp = Timestamp(1_700_000_000_000);

/// How long a turn takes: short enough that no node falls silent between two.
const TURN: Duration = Duration::from_millis(200);

/// The most writes of one turn, so that nobody falls so far behind that history has passed him.
const WRITES_MAX: usize = 500;

/// For how long nothing happens before the scales are read.
const REST: Duration = Duration::from_secs(60);

/// Pods of one Deployment.
const REPLICAS: usize = 100;

/// Pods of one node.
const PODS_A_NODE: usize = 200;

/// What the parts of a master hold, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weights {
    /// The objects that are there, as the bytes that were agreed on.
    pub agreed: isize,
    /// What the state holds besides: names, revisions, the maps.
    pub around: isize,
    /// Decoded values, and all else that a restart would let go of.
    pub decoded: isize,
    /// The history for watchers.
    pub history: isize,
    /// The list of what the controllers were told.
    pub told: isize,
    /// The controllers: their world and their queue.
    pub control: isize,
}

impl Weights {
    fn parts(self) -> [(&'static str, isize); 6] {
        [
            ("bytes that were agreed on", self.agreed),
            ("names, revisions, maps", self.around),
            ("decoded values", self.decoded),
            ("history for watchers", self.history),
            ("what controllers were told", self.told),
            ("controllers", self.control),
        ]
    }

    /// All parts together.
    #[must_use]
    pub fn sum(self) -> isize {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl std::ops::Sub for Weights {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            agreed: self.agreed - other.agreed,
            around: self.around - other.around,
            decoded: self.decoded - other.decoded,
            history: self.history - other.history,
            told: self.told - other.told,
            control: self.control - other.control,
        }
    }
}

impl std::ops::Div<isize> for Weights {
    type Output = Self;

    fn div(self, count: isize) -> Self {
        Self {
            agreed: self.agreed / count,
            around: self.around / count,
            decoded: self.decoded / count,
            history: self.history / count,
            told: self.told / count,
            control: self.control / count,
        }
    }
}

impl fmt::Display for Weights {
    /// A line for each part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().iter().try_for_each(|(part, bytes)| writeln!(f, "{bytes:>8}  {part}"))?;
        write!(f, "{:>8}  together", self.sum())
    }
}

/// Brings so many Pods to life, lets everything come to rest and weighs it. `events` says whether anybody tells of it in
/// Events.
///
/// # Panics
/// If the cluster does not do what it is asked to.
#[must_use]
pub fn weigh(pods: usize, events: bool) -> Weights {
    let mut master = Master::new(pods.div_ceil(PODS_A_NODE), events);
    for n in 0..pods.div_ceil(REPLICAS) {
        master.create(&deployment(n, REPLICAS.min(pods - n * REPLICAS)));
    }
    master.rest();
    let running = master.store.view().list(Kind::Pod, None, None).filter(|record| is_running(record)).count();
    assert_eq!(running, pods, "Pods that run");
    master.weigh()
}

/// What a master holds for so many definitions of kinds of which there are no objects: all that [`weigh`] tells apart, what the
/// Registry knows of them, and their names. In bytes.
///
/// # Panics
/// If the cluster does not do what it is asked to.
#[must_use]
pub fn weigh_definitions(count: usize) -> isize {
    let before = held();
    let mut master = Master::new(0, false);
    for n in 0..count {
        master.create(&definition(n));
        if n % DEFINITIONS_A_TURN == 0 {
            master.turn();
        }
    }
    master.rest();
    let view = master.store.view();
    let read = view.list(Kind::CustomResourceDefinition, None, None).filter_map(|record| {
        let object = record.object();
        Definition::of(object.get::<CustomResourceDefinition>()?).map(Arc::new)
    });
    let definitions = Definitions::of(read);
    assert_eq!(definitions.served().count(), count, "kinds that are served");
    held() - before
}

/// How many definitions come within a turn, as from a package that brings many.
const DEFINITIONS_A_TURN: usize = 50;

/// Fields of the schema of a definition, which make it about 12 KiB long.
const SCHEMA_FIELDS: usize = 80;

fn definition(n: usize) -> Object {
    let field = |field: usize| {
        let described =
            "What the provider is to do about this, in a sentence or two as people write them in their types.";
        (format!("parameter{field}"), serde_json::json!({"type": "string", "description": described}))
    };
    let fields: serde_json::Map<String, serde_json::Value> = (0..SCHEMA_FIELDS).map(field).collect();
    let spec = serde_json::json!({"type": "object", "properties": fields});
    let manifest = serde_json::json!({
        "metadata": {"name": format!("widgets{n}.memory.test")},
        "spec": {
            "group": "memory.test",
            "scope": "Cluster",
            "names": {"plural": format!("widgets{n}"), "kind": format!("Widget{n}"), "categories": ["managed"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }],
        },
    });
    json::decode(Kind::CustomResourceDefinition, &manifest, Strictness::Strict).expect("it is a definition").object
}

fn is_running(record: &Record) -> bool {
    record.object().get::<Pod>().is_some_and(pod::is_ready)
}

/// The parts of a master that hold objects, and whoever writes them.
struct Master {
    machine: Machine,
    store: Store,
    watch: Watch,
    told: BTreeMap<Key, Arc<Record>>,
    brain: Brain,
    nodes: Vec<String>,
    rules: Rules,
    now: Timestamp,
    writes: u64,
    events: bool,
    /// What was decided and not yet written: by controllers with their ticket, or by kubelets.
    wishes: VecDeque<(Option<Ticket>, Write)>,
    settled: Vec<control::Event>,
    addresses: u32,
}

impl Master {
    fn new(nodes: usize, events: bool) -> Self {
        let (machine, store) = store::new();
        let watch = store.watch_all(store.view().revision()).expect("nothing was forgotten yet");
        let service_cidr = Cidr::new(Ipv4Addr::new(127, 128, 0, 0), 12).expect("the range begins at its first address");
        let mut master = Self {
            machine,
            store,
            watch,
            told: BTreeMap::new(),
            brain: Brain::new(Config::default()),
            nodes: (0..nodes).map(|n| format!("worker-{n}")).collect(),
            rules: Rules { service_cidr },
            now: BEGINNING,
            writes: 0,
            events,
            wishes: VecDeque::new(),
            settled: vec![control::Event::Synced],
            addresses: 0,
        };
        for name in [DEFAULT_NAMESPACE, SYSTEM_NAMESPACE] {
            let mut namespace = Namespace::default();
            name.clone_into(&mut namespace.metadata_mut().name);
            master.create(&namespace.into());
        }
        for name in master.nodes.clone() {
            master.create(&node(&name));
        }
        master
    }

    fn create(&mut self, object: &Object) {
        self.write(&Write::Create(object.clone())).expect("it may be created");
    }

    fn write(&mut self, write: &Write) -> WriteOutcome {
        self.writes += 1;
        let uid = format!("{:08x}-1c1e-4d5f-8a3b-{:012x}", self.writes * 2_654_435_761 % (1 << 32), self.writes);
        let stamp = Stamp { now: self.now, uid, random: self.writes, attempt: 0 };
        let decision = decide::decide(&self.store.view(), write, write.key().kind.into(), &stamp, &self.rules)?;
        if decision.txn.ops.is_empty() {
            return Ok(decision.object);
        }
        let applied = self.machine.apply(self.writes, decision.txn.encode());
        self.machine.show();
        let applied = applied.map_err(|refusal| Error::conflict(&write.key(), refusal))?;
        let stored = applied.records.iter().flatten().next().map(|record| record.object());
        Ok(stored.unwrap_or(decision.object))
    }

    /// Everybody takes a turn. Says whether anybody wanted anything.
    fn turn(&mut self) -> bool {
        self.now = self.now.after(TURN);
        for _ in 0..self.wishes.len().min(WRITES_MAX) {
            let Some((ticket, write)) = self.wishes.pop_front() else { break };
            let outcome = self.write(&write);
            self.settled.extend(ticket.map(|ticket| control::Event::Settled { ticket, outcome }));
        }
        let mut events = self.beats();
        events.push(self.observe());
        events.append(&mut self.settled);
        let effects = self.brain.handle_all(events, self.now);
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        !(self.wishes.is_empty() && self.settled.is_empty())
    }

    /// Lets time pass until nobody has wanted anything for a while.
    fn rest(&mut self) {
        let mut since = self.now;
        while self.now.since(since) < REST {
            if self.turn() {
                since = self.now;
            }
        }
    }

    fn beats(&self) -> Vec<control::Event> {
        let beat = |node: &String| control::Event::Heartbeat { node: node.clone(), at: self.now };
        self.nodes.iter().map(beat).collect()
    }

    /// What has changed, for the controllers; kubelets react to it.
    fn observe(&mut self) -> control::Event {
        let mut changes = Vec::new();
        loop {
            let events = self.watch.ready().expect("nobody is so far behind");
            if events.is_empty() {
                return control::Event::Observed(changes);
            }
            for event in events {
                let record = &event.record;
                match event.change {
                    ChangeType::Added | ChangeType::Modified => self.told.insert(record.key.clone(), record.clone()),
                    ChangeType::Deleted => self.told.remove(&record.key),
                };
                if record.key.kind == Kind::Pod {
                    self.kubelet(&record.object());
                }
                changes.push(event.observation());
            }
        }
    }

    /// A node reports that a Pod's containers are created, and then that they run.
    fn kubelet(&mut self, object: &Arc<Object>) {
        let Some(bound) = object.get::<Pod>().filter(|pod| pod::node_name(pod).is_some()) else { return };
        let status = bound.status.clone().unwrap_or_default();
        let (reported, reason, message) = if status.container_statuses.is_empty() {
            (creating(bound, status, self.now), "Pulled", "Image \"registry.example.com/team/web:v1.2.3\" is ready")
        } else if status.phase == "Pending" {
            self.addresses += 1;
            let address = Ipv4Addr::from_bits(0x0A01_0000 + self.addresses);
            (running(bound, status, address, self.now), "Started", "Started container web")
        } else {
            return;
        };
        let status = Pod { status: Some(reported), ..bound.clone() };
        self.wishes.push_back((None, Write::Update(status.into(), Subresource::Status)));
        if self.events {
            let told = event::new(event::reference(object), EventType::Normal, reason, message, "kubelet", self.now);
            self.wishes.push_back((None, Write::Create(told.into())));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let Effect::Write { ticket, write } = effect else { return };
        if write.key().kind == Kind::Event && !self.events {
            let outcome = Err(Error::new(Reason::Forbidden, "nobody is to tell of anything"));
            self.settled.push(control::Event::Settled { ticket, outcome });
        } else {
            self.wishes.push_back((Some(ticket), write));
        }
    }

    /// Lets go of one part after the other.
    fn weigh(self) -> Weights {
        let Self { mut machine, store, watch, told, brain, nodes, wishes, settled, .. } = self;
        drop((watch, nodes, wishes, settled));
        let view = store.view();
        let agreed: usize =
            view.kinds().flat_map(|kind| view.list(kind, None, None)).map(|record| record.bytes.len()).sum();
        drop(view);
        let mut scales = held();
        let mut freed = || {
            let before = std::mem::replace(&mut scales, held());
            before - scales
        };
        drop(brain);
        let control = freed();
        drop(told);
        let told = freed();
        // Ends the history, as the restoring of a backup does.
        _ = machine.apply(u64::MAX, Txn { ops: vec![Op::Advance { by: 1 }] }.encode());
        machine.show();
        let history = freed();
        let mut snapshot = Vec::new();
        machine.snapshot()(&mut snapshot).expect("memory takes everything");
        let snapshot_bytes = snapshot.capacity().cast_signed();
        drop((machine, store));
        let state = freed() + snapshot_bytes;
        let (mut again, _store) = store::new();
        again.restore(&mut snapshot.as_slice()).expect("it was written a moment ago");
        drop(snapshot);
        let kept = -freed() + snapshot_bytes;
        drop((again, _store));
        let agreed = agreed.cast_signed();
        Weights { agreed, around: kept - agreed, decoded: state - kept, history, told, control }
    }
}

fn deployment(n: usize, replicas: usize) -> Object {
    let manifest = format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{n}, namespace: default, labels: {{app: web-{n}}}}}
spec:
  replicas: {replicas}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 100%, maxUnavailable: 100%}}}}
  selector: {{matchLabels: {{app: web-{n}}}}}
  template:
    metadata: {{labels: {{app: web-{n}, tier: front}}}}
    spec:
      containers:
      - name: web
        image: registry.example.com/team/web:v1.2.3
        ports: [{{name: http, containerPort: 8080}}]
        env: [{{name: GREETING, value: hello}}, {{name: LEVEL, value: info}}]
        resources: {{requests: {{cpu: 10m, memory: 16Mi}}, limits: {{memory: 64Mi}}}}
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 10}}
"
    );
    let documents = yaml::documents(&manifest).expect("a manifest of our own");
    json::decode(Kind::Deployment, &documents[0], Strictness::Strict).expect("it is a Deployment").object
}

fn node(name: &str) -> Object {
    let room = [("cpu", "64"), ("memory", "256Gi"), ("pods", "250")];
    let room: BTreeMap<String, Quantity> =
        room.iter().map(|(name, amount)| ((*name).to_owned(), Quantity { string: (*amount).to_owned() })).collect();
    let ready = conditions::new(READY, ConditionStatus::True, "KubeletReady", "", BEGINNING);
    let status =
        NodeStatus { capacity: room.clone(), allocatable: room, conditions: vec![ready], ..NodeStatus::default() };
    let mut node = Node { status: Some(status), ..Node::default() };
    name.clone_into(&mut node.metadata_mut().name);
    node.into()
}

/// As the agent reports a Pod whose image it is getting.
fn creating(pod: &Pod, status: PodStatus, now: Timestamp) -> PodStatus {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let waiting = ContainerStateWaiting { reason: "ContainerCreating".to_owned(), message: String::new() };
    let state = ContainerState { waiting: Some(waiting), ..ContainerState::default() };
    let one = |container: &api::core_v1::Container| ContainerStatus {
        name: container.name.clone(),
        state: Some(Box::new(state.clone())),
        image: container.image.clone(),
        started: Some(false),
        ..ContainerStatus::default()
    };
    let mut status = PodStatus {
        host_ip: "192.0.2.17".to_owned(),
        host_ips: vec![HostIp { ip: "192.0.2.17".to_owned() }],
        start_time: Some(now.into()),
        container_statuses: containers.map(one).collect(),
        ..status
    };
    for kind in ["PodReadyToStartContainers", INITIALIZED, READY, CONTAINERS_READY] {
        set(&mut status, kind, ConditionStatus::from(kind == INITIALIZED), now);
    }
    status
}

/// As the agent reports a Pod that runs.
fn running(pod: &Pod, status: PodStatus, address: Ipv4Addr, now: Timestamp) -> PodStatus {
    let mut status = PodStatus {
        phase: pod::Phase::Running.word().to_owned(),
        pod_ip: address.to_string(),
        pod_ips: vec![PodIp { ip: address.to_string() }],
        ..status
    };
    for container in &mut status.container_statuses {
        let running = ContainerStateRunning { started_at: Some(now.into()) };
        container.state = Some(Box::new(ContainerState { running: Some(running), ..ContainerState::default() }));
        (container.ready, container.started) = (true, Some(true));
        container.image_id = format!("{}@sha256:{:064x}", container.image, 0xABCD_EF01_2345_u64);
        container.container_id = format!("wasm://{}/{}/1", pod.uid(), container.name);
    }
    for kind in ["PodReadyToStartContainers", READY, CONTAINERS_READY] {
        set(&mut status, kind, ConditionStatus::True, now);
    }
    status
}

fn set(status: &mut PodStatus, kind: &str, holds: ConditionStatus, now: Timestamp) {
    let condition: PodCondition = conditions::new(kind, holds, "", "", now);
    conditions::set(&mut status.conditions, condition);
}
