//! The ConfigMap with the certificate of the cluster's authority, which nearly every Pod mounts and nobody changes: what was read
//! of a namespace serves the Pods that start there for a while.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{Error, Object, Reason, Timestamp};

use crate::driver::clock::now;

/// How long what was read counts. The authority of a cluster changes by a plan of people, who wait longer.
const FRESH: Duration = Duration::from_secs(60);

/// How often something is asked for again while it is not there: a manifest may hold a namespace and its Pods.
const TRIES: usize = 20;

/// How long to wait in between.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Asks for what controllers make for each new namespace; while it is not there, again for a while.
pub(super) async fn soon<T, R: Future<Output = Result<T, Error>>>(ask: impl Fn() -> R) -> Result<T, Error> {
    for _ in 0..TRIES {
        match ask().await {
            Err(error) if error.reason == Reason::NotFound => tokio::time::sleep(TRY_EVERY).await,
            answer => return answer,
        }
    }
    ask().await
}

/// What was read last, by namespace. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Authorities {
    kept: Arc<Mutex<HashMap<String, (Timestamp, Object)>>>,
    /// Whoever has it reads; the others find then what was read.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Authorities {
    /// The ConfigMap of a namespace, read by `read` unless that was done just now.
    pub(super) async fn read<R: Future<Output = Result<Object, Error>>>(
        &self,
        namespace: &str,
        read: impl Fn() -> R,
    ) -> Result<Object, Error> {
        soon(|| async {
            let _turn = self.turn.lock().await;
            if let Some((_, known)) = self.kept().get(namespace).filter(|(until, _)| now() < *until) {
                return Ok(known.clone());
            }
            self.keep(namespace, read().await?)
        })
        .await
    }

    fn keep(&self, namespace: &str, found: Object) -> Result<Object, Error> {
        let now = now();
        let mut kept = self.kept();
        kept.retain(|_, (until, _)| now < *until);
        kept.insert(namespace.to_owned(), (now.after(FRESH), found.clone()));
        Ok(found)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, (Timestamp, Object)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use api::{Key, Kind, core_v1::ConfigMap};

    use super::*;

    #[tokio::test]
    async fn it_is_read_once_for_a_namespace_and_waited_for_where_it_is_about_to_be_made() {
        let (authorities, reads) = (Authorities::default(), AtomicUsize::new(0));
        let made_at = |nth: usize| {
            let count = reads.fetch_add(1, Ordering::Relaxed);
            let key = Key::namespaced(Kind::ConfigMap, "a", "kube-root-ca.crt");
            async move { if count < nth { Err(Error::not_found(&key)) } else { Ok(ConfigMap::default().into()) } }
        };
        for _ in 0..3 {
            authorities.read("a", || made_at(2)).await.unwrap();
        }
        assert_eq!(reads.load(Ordering::Relaxed), 3, "twice it was not there yet");
        authorities.read("b", || made_at(0)).await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 4, "each namespace has its own");
        let refused = authorities.read("c", || async { Err(Error::internal("no")) }).await.unwrap_err();
        assert_eq!(refused.reason, Reason::InternalError);
        assert_eq!(authorities.kept().len(), 2, "what cannot be read is not kept");
    }
}
