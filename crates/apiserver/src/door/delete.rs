//! Deletion: at once where nothing stands against it, else marked and carried out when the last reason to wait is gone.

use api::{DeleteOptions, Error, Key, Kind, Object, Propagation, Timestamp, meta_v1, pod};
use store::Record;

use super::{
    Decision, Door, Fate, forbidden,
    update::{gone, preconditions, unchanged},
};

/// Namespaces without which a cluster does not work.
const PERMANENT: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Holds an object until what it owns is deleted.
const FOREGROUND: &str = "foregroundDeletion";

/// Holds an object until what it owns no longer names it as owner.
const ORPHAN: &str = "orphan";

/// Seconds that a Pod gets to stop if nobody says, as in Kubernetes.
const GRACE_S: i64 = 30;

impl Door<'_> {
    pub(super) fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Decision, Error> {
        let record = self.existing(key)?;
        let old = &record.object();
        let wanted = options.resource_version.map(|revision| revision.to_string()).unwrap_or_default();
        preconditions(key, old, options.uid.as_deref().unwrap_or_default(), &wanted)?;
        if key.kind == Kind::Namespace && PERMANENT.contains(&&*key.name) {
            return Err(forbidden(key, "this namespace may not be deleted"));
        }
        let mut new = Object::clone(old);
        propagate(new.metadata_mut(), options.propagation);
        match &mut new {
            Object::Pod(pod) => mark_pod(pod, options.grace_period_s, self.stamp.now),
            Object::Namespace(namespace) => {
                mark(namespace.metadata.get_or_insert_default(), 0, self.stamp.now);
                namespace.status.get_or_insert_default().phase = "Terminating".to_owned();
            }
            other => mark(other.metadata_mut(), 0, self.stamp.now),
        }
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
            _ => Ok(decision),
        }
    }
}

/// What is to happen to dependents is a finalizer, which the garbage collector takes away when it is done.
fn propagate(metadata: &mut meta_v1::ObjectMeta, propagation: Propagation) {
    let (add, remove) = match propagation {
        Propagation::Background => return,
        Propagation::Foreground => (FOREGROUND, ORPHAN),
        Propagation::Orphan => (ORPHAN, FOREGROUND),
    };
    metadata.finalizers.retain(|finalizer| finalizer != remove);
    if !metadata.finalizers.iter().any(|finalizer| finalizer == add) {
        metadata.finalizers.push(add.to_owned());
    }
}

fn mark(metadata: &mut meta_v1::ObjectMeta, grace_s: i64, now: Timestamp) {
    if metadata.deletion_timestamp.is_some() {
        return;
    }
    let now = meta_v1::Time::from(now);
    metadata.deletion_timestamp = Some(meta_v1::Time { seconds: now.seconds.saturating_add(grace_s), nanos: 0 });
    metadata.deletion_grace_period_seconds = Some(grace_s);
    if metadata.generation > 0 {
        metadata.generation += 1;
    }
}

/// A Pod that runs gets time to stop. A second deletion may shorten that time, never lengthen it.
fn mark_pod(pod: &mut api::core_v1::Pod, grace_s: Option<i64>, now: Timestamp) {
    let idle = pod::node_name(pod).is_none() || pod::is_terminal(pod);
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE_S);
    let metadata = pod.metadata.get_or_insert_default();
    let Some(deadline) = metadata.deletion_timestamp else {
        let grace_s = if idle { 0 } else { grace_s.unwrap_or(own).max(0) };
        return mark(metadata, grace_s, now);
    };
    let before = metadata.deletion_grace_period_seconds.unwrap_or(0);
    let asked = if idle { 0 } else { grace_s.unwrap_or(before).max(0) };
    if asked < before {
        let seconds = deadline.seconds.saturating_sub(before).saturating_add(asked);
        metadata.deletion_timestamp = Some(meta_v1::Time { seconds, nanos: 0 });
        metadata.deletion_grace_period_seconds = Some(asked);
    }
}
