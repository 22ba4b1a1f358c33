//! Several masters as one value: shipped brains of `consensus` over the shipped state of `store`, on disks that hold real
//! bytes and lose what was not synced, in a net that loses, doubles, delays and reorders, under a virtual clock.
//!
//! [`play`] draws everything from a seed and checks after every step what must never be broken ([`Rule`]). At the end all is
//! mended, and the group must get on with its work. The same seed gives the same trial, so a failure is played again to
//! tell its story. To show that the checker sees, [`Sabotage`] breaks one part.

mod clients;
mod disk;
mod ledger;
mod mishaps;
mod net;
mod process;
#[cfg(test)]
mod stories;
mod trial;
mod watchers;
mod weather;
mod world;

pub use trial::{Failure, play, play_sabotaged};

/// What must never be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Raft's election safety.
    #[error("at most one member leads in a term")]
    OneLeader,
    /// Raft's log matching.
    #[error("logs that agree in an entry agree in all before it")]
    LogMatching,
    /// Raft's leader completeness.
    #[error("a leader has everything that was agreed before its term")]
    LeaderCompleteness,
    /// Raft's state machine safety.
    #[error("all members apply the same entries in the same order, once")]
    SameOrder,
    /// What `store` promises.
    #[error("all members have the same state at the same index")]
    SameState,
    /// What `store` promises.
    #[error("revisions grow by one with each change and never go back")]
    Revisions,
    /// What an acknowledgement means.
    #[error("an acknowledged write stays")]
    AcknowledgedStays,
    /// What a definite refusal means.
    #[error("a write happens once at most, and never if it was refused")]
    RefusedStaysRefused,
    /// What a read barrier means.
    #[error("a read sees everything that anybody knew when it was asked")]
    FreshReads,
    /// What a watch promises.
    #[error("a watch tells every change once and in order")]
    WholeWatches,
    /// What the log promises.
    #[error("a member starts again after any crash")]
    OpensAgain,
    /// A panic stops a member.
    #[error("nothing panics")]
    NoPanic,
    /// When everything works again, so does the group.
    #[error("without trouble there is progress")]
    Progress,
}

/// A rule was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// By what.
    pub detail: String,
}

/// How a step went.
type Outcome = Result<(), Broken>;

/// One part that does not do its duty, so that a test sees the checker see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A disk that sometimes loses the last thing that it had confirmed.
    ForgetfulDisk,
    /// A driver that reports a write before it has begun.
    EarlyReport,
    /// A reader that does not wait for the barrier.
    NoBarrier,
    /// A watcher that begins one revision too late when it comes back.
    LateResume,
    /// A member that now and then leaves out a command that was agreed.
    SkippedCommand,
}

/// What happened in a trial: trouble must leave room for work, or nothing was tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes that were acknowledged.
    pub writes: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Events that watchers saw.
    pub events: usize,
    /// Terms with a leader.
    pub leaders: usize,
    /// Members that crashed.
    pub crashes: usize,
    /// Snapshots that were sent to a member and restored there.
    pub restores: usize,
    /// Changes of the members that were applied somewhere.
    pub changes: usize,
    /// Times that a watcher had to list again.
    pub relists: usize,
    /// Steps in all.
    pub steps: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.writes += other.writes;
        self.reads += other.reads;
        self.events += other.events;
        self.leaders += other.leaders;
        self.crashes += other.crashes;
        self.restores += other.restores;
        self.changes += other.changes;
        self.relists += other.relists;
        self.steps += other.steps;
    }
}
