//! The nouns of the log: ids, entries, and what a member must remember across a crash.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// Which group a file or a message belongs to: 128 random bits drawn at the founding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Which member of a group. Random, never zero and never given twice: a member whose disk is lost comes back as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What an entry of the log carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A command for the machine, or nothing at all: a new leader's first entry is empty.
    Command,
    /// A change of the members.
    Change,
}

/// One place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Its place, counted from 1 without a gap.
    pub index: u64,
    /// What `data` means.
    pub kind: EntryKind,
    /// The command. For a change: what Raft's core reads on the leader; nobody else does.
    pub data: Bytes,
    /// For a change: the change in this crate's own format. Else empty.
    pub context: Bytes,
}

/// What a member must not forget between a promise and its keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HardState {
    /// The highest term seen.
    pub term: u64,
    /// Whom it voted for in that term; zero for nobody.
    pub vote: u64,
    /// The last index known to be agreed.
    pub commit: u64,
}

/// Who belongs to the group. All lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Members {
    /// Members with a vote.
    pub voters: Vec<MemberId>,
    /// Members that only listen.
    pub learners: Vec<MemberId>,
    /// In the middle of a change: the voters before it.
    pub voters_outgoing: Vec<MemberId>,
    /// In the middle of a change: voters that will only listen after it.
    pub learners_next: Vec<MemberId>,
    /// In the middle of a change: whether the leader ends it by itself.
    pub auto_leave: bool,
    /// Where each member is reached, as `host:port`; this crate only hands it to [`Dial`](crate::Dial).
    pub contacts: BTreeMap<MemberId, String>,
}

impl Members {
    /// Whether a member belongs to the group in any way.
    #[must_use]
    pub fn contains(&self, member: MemberId) -> bool {
        self.all().any(|known| known == member)
    }

    /// Everybody, some perhaps twice.
    pub fn all(&self) -> impl Iterator<Item = MemberId> + '_ {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        lists.into_iter().flatten().copied()
    }
}

/// Which member a forwarded command came from, and that member's own number for it: so the member recognises its command in
/// the log, whoever put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Whose caller waits.
    pub member: MemberId,
    /// Never the same twice for a member, restarts included.
    pub id: u64,
}

/// The place in the log that a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mark {
    /// The last index contained.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The members after that index.
    pub members: Members,
}
