//! Reads that wait for a proof that no newer leader exists: one round of heartbeats for all that wait together.
//!
//! Raft 0.7 keeps acknowledgements of a context that is used again, and then answers the second read by the first one's
//! proof: with old data, if the lead was lost in between. Here a context is (nonce of this start, counter) and never used
//! again, an answer counts only in the term of its question, and a question without an answer is given up after an election
//! timeout, never repeated under the same context.

use std::collections::VecDeque;

use raft::{
    RawNode, StateRole,
    eraftpb::{Entry, Message, MessageType},
};

use super::{Brain, Effect, storage::Log};
use crate::ELECTION_TICKS_MIN;

/// Reads that were asked in one tick and not issued yet, or issued as one.
struct Batch<R> {
    tick: u64,
    tickets: Vec<R>,
}

/// A batch whose proof is on its way.
struct Issued<R> {
    counter: u64,
    term: u64,
    batch: Batch<R>,
}

/// All reads of a member.
pub(super) struct Reads<R> {
    nonce: u64,
    counter: u64,
    ticks: u64,
    asked: VecDeque<Batch<R>>,
    issued: VecDeque<Issued<R>>,
    /// Proven, waiting for the machine to reach the index.
    proven: VecDeque<(u64, Vec<R>)>,
}

impl<R> Reads<R> {
    pub(super) fn new(nonce: u64) -> Self {
        Self { nonce, counter: 0, ticks: 0, asked: VecDeque::new(), issued: VecDeque::new(), proven: VecDeque::new() }
    }

    pub(super) fn ask(&mut self, tickets: Vec<R>) {
        if !tickets.is_empty() {
            self.asked.push_back(Batch { tick: self.ticks, tickets });
        }
    }

    /// Whether Raft would take a read now. Before its first commit in a term a leader drops reads without a word, and
    /// without a leader there is nobody to ask.
    pub(super) fn may_issue(&self, node: &RawNode<Log>) -> bool {
        let raft = &node.raft;
        let is_served = match raft.state {
            StateRole::Leader => raft.commit_to_current_term(),
            StateRole::Follower => raft.leader_id != raft::INVALID_ID,
            StateRole::Candidate | StateRole::PreCandidate => false,
        };
        is_served && !self.asked.is_empty()
    }

    fn issue(&mut self, node: &mut RawNode<Log>) {
        self.counter += 1;
        let tick = self.asked.front().map_or(self.ticks, |batch| batch.tick);
        let tickets = self.asked.drain(..).flat_map(|batch| batch.tickets).collect();
        let batch = Batch { tick, tickets };
        let known = node.raft.pending_read_count() + node.raft.ready_read_count();
        let data = context(self.nonce, self.counter).into();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgReadIndex);
        message.mut_entries().push(Entry { data, ..Default::default() });
        let is_taken = node.raft.step(message).is_ok()
            && (node.raft.state != StateRole::Leader
                || node.raft.pending_read_count() + node.raft.ready_read_count() > known);
        if is_taken {
            self.issued.push_back(Issued { counter: self.counter, term: node.raft.term, batch });
        } else {
            self.asked.push_front(batch);
        }
    }

    /// A proof came. Only the question of this start and this term counts.
    pub(super) fn confirm(&mut self, answered: &[u8], index: u64, term: u64) {
        let is_it = |issued: &Issued<R>| context(self.nonce, issued.counter) == answered;
        let Some(place) = self.issued.iter().position(is_it) else { return };
        let Some(issued) = self.issued.remove(place) else { return };
        if issued.term == term {
            self.proven.push_back((index, issued.batch.tickets));
        } else {
            self.asked.push_back(issued.batch);
        }
    }

    /// The reads that the machine is new enough for.
    fn release(&mut self, applied: u64) -> Vec<R> {
        let (ready, rest): (Vec<_>, Vec<_>) = self.proven.drain(..).partition(|(index, _)| *index <= applied);
        self.proven = rest.into();
        ready.into_iter().flat_map(|(_, tickets)| tickets).collect()
    }

    /// Time passes; gives up what has waited for an election timeout.
    pub(super) fn tick(&mut self) -> Vec<R> {
        self.ticks += 1;
        let Some(oldest) = self.ticks.checked_sub(ELECTION_TICKS_MIN as u64) else { return Vec::new() };
        let mut late = Vec::new();
        while self.asked.front().is_some_and(|batch| batch.tick <= oldest) {
            late.extend(self.asked.pop_front().into_iter().flat_map(|batch| batch.tickets));
        }
        while self.issued.front().is_some_and(|issued| issued.batch.tick <= oldest) {
            late.extend(self.issued.pop_front().into_iter().flat_map(|issued| issued.batch.tickets));
        }
        late
    }

    /// The term or the role changed: no question on its way can be answered. What is proven stays proven, and what was not
    /// issued yet may still be.
    pub(super) fn abandon(&mut self) -> Vec<R> {
        self.issued.drain(..).flat_map(|issued| issued.batch.tickets).collect()
    }

    /// Nothing will ever be answered.
    pub(super) fn abandon_all(&mut self) -> Vec<R> {
        let asked: Vec<R> = self.asked.drain(..).flat_map(|batch| batch.tickets).collect();
        self.abandon().into_iter().chain(asked).collect()
    }
}

fn context(nonce: u64, counter: u64) -> Vec<u8> {
    [nonce.to_le_bytes(), counter.to_le_bytes()].concat()
}

impl<P, R> Brain<P, R> {
    pub(super) fn issue_reads(&mut self) {
        if self.reads.may_issue(&self.node) {
            self.reads.issue(&mut self.node);
        }
    }

    pub(super) fn release_reads(&mut self) {
        let tickets = self.reads.release(self.applied);
        if !tickets.is_empty() {
            self.effects.push(Effect::ReadReady(tickets));
        }
    }
}
