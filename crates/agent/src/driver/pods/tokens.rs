//! Tokens of ServiceAccounts for the Pods of this node: asked for when a container starts, used by all containers of a Pod that want
//! the same, and replaced before they expire.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Error, Key, Kind, Timestamp,
    authentication_v1::{BoundObjectReference, TokenRequestSpec, TokenRequestStatus},
    core_v1::{Pod, ServiceAccountTokenProjection},
    kinds::Resource as _,
};
use rpc::Client;
use rustix::fs::Mode;
use tokio::sync::Semaphore;

use super::{authority::soon, beneath::Root};
use crate::driver::clock::{now, reached};

/// A token is replaced when so much of its life has passed, in percent, as in Kubernetes.
const FRESH_PERCENT: u32 = 80;

/// A token is replaced after so long in any case, as in Kubernetes.
const FRESH_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after a token could not be had.
const RETRY: Duration = Duration::from_secs(30);

/// What there is of the tokens of this node's Pods. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Tokens {
    client: Client,
    turns: Arc<Semaphore>,
    kept: Arc<Mutex<HashMap<Wanted, Token>>>,
}

/// A sort of token that a Pod wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// The Pod's account.
    account: Key,
    /// The Pod's name and uid, with which the token ends.
    pod: (String, String),
    /// For whom it is; empty for masters.
    audience: String,
    life_s: Option<i64>,
}

/// A token.
#[derive(Clone)]
struct Token {
    text: String,
    /// When another one is to take its place.
    due: Timestamp,
    ends: Timestamp,
}

/// A file that holds a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    pub(crate) wanted: Wanted,
    pub(crate) volume: PathBuf,
    pub(crate) path: String,
    pub(crate) mode: Mode,
}

impl Wanted {
    /// What a Pod wants.
    pub(crate) fn by(pod: &Pod, projection: &ServiceAccountTokenProjection) -> Self {
        let account = pod.spec.as_ref().map_or("", |spec| &spec.service_account_name);
        Self {
            account: Key::namespaced(Kind::ServiceAccount, pod.namespace(), account),
            pod: (pod.name().to_owned(), pod.uid().to_owned()),
            audience: projection.audience.clone(),
            life_s: projection.expiration_seconds,
        }
    }

    fn spec(&self) -> TokenRequestSpec {
        let (name, uid) = self.pod.clone();
        let reference = BoundObjectReference { kind: "Pod".to_owned(), api_version: "v1".to_owned(), name, uid };
        TokenRequestSpec {
            audiences: Some(self.audience.clone()).filter(|audience| !audience.is_empty()).into_iter().collect(),
            bound_object_ref: Some(reference),
            expiration_seconds: self.life_s,
        }
    }
}

impl Tokens {
    /// Masters are asked by a client, as often at a time as there are turns.
    pub(crate) fn new(client: Client, turns: Arc<Semaphore>) -> Self {
        Self { client, turns, kept: Arc::default() }
    }

    /// A token that is fresh, or, while no master answers, one that has not expired.
    pub(crate) async fn token(&self, wanted: &Wanted) -> Result<String, Error> {
        let known = self.kept().get(wanted).cloned();
        if let Some(fresh) = known.as_ref().filter(|token| now() < token.due) {
            return Ok(fresh.text.clone());
        }
        match soon(|| self.ask(wanted)).await {
            Ok(made) => {
                let (begin, ends) = (now(), made.expiration_timestamp.as_ref().map(Timestamp::from));
                let ends = ends.unwrap_or(begin);
                self.keep(wanted, Token { text: made.token.clone(), due: due(begin, ends), ends });
                Ok(made.token)
            }
            Err(error) => match known.filter(|token| error.reason.retryable() && now() < token.ends) {
                Some(old) => {
                    let text = old.text.clone();
                    self.keep(wanted, Token { due: now().after(RETRY), ..old });
                    Ok(text)
                }
                None => Err(error),
            },
        }
    }

    async fn ask(&self, wanted: &Wanted) -> Result<TokenRequestStatus, Error> {
        let _turn = self.turns.acquire().await.map_err(Error::internal)?;
        self.client.request_token(&wanted.account, wanted.spec()).await
    }

    /// Keeps a token, and none that has expired.
    fn keep(&self, wanted: &Wanted, token: Token) {
        let now = now();
        let mut kept = self.kept();
        kept.retain(|_, token| now < token.ends);
        kept.insert(wanted.clone(), token);
    }

    /// Keeps the tokens in files fresh.
    pub(crate) async fn refresh(&self, files: &[TokenFile]) -> Infallible {
        loop {
            let soon = now().after(RETRY);
            let due = |file: &TokenFile| self.kept().get(&file.wanted).map_or(soon, |token| token.due);
            reached(files.iter().map(due).min()).await;
            for file in files {
                // In a box: thousands of these wait for a long time, and calling a master takes much more room than waiting.
                if let Err(error) = Box::pin(self.replace(file)).await {
                    tracing::warn!(%error, account = %file.wanted.account, "a token in a Pod could not be replaced");
                }
            }
        }
    }

    async fn replace(&self, file: &TokenFile) -> Result<(), Error> {
        let text = match self.token(&file.wanted).await {
            Ok(text) => text,
            Err(error) => {
                // It is asked for again after a while.
                self.kept().remove(&file.wanted);
                return Err(error);
            }
        };
        let file = file.clone();
        let write = move || Root::open(&file.volume)?.replace(Path::new(&file.path), text.as_bytes(), file.mode);
        let written = tokio::task::spawn_blocking(write).await.map_err(Error::internal)?;
        written.map_err(Error::internal)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Wanted, Token>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When another token is to take the place of one.
fn due(begin: Timestamp, ends: Timestamp) -> Timestamp {
    let life = ends.since(begin);
    begin.after((life * FRESH_PERCENT / 100).min(FRESH_MAX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::PodSpec;

    use super::*;
    use crate::driver::testing;

    fn wanted() -> Wanted {
        let spec = PodSpec { service_account_name: "till".to_owned(), ..PodSpec::default() };
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = ("p".to_owned(), "shop".to_owned(), "u1".to_owned());
        let projection = ServiceAccountTokenProjection { audience: "vault".to_owned(), ..Default::default() };
        Wanted::by(&pod, &projection)
    }

    #[test]
    fn a_token_is_replaced_after_most_of_its_life_and_each_day() {
        let begin = Timestamp(1000);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(due(begin, begin.after(hours(1))), begin.after(hours(1) * 4 / 5));
        assert_eq!(due(begin, begin.after(hours(24 * 365))), begin.after(hours(24)));
        assert_eq!(due(begin, Timestamp(0)), begin, "an end that has passed");
    }

    #[test]
    fn what_is_asked_for_ends_with_the_pod() {
        let (wanted, spec) = (wanted(), wanted().spec());
        assert_eq!(wanted.account.to_string(), Key::namespaced(Kind::ServiceAccount, "shop", "till").to_string());
        let reference = spec.bound_object_ref.unwrap();
        assert_eq!((reference.kind.as_str(), reference.name.as_str(), reference.uid.as_str()), ("Pod", "p", "u1"));
        assert_eq!(spec.audiences, ["vault"]);
    }

    #[tokio::test]
    async fn a_fresh_token_serves_all_who_want_the_same() {
        let tokens = Tokens::new(testing::client(), Arc::new(Semaphore::new(1)));
        let hour = now().after(Duration::from_secs(3600));
        tokens.keep(&wanted(), Token { text: "t".to_owned(), due: hour, ends: hour });
        assert_eq!(tokens.token(&wanted()).await.unwrap(), "t");
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile {
            wanted: wanted(),
            volume: dir.path().to_owned(),
            path: "sub/token".to_owned(),
            mode: Mode::from_raw_mode(0o640),
        };
        tokens.replace(&file).await.unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("sub/token")).unwrap(), "t");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 1, "nothing else is left");
        tokens.keep(
            &Wanted { audience: "b".to_owned(), ..wanted() },
            Token { text: String::new(), due: hour, ends: Timestamp(0) },
        );
        assert_eq!(tokens.kept().len(), 2, "it goes with the next");
        tokens.keep(&wanted(), Token { text: "t".to_owned(), due: hour, ends: hour });
        assert_eq!(tokens.kept().len(), 1);
    }
}
