//! Users of the store: they create, change, compare and delete objects through any member, and read through any member.

use std::collections::BTreeMap;

use api::{Key, Kind, Revision};
use bytes::Bytes;
use consensus::{
    MemberId, ProposeError,
    brain::{Event, Proposal},
};
use store::{Expect, Op, Txn};

use super::{
    Outcome, Sabotage,
    ledger::label,
    weather::TICK,
    world::{Act, World},
};
use crate::Prng;

/// The kinds that are written to: one that is watched, and one beside it.
pub(super) const KINDS: [Kind; 2] = [Kind::ConfigMap, Kind::Secret];

/// So few names that writers meet.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// A client gives up waiting after so many moments.
const PATIENCE: u64 = 60 * TICK;

/// One client. It waits for one answer at a time.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// The number of what it waits for, and since when.
    waits: Option<(u64, u64)>,
    /// Whom it asks first.
    leader: Option<MemberId>,
    /// The revisions that it saw last.
    seen: BTreeMap<Key, Revision>,
}

impl World {
    /// A client does something and comes back later.
    pub(super) fn client(&mut self, at: usize) -> Outcome {
        let next = self.now + self.chance.between(1, 6 * TICK);
        self.agenda.add(next, Act::Client(at));
        if self.is_quiet || self.clients[at].waits.is_some_and(|(_, since)| self.now < since + PATIENCE) {
            return Ok(());
        }
        let Some(member) = self.whom_to_ask(at) else { return Ok(()) };
        self.numbers += 1;
        let number = self.numbers;
        self.clients[at].waits = Some((number, self.now));
        if self.chance.happens(350) {
            return self.ask_read(member, number);
        }
        let txn = txn(&mut self.chance, &self.clients[at].seen, number);
        self.ask_write(member, number, &txn)
    }

    /// Mostly the leader, as far as the client knows.
    fn whom_to_ask(&mut self, at: usize) -> Option<MemberId> {
        let all: Vec<MemberId> = self.members.keys().copied().collect();
        let any = self.chance.pick(&all).copied();
        let is_up = |id: &MemberId| self.members[id].process.is_some();
        let known = self.clients[at].leader.filter(is_up);
        let guess = if self.chance.happens(800) { known.or(any) } else { any };
        guess.filter(|id| self.members[id].process.is_some())
    }

    /// Asks a member to write.
    pub(super) fn ask_write(&mut self, member: MemberId, number: u64, txn: &Txn) -> Outcome {
        self.ledger.ask_write(number);
        let proposal = Proposal { ticket: number, command: txn.encode(), origin: None };
        self.handle(member, Event::Propose(vec![proposal]))
    }

    /// Asks a member for a read that sees everything.
    pub(super) fn ask_read(&mut self, member: MemberId, number: u64) -> Outcome {
        self.ledger.ask_read(number);
        if self.sabotage == Some(Sabotage::NoBarrier) {
            return self.answer_read(member, number);
        }
        self.handle(member, Event::Read(vec![number]))
    }

    /// A read is answered from what the member has now.
    pub(super) fn answer_read(&mut self, member: MemberId, number: u64) -> Outcome {
        let Some(process) = self.members.get(&member).and_then(|member| member.process.as_ref()) else { return Ok(()) };
        let view = process.store.view();
        self.ledger.answer_read(number, process.applied, &view)?;
        if let Some(client) = self.waiting_for(number) {
            let all = KINDS.iter().flat_map(|kind| view.list(*kind, None, None));
            client.seen = all.map(|record| (record.key.clone(), record.revision)).collect();
            client.waits = None;
        }
        Ok(())
    }

    pub(super) fn read_failed(&mut self, number: u64) {
        if let Some(client) = self.waiting_for(number) {
            client.waits = None;
        }
    }

    pub(super) fn write_acknowledged(&mut self, number: u64) {
        if let Some(client) = self.waiting_for(number) {
            client.waits = None;
        }
    }

    pub(super) fn write_refused(&mut self, number: u64, error: ProposeError) {
        if let Some(client) = self.waiting_for(number) {
            client.waits = None;
            if let ProposeError::NoLeader { hint } = error {
                client.leader = hint;
            }
        }
    }

    fn waiting_for(&mut self, number: u64) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.waits.is_some_and(|(waits, _)| waits == number))
    }
}

/// One to three changes, with and without expectations.
fn txn(chance: &mut Prng, seen: &BTreeMap<Key, Revision>, number: u64) -> Txn {
    let mut ops = vec![label(number)];
    let count = *chance.pick(&[1, 1, 1, 2, 3]).unwrap_or(&1);
    for _ in 0..count {
        let kind = *chance.pick(&KINDS).unwrap_or(&KINDS[0]);
        let name = *chance.pick(&NAMES).unwrap_or(&NAMES[0]);
        let key = Key::namespaced(kind, "default", name);
        let known = seen.get(&key).map_or(Expect::Absent, |revision| Expect::Revision(*revision));
        let expect = if chance.happens(500) { Expect::Any } else { known };
        ops.push(match chance.between(0, 9) {
            0..=5 => Op::Put { key, bytes: content(chance, number), expect },
            6..=8 => Op::Delete { key, expect: if expect == Expect::Absent { Expect::Any } else { expect } },
            _ => Op::Claim { name: name.to_owned(), owner: key },
        });
    }
    Txn { ops }
}

/// An object's bytes mean nothing to the store.
pub(super) fn content(chance: &mut Prng, number: u64) -> Bytes {
    let length = *chance.pick(&[8, 60, 600, 3000]).unwrap_or(&8);
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}
