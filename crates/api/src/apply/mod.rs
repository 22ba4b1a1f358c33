//! Server-side apply, and who owns which fields of an object.
//!
//! All of it is about JSON values and their types ([`Typed`]), so that the kinds of `proto/` and those that users define share
//! it. [`apply`] merges what somebody wants into an object, [`tracked`] notes what any other write has changed; both answer
//! what `metadata.managedFields` says afterwards. The rules are Kubernetes': a field that somebody else owns is not changed
//! without force, and one that its last applier no longer names goes if nobody else owns it.

mod built_in;
mod configuration;
mod conflict;
mod known;
mod migration;
mod note;
mod owners;
#[cfg(test)]
mod rules;
pub mod shown;
mod skeleton;
mod spell;
#[cfg(test)]
mod tests;
mod typed;
mod value;

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use crate::{
    fieldset::{Element, Set},
    meta_v1::{ManagedFieldsEntry, Time},
};

pub use built_in::{BuiltInKind, config, known_metadata};
pub use configuration::configure;
pub use conflict::Conflict;
pub use migration::{migrates, synced};
pub use owners::{Manager, Operation, UPDATE_OWNERS_MAX};
pub use typed::{BuiltIn, Merging, Typed};

use owners::{Fields, Owner, Owners, Part, owned, sort};
use value::Difference;

/// Who owns the fields of an object of which nobody was said to own any, once somebody applies.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, if nobody says it.
const NOBODY: &str = "unknown";

/// A kind as owners of its fields see it: in which versions it is served, and of which type its objects are there.
pub trait Versions {
    /// The type of its values.
    type Type: Typed;

    /// The type of its objects in a group and version; `None` if it is not served there.
    fn root(&self, api_version: &str) -> Option<Self::Type>;

    /// What an object of which nothing is said says nevertheless in a group and version: nobody owns that.
    fn empty(&self, api_version: &str) -> Value;

    /// Fields that the API server fills in, by the names on the way to them: whoever brings an object into being does not own them.
    fn given(&self) -> &[&[&str]];

    /// An object in another group and version; `None` if that cannot be.
    fn converted(&self, object: &Value, from: &str, to: &str) -> Option<Value>;

    /// Whether the status is written apart from the rest.
    fn has_status(&self) -> bool;

    /// Whether the fields of an object can be read from its bytes alone. If not, owners of the rest are kept with their fields.
    fn has_fields_in_bytes(&self) -> bool;
}

/// A write, as far as owners are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, K> {
    /// Of which kind the object is.
    pub kind: &'a K,
    /// In which group and version it is sent.
    pub api_version: &'a str,
    /// Who writes; may be empty.
    pub manager: &'a str,
    /// Which part is written; empty for the object itself.
    pub subresource: &'a str,
    /// When.
    pub now: Time,
}

/// What applying made of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object. Its `metadata.managedFields` is as it was.
    pub object: Value,
    /// What `metadata.managedFields` is to say.
    pub owners: Vec<ManagedFieldsEntry>,
}

/// Why nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Others own what would be changed.
    Conflicts(Vec<Conflict>),
    /// What is wanted cannot be merged.
    Unmergeable(String),
}

impl<K: Versions> Request<'_, K> {
    fn part(&self) -> Part {
        Part::of(self.kind.has_status(), self.subresource)
    }

    fn manager(&self, operation: Operation) -> Manager {
        let name = if self.manager.is_empty() { NOBODY } else { self.manager };
        Manager {
            name: name.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
        }
    }

    /// An object, which is at hand in the version of the request, in another one.
    fn in_version<'v>(&self, object: &'v Value, api_version: &str) -> Option<(K::Type, Cow<'v, Value>)> {
        let root = self.kind.root(api_version)?;
        let object = if api_version == self.api_version {
            Cow::Borrowed(object)
        } else {
            Cow::Owned(self.kind.converted(object, self.api_version, api_version)?)
        };
        Some((root, object))
    }

    /// The fields that whoever brings an object into being owns, in a version.
    fn fields(&self, object: &Value, api_version: &str) -> Option<Set> {
        let (root, object) = self.in_version(object, api_version)?;
        let said = value::difference(root, &self.kind.empty(api_version), &object).said();
        Some(owned(&said).difference(&owners::named(self.kind.given())))
    }

    /// The owners of an object, each with the fields that it owns.
    fn spelled_out(&self, owners: Owners, object: &Value) -> Owners {
        owners.spelled_out(self.kind.has_status(), |version| self.fields(object, version))
    }
}

/// Applies what somebody wants to an object, which is empty if it is not there yet. `config` holds nothing that its type does not
/// know.
///
/// # Errors
/// If others own what would be changed and `force` is not given, or if `config` cannot be merged.
pub fn apply<K: Versions>(
    request: &Request<'_, K>,
    live: &Value,
    entries: &[ManagedFieldsEntry],
    config: &Value,
    force: bool,
) -> Result<Applied, Refusal> {
    let root = request.kind.root(request.api_version);
    let root = root.ok_or_else(|| Refusal::Unmergeable(format!("{} is not served", request.api_version)))?;
    let stored = Owners::stored(entries).unwrap_or_default();
    let mut owners = request.spelled_out(stored.clone(), live);
    if owners.0.is_empty() {
        owners.0 = before_first_apply(request, live);
    }
    let merged = value::merged(root, Some(live), config).map_err(Refusal::Unmergeable)?;
    let part = request.part();
    let wanted = value::fields(root, config).under(|top| part.has(top));
    let manager = request.manager(Operation::Apply);
    let last = owners.take(&manager);
    let mine = Owner { manager: manager.clone(), time: Some(request.now), fields: Fields::Named(wanted) };
    owners.0.push(mine);
    let object = match &last {
        Some(last) => Pruning { request, merged: &merged, last }.pruned(&owners).unwrap_or(merged),
        None => merged,
    };
    let conflicts = Changes::new(request, live, &object).yielded(&mut owners, &manager);
    if !force && !conflicts.is_empty() {
        return Err(Refusal::Conflicts(conflicts));
    }
    let owners = settled(owners, &manager)
        .shortened(&stored, request.kind.has_status(), |version| request.fields(&object, version));
    Ok(Applied { object, owners: owners.entries() })
}

/// Whoever wrote what is there, when nobody is known: of what it has applied on its own side whoever applies now, of all else
/// somebody.
fn before_first_apply<K: Versions>(request: &Request<'_, K>, live: &Value) -> Vec<Owner> {
    let part = request.part();
    let fields = request.fields(live, request.api_version).unwrap_or_default().under(|top| part.has(top));
    let inherited = migration::inherited(request, live).unwrap_or_default().under(|top| part.has(top));
    let somebody = Manager { name: BEFORE_FIRST_APPLY.to_owned(), ..request.manager(Operation::Update) };
    let others = fields.difference(&inherited);
    [(somebody, others), (request.manager(Operation::Apply), inherited)]
        .into_iter()
        .filter(|(_, fields)| !fields.is_empty())
        .map(|(manager, fields)| Owner { manager, time: Some(request.now), fields: Fields::Named(fields) })
        .collect()
}

/// What a write changes in its part of the object, in each version that an owner speaks. Found once for each.
struct Changes<'a, K> {
    request: &'a Request<'a, K>,
    before: &'a Value,
    after: &'a Value,
    known: BTreeMap<String, Option<Difference>>,
}

impl<'a, K: Versions> Changes<'a, K> {
    fn new(request: &'a Request<'a, K>, before: &'a Value, after: &'a Value) -> Self {
        Self { request, before, after, known: BTreeMap::new() }
    }

    /// `None` if the version is gone: its fields mean nothing.
    fn of(&mut self, version: &str) -> Option<&Difference> {
        if !self.known.contains_key(version) {
            self.known.insert(version.to_owned(), self.find(version));
        }
        self.known.get(version)?.as_ref()
    }

    fn find(&self, version: &str) -> Option<Difference> {
        let (root, before) = self.request.in_version(self.before, version)?;
        let (_, after) = self.request.in_version(self.after, version)?;
        let part = self.request.part();
        Some(value::difference(root, &before, &after).under(|top: &Element| part.has(top)))
    }

    /// Takes from all others what is changed or removed; answers what is changed although others own it.
    fn yielded(&mut self, owners: &mut Owners, writer: &Manager) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        owners.0.retain_mut(|owner| {
            if owner.manager.is(writer) {
                return true;
            }
            let Some(change) = self.of(&owner.manager.api_version) else { return false };
            let Fields::Named(fields) = &mut owner.fields else { return true };
            let taken = fields.intersection(&change.said());
            conflicts.extend(taken.paths().into_iter().map(|path| Conflict { manager: owner.manager.clone(), path }));
            *fields = fields.difference(&taken).difference(&change.removed);
            !fields.is_empty()
        });
        conflicts
    }
}

/// The owners, where the one that has written owns nothing that nobody may own.
fn settled(mut owners: Owners, writer: &Manager) -> Owners {
    owners.0.retain_mut(|owner| {
        if let Fields::Named(fields) = &mut owner.fields
            && owner.manager.is(writer)
        {
            *fields = owned(fields);
        }
        owner.named().is_none_or(|fields| !fields.is_empty())
    });
    owners
}

/// What becomes of fields that an applier named the last time.
struct Pruning<'a, K> {
    request: &'a Request<'a, K>,
    merged: &'a Value,
    last: &'a Owner,
}

impl<K: Versions> Pruning<'_, K> {
    /// The merged object without what the applier named the last time and nobody owns now. `None` if nothing is to be done.
    fn pruned(&self, owners: &Owners) -> Option<Value> {
        let version = self.last.manager.api_version.as_str();
        let last = self.last.named().filter(|last| !last.is_empty())?;
        let (root, merged) = self.request.in_version(self.merged, version)?;
        let last = typed::with_named(last, root);
        let mut pruned = value::without(root, &merged, &last);
        let mut versions: Vec<&str> = owners.0.iter().map(|owner| owner.manager.api_version.as_str()).collect();
        versions.sort_unstable_by_key(|other| (*other != version, *other));
        versions.dedup();
        for other in versions {
            pruned = self.with_owned(pruned, version, other, owners)?;
        }
        // Only what was named the last time goes, even if nobody owns other things.
        let all = |object: &Value| typed::with_named(&value::fields(root, object), root);
        let gone = all(&merged).difference(&all(&pruned)).intersection(&last);
        let pruned = value::without(root, &merged, &gone);
        if version == self.request.api_version {
            return Some(pruned);
        }
        self.request.kind.converted(&pruned, version, self.request.api_version)
    }

    /// The pruned object with all that somebody owns in a version.
    fn with_owned(&self, pruned: Value, from: &str, version: &str, owners: &Owners) -> Option<Value> {
        let kind = self.request.kind;
        let Some((root, merged)) = self.request.in_version(self.merged, version) else { return Some(pruned) };
        let there = if from == version { pruned } else { kind.converted(&pruned, from, version)? };
        let owned = owners.0.iter().filter(|owner| owner.manager.api_version == version).filter_map(Owner::named);
        let owned = owned.fold(Set::default(), |sum, set| sum.union(set));
        let named = |set: &Set| typed::with_named(set, root);
        let kept = named(&value::fields(root, &there)).union(&named(&owned));
        let with = value::without(root, &merged, &named(&value::fields(root, &merged)).difference(&kept));
        if from == version { Some(with) } else { kind.converted(&with, version, from) }
    }
}

/// What a write other than apply does to the owners of an object.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// What `metadata.managedFields` said before; `None` if the object is new.
    pub before: Option<&'a [ManagedFieldsEntry]>,
    /// What the writer has sent for it.
    pub sent: &'a [ManagedFieldsEntry],
}

impl Update<'_> {
    /// Whether the writer wants all owners forgotten: a list of one entry that says nothing.
    fn resets(&self) -> bool {
        *self.sent == [ManagedFieldsEntry::default()]
    }

    /// The owners that the writer has sent, if it has read what was there and changed it.
    fn sent_owners(&self, subresource: &str) -> Option<Owners> {
        let fresh = subresource.is_empty() && !self.sent.is_empty() && Some(self.sent) != self.before;
        let owners = Owners::sent(self.sent).ok().filter(|_| fresh)?;
        (!owners.0.is_empty()).then_some(owners)
    }
}

/// What `metadata.managedFields` says after a write that was no apply. `values` makes the object before and after, in the version
/// of the request; mostly nobody needs to know.
pub fn tracked<K: Versions>(
    request: &Request<'_, K>,
    update: Update<'_>,
    values: impl FnOnce() -> (Value, Value),
) -> Vec<ManagedFieldsEntry> {
    let manager = request.manager(Operation::Update);
    let Some(before) = update.before else {
        let owner = |fields| Owner { manager: manager.clone(), time: Some(request.now), fields };
        if request.kind.has_fields_in_bytes() {
            return Owners(vec![owner(Fields::Rest)]).entries();
        }
        let fields = request.fields(&values().1, request.api_version).unwrap_or_default();
        return settled(Owners(vec![owner(Fields::Named(fields))]), &manager).entries();
    };
    if update.resets() && request.subresource.is_empty() {
        return Vec::new();
    }
    let sent = update.sent_owners(request.subresource);
    if sent.is_none() {
        // Who is to be told of whom nothing is known: nobody, until somebody applies.
        if before.is_empty() {
            return Vec::new();
        }
        if request.kind.has_fields_in_bytes()
            && let Some(entries) = at_rest(request, before, &manager)
        {
            return entries;
        }
    }
    let stored = Owners::stored(before).unwrap_or_default();
    let (old, new) = values();
    let owners = request.spelled_out(sent.unwrap_or_else(|| stored.clone()), &old);
    let owners = updated(request, owners, &old, &new, &manager).capped();
    let fields = |version: &str| request.fields(&new, version);
    owners.shortened(&stored, request.kind.has_status(), fields).entries()
}

/// The owners after a write by whoever owns the rest of the part that is written, of which nobody else owns anything; or the
/// first write of a part that nobody wrote before. Nothing needs to be compared then. `None` if something does.
fn at_rest<K: Versions>(
    request: &Request<'_, K>,
    before: &[ManagedFieldsEntry],
    manager: &Manager,
) -> Option<Vec<ManagedFieldsEntry>> {
    let (has_status, part) = (request.kind.has_status(), request.part());
    let mut here = (0..before.len()).filter(|at| Part::of(has_status, &before[*at].subresource) == part);
    let mut entries = before.to_vec();
    match (here.next(), here.next()) {
        (Some(at), None) if before[at].fields_type.is_empty() && manager.updates(&before[at]) => {
            entries[at].time = Some(request.now);
        }
        (None, _) if Part::of(has_status, "") != part => {
            let owner = Owner { manager: manager.clone(), time: Some(request.now), fields: Fields::Rest };
            entries.extend(Owners(vec![owner]).entries());
        }
        _ => return None,
    }
    sort(&mut entries);
    Some(entries)
}

/// The owners after a change of an object.
fn updated<K: Versions>(
    request: &Request<'_, K>,
    mut owners: Owners,
    old: &Value,
    new: &Value,
    manager: &Manager,
) -> Owners {
    let mut changes = Changes::new(request, old, new);
    changes.yielded(&mut owners, manager);
    let Some(change) = changes.of(request.api_version) else { return owners };
    let last = owners.take(manager);
    let said = change.said();
    let time = if said.is_empty() { last.as_ref().and_then(|last| last.time) } else { Some(request.now) };
    let mine = last.as_ref().and_then(Owner::named).cloned().unwrap_or_default();
    let fields = Fields::Named(mine.difference(&change.removed).union(&said));
    owners.0.push(Owner { manager: manager.clone(), time, fields });
    settled(owners, manager)
}
