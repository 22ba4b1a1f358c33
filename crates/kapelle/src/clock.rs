//! The wall clock, the only one that leaves the drivers.

use std::time::SystemTime;

use api::Timestamp;

/// The time, in milliseconds since 1970. A clock that was set before that counts as 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
