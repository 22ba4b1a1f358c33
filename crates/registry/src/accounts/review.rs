//! Whose tokens are that somebody has shown to others: Kubernetes' TokenReview.

use api::{Error, Reason};

use super::claims::ISSUER;
use crate::{
    Registry,
    access::{Access, User},
};

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Whose, and for which of the audiences that were asked about.
    pub whose: Result<(User, Vec<String>), String>,
}

impl Registry {
    /// Says whose a token is, if it is for one of some audiences; for masters themselves if none is named.
    ///
    /// # Errors
    /// If the caller may not ask, no token is given, or the masters cannot agree.
    pub async fn review_token(&self, token: &str, audiences: &[String]) -> Result<Reviewed, Error> {
        self.authorise(Access::Administer("create resource \"tokenreviews\" in API group \"authentication.k8s.io\""))
            .await?;
        if token.is_empty() {
            return Err(Error::bad_request("token is required for TokenReview in authentication: spec.token"));
        }
        let own = [ISSUER.to_owned()];
        let audiences = if audiences.is_empty() { &own } else { audiences };
        match self.authenticate_for(token, audiences).await {
            Ok(shown) => {
                let audiences = shown.claims().audiences(audiences).cloned().collect();
                Ok(Reviewed { whose: Ok((shown.user(), audiences)) })
            }
            Err(error) if error.reason == Reason::Unauthorized => Ok(Reviewed { whose: Err(error.message) }),
            Err(error) => Err(error),
        }
    }
}
