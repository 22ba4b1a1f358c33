//! The wall clock, the only one that leaves the drivers.

use std::time::SystemTime;

use api::Timestamp;

/// The time.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
