//! Where the keys are: in a Secret, sealed, so that every master has them as soon as one has made them, and nobody else has.
//!
//! Who deletes the Secret ends all tokens of ServiceAccounts at once: new keys are made. So they are where another authority
//! has sealed them, in a cluster that was restored from a backup.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Revision, Subresource, Write, core_v1::Secret, kinds::Resource as _,
};
use arc_swap::ArcSwapOption;
use ring::digest::{SHA256, digest};
use rpc::identity::Authority;
use serde_json::{Value, json};
use store::{Record, View};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    claims::Claims,
    jose::{self, BadToken},
    keyring::Keyring,
    seal::Seal,
};
use crate::{Registry, access::Caller, write::WriteOptions};

/// The Secret of the keys, its type, and the name of what is in it.
const NAME: &str = "service-account-keys";
const TYPE: &str = "kapelle.dev/service-account-keys";
const SEALED: &str = "sealed";

/// How often masters look whether there are keys and whether they are due.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long to wait where that could not be found out, as while there is no leader.
const RETRY: Duration = Duration::from_millis(200);

/// The most tokens of which a master remembers that their signature fits. One costs about a KiB.
const SEEN_MAX: usize = 4096;

/// What a master knows of the keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Empty until [`Registry::sign_by`].
    seal: OnceLock<Seal>,
    /// The authority's certificate, PEM.
    authority: OnceLock<String>,
    opened: ArcSwapOption<Opened>,
}

/// The keys as they are at some revision of their Secret.
#[derive(Debug)]
pub(crate) struct Opened {
    revision: Revision,
    keyring: Keyring,
    /// Tokens whose signature fits, by their hash: checking one takes longer than most requests.
    seen: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl Registry {
    /// Says with whose authority the keys of ServiceAccounts' tokens are sealed. Only the first call counts; without it there
    /// are no such tokens.
    ///
    /// # Errors
    /// If the authority's key cannot be read.
    pub fn sign_by(&self, authority: &Authority) -> Result<(), Error> {
        let seal = Seal::of(authority).map_err(Error::internal)?;
        let _ = self.inner.keys.seal.set(seal);
        let _ = self.inner.keys.authority.set(authority.certificate_pem().to_owned());
        Ok(())
    }

    /// Makes keys where there are none, and others where those that sign are old, until the process stops.
    pub async fn keep_account_keys(&self) {
        if self.inner.keys.seal.get().is_none() {
            return;
        }
        loop {
            let pause = match self.refresh_keys().await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    debug!(%error, "the keys of ServiceAccounts' tokens were not looked at");
                    RETRY
                }
            };
            tokio::select! {
                () = self.inner.closing.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Makes keys where there are none, and others where those that sign are old.
    ///
    /// # Errors
    /// If the masters cannot agree, or there is no randomness.
    pub(crate) async fn refresh_keys(&self) -> Result<(), Error> {
        let view = self.view(ReadAt::Latest).await?;
        let (known, now) = (view.get(&key()), self.now());
        let (made, write) = match (known, known.map(|record| self.opened(record))) {
            (Some(_), Some(Ok(opened))) if !opened.keyring.is_due(now) => return Ok(()),
            (Some(record), Some(Ok(opened))) => {
                let made = opened.keyring.rotated(now).map_err(Error::internal)?;
                let object = self.secret(&made, Some(record))?;
                (made, Write::Update(object, Subresource::None))
            }
            (Some(record), Some(Err(error))) => {
                warn!(%error, "the keys of ServiceAccounts' tokens are made anew, and all such tokens end");
                let made = Keyring::found(now).map_err(Error::internal)?;
                let object = self.secret(&made, Some(record))?;
                (made, Write::Update(object, Subresource::None))
            }
            (None, _) | (_, None) => {
                let made = Keyring::found(now).map_err(Error::internal)?;
                let object = self.secret(&made, None)?;
                (made, Write::Create(object))
            }
        };
        match self.for_caller(Caller::Cluster).submit(write, WriteOptions::default()).await {
            Ok(_) => info!(kid = made.signing().public().kid(), "a new key signs the tokens of ServiceAccounts"),
            // Another master was faster.
            Err(error) if matches!(error.reason, Reason::AlreadyExists | Reason::Conflict) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The Secret with some keys, in place of the one that there is.
    fn secret(&self, keyring: &Keyring, old: Option<&Record>) -> Result<Object, Error> {
        let sealed = keyring.write().map_err(Error::internal)?;
        let sealed = self.seal()?.seal(&sealed).map_err(Error::internal)?;
        let key = key();
        let mut secret = Secret { r#type: TYPE.to_owned(), ..Secret::default() };
        secret.data.insert(SEALED.to_owned(), sealed.into());
        let metadata = secret.metadata_mut();
        (metadata.name, metadata.namespace) = (key.name.to_string(), key.namespace.to_string());
        metadata.resource_version = old.map(|old| old.revision.to_string()).unwrap_or_default();
        Ok(secret.into())
    }

    /// The keys in a state.
    pub(super) fn keys_in(&self, view: &View) -> Result<Arc<Opened>, Error> {
        self.opened(view.get(&key()).ok_or_else(no_keys)?)
    }

    /// The keys, which are made if there are none yet.
    pub(super) async fn keys(&self) -> Result<Arc<Opened>, Error> {
        match self.keys_in(&self.state()) {
            Ok(keys) => Ok(keys),
            Err(_) => {
                self.seal()?;
                self.refresh_keys().await?;
                self.keys_in(&self.view(ReadAt::Latest).await?)
            }
        }
    }

    /// The public keys, as verifiers elsewhere read them: a JSON Web Key Set.
    ///
    /// # Errors
    /// If there are none.
    pub fn json_web_keys(&self) -> Result<Value, Error> {
        let keys = self.keys_in(&self.state())?;
        let all: Vec<Value> = keys.keyring.public().map(jose::PublicKey::jwk).collect();
        Ok(json!({ "keys": all }))
    }

    /// By what masters are known: their authority's certificate, PEM.
    pub(super) fn authority_pem(&self) -> Result<&str, Error> {
        self.inner.keys.authority.get().map(String::as_str).ok_or_else(no_keys)
    }

    fn seal(&self) -> Result<&Seal, Error> {
        self.inner.keys.seal.get().ok_or_else(no_keys)
    }

    fn opened(&self, record: &Record) -> Result<Arc<Opened>, Error> {
        let opened = self.inner.keys.opened.load();
        if let Some(opened) = opened.as_ref().filter(|opened| opened.revision == record.revision) {
            return Ok(opened.clone());
        }
        let object = record.object();
        let sealed = object.get::<Secret>().and_then(|secret| secret.data.get(SEALED)).map_or(&[][..], AsRef::as_ref);
        let plain = self.seal()?.open(sealed).map_err(Error::internal)?;
        let keyring = Keyring::read(&plain).map_err(Error::internal)?;
        let opened = Arc::new(Opened { revision: record.revision, keyring, seen: Mutex::default() });
        self.inner.keys.opened.store(Some(opened.clone()));
        Ok(opened)
    }
}

impl Opened {
    /// Of which revision of their Secret they are.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The keys.
    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What a token says that one of the keys has signed.
    pub(super) fn claims(&self, token: &str) -> Result<Arc<Claims>, BadToken> {
        if token.len() > jose::TOKEN_BYTES_MAX {
            return Err(BadToken::TooLong);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = seen().get(&hash) {
            return Ok(claims.clone());
        }
        let claims = Arc::new(Claims::read(&jose::verify(token, |kid| self.keyring.key(kid))?, token)?);
        let mut seen = seen();
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert(hash, claims.clone());
        Ok(claims)
    }
}

/// The Secret in which the keys are.
pub(super) fn key() -> Key {
    Key::namespaced(Kind::Secret, api::well_known::SYSTEM_NAMESPACE, NAME)
}

fn no_keys() -> Error {
    Error::new(Reason::ServiceUnavailable, "this master has no keys for the tokens of ServiceAccounts yet; try again")
}
