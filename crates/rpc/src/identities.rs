//! Requests about who somebody is, and what somebody may do.

use api::{
    Error, Key, Kind,
    authentication_v1::{TokenRequest, TokenRequestSpec, TokenRequestStatus},
    authorization_v1::{SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus},
    meta_v1,
};

use crate::{
    Client,
    client::Repeat,
    security::Channel,
    services::{identities_client::IdentitiesClient, rights_client::RightsClient},
};

impl Client {
    /// Makes a token of a ServiceAccount or a User, of a sort.
    ///
    /// # Errors
    /// If the caller may not, what is asked for cannot be, or no master answers.
    pub async fn request_token(&self, whose: &Key, spec: TokenRequestSpec) -> Result<TokenRequestStatus, Error> {
        let metadata = meta_v1::ObjectMeta {
            name: whose.name.to_string(),
            namespace: whose.namespace.to_string(),
            ..meta_v1::ObjectMeta::default()
        };
        let request = TokenRequest { metadata: Some(metadata), spec: Some(spec), status: None };
        let is_of_user = whose.kind == Kind::User;
        let send = |mut client: IdentitiesClient<Channel>, request| async move {
            if is_of_user { client.create_user_token(request).await } else { client.create_token(request).await }
        };
        let answer = self.ask(Repeat::Always, IdentitiesClient::new, request, send).await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Asks whether somebody may do something, and why.
    ///
    /// # Errors
    /// If the caller may not ask that, the question makes no sense, or no master answers.
    pub async fn review_access(&self, spec: SubjectAccessReviewSpec) -> Result<SubjectAccessReviewStatus, Error> {
        let request = SubjectAccessReview { spec: Some(spec), ..SubjectAccessReview::default() };
        let send = |mut client: RightsClient<Channel>, request| async move { client.review(request).await };
        let answer = self.ask(Repeat::Always, RightsClient::new, request, send).await?;
        Ok(answer.status.unwrap_or_default())
    }
}
