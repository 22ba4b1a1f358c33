//! The gRPC service of operators.

use std::{pin::Pin, time::Duration};

use api::Error;
use futures::{Stream, StreamExt as _};
use registry::{Caller, Invitation, JoinAs, Registry, TOKEN_LIFE};
use rpc::{
    identity::Token,
    services::{self, cluster_server::Cluster},
    status::to_tonic,
};
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status};

use super::join::Entrance;
use crate::sender;

/// How much of a backup is sent in one message, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How long the leader may take to say how the members do.
const LEADER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct ClusterService {
    pub(super) registry: Registry,
    pub(super) entrance: Entrance,
}

type Answer<T> = Result<Response<T>, Status>;

impl ClusterService {
    fn of<T>(&self, request: &Request<T>) -> Registry {
        self.registry.for_caller(sender::caller(request.extensions()))
    }

    /// Only the leader knows how the members do. A master that asks is answered with what there is, so that two that take
    /// each other for the leader do not ask each other for ever.
    async fn ask_leader(&self, registry: &Registry) -> Option<services::ClusterStatus> {
        if matches!(registry.caller(), Caller::Master { .. }) {
            return None;
        }
        let contact = registry.other_leader()?;
        let client = self.entrance.masters.client(&format!("https://{contact}")).ok()?;
        tokio::time::timeout(LEADER_TIMEOUT, client.cluster_status()).await.ok()?.ok()
    }
}

fn changed(change: Result<(), Error>) -> Answer<services::ChangeResponse> {
    change.map(|()| Response::new(services::ChangeResponse {})).map_err(|error| to_tonic(&error))
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    type BackupStream = Pin<Box<dyn Stream<Item = Result<services::BackupChunk, Status>> + Send>>;

    async fn status(&self, request: Request<services::ClusterStatusRequest>) -> Answer<services::ClusterStatus> {
        let registry = self.of(&request);
        let mut own = registry.cluster_status().await.map_err(|error| to_tonic(&error))?;
        if let Some(leaders) = self.ask_leader(&registry).await {
            (own.members, own.warnings) = (leaders.members, leaders.warnings);
        }
        Ok(Response::new(own))
    }

    async fn admit(&self, request: Request<services::AdmitRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        changed(registry.admit(request.into_inner().contact).await)
    }

    async fn promote(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        changed(registry.promote(request.into_inner().member).await)
    }

    async fn remove(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        changed(registry.remove(request.into_inner().member).await)
    }

    async fn transfer_leader(&self, request: Request<services::ChangeRequest>) -> Answer<services::ChangeResponse> {
        let registry = self.of(&request);
        changed(registry.transfer_leader(request.into_inner().member).await)
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
