//! What the names of images meant when they were looked up last, kept beside the images: a worker that starts while no master
//! answers goes on with it.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sandbox::Digest;

/// The file, a JSON object.
const FILE: &str = "names.json";

/// Names and what they meant.
pub(super) struct Names {
    path: PathBuf,
    known: Mutex<HashMap<String, Digest>>,
    /// Held by whoever writes the file.
    writing: tokio::sync::Mutex<()>,
}

impl Names {
    /// What was known of the images in a directory. A file that is missing or damaged costs pulls, nothing else.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let names: HashMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
        let known = names.into_iter().filter_map(|(name, digest)| Some((name, Digest::parse(&digest)?)));
        Self { path, known: Mutex::new(known.collect()), writing: tokio::sync::Mutex::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<Digest> {
        self.lock().get(name).copied()
    }

    /// Notes what a name means now.
    pub(super) async fn set(&self, name: String, digest: Digest) {
        if self.lock().insert(name, digest) == Some(digest) {
            return;
        }
        let _writing = self.writing.lock().await;
        let names: HashMap<String, String> =
            self.lock().iter().map(|(name, digest)| (name.clone(), digest.to_string())).collect();
        if let Err(error) = self.write(&names).await {
            tracing::warn!(%error, "the names of images cannot be kept for a start without masters");
        }
    }

    async fn write(&self, names: &HashMap<String, String>) -> io::Result<()> {
        let beside = self.path.with_extension("unfinished");
        tokio::fs::write(&beside, serde_json::to_vec(names)?).await?;
        tokio::fs::rename(&beside, &self.path).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn what_names_meant_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"module");
        Names::open(dir.path()).set("a:1".to_owned(), digest).await;
        let again = Names::open(dir.path());
        assert_eq!((again.get("a:1"), again.get("a:2")), (Some(digest), None));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(Names::open(dir.path()).get("a:1"), None);
    }
}
