//! The handle and, for now, a thread that applies in memory.

use std::{sync::mpsc, thread};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{COMMAND_BYTES_MAX, Config, Machine, OpenError, ProposeError, Role, Status};

type Proposal<O> = (Bytes, oneshot::Sender<O>);

/// A member of the group: proposes commands and answers when they are durable, agreed and applied. Cloning is cheap; the
/// member stops when it is shut down or the last clone is dropped.
#[derive(Debug)]
pub struct Consensus<O> {
    inbox: mpsc::Sender<Proposal<O>>,
    status: watch::Receiver<Status>,
}

impl<O> Clone for Consensus<O> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), status: self.status.clone() }
    }
}

/// Opens a data directory and starts the member: restores the newest snapshot, replays the log and, when the group has one
/// voter, leads at once. Returns before the replay has ended: [`Consensus::read_barrier`] waits for it.
///
/// # Errors
/// See [`OpenError`].
pub fn open<M: Machine>(config: Config, mut machine: M) -> Result<Consensus<M::Output>, OpenError> {
    config.check()?;
    let (inbox, items) = mpsc::channel::<Proposal<M::Output>>();
    thread::spawn(move || {
        for (index, (command, answer)) in (1..).zip(items) {
            // A caller that went away does not undo its command.
            let _ = answer.send(machine.apply(index, command));
        }
    });
    let status = Status { role: Role::Leader, ..Status::default() };
    Ok(Consensus { inbox, status: watch::channel(status).1 })
}

impl<O> Consensus<O> {
    /// Proposes a command and waits until it is durable on a majority and applied here.
    ///
    /// Dropping the future does not withdraw the command.
    ///
    /// # Errors
    /// See [`ProposeError`]; only [`ProposeError::Unknown`] leaves open whether the command will be applied.
    pub async fn propose(&self, command: Bytes) -> Result<O, ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge);
        }
        let (sender, receiver) = oneshot::channel();
        self.inbox.send((command, sender)).map_err(|_| ProposeError::Stopped)?;
        receiver.await.map_err(|_| ProposeError::Unknown)
    }

    /// Waits until the local machine is at least as new as every write that was acknowledged, by any member, before the
    /// call. All callers that wait at the same moment share one round of the group.
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`], [`ProposeError::Overloaded`] or [`ProposeError::Stopped`]; trying again is always safe.
    #[expect(clippy::unused_async, reason = "the log will wait here")]
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        Ok(())
    }

    /// The member's own view, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops the member and waits until its files are closed. What was acknowledged stays; what is waiting gets
    /// [`ProposeError::Unknown`].
    #[expect(clippy::unused_async, reason = "the log will wait here")]
    pub async fn shutdown(&self) {}
}
