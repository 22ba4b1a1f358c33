//! The seats of priority levels, who has them, and who waits for one: a value without a clock, behind a lock.
//!
//! A level has seats of its own, and may use some of those that levels lend; a level that has fewer than its part goes before one
//! that has more. Within a level flows take turns, and within a flow requests keep their order. Whoever is told apart as one
//! *party*, a user or the accounts of a namespace, has at most [`FLOW_REQUESTS_MAX`] seats of a level, whatever its flows are.
//!
//! What lists much takes several seats. While the request whose turn it is finds too few, nobody else of the level takes those
//! that are free, so that it is not passed by for ever; where nobody sits whoever comes is seated.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use tokio::sync::oneshot;

/// The most seats that one user, or the accounts of one namespace, have in one level at the same time: more than a client needs.
pub const FLOW_REQUESTS_MAX: usize = 16;

/// The most of them that wait for their turn; one more is refused.
pub const FLOW_WAITING_MAX: usize = 100;

/// How many seats a level has, and who may wait for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Its part, by its shares.
    pub(super) nominal: usize,
    /// What of it others may use.
    pub(super) lendable: usize,
    /// The most that it may have with what it borrows.
    pub(super) most: usize,
    /// How many requests of a flow may wait, and of all flows; nobody, if they are refused instead.
    pub(super) queue: Option<(usize, usize)>,
}

/// The most seats that a request takes: Kubernetes' limit.
pub(super) const SEATS_MAX: usize = 10;

// Whoever may have any seats may ask for everything.
const _: () = assert!(SEATS_MAX <= FLOW_REQUESTS_MAX);

/// Whose request it is: hashes, of which it does not matter much if two are the same; and how many seats it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) flow: u64,
    pub(super) party: u64,
    pub(super) seats: usize,
}

/// What becomes of a request that comes.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It has a seat.
    Seated,
    /// It waits under a number until it is told that it has one.
    Waits(u64, oneshot::Receiver<()>),
    /// It is refused.
    Refused(Full),
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All seats are taken, and nobody may wait.
    Seats,
    /// Too many requests wait.
    Queue,
    /// Too many requests of the same party.
    Party,
}

/// All levels.
#[derive(Debug, Default)]
pub(super) struct Pool {
    levels: HashMap<Arc<str>, Level>,
    /// How many seats levels lend, and how many of them are used.
    lendable: usize,
    lent: usize,
    /// The levels for which somebody waits, in turn.
    turns: VecDeque<Arc<str>>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Level {
    limits: Limits,
    used: usize,
    waiting: usize,
    flows: HashMap<u64, VecDeque<Waiter>>,
    /// The flows of which somebody waits, in turn.
    turns: VecDeque<u64>,
    parties: HashMap<u64, Party>,
    /// Whose turn it is finds too few seats.
    is_short: bool,
    /// It was deleted: it goes when nobody uses it any more.
    is_gone: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Party {
    seated: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    asker: Asker,
    told: oneshot::Sender<()>,
}

impl Party {
    fn may_sit(self, seats: usize) -> bool {
        self.seated + seats <= FLOW_REQUESTS_MAX
    }
}

impl Pool {
    /// Takes over the levels as they are now. Who has a seat keeps it; who waits at a level that is gone still gets one.
    pub(super) fn adopt(&mut self, levels: impl Iterator<Item = (Arc<str>, Limits)>) {
        self.levels.values_mut().for_each(Level::go);
        for (name, limits) in levels {
            let level = self.levels.entry(name).or_default();
            (level.limits, level.is_gone) = (limits, false);
        }
        self.levels.retain(|_, level| !level.is_over());
        let present = || self.levels.values().filter(|level| !level.is_gone);
        self.lendable = present().map(|level| level.limits.lendable).sum();
        self.lent = present().map(|level| level.used.saturating_sub(level.own())).sum();
        self.settle();
    }

    pub(super) fn arrive(&mut self, name: &Arc<str>, asker: Asker) -> Arrival {
        let left = self.left();
        if !self.levels.contains_key(name) {
            // It was deleted since somebody looked where the request belongs.
            self.levels.insert(name.clone(), Level::gone());
        }
        let Some(level) = self.levels.get_mut(name) else { return Arrival::Seated };
        let party = level.parties.get(&asker.party).copied().unwrap_or_default();
        let is_first = !level.flows.contains_key(&asker.flow);
        if is_first && !level.is_short && level.has_seats(asker.seats, left) && party.may_sit(asker.seats) {
            self.lent += level.sit(asker);
            return Arrival::Seated;
        }
        let Some((of_flow, of_all)) = level.limits.queue else {
            let full = if party.may_sit(asker.seats) { Full::Seats } else { Full::Party };
            return Arrival::Refused(full);
        };
        if party.waiting >= FLOW_WAITING_MAX {
            return Arrival::Refused(Full::Party);
        }
        let waiting = level.flows.get(&asker.flow).map_or(0, VecDeque::len);
        if waiting >= of_flow || level.waiting >= of_all {
            return Arrival::Refused(Full::Queue);
        }
        self.tickets += 1;
        if level.waiting == 0 {
            self.turns.push_back(name.clone());
        }
        let (told, telling) = oneshot::channel();
        level.wait(Waiter { ticket: self.tickets, asker, told });
        // Who comes next must not take the few seats that are free.
        level.is_short |= party.may_sit(asker.seats) && !level.has_seats(asker.seats, left);
        Arrival::Waits(self.tickets, telling)
    }

    /// Gives a seat back.
    pub(super) fn leave(&mut self, name: &Arc<str>, asker: Asker) {
        let Entry::Occupied(mut entry) = self.levels.entry(name.clone()) else { return };
        self.lent -= entry.get_mut().stand(asker).min(self.lent);
        if entry.get().is_over() {
            entry.remove();
        }
        self.settle();
    }

    /// Forgets who waits under a number, or gives back the seat that it got meanwhile.
    pub(super) fn give_up(&mut self, name: &Arc<str>, asker: Asker, ticket: u64) {
        let waited = self.levels.get_mut(name).is_some_and(|level| level.forget(asker, ticket));
        if !waited {
            return self.leave(name, asker);
        }
        let is_idle = |level: &Level| level.waiting == 0;
        if self.levels.get(name).is_some_and(is_idle) {
            self.turns.retain(|other| other != name);
        }
        if self.levels.get(name).is_some_and(Level::is_over) {
            self.levels.remove(name);
        }
        // Perhaps others waited only because it did.
        self.settle();
    }

    /// How many seats may still be lent.
    fn left(&self) -> usize {
        self.lendable.saturating_sub(self.lent)
    }

    /// Gives every seat that is free to somebody who waits for it.
    fn settle(&mut self) {
        // Nearly always nobody waits.
        while !self.turns.is_empty() && (self.serve(true) || self.serve(false)) {}
    }

    /// Gives a seat to somebody of the next level that has fewer seats than its part, or of any; whether there was one.
    fn serve(&mut self, is_below_part: bool) -> bool {
        for _ in 0..self.turns.len() {
            let Some(name) = self.turns.pop_front() else { return false };
            let Some(level) = self.levels.get_mut(&name) else { continue };
            let is_asked = !is_below_part || level.used < level.limits.nominal;
            let left = self.lendable.saturating_sub(self.lent);
            let seated = is_asked.then(|| level.next(left)).flatten();
            if let Some(waiter) = &seated {
                self.lent += level.sit(waiter.asker);
            }
            if level.waiting > 0 {
                self.turns.push_back(name);
            }
            if let Some(waiter) = seated {
                // Who has gone meanwhile gives the seat back.
                let _ = waiter.told.send(());
                return true;
            }
        }
        false
    }
}

impl Level {
    fn gone() -> Self {
        let mut level = Self::default();
        level.go();
        level
    }

    /// It was deleted: who is there still gets a seat, and nobody has part in it.
    fn go(&mut self) {
        self.is_gone = true;
        self.limits = Limits { nominal: usize::MAX, lendable: 0, most: usize::MAX, ..self.limits };
    }

    /// The seats that nobody else can have.
    fn own(&self) -> usize {
        self.limits.nominal.saturating_sub(self.limits.lendable)
    }

    /// How many of the seats that are used then are lent to it.
    fn lent(&self, used: usize) -> usize {
        used.saturating_sub(self.own())
    }

    /// Whether so many seats are free, of which `left` may still be lent. Where nobody sits anybody may: who wants more than
    /// there is must not wait for ever.
    fn has_seats(&self, seats: usize, left: usize) -> bool {
        let used = self.used + seats;
        let is_free =
            used <= self.own() || (self.lent(used) - self.lent(self.used) <= left && used <= self.limits.most);
        is_free || (self.used == 0 && seats > 1 && self.has_seats(1, left))
    }

    fn is_over(&self) -> bool {
        self.is_gone && self.used == 0 && self.waiting == 0
    }

    /// How many more seats are lent to it now.
    fn sit(&mut self, asker: Asker) -> usize {
        let before = self.lent(self.used);
        self.used += asker.seats;
        self.parties.entry(asker.party).or_default().seated += asker.seats;
        self.lent(self.used) - before
    }

    /// How many fewer seats are lent to it now.
    fn stand(&mut self, asker: Asker) -> usize {
        let before = self.lent(self.used);
        self.used = self.used.saturating_sub(asker.seats);
        self.count(asker.party, |party| party.seated = party.seated.saturating_sub(asker.seats));
        before - self.lent(self.used)
    }

    fn count(&mut self, party: u64, change: impl FnOnce(&mut Party)) {
        let Entry::Occupied(mut entry) = self.parties.entry(party) else { return };
        change(entry.get_mut());
        if *entry.get() == Party::default() {
            entry.remove();
        }
    }

    fn wait(&mut self, waiter: Waiter) {
        let asker = waiter.asker;
        self.waiting += 1;
        self.parties.entry(asker.party).or_default().waiting += 1;
        let flow = self.flows.entry(asker.flow).or_default();
        if flow.is_empty() {
            self.turns.push_back(asker.flow);
        }
        flow.push_back(waiter);
    }

    /// Takes the first who may sit of the flow whose turn it is, if there are enough seats for it.
    fn next(&mut self, left: usize) -> Option<Waiter> {
        self.is_short = false;
        for _ in 0..self.turns.len() {
            let flow = self.turns.pop_front()?;
            let waiting = self.flows.get(&flow)?;
            let party = |waiter: &Waiter| self.parties.get(&waiter.asker.party).copied().unwrap_or_default();
            let may_sit = |waiter: &Waiter| party(waiter).may_sit(waiter.asker.seats);
            let at = waiting.iter().position(may_sit);
            let seats = at.and_then(|at| waiting.get(at)).map(|waiter| waiter.asker.seats);
            if seats.is_some_and(|seats| !self.has_seats(seats, left)) {
                // It stays its turn.
                self.turns.push_front(flow);
                self.is_short = true;
                return None;
            }
            let waiting = self.flows.get_mut(&flow)?;
            let waiter = at.and_then(|at| waiting.remove(at));
            if waiting.is_empty() {
                self.flows.remove(&flow);
            } else {
                self.turns.push_back(flow);
            }
            if let Some(waiter) = waiter {
                self.waiting -= 1;
                self.count(waiter.asker.party, |party| party.waiting = party.waiting.saturating_sub(1));
                return Some(waiter);
            }
        }
        None
    }

    /// Whether somebody waited under a number.
    fn forget(&mut self, asker: Asker, ticket: u64) -> bool {
        let Some(waiting) = self.flows.get_mut(&asker.flow) else { return false };
        let Some(at) = waiting.iter().position(|waiter| waiter.ticket == ticket) else { return false };
        waiting.remove(at);
        if waiting.is_empty() {
            self.flows.remove(&asker.flow);
            self.turns.retain(|flow| *flow != asker.flow);
        }
        self.waiting -= 1;
        self.is_short &= self.waiting > 0;
        self.count(asker.party, |party| party.waiting = party.waiting.saturating_sub(1));
        true
    }
}

#[cfg(test)]
mod tests;
