//! A whole cluster as a value: the shipped controllers and the shipped door over the real state, with simulated workers, on
//! virtual time.
//!
//! Everything that travels takes time, and [`Weather`] says how long and what goes wrong on the way. Two runs with the same
//! seed and the same requests are the same, step by step.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::{
    Change, Cidr, Error, Key, Kind, Object, Observation, Reason, Subresource, Timestamp, Write, WriteOutcome,
    apiextensions_v1::CustomResourceDefinition,
    core_v1,
    custom::{Definition, Definitions},
    event,
    kinds::Resource,
    well_known::{DEFAULT_NAMESPACE, SYSTEM_NAMESPACE},
    x509::Order,
};
use control::{Brain, Config, Effect, Event, Ticket};
use registry::{
    Form, Roles,
    decide::{self, Bill, Fate, Rules, Sent, Stamp},
};
use rpc::identity::Authority;
use store::{State, View};

use crate::{
    agenda::Agenda,
    checker::Checker,
    prng::Prng,
    worker::{Behaviour, Signal, Wish, Worker},
};

/// A certificate that was decided on, signed by an authority of its own: nobody here believes it.
fn signed(order: &Order, now: Timestamp) -> Write {
    let authority = Authority::found("simulated").and_then(|authority| authority.certify(&order.certificate));
    let certificate = authority.unwrap_or_else(|error| panic!("no certificate: {error}"));
    Write::Update(order.request.issued(certificate, now), Subresource::Status)
}

/// When every simulation begins.
const BEGINNING: Timestamp = Timestamp(1_700_000_000_000);

/// The certificate of every simulated cluster's authority.
const AUTHORITY: &str = "the authority's certificate";

/// How long the controllers are busy with what has reached them, as their driver is while it sends a batch of writes.
const ROUND: Duration = Duration::from_millis(5);

/// How long things take, and what goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// The most time that a message may take, in milliseconds; the least is one.
    pub delay_ms_max: u64,
    /// How many writes of a thousand meet an object that somebody has just changed.
    pub conflicts: u64,
    /// How many writes of a thousand are refused because the masters have no leader.
    pub refusals: u64,
    /// How many answers of a thousand are lost although the write has happened.
    pub losses: u64,
}

/// A whole cluster as a value.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) now: Timestamp,
    pub(crate) weather: Weather,
    pub(crate) prng: Prng,
    pub(crate) workers: BTreeMap<String, Worker>,
    pub(crate) behaviours: BTreeMap<String, Behaviour>,
    state: State,
    agenda: Agenda<Happening>,
    brain: Brain,
    /// Where the masters serve the API.
    masters: BTreeSet<SocketAddr>,
    /// What has reached the controllers while they were busy.
    inbox: Vec<Event>,
    /// Which brain it is, counted: answers to an earlier one reach nobody.
    incarnation: u32,
    /// Changes are seen in order: none before this time.
    seen_until: Timestamp,
    rules: Rules,
    uids: u64,
    checker: Checker,
    story: Vec<String>,
    /// When anybody last changed anything.
    last_change: Timestamp,
}

/// What may happen.
#[derive(Debug)]
enum Happening {
    /// Something reaches the controllers.
    Told(u32, Event),
    /// The controllers take in what has reached them.
    Think,
    /// A write of the controllers arrives at the door.
    Asked(u32, Ticket, Write),
    /// A worker learns something.
    Worker(String, Signal),
    /// A write of a worker arrives at the door.
    Reported(Write),
    /// It is time for a worker's sign of life.
    Beat(String),
}

impl Cluster {
    /// A cluster without nodes, with the namespaces that every cluster has.
    #[must_use]
    pub fn new(seed: u64, weather: Weather) -> Self {
        let service_cidr = Cidr::new(Ipv4Addr::new(127, 128, 0, 0), 12).expect("the range begins at its first address");
        let mut cluster = Self {
            now: BEGINNING,
            weather,
            prng: Prng::new(seed),
            workers: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            state: State::default(),
            agenda: Agenda::default(),
            brain: brain(),
            masters: BTreeSet::new(),
            inbox: Vec::new(),
            incarnation: 0,
            seen_until: BEGINNING,
            rules: Rules { service_cidr },
            uids: 0,
            checker: Checker::default(),
            story: Vec::new(),
            last_change: BEGINNING,
        };
        for name in [DEFAULT_NAMESPACE, SYSTEM_NAMESPACE] {
            let mut namespace = core_v1::Namespace::default();
            name.clone_into(&mut namespace.metadata_mut().name);
            cluster.submit(&Write::Create(namespace.into())).expect("a new cluster takes its namespaces");
        }
        cluster.tell(Event::Synced);
        cluster
    }

    /// Adds a node whose worker reports this much room.
    pub fn add_node(&mut self, name: &str, room: &[(&str, &str)]) {
        let worker = Worker::new(name);
        let node = worker.node(room);
        self.workers.insert(name.to_owned(), worker);
        self.submit(&Write::Create(node.into())).expect("a node may register");
        let at = self.later();
        self.agenda.add(at, Happening::Beat(name.to_owned()));
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// As soon as something is not as it must always be.
    pub fn advance(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now.after(time);
        while let Some((at, happening)) = self.agenda.next(until) {
            self.now = at;
            self.happen(happening);
            self.check()?;
        }
        self.now = until;
        self.check()
    }

    /// A wish of a user, carried out at once.
    ///
    /// # Errors
    /// If the door refuses it.
    pub fn submit(&mut self, write: &Write) -> WriteOutcome {
        self.uids += 1;
        let stamp = Stamp { now: self.now, uid: format!("uid-{}", self.uids), random: self.prng.bits(), attempt: 0 };
        let kind = write.key().kind;
        let definitions = self.definitions();
        let definition = if let Kind::Custom(kind) = kind { definitions.get(kind) } else { None };
        let form = Form::of(kind.into(), definition.map(AsRef::as_ref));
        let sent = Sent { form, ..kind.into() };
        let view = self.state.view();
        let write = &*decide::recounted(&view, Cow::Borrowed(write), self.now);
        let mut decision = decide::decide(&view, write, sent, &stamp, &self.rules)?;
        if let Some(bill) = Bill::of(&view, write, &decision) {
            decision.txn.ops.extend(bill.charge(&view, self.now)?);
        }
        if decision.fate == Fate::Unchanged {
            return Ok(decision.object);
        }
        let applied = self.state.apply(&decision.txn).map_err(|refusal| Error::conflict(&write.key(), refusal))?;
        let stored = applied.records.iter().flatten().next().map(|record| record.object());
        self.publish(&applied.events);
        Ok(stored.unwrap_or(decision.object))
    }

    /// The kinds that users have defined.
    #[must_use]
    pub fn definitions(&self) -> Definitions {
        let all = self.all::<CustomResourceDefinition>();
        Definitions::of(all.iter().filter_map(Definition::of).map(Arc::new))
    }

    /// The state as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.state.view()
    }

    /// All objects of a kind, by name.
    pub fn all<T: Resource + Clone>(&self) -> Vec<T> {
        self.view().list(T::KIND, None, None).filter_map(|record| record.object().get::<T>().cloned()).collect()
    }

    /// How many masters serve the API.
    pub(crate) fn masters(&self) -> usize {
        self.masters.len()
    }

    /// The controllers crash and start again, knowing nothing.
    pub fn restart_control(&mut self) {
        self.brain = brain();
        self.inbox.clear();
        self.incarnation += 1;
        let kinds: Vec<Kind> = self.view().kinds().collect();
        let changes = kinds.into_iter().flat_map(|kind| {
            let records: Vec<Observation> = self.view().list(kind, None, None).map(existing).collect();
            records
        });
        let changes: Vec<Observation> = changes.collect();
        self.tell(Event::Observed(changes));
        self.tell(Event::Masters(self.masters.clone()));
        self.tell(Event::Synced);
    }

    /// From now on the masters serve the API at these addresses.
    pub fn find_masters(&mut self, at: impl IntoIterator<Item = SocketAddr>) {
        self.masters = at.into_iter().collect();
        self.tell(Event::Masters(self.masters.clone()));
    }

    /// From now on the backends of the API answer so, each named by its APIService.
    pub fn hear_backends(&mut self, answers: BTreeMap<String, Result<(), String>>) {
        self.tell(Event::Backends(answers));
    }

    /// A worker is cut off: it hears nothing and nobody hears it. What it runs, runs on.
    pub fn cut_off(&mut self, node: &str) {
        if let Some(worker) = self.workers.get_mut(node) {
            worker.cut_off();
        }
    }

    /// As [`Cluster::cut_off`], but the masters see that the worker's process has ended: its connections close, and its host
    /// refuses new ones.
    pub fn kill(&mut self, node: &str) {
        self.cut_off(node);
        let (node, at) = (node.to_owned(), self.now);
        self.tell(Event::Gone { node, at });
    }

    /// A worker that was cut off is back, and catches up.
    pub fn bring_back(&mut self, node: &str) {
        let view = self.view();
        let Some(worker) = self.workers.get_mut(node).filter(|worker| worker.is_cut_off()) else { return };
        let unsaid = worker.bring_back();
        for write in unsaid {
            self.report(node, write);
        }
        let kinds = [Kind::Node, Kind::Pod];
        let records = kinds.iter().flat_map(|kind| view.list(*kind, None, None));
        let everything = records.map(|record| record.object()).collect();
        self.signal(node, Signal::Listed(everything));
        self.agenda.add(self.now, Happening::Beat(node.to_owned()));
    }

    /// From now on at least so many Pods labelled `app: NAME` must be ready at every step.
    pub(crate) fn hold(&mut self, name: &str, least: usize) {
        self.checker.hold(name, least);
    }

    /// A container of a Pod ends with this exit code.
    pub fn crash(&mut self, pod: &Key, code: i32) {
        let object = self.view().get(pod).map(|record| record.object());
        let Some(pod) = object.as_ref().and_then(|object| object.get::<core_v1::Pod>()) else { return };
        if let Some(node) = api::pod::node_name(pod) {
            let (node, uid) = (node.to_owned(), pod.uid().to_owned());
            self.signal(&node, Signal::Crash { uid, code });
        }
    }

    /// What controllers have said since this was last asked.
    pub fn take_story(&mut self) -> Vec<String> {
        std::mem::take(&mut self.story)
    }

    /// For how long nobody has changed anything.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        self.now.since(self.last_change)
    }

    /// Seconds since the beginning.
    pub(crate) fn elapsed(&self) -> f64 {
        self.now.since(BEGINNING).as_secs_f64()
    }

    /// Something is not as it must always be: says what.
    fn check(&mut self) -> Result<(), String> {
        self.checker.verdict().map_err(|broken| format!("after {:.3}s: {broken}", self.elapsed()))
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Told(incarnation, event) if incarnation == self.incarnation => {
                if self.inbox.is_empty() {
                    self.agenda.add(self.now.after(ROUND), Happening::Think);
                }
                self.inbox.push(event);
            }
            Happening::Told(..) => {}
            Happening::Think => {
                let effects = self.brain.handle_all(std::mem::take(&mut self.inbox), self.now);
                effects.into_iter().for_each(|effect| self.carry_out(effect));
            }
            Happening::Asked(incarnation, ticket, write) => self.answer(incarnation, ticket, &write),
            Happening::Worker(node, signal) => self.signal(&node, signal),
            Happening::Reported(write) => {
                // A worker's report that is refused was about a Pod that is gone; it will hear of that.
                _ = self.submit(&write);
            }
            Happening::Beat(node) => self.beat(node),
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Write { ticket, write } => {
                let at = self.later();
                self.agenda.add(at, Happening::Asked(self.incarnation, ticket, write));
            }
            Effect::Sign { ticket, order } => {
                let at = self.later();
                self.agenda.add(at, Happening::Asked(self.incarnation, ticket, signed(&order, self.now)));
            }
            Effect::Approve { ticket, approval } => {
                let at = self.later();
                let happening = match Roles::new(&self.view()).ground(&approval) {
                    Some(ground) => {
                        let write = Write::Update(approval.on(ground, self.now).into(), Subresource::Approval);
                        Happening::Asked(self.incarnation, ticket, write)
                    }
                    None => {
                        let outcome = Err(Error::new(Reason::Forbidden, "no role allows it"));
                        Happening::Told(self.incarnation, Event::Settled { ticket, outcome })
                    }
                };
                self.agenda.add(at, happening);
            }
            Effect::WakeAt(at) => self.agenda.add(at.max(self.now), Happening::Told(self.incarnation, Event::Woken)),
        }
    }

    /// A write of the controllers reaches the door, in this weather.
    fn answer(&mut self, incarnation: u32, ticket: Ticket, write: &Write) {
        if self.prng.happens(self.weather.conflicts) {
            self.meddle(&write.key());
        }
        let outcome = if self.prng.happens(self.weather.refusals) {
            Err(Error::new(Reason::ServiceUnavailable, "no leader at the moment"))
        } else {
            self.submit(write)
        };
        let outcome = if self.prng.happens(self.weather.losses) {
            Err(Error::new(Reason::Timeout, "the answer was lost"))
        } else {
            outcome
        };
        let at = self.later();
        self.agenda.add(at, Happening::Told(incarnation, Event::Settled { ticket, outcome }));
    }

    /// Somebody else changes an object that the controllers are about to change.
    fn meddle(&mut self, key: &Key) {
        let Some(object) = self.view().get(key).map(|record| Object::clone(&record.object())) else { return };
        let mut object = object;
        let touched = self.prng.bits().to_string();
        object.metadata_mut().annotations.insert("example.com/touched".to_owned(), touched);
        _ = self.submit(&Write::Update(object, Subresource::None));
    }

    fn beat(&mut self, node: String) {
        if self.workers.get(&node).is_none_or(Worker::is_cut_off) {
            return;
        }
        let at = self.now;
        self.agenda.add(self.now.after(rpc::BEAT_EVERY), Happening::Beat(node.clone()));
        self.tell(Event::Heartbeat { node, at });
    }

    fn signal(&mut self, node: &str, signal: Signal) {
        let Some(worker) = self.workers.get_mut(node) else { return };
        let wishes = worker.handle(signal, &self.behaviours, self.now);
        self.checker.running(&self.workers);
        for wish in wishes {
            match wish {
                Wish::Write(write) => self.report(node, write),
                Wish::Later(after, signal) => {
                    self.agenda.add(self.now.after(after), Happening::Worker(node.to_owned(), signal));
                }
            }
        }
    }

    fn report(&mut self, node: &str, write: Write) {
        let later = self.later();
        let at = self.workers.get_mut(node).map_or(later, |worker| worker.speaks_at(later));
        self.agenda.add(at, Happening::Reported(write));
    }

    /// Spreads news: the checker sees it at once, the controllers and workers in a while, all in the same order.
    fn publish(&mut self, events: &[Arc<store::Event>]) {
        self.last_change = self.now;
        let changes: Vec<Change> = events.iter().map(|event| change(event)).collect();
        for change in &changes {
            self.narrate(change);
        }
        let view = self.view();
        self.checker.changed(&view, &changes, self.now);
        let nodes: Vec<String> = self.workers.keys().cloned().collect();
        for node in nodes {
            for change in changes.iter().filter(|change| concerns(&node, change)) {
                let later = self.later();
                let at = self.workers.get_mut(&node).map_or(later, |worker| worker.hears_at(later));
                self.agenda.add(at, Happening::Worker(node.clone(), Signal::Seen(change.clone())));
            }
        }
        self.seen_until = self.seen_until.max(self.later());
        let observations = events.iter().map(|event| event.observation()).collect();
        self.agenda.add(self.seen_until, Happening::Told(self.incarnation, Event::Observed(observations)));
    }

    fn narrate(&mut self, change: &Change) {
        let Some(said) = change.object.get::<core_v1::Event>().filter(|_| change.change != api::ChangeType::Deleted)
        else {
            return;
        };
        let about = said.involved_object.clone().unwrap_or_default();
        let count = if said.count > 1 { format!(" (x{})", said.count) } else { String::new() };
        let kind = about.kind.to_lowercase();
        let last = event::last_seen(said).unwrap_or(self.now).since(BEGINNING).as_secs();
        self.story.push(format!("{last:>4}s {kind}/{} {}: {}{count}", about.name, said.reason, said.message));
    }

    fn tell(&mut self, event: Event) {
        self.seen_until = self.seen_until.max(self.now);
        self.agenda.add(self.seen_until, Happening::Told(self.incarnation, event));
    }

    /// When something that is sent now arrives.
    fn later(&mut self) -> Timestamp {
        let delay = self.prng.between(1, self.weather.delay_ms_max.max(1));
        self.now.after(Duration::from_millis(delay))
    }
}

/// Controllers that know nothing yet.
fn brain() -> Brain {
    Brain::new(Config { authority: AUTHORITY.to_owned(), ..Config::default() })
}

fn existing(record: &Arc<store::Record>) -> Observation {
    Observation { change: api::ChangeType::Added, object: record.clone(), revision: record.revision }
}

/// A change as workers see it.
fn change(event: &store::Event) -> Change {
    Change { change: event.change, object: event.record.object(), revision: event.revision() }
}

fn concerns(node: &str, change: &Change) -> bool {
    match &*change.object {
        Object::Pod(pod) => api::pod::node_name(pod) == Some(node),
        Object::Node(this) => this.name() == node,
        _ => false,
    }
}
