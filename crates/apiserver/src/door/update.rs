//! Objects that take the place of others, whole or in one part.

use std::sync::Arc;

use api::{
    Error, Key, Object, Reason, Subresource, Timestamp, conditions, core_v1, defaults, kinds::Resource as _, meta_v1,
    pod, validate, warnings,
};
use store::{Expect, Op, Record, Txn};

use super::{Decision, Door, Fate, allocate, create::has_generation, put, valid, valid_update};

impl Door<'_> {
    pub(super) fn update(&self, sent: &Object, part: Subresource) -> Result<Decision, Error> {
        let key = sent.key();
        let record = self.existing(&key)?;
        let old = &record.object();
        let metadata = sent.metadata().cloned().unwrap_or_default();
        preconditions(&key, old, &metadata.uid, &metadata.resource_version)?;
        let mut new = match part {
            Subresource::None => whole(old, sent),
            Subresource::Status => status(old, sent)?,
            Subresource::Scale => scale(old, sent)?,
            Subresource::Binding => bound(old, sent, self.stamp.now)?,
            Subresource::Finalize => finalized(old, sent)?,
            Subresource::Owners => owned(old, sent),
        };
        new.metadata_mut().resource_version = record.revision.to_string();
        if has_generation(key.kind) && (spec_differs(old, &new) || is_annotated(old, &new, part)) {
            new.metadata_mut().generation += 1;
        }
        if new == **old {
            return Ok(unchanged(record));
        }
        if matches!(part, Subresource::None | Subresource::Scale) {
            valid_update(&key, old, &new)?;
        }
        if matches!(part, Subresource::Owners | Subresource::Status | Subresource::Finalize) {
            valid(&key, validate::update_part(old, &new, part))?;
        }
        let warnings = if part == Subresource::None { warnings::of(&new) } else { Vec::new() };
        Ok(Decision { warnings, ..self.store(record, new)? })
    }

    /// Stores what is to be instead of `record`, or removes it if that was all it waited for.
    pub(super) fn store(&self, record: &Record, mut new: Object) -> Result<Decision, Error> {
        let key = &record.key;
        if finished(&new) {
            return Ok(gone(record, new));
        }
        let claims = self.allocate(key, Some(&record.object()), &mut new)?;
        let mut ops = vec![put(key, &new, Expect::Revision(record.revision))?];
        ops.extend(claims);
        Ok(Decision { txn: Txn { ops }, object: Arc::new(new), fate: Fate::Changed, warnings: Vec::new() })
    }
}

/// Nothing is to be done.
pub(super) fn unchanged(record: &Record) -> Decision {
    let object = record.object();
    Decision { txn: Txn::default(), object, fate: Fate::Unchanged, warnings: Vec::new() }
}

/// The object goes, and with it what it claimed.
pub(super) fn gone(record: &Record, last: Object) -> Decision {
    let delete = Op::Delete { key: record.key.clone(), expect: Expect::Revision(record.revision) };
    let released = allocate::claims(&record.object()).into_iter().map(|name| Op::Release { name });
    let ops = std::iter::once(delete).chain(released).collect();
    Decision { txn: Txn { ops }, object: Arc::new(last), fate: Fate::Gone, warnings: Vec::new() }
}

/// Whether an object that is being deleted has nothing left to wait for.
fn finished(object: &Object) -> bool {
    let Some(metadata) = object.metadata() else { return false };
    let waits = match object {
        Object::Pod(_) => metadata.deletion_grace_period_seconds.unwrap_or(0) > 0,
        Object::Namespace(namespace) => namespace.spec.as_ref().is_some_and(|spec| !spec.finalizers.is_empty()),
        _ => false,
    };
    metadata.deletion_timestamp.is_some() && metadata.finalizers.is_empty() && !waits
}

/// The uid and revision that a writer saw must still be those of the object. What the writer sent is not shown: a patch may
/// have taken it from elsewhere in the object.
pub(super) fn preconditions(key: &Key, old: &Object, uid: &str, resource_version: &str) -> Result<(), Error> {
    let is = old.metadata().map_or("", |meta| &meta.uid);
    if !uid.is_empty() && uid != is {
        return Err(Error::conflict(key, "Precondition failed: the UID in the precondition is not that of the object"));
    }
    if matches!(resource_version, "" | "0") {
        return Ok(());
    }
    let wanted: u64 = resource_version.parse().map_err(|_| {
        Error::bad_request("metadata.resourceVersion: it is not one of this cluster's; use that of an answer")
            .about(key)
    })?;
    if old.revision().is_some_and(|revision| revision.0 == wanted) { Ok(()) } else { Err(Error::modified(key)) }
}

/// Everything but what only the door and the observers may say.
fn whole(old: &Object, sent: &Object) -> Object {
    let mut new = sent.clone();
    let before = old.metadata().cloned().unwrap_or_default();
    let metadata = new.metadata_mut();
    metadata.uid = before.uid;
    metadata.creation_timestamp = before.creation_timestamp;
    metadata.deletion_timestamp = before.deletion_timestamp;
    metadata.deletion_grace_period_seconds = before.deletion_grace_period_seconds;
    metadata.generation = before.generation;
    metadata.self_link = before.self_link;
    metadata.managed_fields = before.managed_fields;
    if metadata.generate_name.is_empty() {
        metadata.generate_name = before.generate_name;
    }
    match (&mut new, old) {
        (Object::Namespace(new), Object::Namespace(old)) => {
            new.spec.clone_from(&old.spec);
            new.status.clone_from(&old.status);
        }
        (Object::Service(new), Object::Service(old)) => {
            allocate::carry_over(old, new);
            new.status.clone_from(&old.status);
        }
        (new, old) => {
            copy_status(new, old);
        }
    }
    defaults::apply(&mut new);
    new
}

/// Takes `status` over from another object. Says whether the kind has one.
fn copy_status(to: &mut Object, from: &Object) -> bool {
    match (to, from) {
        (Object::Namespace(to), Object::Namespace(from)) => to.status.clone_from(&from.status),
        (Object::Node(to), Object::Node(from)) => to.status.clone_from(&from.status),
        (Object::Pod(to), Object::Pod(from)) => to.status.clone_from(&from.status),
        (Object::Service(to), Object::Service(from)) => to.status.clone_from(&from.status),
        (Object::Deployment(to), Object::Deployment(from)) => to.status.clone_from(&from.status),
        (Object::ReplicaSet(to), Object::ReplicaSet(from)) => to.status.clone_from(&from.status),
        _ => return false,
    }
    true
}

fn status(old: &Object, sent: &Object) -> Result<Object, Error> {
    let mut new = old.clone();
    if let (Object::Deployment(new), Object::Deployment(sent)) = (&mut new, sent) {
        // Its controller keeps a number there, which would count as a change of what is wanted if it came another way.
        new.metadata_mut().annotations = sent.metadata.clone().unwrap_or_default().annotations;
    }
    if copy_status(&mut new, sent) { Ok(new) } else { Err(no_part(old, Subresource::Status)) }
}

fn scale(old: &Object, sent: &Object) -> Result<Object, Error> {
    let mut new = old.clone();
    let (to, wanted) = match (&mut new, sent) {
        (Object::Deployment(new), Object::Deployment(sent)) => {
            (&mut new.spec.get_or_insert_default().replicas, sent.spec.as_ref().and_then(|spec| spec.replicas))
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(sent)) => {
            (&mut new.spec.get_or_insert_default().replicas, sent.spec.as_ref().and_then(|spec| spec.replicas))
        }
        _ => return Err(no_part(old, Subresource::Scale)),
    };
    // Silence must not become the default of one replica.
    *to = Some(wanted.ok_or_else(|| Error::bad_request("spec.replicas: say how many there should be"))?);
    Ok(new)
}

/// A Pod is bound once, and not while it goes.
fn bound(old: &Object, sent: &Object, now: Timestamp) -> Result<Object, Error> {
    let (Object::Pod(old_pod), Object::Pod(sent)) = (old, sent) else {
        return Err(no_part(old, Subresource::Binding));
    };
    let key = old.key();
    let node =
        pod::node_name(sent).ok_or_else(|| Error::bad_request("spec.nodeName: name the node to bind the Pod to"))?;
    if let Some(bound) = pod::node_name(old_pod) {
        return Err(Error::conflict(&key, format!("pod {} is already assigned to node \"{bound}\"", key.name)));
    }
    if pod::is_terminating(old_pod) {
        let why = format!("pod {} is being deleted, cannot be assigned to a host", key.name);
        return Err(Error::conflict(&key, why));
    }
    let mut new = old_pod.clone();
    new.spec.get_or_insert_default().node_name = node.to_owned();
    let condition: core_v1::PodCondition =
        conditions::new("PodScheduled", conditions::ConditionStatus::True, "", "", now);
    pod::set_condition(&mut new, condition);
    Ok(new.into())
}

fn finalized(old: &Object, sent: &Object) -> Result<Object, Error> {
    let (Object::Namespace(old_namespace), Object::Namespace(sent)) = (old, sent) else {
        return Err(no_part(old, Subresource::Finalize));
    };
    let mut new = old_namespace.clone();
    new.spec.get_or_insert_default().finalizers = sent.spec.clone().unwrap_or_default().finalizers;
    Ok(new.into())
}

fn owned(old: &Object, sent: &Object) -> Object {
    let mut new = old.clone();
    let (metadata, sent) = (new.metadata_mut(), metadata(sent));
    metadata.owner_references = sent.owner_references;
    metadata.finalizers = sent.finalizers;
    new
}

fn no_part(object: &Object, part: Subresource) -> Error {
    let message = format!("{} have no part \"{}\"", object.kind().resource_name(), part.word());
    Error::new(Reason::MethodNotAllowed, message).about(&object.key())
}

fn spec_differs(old: &Object, new: &Object) -> bool {
    match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => old.spec != new.spec,
        (Object::Deployment(old), Object::Deployment(new)) => old.spec != new.spec,
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => old.spec != new.spec,
        _ => false,
    }
}

/// Annotations of a Deployment count as what is wanted, since its ReplicaSets have them too. Kubernetes' rule, and of
/// Deployments only.
fn is_annotated(old: &Object, new: &Object, part: Subresource) -> bool {
    let annotated = metadata(old).annotations != metadata(new).annotations;
    matches!(new, Object::Deployment(_)) && part == Subresource::None && annotated
}

fn metadata(object: &Object) -> meta_v1::ObjectMeta {
    object.metadata().cloned().unwrap_or_default()
}
