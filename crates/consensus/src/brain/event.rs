//! What a brain is told and what it wants done.

use bytes::Bytes;

use crate::{ChangeError, Entry, HardState, Mark, MemberId, Origin, ProposeError, message::Message};

/// What a member starts from.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Who it is.
    pub member: MemberId,
    /// Random and never the same twice for a member: it keeps the contexts of reads apart across restarts, and seeds the
    /// spread of elections.
    pub nonce: u64,
    /// The snapshot that the machine was restored from.
    pub mark: Mark,
    /// The promises on disk.
    pub hard: HardState,
    /// The log after the snapshot.
    pub entries: Vec<Entry>,
    /// The size of the snapshot, in bytes.
    pub snapshot_bytes: u64,
    /// See [`Config::snapshot_after_bytes`](crate::Config::snapshot_after_bytes).
    pub snapshot_after_bytes: u64,
    /// See [`Config::log_tail_bytes`](crate::Config::log_tail_bytes).
    pub log_tail_bytes: u64,
}

/// A change of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member listens.
    AddLearner {
        /// Which: an id that was never used before.
        member: MemberId,
        /// Where it is reached.
        contact: String,
    },
    /// A member that listened gets a vote.
    Promote(MemberId),
    /// A member leaves, for ever: its id is never used again. One with a vote loses that first, as if by
    /// [`Demote`](Self::Demote); whoever asked asks again.
    Remove(MemberId),
    /// A member loses its vote and listens on.
    Demote(MemberId),
    /// A member is reached elsewhere from now on.
    Contact {
        /// Which.
        member: MemberId,
        /// Where it is reached.
        contact: String,
    },
}

/// A command and what the driver wants back with its outcome.
#[derive(Debug)]
pub struct Proposal<P> {
    /// Handed back with the outcome.
    pub ticket: P,
    /// The command.
    pub command: Bytes,
    /// Where it came from, if it was forwarded by another member; it is kept in the log with the command.
    pub origin: Option<Origin>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<P, R> {
    /// The member begins: the first event, once.
    Start,
    /// Commands wait; all that are queued come as one event.
    Propose(Vec<Proposal<P>>),
    /// Reads wait for a point in the log that is as new as everything acknowledged so far.
    Read(Vec<R>),
    /// The group is to change.
    Change(Change),
    /// Another member is to lead. Nothing happens unless this one does now.
    TransferLeader(MemberId),
    /// A message came whose sender was proven to be [`Message::from`]. The bytes of an announced snapshot are durable.
    Peer(Message),
    /// Messages to a member are being lost.
    Unreachable(MemberId),
    /// A connection to a member that stood was closed: perhaps its process ended.
    Lost(MemberId),
    /// The transfer of a snapshot ended. Every announced one must be answered by this: until then its receiver gets nothing
    /// else.
    SnapshotSent {
        /// For whom it was.
        to: MemberId,
        /// Whether it arrived.
        delivered: bool,
    },
    /// The write of this number, and all before it, are durable. To be told before its messages leave.
    Persisted(u64),
    /// A snapshot file is durable.
    SnapshotWritten {
        /// Its place in the log.
        mark: Mark,
        /// Its size.
        bytes: u64,
    },
    /// [`TICK_MS`](crate::TICK_MS) passed. After a pause one tick stands for all that were missed: the messages that wait
    /// must be read before a timeout is believed.
    Tick,
}

/// A write for the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Persist {
    /// To be reported by [`Event::Persisted`], in order.
    pub number: u64,
    /// The whole log is void; it starts anew after this snapshot.
    pub restore: Option<Mark>,
    /// Entries; they replace everything from the first one's index on.
    pub entries: Vec<Entry>,
    /// The promises after this write.
    pub hard: HardState,
    /// Messages that promise what is being written: they leave after [`Event::Persisted`] is on its way.
    pub after: Vec<Message>,
}

/// An agreed command.
#[derive(Debug)]
pub struct Commit<P> {
    /// Its place in the log.
    pub index: u64,
    /// The command.
    pub command: Bytes,
    /// Whoever proposed it here and waits.
    pub ticket: Option<P>,
    /// The member that forwarded it, if it did not come to the leader itself.
    pub origin: Option<Origin>,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Effect<P, R> {
    /// Make durable; answer with [`Event::Persisted`].
    Persist(Persist),
    /// Send at once.
    Send(Vec<Message>),
    /// Replace the machine's state by a snapshot received from the leader.
    Restore(Mark),
    /// Apply to the machine and answer those who wait.
    Apply(Vec<Commit<P>>),
    /// The machine is now new enough for these reads.
    ReadReady(Vec<R>),
    /// These reads get no answer.
    ReadFailed(Vec<R>, ProposeError),
    /// These proposals failed, or nobody knows.
    Refuse(Vec<P>, ProposeError),
    /// Capture the machine now and write it out; answer with [`Event::SnapshotWritten`].
    Snapshot(Mark),
    /// Note a durable snapshot in the log; afterwards entries before `keep_from` may be forgotten on disk.
    Forget {
        /// The snapshot.
        mark: Mark,
        /// The first index to keep on disk.
        keep_from: u64,
    },
    /// A change of members was not begun.
    ChangeRefused(Change, ChangeError),
    /// A change of members was agreed and applied.
    Changed {
        /// The place of its entry.
        index: u64,
        /// The term of its entry.
        term: u64,
    },
    /// This member does not belong to the group any more and stops.
    Removed,
}
