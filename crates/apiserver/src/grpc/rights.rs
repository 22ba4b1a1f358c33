//! The gRPC service that says who may do what.

use api::{
    Error,
    authorization_v1::{
        LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
    },
};
use registry::Registry;
use rpc::services::rights_server::Rights;
use tonic::{Request, Response};

use super::{Answer, refused};
use crate::{rights, sender};

#[derive(Clone)]
pub(super) struct RightsService {
    pub(super) registry: Registry,
}

impl RightsService {
    /// The Registry for whoever asks, and the question.
    fn of<T>(&self, request: Request<T>) -> (Registry, T) {
        (self.registry.for_caller(sender::caller(request.extensions())), request.into_inner())
    }
}

#[tonic::async_trait]
impl Rights for RightsService {
    async fn review(&self, request: Request<SubjectAccessReview>) -> Answer<SubjectAccessReview> {
        let (registry, mut review) = self.of(request);
        rights::may_ask(&registry, "").await.map_err(refused)?;
        let spec = review.spec.clone().unwrap_or_default();
        review.status = Some(rights::of_others(&registry, &spec, "").map_err(refused)?);
        Ok(Response::new(review))
    }

    async fn review_local(&self, request: Request<LocalSubjectAccessReview>) -> Answer<LocalSubjectAccessReview> {
        let (registry, mut review) = self.of(request);
        let namespace = review.metadata.clone().unwrap_or_default().namespace;
        if namespace.is_empty() {
            return Err(refused(Error::bad_request("metadata.namespace: name the namespace that is asked about")));
        }
        rights::may_ask(&registry, &namespace).await.map_err(refused)?;
        let spec = review.spec.clone().unwrap_or_default();
        review.status = Some(rights::of_others(&registry, &spec, &namespace).map_err(refused)?);
        Ok(Response::new(review))
    }

    async fn review_self(&self, request: Request<SelfSubjectAccessReview>) -> Answer<SelfSubjectAccessReview> {
        let (registry, mut review) = self.of(request);
        let spec = review.spec.clone().unwrap_or_default();
        review.status = Some(rights::own(&registry, &spec).map_err(refused)?);
        Ok(Response::new(review))
    }

    async fn review_self_rules(&self, request: Request<SelfSubjectRulesReview>) -> Answer<SelfSubjectRulesReview> {
        let (registry, mut review) = self.of(request);
        let namespace = review.spec.clone().unwrap_or_default().namespace;
        review.status = Some(rights::own_rules(&registry, &namespace).map_err(refused)?);
        Ok(Response::new(review))
    }
}
