//! Whether what a token speaks of is there still. Asked with every request, so it only looks a few objects up.

use api::{Key, Kind, Timestamp};
use store::View;

use super::claims::{About, Named};

/// A Pod that ends may go on with its token for so long after it should have ended, in milliseconds: as in Kubernetes.
const POD_ENDING_MS: i64 = 60_000;

/// What is gone, in the words that complete "the token's … was deleted".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {kind} {name:?} was deleted, or made anew since")]
pub(crate) struct Gone {
    kind: Kind,
    name: String,
}

/// Allows a token whose account and what it is bound to are there. The node of a Pod's token only says where the Pod is.
pub(crate) fn check(view: &View, about: &About, now: Timestamp) -> Result<(), Gone> {
    let About { namespace, node, pod, secret, serviceaccount, warnafter: _ } = about;
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

/// An object that is the same, and whose end was not before some time.
fn present(view: &View, key: &Key, named: &Named, alive_at: Timestamp) -> Result<(), Gone> {
    let is_same = view.get(key).is_some_and(|record| {
        let object = record.object();
        object.metadata().is_some_and(|meta| {
            let ends = meta.deletion_timestamp.as_ref().map(Timestamp::from);
            meta.uid == named.uid && !named.uid.is_empty() && ends.is_none_or(|ends| ends > alive_at)
        })
    });
    let gone = || Gone { kind: key.kind, name: named.name.clone() };
    if is_same { Ok(()) } else { Err(gone()) }
}
