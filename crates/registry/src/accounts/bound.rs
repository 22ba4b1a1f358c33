//! Whether what a token speaks of is there still. Asked with every request: what an answer rests on is remembered with it, so that
//! the next request only looks whether that has changed.

use api::{Key, Kind, Revision, Timestamp, core_v1, identity_v1};
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

/// What an answer rests on. While none of these objects has changed and none of their ends has come, it would be given again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grounds {
    objects: Vec<(Key, Revision)>,
    until: Option<Timestamp>,
}

impl Grounds {
    /// Whether they are the same still.
    pub(crate) fn hold(&self, view: &View, now: Timestamp) -> bool {
        let is_same =
            |(key, revision): &(Key, Revision)| view.get(key).is_some_and(|record| record.revision == *revision);
        self.until.is_none_or(|until| now < until) && self.objects.iter().all(is_same)
    }

    /// The answer rests on an object, too.
    pub(crate) fn add(&mut self, key: Key, revision: Revision) {
        self.objects.push((key, revision));
    }

    fn end_at(&mut self, end: Timestamp) {
        self.until = Some(self.until.map_or(end, |until| until.min(end)));
    }
}

/// Who shows a token, if what it speaks of is there, and what that rests on.
pub(crate) fn whose(view: &View, claims: &Claims, now: Timestamp) -> Result<(User, Grounds), Gone> {
    let mut grounds = Grounds::default();
    let groups = match &claims.about {
        About::Account(about) => look(view, about, now, &mut grounds).map(|()| Vec::new()),
        About::Secret(about) => stands(view, about, now, &mut grounds).map(|()| Vec::new()),
        About::User(user) => present_user(view, user, now, &mut grounds),
    }?;
    Ok((claims.user(&groups), grounds))
}

/// Allows a token whose account and what it is bound to are there.
pub(crate) fn check(view: &View, about: &OfAccount, now: Timestamp) -> Result<(), Gone> {
    look(view, about, now, &mut Grounds::default())
}

/// As [`check`]. The node of a Pod's token only says where the Pod is.
fn look(view: &View, about: &OfAccount, now: Timestamp, grounds: &mut Grounds) -> Result<(), Gone> {
    let OfAccount { namespace, node, pod, secret, serviceaccount, warnafter: _ } = about;
    let key = |kind, named: &Named| Key::namespaced(kind, namespace.clone(), named.name.clone());
    present(view, &key(Kind::ServiceAccount, serviceaccount), serviceaccount, (now, 0), grounds)?;
    if let Some(secret) = secret {
        present(view, &key(Kind::Secret, secret), secret, (now, 0), grounds)?;
    }
    match (pod, node) {
        (Some(pod), _) => present(view, &key(Kind::Pod, pod), pod, (now, POD_ENDING_MS), grounds),
        (None, Some(node)) => present(view, &Key::cluster(Kind::Node, node.name.as_str()), node, (now, 0), grounds),
        (None, None) => Ok(()),
    }
}

/// Allows a token that stands in its Secret, and whose account is there.
fn stands(view: &View, about: &OfSecret, now: Timestamp, grounds: &mut Grounds) -> Result<(), Gone> {
    let OfSecret { namespace, account, secret, token } = about;
    let key = |kind, name: &str| Key::namespaced(kind, namespace.clone(), name);
    present(view, &key(Kind::ServiceAccount, &account.name), account, (now, 0), grounds)?;
    let gone = || Gone::Object { kind: Kind::Secret, name: secret.clone() };
    let record = view.get(&key(Kind::Secret, secret)).ok_or_else(gone)?;
    let stands = record.object().get::<core_v1::Secret>().is_some_and(|secret| {
        let goes = secret.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_some());
        !goes && secret.data.get(TOKEN).is_some_and(|known| *known == token.as_bytes())
    });
    grounds.add(record.key.clone(), record.revision);
    if stands { Ok(()) } else { Err(gone()) }
}

/// The groups of a User that is the same, is not being deleted, and whose time is not over.
fn present_user(view: &View, named: &Named, now: Timestamp, grounds: &mut Grounds) -> Result<Vec<String>, Gone> {
    let key = Key::cluster(Kind::User, named.name.as_str());
    present(view, &key, named, (now, 0), grounds)?;
    let object = view.get(&key).map(|record| record.object());
    let spec = object.as_ref().and_then(|object| object.get::<identity_v1::User>()?.spec.clone()).unwrap_or_default();
    match spec.expiration_timestamp.as_ref().map(Timestamp::from) {
        Some(end) if end <= now => Err(Gone::Expired { name: named.name.clone() }),
        end => {
            end.into_iter().for_each(|end| grounds.end_at(end));
            Ok(spec.groups)
        }
    }
}

/// An object that is the same, and whose end was not more than some milliseconds before now.
fn present(
    view: &View,
    key: &Key,
    named: &Named,
    (now, grace_ms): (Timestamp, i64),
    grounds: &mut Grounds,
) -> Result<(), Gone> {
    let gone = || Gone::Object { kind: key.kind, name: named.name.clone() };
    let record = view.get(key).ok_or_else(gone)?;
    let object = record.object();
    let meta = object.metadata().ok_or_else(gone)?;
    let deleted = meta.deletion_timestamp.as_ref().map(Timestamp::from);
    let end = deleted.map(|deleted| Timestamp(deleted.0.saturating_add(grace_ms)));
    let is_same = meta.uid == named.uid && !named.uid.is_empty() && end.is_none_or(|end| now < end);
    grounds.add(record.key.clone(), record.revision);
    end.into_iter().for_each(|end| grounds.end_at(end));
    if is_same { Ok(()) } else { Err(gone()) }
}
