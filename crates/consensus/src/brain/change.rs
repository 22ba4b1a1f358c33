//! Changes of the members: one at a time, in our own format, and never one that leaves nobody to agree.
//!
//! Raft's core reads a change from an entry's data, as protobuf, on the leader that proposes it; that leader wrote it in the
//! same breath. Everybody, the leader included, applies what the entry's context says.

use bytes::{BufMut, Bytes};
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

use super::{Brain, Effect};
use crate::{
    MemberId, ProposeError,
    codec::{Malformed, Source},
    types::from_raft_members,
};

/// A change of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member listens.
    AddLearner(MemberId),
    /// A member that listened gets a vote.
    Promote(MemberId),
    /// A member leaves, for ever: its id is never used again.
    Remove(MemberId),
}

/// Why a change was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// This member does not lead; nothing happened.
    #[error("this master does not lead the group")]
    NoLeader {
        /// Who leads, as far as this member knows.
        hint: Option<MemberId>,
    },
    /// Another change has not ended; try again when it has.
    #[error("another change of the members is still under way")]
    Busy,
    /// The leader was to be removed and hands over first; ask the next leader.
    #[error("the leader hands over to {to} before it leaves; ask again there")]
    HandsOver {
        /// Who is to lead.
        to: MemberId,
    },
    /// The only member with a vote cannot leave.
    #[error("the last member with a vote cannot be removed")]
    LastVoter,
}

impl Change {
    fn encode(self) -> Bytes {
        let (tag, member) = match self {
            Self::AddLearner(member) => (1, member),
            Self::Promote(member) => (2, member),
            Self::Remove(member) => (3, member),
        };
        let mut out = Vec::with_capacity(9);
        out.put_u8(tag);
        out.put_u64_le(member.0);
        out.into()
    }

    fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut from = Source(bytes);
        let (tag, member) = (from.u8()?, MemberId(from.u64()?));
        from.end()?;
        match tag {
            1 => Ok(Self::AddLearner(member)),
            2 => Ok(Self::Promote(member)),
            3 => Ok(Self::Remove(member)),
            _ => Err(Malformed::Impossible("the kind of a change of members")),
        }
    }

    fn to_raft(self) -> ConfChangeV2 {
        let (kind, member) = match self {
            Self::AddLearner(member) => (ConfChangeType::AddLearnerNode, member),
            Self::Promote(member) => (ConfChangeType::AddNode, member),
            Self::Remove(member) => (ConfChangeType::RemoveNode, member),
        };
        let mut single = ConfChangeSingle { node_id: member.0, ..Default::default() };
        single.set_change_type(kind);
        ConfChangeV2 { changes: vec![single].into(), ..Default::default() }
    }
}

impl<P, R> Brain<P, R> {
    pub(super) fn change(&mut self, change: Change) {
        if let Err(refusal) = self.may_change(change) {
            if let ChangeRefusal::HandsOver { to } = refusal {
                self.node.transfer_leader(to.0);
            }
            return self.effects.push(Effect::ChangeRefused(change, refusal));
        }
        self.propose_change(change);
    }

    /// Proposes without asking whether it is wise.
    pub(super) fn propose_change(&mut self, change: Change) {
        if self.node.propose_conf_change(change.encode().to_vec(), change.to_raft()).is_err() {
            self.effects.push(Effect::ChangeRefused(change, ChangeRefusal::Busy));
        }
    }

    fn may_change(&self, change: Change) -> Result<(), ChangeRefusal> {
        if !self.is_leader() {
            return Err(ChangeRefusal::NoLeader { hint: self.leader() });
        }
        if self.node.raft.has_pending_conf() || !self.members.voters_outgoing.is_empty() {
            return Err(ChangeRefusal::Busy);
        }
        let Change::Remove(member) = change else { return Ok(()) };
        if self.members.voters == [member] {
            return Err(ChangeRefusal::LastVoter);
        }
        if member.0 == self.node.raft.id {
            return self.successor().map_or(Err(ChangeRefusal::LastVoter), |to| Err(ChangeRefusal::HandsOver { to }));
        }
        Ok(())
    }

    /// The other voter that has most of the log.
    fn successor(&self) -> Option<MemberId> {
        let others = self.members.voters.iter().filter(|member| member.0 != self.node.raft.id);
        let matched = |member: &MemberId| self.node.raft.prs().get(member.0).map_or(0, |progress| progress.matched);
        others.copied().max_by_key(matched)
    }

    /// Applies an agreed change; true if it removed this member. An empty context is the leader's own end of a change in
    /// two steps.
    ///
    /// # Panics
    /// When the change is not readable or not possible: every member meets it, and none may skip it.
    pub(super) fn apply_change(&mut self, context: &Bytes) -> bool {
        let raft = if context.is_empty() {
            ConfChangeV2::default()
        } else {
            let change = Change::decode(context.clone());
            change.unwrap_or_else(|error| panic!("an agreed change of members is malformed: {error}")).to_raft()
        };
        let was_in = self.belongs();
        let state = self.node.apply_conf_change(&raft);
        let state = state.unwrap_or_else(|error| panic!("an agreed change of members is impossible: {error}"));
        self.members = from_raft_members(&state);
        was_in && !self.belongs()
    }

    fn belongs(&self) -> bool {
        let member = MemberId(self.node.raft.id);
        let members = &self.members;
        [&members.voters, &members.learners, &members.voters_outgoing, &members.learners_next]
            .iter()
            .any(|list| list.contains(&member))
    }

    /// Stops for good. A leader first tells the others how far the log is agreed, or they could not elect without it.
    pub(super) fn leave(&mut self) {
        if self.is_leader() {
            self.node.raft.bcast_append();
            if self.node.has_ready() {
                let mut ready = self.node.ready();
                let messages = ready.take_messages();
                self.send(messages);
            }
        }
        self.removed = true;
        let waiting: Vec<P> = self.waiting.drain(..).map(|waiting| waiting.ticket).collect();
        self.refuse_all(waiting, ProposeError::Unknown);
        let reads = self.reads.abandon_all();
        self.fail_reads(reads, ProposeError::NoLeader { hint: None });
        self.effects.push(Effect::Removed);
    }
}
