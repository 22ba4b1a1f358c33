//! Tokens for joining: each lets one master or worker in, once and for a short time.
//!
//! A token is a Secret of the type and in the namespace that kubeadm's bootstrap tokens have, so that
//! `kubectl -n kube-system get secrets` shows who may still join, and deleting it withdraws it. It holds a hash: who reads it
//! cannot join with it.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use api::{
    DeleteOptions, Error, Key, Kind, Object, ReadAt, Reason, Timestamp, Write, core_v1::Secret, kinds::Resource as _,
    well_known::SYSTEM_NAMESPACE,
};
use store::{Expect, Op, Record, View};

use crate::{Registry, access::Access, write::WriteOptions};

/// Where bootstrap tokens are, in Kubernetes too.
const NAMESPACE: &str = SYSTEM_NAMESPACE;

/// Begins the name of a token's Secret, in Kubernetes too.
const NAME_PREFIX: &str = "bootstrap-token-";

/// The type of a token's Secret, in Kubernetes too.
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// Begins the name of the Secret that says that a master is expected.
const EXPECTED_PREFIX: &str = "bootstrap-master-";

/// The type of that Secret.
const EXPECTED_TYPE: &str = "kapelle.dev/expected-master";

/// How long a master that was let in may take to arrive: one that stopped in between comes back within a day, or joins anew.
const EXPECTED_LIFE: Duration = Duration::from_secs(24 * 3600);

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
    /// The only node that may join with it, also one that exists; empty for any that does not exist.
    pub node: String,
    /// The address under which the node is reached; `None` for the one that it connects from.
    pub address: Option<Ipv4Addr>,
}

/// A token as a newcomer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The public half.
    pub id: String,
    /// SHA-256 of the secret half, in hexadecimal.
    pub secret_hash: String,
}

/// For what a token is good.
#[derive(Debug)]
pub(crate) struct Terms {
    /// As in [`Invitation`].
    pub(crate) node: String,
    /// As in [`Invitation`].
    pub(crate) address: Option<Ipv4Addr>,
    /// What uses it up, once.
    pub(crate) spent: Op,
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

    async fn sweep_tokens(&self) -> Result<(), Error> {
        let now = self.now();
        let view = self.view(ReadAt::Latest).await?;
        let is_ours = |secret: &Secret| matches!(secret.r#type.as_str(), TYPE | EXPECTED_TYPE);
        let is_over = |secret: &Secret| is_ours(secret) && ends(secret).is_some_and(|ends| ends <= now);
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
    let Invitation { id, secret_hash, role, node, address } = invitation;
    let data = [
        ("token-id", id.clone()),
        ("token-secret-sha256", secret_hash.clone()),
        ("expiration", ends.to_string()),
        ("role", role.word().to_owned()),
        ("node", node.clone()),
        ("address", address.map(|address| address.to_string()).unwrap_or_default()),
    ];
    kept(format!("{NAME_PREFIX}{id}"), TYPE, data)
}

/// Says that a master of this id was let in and will add itself to the group.
pub(crate) fn expected(member: u64, now: Timestamp) -> Object {
    kept(
        format!("{EXPECTED_PREFIX}{member:016x}"),
        EXPECTED_TYPE,
        [("expiration", now.after(EXPECTED_LIFE).to_string())],
    )
}

fn kept<const N: usize>(name: String, kind: &str, data: [(&str, String); N]) -> Object {
    let mut secret = Secret { r#type: kind.to_owned(), ..Secret::default() };
    secret.metadata_mut().name = name;
    NAMESPACE.clone_into(&mut secret.metadata_mut().namespace);
    secret.data = data.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect::<BTreeMap<_, _>>();
    secret.into()
}

fn text<'a>(secret: &'a Secret, key: &str) -> &'a str {
    secret.data.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

pub(crate) fn ends(secret: &Secret) -> Option<Timestamp> {
    text(secret, "expiration").parse().ok()
}

/// For what a token that is shown is good. Who shows half of one is not told which half was wrong.
///
/// # Errors
/// If there is no such token, it has ended, or it is for another role.
pub(crate) fn terms(view: &View, shown: &Presented, role: JoinAs, now: Timestamp) -> Result<Terms, Error> {
    let key = Key::namespaced(Kind::Secret, NAMESPACE, format!("{NAME_PREFIX}{}", shown.id));
    let record = view.get(&key).ok_or_else(unknown)?;
    let object = record.object();
    let stored: &Secret = object.get().ok_or_else(unknown)?;
    let is_same = text(stored, "token-secret-sha256") == shown.secret_hash && stored.r#type == TYPE;
    if !is_same || ends(stored).is_none_or(|ends| ends <= now) {
        return Err(unknown());
    }
    let meant = text(stored, "role");
    if meant != role.word() {
        let message = format!("the token is for joining as a {meant}, not as a {}", role.word());
        return Err(Error::new(Reason::Forbidden, message));
    }
    let address = text(stored, "address").parse().ok();
    Ok(Terms { node: text(stored, "node").to_owned(), address, spent: spent(record) })
}

/// The end of a token is the deletion of its Secret.
fn spent(record: &Record) -> Op {
    Op::Delete { key: record.key.clone(), expect: Expect::Revision(record.revision) }
}

impl Terms {
    /// Allows a node its name, or says which one it must have.
    pub(crate) fn may_name(&self, name: &str) -> Result<(), Error> {
        let node = &self.node;
        if node.is_empty() || node == name {
            return Ok(());
        }
        let message = format!("the token is for the node {node:?}, not for {name:?}: start it with --node-name {node}");
        Err(Error::new(Reason::Forbidden, message))
    }
}

fn unknown() -> Error {
    let message = "the token is not known: it was used, has ended or was mistyped; make a new one on a master with \
                   `kapelle token create`";
    Error::new(Reason::Unauthorized, message)
}
