//! What callers of a follower wait for: commands and requests that went to the leader.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{
    Answer,
    peers::{Wish, WishOutcome},
};
use crate::{Change, ChangeError, MemberId, Members, ProposeError, brain::WAIT_TICKS_MAX};

/// Most commands that are with the leader at once: as many as may wait here.
const WAITING_MAX: usize = super::WAITING_CALLS_MAX;

/// Where the outcome of a request goes.
pub(super) type WishAnswer = oneshot::Sender<WishOutcome>;

struct Waiting<T> {
    ticket: T,
    tick: u64,
    /// The term whose leader was asked.
    term: u64,
}

struct Asked {
    answer: WishAnswer,
    /// Whom the request removes.
    removes: Option<MemberId>,
}

/// All that is with the leader, by number. Numbers begin anywhere and are never used twice, restarts included: the log may
/// still hold commands with older ones.
pub(super) struct Forwards<O> {
    next: u64,
    ticks: u64,
    /// Of terms before this one everything is decided.
    decided: u64,
    commands: BTreeMap<u64, Waiting<Answer<O>>>,
    asked: BTreeMap<u64, Waiting<Asked>>,
}

impl<O> Forwards<O> {
    pub(super) fn new(first: u64) -> Self {
        // Half of all numbers lie above the first.
        Self { next: first >> 1, ticks: 0, decided: 0, commands: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// The next number, which is never 0: that is the number of no request.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= WAITING_MAX
    }

    pub(super) fn sent(&mut self, id: u64, term: u64, ticket: Answer<O>) {
        self.commands.insert(id, Waiting { ticket, tick: self.ticks, term });
    }

    pub(super) fn asked(&mut self, id: u64, term: u64, answer: WishAnswer, wish: &Wish) {
        let removes = match wish {
            Wish::Change(Change::Remove(member)) => Some(*member),
            Wish::Change(_) | Wish::Lead(_) => None,
        };
        self.asked.insert(id, Waiting { ticket: Asked { answer, removes }, tick: self.ticks, term });
    }

    /// Whoever waits for a command, if somebody still does.
    pub(super) fn take(&mut self, id: u64) -> Option<Answer<O>> {
        self.commands.remove(&id).map(|waiting| waiting.ticket)
    }

    pub(super) fn answered(&mut self, id: u64, outcome: WishOutcome) {
        if let Some(waiting) = self.asked.remove(&id) {
            let _ = waiting.ticket.answer.send(outcome);
        }
    }

    /// Time passes; gives up what has waited too long.
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        let Some(oldest) = self.ticks.checked_sub(WAIT_TICKS_MAX) else { return };
        while let Some(first) = self.commands.first_entry().filter(|entry| entry.get().tick <= oldest) {
            let _ = first.remove().ticket.send(Err(ProposeError::Unknown));
        }
        while let Some(first) = self.asked.first_entry().filter(|entry| entry.get().tick <= oldest) {
            let _ = first.remove().ticket.answer.send(Err(ChangeError::Unknown));
        }
    }

    /// Everything of terms before that of an applied entry is decided: a leader takes commands of its own term only. What is
    /// not answered by now was not done.
    pub(super) fn outlive(&mut self, applied_term: u64) {
        if std::mem::replace(&mut self.decided, applied_term) == applied_term {
            return;
        }
        for (_, waiting) in self.commands.extract_if(.., |_, waiting| waiting.term < applied_term) {
            let _ = waiting.ticket.send(Err(ProposeError::NoLeader { hint: None }));
        }
    }

    /// The way to the leader of a term was lost and is found again; nobody knows what was lost on it.
    pub(super) fn give_up_term(&mut self, term: u64) {
        for (_, waiting) in self.commands.extract_if(.., |_, waiting| waiting.term == term) {
            let _ = waiting.ticket.send(Err(ProposeError::Unknown));
        }
    }

    /// The leader is lost: nobody knows what became of a request.
    pub(super) fn give_up_requests(&mut self) {
        for waiting in std::mem::take(&mut self.asked).into_values() {
            let _ = waiting.ticket.answer.send(Err(ChangeError::Unknown));
        }
    }

    /// The end: nobody knows what becomes of anything.
    pub(super) fn give_up(&mut self) {
        self.give_up_commands();
        self.give_up_requests();
    }

    /// The same for commands only: a snapshot took the place of the entries that would answer them.
    pub(super) fn give_up_commands(&mut self) {
        for waiting in std::mem::take(&mut self.commands).into_values() {
            let _ = waiting.ticket.send(Err(ProposeError::Unknown));
        }
    }

    /// This member was removed: whoever asked for that has the answer.
    pub(super) fn removed(&mut self, own: MemberId, members: &Members) {
        for waiting in std::mem::take(&mut self.asked).into_values() {
            let Asked { answer, removes } = waiting.ticket;
            let outcome = if removes == Some(own) { Ok(members.clone()) } else { Err(ChangeError::Unknown) };
            let _ = answer.send(outcome);
        }
    }
}
