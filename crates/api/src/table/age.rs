//! How long ago something was, as `kubectl` says it.

use std::time::Duration;

use crate::{Timestamp, meta_v1};

/// `5s`, `2m3s`, `3h`, `4d2h`, `2y30d`: at most two units, the second only while it tells something.
#[must_use]
pub fn human(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// How long ago `time` was; `<unknown>` if it is not known.
#[must_use]
pub fn since(time: Option<&meta_v1::Time>, now: Timestamp) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |time| human(now.since(time.into())))
}
