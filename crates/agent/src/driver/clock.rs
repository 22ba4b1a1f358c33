//! The wall clock of this node.

use std::time::SystemTime;

use api::Timestamp;

/// The time.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Waits until a time; for ever if there is none.
pub(crate) async fn reached(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now())).await,
        None => std::future::pending().await,
    }
}
