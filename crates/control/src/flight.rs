//! Writes under way: at most one for each object, and what to do about it when it lands.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use api::{Key, Timestamp};

use crate::{plan::Note, queue::Task};

/// How long a write of unknown outcome is believed to be still under way: longer than masters try to agree, so what has not
/// happened by then will not happen any more.
pub const DOUBT: Duration = Duration::from_secs(15);

/// Names one write. Never used twice by one brain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A write under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) task: Task,
    pub(crate) key: Key,
    /// Said once it has happened.
    pub(crate) done: Option<Note>,
    /// Said, with the error, if it is refused.
    pub(crate) refused: Option<Note>,
    /// Whether it only tells how things are.
    pub(crate) report: bool,
    /// Who else wants to write the same object and has to look again afterwards.
    pub(crate) waiting: BTreeSet<Task>,
}

/// All writes under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_ticket: HashMap<Ticket, Flight>,
    by_key: HashMap<Key, Ticket>,
    /// Those of unknown outcome, with the time until which they are believed in. There are few.
    doubtful: BTreeSet<(Timestamp, Ticket)>,
    count: u64,
}

impl Flights {
    /// A write sets out.
    pub(crate) fn begin(&mut self, flight: Flight) -> Ticket {
        self.count += 1;
        let ticket = Ticket(self.count);
        self.by_key.insert(flight.key.clone(), ticket);
        self.by_ticket.insert(ticket, flight);
        ticket
    }

    /// The write under way for an object.
    pub(crate) fn of(&mut self, key: &Key) -> Option<&mut Flight> {
        self.by_ticket.get_mut(self.by_key.get(key)?)
    }

    /// A write has landed, well or not.
    pub(crate) fn end(&mut self, ticket: Ticket) -> Option<Flight> {
        let flight = self.by_ticket.remove(&ticket)?;
        self.by_key.remove(&flight.key);
        self.doubtful.retain(|(_, doubtful)| *doubtful != ticket);
        Some(flight)
    }

    /// Nobody knows what became of a write. Until that is seen, or long enough later, it may still happen.
    pub(crate) fn doubt(&mut self, ticket: Ticket, now: Timestamp) {
        if self.by_ticket.contains_key(&ticket) {
            self.doubtful.insert((now.after(DOUBT), ticket));
        }
    }

    /// The write of unknown outcome for an object about which there is news.
    pub(crate) fn doubtful(&self, key: &Key) -> Option<Ticket> {
        // Nearly always there are none, and then nothing is looked up.
        let ticket = if self.doubtful.is_empty() { None } else { self.by_key.get(key).copied() };
        ticket.filter(|ticket| self.doubtful.iter().any(|(_, doubtful)| doubtful == ticket))
    }

    /// Gives back the memory of a burst that is over.
    pub(crate) fn shrink(&mut self) {
        self.by_ticket.shrink_to_fit();
        self.by_key.shrink_to_fit();
    }

    /// A write in which nobody believes any more.
    pub(crate) fn overdue(&self, now: Timestamp) -> Option<Ticket> {
        self.doubtful.first().filter(|(until, _)| *until <= now).map(|(_, ticket)| *ticket)
    }

    /// When the next write is overdue.
    pub(crate) fn next_overdue(&self) -> Option<Timestamp> {
        self.doubtful.first().map(|(until, _)| *until)
    }
}
