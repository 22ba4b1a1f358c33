//! What a write does to `metadata.managedFields`.

use api::{
    Object, Subresource,
    apply::{self, BuiltInKind, Operation, Request, Update},
    meta_v1::ManagedFieldsEntry,
};

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
    pub(super) fn own_changed(&self, old: &Object, sent: &Object, new: &mut Object, subresource: Subresource) -> bool {
        let (before, wanted) = (entries(old), entries(sent));
        new.metadata_mut().managed_fields = before.to_vec();
        let same = new == old;
        let owners = match self.sent.operation {
            Operation::Apply => wanted.to_vec(),
            Operation::Update if same && (wanted.is_empty() || wanted == before) => return false,
            Operation::Update if !is_owned(subresource) => return !same,
            Operation::Update => {
                let update = Update { before: Some(before), sent: wanted };
                self.tracked(old, new, update, subresource)
            }
        };
        if same && timeless(&owners) == timeless(before) {
            return false;
        }
        new.metadata_mut().managed_fields = owners;
        true
    }

    fn tracked(
        &self,
        old: &Object,
        new: &Object,
        update: Update<'_>,
        subresource: Subresource,
    ) -> Vec<ManagedFieldsEntry> {
        let served = self.sent.served;
        let api_version = served.info().api_version();
        let request = Request {
            kind: &BuiltInKind(new.kind()),
            api_version: &api_version,
            manager: self.sent.manager,
            subresource: subresource.word(),
            now: self.stamp.now.into(),
        };
        let values = || (api::json::encode_as(served, old), api::json::encode_as(served, new));
        apply::tracked(&request, update, values)
    }
}

/// Whether those who write a part own what they write. Bindings, owners and finalizers are the cluster's own affair.
fn is_owned(subresource: Subresource) -> bool {
    match subresource {
        Subresource::None | Subresource::Status | Subresource::Scale => true,
        Subresource::Binding
        | Subresource::Finalize
        | Subresource::Owners
        | Subresource::Eviction
        | Subresource::Log
        | Subresource::Portforward
        | Subresource::Exec
        | Subresource::Attach
        | Subresource::Proxy => false,
    }
}

fn entries(object: &Object) -> &[ManagedFieldsEntry] {
    object.metadata().map(|metadata| metadata.managed_fields.as_slice()).unwrap_or_default()
}

/// The entries without their times: when somebody wrote the same again is no news.
fn timeless(entries: &[ManagedFieldsEntry]) -> Vec<ManagedFieldsEntry> {
    entries.iter().map(|entry| ManagedFieldsEntry { time: None, ..entry.clone() }).collect()
}
