//! Which Pods may run which images of the masters' registry, as a master said last.
//!
//! A Pod that starts costs no question if the same account asked for the same repository a moment ago. While no master answers,
//! what was allowed last counts, also after a restart of the worker: so it is kept beside the images.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use api::{
    core_v1::{Pod, PodSpec},
    kinds::Resource as _,
};

/// The file, a JSON list of grants.
const FILE: &str = "grants.json";

/// How long a master's word counts before it is asked again. Whoever takes a right away waits no longer than this.
pub const GRANT_LIFE: Duration = Duration::from_secs(60);

/// The most grants that are kept; beyond that those go first that were asked about longest ago.
const GRANTS_MAX: usize = 4096;

/// Who may run what: a namespace, an account, Secrets for pulling, and a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Grant(String);

impl Grant {
    /// What a Pod needs to run an image of a repository. Pods that are alike here are alike to masters.
    pub(super) fn of(pod: &Pod, repository: &str) -> Self {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let mut secrets: Vec<_> = spec.image_pull_secrets.iter().map(|secret| secret.name.as_str()).collect();
        secrets.sort_unstable();
        // Only the last of them may have a slash in it, and none of them a comma.
        Self([pod.namespace(), &spec.service_account_name, &secrets.join(","), repository].join("/"))
    }
}

/// What was granted, and when a master said so; `None` before this process began.
pub(super) struct Grants {
    path: PathBuf,
    known: Mutex<HashMap<Grant, Option<Instant>>>,
    /// Held by whoever writes the file.
    writing: tokio::sync::Mutex<()>,
}

impl Grants {
    /// What was granted on a node. A file that is missing or damaged costs questions, nothing else.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let known: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        let known = known.into_iter().take(GRANTS_MAX).map(|grant| (Grant(grant), None)).collect();
        Self { path, known: Mutex::new(known), writing: tokio::sync::Mutex::default() }
    }

    /// Whether a master said so a moment ago.
    pub(super) fn is_fresh(&self, grant: &Grant) -> bool {
        self.lock().get(grant).is_some_and(|asked| asked.is_some_and(|asked| asked.elapsed() < GRANT_LIFE))
    }

    /// Whether a master said so when it was asked last.
    pub(super) fn is_known(&self, grant: &Grant) -> bool {
        self.lock().contains_key(grant)
    }

    /// A master allows it.
    pub(super) async fn allow(&self, grant: Grant) {
        let is_new = {
            let mut known = self.lock();
            let oldest = || known.iter().min_by_key(|(_, asked)| **asked).map(|(grant, _)| grant.clone());
            if known.len() >= GRANTS_MAX
                && !known.contains_key(&grant)
                && let Some(oldest) = oldest()
            {
                known.remove(&oldest);
            }
            known.insert(grant, Some(Instant::now())).is_none()
        };
        if is_new {
            self.keep().await;
        }
    }

    /// A master refuses it.
    pub(super) async fn refuse(&self, grant: &Grant) {
        let was_known = self.lock().remove(grant).is_some();
        if was_known {
            self.keep().await;
        }
    }

    async fn keep(&self) {
        let _writing = self.writing.lock().await;
        let mut grants: Vec<String> = self.lock().keys().map(|grant| grant.0.clone()).collect();
        grants.sort_unstable();
        if let Err(error) = self.write(&grants).await {
            tracing::warn!(%error, "who may run which images cannot be kept for a start without masters");
        }
    }

    async fn write(&self, grants: &[String]) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            tokio::fs::create_dir_all(dir).await?;
        }
        let beside = self.path.with_extension("unfinished");
        tokio::fs::write(&beside, serde_json::to_vec(grants)?).await?;
        tokio::fs::rename(&beside, &self.path).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Grant, Option<Instant>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::LocalObjectReference;

    use super::*;

    fn grant(account: &str, secrets: &[&str], repository: &str) -> Grant {
        let image_pull_secrets = secrets.iter().map(|name| LocalObjectReference { name: (*name).to_owned() }).collect();
        let spec = PodSpec { service_account_name: account.to_owned(), image_pull_secrets, ..PodSpec::default() };
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        "shop".clone_into(&mut pod.metadata_mut().namespace);
        Grant::of(&pod, repository)
    }

    #[test]
    fn pods_are_alike_whose_account_and_secrets_are() {
        let one = grant("till", &["a", "b"], "team/web");
        assert_eq!(one, grant("till", &["b", "a"], "team/web"));
        for other in [
            grant("other", &["a", "b"], "team/web"),
            grant("till", &["a"], "team/web"),
            grant("till", &[], "team/web"),
            grant("till", &["a", "b"], "team/api"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[tokio::test]
    async fn what_was_allowed_is_known_after_a_restart_and_asked_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("images");
        let grants = Grants::open(&dir);
        let (a, b) = (grant("a", &[], "web"), grant("b", &[], "web"));
        assert!(!grants.is_fresh(&a) && !grants.is_known(&a));
        grants.allow(a.clone()).await;
        grants.allow(b.clone()).await;
        grants.refuse(&b).await;
        assert!(grants.is_fresh(&a) && grants.is_known(&a) && !grants.is_known(&b));
        let again = Grants::open(&dir);
        assert!(!again.is_fresh(&a) && again.is_known(&a) && !again.is_known(&b));
    }

    #[tokio::test]
    async fn no_more_are_kept_than_there_is_room_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let grants = Grants::open(dir.path());
        let first = grant("a", &[], "0");
        {
            let mut known = grants.lock();
            known.extend((0..GRANTS_MAX).map(|number| (grant("a", &[], &number.to_string()), Some(Instant::now()))));
            known.insert(first.clone(), None);
        }
        grants.allow(grant("a", &[], "more")).await;
        assert_eq!(grants.lock().len(), GRANTS_MAX);
        assert!(!grants.is_known(&first), "it was asked about longest ago");
    }
}
