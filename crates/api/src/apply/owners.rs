//! Who owns which fields: `metadata.managedFields` as a value.
//!
//! Most objects are written by one program, and its fields are simply all of them. So an owner may be said to own *the rest*:
//! every field of its part of the object that nobody else is said to own. Stored, such an entry has no fields, costs some dozen
//! bytes, and need not be computed again with every write; whoever asks to see it is shown its fields.

use crate::{
    fieldset::{Element, Path, Set},
    meta_v1::{FieldsV1, ManagedFieldsEntry, Time},
};

/// The most owners by update; the oldest beyond are told as one. As in Kubernetes.
pub const UPDATE_OWNERS_MAX: usize = 10;

/// Under which name the oldest owners by update are told.
const ANCIENT: &str = "ancient-changes";

/// The only format of fields that there is.
pub(super) const FIELDS_V1: &str = "FieldsV1";

/// What the API server alone says of objects: nobody owns it.
pub(super) const UNOWNED_METADATA: [&str; 9] = [
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What every object has, if its kind does: nobody brings it into being.
pub(super) const TOPMOST: [&str; 3] = ["metadata", "spec", "status"];

/// How an owner wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It applied what it wants.
    Apply,
    /// It wrote in any other way.
    Update,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// The part of an object whose fields a request may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, because its status is nothing apart.
    Whole,
    /// All but the status.
    Main,
    /// The status.
    Status,
}

impl Part {
    pub(super) fn of(has_status: bool, subresource: &str) -> Self {
        match (has_status, subresource) {
            (false, _) => Self::Whole,
            (true, "status") => Self::Status,
            (true, _) => Self::Main,
        }
    }

    pub(super) fn has(self, top: &Element) -> bool {
        match self {
            Self::Whole => true,
            Self::Main => top.name() != Some("status"),
            Self::Status => top.name() == Some("status"),
        }
    }
}

/// Who wrote, how, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// How it wrote.
    pub operation: Operation,
    /// In which group and version.
    pub api_version: String,
    /// Which part; empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// Whether both are told in one entry. Whoever applies is the same in every version.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same_version = self.operation == Operation::Apply || self.api_version == other.api_version;
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && same_version
    }

    /// Whether an entry is about its updates.
    pub(super) fn updates(&self, entry: &ManagedFieldsEntry) -> bool {
        let ManagedFieldsEntry { manager, operation, api_version, subresource, .. } = entry;
        let (is_update, word) = (self.operation == Operation::Update, Operation::Update.word());
        let same_part = *api_version == self.api_version && *subresource == self.subresource;
        is_update && operation == word && *manager == self.name && same_part
    }
}

/// Which fields somebody owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// These.
    Named(Set),
    /// All of its part of the object that nobody else is said to own.
    Rest,
}

/// One owner.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) manager: Manager,
    pub(super) time: Option<Time>,
    pub(super) fields: Fields,
}

impl Owner {
    /// The fields that are named; none of the rest.
    pub(super) fn named(&self) -> Option<&Set> {
        match &self.fields {
            Fields::Named(set) => Some(set),
            Fields::Rest => None,
        }
    }

    fn seconds(&self) -> i64 {
        self.time.map_or(0, |time| time.seconds)
    }
}

/// The owners of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owners(pub(super) Vec<Owner>);

impl Owners {
    /// As they are stored, where fields may be the rest.
    pub(super) fn stored(entries: &[ManagedFieldsEntry]) -> Result<Self, String> {
        Self::read(entries, |_| Ok(Fields::Rest))
    }

    /// As a client sends them.
    pub(super) fn sent(entries: &[ManagedFieldsEntry]) -> Result<Self, String> {
        Self::read(entries, |at| Err(format!("missing fieldsType in managed fields entry {at}")))
    }

    fn read(entries: &[ManagedFieldsEntry], untyped: impl Fn(usize) -> Result<Fields, String>) -> Result<Self, String> {
        let mut owners = Self::default();
        for (at, entry) in entries.iter().enumerate() {
            let fields = match entry.fields_type.as_str() {
                FIELDS_V1 => {
                    let text = entry.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
                    Fields::Named(Set::from_json(text).map_err(|error| format!("managed fields entry {at}: {error}"))?)
                }
                "" => untyped(at)?,
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
            };
            let owner = Owner { manager: manager(entry)?, time: entry.time, fields };
            owners.0.retain(|other| !other.manager.is(&owner.manager));
            owners.0.push(owner);
        }
        Ok(owners)
    }

    /// As they are stored and shown: appliers first, then by time and name.
    pub(super) fn entries(self) -> Vec<ManagedFieldsEntry> {
        let mut entries: Vec<_> = self.0.into_iter().map(entry).collect();
        sort(&mut entries);
        entries
    }

    /// Takes an owner out.
    pub(super) fn take(&mut self, manager: &Manager) -> Option<Owner> {
        let at = self.0.iter().position(|owner| owner.manager.is(manager))?;
        Some(self.0.remove(at))
    }

    /// Names the fields of whoever owns the rest. `all` has the fields of the object in a version; what owners of versions that
    /// are gone own is forgotten.
    pub(super) fn spelled_out(mut self, has_status: bool, all: impl Fn(&str) -> Option<Set>) -> Self {
        let named = self.0.iter().filter_map(Owner::named).fold(Set::default(), |sum, set| sum.union(set));
        self.0.retain_mut(|owner| {
            if owner.fields == Fields::Rest {
                let part = Part::of(has_status, &owner.manager.subresource);
                let Some(all) = all(&owner.manager.api_version) else { return false };
                owner.fields = Fields::Named(all.under(|top| part.has(top)).difference(&named));
            }
            true
        });
        self
    }

    /// The other way round, for those who owned the rest before, as far as they still do.
    pub(super) fn shortened(mut self, before: &Self, has_status: bool, all: impl Fn(&str) -> Option<Set>) -> Self {
        for rest in before.0.iter().filter(|owner| owner.fields == Fields::Rest) {
            let part = Part::of(has_status, &rest.manager.subresource);
            let others = self.0.iter().filter(|owner| !owner.manager.is(&rest.manager)).filter_map(Owner::named);
            let others = others.fold(Set::default(), |sum, set| sum.union(set));
            let Some(all) = all(&rest.manager.api_version) else { continue };
            let left = Fields::Named(all.under(|top| part.has(top)).difference(&others));
            let owner = self.0.iter_mut().find(|owner| owner.manager.is(&rest.manager) && owner.fields == left);
            if let Some(owner) = owner {
                owner.fields = Fields::Rest;
            }
        }
        self
    }

    /// With the oldest of too many owners by update told as one, those of each version together.
    pub(super) fn capped(mut self) -> Self {
        let mut updates: Vec<Owner> = Vec::new();
        self.0.retain(|owner| {
            let update = owner.manager.operation == Operation::Update;
            updates.extend(update.then(|| owner.clone()));
            !update
        });
        updates.sort_by_key(|owner| (owner.seconds(), owner.manager.name.clone()));
        let mut at = 0;
        while updates.len() > UPDATE_OWNERS_MAX && at < updates.len() {
            let version = updates[at].manager.api_version.clone();
            let same = |owner: &Owner| owner.manager.api_version == version;
            match updates[..at].iter().position(same) {
                // The first of its version stays where it is until a second one joins it.
                None => at += 1,
                Some(bucket) => {
                    let next = updates.remove(at);
                    let (first, next_fields) = (updates[bucket].clone(), next.named().cloned().unwrap_or_default());
                    let fields = first.named().cloned().unwrap_or_default().union(&next_fields);
                    let manager = Manager {
                        name: ANCIENT.to_owned(),
                        operation: Operation::Update,
                        api_version: version,
                        subresource: String::new(),
                    };
                    updates[bucket] = Owner { manager, time: next.time, fields: Fields::Named(fields) };
                }
            }
        }
        self.0.extend(updates);
        self
    }
}

/// Puts entries in order: appliers first, as the words of operations have it.
pub(super) fn sort(entries: &mut [ManagedFieldsEntry]) {
    fn key(entry: &ManagedFieldsEntry) -> (&str, i64, &str, &str, &str) {
        let ManagedFieldsEntry { manager, operation, api_version, time, subresource, .. } = entry;
        (operation, time.map_or(0, |time| time.seconds), manager, api_version, subresource)
    }
    entries.sort_by(|one, other| key(one).cmp(&key(other)));
}

/// The set of some fields, each told by the names on the way to it.
pub(super) fn named(paths: &[&[&str]]) -> Set {
    let path = |names: &&[&str]| Path(names.iter().map(|name| Element::field(name)).collect());
    paths.iter().fold(Set::default(), |set, names| set.with(&path(names)))
}

/// The fields without those that nobody owns.
pub(super) fn owned(set: &Set) -> Set {
    let field = Element::field;
    let unowned = UNOWNED_METADATA.iter().map(|name| (field(name), true, Set::default())).collect();
    let tops = [("apiVersion", true, Set::default()), ("kind", true, Set::default()), ("metadata", true, unowned)];
    set.difference(&tops.into_iter().map(|(name, member, below)| (field(name), member, below)).collect())
}

fn manager(entry: &ManagedFieldsEntry) -> Result<Manager, String> {
    let operation = match entry.operation.as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if entry.api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    let ManagedFieldsEntry { manager, api_version, subresource, .. } = entry.clone();
    Ok(Manager { name: manager, operation, api_version, subresource })
}

fn entry(owner: Owner) -> ManagedFieldsEntry {
    let Manager { name, operation, api_version, subresource } = owner.manager;
    let (fields_type, fields_v1) = match owner.fields {
        Fields::Named(set) => (FIELDS_V1.to_owned(), Some(FieldsV1 { raw: set.to_json().into() })),
        Fields::Rest => (String::new(), None),
    };
    let operation = operation.word().to_owned();
    ManagedFieldsEntry { manager: name, operation, api_version, time: owner.time, fields_type, fields_v1, subresource }
}
