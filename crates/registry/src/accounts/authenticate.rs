//! Who shows a token: asked with each request, of the state as this master knows it.

use std::{sync::Arc, time::Duration};

use api::{Error, ReadAt, Reason};
use store::View;
use tokio::time::timeout;

use super::{
    bound::{self, Grounds},
    claims::{Claims, ISSUER},
    jose::BadToken,
    keys,
};
use crate::{
    Registry,
    access::{Caller, User},
};

/// How often an answer without end looks whether its caller still is somebody, beside when anything is deleted.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Who has shown a token, or what counts as long as one would.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who it is.
    pub caller: Arc<Caller>,
    user: Arc<User>,
    claims: Arc<Claims>,
    /// Why it counts.
    grounds: Arc<Grounds>,
}

impl Authenticated {
    pub(super) fn new(caller: Arc<Caller>, user: Arc<User>, claims: Arc<Claims>, grounds: Grounds) -> Self {
        Self { caller, user, claims, grounds: Arc::new(grounds) }
    }

    pub(super) fn user(&self) -> &User {
        &self.user
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Registry {
    /// Who shows a token of a ServiceAccount or User to a master, as far as this one knows; `None` if it must find out, or if the token does
    /// not count.
    #[must_use]
    pub fn recognise(&self, token: &str) -> Option<Authenticated> {
        self.known(&self.state(), token, &[ISSUER]).ok()
    }

    /// Whether somebody who has shown something to this master before may show it again: nothing of why it counted has changed.
    /// If not, it must be found out anew.
    #[must_use]
    pub fn counts_still(&self, shown: &Authenticated) -> bool {
        let now = self.now();
        shown.grounds.hold(&self.state(), now) && shown.claims.check(now, &[ISSUER]).is_ok()
    }

    /// Who shows a token of a ServiceAccount or User to a master.
    ///
    /// # Errors
    /// 401 if it is none of this cluster, is for others, has ended, or what it speaks of is gone; 503 if the masters cannot agree
    /// on that at the moment.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated, Error> {
        self.authenticate_for(token, &[ISSUER]).await
    }

    /// As [`Registry::authenticate`], for one of some audiences.
    ///
    /// This master may not have heard yet of what another one has just made: before a token is refused whose shape is right, it
    /// catches up with the others.
    pub(super) async fn authenticate_for(
        &self,
        token: &str,
        audiences: &[impl AsRef<str> + Sync],
    ) -> Result<Authenticated, Error> {
        match self.known(&self.state(), token, audiences) {
            Err(Unknown::ForNow(_)) => {
                let view = self.view(ReadAt::Latest).await?;
                self.known(&view, token, audiences).map_err(Unknown::told)
            }
            known => known.map_err(Unknown::told),
        }
    }

    fn known(&self, view: &View, token: &str, audiences: &[impl AsRef<str>]) -> Result<Authenticated, Unknown> {
        let keys = self.keys_in(view).map_err(|error| Unknown::ForNow(error.message))?;
        let claims = keys.claims(token).map_err(|bad| match bad {
            BadToken::UnknownKey => Unknown::ForNow(bad.to_string()),
            BadToken::TooLong
            | BadToken::NotCompact
            | BadToken::Header
            | BadToken::Signature
            | BadToken::Claims
            | BadToken::Issuer => Unknown::ForGood(bad.to_string()),
        })?;
        let now = self.now();
        claims.check(now, audiences).map_err(|refused| Unknown::ForGood(refused.to_string()))?;
        let (user, mut grounds) = bound::whose(view, &claims, now).map_err(|gone| Unknown::ForNow(gone.to_string()))?;
        grounds.add(keys::key(), keys.revision());
        let user = Arc::new(user);
        Ok(Authenticated::new(Arc::new(Caller::User(user.clone())), user, claims, grounds))
    }

    /// Waits until what somebody's token speaks of is gone, or is in fewer groups than it was. The end of the token alone ends
    /// nothing that has begun, as in Kubernetes.
    pub async fn until_revoked(&self, shown: &Authenticated) {
        let mut news = self.inner.presence.subscribe();
        let was = &shown.user().groups;
        let mut grounds = shown.grounds.clone();
        let mut counts = || {
            let (view, now) = (self.state(), self.now());
            if grounds.hold(&view, now) {
                return true;
            }
            let Ok((user, found)) = bound::whose(&view, &shown.claims, now) else { return false };
            grounds = Arc::new(found);
            was.iter().all(|group| user.groups.contains(group))
        };
        while counts() {
            // The sender lives as long as this Registry.
            let _ = timeout(LOOK_EVERY, news.changed()).await;
        }
    }
}

/// Why a token is nobody's.
enum Unknown {
    /// What this master has not heard of yet could change that.
    ForNow(String),
    /// Nothing could.
    ForGood(String),
}

impl Unknown {
    fn told(self) -> Error {
        let (Self::ForNow(why) | Self::ForGood(why)) = self;
        Error::new(Reason::Unauthorized, format!("Unauthorized: the bearer token does not count: {why}"))
    }
}
