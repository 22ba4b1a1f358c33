//! The handle, and what runs behind it: two dedicated threads, their queues, and tasks for the connections to others.
//!
//! The raft thread owns the brain and the machine; the log thread owns the log on disk. A command goes caller → raft thread
//! → log thread → raft thread → caller; everything that arrives while the disk is busy goes along with the next write, so
//! the number of writes a second depends on the disk and the number of commands on how many wait.

mod backup;
mod digests;
mod directory;
mod failure;
mod forward;
#[cfg(test)]
mod group_tests;
mod inbox;
mod log;
mod peers;
mod priority;
mod raft;
mod renew;
mod start;
#[cfg(test)]
mod tests;
mod wishes;

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

pub use backup::BackupFile;
pub(crate) use directory::from_origin;
pub(crate) use log::records;
pub(crate) use peers::{Frame, Hello, Wish, piece};
pub use renew::{Restored, force_new, restore};
pub use start::open;

use crate::{
    COMMAND_BYTES_MAX, Change, ChangeError, ELECTION_TICKS_MAX, Mark, MemberId, Members, PeerStatus, ProposeError,
    Role, Status, Stream, TICK_MS, codec::CONTACT_BYTES_MAX, message::Message,
};
use backup::BackupAnswer;
use forward::WishAnswer;
use inbox::{Budget, Inbox, Rejected};
use peers::{Peers, WishOutcome};

/// Most calls queued for the Raft thread: a tenth of a second's work at 100,000 commands a second. More would only be answered
/// later.
pub const WAITING_CALLS_MAX: usize = 16_384;

/// Most bytes of commands queued for the Raft thread.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a caller's work weighs beside its command, in bytes.
const CALL_OVERHEAD_BYTES: usize = 128;

/// Most notes queued for a slow reader; it misses older ones.
const NOTES_MAX: usize = 1024;

/// How long a hand-over may take: twice the longest election. A hand-over takes one election at most.
const HAND_OVER_TIME_MAX: Duration = Duration::from_millis(2 * ELECTION_TICKS_MAX as u64 * TICK_MS);

/// A leader that ends has so long to hand over; the others manage without.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// A leader that is to be removed has so long to hand over, and the next one to remove it.
const REMOVAL_TIME_MAX: Duration = Duration::from_millis(6 * ELECTION_TICKS_MAX as u64 * TICK_MS);

const BUDGET: Budget = Budget { items: WAITING_CALLS_MAX, bytes: WAITING_BYTES_MAX };

/// Where the outcome of a proposal goes.
type Answer<O> = oneshot::Sender<Result<O, ProposeError>>;

/// Where the outcome of a read goes.
type ReadAnswer = oneshot::Sender<Result<(), ProposeError>>;

/// What callers want.
enum Call<O> {
    Propose { command: Bytes, answer: Answer<O> },
    Read(ReadAnswer),
    Ask { wish: Wish, answer: WishAnswer },
    Backup(BackupAnswer),
}

/// What the other threads and the connections tell the raft thread.
#[derive(Debug)]
enum News {
    Persisted(u64),
    SnapshotWritten {
        mark: Mark,
        bytes: u64,
    },
    Failed(String),
    Peer {
        message: Message,
        /// Given back when the message was taken in.
        room: Option<OwnedSemaphorePermit>,
    },
    Forwarded {
        from: MemberId,
        id: u64,
        term: u64,
        command: Bytes,
        room: OwnedSemaphorePermit,
    },
    Refused {
        id: u64,
        error: ProposeError,
    },
    Asked {
        from: MemberId,
        id: u64,
        wish: Wish,
    },
    Answered {
        id: u64,
        outcome: WishOutcome,
    },
    Digest {
        from: MemberId,
        index: u64,
        digest: u64,
    },
    /// A message to a member found no room, or a call no answer.
    Unreachable(MemberId),
    /// A connection to a member broke, with all that was on it.
    Lost(MemberId),
    SnapshotSent {
        to: MemberId,
        delivered: bool,
    },
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
    peers: Option<Arc<Peers>>,
    notes: broadcast::Sender<(MemberId, Bytes)>,
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
    /// Proposes a command and waits until it is durable on a majority and applied here. A follower forwards it to the leader
    /// and answers with the output of its own machine, so that whoever wrote here reads here what was written.
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

    /// Changes the members, on whichever member it is called, and answers with the members afterwards. A leader that is to be
    /// removed hands over first, and a voter loses its vote first; if that is all that happens, it listens on, and the
    /// removal may be asked for again.
    ///
    /// # Errors
    /// See [`ChangeError`]; only [`ChangeError::Unknown`] leaves open whether the change will happen.
    pub async fn change(&self, change: Change) -> Result<Members, ChangeError> {
        let ends = Instant::now() + REMOVAL_TIME_MAX;
        let mut is_begun = false;
        loop {
            let outcome = self.ask(Wish::Change(change.clone())).await;
            let is_half_done = match (&change, &outcome) {
                (Change::Remove(member), Ok(members)) => members.contains(*member),
                (_, outcome) => matches!(outcome, Err(ChangeError::HandsOver { .. })),
            };
            is_begun |= is_half_done;
            if let Some(members) = self.is_out(&change, &outcome) {
                return Ok(members);
            }
            match outcome {
                Ok(_) if is_half_done => {}
                // A new leader needs a moment before it knows who answers.
                Err(
                    ChangeError::HandsOver { .. }
                    | ChangeError::NoLeader { .. }
                    | ChangeError::Busy
                    | ChangeError::WouldLoseQuorum { .. }
                    | ChangeError::Unknown,
                ) if is_begun && Instant::now() < ends => sleep(Duration::from_millis(TICK_MS)).await,
                // The first step hid the answer to an earlier attempt.
                Err(ChangeError::NoSuchMember { .. }) if is_begun => return Ok(self.members()),
                outcome => return outcome,
            }
        }
    }

    /// The members after this one was removed while it waited for just that.
    fn is_out(&self, change: &Change, outcome: &WishOutcome) -> Option<Members> {
        // One look at a time: two of them on one thread could wait for a writer in between.
        let own = self.shared.status.borrow().member;
        let members = self.members();
        let is_over = matches!(outcome, Err(ChangeError::Stopped | ChangeError::Unknown));
        (is_over && *change == Change::Remove(own) && !members.contains(own)).then_some(members)
    }

    fn members(&self) -> Members {
        self.shared.status.borrow().members.clone()
    }

    /// Lets another member lead and waits until it does.
    ///
    /// # Errors
    /// See [`ChangeError`]; [`ChangeError::NotTakenOver`] after two election timeouts.
    pub async fn transfer_leader(&self, to: MemberId) -> Result<(), ChangeError> {
        let ends = Instant::now() + HAND_OVER_TIME_MAX;
        self.ask(Wish::Lead(to)).await?;
        let mut status = self.status();
        let led = timeout_at(ends, status.wait_for(|status| status.leader == Some(to))).await;
        match led {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ChangeError::Stopped),
            Err(_) => Err(ChangeError::NotTakenOver { to }),
        }
    }

    /// Lets another voter lead if this member does: the one that has most of the log and answers. Before a shutdown this
    /// spares the others an election. It is no failure if nobody can take over.
    pub async fn hand_over(&self) {
        let successor = {
            let status = self.shared.status.borrow();
            let is_voter = |peer: &&PeerStatus| status.members.voters.contains(&peer.member);
            let answering = status.peers.iter().filter(is_voter).filter(|peer| peer.is_active);
            answering.max_by_key(|peer| peer.matched).map(|peer| peer.member)
        };
        let Some(to) = successor else { return };
        if !matches!(timeout(FAREWELL_TIME_MAX, self.transfer_leader(to)).await, Ok(Ok(()))) {
            tracing::debug!(%to, "no other master took over in time");
        }
    }

    async fn ask(&self, wish: Wish) -> WishOutcome {
        let (answer, outcome) = oneshot::channel();
        self.call(Call::Ask { wish, answer }, 0).map_err(|error| match error {
            ProposeError::Overloaded => ChangeError::Overloaded,
            ProposeError::Stopped | ProposeError::NoLeader { .. } | ProposeError::TooLarge | ProposeError::Unknown => {
                ChangeError::Stopped
            }
        })?;
        outcome.await.unwrap_or(Err(ChangeError::Unknown))
    }

    /// Serves a connection that another member made, whose identity was proven to be `from`. Returns at once.
    pub fn accept(&self, from: MemberId, stream: Box<dyn Stream>) {
        match &self.shared.peers {
            Some(peers) => peers.accept(from, stream),
            None => tracing::warn!(%from, "closed a connection: this master talks to nobody"),
        }
    }

    /// Another member, proven to be `member`, says where it is reached: it is called there from now on, until the group agrees
    /// on something else. This is for members that moved and are not reached where the group says, perhaps because all moved.
    pub fn found_at(&self, member: MemberId, contact: &str) {
        if let Some(peers) = self.shared.peers.as_ref().filter(|_| contact.len() <= CONTACT_BYTES_MAX) {
            peers.found_at(member, contact.to_owned());
        }
    }

    /// Tells all other members something, if they can be reached and have room for it; nobody hears of it if not.
    pub fn broadcast(&self, note: Bytes) {
        if let Some(peers) = &self.shared.peers {
            peers.note(note);
        }
    }

    /// What other members broadcast from now on, with who did.
    #[must_use]
    pub fn notes(&self) -> broadcast::Receiver<(MemberId, Bytes)> {
        self.shared.notes.subscribe()
    }

    /// Writes the applied state of this member into a temporary file, while work goes on. Call
    /// [`read_barrier`](Self::read_barrier) before, if it must contain what others have acknowledged.
    ///
    /// # Errors
    /// What the disk said, that this member holds nothing yet, is shutting down, or that enough backups are in the making.
    pub async fn backup(&self) -> io::Result<BackupFile> {
        let (answer, outcome) = oneshot::channel();
        self.call(Call::Backup(answer), 0).map_err(io::Error::other)?;
        outcome.await.unwrap_or_else(|_| Err(io::Error::other(ProposeError::Stopped)))
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
