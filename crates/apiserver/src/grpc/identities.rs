//! The gRPC service that says who callers are and makes tokens of ServiceAccounts.

use api::{
    Error, Key, Kind,
    authentication_v1::{
        ExtraValue, SelfSubjectReview, SelfSubjectReviewStatus, TokenRequest, TokenReview, TokenReviewStatus, UserInfo,
    },
};
use registry::{Registry, User};
use rpc::services::identities_server::Identities;
use tonic::{Request, Response};

use super::{Answer, refused, warned};
use crate::sender;

#[derive(Clone)]
pub(super) struct IdentityService {
    pub(super) registry: Registry,
}

impl IdentityService {
    /// The Registry for whoever sent a request.
    fn of<T>(&self, request: &Request<T>) -> Registry {
        self.registry.for_caller(sender::caller(request.extensions()))
    }
}

#[tonic::async_trait]
impl Identities for IdentityService {
    async fn create_token(&self, request: Request<TokenRequest>) -> Answer<TokenRequest> {
        let (registry, request) = (self.of(&request), request.into_inner());
        let named = request.metadata.clone().unwrap_or_default();
        for (field, text) in [("metadata.name", &named.name), ("metadata.namespace", &named.namespace)] {
            if text.is_empty() {
                return Err(refused(Error::bad_request(format!("{field}: name the account"))));
            }
        }
        let account = Key::namespaced(Kind::ServiceAccount, named.namespace, named.name);
        let (answered, warnings) = registry.create_token(&account, request).await.map_err(refused)?;
        Ok(warned(answered, warnings))
    }

    async fn review_token(&self, request: Request<TokenReview>) -> Answer<TokenReview> {
        let (registry, mut request) = (self.of(&request), request.into_inner());
        let spec = request.spec.clone().unwrap_or_default();
        let reviewed = registry.review_token(&spec.token, &spec.audiences).await.map_err(refused)?;
        request.status = Some(match reviewed.whose {
            Ok((user, audiences)) => {
                TokenReviewStatus { authenticated: true, user: Some(told(user)), audiences, ..Default::default() }
            }
            Err(error) => TokenReviewStatus { error, ..Default::default() },
        });
        Ok(Response::new(request))
    }

    async fn review_self(&self, request: Request<SelfSubjectReview>) -> Answer<SelfSubjectReview> {
        let user_info = Some(told(sender::caller(request.extensions()).described()));
        let status = Some(SelfSubjectReviewStatus { user_info });
        Ok(Response::new(SelfSubjectReview { status, ..request.into_inner() }))
    }
}

fn told(User { name: username, uid, groups, extra }: User) -> UserInfo {
    let extra = extra.into_iter().map(|(name, items)| (name, ExtraValue { items })).collect();
    UserInfo { username, uid, groups, extra }
}
