//! The gRPC door of operators.

use std::{pin::Pin, time::Duration};

use api::{Error, Kind, Reason};
use consensus::{Change, ChangeError, MemberId, Role as RaftRole, Status as GroupStatus};
use futures::{Stream, StreamExt as _};
use rpc::{
    identity::Token,
    services::{self, cluster_server::Cluster},
    status::to_tonic,
};
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status};

use super::join::Entrance;
use crate::{
    access::Access,
    caller::Caller,
    gallery::Others as _,
    registry::{Invitation, JoinAs, Registry, TOKEN_LIFE},
};

/// How much of a backup is sent in one message, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How long the leader may take to say how the members do.
const LEADER_TIMEOUT: Duration = Duration::from_secs(1);

/// How far a member may be behind before an operator is told.
const BEHIND_MAX: u64 = 10_000;

#[derive(Clone)]
pub(super) struct ClusterDoor {
    pub(super) registry: Registry,
    pub(super) entrance: Entrance,
}

type Answer<T> = Result<Response<T>, Status>;

impl ClusterDoor {
    fn of<T>(&self, request: &Request<T>) -> Registry {
        let caller = Caller::of(request.extensions());
        self.registry.for_caller(caller)
    }

    /// Only the leader knows how the members do. A master that asks is answered with what there is, so that two that take
    /// each other for the leader do not ask each other for ever.
    async fn ask_leader(&self, registry: &Registry) -> Option<services::ClusterStatus> {
        let status = registry.status();
        let leader = status.leader.filter(|leader| *leader != status.member)?;
        if matches!(registry.caller(), Caller::Master { .. }) {
            return None;
        }
        let contact = status.members.contacts.get(&leader)?;
        let client = self.entrance.masters.client(&format!("https://{contact}")).ok()?;
        tokio::time::timeout(LEADER_TIMEOUT, client.cluster_status()).await.ok()?.ok()
    }

    /// A master says where it serves. That it came is noted whether it is new or says so again: a master that is expected
    /// could come back after it was removed.
    async fn admitted(&self, change: Change) -> Result<(), Error> {
        let (Change::AddLearner { member, ref contact } | Change::Contact { member, ref contact }) = change else {
            return Err(Error::internal("this says nothing of where a master serves"));
        };
        self.registry.consensus().found_at(member, contact);
        if self.registry.status().members.contacts.get(&member) != Some(contact) {
            self.registry.change(change).await?;
        }
        self.registry.arrived(member.0).await
    }

    /// Carries out a change that the caller asks for.
    async fn change(&self, registry: &Registry, change: Change) -> Answer<services::ChangeResponse> {
        registry.change(change).await.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::ChangeResponse {}))
    }
}

#[tonic::async_trait]
impl Cluster for ClusterDoor {
    type BackupStream = Pin<Box<dyn Stream<Item = Result<services::BackupChunk, Status>> + Send>>;

    async fn status(&self, request: Request<services::ClusterStatusRequest>) -> Answer<services::ClusterStatus> {
        let registry = self.of(&request);
        registry.authorise(Access::SeeMasters).await.map_err(|error| to_tonic(&error))?;
        let mut own = registry.cluster_status();
        if let Some(leaders) = self.ask_leader(&registry).await {
            (own.members, own.warnings) = (leaders.members, leaders.warnings);
        }
        Ok(Response::new(own))
    }

    async fn admit(&self, request: Request<services::AdmitRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        registry.authorise(Access::Admit).await.map_err(|error| to_tonic(&error))?;
        let contact = request.into_inner().contact;
        let change = match *registry.caller() {
            Caller::Newcomer { member } => Change::AddLearner { member: MemberId(member), contact },
            Caller::Master { member } => Change::Contact { member: MemberId(member), contact },
            Caller::Cluster | Caller::Admin { .. } | Caller::Node { .. } | Caller::Nobody => {
                return Err(to_tonic(&Error::internal("only masters are admitted")));
            }
        };
        self.admitted(change).await.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::ChangeResponse {}))
    }

    async fn promote(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        self.change(&registry, Change::Promote(MemberId(request.into_inner().member))).await
    }

    async fn remove(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        let member = request.into_inner().member;
        let removed = self.change(&registry, Change::Remove(MemberId(member))).await?;
        // It may have added itself without anybody noting that it came.
        self.registry.arrived(member).await.map_err(|error| to_tonic(&error))?;
        Ok(removed)
    }

    async fn transfer_leader(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        let to = MemberId(request.into_inner().member);
        registry.transfer_leader(to).await.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::ChangeResponse {}))
    }

    async fn backup(&self, request: Request<services::BackupRequest>) -> Answer<Self::BackupStream> {
        let registry = self.of(&request);
        let file = registry.backup().await.map_err(|error| to_tonic(&error))?;
        let failed = |error: std::io::Error| to_tonic(&Error::internal(format!("reading the backup: {error}")));
        let opened = tokio::fs::File::open(file.path()).await.map_err(failed)?;
        let chunks = ReaderStream::with_capacity(opened, CHUNK_BYTES).map(move |chunk| {
            // The file lives as long as the stream.
            let _file = &file;
            chunk.map(|data| services::BackupChunk { data }).map_err(failed)
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn create_token(
        &self,
        request: Request<services::CreateTokenRequest>,
    ) -> Answer<services::CreateTokenResponse> {
        let registry = self.of(&request);
        let made = create_token(&registry, &self.entrance, &request.into_inner()).await;
        Ok(Response::new(made.map_err(|error| to_tonic(&error))?))
    }
}

async fn create_token(
    registry: &Registry,
    entrance: &Entrance,
    request: &services::CreateTokenRequest,
) -> Result<services::CreateTokenResponse, Error> {
    let role = match request.role() {
        services::Role::Master => JoinAs::Master,
        services::Role::Worker => JoinAs::Worker,
        services::Role::Unspecified => return Err(Error::bad_request("role: choose MASTER or WORKER")),
    };
    if role == JoinAs::Master && !request.node_name.is_empty() {
        return Err(Error::bad_request("node_name: only workers have one; leave it out for a master"));
    }
    let life = match request.ttl_seconds {
        0 => TOKEN_LIFE,
        seconds => Duration::from_secs(seconds),
    };
    if role == JoinAs::Master && !request.address.is_empty() {
        return Err(Error::bad_request("address: a master says itself where it serves; leave it out"));
    }
    let address = match request.address.as_str() {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| Error::bad_request(format!("address: {text:?} is not an IPv4 address")))?)
        }
    };
    let token = Token::generate(entrance.authority.pin()).map_err(Error::internal)?;
    let node = request.node_name.clone();
    let invitation = Invitation { id: token.id.clone(), secret_hash: token.secret_hash(), role, node, address };
    let ends = registry.invite(&invitation, life).await?;
    Ok(services::CreateTokenResponse { token: token.to_string(), expires: ends.to_string() })
}

impl Registry {
    /// What this master knows of the group.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        self.consensus().status().borrow().clone()
    }

    pub(crate) async fn change(&self, change: Change) -> Result<(), Error> {
        self.authorise(Access::Administer("change the group of masters")).await?;
        self.consensus().change(change).await.map(drop).map_err(|error| change_error(&error))
    }

    async fn transfer_leader(&self, to: MemberId) -> Result<(), Error> {
        self.authorise(Access::Administer("choose the leader")).await?;
        self.consensus().transfer_leader(to).await.map_err(|error| change_error(&error))
    }

    /// A consistent copy of the state, with everything that was acknowledged before.
    async fn backup(&self) -> Result<consensus::BackupFile, Error> {
        self.authorise(Access::Administer("make a backup")).await?;
        self.view(api::ReadAt::Latest).await?;
        self.consensus().backup().await.map_err(|error| Error::internal(format!("making the backup: {error}")))
    }

    fn cluster_status(&self) -> services::ClusterStatus {
        let status = self.status();
        let view = self.state();
        let quota = self.quota_bytes();
        let warnings = warnings(&status, view.bytes(), quota);
        services::ClusterStatus {
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
            objects: Kind::ALL.iter().map(|kind| view.count(*kind) as u64).sum(),
            bytes: view.bytes() as u64,
            quota_bytes: quota as u64,
            warnings,
        }
    }
}

fn members(status: &GroupStatus) -> Vec<services::Member> {
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

fn warnings(status: &GroupStatus, bytes: usize, quota: usize) -> Vec<String> {
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
    if status.role == RaftRole::Leader {
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
    if percent >= 80 {
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
