//! Objects that replace others, whole or in one subresource.

use std::sync::Arc;

use api::{
    Error, Key, Object, Reason, Subresource, Timestamp,
    certificates_v1::CertificateSigningRequest,
    core_v1::{Namespace, Pod},
    defaults,
    kinds::{
        certificates::{certificate_signing_request, pod_certificate_request},
        core::{namespace, pod},
    },
    meta_v1, validate, warnings,
};
use store::{Expect, Op, Record, Txn};

use super::{Decider, Decision, Fate, put, valid};

impl Decider<'_> {
    pub(super) fn update(&self, sent: &Object, subresource: Subresource) -> Result<Decision, Error> {
        let key = sent.key();
        let record = self.existing(&key)?;
        let old = &self.looked_at(record);
        let metadata = sent.metadata().cloned().unwrap_or_default();
        preconditions(&key, old, &metadata.uid, &metadata.resource_version)?;
        let no_subresource = || no_subresource(old, subresource);
        if !self.sent.form.served().has(subresource) {
            return Err(no_subresource());
        }
        let mut new = match subresource {
            Subresource::None => whole(old, sent),
            Subresource::Status => status(old, sent, self.stamp.now),
            Subresource::Approval => approved(old, sent, self.stamp.now).ok_or_else(no_subresource)?,
            Subresource::Scale => scale(old, sent)?,
            Subresource::Binding => bound(old, sent, self.stamp.now).ok_or_else(no_subresource)??,
            Subresource::Finalize => finalized(old, sent).ok_or_else(no_subresource)?,
            Subresource::Owners => owned(old, sent),
            Subresource::Eviction
            | Subresource::Log
            | Subresource::Portforward
            | Subresource::Exec
            | Subresource::Attach
            | Subresource::Proxy
            | Subresource::Token => return Err(no_subresource()),
        };
        if subresource != Subresource::Owners {
            self.fill(&mut new)?;
        }
        new.metadata_mut().resource_version = record.revision.to_string();
        if new.is_new_generation(Some(old), subresource) {
            new.metadata_mut().generation += 1;
        }
        if !self.own_changed((record, old), sent, &mut new, subresource) {
            return Ok(unchanged(record));
        }
        if matches!(subresource, Subresource::None | Subresource::Scale) {
            let mut causes = validate::update_as(self.sent.form.served, old, &new);
            causes.extend(self.judged(Some(old), &new)?);
            valid(&key, causes)?;
        }
        if matches!(
            subresource,
            Subresource::Owners
                | Subresource::Status
                | Subresource::Finalize
                | Subresource::Approval
                | Subresource::Binding
        ) {
            let mut causes = validate::update_part(old, &new, subresource);
            if subresource == Subresource::Status {
                causes.extend(self.judged(Some(old), &new)?);
                if let (Some(old), Some(new), []) = (old.get(), new.get(), &causes[..]) {
                    causes.extend(pod_certificate_request::untimely(old, new, self.stamp.now));
                }
            }
            valid(&key, causes)?;
        }
        let warnings = if subresource == Subresource::None { warnings::of(&new) } else { Vec::new() };
        let only_default = self.only_default(&key, &new)?;
        let mut decision = self.store(record, new)?;
        decision.txn.ops.extend(only_default);
        Ok(Decision { warnings, ..decision })
    }

    /// An object that replaces another, or a part of one, as those see it who may change it before it is decided.
    pub(super) fn draft_changed(&self, sent: &Object, subresource: Subresource) -> Result<Object, Error> {
        let record = self.existing(&sent.key())?;
        let before = metadata(&record.object());
        // Whoever writes a status need not say the rest, but whoever judges it sees it.
        let of_all = || status(&self.looked_at(record), sent, self.stamp.now);
        let mut draft = if subresource == Subresource::Status { of_all() } else { sent.clone() };
        let metadata = draft.metadata_mut();
        metadata.uid = before.uid;
        metadata.creation_timestamp = before.creation_timestamp;
        metadata.generation = before.generation;
        if subresource == Subresource::None {
            defaults::apply(&mut draft);
            self.fill(&mut draft)?;
        }
        Ok(draft)
    }

    /// Stores what is to be instead of `record`, or removes it if that was all it waited for.
    pub(super) fn store(&self, record: &Record, mut new: Object) -> Result<Decision, Error> {
        let key = &record.key;
        if finished(&new) {
            return Ok(gone(record, new));
        }
        let claims = self.allocate(key, Some(&record.object()), &mut new)?;
        let mut ops = vec![put(key, &mut new, Expect::Revision(record.revision))?];
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
    let released = record.object().claims().into_iter().map(|name| Op::Release { name });
    let ops = std::iter::once(delete).chain(released).collect();
    Decision { txn: Txn { ops }, object: Arc::new(last), fate: Fate::Gone, warnings: Vec::new() }
}

/// Whether an object that is being deleted has nothing left to wait for.
fn finished(object: &Object) -> bool {
    let Some(metadata) = object.metadata() else { return false };
    metadata.deletion_timestamp.is_some() && metadata.finalizers.is_empty() && !object.is_held()
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

/// Everything but what only the API server and the observers may say.
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
    new.prepare_for_update(old);
    defaults::apply(&mut new);
    new
}

fn status(old: &Object, sent: &Object, now: Timestamp) -> Object {
    let mut new = old.clone();
    new.update_status(sent);
    if let (Object::CertificateSigningRequest(new), Some(old)) = (&mut new, old.get()) {
        certificate_signing_request::stamp(new, old, now);
    }
    new
}

/// Only CertificateSigningRequests are approved.
fn approved(old: &Object, sent: &Object, now: Timestamp) -> Option<Object> {
    let old = old.get::<CertificateSigningRequest>()?;
    let mut new = certificate_signing_request::decided(old, sent.get()?);
    certificate_signing_request::stamp(&mut new, old, now);
    Some(new.into())
}

/// Silence must not become the default of one replica.
fn scale(old: &Object, sent: &Object) -> Result<Object, Error> {
    let wanted = sent.scale().and_then(|scale| scale.wanted);
    let wanted = wanted.ok_or_else(|| Error::bad_request("spec.replicas: say how many there should be"))?;
    let mut new = old.clone();
    new.set_replicas(wanted);
    Ok(new)
}

/// Only Pods are bound.
fn bound(old: &Object, sent: &Object, now: Timestamp) -> Option<Result<Object, Error>> {
    Some(pod::bind(old.get::<Pod>()?, sent.get()?, now).map(Object::from))
}

/// Only Namespaces are finalized.
fn finalized(old: &Object, sent: &Object) -> Option<Object> {
    Some(namespace::finalize(old.get::<Namespace>()?, sent.get()?).into())
}

fn owned(old: &Object, sent: &Object) -> Object {
    let mut new = old.clone();
    let (metadata, sent) = (new.metadata_mut(), metadata(sent));
    metadata.owner_references = sent.owner_references;
    metadata.finalizers = sent.finalizers;
    new
}

fn no_subresource(object: &Object, subresource: Subresource) -> Error {
    let message = format!("{} have no part \"{}\"", object.kind().resource_name(), subresource.word());
    Error::new(Reason::MethodNotAllowed, message).about(&object.key())
}

fn metadata(object: &Object) -> meta_v1::ObjectMeta {
    object.metadata().cloned().unwrap_or_default()
}
