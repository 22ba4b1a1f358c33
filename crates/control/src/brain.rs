//! The loop of all controllers, as a value: what happened goes in, what to write comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use api::{
    Key, Kind, Observation, Reason, Timestamp, Write, WriteOutcome,
    kinds::{Resource as _, certificates::certificate_signing_request::Approval, core::service::kubernetes_key},
    x509::Order,
};

use crate::{
    aggregation,
    config::Config,
    controller::Controller,
    flight::{Flight, Flights, Ticket},
    identity,
    lifecycle::event_log,
    nodes,
    plan::{Note, Plan, Step},
    queue::{Queue, Task},
    trigger,
    world::{Shift, World},
};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Objects changed. At the beginning all that exist arrive as added.
    Observed(Vec<Observation>),
    /// All that existed at the beginning has been observed. Nothing is decided before, for what is missing might only be late.
    Synced,
    /// A write has happened or was refused.
    Settled {
        /// Which.
        ticket: Ticket,
        /// What became of it.
        outcome: WriteOutcome,
    },
    /// A node gave a sign of life.
    Heartbeat {
        /// Its name.
        node: String,
        /// When.
        at: Timestamp,
    },
    /// A node's process was seen to have ended: nobody listens at its address any more.
    Gone {
        /// Its name.
        node: String,
        /// When.
        at: Timestamp,
    },
    /// Where the masters serve the API, all of them.
    Masters(BTreeSet<SocketAddr>),
    /// How the backends of APIServices answer, each by the name of its APIService: well, or why not. Those that were not asked
    /// yet are missing.
    Backends(BTreeMap<String, Result<(), String>>),
    /// The time of an [`Effect::WakeAt`] has come.
    Woken,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this, and say with [`Event::Settled`] what became of it. Writes may happen in any order.
    Write {
        /// Names the write.
        ticket: Ticket,
        /// What to write.
        write: Write,
    },
    /// Sign this certificate, store it with its request, and say with [`Event::Settled`] what became of it, as of a write.
    Sign {
        /// Names the write.
        ticket: Ticket,
        /// What to sign.
        order: Box<Order>,
    },
    /// Approve this request if who sent it may have what it asks for, and say with [`Event::Settled`] what became of it, as of a
    /// write: [`Reason::Forbidden`] if it may not.
    Approve {
        /// Names the write.
        ticket: Ticket,
        /// What to approve.
        approval: Box<Approval>,
    },
    /// Send [`Event::Woken`] at this time. Replaces the time asked for before.
    WakeAt(Timestamp),
}

/// After a conflict the newer object is usually observed at once and the task looked at because of that. This long after
/// the conflict it is looked at in any case.
const CONFLICT_RETRY: Duration = Duration::from_millis(100);

/// Every controller and the scheduler.
#[derive(Debug)]
pub struct Brain {
    world: World,
    queue: Queue,
    flights: Flights,
    synced: bool,
    wake_at: Option<Timestamp>,
}

impl Brain {
    /// A brain that has seen nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            world: World::new(config),
            queue: Queue::default(),
            flights: Flights::default(),
            synced: false,
            wake_at: None,
        }
    }

    /// Takes in what happened and decides what to do.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        self.handle_all([event], now)
    }

    /// As [`Brain::handle`], for what happened together: every task that it concerns is looked at once.
    pub fn handle_all(&mut self, events: impl IntoIterator<Item = Event>, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in events {
            self.take_in(event, now, &mut effects);
        }
        while let Some(ticket) = self.flights.overdue(now) {
            self.give_up(ticket, now);
        }
        if self.synced {
            self.decide(now, &mut effects);
            self.ask_to_be_woken(&mut effects);
        }
        if self.world.cool(now) {
            self.queue.shrink();
            self.flights.shrink();
        }
        effects
    }

    fn take_in(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        match event {
            Event::Observed(observations) => {
                for observation in &observations {
                    let shift = self.world.observe(observation);
                    if let Some(ticket) = self.flights.doubtful(&shift.key) {
                        self.give_up(ticket, now);
                    }
                    self.concern(&shift, now);
                    // Until everything is known nothing is decided, and all that exists would be decoded at once.
                    if !self.synced {
                        self.world.let_go(&shift.key);
                    }
                }
            }
            Event::Synced => {
                self.synced = true;
                self.world.begin(now);
            }
            Event::Settled { ticket, outcome } => self.settle(ticket, outcome, now, effects),
            Event::Heartbeat { node, at } => {
                let key = Key::cluster(Kind::Node, node.as_str());
                self.world.hear(&node, at);
                // A healthy node's task looks at the time by itself; only one that was given up has to know at once.
                if self.world.get(&key).is_some_and(nodes::is_given_up) {
                    self.queue.push(Task { controller: Controller::Node, key }, 0, now);
                }
            }
            Event::Gone { node, at } => {
                self.world.lose(&node, at);
                self.queue.push(Task { controller: Controller::Node, key: Key::cluster(Kind::Node, node) }, 0, now);
            }
            Event::Masters(at) => {
                self.world.find_masters(at);
                self.queue.push(Task { controller: Controller::KubernetesService, key: kubernetes_key() }, 0, now);
            }
            Event::Backends(answers) => {
                self.world.hear_backends(answers);
                self.look_at_backends(now);
            }
            Event::Woken => self.wake_at = None,
        }
    }

    /// Who serves the API, and what the masters tell of themselves to those that do, concerns nobody else.
    fn look_at_backends(&mut self, now: Timestamp) {
        let services: BTreeSet<Key> = aggregation::keys(&self.world).collect();
        let services = services.into_iter().map(|key| Task { controller: Controller::ApiService, key });
        let authentication =
            Task { controller: Controller::ExtensionAuthentication, key: identity::extension_authentication::key() };
        services.chain([authentication]).for_each(|task| self.queue.push(task, 0, now));
    }

    fn concern(&mut self, shift: &Shift, now: Timestamp) {
        let (world, queue) = (&self.world, &mut self.queue);
        trigger::concerned(world, shift, &mut |task| {
            let rank = rank(world, &task);
            queue.push(task, rank, now);
        });
    }

    fn ask(&mut self, task: Task, now: Timestamp) {
        let rank = rank(&self.world, &task);
        self.queue.push(task, rank, now);
    }

    fn decide(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(task) = self.queue.pop(now, |task| rank(&self.world, task)) {
            let plan = task.controller.reconcile(&self.world, &task.key, now);
            self.carry_out(&task, plan, now, effects);
        }
    }

    fn carry_out(&mut self, task: &Task, plan: Plan, now: Timestamp, effects: &mut Vec<Effect>) {
        if plan.steps.is_empty() && plan.order.is_none() && plan.approval.is_none() {
            self.queue.succeed(task);
        }
        // Somebody who was refused tries one step before the rest: if the reason persists, only one more write is wasted.
        let (reports, deeds): (Vec<Step>, Vec<Step>) = plan.steps.into_iter().partition(Step::is_report);
        let tries = if self.queue.has_failed(task) { 1 } else { deeds.len() };
        for step in deeds.into_iter().take(tries).chain(reports) {
            self.write(task, step, now, effects);
        }
        if let Some(order) = plan.order {
            let key = order.request.key();
            self.commission(task, key, effects, |ticket| Effect::Sign { ticket, order: Box::new(order) });
        }
        if let Some(approval) = plan.approval {
            let key = approval.request.key();
            self.commission(task, key, effects, |ticket| Effect::Approve { ticket, approval: Box::new(approval) });
        }
        for note in plan.notes {
            self.say(task, &note, now, effects);
        }
        if let Some(at) = plan.again {
            self.queue.push_at(task.clone(), at);
        }
    }

    fn write(&mut self, task: &Task, step: Step, now: Timestamp, effects: &mut Vec<Effect>) {
        let key = step.write.key();
        if let Some(flight) = self.flights.of(&key) {
            flight.waiting.insert(task.clone());
            return;
        }
        let shift = self.world.assume(&step.write, now);
        self.concern_others(task, &shift, now);
        let report = step.is_report();
        let Step { write, done, refused } = step;
        let flight = Flight { task: task.clone(), key, done, refused, report, waiting: BTreeSet::new() };
        effects.push(Effect::Write { ticket: self.flights.begin(flight), write });
    }

    /// Has somebody write an object who knows more. What it will be nobody can assume.
    fn commission(&mut self, task: &Task, key: Key, effects: &mut Vec<Effect>, effect: impl FnOnce(Ticket) -> Effect) {
        if let Some(flight) = self.flights.of(&key) {
            flight.waiting.insert(task.clone());
            return;
        }
        let (task, waiting) = (task.clone(), BTreeSet::new());
        let flight = Flight { task, key, done: None, refused: None, report: false, waiting };
        effects.push(effect(self.flights.begin(flight)));
    }

    /// Turns a note into an Event object. Events are for people: one that cannot be written is dropped, not retried.
    fn say(&mut self, task: &Task, note: &Note, now: Timestamp, effects: &mut Vec<Effect>) {
        let write = event_log::record(&self.world, note, task.controller.component(), now);
        if self.flights.of(&write.key()).is_some() || self.world.is_closing(&write.key().namespace) {
            return;
        }
        let teller = Task { controller: Controller::EventLog, key: write.key() };
        self.write(&teller, Step { write, done: None, refused: None }, now, effects);
    }

    fn settle(&mut self, ticket: Ticket, outcome: WriteOutcome, now: Timestamp, effects: &mut Vec<Effect>) {
        if outcome.as_ref().is_err_and(|error| error.reason == Reason::Timeout) {
            return self.flights.doubt(ticket, now);
        }
        let Some(flight) = self.flights.end(ticket) else { return };
        let shift = match &outcome {
            Ok(stored) => self.world.confirm(&flight.key, stored),
            Err(_) => self.world.retract(&flight.key),
        };
        match outcome {
            Ok(_) => self.accepted(&flight, now, effects),
            Err(error) => self.refused(&flight, &error, now, effects),
        }
        self.landed(flight, &shift, now);
    }

    /// Takes back a write of unknown outcome: either something was seen that says more, or it will not happen any more.
    fn give_up(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(flight) = self.flights.end(ticket) else { return };
        let shift = self.world.retract(&flight.key);
        self.ask(flight.task.clone(), now);
        self.landed(flight, &shift, now);
    }

    fn landed(&mut self, flight: Flight, shift: &Shift, now: Timestamp) {
        self.concern_others(&flight.task, shift, now);
        flight.waiting.into_iter().for_each(|task| self.ask(task, now));
    }

    /// As [`Brain::concern`], but for the task that caused the change: its own assumptions are no news to it.
    fn concern_others(&mut self, cause: &Task, shift: &Shift, now: Timestamp) {
        let (world, queue) = (&self.world, &mut self.queue);
        let mut push = |task| {
            if task != *cause {
                let rank = rank(world, &task);
                queue.push(task, rank, now);
            }
        };
        trigger::concerned(world, shift, &mut push);
    }

    fn accepted(&mut self, flight: &Flight, now: Timestamp, effects: &mut Vec<Effect>) {
        // That a report went through says nothing about the writes that were refused.
        if !flight.report {
            self.queue.succeed(&flight.task);
            self.world.set_trouble(&flight.task.key, None);
        }
        self.ask(flight.task.clone(), now);
        if let Some(note) = &flight.done {
            self.say(&flight.task, note, now, effects);
        }
    }

    fn refused(&mut self, flight: &Flight, error: &api::Error, now: Timestamp, effects: &mut Vec<Effect>) {
        if flight.task.controller == Controller::EventLog {
            return;
        }
        match error.reason {
            // What was decided has happened by other means, or was decided about a state that has passed.
            Reason::NotFound | Reason::AlreadyExists | Reason::Conflict => {
                self.queue.push_at(flight.task.clone(), now.after(CONFLICT_RETRY));
            }
            Reason::BadRequest
            | Reason::Unauthorized
            | Reason::Forbidden
            | Reason::MethodNotAllowed
            | Reason::NotAcceptable
            | Reason::Expired
            | Reason::RequestEntityTooLarge
            | Reason::UnsupportedMediaType
            | Reason::Invalid
            | Reason::TooManyRequests
            | Reason::InternalError
            | Reason::ServiceUnavailable
            | Reason::Timeout => {
                tracing::debug!(key = %flight.key, controller = flight.task.controller.component(), %error, "refused");
                self.queue.fail(&flight.task, now);
                self.world.set_trouble(&flight.task.key, Some(error.message.clone()));
                if let Some(note) = &flight.refused {
                    let message = format!("{}: {error}", note.message);
                    self.say(&flight.task, &Note { message, ..note.clone() }, now, effects);
                }
            }
        }
    }

    fn ask_to_be_woken(&mut self, effects: &mut Vec<Effect>) {
        let due = self.queue.next_due().into_iter().chain(self.flights.next_overdue()).min();
        if let Some(at) = due.filter(|_| due != self.wake_at) {
            effects.push(Effect::WakeAt(at));
        }
        self.wake_at = due;
    }
}

/// Before which others a task is looked at: Pods that wait for a node come by their priority.
fn rank(world: &World, task: &Task) -> i32 {
    if task.controller == Controller::Scheduler { world.priority(&task.key) } else { 0 }
}

#[cfg(test)]
mod tests;
