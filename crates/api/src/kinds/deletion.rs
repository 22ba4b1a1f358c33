//! The mark by which an object says that it is to go.

use crate::{Timestamp, meta_v1};

/// Marks metadata; a second time changes nothing.
pub(crate) fn mark(metadata: &mut meta_v1::ObjectMeta, grace_period_s: i64, now: Timestamp) {
    if metadata.deletion_timestamp.is_some() {
        return;
    }
    let now = meta_v1::Time::from(now);
    metadata.deletion_timestamp = Some(meta_v1::Time { seconds: now.seconds.saturating_add(grace_period_s), nanos: 0 });
    metadata.deletion_grace_period_seconds = Some(grace_period_s);
    if metadata.generation > 0 {
        metadata.generation += 1;
    }
}

/// Marks an object that needs no time to go.
pub(crate) fn mark_now(metadata: &mut Option<meta_v1::ObjectMeta>, now: Timestamp) {
    mark(metadata.get_or_insert_default(), 0, now);
}
