//! The group of masters: who leads it, who belongs to it, and how its members do. The controllers run on the leader alone.

use std::time::Duration;

use api::{Error, ReadAt, Reason};
use consensus::{BackupFile, Change, ChangeError, MemberId, Role, Status};
use rpc::services;
use tokio::sync::watch;

use crate::{
    Registry,
    access::{Access, Caller},
    limits::quota::WARNING_PERCENT,
};

/// How long to wait before a new leader asks again whether it knows everything.
const RETRY: Duration = Duration::from_millis(20);

/// How far a member may be behind before an operator is told.
const BEHIND_MAX: u64 = 10_000;

impl Registry {
    /// Waits until this master leads and knows everything that was acknowledged before. `false` if it never will: the
    /// process stops.
    pub async fn until_leading(&self) -> bool {
        let mut status = self.group();
        loop {
            let found = status.wait_for(|status| matches!(status.role, Role::Leader | Role::Stopped)).await;
            if !found.is_ok_and(|status| status.role == Role::Leader) {
                return false;
            }
            // A leader that has just been elected may not have applied yet what its predecessor acknowledged.
            if self.view(ReadAt::Latest).await.is_ok() {
                return true;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Waits until this master no longer leads.
    pub async fn until_following(&self) {
        // An error means that the member is gone, and with it its lead.
        let _ = self.group().wait_for(|status| status.role != Role::Leader).await;
    }

    /// Lets another master lead, if this one does, before it stops.
    pub async fn hand_over(&self) {
        self.inner.consensus.hand_over().await;
    }

    /// What this master knows of the group, and its changes.
    #[must_use]
    pub fn group(&self) -> watch::Receiver<Status> {
        self.inner.consensus.status()
    }

    /// What this master knows of the group.
    #[must_use]
    pub fn status(&self) -> Status {
        self.group().borrow().clone()
    }

    /// Where the leader is reached, if another master leads.
    #[must_use]
    pub fn other_leader(&self) -> Option<String> {
        let group = self.group();
        let status = group.borrow();
        let leader = status.leader.filter(|leader| *leader != status.member)?;
        status.members.contacts.get(&leader).cloned()
    }

    /// Says where this master is reached, if the group knows it otherwise.
    ///
    /// # Errors
    /// If the group cannot agree on it at the moment.
    pub async fn reached_at(&self, contact: &str) -> Result<(), Error> {
        let status = self.status();
        if status.members.contacts.get(&status.member).is_some_and(|known| known == contact) {
            return Ok(());
        }
        self.change(Change::Contact { member: status.member, contact: contact.to_owned() }).await
    }

    /// The calling master says where it serves. One that was let in comes into the group with it, without a vote.
    ///
    /// # Errors
    /// If the caller is no master, or the group cannot agree on it at the moment.
    pub async fn admit(&self, contact: String) -> Result<(), Error> {
        self.authorise(Access::Admit).await?;
        let (member, is_new) = match *self.caller {
            Caller::Newcomer { member } => (MemberId(member), true),
            Caller::Master { member } => (MemberId(member), false),
            Caller::Cluster | Caller::Admin { .. } | Caller::Node { .. } | Caller::User(_) | Caller::Nobody => {
                return Err(Error::internal("only masters are admitted"));
            }
        };
        self.inner.consensus.found_at(member, &contact);
        if self.status().members.contacts.get(&member) != Some(&contact) {
            let change =
                if is_new { Change::AddLearner { member, contact } } else { Change::Contact { member, contact } };
            self.for_caller(Caller::Cluster).change(change).await?;
        }
        // Also for one that says so again: a master that is expected could come back after it was removed.
        self.arrived(member.0).await
    }

    /// Gives a member a vote.
    ///
    /// # Errors
    /// If the caller may not, or the group cannot do it at the moment.
    pub async fn promote(&self, member: u64) -> Result<(), Error> {
        self.change(Change::Promote(MemberId(member))).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// If the caller may not, or the group cannot do it at the moment.
    pub async fn remove(&self, member: u64) -> Result<(), Error> {
        self.change(Change::Remove(MemberId(member))).await?;
        // It may have added itself without anybody noting that it came.
        self.arrived(member).await
    }

    /// Lets another member lead.
    ///
    /// # Errors
    /// If the caller may not, or that member cannot lead.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Error> {
        self.authorise(Access::Administer("choose the leader")).await?;
        self.inner.consensus.transfer_leader(MemberId(to)).await.map_err(|error| change_error(&error))
    }

    /// A consistent copy of the state, with everything that was acknowledged before.
    ///
    /// # Errors
    /// If the caller may not, or it cannot be written.
    pub async fn backup(&self) -> Result<BackupFile, Error> {
        self.authorise(Access::Administer("make a backup")).await?;
        self.view(ReadAt::Latest).await?;
        let made = self.inner.consensus.backup().await;
        made.map_err(|error| Error::internal(format!("making the backup: {error}")))
    }

    /// How the group does, as far as this master knows: the leader knows more of the members.
    ///
    /// # Errors
    /// If the caller may not see it.
    pub async fn cluster_status(&self) -> Result<services::ClusterStatus, Error> {
        self.authorise(Access::SeeMasters).await?;
        let (status, view, quota) = (self.status(), self.state(), self.inner.options.quota_bytes);
        Ok(services::ClusterStatus {
            cluster_id: status.cluster.to_string(),
            member: status.member.0,
            leader: status.leader.map_or(0, |leader| leader.0),
            members: members(&status),
            term: status.term,
            committed: status.committed,
            applied: status.applied,
            log_first: status.log_first,
            log_last: status.log_last,
            snapshot: status.snapshot,
            revision: view.revision().0,
            objects: view.kinds().map(|kind| view.count(kind) as u64).sum(),
            bytes: view.bytes() as u64,
            quota_bytes: quota as u64,
            warnings: warnings(&status, view.bytes(), quota),
        })
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        self.authorise(Access::Administer("change the group of masters")).await?;
        self.inner.consensus.change(change).await.map(drop).map_err(|error| change_error(&error))
    }
}

fn members(status: &Status) -> Vec<services::Member> {
    let voters = &status.members.voters;
    let mut ids: Vec<MemberId> = voters.iter().chain(&status.members.learners).copied().collect();
    ids.sort_unstable();
    let describe = |id: MemberId| {
        let peer = status.peers.iter().find(|peer| peer.member == id);
        let is_self = id == status.member;
        let part = if voters.contains(&id) { services::Part::Voter } else { services::Part::Learner };
        services::Member {
            id: id.0,
            contact: status.members.contacts.get(&id).cloned().unwrap_or_default(),
            part: part.into(),
            leader: status.leader == Some(id),
            reachable: is_self || peer.is_some_and(|peer| peer.is_active) || status.leader == Some(id),
            matched_index: if is_self { status.log_last } else { peer.map_or(0, |peer| peer.matched) },
        }
    };
    ids.into_iter().map(describe).collect()
}

fn warnings(status: &Status, bytes: usize, quota: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let voters = status.members.voters.len();
    if voters.is_multiple_of(2) {
        warnings.push(format!(
            "{voters} masters have a vote: an even number survives no more failures than {}, and costs one more; add or \
             remove one",
            voters - 1
        ));
    }
    if status.leader.is_none() {
        warnings.push("no master leads: writes wait until a majority of the masters can reach each other".to_owned());
    }
    if status.role == Role::Leader {
        for peer in &status.peers {
            if !peer.is_active {
                warnings.push(format!("the master {} does not answer", peer.member));
            } else if status.log_last.saturating_sub(peer.matched) > BEHIND_MAX {
                let behind = status.log_last - peer.matched;
                warnings.push(format!("the master {} is {behind} entries behind", peer.member));
            }
        }
    }
    let percent = bytes.saturating_mul(100) / quota.max(1);
    if percent >= WARNING_PERCENT {
        warnings.push(format!("the state has reached {percent} % of its {quota} bytes"));
    }
    warnings
}

fn change_error(error: &ChangeError) -> Error {
    let reason = match error {
        ChangeError::NoLeader { .. } | ChangeError::Stopped | ChangeError::NotTakenOver { .. } => {
            Reason::ServiceUnavailable
        }
        ChangeError::Busy | ChangeError::HandsOver { .. } | ChangeError::NotCaughtUp { .. } => Reason::Conflict,
        ChangeError::LastVoter | ChangeError::WouldLoseQuorum { .. } => Reason::Forbidden,
        ChangeError::AlreadyMember { .. } => Reason::AlreadyExists,
        ChangeError::NoSuchMember { .. } => Reason::NotFound,
        ChangeError::NotAVoter { .. } | ChangeError::ContactTooLong => Reason::BadRequest,
        ChangeError::TooManyMembers => Reason::Forbidden,
        ChangeError::Overloaded => Reason::TooManyRequests,
        ChangeError::Unknown => Reason::Timeout,
    };
    Error::new(reason, error)
}
