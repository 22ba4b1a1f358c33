//! Waiting for what can be seen: shared by the suites with real processes.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up. Generous: CI machines are slow and shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// How often a condition is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks at a condition until it holds. What it said last is part of the complaint.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(value) => return value,
            Err(last) if Instant::now() > until => panic!("waited in vain for {what}; last seen: {last}"),
            Err(_) => thread::park_timeout(LOOK_EVERY),
        }
    }
}
