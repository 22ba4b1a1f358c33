//! The value that every master computes from the log.

use std::{
    ops::Bound,
    sync::{Arc, LazyLock},
};

use api::{ChangeType, Key, Kind, Revision, object::CustomKind};
use imbl::{OrdMap, ordmap::DiffItem};

use crate::{Event, Expect, News, Op, Record, Txn};

/// A name within a kind. Ordered by namespace, then name.
type Slot = (Arc<str>, Arc<str>);

/// The objects of one kind.
type Table = OrdMap<Slot, Arc<Record>>;

/// Every object, and who has which claimed name. Cloning is O(kinds) and shares everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Root {
    /// One map a kind, in the order of [`Kind::ALL`].
    tables: Vec<Table>,
    /// One map for each kind that a user has defined and of which there are objects.
    custom: OrdMap<CustomKind, Table>,
    claims: OrdMap<Arc<str>, Key>,
    revision: Revision,
    /// What the objects of each kind cost, by [`Kind::row`].
    bytes: Costs,
    digest: Digest,
}

/// Bytes by [`Kind::row`].
#[derive(Clone, Debug)]
struct Costs([usize; Kind::ROWS]);

impl Default for Costs {
    fn default() -> Self {
        Self([0; Kind::ROWS])
    }
}

/// A number that tells histories apart: what every operation did is folded into it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    /// An odd number without a pattern (the golden ratio's fraction), so that every fold moves all bits.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

    fn fold(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(Self::SPREAD);
    }

    fn fold_bytes(&mut self, bytes: &[u8]) {
        self.fold(u64::from(crc32c::crc32c(bytes)) << 32 | bytes.len() as u64 & 0xFFFF_FFFF);
    }

    fn fold_key(&mut self, key: &Key) {
        self.fold(u64::from(key.kind.info().code));
        if let Kind::Custom(kind) = key.kind {
            self.fold_bytes(kind.info().group.as_bytes());
            self.fold_bytes(kind.info().plural.as_bytes());
        }
        self.fold_bytes(key.namespace.as_bytes());
        self.fold_bytes(key.name.as_bytes());
    }
}

/// The state at one revision, as a value: what readers hold. Cloning is O(1).
#[derive(Clone, Debug)]
pub struct View(Arc<Root>);

/// The objects of one kind in some state, to see whether those of another state are still the same.
#[derive(Clone, Debug, Default)]
pub struct Objects(Table);

impl Objects {
    /// Whether a state has exactly these: at once, without looking at them. Never true where it is not so.
    #[must_use]
    pub fn are_those_of(&self, view: &View, kind: Kind) -> bool {
        view.0.table(kind).is_some_and(|table| table.ptr_eq(&self.0))
    }

    /// What became of them in another state: each that is gone, new or changed, as it was and as it is. What both states share
    /// is not looked at.
    pub fn changes_to<'a>(
        &'a self,
        later: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<Record>>, Option<&'a Arc<Record>>)> {
        self.0.diff(&later.0).map(|change| match change {
            DiffItem::Add(_, new) => (None, Some(new)),
            DiffItem::Update { old: (_, old), new: (_, new) } => (Some(old), Some(new)),
            DiffItem::Remove(_, old) => (Some(old), None),
        })
    }
}

/// The state that the log builds. See [`State::apply`].
#[derive(Debug)]
pub struct State {
    root: Root,
}

/// What a transaction did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The revision of the state afterwards.
    pub revision: Revision,
    /// For each operation the record that it stored (or, for a deletion, the last state under its new revision).
    pub records: Vec<Option<Arc<Record>>>,
    /// The changes, in order.
    pub events: Vec<Arc<Event>>,
}

/// Why a transaction did nothing. All of them mean that the state was not what the proposer had looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was to be created.
    #[error("{0} exists")]
    Exists(Key),
    /// It was to be changed or deleted.
    #[error("{0} does not exist")]
    Missing(Key),
    /// It is at another revision.
    #[error("{key} is at revision {current}")]
    Changed {
        /// Which.
        key: Key,
        /// Where it is.
        current: Revision,
    },
    /// Somebody else has the name.
    #[error("{name} belongs to {owner}")]
    Claimed {
        /// The claimed name.
        name: String,
        /// Who has it.
        owner: Key,
    },
}

impl Default for State {
    fn default() -> Self {
        Self { root: Root { tables: vec![OrdMap::new(); Kind::ALL.len()], ..Root::default() } }
    }
}

impl State {
    pub(crate) fn from_root(root: Root) -> Self {
        Self { root }
    }

    /// A number that differs, but for rare chance, between two states that other transactions made, or in another order.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.root.digest.0
    }

    /// The state as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View(Arc::new(self.root.clone()))
    }

    /// Carries out all of a transaction, or nothing. The same transactions in the same order give the same state anywhere.
    ///
    /// # Errors
    /// If an expectation does not hold; the state is then as before.
    pub fn apply(&mut self, txn: &Txn) -> Result<Applied, Refusal> {
        txn.ops.iter().try_for_each(|op| self.check(op))?;
        let mut applied = Applied { revision: self.root.revision, records: Vec::new(), events: Vec::new() };
        for op in &txn.ops {
            let event = self.perform(op).map(Arc::new);
            self.root.note(op, event.as_deref());
            applied.records.push(event.as_ref().map(|event| event.record.clone()));
            applied.events.extend(event);
        }
        applied.revision = self.root.revision;
        Ok(applied)
    }

    fn check(&self, op: &Op) -> Result<(), Refusal> {
        match op {
            Op::Put { key, expect, .. } => self.expect(key, *expect),
            Op::Delete { key, expect } => match self.root.get(key) {
                Some(_) => self.expect(key, *expect),
                None => Err(Refusal::Missing(key.clone())),
            },
            Op::Claim { name, owner } => match self.root.claims.get(name.as_str()) {
                Some(other) if other != owner => Err(Refusal::Claimed { name: name.clone(), owner: other.clone() }),
                _ => Ok(()),
            },
            Op::Still { kind, namespace, since, news } => {
                let at = |record: &Record| match news {
                    News::Created => record.created,
                    News::Changed => record.revision,
                };
                let is_empty = self.root.table(*kind).is_none_or(OrdMap::is_empty);
                let mut all = self.root.list(*kind, Some(namespace), None).filter(|_| !is_empty);
                let refused =
                    |record: &Arc<Record>| Refusal::Changed { key: record.key.clone(), current: record.revision };
                all.find(|record| at(record) > *since).map_or(Ok(()), |record| Err(refused(record)))
            }
            Op::Release { .. } | Op::Advance { .. } => Ok(()),
        }
    }

    fn expect(&self, key: &Key, expect: Expect) -> Result<(), Refusal> {
        match (expect, self.root.get(key)) {
            (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
            (Expect::Absent, Some(_)) => Err(Refusal::Exists(key.clone())),
            (Expect::Revision(wanted), Some(found)) if found.revision == wanted => Ok(()),
            (Expect::Revision(_), Some(found)) => Err(Refusal::Changed { key: key.clone(), current: found.revision }),
            (Expect::Revision(_), None) => Err(Refusal::Missing(key.clone())),
        }
    }

    fn perform(&mut self, op: &Op) -> Option<Event> {
        match op {
            Op::Put { key, bytes, .. } => {
                let revision = self.advance();
                // All records of an object share its name.
                let named = |before: &Arc<Record>| (before.key.clone(), before.created);
                let (key, created) = self.root.get(key).map_or_else(|| (key.clone(), revision), named);
                let record = Arc::new(Record::new(key, bytes.clone(), revision, created));
                let before = self.root.insert(record.clone());
                let change = if before.is_some() { ChangeType::Modified } else { ChangeType::Added };
                Some(Event { change, record, before })
            }
            Op::Delete { key, .. } => {
                let before = self.root.remove(key)?;
                let revision = self.advance();
                let last = Record::new(before.key.clone(), before.bytes.clone(), revision, before.created);
                Some(Event { change: ChangeType::Deleted, record: Arc::new(last), before: Some(before) })
            }
            Op::Claim { name, owner } => {
                self.root.claims.insert(name.as_str().into(), owner.clone());
                None
            }
            Op::Advance { by } => {
                self.root.revision.0 = self.root.revision.0.saturating_add(*by);
                None
            }
            Op::Release { name } => {
                self.root.claims.remove(name.as_str());
                None
            }
            Op::Still { .. } => None,
        }
    }

    fn advance(&mut self) -> Revision {
        self.root.revision.0 += 1;
        self.root.revision
    }
}

impl Root {
    pub(crate) fn new(revision: Revision, digest: Digest) -> Self {
        Self { revision, digest, ..State::default().root }
    }

    /// Folds what an operation did into the digest.
    fn note(&mut self, op: &Op, event: Option<&Event>) {
        let digest = &mut self.digest;
        match (op, event) {
            (_, Some(Event { change, record, .. })) => {
                digest.fold(*change as u64);
                digest.fold(record.revision.0);
                digest.fold_key(&record.key);
                digest.fold_bytes(&record.bytes);
            }
            (Op::Claim { name, owner }, None) => {
                digest.fold_bytes(name.as_bytes());
                digest.fold_key(owner);
            }
            (Op::Release { name }, None) => digest.fold_bytes(name.as_bytes()),
            (Op::Advance { by }, None) => digest.fold(*by),
            (Op::Still { since, .. }, None) => digest.fold(since.0),
            (Op::Put { .. } | Op::Delete { .. }, None) => digest.fold(0),
        }
    }

    /// The objects of a kind; `None` if a user has defined it and there are none.
    fn table(&self, kind: Kind) -> Option<&Table> {
        if let Kind::Custom(kind) = kind { self.custom.get(&kind) } else { Some(&self.tables[kind.row()]) }
    }

    fn table_mut(&mut self, kind: Kind) -> &mut Table {
        if let Kind::Custom(kind) = kind { self.custom.entry(kind).or_default() } else { &mut self.tables[kind.row()] }
    }

    fn get(&self, key: &Key) -> Option<&Arc<Record>> {
        self.table(key.kind)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// See [`View::list`].
    fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &'a Arc<Record>> + use<'a> {
        static EMPTY: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
        let from = match after {
            Some(key) => Bound::Excluded((key.namespace.clone(), key.name.clone())),
            None => Bound::Included((namespace.map_or_else(|| EMPTY.clone(), Arc::from), EMPTY.clone())),
        };
        let table = self.table(kind).into_iter();
        let within = move |record: &&Arc<Record>| namespace.is_none_or(|wanted| &*record.key.namespace == wanted);
        let records = table.flat_map(move |table| table.range((from.clone(), Bound::Unbounded)));
        records.map(|(_, record)| record).take_while(within)
    }

    pub(crate) fn insert(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        let Key { kind, namespace, name } = &record.key;
        let (kind, slot) = (*kind, (namespace.clone(), name.clone()));
        self.bytes.0[kind.row()] += record.size();
        let before = self.table_mut(kind).insert(slot, record);
        self.bytes.0[kind.row()] -= before.as_ref().map_or(0, |record| record.size());
        before
    }

    /// Makes a change undone, which must be the last one of its object.
    fn take_back(&mut self, event: &Event) {
        match &event.before {
            Some(before) => self.insert(before.clone()),
            None => self.remove(&event.record.key),
        };
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Record>> {
        let table = self.table_mut(key.kind);
        let before = table.remove(&(key.namespace.clone(), key.name.clone()));
        let is_empty = table.is_empty();
        if let Kind::Custom(kind) = key.kind
            && is_empty
        {
            self.custom.remove(&kind);
        }
        let before = before?;
        self.bytes.0[key.kind.row()] -= before.size();
        Some(before)
    }

    pub(crate) fn claim(&mut self, name: Arc<str>, owner: Key) {
        self.claims.insert(name, owner);
    }
}

impl View {
    /// One object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Record>> {
        self.0.get(key)
    }

    /// The objects of a kind, of one namespace or of all, after a key (exclusive) or from the start, ordered by key.
    pub fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &'a Arc<Record>> + use<'a> {
        self.0.list(kind, namespace, after)
    }

    /// Every kind of the table, and those that users have defined and of which there are objects.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().chain(self.0.custom.keys().copied().map(Kind::Custom))
    }

    /// The objects of a kind, to compare other states with.
    #[must_use]
    pub fn objects(&self, kind: Kind) -> Objects {
        Objects(self.0.table(kind).cloned().unwrap_or_default())
    }

    /// How many objects of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.0.table(kind).map_or(0, OrdMap::len)
    }

    /// How many changes made this state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    pub(crate) fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The state without its latest changes of a kind, which are given in order; `revision` is that before the first of them.
    pub(crate) fn without(&self, changes: &[Arc<Event>], revision: Revision) -> Self {
        let mut root = Root { revision, ..Root::clone(&self.0) };
        changes.iter().rev().for_each(|change| root.take_back(change));
        Self(Arc::new(root))
    }

    /// Who has a claimed name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Key> {
        self.0.claims.get(name)
    }

    /// Every claimed name with its owner, ordered by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.0.claims.iter().map(|(name, owner)| (&**name, owner))
    }

    /// What all objects cost in memory, about, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.0.iter().sum()
    }

    /// What the objects of a kind cost in memory, about, in bytes; of one that a user has defined, those of all such kinds.
    #[must_use]
    pub fn bytes_of(&self, kind: Kind) -> usize {
        self.0.bytes.0[kind.row()]
    }
}
