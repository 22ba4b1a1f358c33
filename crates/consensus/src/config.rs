//! What can be chosen when a member is opened, and the limits that cannot.

use std::{fmt, future::Future, io, path::PathBuf, pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{ClusterId, MemberId, codec::CONTACT_BYTES_MAX};

/// The longest command, in bytes. An object is at most 1.5 MiB (Kubernetes' limit for requests to etcd); the rest is room
/// for what a transaction adds to it.
pub const COMMAND_BYTES_MAX: usize = 2 << 20;

/// The length of a tick, in milliseconds: the unit of Raft's timers. Twenty wake-ups a second cost nothing and make an
/// election finish well below a second.
pub const TICK_MS: u64 = 50;

/// Ticks between two heartbeats of a leader.
pub const HEARTBEAT_TICKS: usize = 2;

/// Fewest ticks that a follower waits for its leader: ten missed heartbeats, so that a busy disk elects nobody.
pub const ELECTION_TICKS_MIN: usize = 20;

/// The follower waits fewer ticks than this; the spread keeps candidates from meeting.
pub const ELECTION_TICKS_MAX: usize = 40;

const _: () = assert!(10 * HEARTBEAT_TICKS <= ELECTION_TICKS_MIN && ELECTION_TICKS_MIN < ELECTION_TICKS_MAX);

/// The smallest segment of the log, in bytes: one frame with the longest command must fit beside the header.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 20;

/// The largest segment of the log, in bytes, so that offsets stay small and recycling stays cheap.
pub(crate) const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;

/// What to do when the disk fails or an invariant breaks. There is no third way: after a failed fsync nobody knows what the
/// disk holds, so nothing may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Print one last line and abort the process; a restart recovers from what is durable.
    #[default]
    Abort,
    /// Stop this member, fail its callers and tell the reason in [`Status::failure`](crate::Status::failure). For tests and
    /// for programs that end themselves in another way; the directory stays locked until the handle is dropped.
    Stop,
}

/// What an empty directory becomes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Begin {
    /// A new group of one.
    #[default]
    Found,
    /// A member of a group that exists, which waits for its leader.
    Join {
        /// The group.
        cluster: ClusterId,
        /// The id under which the group was told to add it; ids are never used twice.
        member: MemberId,
    },
}

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection to another member.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// How other members are reached.
pub trait Dial: Send + Sync + 'static {
    /// Connects to a member and proves who is at the other end, which gives the stream to its
    /// [`Consensus::accept`](crate::Consensus::accept). Given up after a few seconds.
    fn dial(&self, to: MemberId, contact: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

impl fmt::Debug for dyn Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// How a member is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds everything durable. Created if it is missing; see `begin` for an empty one.
    pub dir: PathBuf,
    /// The first segment of a new log, in bytes (at least 4 MiB, a multiple of 4 KiB). Segments double from here up to
    /// `segment_bytes_max`, so that a small group starts at once and a busy one rarely changes segments.
    pub segment_bytes_first: u64,
    /// The largest segment, in bytes.
    pub segment_bytes_max: u64,
    /// A snapshot is taken when so many bytes of commands were applied since the last one, or half the size of that
    /// snapshot if it is more: so at most a third of what is written is written by snapshots.
    pub snapshot_after_bytes: u64,
    /// Bytes of commands that stay in memory after a snapshot, for followers that are a little behind.
    pub log_tail_bytes: u64,
    /// What to do when the disk fails.
    pub on_failure: OnFailure,
    /// What an empty directory becomes.
    pub begin: Begin,
    /// Where others reach this member in this life; may be empty while there are none. A founder's is agreed at once. Whoever
    /// comes back elsewhere tells it to each member that it calls, which then answers there and tells the others: what the
    /// group agreed on is changed later, by [`Change::Contact`](crate::Change::Contact), for which it must be reached already.
    pub contact: String,
    /// How other members are reached; without it the member talks to nobody. With it, [`open`](crate::open) must be called
    /// inside a tokio runtime, which then carries the connections.
    pub dial: Option<Arc<dyn Dial>>,
}

impl Config {
    /// The usual configuration for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes_first: SEGMENT_BYTES_MIN,
            segment_bytes_max: 64 << 20,
            snapshot_after_bytes: 64 << 20,
            log_tail_bytes: 16 << 20,
            on_failure: OnFailure::Abort,
            begin: Begin::default(),
            contact: String::new(),
            dial: None,
        }
    }

    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        let aligned = |bytes: u64| bytes.is_multiple_of(4096);
        if self.segment_bytes_first < SEGMENT_BYTES_MIN || !aligned(self.segment_bytes_first) {
            return Err(InvalidConfig::SegmentFirst { bytes: self.segment_bytes_first });
        }
        if self.segment_bytes_max < self.segment_bytes_first
            || self.segment_bytes_max > SEGMENT_BYTES_LIMIT
            || !aligned(self.segment_bytes_max)
        {
            return Err(InvalidConfig::SegmentMax { bytes: self.segment_bytes_max });
        }
        if self.snapshot_after_bytes == 0 {
            return Err(InvalidConfig::SnapshotAfter);
        }
        if self.contact.len() > CONTACT_BYTES_MAX {
            return Err(InvalidConfig::ContactTooLong);
        }
        match &self.begin {
            Begin::Join { member: MemberId(0), .. } => Err(InvalidConfig::MemberZero),
            Begin::Join { .. } if self.dial.is_none() => Err(InvalidConfig::JoinWithoutDial),
            Begin::Found | Begin::Join { .. } => Ok(()),
        }
    }
}

/// A configuration that contradicts itself; names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// `segment_bytes_first` is too small or not aligned.
    #[error("segment_bytes_first is {bytes}; it must be a multiple of 4096 and at least {SEGMENT_BYTES_MIN}")]
    SegmentFirst {
        /// What was given.
        bytes: u64,
    },
    /// `segment_bytes_max` is below the first, too large or not aligned.
    #[error(
        "segment_bytes_max is {bytes}; it must be a multiple of 4096, at least segment_bytes_first and at most \
         {SEGMENT_BYTES_LIMIT}"
    )]
    SegmentMax {
        /// What was given.
        bytes: u64,
    },
    /// `snapshot_after_bytes` is zero, so that a snapshot would follow every command.
    #[error("snapshot_after_bytes is 0; give at least 1")]
    SnapshotAfter,
    /// `contact` is too long.
    #[error("contact is longer than {CONTACT_BYTES_MAX} bytes")]
    ContactTooLong,
    /// `begin` joins as nobody.
    #[error("begin joins as member 0; ids are never zero")]
    MemberZero,
    /// `begin` joins, but there is no way to talk to anybody.
    #[error("begin joins a group, but dial is not given")]
    JoinWithoutDial,
    /// `dial` is given outside a tokio runtime.
    #[error("dial is given, but the log is opened outside a tokio runtime, so nothing could carry its connections")]
    NoRuntime,
}
