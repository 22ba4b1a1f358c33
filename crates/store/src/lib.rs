//! What the cluster knows: objects, revisions, and enough history for watchers.
//!
//! [`State`] is the value that every master computes from the same log: [`State::apply`] is deterministic and knows no
//! clock, no randomness and no disk. [`Machine`] puts it under `consensus`, and [`Store`] is what readers hold. There is one
//! copy of the state in a master: a reader takes an O(1) [`View`] of persistent maps and never makes a writer wait.
//!
//! The crate knows nothing of what objects mean: defaults, validation and deletion rules are the API server's.

#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod history;
mod machine;
mod record;
mod shared;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod txn;
mod watch;

pub use history::{DEFINITIONS_RING_BYTES_MAX, EVENTS_MAX, Expired, RING_BYTES_MAX};
pub use machine::{Machine, Store, new};
pub use record::{Event, Record};
pub use state::{Applied, Objects, Refusal, State, View};
pub use txn::{BadTxn, Expect, News, Op, Txn};
pub use watch::Watch;
