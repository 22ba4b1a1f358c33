//! Deletion: at once where nothing stands against it, else marked and carried out when the last reason to wait is gone.

use api::{
    DeleteOptions, Error, Key, Object, Propagation, meta_v1,
    well_known::{FOREGROUND_FINALIZER, ORPHAN_FINALIZER},
};
use store::Record;

use super::{
    Decider, Decision, Fate, forbidden,
    update::{gone, preconditions, unchanged},
};

impl Decider<'_> {
    pub(super) fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Decision, Error> {
        let record = self.existing(key)?;
        let old = &record.object();
        let wanted = options.resource_version.map(|revision| revision.to_string()).unwrap_or_default();
        preconditions(key, old, options.uid.as_deref().unwrap_or_default(), &wanted)?;
        let mut new = Object::clone(old);
        propagate(new.metadata_mut(), options.propagation);
        new.mark_for_deletion(options.grace_period_s, self.stamp.now).map_err(|why| forbidden(key, why))?;
        self.marked(record, new)
    }

    fn marked(&self, record: &Record, new: Object) -> Result<Decision, Error> {
        let old = &record.object();
        if new == **old {
            return Ok(unchanged(record));
        }
        let decision = self.store(record, new)?;
        // What was never marked goes as it was: its watchers need not hear of a deletion that took no time.
        let sudden = old.metadata().is_some_and(|meta| meta.deletion_timestamp.is_none());
        match decision.fate {
            Fate::Gone if sudden => Ok(gone(record, Object::clone(old))),
            Fate::Gone | Fate::Created | Fate::Changed | Fate::Unchanged => Ok(decision),
        }
    }
}

/// What is to happen to dependents is a finalizer, which the garbage collector takes away when it is done.
fn propagate(metadata: &mut meta_v1::ObjectMeta, propagation: Propagation) {
    let (add, remove) = match propagation {
        Propagation::Background => return,
        Propagation::Foreground => (FOREGROUND_FINALIZER, ORPHAN_FINALIZER),
        Propagation::Orphan => (ORPHAN_FINALIZER, FOREGROUND_FINALIZER),
    };
    metadata.finalizers.retain(|finalizer| finalizer != remove);
    if !metadata.finalizers.iter().any(|finalizer| finalizer == add) {
        metadata.finalizers.push(add.to_owned());
    }
}
