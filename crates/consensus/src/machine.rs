//! What the agreed commands drive.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// Writes one captured state, later and on another thread than the one that captured it.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A deterministic state machine: the same commands in the same order give the same state on every master.
///
/// All methods are called on the raft thread, so none may block on disk, network or a lock that a reader holds for long.
pub trait Machine: Send + 'static {
    /// What the proposer of a command gets back.
    type Output: Send + 'static;

    /// Applies one agreed command. `index` is its place in the log: it grows, but not by one (the log also holds entries of
    /// its own). A panic here ends the process: every master would meet the same command.
    fn apply(&mut self, index: u64, command: Bytes) -> Self::Output;

    /// Captures the state as it is now, in O(1); the result is written out later on a thread of low priority.
    fn snapshot(&self) -> SnapshotWriter;

    /// Replaces the state by a captured one.
    ///
    /// # Errors
    /// When the bytes end early, are damaged or are not understood. The machine must then be as it was before, because it
    /// may be offered an older snapshot next.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;
}
