//! What to do next on this node: a value that is fed events and returns effects.
//!
//! Each Pod is a [`PodLife`](life::PodLife), advanced level by level: whatever it was told last, it looks at what is wanted
//! and at what is, and says the next step. Nothing is decided from the order in which events came.

mod container;
mod life;
mod probes;
mod status;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use api::{Change, ChangeType, Key, Timestamp, core_v1, kinds::Resource as _};

use crate::addresses::Addresses;
use life::PodLife;

pub use container::Ended;
pub use probes::ProbeKind;
pub(crate) use status::{CREATING, INITIALIZING};

/// Identifies one incarnation of a Pod.
pub type Uid = Arc<str>;

/// One run of one container. Events that name an older run are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The Pod.
    pub pod: Uid,
    /// The container's name.
    pub container: Arc<str>,
    /// Counts its runs on this node, from 1.
    pub number: u32,
}

/// How a container does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It answers requests, each in an instance of its own, and has nothing to do before the first one.
    Handler,
    /// It runs from a start to an end, and may end at any time.
    Program,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Pods bound to this node appeared, changed or went.
    Pods(Vec<Change>),
    /// History was lost: exactly these Pods are bound to this node.
    AllPods(Vec<Arc<core_v1::Pod>>),
    /// The cluster gave this node a range of addresses.
    Range(String),
    /// An image is ready; this names it, and by this it can be pulled again.
    Prepared(Run, String),
    /// An image cannot be pulled, or cannot be run.
    NotPrepared(Run, Failure),
    /// What failed for a run may succeed now.
    Again(Run),
    /// A container runs.
    Started(Run, Shape),
    /// A container could not be started.
    NotStarted(Run, Failure),
    /// A container ended.
    Ended(Run, Ended),
    /// Instances of a handler ended badly in the middle of requests. It goes on with new ones.
    InstancesEnded(Run, Ended),
    /// A probe was answered; an error says why it failed.
    Probed(Run, ProbeKind, Result<(), String>),
    /// Nothing reaches the Pod through a Service any more.
    Drained(Uid),
    /// The Pod's volumes, logs and sockets are gone.
    Cleaned(Uid),
    /// The time of an [`Effect::WakeAt`] has come.
    Woken,
}

/// Why a container waits: `ErrImagePull`, `InvalidImage`, `CreateContainerConfigError`, `RunContainerError`…
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word for programs.
    pub reason: &'static str,
    /// What people read.
    pub message: String,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Get the image and make it ready.
    Prepare(Run, Arc<core_v1::Pod>),
    /// Start the container under an address.
    Start(Run, Arc<core_v1::Pod>, Ipv4Addr),
    /// Ask the container to end, and end it after the grace period.
    Stop(Run, Duration),
    /// Ask how the container is.
    Probe(Run, ProbeKind, Arc<core_v1::Pod>, Ipv4Addr),
    /// Say [`Event::Drained`] once nothing reaches the Pod through a Service.
    Drain(Uid, Vec<Ipv4Addr>),
    /// Remove what the Pod left on this node, then say [`Event::Cleaned`].
    Clean(Uid),
    /// Write the status of the Pod.
    Report(Arc<core_v1::Pod>),
    /// Remove the Pod from the cluster's state: it has ended here.
    Remove(Key, Uid),
    /// Tell the users.
    Tell(Arc<core_v1::Pod>, Note),
    /// Say [`Event::Woken`] then.
    WakeAt(Timestamp),
}

/// What becomes an Event object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is a problem.
    pub warning: bool,
    /// One word for programs.
    pub reason: &'static str,
    /// What people read.
    pub message: String,
}

impl Note {
    fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into() }
    }

    fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: true, reason, message: message.into() }
    }
}

/// The brain of one node.
#[derive(Debug)]
pub struct Brain {
    host: Ipv4Addr,
    pods: BTreeMap<Uid, PodLife>,
    addresses: Addresses,
    /// Pods for which no address was left.
    starved: BTreeSet<Uid>,
    /// Pods to look at again, soonest first.
    alarms: BinaryHeap<Reverse<(Timestamp, Uid)>>,
    /// The earliest wake-up that was asked for and has not come.
    asked: Option<Timestamp>,
}

impl Brain {
    /// A brain that knows no Pod yet. `host` is the node's own address.
    #[must_use]
    pub fn new(host: Ipv4Addr) -> Self {
        Self {
            host,
            pods: BTreeMap::new(),
            addresses: Addresses::default(),
            starved: BTreeSet::new(),
            alarms: BinaryHeap::new(),
            asked: None,
        }
    }

    /// How many Pods it looks after.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Pods(changes) => changes.into_iter().for_each(|change| self.observe(change, now, &mut effects)),
            Event::AllPods(pods) => self.replace(pods, now, &mut effects),
            Event::Range(cidr) => {
                if let Err(error) = self.addresses.set_range(&cidr) {
                    tracing::error!(%cidr, %error, "the range of Pod addresses is not understood");
                }
                let all: Vec<Uid> = self.pods.keys().cloned().collect();
                all.iter().for_each(|uid| self.advance(uid, now, &mut effects));
            }
            Event::Drained(uid) => self.tell(&uid, now, &mut effects, PodLife::drained),
            Event::Cleaned(uid) => self.forget(&uid, now, &mut effects),
            Event::Woken => self.wake(now, &mut effects),
            Event::Prepared(run, id) => self.tell_run(&run, now, &mut effects, |life, at| life.prepared(at, id)),
            Event::NotPrepared(run, failure) | Event::NotStarted(run, failure) => {
                self.tell_run(&run, now, &mut effects, |life, at| life.failed(at, failure, now));
            }
            Event::Started(run, shape) => {
                self.tell_run(&run, now, &mut effects, |life, at| life.started(at, shape, now));
            }
            Event::Again(run) => self.tell_run(&run, now, &mut effects, |life, at| life.again(at, now)),
            Event::Ended(run, ended) => self.tell_run(&run, now, &mut effects, |life, at| life.ended(at, ended, now)),
            Event::InstancesEnded(run, ended) => {
                self.tell_run(&run, now, &mut effects, |life, at| life.instances_ended(at, ended, now));
            }
            Event::Probed(run, kind, result) => {
                self.tell_run(&run, now, &mut effects, |life, at| life.probed(at, kind, result, now));
            }
        }
        self.ask_to_wake(now, &mut effects);
        effects
    }

    fn observe(&mut self, change: Change, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(pod) = change.object.get::<core_v1::Pod>() else { return };
        let uid: Uid = pod.uid().into();
        match change.change {
            ChangeType::Deleted => self.vanish(&uid, now, effects),
            // A copy has room for what is in it, where what was decoded has some for more: 10 KiB a Pod.
            ChangeType::Added | ChangeType::Modified => self.see(uid, Arc::new(pod.clone()), now, effects),
        }
    }

    fn see(&mut self, uid: Uid, pod: Arc<core_v1::Pod>, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.pods.get_mut(&uid) {
            Some(life) => life.seen(pod),
            None => {
                let mut life = PodLife::new(uid.clone(), pod, self.host, now);
                if let Some(address) = life.held_address().filter(|address| !self.addresses.keep(*address)) {
                    tracing::warn!(%address, pod = %life.key(), "the address belongs to another Pod; a new one is given");
                    life.set_address(None);
                }
                self.pods.insert(uid.clone(), life);
            }
        }
        self.advance(&uid, now, effects);
    }

    fn replace(&mut self, pods: Vec<Arc<core_v1::Pod>>, now: Timestamp, effects: &mut Vec<Effect>) {
        let gone: Vec<Uid> =
            self.pods.keys().filter(|uid| pods.iter().all(|pod| *pod.uid() != ***uid)).cloned().collect();
        gone.iter().for_each(|uid| self.vanish(uid, now, effects));
        for pod in pods {
            self.see(pod.uid().into(), pod, now, effects);
        }
    }

    /// The Pod is gone from the cluster's state: end it here without asking anybody.
    fn vanish(&mut self, uid: &Uid, now: Timestamp, effects: &mut Vec<Effect>) {
        self.tell(uid, now, effects, PodLife::vanished);
    }

    fn tell(&mut self, uid: &Uid, now: Timestamp, effects: &mut Vec<Effect>, what: impl FnOnce(&mut PodLife)) {
        if let Some(life) = self.pods.get_mut(uid) {
            what(life);
            self.advance(uid, now, effects);
        }
    }

    /// Tells a Pod about one of its runs, unless it has begun another since.
    fn tell_run(
        &mut self,
        run: &Run,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        what: impl FnOnce(&mut PodLife, usize),
    ) {
        let at = self.pods.get(&run.pod).and_then(|life| life.find(run));
        if let Some(at) = at {
            self.tell(&run.pod, now, effects, |life| what(life, at));
        }
    }

    fn advance(&mut self, uid: &Uid, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(life) = self.pods.get_mut(uid) else { return };
        if life.address().is_none() && life.wants_address() && self.addresses.ready() {
            life.set_address(self.addresses.take());
            if life.address().is_some() {
                self.starved.remove(uid);
            } else if self.starved.insert(uid.clone()) {
                effects.push(life.starve(&self.addresses));
            }
        }
        if let Some(again) = life.advance(now, effects) {
            self.alarms.push(Reverse((again, uid.clone())));
        }
        if let Some(address) = life.release() {
            self.give_back(address, now, effects);
        }
    }

    fn forget(&mut self, uid: &Uid, now: Timestamp, effects: &mut Vec<Effect>) {
        self.starved.remove(uid);
        if let Some(address) = self.pods.remove(uid).and_then(|life| life.held_address()) {
            self.give_back(address, now, effects);
        }
    }

    /// An address is free again: a Pod that waits for one gets it.
    fn give_back(&mut self, address: Ipv4Addr, now: Timestamp, effects: &mut Vec<Effect>) {
        self.addresses.give_back(address);
        let waits = |uid: &&Uid| self.pods.get(*uid).is_some_and(PodLife::wants_address);
        if let Some(waiting) = self.starved.iter().find(waits).cloned() {
            self.advance(&waiting, now, effects);
        }
    }

    fn wake(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.asked = None;
        while self.alarms.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, uid))) = self.alarms.pop() {
                self.advance(&uid, now, effects);
            }
        }
    }

    fn ask_to_wake(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(Reverse((next, _))) = self.alarms.peek() else { return };
        if self.asked.is_none_or(|asked| *next < asked || asked <= now) {
            self.asked = Some(*next);
            effects.push(Effect::WakeAt(*next));
        }
    }
}
