//! A worker: the shipped brain of the agent, with an interpreter for its effects.
//!
//! Where the agent's driver has images, sandboxes and sockets, this has the [`Behaviour`] of an image: how long things take
//! and how they end. Whatever the brain decides is decided here as it is on a real node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use agent::{
    Brain, Effect, Event,
    brain::{Ended, ProbeKind, Run, Shape, Uid},
};
use api::{
    Change, DeleteOptions, Object, Subresource, Timestamp, Write,
    conditions::{self, ConditionStatus},
    core_v1::{Node, NodeStatus, Pod},
    event::{self, EventType},
    kinds::Resource,
    meta_v1::Quantity,
    pod,
    well_known::HOSTNAME_LABEL,
};

/// How long what has no behaviour of its own takes: starting a container, answering a probe, removing what a Pod left.
const MOMENT: Duration = Duration::from_millis(2);

/// The exit code of a container that was asked to end.
const STOPPED: i32 = 0;

/// How containers of an image behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How long it takes to get the image and make it ready.
    pub start: Duration,
    /// From running until readiness probes are answered well; never, if it is `None`.
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

/// What reaches a worker.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// Something about its node or its Pods changed.
    Seen(Change),
    /// Everything that exists, after it was cut off.
    Listed(Vec<Arc<Object>>),
    /// The container of a Pod ends now.
    Crash {
        /// The Pod's uid.
        uid: String,
        /// The exit code.
        code: i32,
    },
    /// Something that the brain asked for has come about.
    Done(Event),
}

/// What a worker wants.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// To report.
    Write(Write),
    /// To be told something later.
    Later(Duration, Signal),
}

/// A container of a Pod, whichever run of it.
type Place = (Uid, Arc<str>);

/// A container that runs.
#[derive(Debug)]
struct Live {
    run: Run,
    since: Timestamp,
    behaviour: Behaviour,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    brain: Brain,
    cut_off: bool,
    /// The containers that run now.
    live: BTreeMap<Place, Live>,
    /// What could not be said while it was cut off; the agent's driver tries again until it can.
    unsaid: Vec<Write>,
    /// What it hears and says stays in order: nothing arrives before these times.
    heard_until: Timestamp,
    said_until: Timestamp,
}

impl Worker {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            brain: Brain::new(Ipv4Addr::LOCALHOST),
            cut_off: false,
            live: BTreeMap::new(),
            unsaid: Vec::new(),
            heard_until: Timestamp(0),
            said_until: Timestamp(0),
        }
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    pub(crate) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    /// It is heard again: answers what it could not say.
    pub(crate) fn bring_back(&mut self) -> Vec<Write> {
        self.cut_off = false;
        std::mem::take(&mut self.unsaid)
    }

    /// The Pods that have a running container here.
    fn live_pods(&self) -> BTreeSet<&Uid> {
        self.live.keys().map(|(pod, _)| pod).collect()
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
        let ready = conditions::new(conditions::READY, ConditionStatus::True, "KubeletReady", "", Timestamp(0));
        let (capacity, allocatable, conditions) = (room.clone(), room, vec![ready]);
        let status = NodeStatus { capacity, allocatable, conditions, ..NodeStatus::default() };
        let mut node = Node { status: Some(status), ..Node::default() };
        node.metadata_mut().name.clone_from(&self.name);
        node.metadata_mut().labels.insert(HOSTNAME_LABEL.to_owned(), self.name.clone());
        node
    }

    pub(crate) fn handle(
        &mut self,
        signal: Signal,
        behaviours: &BTreeMap<String, Behaviour>,
        now: Timestamp,
    ) -> Vec<Wish> {
        let events = match signal {
            Signal::Seen(_) | Signal::Listed(_) if self.cut_off => Vec::new(),
            Signal::Seen(change) => match range(&change.object) {
                Some(range) => vec![Event::Range(range)],
                None => vec![Event::Pods(vec![change])],
            },
            Signal::Listed(objects) => self.listed(&objects),
            Signal::Crash { uid, code } => {
                let first = self.live.values().find(|live| *live.run.pod == *uid);
                first.map(|live| ended(live.run.clone(), code)).into_iter().collect()
            }
            Signal::Done(event) => vec![event],
        };
        events.into_iter().flat_map(|event| self.take_in(event, behaviours, now)).collect()
    }

    fn listed(&self, objects: &[Arc<Object>]) -> Vec<Event> {
        let own = |object: &&Arc<Object>| object.get::<Node>().is_some_and(|node| node.name() == self.name);
        let range = objects.iter().find(own).and_then(|object| range(object)).map(Event::Range);
        let pods = objects.iter().filter_map(|object| object.get::<Pod>());
        let bound = pods.filter(|pod| pod::node_name(pod) == Some(&self.name)).cloned().map(Arc::new);
        range.into_iter().chain([Event::AllPods(bound.collect())]).collect()
    }

    fn take_in(&mut self, event: Event, behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        if let Event::Ended(run, _) = &event {
            let place = place(run);
            // A container ends once, whatever else was to end it.
            if self.live.get(&place).is_none_or(|live| live.run != *run) {
                return Vec::new();
            }
            self.live.remove(&place);
        }
        let effects = self.brain.handle(event, now);
        effects.into_iter().flat_map(|effect| self.carry_out(effect, behaviours, now)).collect()
    }

    fn carry_out(&mut self, effect: Effect, behaviours: &BTreeMap<String, Behaviour>, now: Timestamp) -> Vec<Wish> {
        let later = |after, event| vec![Wish::Later(after, Signal::Done(event))];
        match effect {
            Effect::Prepare(run, pod) => {
                later(behaviour(&pod, behaviours).start, Event::Prepared(run, "sha256:simulated".to_owned()))
            }
            Effect::Start(run, pod, _) => {
                let behaviour = behaviour(&pod, behaviours);
                self.live.insert(place(&run), Live { run: run.clone(), since: now, behaviour });
                let mut wishes = later(MOMENT, Event::Started(run.clone(), Shape::Handler));
                if let Some((after, code)) = behaviour.end {
                    wishes.extend(later(MOMENT + after, ended(run, code)));
                }
                wishes
            }
            Effect::Stop(run, grace) => {
                let stop = self.live.get(&place(&run)).map_or(MOMENT, |live| live.behaviour.stop);
                later(stop.min(grace), ended(run, STOPPED))
            }
            Effect::Probe(run, kind, _, _) => {
                let answer = self.probe(&run, kind, now);
                later(MOMENT, Event::Probed(run, kind, answer))
            }
            Effect::Drain(uid, _) => later(MOMENT, Event::Drained(uid)),
            Effect::Clean(uid) => later(MOMENT, Event::Cleaned(uid)),
            Effect::Report(pod) => self.say(Write::Update(Pod::clone(&pod).into(), Subresource::Status)),
            Effect::Remove(key, uid) => {
                let uid = Some(uid.to_string());
                let options = DeleteOptions { grace_period_s: Some(0), uid, ..DeleteOptions::default() };
                self.say(Write::Delete(key, options))
            }
            // That things go well is not worth telling in a story.
            Effect::Tell(_, note) if !note.warning => Vec::new(),
            Effect::Tell(pod, note) => {
                let about = event::reference_to(&*pod);
                let told = event::new(about, EventType::Warning, note.reason, &note.message, "kubelet", now);
                self.say(Write::Create(told.into()))
            }
            Effect::WakeAt(at) => later(at.since(now), Event::Woken),
        }
    }

    fn probe(&self, run: &Run, kind: ProbeKind, now: Timestamp) -> Result<(), String> {
        let answers = self.live.get(&place(run)).is_some_and(|live| {
            let wait = if kind == ProbeKind::Readiness { live.behaviour.ready } else { Some(Duration::ZERO) };
            wait.is_some_and(|wait| now >= live.since.after(wait))
        });
        if answers { Ok(()) } else { Err("nobody answers".to_owned()) }
    }

    fn say(&mut self, write: Write) -> Vec<Wish> {
        if self.cut_off {
            self.unsaid.push(write);
            return Vec::new();
        }
        vec![Wish::Write(write)]
    }
}

/// A Pod that runs on a node and elsewhere.
pub(crate) fn double(workers: &BTreeMap<String, Worker>) -> Option<(&str, &Uid)> {
    let mut seen = BTreeSet::new();
    let mut all =
        workers.iter().flat_map(|(node, worker)| worker.live_pods().into_iter().map(move |uid| (node.as_str(), uid)));
    all.find(|(_, uid)| !seen.insert(*uid))
}

fn place(run: &Run) -> Place {
    (run.pod.clone(), run.container.clone())
}

fn range(object: &Object) -> Option<String> {
    let spec = object.get::<Node>()?.spec.as_ref()?;
    Some(spec.pod_cidr.clone()).filter(|range| !range.is_empty())
}

fn ended(run: Run, code: i32) -> Event {
    let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
    Event::Ended(run, Ended { code, reason, message: String::new() })
}

fn behaviour(pod: &Pod, behaviours: &BTreeMap<String, Behaviour>) -> Behaviour {
    let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|container| container.image.as_str());
    image.and_then(|image| behaviours.get(image)).copied().unwrap_or_default()
}
