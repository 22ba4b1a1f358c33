//! What a member knows about itself and its group.

use crate::{ClusterId, MemberId, Members};

/// A member's part in the group at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the commands.
    Leader,
    /// Takes no part any more: shut down, failed, or removed from the group.
    Stopped,
}

/// How another member does, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which member.
    pub member: MemberId,
    /// The last index that it is known to hold.
    pub matched: u64,
    /// Whether it said anything within the shortest election timeout.
    pub is_active: bool,
    /// Whether there is a connection to it.
    pub is_reachable: bool,
}

/// A snapshot of a member's own view; it may be outdated by the time it is read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// The group's identity, drawn at its founding.
    pub cluster: ClusterId,
    /// This member.
    pub member: MemberId,
    /// Its part at the moment.
    pub role: Role,
    /// The Raft term.
    pub term: u64,
    /// Who leads, if this member knows.
    pub leader: Option<MemberId>,
    /// The last index known to be agreed.
    pub committed: u64,
    /// The last index applied to the machine.
    pub applied: u64,
    /// The first index still in the in-memory log.
    pub log_first: u64,
    /// The last index of the log.
    pub log_last: u64,
    /// The index of the newest durable snapshot.
    pub snapshot: u64,
    /// Who belongs to the group, as applied here.
    pub members: Members,
    /// How the others do; empty unless this member leads.
    pub peers: Vec<PeerStatus>,
    /// Why the member stopped by itself, if it did. Seen only under [`OnFailure::Stop`](crate::OnFailure::Stop).
    pub failure: Option<String>,
}
