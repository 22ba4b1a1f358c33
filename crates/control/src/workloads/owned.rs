//! What all controllers share whose objects own others: which children are an owner's, what new ones are called, how many
//! are made or deleted in one look, and which owners a changed child concerns.
//!
//! Nothing here remembers what was asked for. The world shows a child from the moment that its creation was decided, so it
//! is counted once, before and after it exists.

use std::sync::Arc;

use api::{
    Key, Kind, Object,
    core_v1::{Pod, PodTemplateSpec},
    kinds::Resource,
    meta_v1::ObjectMeta,
    pod,
    selector::Labels,
};

use crate::{
    names, owners,
    plan::{BURST_MAX, Note, Plan},
    world::World,
};

/// Most children of one look for which an Event of their own is written. Beyond it one Event speaks for the rest, so that a
/// thousand Pods do not bury what else there is to say.
const NOTES_MAX: usize = 10;

/// An object that chooses its children by their labels.
pub(super) trait Selects: Resource + 'static {
    /// The labels of its children; `None` if they are not understood.
    fn selector(&self) -> Option<Labels>;
}

/// An object that others own.
pub(super) trait Child: Resource + Clone + Into<Object> + 'static {
    /// Whether an owner counts on it: it has not ended and is not being deleted.
    fn is_active(&self) -> bool;
}

impl Child for Pod {
    fn is_active(&self) -> bool {
        pod::is_active(self)
    }
}

/// An owner, as far as its children are concerned.
pub(super) struct Owner<'a> {
    kind: Kind,
    meta: &'a ObjectMeta,
    selector: Labels,
}

impl<'a> Owner<'a> {
    /// `None` if nothing can belong to it: its selector is not understood, or it has no identity yet, because the answer to
    /// its own creation is on its way.
    pub(super) fn of<T: Selects>(owner: &'a T) -> Option<Self> {
        let meta = owner.metadata().filter(|meta| !meta.uid.is_empty())?;
        Some(Self { kind: T::KIND, meta, selector: owner.selector()? })
    }

    pub(super) fn uid(&self) -> &'a str {
        &self.meta.uid
    }

    pub(super) fn namespace(&self) -> &'a str {
        &self.meta.namespace
    }

    /// Whether it still makes and deletes children: neither it nor its Namespace is being deleted.
    pub(super) fn is_in_charge(&self, world: &World) -> bool {
        self.meta.deletion_timestamp.is_none() && !world.is_closing(&self.meta.namespace)
    }

    /// The children that are its own, of those that it controls and those that nothing controls. It releases what does not
    /// match any more and adopts what does. Both is written later, but counts at once: a child that is being adopted would
    /// else get a twin.
    pub(super) fn claim<'w, C: Child>(
        &self,
        controlled: impl Iterator<Item = &'w C>,
        orphans: impl Iterator<Item = &'w C>,
        plan: &mut Plan,
    ) -> Vec<&'w C> {
        let mut own = Vec::new();
        for child in controlled {
            // One that is being deleted is awaited, not released.
            if self.matches(child) || is_leaving(child.metadata()) {
                own.push(child);
            } else {
                plan.update(self.released(child));
            }
        }
        // Who is being deleted takes nobody along.
        if is_leaving(Some(self.meta)) {
            return own;
        }
        // Only what was stored can be adopted; what has ended or goes away is nobody's gain.
        for child in orphans.filter(|child| child.is_active() && self.matches(*child) && !child.uid().is_empty()) {
            plan.update(self.adopted(child));
            own.push(child);
        }
        own
    }

    /// Names for new children, of which it has had `had` before. They follow from the owner and from that number, so that
    /// deciding twice names the same children, and a child that is gone does not come back under its old name.
    pub(super) fn free_names(&self, had: u64, is_taken: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
        let names = (had..).map(|slot| names::child(&self.meta.name, &self.meta.uid, slot));
        names.filter(move |name| !is_taken(name))
    }

    /// A Pod of its own, as a template describes it.
    pub(super) fn pod(&self, template: &PodTemplateSpec, name: String) -> Pod {
        let from = template.metadata.clone().unwrap_or_default();
        let metadata = ObjectMeta {
            generate_name: format!("{}-", self.meta.name),
            name,
            namespace: self.meta.namespace.clone(),
            labels: from.labels,
            annotations: from.annotations,
            finalizers: from.finalizers,
            owner_references: vec![owners::controller_reference(self.kind, self.meta)],
            ..ObjectMeta::default()
        };
        Pod { metadata: Some(metadata), spec: template.spec.clone(), status: None }
    }

    fn matches<C: Child>(&self, child: &C) -> bool {
        child.metadata().is_some_and(|meta| self.selector.matches(&meta.labels))
    }

    fn released<C: Child>(&self, child: &C) -> C {
        let mut child = child.clone();
        child.metadata_mut().owner_references.retain(|owner| owner.uid != self.meta.uid);
        child
    }

    fn adopted<C: Child>(&self, child: &C) -> C {
        let mut child = child.clone();
        child.metadata_mut().owner_references.push(owners::controller_reference(self.kind, self.meta));
        child
    }
}

fn is_leaving(meta: Option<&ObjectMeta>) -> bool {
    meta.is_some_and(|meta| meta.deletion_timestamp.is_some())
}

/// Makes `missing` children with the first of these names, or as many as one burst may have, and tells about it at `owner`.
pub(super) fn create<C: Child>(
    owner: &Arc<Object>,
    missing: usize,
    names: impl Iterator<Item = String>,
    make: impl Fn(String) -> C,
    plan: &mut Plan,
) {
    let burst = Burst::of::<C>("Created", missing);
    for (index, name) in names.take(burst.count).enumerate() {
        let message = burst.message(index, &name);
        let step = plan.create(make(name));
        step.or(Note::warning(owner, "FailedCreate", "Error creating"));
        if let Some(message) = message {
            step.then(Note::normal(owner, "SuccessfulCreate", message));
        }
    }
}

/// Deletes the first `excess` of these children, or as many as one burst may have, and tells about it at `owner`.
pub(super) fn delete<'w, C: Child>(
    owner: &Arc<Object>,
    excess: usize,
    children: impl IntoIterator<Item = &'w C>,
    plan: &mut Plan,
) {
    let burst = Burst::of::<C>("Deleted", excess);
    for (index, child) in children.into_iter().take(burst.count).enumerate() {
        let step = plan.delete(child);
        step.or(Note::warning(owner, "FailedDelete", "Error deleting"));
        if let Some(message) = burst.message(index, child.name()) {
            step.then(Note::normal(owner, "SuccessfulDelete", message));
        }
    }
}

/// The children that one look makes or deletes. The rest follows when these are settled. After a refusal one child is tried
/// before the others, as with every task (see `brain.rs`), so a cause that persists wastes one write.
struct Burst {
    deed: &'static str,
    kind: Kind,
    count: usize,
}

impl Burst {
    fn of<C: Child>(deed: &'static str, wanted: usize) -> Self {
        Self { deed, kind: C::KIND, count: wanted.min(BURST_MAX) }
    }

    /// What users are told about the child at a position.
    fn message(&self, index: usize, name: &str) -> Option<String> {
        let Self { deed, kind, count } = self;
        match index {
            0..NOTES_MAX => Some(format!("{deed} {}: {name}", kind.info().singular)),
            NOTES_MAX => {
                let more = count - NOTES_MAX;
                Some(format!("(combined from similar events): {deed} {more} more {}", kind.info().plural))
            }
            _ => None,
        }
    }
}

/// Calls `look` with the owners of a kind that a change of a child concerns: the one that controls it, and if nothing does,
/// all that would adopt it. A child that something else controls is none of their business.
pub(super) fn owners_of<O: Selects>(world: &World, child: &ObjectMeta, look: &mut dyn FnMut(Key)) {
    let controller = owners::controller_of_kind(child, O::KIND);
    if let Some(owner) = controller {
        look(Key::namespaced(O::KIND, child.namespace.as_str(), owner.name.as_str()));
    } else if pod::controller_of(child).is_none() {
        let selects = |owner: &&O| owner.selector().is_some_and(|selector| selector.matches(&child.labels));
        world.in_namespace::<O>(&child.namespace).filter(selects).for_each(|owner| look(owner.key()));
    }
}

#[cfg(test)]
mod tests;
