//! Tokens for joining: each lets one master or worker in, once and for a short time.
//!
//! A token is a Secret of the type and place that kubeadm's bootstrap tokens have, so that `kubectl -n kube-system get
//! secrets` shows who may still join, and deleting it withdraws it. It holds a hash: who reads it cannot join with it.

use std::{collections::BTreeMap, time::Duration};

use api::{
    DeleteOptions, Error, Key, Kind, Object, ReadAt, Reason, Timestamp, Write, core_v1::Secret, kinds::Resource as _,
};

use super::{Registry, WriteOptions};
use crate::{access::Access, caller::Caller};

/// Where bootstrap tokens are, in Kubernetes too.
const NAMESPACE: &str = "kube-system";

/// Begins the name of a token's Secret, in Kubernetes too.
const NAME_PREFIX: &str = "bootstrap-token-";

/// The type of a token's Secret, in Kubernetes too.
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// The longest life of a token. Longer ones are forgotten in somebody's shell history.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The life of a token whose maker says nothing.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// As what somebody may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAs {
    /// As a master.
    Master,
    /// As a worker.
    Worker,
}

impl JoinAs {
    fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
        }
    }
}

/// Who may join with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The public half of the token.
    pub id: String,
    /// SHA-256 of its secret half, in hexadecimal.
    pub secret_hash: String,
    /// As what.
    pub role: JoinAs,
    /// The only node that may join with it; empty for any.
    pub node: String,
}

impl Registry {
    /// Lets whoever has a token join. Answers when it ends. Tokens that have ended are removed on the way.
    ///
    /// # Errors
    /// If the caller is no administrator, the life is zero or above [`TOKEN_LIFE_MAX`], or the masters cannot agree.
    pub async fn invite(&self, invitation: &Invitation, life: Duration) -> Result<Timestamp, Error> {
        self.authorise(Access::Administer("create tokens")).await?;
        if life.is_zero() || life > TOKEN_LIFE_MAX {
            let days = TOKEN_LIFE_MAX.as_secs() / 86_400;
            return Err(Error::bad_request(format!("ttl: give a time between 1s and {days} days")));
        }
        self.sweep_tokens().await?;
        let ends = self.now().after(life);
        self.submit(Write::Create(secret(invitation, ends)), WriteOptions::default()).await?;
        Ok(ends)
    }

    /// Uses a token up. Of several that try at the same moment one succeeds.
    ///
    /// # Errors
    /// If there is no such token, it has ended, it is for something else, or the masters cannot agree. Whoever asks is not
    /// told which half was wrong.
    pub async fn redeem(&self, used: &Invitation) -> Result<(), Error> {
        let myself = self.for_caller(Caller::Cluster);
        let key = Key::namespaced(Kind::Secret, NAMESPACE, format!("{NAME_PREFIX}{}", used.id));
        let object = match myself.get(&key, ReadAt::Latest).await {
            Err(error) if error.reason == Reason::NotFound => return Err(unknown()),
            other => other?.object(),
        };
        let stored: &Secret = object.get().ok_or_else(unknown)?;
        check(stored, used, self.now())?;
        let options = DeleteOptions { uid: Some(stored.uid().to_owned()), ..DeleteOptions::default() };
        match myself.submit(Write::Delete(key, options), WriteOptions::default()).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.reason, Reason::NotFound | Reason::Conflict) => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    async fn sweep_tokens(&self) -> Result<(), Error> {
        let now = self.now();
        let view = self.view(ReadAt::Latest).await?;
        let is_over = |secret: &Secret| secret.r#type == TYPE && ends(secret).is_some_and(|ends| ends <= now);
        let writes = view.list(Kind::Secret, Some(NAMESPACE), None).filter_map(|record| {
            let object = record.object();
            let secret = object.get::<Secret>().filter(|secret| is_over(secret))?;
            let options = DeleteOptions { uid: Some(secret.uid().to_owned()), ..DeleteOptions::default() };
            Some(Write::Delete(Key::namespaced(Kind::Secret, NAMESPACE, secret.name()), options))
        });
        // One that somebody else has just removed is gone as well.
        self.submit_all(writes.collect()).await;
        Ok(())
    }
}

fn secret(invitation: &Invitation, ends: Timestamp) -> Object {
    let Invitation { id, secret_hash, role, node } = invitation;
    let mut secret = Secret { r#type: TYPE.to_owned(), ..Secret::default() };
    secret.metadata_mut().name = format!("{NAME_PREFIX}{id}");
    NAMESPACE.clone_into(&mut secret.metadata_mut().namespace);
    let data = [
        ("token-id", id.clone()),
        ("token-secret-sha256", secret_hash.clone()),
        ("expiration", ends.to_string()),
        ("role", role.word().to_owned()),
        ("node", node.clone()),
    ];
    secret.data = data.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect::<BTreeMap<_, _>>();
    secret.into()
}

fn text<'a>(secret: &'a Secret, key: &str) -> &'a str {
    secret.data.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

fn ends(secret: &Secret) -> Option<Timestamp> {
    text(secret, "expiration").parse().ok()
}

fn check(stored: &Secret, used: &Invitation, now: Timestamp) -> Result<(), Error> {
    let is_same = text(stored, "token-secret-sha256") == used.secret_hash && stored.r#type == TYPE;
    if !is_same || ends(stored).is_none_or(|ends| ends <= now) {
        return Err(unknown());
    }
    let (role, node) = (text(stored, "role"), text(stored, "node"));
    if role != used.role.word() {
        let message = format!("the token is for joining as a {role}, not as a {}", used.role.word());
        return Err(Error::new(Reason::Forbidden, message));
    }
    if !node.is_empty() && node != used.node {
        let message =
            format!("the token is for the node {node:?}, not for {:?}: start it with --node-name {node}", used.node);
        return Err(Error::new(Reason::Forbidden, message));
    }
    Ok(())
}

fn unknown() -> Error {
    let message = "the token is not known: it was used, has ended or was mistyped; make a new one on a master with \
                   `kapelle token create`";
    Error::new(Reason::Unauthorized, message)
}
