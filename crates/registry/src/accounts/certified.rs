//! Who shows the certificate of a Pod: whoever shows a token that is bound to it, by other means. TLS has proven that the owner has
//! the key; that the Pod is there is asked of the state with each request, as of tokens.

use std::sync::Arc;

use api::{Error, ReadAt, Reason, x509::PodIdentity};
use store::View;

use super::{
    Authenticated,
    bound::{self, Gone},
    claims::{About, Claims, ISSUER, Named, OfAccount},
};
use crate::{Registry, access::Caller};

impl Registry {
    /// A caller who has shown the certificate of a Pod, if that counts as far as this master knows; `None` if it must find out.
    #[must_use]
    pub fn recognise_pod(&self, caller: &Arc<Caller>, pod: &PodIdentity) -> Option<Authenticated> {
        self.certified(&self.state(), caller, pod).ok()
    }

    /// A caller who has shown the certificate of a Pod, if that counts.
    ///
    /// # Errors
    /// 401 if what the certificate speaks of is gone; 503 if the masters cannot agree on that at the moment.
    pub async fn authenticate_pod(&self, caller: &Arc<Caller>, pod: &PodIdentity) -> Result<Authenticated, Error> {
        // This master may not have heard yet of a Pod that another one has just made.
        let view = self.view(ReadAt::Latest).await?;
        self.certified(&view, caller, pod).map_err(|gone| {
            Error::new(Reason::Unauthorized, format!("Unauthorized: the certificate of a Pod does not count: {gone}"))
        })
    }

    fn certified(&self, view: &View, caller: &Arc<Caller>, pod: &PodIdentity) -> Result<Authenticated, Gone> {
        let claims = Arc::new(claims(pod));
        let (user, grounds) = bound::whose(view, &claims, self.now())?;
        let user = if let Caller::User(user) = &**caller { user.clone() } else { Arc::new(user) };
        Ok(Authenticated::new(caller.clone(), user, claims, grounds))
    }
}

/// What the certificate says, in the words of a token. When it ends TLS knows.
fn claims(pod: &PodIdentity) -> Claims {
    let named = |name: &String, uid: &String| Named { name: name.clone(), uid: uid.clone() };
    let about = OfAccount {
        namespace: pod.namespace.clone(),
        node: Some(named(&pod.node_name, &pod.node_uid)),
        pod: Some(named(&pod.pod_name, &pod.pod_uid)),
        secret: None,
        serviceaccount: named(&pod.service_account_name, &pod.service_account_uid),
        warnafter: None,
    };
    Claims { aud: vec![ISSUER.to_owned()], exp: i64::MAX, iat: 0, jti: String::new(), about: About::Account(about) }
}
