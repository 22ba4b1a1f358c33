//! The modules that came, as files of this node by their digests.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sandbox::Digest;

use crate::driver::node::health::Health;

/// Where modules are kept, as long as the disk has space for them.
pub(super) struct Store {
    dir: PathBuf,
    health: Arc<Health>,
}

impl Store {
    pub(super) fn new(dir: PathBuf, health: Arc<Health>) -> Self {
        Self { dir, health }
    }

    /// Where a module is, or would be.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.to_string().trim_start_matches("sha256:")))
    }

    /// Whether a module is here already.
    pub(super) async fn has(&self, digest: Digest) -> bool {
        tokio::fs::try_exists(&self.path(digest)).await.unwrap_or(false)
    }

    /// Keeps a module that came, if it is what it should be.
    pub(super) async fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), String> {
        if let Some(trouble) = self.health.disk_trouble() {
            return Err(format!("the node's disk is full: {}", trouble.message));
        }
        if Digest::of(bytes) != digest {
            return Err("what came does not have the digest that was promised".to_owned());
        }
        write(&self.dir, &self.path(digest), bytes).await.map_err(|error| error.to_string())
    }
}

/// Writes a file so that it is there whole or not at all.
async fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    /// Two names may lead to one digest at the same time: each writer has a file of its own.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    tokio::fs::create_dir_all(dir).await?;
    let unfinished = path.with_extension(format!("{}.unfinished", NEXT.fetch_add(1, Ordering::Relaxed)));
    let written = async {
        tokio::fs::write(&unfinished, bytes).await?;
        tokio::fs::rename(&unfinished, path).await
    };
    let written = written.await;
    if written.is_err() {
        // A disk that is full must not stay so because of what did not fit.
        let _ = tokio::fs::remove_file(&unfinished).await;
    }
    written
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::driver::node::health::Trouble;

    #[tokio::test]
    async fn only_what_was_promised_is_kept_and_only_while_there_is_space() {
        let dir = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::new());
        let store = Store::new(dir.path().join("images"), health.clone());
        let digest = Digest::of(b"module");
        let wrong = store.keep(digest, b"another").await.unwrap_err();
        assert!(wrong.contains("does not have the digest"), "{wrong}");
        health.disk(Some(Trouble { reason: "AgentHasDiskPressure", message: "1 MiB left".to_owned() }));
        assert_eq!(store.keep(digest, b"module").await.unwrap_err(), "the node's disk is full: 1 MiB left");
        assert!(!store.has(digest).await);
        health.disk(None);
        store.keep(digest, b"module").await.unwrap();
        assert!(store.has(digest).await);
        assert_eq!(std::fs::read(store.path(digest)).unwrap(), b"module");
        assert_eq!(std::fs::read_dir(dir.path().join("images")).unwrap().count(), 1, "nothing unfinished is left");
    }
}
