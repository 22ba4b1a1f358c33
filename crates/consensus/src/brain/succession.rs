//! Who leads next: elections, hand-overs, and what follows when the leader is gone.

use super::Brain;
use crate::{ChangeError, ELECTION_TICKS_MAX, ELECTION_TICKS_MIN, MemberId, ProposeError, codec::piece_len};

/// After the leader was lost the first voter waits so many ticks before it stands: the others must have noticed too, or they
/// refuse.
const FIRST_TURN_TICKS: usize = 2;

/// Each further voter waits so many ticks longer, enough for an election. Two at once might both fail.
const TURN_TICKS: usize = 4;

impl<P, R> Brain<P, R> {
    /// A follower would pass the request on to its leader, as a message that no member may send another.
    pub(super) fn transfer_leader(&mut self, to: MemberId) {
        if self.is_leader() {
            self.node.transfer_leader(to.0);
        }
    }

    /// The connections with a member broke. If it led, its process is most likely gone, and nobody needs to wait out an
    /// election timeout: the voters stand one after the other. Should it be alive after all, whoever still hears it refuses to
    /// vote, and its next heartbeat makes it leader here again.
    pub(super) fn lost(&mut self, member: MemberId) {
        self.node.report_unreachable(member.0);
        if self.leader() != Some(member) || self.is_leader() {
            return;
        }
        let term = self.node.raft.term;
        self.node.raft.become_follower(term, raft::INVALID_ID);
        let void = self.reads.abandon();
        self.fail_reads(void, ProposeError::NoLeader { hint: None });
        let timeout = self.set_election_ticks();
        if let Some(turn) = self.turn_after(member) {
            self.node.raft.election_elapsed = timeout.saturating_sub(FIRST_TURN_TICKS + turn * TURN_TICKS);
        }
    }

    /// How many voters stand before this one when another is lost; none if this one has no vote.
    fn turn_after(&self, lost: MemberId) -> Option<usize> {
        let own = MemberId(self.node.raft.id);
        let (before, after): (Vec<MemberId>, Vec<_>) = self.members.voters.iter().partition(|voter| **voter < lost);
        after.into_iter().chain(before).filter(|voter| *voter != lost).position(|voter| voter == own)
    }

    /// The other voter that has most of the log, if it answers.
    pub(super) fn successor(&self) -> Option<MemberId> {
        let others = self.members.voters.iter().filter(|member| member.0 != self.node.raft.id);
        let matched = |member: &MemberId| self.node.raft.prs().get(member.0).map_or(0, |progress| progress.matched);
        others.copied().max_by_key(|member| (self.is_active(*member), matched(member)))
    }

    /// Whether a member may be told to lead.
    ///
    /// # Errors
    /// Why not.
    pub fn may_lead(&self, to: MemberId) -> Result<(), ChangeError> {
        if !self.is_leader() {
            return Err(ChangeError::NoLeader { hint: self.leader() });
        }
        self.is_known(to)?;
        if self.members.voters.contains(&to) { Ok(()) } else { Err(ChangeError::NotAVoter { member: to }) }
    }

    /// A leader without a vote makes room, which Raft 0.7 would not do. It asked for its own demotion as a follower, and the
    /// leader of then was lost. First it tells the others how far the log is agreed.
    pub(super) fn step_down_if_demoted(&mut self) {
        if self.is_leader() && !self.members.voters.contains(&MemberId(self.node.raft.id)) {
            self.node.raft.bcast_append();
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, raft::INVALID_ID);
        }
    }

    /// Raft 0.7 draws its election timeout from the thread's randomness. A function of member and term spreads candidates
    /// just as well and keeps every history replayable: whoever meets another candidate meets it in a new term.
    pub(super) fn set_election_ticks(&mut self) -> usize {
        let spread = ELECTION_TICKS_MAX - ELECTION_TICKS_MIN;
        let drawn = mix(self.seed ^ mix(self.node.raft.term)) % spread as u64;
        let ticks = ELECTION_TICKS_MIN + piece_len(drawn, spread);
        self.node.raft.set_randomized_election_timeout(ticks);
        ticks
    }
}

/// Spreads numbers that are close to each other evenly over all numbers (the finaliser of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
