//! The handle, and what runs behind it: two dedicated threads and their queues.
//!
//! The raft thread owns the brain and the machine; the log thread owns the log on disk. A command goes caller → raft thread
//! → log thread → raft thread → caller; everything that arrives while the disk is busy goes along with the next write, so
//! the number of writes a second depends on the disk and the number of commands on how many wait.

mod failure;
mod inbox;
mod log;
mod priority;
mod raft;
mod start;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

pub use start::open;

use crate::{COMMAND_BYTES_MAX, Mark, ProposeError, Role, Status};
use inbox::{Budget, Inbox, Rejected};

/// So many calls may wait to be looked at: at 100,000 commands a second a tenth of a second's work; more would only be
/// answered later.
const WAITING_CALLS_MAX: usize = 16_384;

/// So many bytes of commands may wait to be looked at.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a caller's work weighs beside its command, in bytes.
const CALL_OVERHEAD_BYTES: usize = 128;

const BUDGET: Budget = Budget { items: WAITING_CALLS_MAX, bytes: WAITING_BYTES_MAX };

/// Where the outcome of a proposal goes.
type Answer<O> = oneshot::Sender<Result<O, ProposeError>>;

/// Where the outcome of a read goes.
type ReadAnswer = oneshot::Sender<Result<(), ProposeError>>;

/// What callers want.
enum Call<O> {
    Propose { command: Bytes, answer: Answer<O> },
    Read(ReadAnswer),
}

/// What the other threads tell the raft thread.
#[derive(Debug)]
enum News {
    Persisted(u64),
    SnapshotWritten { mark: Mark, bytes: u64 },
    Failed(String),
}

type RaftInbox<O> = Inbox<Call<O>, News>;

/// A member of the group: proposes commands and answers when they are durable, agreed and applied. Cloning is cheap; the
/// member stops when it is shut down or the last clone is dropped.
pub struct Consensus<O> {
    shared: Arc<Shared<O>>,
}

struct Shared<O> {
    inbox: Arc<RaftInbox<O>>,
    status: watch::Receiver<Status>,
}

impl<O> Drop for Shared<O> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl<O> Clone for Consensus<O> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<O> fmt::Debug for Consensus<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus").field("status", &*self.shared.status.borrow()).finish()
    }
}

impl<O> Consensus<O> {
    /// Proposes a command and waits until it is durable on a majority and applied here.
    ///
    /// Dropping the future does not withdraw the command.
    ///
    /// # Errors
    /// See [`ProposeError`]; only [`ProposeError::Unknown`] leaves open whether the command will be applied.
    pub async fn propose(&self, command: Bytes) -> Result<O, ProposeError> {
        let bytes = command.len();
        if bytes > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge);
        }
        let (answer, outcome) = oneshot::channel();
        self.call(Call::Propose { command, answer }, bytes)?;
        outcome.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Waits until the local machine is at least as new as every write that was acknowledged, by any member, before the
    /// call. All callers that wait at the same moment share one round of the group.
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`], [`ProposeError::Overloaded`] or [`ProposeError::Stopped`]; trying again is always safe.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let (answer, outcome) = oneshot::channel();
        self.call(Call::Read(answer), 0)?;
        outcome.await.unwrap_or(Err(ProposeError::Stopped))
    }

    fn call(&self, call: Call<O>, bytes: usize) -> Result<(), ProposeError> {
        self.shared.inbox.push(call, bytes + CALL_OVERHEAD_BYTES).map_err(|rejected| match rejected {
            Rejected::Full => ProposeError::Overloaded,
            Rejected::Closed => ProposeError::Stopped,
        })
    }

    /// The member's own view, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// Stops the member and waits until its files are closed and its directory is free. What was acknowledged stays; what
    /// is waiting gets [`ProposeError::Unknown`].
    pub async fn shutdown(&self) {
        self.shared.inbox.close();
        // An error means that the sender is gone, and with it the threads.
        let _ = self.status().wait_for(|status| status.role == Role::Stopped).await;
    }
}
