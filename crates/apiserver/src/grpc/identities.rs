//! The gRPC service that says who callers are and makes tokens of ServiceAccounts and Users.

use api::{
    Error, Key, Kind,
    authentication_v1::{SelfSubjectReview, SelfSubjectReviewStatus, TokenRequest, TokenReview},
};
use registry::Registry;
use rpc::services::identities_server::Identities;
use tonic::{Request, Response};

use super::{Answer, refused, warned};
use crate::{rest::review, sender};

#[derive(Clone)]
pub(super) struct IdentityService {
    pub(super) registry: Registry,
}

impl IdentityService {
    /// The Registry for whoever sent a request.
    fn of<T>(&self, request: &Request<T>) -> Registry {
        self.registry.for_caller(sender::caller(request.extensions()))
    }

    /// A token of an object of a kind, which the metadata name.
    async fn token_of(&self, kind: Kind, request: Request<TokenRequest>) -> Answer<TokenRequest> {
        let (registry, request) = (self.of(&request), request.into_inner());
        let named = request.metadata.clone().unwrap_or_default();
        let is_in_one = kind.info().namespaced;
        for (field, is_fit) in
            [("metadata.name", !named.name.is_empty()), ("metadata.namespace", named.namespace.is_empty() != is_in_one)]
        {
            if !is_fit {
                return Err(refused(Error::bad_request(format!("{field}: say which {kind} is meant"))));
            }
        }
        let whose = Key::namespaced(kind, named.namespace, named.name);
        let (answered, warnings) = registry.create_token(&whose, request).await.map_err(refused)?;
        Ok(warned(answered, warnings))
    }
}

#[tonic::async_trait]
impl Identities for IdentityService {
    async fn create_token(&self, request: Request<TokenRequest>) -> Answer<TokenRequest> {
        self.token_of(Kind::ServiceAccount, request).await
    }

    async fn create_user_token(&self, request: Request<TokenRequest>) -> Answer<TokenRequest> {
        self.token_of(Kind::User, request).await
    }

    async fn review_token(&self, request: Request<TokenReview>) -> Answer<TokenReview> {
        let (registry, mut request) = (self.of(&request), request.into_inner());
        let spec = request.spec.clone().unwrap_or_default();
        let reviewed = registry.review_token(&spec.token, &spec.audiences).await.map_err(refused)?;
        request.status = Some(review::shown_by(reviewed));
        Ok(Response::new(request))
    }

    async fn review_self(&self, request: Request<SelfSubjectReview>) -> Answer<SelfSubjectReview> {
        let user_info = Some(review::told(sender::caller(request.extensions()).described()));
        let status = Some(SelfSubjectReviewStatus { user_info });
        Ok(Response::new(SelfSubjectReview { status, ..request.into_inner() }))
    }
}
