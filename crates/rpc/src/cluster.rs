//! Operators' requests, and joining.

use std::sync::Arc;

use api::Error;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};

use crate::{
    Client, MESSAGE_BYTES_MAX, Security,
    client::Repeat,
    identity::{Token, pinned_client},
    security::Channel,
    services::{
        AdmitRequest, BackupRequest, ChangeRequest, ClusterStatus, ClusterStatusRequest, CreateTokenRequest,
        CreateTokenResponse, JoinRequest, JoinResponse, RenewRequest, cluster_client::ClusterClient,
        join_client::JoinClient,
    },
    status,
};

/// Joins a cluster through whichever of some masters answers. Each must prove with its certificate that it belongs to the
/// token's cluster before anything is sent.
///
/// # Errors
/// If no master answers or belongs to the cluster, or the token is not accepted.
pub async fn join(masters: &[String], token: &Token, mut request: JoinRequest) -> Result<JoinResponse, Error> {
    request.token_id.clone_from(&token.id);
    request.token_secret.clone_from(&token.secret);
    let client = Client::connect_with(masters, Security::Joining(Arc::clone(&pinned_client(token.pin))))?;
    let send = |mut client: JoinClient<Channel>, request| async move { client.join(request).await };
    client.ask(Repeat::IfNotDone, JoinClient::new, request, send).await
}

type Operators = ClusterClient<Channel>;

fn cluster(channel: Channel) -> Operators {
    ClusterClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

impl Client {
    /// A new certificate under the name of the present one. `request` is a PKCS#10 request in DER.
    ///
    /// # Errors
    /// If no master answers or the request is malformed.
    pub async fn renew(&self, request: Vec<u8>) -> Result<String, Error> {
        let request = RenewRequest { certificate_request: request.into() };
        let send = |mut client: JoinClient<Channel>, request| async move { client.renew(request).await };
        Ok(self.ask(Repeat::Always, JoinClient::new, request, send).await?.certificate_chain)
    }

    /// What a master knows of the group.
    ///
    /// # Errors
    /// If no master answers.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        let request = ClusterStatusRequest {};
        let send = |mut client: Operators, request| async move { client.status(request).await };
        self.ask(Repeat::Always, cluster, request, send).await
    }

    /// Says where this master serves, so that the others can reach it: it becomes a learner if it is none yet.
    ///
    /// # Errors
    /// If no master answers, or another change is under way.
    pub async fn admit(&self, contact: &str) -> Result<(), Error> {
        let request = AdmitRequest { contact: contact.to_owned() };
        let send = |mut client: Operators, request| async move { client.admit(request).await };
        self.ask(Repeat::Always, cluster, request, send).await.map(drop)
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// If no master answers, or the change is refused.
    pub async fn promote(&self, member: u64) -> Result<(), Error> {
        let request = ChangeRequest { member };
        let send = |mut client: Operators, request| async move { client.promote(request).await };
        self.ask(Repeat::Always, cluster, request, send).await.map(drop)
    }

    /// Removes a member for ever.
    ///
    /// # Errors
    /// As [`Client::promote`].
    pub async fn remove_member(&self, member: u64) -> Result<(), Error> {
        let request = ChangeRequest { member };
        let send = |mut client: Operators, request| async move { client.remove(request).await };
        self.ask(Repeat::Always, cluster, request, send).await.map(drop)
    }

    /// Makes another member the leader.
    ///
    /// # Errors
    /// As [`Client::promote`].
    pub async fn transfer_leader(&self, member: u64) -> Result<(), Error> {
        let request = ChangeRequest { member };
        let send = |mut client: Operators, request| async move { client.transfer_leader(request).await };
        self.ask(Repeat::Always, cluster, request, send).await.map(drop)
    }

    /// Streams a consistent copy of the state.
    ///
    /// # Errors
    /// If no master answers.
    pub async fn backup(&self) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>, Error> {
        let request = BackupRequest {};
        let send = |mut client: Operators, request| async move { client.backup(request).await };
        let chunks = self.ask(Repeat::Always, cluster, request, send).await?;
        Ok(chunks.map(|chunk| chunk.map(|chunk| chunk.data).map_err(|error| status::from_tonic(&error))))
    }

    /// Makes a token with which one master or worker may join.
    ///
    /// # Errors
    /// If no master answers, or the life is not allowed.
    pub async fn create_token(&self, request: CreateTokenRequest) -> Result<CreateTokenResponse, Error> {
        let send = |mut client: Operators, request| async move { client.create_token(request).await };
        self.ask(Repeat::IfNotDone, cluster, request, send).await
    }
}
