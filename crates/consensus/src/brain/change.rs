//! Changes of the members: one at a time, in our own format, and never one that leaves nobody to agree.
//!
//! Raft's core reads a change from an entry's data, as protobuf, on the leader that proposes it; that leader wrote it in the
//! same breath. Everybody, the leader included, applies what the entry's context says.

use bytes::{BufMut, Bytes};
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

use super::{Brain, Change, Effect, storage};
use crate::{
    ChangeError, MemberId, Members, ProposeError,
    codec::{CONTACT_BYTES_MAX, MEMBERS_MAX, Malformed, Source, put_bytes},
    raft_types::from_raft_members,
};

/// A member that lacks so many entries may still be given a vote: it catches up within a moment.
const BEHIND_ENTRIES_MAX: u64 = 1000;

/// The same in bytes.
const BEHIND_BYTES_MAX: u64 = 1 << 20;

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn member(&self) -> MemberId {
        match self {
            Self::AddLearner { member, .. } | Self::Contact { member, .. } => *member,
            Self::Promote(member) | Self::Remove(member) | Self::Demote(member) => *member,
        }
    }

    fn contact(&self) -> &str {
        match self {
            Self::AddLearner { contact, .. } | Self::Contact { contact, .. } => contact,
            Self::Promote(_) | Self::Remove(_) | Self::Demote(_) => "",
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(13 + self.contact().len());
        out.put_u8(match self {
            Self::AddLearner { .. } => 1,
            Self::Promote(_) => 2,
            Self::Remove(_) => 3,
            Self::Contact { .. } => 4,
            Self::Demote(_) => 5,
        });
        out.put_u64_le(self.member().0);
        put_bytes(&mut out, self.contact().as_bytes());
        out
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut from = Source(bytes);
        let (tag, member, contact) = (from.u8()?, MemberId(from.u64()?), from.contact()?);
        from.end()?;
        match tag {
            1 => Ok(Self::AddLearner { member, contact }),
            2 => Ok(Self::Promote(member)),
            3 => Ok(Self::Remove(member)),
            4 => Ok(Self::Contact { member, contact }),
            5 => Ok(Self::Demote(member)),
            _ => Err(Malformed::Impossible("the kind of a change of members")),
        }
    }

    /// The change as Raft's core sees it. To it, a new contact is a change that changes nothing.
    fn to_raft(&self, now: &Members) -> ConfChangeV2 {
        let kind = match self {
            Self::AddLearner { .. } | Self::Demote(_) => ConfChangeType::AddLearnerNode,
            Self::Promote(_) => ConfChangeType::AddNode,
            Self::Remove(_) => ConfChangeType::RemoveNode,
            Self::Contact { member, .. } if now.voters.contains(member) => ConfChangeType::AddNode,
            Self::Contact { .. } => ConfChangeType::AddLearnerNode,
        };
        let mut single = ConfChangeSingle { node_id: self.member().0, ..Default::default() };
        single.set_change_type(kind);
        ConfChangeV2 { changes: vec![single].into(), ..Default::default() }
    }
}

impl<P, R> Brain<P, R> {
    /// Nobody is removed who still has a vote. A removed member stops, and those who stay must never need its vote again:
    /// not even if they crash and forget that the removal was agreed, which is nowhere on their disks yet. A member without
    /// a vote still gives it to those who ask. And whoever has the removal on its disk got it from a leader that knew the
    /// loss of the vote to be agreed, and wrote both down together.
    pub(super) fn change(&mut self, change: Change) {
        let change = match change {
            Change::Remove(member) if self.members.voters.contains(&member) => Change::Demote(member),
            change => change,
        };
        if let Err(refusal) = self.may_change(&change) {
            if let ChangeError::HandsOver { to } = refusal {
                self.node.transfer_leader(to.0);
            }
            return self.effects.push(Effect::ChangeRefused(change, refusal));
        }
        self.propose_change(change);
    }

    /// Proposes without asking whether it is wise.
    pub(super) fn propose_change(&mut self, change: Change) {
        let raft = change.to_raft(&self.members);
        if self.node.propose_conf_change(change.encode(), raft).is_err() {
            self.effects.push(Effect::ChangeRefused(change, ChangeError::Busy));
        }
    }

    fn may_change(&self, change: &Change) -> Result<(), ChangeError> {
        if !self.is_leader() {
            return Err(ChangeError::NoLeader { hint: self.leader() });
        }
        if self.node.raft.has_pending_conf() || !self.members.voters_outgoing.is_empty() {
            return Err(ChangeError::Busy);
        }
        if change.contact().len() > CONTACT_BYTES_MAX {
            return Err(ChangeError::ContactTooLong);
        }
        let member = change.member();
        match change {
            Change::AddLearner { .. } => self.may_add(member),
            Change::Promote(_) => self.may_promote(member),
            Change::Remove(_) => self.may_remove(member),
            Change::Demote(_) => self.may_demote(member),
            Change::Contact { .. } => self.is_known(member),
        }
    }

    pub(super) fn is_known(&self, member: MemberId) -> Result<(), ChangeError> {
        if self.members.contains(member) { Ok(()) } else { Err(ChangeError::NoSuchMember { member }) }
    }

    /// Somebody may be added while another member is down: that is how a lost member is replaced.
    fn may_add(&self, member: MemberId) -> Result<(), ChangeError> {
        if self.members.contains(member) {
            return Err(ChangeError::AlreadyMember { member });
        }
        if self.members.voters.len() + self.members.learners.len() >= MEMBERS_MAX {
            return Err(ChangeError::TooManyMembers);
        }
        Ok(())
    }

    fn may_promote(&self, member: MemberId) -> Result<(), ChangeError> {
        self.is_known(member)?;
        if self.members.voters.contains(&member) {
            return Err(ChangeError::AlreadyMember { member });
        }
        let behind = self.behind(member);
        if !self.is_active(member) || behind > BEHIND_ENTRIES_MAX || self.bytes_behind(behind) > BEHIND_BYTES_MAX {
            return Err(ChangeError::NotCaughtUp { member, behind });
        }
        let voters = self.members.voters.iter().copied().chain([member]);
        self.keeps_quorum(member, voters)
    }

    fn may_remove(&self, member: MemberId) -> Result<(), ChangeError> {
        self.is_known(member)?;
        self.keeps_quorum(member, self.members.voters.iter().copied())
    }

    fn may_demote(&self, member: MemberId) -> Result<(), ChangeError> {
        self.is_known(member)?;
        if !self.members.voters.contains(&member) {
            return Err(ChangeError::NotAVoter { member });
        }
        if self.members.voters == [member] {
            return Err(ChangeError::LastVoter);
        }
        self.keeps_quorum(member, self.members.voters.iter().copied().filter(|voter| *voter != member))?;
        if member.0 == self.node.raft.id {
            return self.successor().map_or(Err(ChangeError::LastVoter), |to| Err(ChangeError::HandsOver { to }));
        }
        Ok(())
    }

    /// Whether a majority of the voters to be answers now.
    fn keeps_quorum(&self, member: MemberId, voters: impl Iterator<Item = MemberId>) -> Result<(), ChangeError> {
        let (active, silent): (Vec<_>, Vec<_>) = voters.partition(|voter| self.is_active(*voter));
        if active.len() > silent.len() { Ok(()) } else { Err(ChangeError::WouldLoseQuorum { member }) }
    }

    /// How many entries a member lacks, as far as the leader knows.
    fn behind(&self, member: MemberId) -> u64 {
        let matched = self.node.raft.prs().get(member.0).map_or(0, |progress| progress.matched);
        self.node.raft.raft_log.last_index() - matched
    }

    /// What the last entries of the log weigh.
    fn bytes_behind(&self, entries: u64) -> u64 {
        let log = &self.node.raft.raft_log;
        let first = log.last_index() + 1 - entries;
        let read = log.slice(first, log.last_index() + 1, None, raft::GetEntriesContext::empty(false));
        read.map_or(u64::MAX, |entries| entries.iter().map(storage::cost).sum())
    }

    /// Applies an agreed change; true if it removed this member. An empty context is the leader's own end of a change in
    /// two steps.
    ///
    /// # Panics
    /// When the change is not readable or not possible: every member meets it, and none may skip it.
    pub(super) fn apply_change(&mut self, context: &Bytes) -> bool {
        let was_in = self.belongs();
        if context.is_empty() {
            self.apply_to_raft(&ConfChangeV2::default());
        } else {
            let change = Change::decode(context.clone());
            self.apply_one(change.unwrap_or_else(|error| panic!("an agreed change of members is malformed: {error}")));
        }
        was_in && !self.belongs()
    }

    fn apply_one(&mut self, change: Change) {
        let raft = change.to_raft(&self.members);
        match change {
            Change::AddLearner { member, contact } => {
                self.apply_to_raft(&raft);
                self.members.contacts.insert(member, contact);
            }
            Change::Promote(_) | Change::Demote(_) => self.apply_to_raft(&raft),
            Change::Remove(member) => {
                self.apply_to_raft(&raft);
                self.members.contacts.remove(&member);
                self.heard.remove(&member.0);
            }
            // Whoever was removed meanwhile needs no contact.
            Change::Contact { member, contact } => {
                if self.members.contains(member) {
                    self.members.contacts.insert(member, contact);
                }
            }
        }
    }

    fn apply_to_raft(&mut self, change: &ConfChangeV2) {
        let state = self.node.apply_conf_change(change);
        let state = state.unwrap_or_else(|error| panic!("an agreed change of members is impossible: {error}"));
        let contacts = std::mem::take(&mut self.members.contacts);
        self.members = Members { contacts, ..from_raft_members(&state) };
    }

    fn belongs(&self) -> bool {
        self.members.contains(MemberId(self.node.raft.id))
    }

    /// Stops for good.
    pub(super) fn leave(&mut self) {
        self.removed = true;
        self.abandon_proposals();
        let reads = self.reads.abandon_all();
        self.fail_reads(reads, ProposeError::NoLeader { hint: None });
        self.effects.push(Effect::Removed);
    }
}
