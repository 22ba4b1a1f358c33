//! Whose tokens are that somebody has shown to others: Kubernetes' TokenReview.

use api::{Error, Reason};

use super::claims::ISSUER;
use crate::{
    Registry,
    access::{Access, ResourceAttributes, User},
};

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Whose, and for which of the audiences that were asked about.
    pub whose: Result<(User, Vec<String>), String>,
}

impl Registry {
    /// Whether the caller may ask whose tokens are.
    ///
    /// # Errors
    /// If not.
    pub async fn may_review_tokens(&self) -> Result<(), Error> {
        let right = ResourceAttributes {
            verb: "create",
            group: "authentication.k8s.io",
            resource: "tokenreviews",
            ..ResourceAttributes::default()
        };
        self.authorise(Access::Resource(right)).await
    }

    /// Says whose a token is, if it is for one of some audiences; for masters themselves if none is named.
    ///
    /// # Errors
    /// If the caller may not ask, no token is given, or the masters cannot agree.
    pub async fn review_token(&self, token: &str, audiences: &[String]) -> Result<Reviewed, Error> {
        self.may_review_tokens().await?;
        if token.is_empty() {
            return Err(Error::bad_request("token is required for TokenReview in authentication: spec.token"));
        }
        let own = [ISSUER.to_owned()];
        let audiences = if audiences.is_empty() { &own } else { audiences };
        match self.authenticate_for(token, audiences).await {
            Ok(shown) => {
                let audiences = shown.claims().audiences(audiences).cloned().collect();
                Ok(Reviewed { whose: Ok((shown.user().clone(), audiences)) })
            }
            Err(error) if error.reason == Reason::Unauthorized => Ok(Reviewed { whose: Err(error.message) }),
            Err(error) => Err(error),
        }
    }
}
