//! Whether what a token speaks of is there still. Asked with every request, so it only looks a few objects up.

use api::{Key, Kind, Timestamp, core_v1, identity_v1};
use store::View;

use super::{
    claims::{About, Claims, Named, OfAccount, OfSecret},
    secrets::TOKEN,
};
use crate::access::User;

/// A Pod that ends may go on with its token for so long after it should have ended, in milliseconds: as in Kubernetes.
const POD_ENDING_MS: i64 = 60_000;

/// What is gone, in the words that complete "the token does not count:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gone {
    /// An object, or this one of all that had its name.
    #[error("its {kind} {name:?} was deleted, or made anew since")]
    Object {
        /// The object's kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A User's time is over.
    #[error("its User {name:?} has expired: somebody who may must set another spec.expirationTimestamp")]
    Expired {
        /// The User's name.
        name: String,
    },
}

/// Who shows a token, if what it speaks of is there.
pub(crate) fn whose(view: &View, claims: &Claims, now: Timestamp) -> Result<User, Gone> {
    match &claims.about {
        About::Account(about) => check(view, about, now).map(|()| claims.user(&[])),
        About::Secret(about) => stands(view, about, now).map(|()| claims.user(&[])),
        About::User(user) => present_user(view, user, now).map(|groups| claims.user(&groups)),
    }
}

/// Allows a token whose account and what it is bound to are there. The node of a Pod's token only says where the Pod is.
pub(crate) fn check(view: &View, about: &OfAccount, now: Timestamp) -> Result<(), Gone> {
    let OfAccount { namespace, node, pod, secret, serviceaccount, warnafter: _ } = about;
    let key = |kind, named: &Named| Key::namespaced(kind, namespace.clone(), named.name.clone());
    present(view, &key(Kind::ServiceAccount, serviceaccount), serviceaccount, now)?;
    if let Some(secret) = secret {
        present(view, &key(Kind::Secret, secret), secret, now)?;
    }
    match (pod, node) {
        (Some(pod), _) => present(view, &key(Kind::Pod, pod), pod, Timestamp(now.0.saturating_sub(POD_ENDING_MS))),
        (None, Some(node)) => present(view, &Key::cluster(Kind::Node, node.name.as_str()), node, now),
        (None, None) => Ok(()),
    }
}

/// Allows a token that stands in its Secret, and whose account is there.
fn stands(view: &View, about: &OfSecret, now: Timestamp) -> Result<(), Gone> {
    let OfSecret { namespace, account, secret, token } = about;
    let key = |kind, name: &str| Key::namespaced(kind, namespace.clone(), name);
    present(view, &key(Kind::ServiceAccount, &account.name), account, now)?;
    let record = view.get(&key(Kind::Secret, secret)).map(|record| record.object());
    let stands = record.as_ref().and_then(|object| object.get::<core_v1::Secret>()).is_some_and(|secret| {
        let goes = secret.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_some());
        !goes && secret.data.get(TOKEN).is_some_and(|known| *known == token.as_bytes())
    });
    if stands { Ok(()) } else { Err(Gone::Object { kind: Kind::Secret, name: secret.clone() }) }
}

/// The groups of a User that is the same, is not being deleted, and whose time is not over.
fn present_user(view: &View, named: &Named, now: Timestamp) -> Result<Vec<String>, Gone> {
    let key = Key::cluster(Kind::User, named.name.as_str());
    present(view, &key, named, now)?;
    let object = view.get(&key).map(|record| record.object());
    let spec = object.as_ref().and_then(|object| object.get::<identity_v1::User>()?.spec.clone()).unwrap_or_default();
    match spec.expiration_timestamp.as_ref().map(Timestamp::from) {
        Some(end) if end <= now => Err(Gone::Expired { name: named.name.clone() }),
        Some(_) | None => Ok(spec.groups),
    }
}

/// An object that is the same, and whose end was not before some time.
fn present(view: &View, key: &Key, named: &Named, alive_at: Timestamp) -> Result<(), Gone> {
    let is_same = view.get(key).is_some_and(|record| {
        let object = record.object();
        object.metadata().is_some_and(|meta| {
            let ends = meta.deletion_timestamp.as_ref().map(Timestamp::from);
            meta.uid == named.uid && !named.uid.is_empty() && ends.is_none_or(|ends| ends > alive_at)
        })
    });
    let gone = || Gone::Object { kind: key.kind, name: named.name.clone() };
    if is_same { Ok(()) } else { Err(gone()) }
}
