//! Masters agree on one order of commands and never lose one.
//!
//! A [`Machine`] is what the commands drive; [`open`] gives a [`Consensus`] handle that proposes commands and answers when
//! they are durable, agreed and applied. What a command means is nobody's business here: commands are bytes.
//!
//! Inside: [`brain`] decides (Raft, without a clock, a disk or a thread), `driver` does (two dedicated threads: raft with
//! apply, and log), `wal` and `snapshot` are the two kinds of file, `codec` is the only byte format that members exchange.

#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod brain;
pub mod codec;
mod config;
pub mod decoders;
mod driver;
mod error;
mod machine;
pub mod message;
mod raft_types;
mod snapshot;
mod status;
mod types;
mod wal;
pub mod wal_image;

pub use brain::Change;
pub use config::{
    Begin, BoxFuture, COMMAND_BYTES_MAX, Config, Dial, ELECTION_TICKS_MAX, ELECTION_TICKS_MIN, HEARTBEAT_TICKS,
    InvalidConfig, OnFailure, Stream, TICK_MS,
};
pub use driver::{BackupFile, Consensus, Restored, WAITING_CALLS_MAX, force_new, open, restore};
pub use error::{ChangeError, OpenError, ProposeError};
pub use machine::{Machine, SnapshotWriter};
pub use status::{PeerStatus, Role, Status};
pub use types::{ClusterId, Entry, EntryKind, HardState, Mark, MemberId, Members, Origin};
