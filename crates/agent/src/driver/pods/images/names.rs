//! What the names of images meant when they were looked up last, kept beside the images: a worker that starts while no master
//! answers goes on with it.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sandbox::Digest;

use super::pulled::Pulled;

/// The file, a JSON object: by name the digests of module and manifest.
const FILE: &str = "names.json";

/// Names and what they meant.
pub(super) struct Names {
    path: PathBuf,
    known: Mutex<HashMap<String, Pulled>>,
    /// Held by whoever writes the file.
    writing: tokio::sync::Mutex<()>,
}

impl Names {
    /// What was known of the images in a directory. A file that is missing or damaged costs pulls, nothing else.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let names: HashMap<String, (String, String)> = serde_json::from_str(&text).unwrap_or_default();
        let known = names.into_iter().filter_map(|(name, (module, manifest))| {
            Some((name, Pulled { module: Digest::parse(&module)?, manifest }))
        });
        Self { path, known: Mutex::new(known.collect()), writing: tokio::sync::Mutex::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<Pulled> {
        self.lock().get(name).cloned()
    }

    /// Notes what a name means now.
    pub(super) async fn set(&self, name: String, pulled: Pulled) {
        if self.lock().insert(name, pulled.clone()) == Some(pulled) {
            return;
        }
        let _writing = self.writing.lock().await;
        let digests = |pulled: &Pulled| (pulled.module.to_string(), pulled.manifest.clone());
        let names = self.lock().iter().map(|(name, pulled)| (name.clone(), digests(pulled))).collect();
        if let Err(error) = self.write(&names).await {
            tracing::warn!(%error, "the names of images cannot be kept for a start without masters");
        }
    }

    async fn write(&self, names: &HashMap<String, (String, String)>) -> io::Result<()> {
        let beside = self.path.with_extension("unfinished");
        tokio::fs::write(&beside, serde_json::to_vec(names)?).await?;
        tokio::fs::rename(&beside, &self.path).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pulled>> {
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
        let pulled = Pulled { module: Digest::of(b"module"), manifest: Digest::of(b"{}").to_string() };
        Names::open(dir.path()).set("a:1".to_owned(), pulled.clone()).await;
        let again = Names::open(dir.path());
        assert_eq!((again.get("a:1"), again.get("a:2")), (Some(pulled), None));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(Names::open(dir.path()).get("a:1"), None);
    }
}
