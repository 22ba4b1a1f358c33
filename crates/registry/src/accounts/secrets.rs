//! Tokens that stand in Secrets, for those who ask for one so: Kubernetes' way before tokens had ends.
//!
//! Whoever creates a Secret of the type, with the name of an account in an annotation, finds a token of it there. The master that
//! leads fills them. They go with their account, and a token counts only as long as it stands in its Secret.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use api::{
    DeleteOptions, Error, Key, Kind, Object, Reason, Subresource, Write,
    core_v1::Secret,
    kinds::Resource as _,
    selector::{Fields, Labels},
    well_known::{ACCOUNT_NAME_ANNOTATION, ACCOUNT_TOKEN_TYPE, ACCOUNT_UID_ANNOTATION},
};
use futures::StreamExt as _;
use store::View;
use tokio::time::sleep;
use tracing::warn;

use super::claims::{Claims, Named, OfSecret};
use crate::{Registry, access::Caller, write::WriteOptions};

/// Where the token stands, the certificate by which masters are known, and the namespace.
pub(super) const TOKEN: &str = "token";
const AUTHORITY: &str = "ca.crt";
const NAMESPACE: &str = "namespace";

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often all are looked at, since a key is forgotten a year after it last signed and tokens of it must be replaced before.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

impl Registry {
    /// Fills Secrets that ask for the token of an account, and deletes those whose account is gone, whenever this master leads, until
    /// the process stops.
    pub async fn keep_account_secrets(&self) {
        while self.authority_pem().is_ok() && self.until_leading().await {
            tokio::select! {
                () = self.until_following() => {}
                () = self.fill_secrets() => return,
            }
        }
    }

    /// Ends when the process stops.
    async fn fill_secrets(&self) {
        let mut feed = pin!(self.feed(&[Kind::Secret, Kind::ServiceAccount]));
        let (mut due, mut failed) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let pause = if failed.is_empty() { LOOK_EVERY } else { RETRY };
            tokio::select! {
                changes = feed.next() => {
                    let Some(changes) = changes else { return };
                    let view = self.state();
                    changes.iter().for_each(|change| due.extend(concerned(&view, &change.object.key())));
                }
                () = sleep(pause) => {
                    due.append(&mut failed);
                    if pause == LOOK_EVERY {
                        due.extend(all(&self.state(), None));
                    }
                }
            }
            for key in std::mem::take(&mut due) {
                if let Err(error) = self.fill(&key).await {
                    warn!(%key, %error, "a Secret did not get the token of its account yet");
                    failed.insert(key);
                }
            }
        }
    }

    /// Brings one Secret up to date.
    async fn fill(&self, key: &Key) -> Result<(), Error> {
        let view = self.state();
        let Some(record) = view.get(key).filter(|record| is_meant(record)) else { return Ok(()) };
        let object = record.object();
        let Some(secret) = object.get::<Secret>() else { return Ok(()) };
        let meta = secret.metadata.clone().unwrap_or_default();
        let text = |name: &str| meta.annotations.get(name).cloned().unwrap_or_default();
        let (name, known) = (text(ACCOUNT_NAME_ANNOTATION), text(ACCOUNT_UID_ANNOTATION));
        if meta.deletion_timestamp.is_some() || name.is_empty() {
            return Ok(());
        }
        let account = Key::namespaced(Kind::ServiceAccount, key.namespace.clone(), name.as_str());
        let uid = view.get(&account).and_then(|record| Some(record.object().metadata()?.uid.clone()));
        let write = match uid.filter(|uid| known.is_empty() || known == *uid) {
            Some(uid) => {
                let mut filled = self.filled(secret, key, Named { name, uid }).await?;
                if filled == *secret {
                    return Ok(());
                }
                filled.metadata_mut().resource_version = record.revision.to_string();
                Write::Update(Object::from(filled), Subresource::None)
            }
            None => Write::Delete(key.clone(), DeleteOptions { uid: Some(meta.uid), ..DeleteOptions::default() }),
        };
        match self.for_caller(Caller::Cluster).submit(write, WriteOptions::default()).await {
            // It has changed meanwhile, and is looked at again.
            Err(error) if matches!(error.reason, Reason::Conflict | Reason::NotFound) => Ok(()),
            written => written.map(drop),
        }
    }

    /// The Secret with all that whoever uses it needs.
    async fn filled(&self, secret: &Secret, key: &Key, account: Named) -> Result<Secret, Error> {
        let mut filled = secret.clone();
        filled.metadata_mut().annotations.insert(ACCOUNT_UID_ANNOTATION.to_owned(), account.uid.clone());
        filled.data.insert(AUTHORITY.to_owned(), self.authority_pem()?.to_owned().into());
        filled.data.insert(NAMESPACE.to_owned(), key.namespace.to_string().into());
        let keys = self.keys().await?;
        let counts = |token: &[u8]| std::str::from_utf8(token).is_ok_and(|token| keys.claims(token).is_ok());
        if !filled.data.get(TOKEN).is_some_and(|token| counts(token)) {
            let (namespace, secret) = (key.namespace.to_string(), key.name.to_string());
            let claims = Claims::of_secret(OfSecret { namespace, account, secret, token: String::new() });
            let token = keys.keyring().signing().sign(&claims).map_err(Error::internal)?;
            filled.data.insert(TOKEN.to_owned(), token.into());
        }
        Ok(filled)
    }
}

/// The Secrets to look at because of a change: itself, or those of an account.
fn concerned(view: &View, changed: &Key) -> Vec<Key> {
    if changed.kind == Kind::Secret { vec![changed.clone()] } else { all(view, Some(&changed.namespace)) }
}

fn all(view: &View, namespace: Option<&str>) -> Vec<Key> {
    let secrets = view.list(Kind::Secret, namespace, None).filter(|record| is_meant(record));
    secrets.map(|record| record.key.clone()).collect()
}

/// Whether a Secret is for the token of an account. Read off its bytes: a cluster may be full of others.
fn is_meant(record: &store::Record) -> bool {
    record.is_selected(&Labels::everything(), &FIELDS)
}

static FIELDS: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(|| {
    Fields::parse(Kind::Secret, &format!("type={ACCOUNT_TOKEN_TYPE}")).unwrap_or_else(|_| Fields::everything())
});
