//! The nouns of the log: ids, entries, and what a member must remember across a crash.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use raft::eraftpb;

use crate::codec::{contacts_of, put_contacts};

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

pub(crate) fn kind_of(entry: &eraftpb::Entry) -> EntryKind {
    match entry.get_entry_type() {
        eraftpb::EntryType::EntryNormal => EntryKind::Command,
        eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => EntryKind::Change,
    }
}

pub(crate) fn from_raft_entry(entry: &eraftpb::Entry) -> Entry {
    let kind = kind_of(entry);
    Entry { term: entry.term, index: entry.index, kind, data: entry.data.clone(), context: entry.context.clone() }
}

pub(crate) fn to_raft_entry(entry: Entry) -> eraftpb::Entry {
    let Entry { term, index, kind, data, context } = entry;
    let mut raft = eraftpb::Entry { term, index, data, context, ..Default::default() };
    match kind {
        EntryKind::Command => {}
        EntryKind::Change => raft.set_entry_type(eraftpb::EntryType::EntryConfChangeV2),
    }
    raft
}

/// The members without their contacts, of which Raft knows nothing.
pub(crate) fn from_raft_members(state: &eraftpb::ConfState) -> Members {
    let sorted = |ids: &[u64]| {
        let mut ids: Vec<MemberId> = ids.iter().copied().map(MemberId).collect();
        ids.sort_unstable();
        ids
    };
    Members {
        voters: sorted(&state.voters),
        learners: sorted(&state.learners),
        voters_outgoing: sorted(&state.voters_outgoing),
        learners_next: sorted(&state.learners_next),
        auto_leave: state.auto_leave,
        contacts: BTreeMap::new(),
    }
}

/// The place of a snapshot as Raft carries it. The contacts travel where Raft keeps the application's bytes.
pub(crate) fn from_raft_snapshot(snapshot: &eraftpb::Snapshot) -> Mark {
    let meta = snapshot.get_metadata();
    let contacts = contacts_of(&snapshot.data);
    let members = Members { contacts, ..from_raft_members(meta.get_conf_state()) };
    Mark { index: meta.index, term: meta.term, members }
}

/// Raft's view of a snapshot: only its place. The machine's bytes travel beside the message.
pub(crate) fn to_raft_snapshot(mark: &Mark) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let mut contacts = Vec::new();
    put_contacts(&mut contacts, &mark.members.contacts);
    snapshot.data = contacts.into();
    let meta = snapshot.mut_metadata();
    (meta.index, meta.term) = (mark.index, mark.term);
    meta.set_conf_state(to_raft_members(&mark.members));
    snapshot
}

pub(crate) fn to_raft_members(members: &Members) -> eraftpb::ConfState {
    let ids = |members: &[MemberId]| members.iter().map(|member| member.0).collect();
    eraftpb::ConfState {
        voters: ids(&members.voters),
        learners: ids(&members.learners),
        voters_outgoing: ids(&members.voters_outgoing),
        learners_next: ids(&members.learners_next),
        auto_leave: members.auto_leave,
        ..Default::default()
    }
}

pub(crate) fn from_raft_hard_state(state: &eraftpb::HardState) -> HardState {
    HardState { term: state.term, vote: state.vote, commit: state.commit }
}

pub(crate) fn to_raft_hard_state(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState { term: state.term, vote: state.vote, commit: state.commit, ..Default::default() }
}
