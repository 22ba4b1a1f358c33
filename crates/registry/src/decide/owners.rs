//! What a write does to `metadata.managedFields`.

use api::{
    Object, Served, Subresource,
    apply::{self, BuiltInKind, Operation, Request, Update, Versions, shown},
    json,
    meta_v1::ManagedFieldsEntry,
};
use store::Record;

use super::Decider;

impl Decider<'_> {
    /// Says who owns the fields of a new object: whoever creates it, unless it was applied.
    pub(super) fn own_new(&self, object: &mut Object) {
        if self.sent.operation == Operation::Apply {
            return;
        }
        let update = Update { before: None, sent: &[] };
        object.metadata_mut().managed_fields = self.tracked(object, object, update, Subresource::None);
    }

    /// Says who owns the fields of an object after a change, and answers whether there is one. Who does not say what owners there
    /// are changes none without changing anything else.
    pub(super) fn own_changed(
        &self,
        (record, old): (&Record, &Object),
        sent: &Object,
        new: &mut Object,
        subresource: Subresource,
    ) -> bool {
        let before = entries(old);
        let wanted = match (self.sent.operation, subresource) {
            (Operation::Apply, _) => entries(sent),
            (Operation::Update, Subresource::None) => self.said_anew(record, before, entries(sent)),
            // Through a part of the object only who applies says who owns what.
            (Operation::Update, _) => &[],
        };
        new.metadata_mut().managed_fields = before.to_vec();
        let same = *new == *old;
        let owners = match self.sent.operation {
            Operation::Apply => wanted.to_vec(),
            Operation::Update if same && wanted.is_empty() => return false,
            Operation::Update if !is_owned(subresource) => return !same,
            Operation::Update => {
                let update = Update { before: Some(before), sent: wanted };
                self.tracked(old, new, update, subresource)
            }
        };
        if same && are_same(&owners, before) {
            return false;
        }
        new.metadata_mut().managed_fields = owners;
        true
    }

    /// What a writer says of owners, unless it is what it was told of them: most clients send back all that they have read.
    fn said_anew<'a>(
        &self,
        record: &Record,
        before: &[ManagedFieldsEntry],
        sent: &'a [ManagedFieldsEntry],
    ) -> &'a [ManagedFieldsEntry] {
        if sent.is_empty() {
            return sent;
        }
        let served = self.sent.form.served;
        let is_told = sent == before
            || match served {
                Served::Stored(_) => shown::is_as_shown(served, &record.bytes, before, sent),
                Served::Converted(_) => {
                    shown::is_as_shown(served, &served.encode_bytes(&record.object()), before, sent)
                }
                // They are shown as they are kept.
                Served::Custom(_) => false,
            };
        if is_told { &[] } else { sent }
    }

    fn tracked(
        &self,
        old: &Object,
        new: &Object,
        update: Update<'_>,
        subresource: Subresource,
    ) -> Vec<ManagedFieldsEntry> {
        match self.sent.form.kind() {
            Some(kind) => self.tracked_as(&&kind, (old, new), update, subresource),
            None => self.tracked_as(&BuiltInKind(new.kind()), (old, new), update, subresource),
        }
    }

    fn tracked_as<K: Versions>(
        &self,
        kind: &K,
        (old, new): (&Object, &Object),
        update: Update<'_>,
        subresource: Subresource,
    ) -> Vec<ManagedFieldsEntry> {
        let served = self.sent.form.served();
        let api_version = served.info().api_version();
        let request = Request {
            kind,
            api_version: &api_version,
            manager: self.sent.manager,
            subresource: subresource.word(),
            now: self.stamp.now.into(),
        };
        let value = |object| json::encode_without_owners(served, &served.encode_bytes(object), None);
        let values = || (value(old), value(new));
        apply::tracked(&request, update, values)
    }
}

/// Whether those who write a part own what they write. Bindings, owners and finalizers are the cluster's own affair.
fn is_owned(subresource: Subresource) -> bool {
    match subresource {
        Subresource::None | Subresource::Status | Subresource::Scale | Subresource::Approval => true,
        Subresource::Binding
        | Subresource::Finalize
        | Subresource::Owners
        | Subresource::Eviction
        | Subresource::Log
        | Subresource::Portforward
        | Subresource::Exec
        | Subresource::Attach
        | Subresource::Proxy
        | Subresource::Token => false,
    }
}

fn entries(object: &Object) -> &[ManagedFieldsEntry] {
    object.metadata().map(|metadata| metadata.managed_fields.as_slice()).unwrap_or_default()
}

/// Whether both say the same, whenever it was: when somebody wrote the same again is no news.
fn are_same(one: &[ManagedFieldsEntry], other: &[ManagedFieldsEntry]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.manager == other.manager
                && one.operation == other.operation
                && one.api_version == other.api_version
                && one.subresource == other.subresource
                && one.fields_type == other.fields_type
                && one.fields_v1 == other.fields_v1
        })
}
