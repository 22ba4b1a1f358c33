//! Where on this node what belongs to a Pod is kept: its volumes and its logs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::beneath;

/// The directories of all Pods. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct PodDirs(Arc<Path>);

impl PodDirs {
    /// Those below the directory of a node.
    pub(crate) fn below(node: &Path) -> Self {
        Self(node.join("pods").into())
    }

    /// The directory that holds them all.
    pub(crate) fn all(&self) -> &Path {
        &self.0
    }

    /// The directory of one Pod.
    pub(crate) fn of(&self, uid: &str) -> PathBuf {
        self.0.join(uid)
    }

    /// The directory of a Pod's volumes.
    pub(crate) fn volumes(&self, uid: &str) -> PathBuf {
        self.of(uid).join("volumes")
    }

    /// The directory of the logs of a Pod's container.
    pub(crate) fn logs(&self, uid: &str, container: &str) -> PathBuf {
        self.of(uid).join("logs").join(container)
    }

    /// Removes what a Pod left. One that left nothing is removed already.
    pub(crate) async fn remove(&self, uid: &str) -> io::Result<()> {
        let (volumes, pod) = (self.volumes(uid), self.of(uid));
        let remove = move || {
            // Guests wrote what is in the volumes; the rest is ours.
            if let Ok(volumes) = std::fs::read_dir(volumes) {
                volumes.flatten().try_for_each(|volume| beneath::remove(&volume.path()))?;
            }
            std::fs::remove_dir_all(pod)
        };
        match tokio::task::spawn_blocking(remove).await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{fs, os::unix::fs::symlink};

    use super::PodDirs;

    #[tokio::test]
    async fn a_pod_is_removed_with_its_volumes_and_logs_and_no_link_is_followed() {
        let node = tempfile::tempdir().unwrap();
        let dirs = PodDirs::below(node.path());
        let (mine, other) = (dirs.volumes("a").join("data"), dirs.volumes("b").join("data"));
        for dir in [&mine, &other, &dirs.logs("a", "main")] {
            fs::create_dir_all(dir).unwrap();
        }
        symlink(&other, mine.join("link")).unwrap();
        dirs.remove("a").await.unwrap();
        assert!(!dirs.of("a").exists() && other.exists());
        dirs.remove("a").await.unwrap();
        dirs.remove("never").await.unwrap();
        assert!(dirs.all().exists());
    }
}
