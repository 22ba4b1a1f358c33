//! What the whole group has promised, seen from outside, and the rules that no member may break. Every member's steps are
//! entered here as they happen.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api::{ChangeType, Key, Revision};
use bytes::Bytes;
use consensus::{Entry, EntryKind, MemberId, ProposeError};
use store::{Event, Op, Record, Txn, View};

use super::{Broken, Outcome, Rule, process::Shadow};

/// The first index after the founding.
const FIRST: u64 = 2;

/// Stirs bytes into a number (FNV-1a).
pub(super) fn stir(seed: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An entry as the ledger knows it: its term, and a number for everything else that it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) content: u64,
}

impl From<&Entry> for Place {
    fn from(entry: &Entry) -> Self {
        let kind = u64::from(entry.kind == EntryKind::Change);
        // What Raft wrote for itself (`data` of a change) may differ between members that read it from a log and those that
        // wrote it; what counts is the context then.
        let data: &[u8] = if entry.kind == EntryKind::Change { &[] } else { &entry.data };
        Self { term: entry.term, content: stir(stir(kind, data), &entry.context) }
    }
}

/// A state as a number: the revision, and the sum of numbers for all records, so that it follows a change at a change's cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) revision: u64,
    sum: u64,
}

impl Digest {
    /// Of a whole state.
    pub(super) fn of(view: &View) -> Self {
        let all = view.kinds().flat_map(|kind| view.list(kind, None, None));
        let sum = all.map(|record| number(record)).fold(0, u64::wrapping_add);
        Self { revision: view.revision().0, sum }
    }

    /// After a change.
    pub(super) fn take(&mut self, event: &Event) {
        let before = event.before.as_ref().map_or(0, |record| number(record));
        let after = if event.change == ChangeType::Deleted { 0 } else { number(&event.record) };
        self.sum = self.sum.wrapping_sub(before).wrapping_add(after);
        self.revision = event.revision().0;
    }
}

fn number(record: &Record) -> u64 {
    let Record { key, bytes, revision, created, .. } = record;
    let place = stir(stir(key.kind.row() as u64, key.namespace.as_bytes()), key.name.as_bytes());
    stir(stir(place.wrapping_add(revision.0 << 20), bytes), &created.0.to_le_bytes())
}

/// An entry that somebody applied.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    place: Place,
    /// The term of whoever applied it first: leaders of later terms must have it.
    known_in: u64,
    digest: Digest,
}

/// What became of a client's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody knows yet.
    Asked,
    /// It was promised that nothing happened.
    Refused,
    /// It is in the log at this index.
    Agreed(u64),
    /// The same, and the client knows.
    Acknowledged(u64),
}

/// A read that waits: how new its answer must be.
#[derive(Clone, Copy, Debug)]
struct Question {
    index: u64,
    revision: u64,
}

/// All that was promised.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// For each (index, term) that was ever in a log: what it says, and the term before it.
    places: HashMap<(u64, u64), (u64, u64)>,
    agreed: Vec<Agreed>,
    leaders: BTreeMap<u64, MemberId>,
    writes: BTreeMap<u64, Fate>,
    reads: BTreeMap<u64, Question>,
    /// Every change, in order: revision 1 is the first.
    history: Vec<Arc<Event>>,
    /// The highest index and revision that some client knows of.
    pub(super) known_index: u64,
    known_revision: u64,
    /// The highest number of a write that was acknowledged.
    pub(super) newest_write: u64,
    pub(super) tally: super::Tally,
}

fn broken<T>(rule: Rule, detail: String) -> Result<T, Broken> {
    Err(Broken { rule, detail })
}

impl Ledger {
    /// An entry is in some log. One (index, term) says one thing and follows one term, so equal entries have equal pasts.
    pub(super) fn place(&mut self, index: u64, place: Place, before: u64) -> Outcome {
        let known = *self.places.entry((index, place.term)).or_insert((place.content, before));
        if known == (place.content, before) {
            return Ok(());
        }
        let (term, content) = (place.term, place.content);
        broken(
            Rule::LogMatching,
            format!("entry {index} of term {term} is {content:x} after {before}, but was {known:x?}"),
        )
    }

    /// A member leads. It must be alone in its term, and its log must have all that was agreed in earlier ones.
    pub(super) fn leads(&mut self, member: MemberId, term: u64, log: &Shadow) -> Outcome {
        if let Some(other) = self.leaders.get(&term) {
            let detail = format!("{member} and {other} lead in term {term}");
            return if *other == member { Ok(()) } else { broken(Rule::OneLeader, detail) };
        }
        self.leaders.insert(term, member);
        self.tally.leaders += 1;
        let Some(last) = self.agreed.iter().rposition(|agreed| agreed.known_in < term) else { return Ok(()) };
        let (index, wanted) = (last as u64 + FIRST, self.agreed[last].place.term);
        match log.term(index) {
            Some(found) if found == wanted => Ok(()),
            None if index < log.base() => Ok(()),
            found => broken(
                Rule::LeaderCompleteness,
                format!("{member} leads in term {term} with {found:?} at {index}, where term {wanted} was agreed"),
            ),
        }
    }

    /// A member applied an entry and had this state afterwards.
    pub(super) fn agree(&mut self, index: u64, place: Place, known_in: u64, digest: Digest) -> Outcome {
        let at = (index - FIRST) as usize;
        let Some(agreed) = self.agreed.get(at) else {
            if at > self.agreed.len() {
                return broken(Rule::SameOrder, format!("entry {index} is applied before those before it"));
            }
            self.agreed.push(Agreed { place, known_in, digest });
            return Ok(());
        };
        if agreed.place != place {
            return broken(
                Rule::SameOrder,
                format!("{place:?} is applied at {index} and elsewhere {:?}", agreed.place),
            );
        }
        self.same_state(index, digest)
    }

    /// A member's state at an index is everybody's.
    pub(super) fn same_state(&self, index: u64, digest: Digest) -> Outcome {
        let wanted = match index.checked_sub(FIRST) {
            None => Digest::default(),
            Some(at) => match self.agreed.get(at as usize) {
                None => return broken(Rule::SameState, format!("a state at {index}, which nobody has reached")),
                Some(agreed) => agreed.digest,
            },
        };
        if wanted == digest {
            return Ok(());
        }
        broken(Rule::SameState, format!("the state at {index} is {digest:x?} here and {wanted:x?} elsewhere"))
    }

    /// Whether somebody has applied this index.
    pub(super) fn is_agreed(&self, index: u64) -> bool {
        index < FIRST + self.agreed.len() as u64
    }

    /// The last index that anybody applied.
    pub(super) fn last_agreed(&self) -> u64 {
        FIRST + self.agreed.len() as u64 - 1
    }

    /// A command is applied for the first time anywhere. It must be some client's, and only once.
    pub(super) fn command(&mut self, index: u64, command: &Bytes, events: &[Arc<Event>]) -> Outcome {
        let Some(id) = write_id(command) else {
            return broken(Rule::SameOrder, format!("nobody asked for the command at {index}"));
        };
        match self.writes.insert(id, Fate::Agreed(index)) {
            Some(Fate::Asked) => {}
            fate => {
                return broken(
                    Rule::RefusedStaysRefused,
                    format!("write {id} is applied at {index}, but was {fate:?}"),
                );
            }
        }
        for event in events {
            self.history.push(event.clone());
            if event.revision().0 != self.history.len() as u64 {
                return broken(
                    Rule::Revisions,
                    format!("revision {} is change {}", event.revision(), self.history.len()),
                );
            }
        }
        Ok(())
    }

    pub(super) fn ask_write(&mut self, id: u64) {
        self.writes.insert(id, Fate::Asked);
    }

    /// A client is told that its write happened.
    pub(super) fn acknowledge(&mut self, id: u64, index: u64, revision: u64) -> Outcome {
        let fate = self.writes.insert(id, Fate::Acknowledged(index));
        if fate != Some(Fate::Agreed(index)) {
            return broken(Rule::AcknowledgedStays, format!("write {id} is acknowledged at {index}, but was {fate:?}"));
        }
        self.tally.writes += 1;
        self.newest_write = self.newest_write.max(id);
        self.see(index, revision);
        Ok(())
    }

    /// A client is told that its write failed, or that nobody knows.
    pub(super) fn refuse(&mut self, id: u64, error: ProposeError) -> Outcome {
        match error {
            ProposeError::Unknown => return Ok(()),
            ProposeError::NoLeader { .. }
            | ProposeError::Overloaded
            | ProposeError::TooLarge
            | ProposeError::Stopped => {}
        }
        match self.writes.insert(id, Fate::Refused) {
            Some(Fate::Asked) => Ok(()),
            fate => broken(Rule::RefusedStaysRefused, format!("write {id} is refused ({error}), but was {fate:?}")),
        }
    }

    pub(super) fn ask_read(&mut self, id: u64) {
        self.reads.insert(id, Question { index: self.known_index, revision: self.known_revision });
    }

    pub(super) fn answer_read(&mut self, id: u64, index: u64, view: &View) -> Outcome {
        let Some(question) = self.reads.remove(&id) else { return Ok(()) };
        let revision = view.revision().0;
        if index < question.index || revision < question.revision {
            let detail = format!("read {id} sees {index} (revision {revision}), but when asked {question:?} was known");
            return broken(Rule::FreshReads, detail);
        }
        self.tally.reads += 1;
        self.see(0, revision);
        Ok(())
    }

    fn see(&mut self, index: u64, revision: u64) {
        self.known_index = self.known_index.max(index);
        self.known_revision = self.known_revision.max(revision);
    }

    /// A watcher of some kinds at `from` was given events and is at `to` now: exactly what happened in between.
    pub(super) fn watched(
        &mut self,
        kinds: &[api::Kind],
        from: Revision,
        to: Revision,
        events: &[Arc<Event>],
    ) -> Outcome {
        if to < from {
            return broken(Rule::WholeWatches, format!("a watch went back from {from} to {to}"));
        }
        let range = (from.0 as usize).min(self.history.len())..(to.0 as usize).min(self.history.len());
        let wanted = self.history[range].iter().filter(|event| kinds.contains(&event.record.key.kind));
        let told = |events: &mut dyn Iterator<Item = &Arc<Event>>| events.map(|event| tell(event)).collect::<Vec<_>>();
        let same = wanted.clone().count() == events.len()
            && wanted.clone().zip(events).all(|(wanted, event)| is_same(wanted, event));
        self.tally.events += events.len();
        if same {
            return Ok(());
        }
        let (wanted, given) = (told(&mut wanted.clone()), told(&mut events.iter()));
        broken(Rule::WholeWatches, format!("from {from} to {to}: given {given:?}, happened {wanted:?}"))
    }

    /// The last revision that anybody made.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.history.len() as u64)
    }

    /// At the end nothing acknowledged may be missing: all of it is at or below what everybody has applied.
    pub(super) fn nothing_is_lost(&self, applied: u64) -> Outcome {
        let lost = self.writes.iter().find(|(_, fate)| matches!(fate, Fate::Acknowledged(index) if *index > applied));
        lost.map_or(Ok(()), |(id, _)| broken(Rule::AcknowledgedStays, format!("write {id} is lost")))
    }
}

fn is_same(one: &Event, other: &Event) -> bool {
    let before = |event: &Event| event.before.as_ref().map(|record| number(record));
    one.change == other.change && number(&one.record) == number(&other.record) && before(one) == before(other)
}

fn tell(event: &Event) -> String {
    let Key { kind, name, .. } = &event.record.key;
    format!("{:?} {kind} {name} @{}", event.change, event.revision())
}

/// Every write carries its number as a name that it gives back without ever having had it.
pub(super) fn label(id: u64) -> Op {
    Op::Release { name: format!("write/{id}") }
}

fn write_id(command: &Bytes) -> Option<u64> {
    let txn = Txn::decode(command.clone()).ok()?;
    txn.ops.iter().find_map(|op| match op {
        Op::Release { name } => name.strip_prefix("write/")?.parse().ok(),
        Op::Put { .. } | Op::Delete { .. } | Op::Claim { .. } | Op::Still { .. } | Op::Advance { .. } => None,
    })
}
