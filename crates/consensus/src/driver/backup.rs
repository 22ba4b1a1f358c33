//! Backups: the applied state as one file in the format of snapshots, to be copied away.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::oneshot;

use crate::Mark;

/// Most backups in the making or in use: each pins a version of the state and takes its size on the disk.
pub(super) const BACKUPS_MAX: usize = 4;

/// The directory for them.
pub(super) const DIR: &str = "backups";

/// Where a finished backup goes.
pub(super) type BackupAnswer = oneshot::Sender<io::Result<BackupFile>>;

/// A finished backup. The file is removed when this is dropped.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    mark: Mark,
    bytes: u64,
    /// Counts it among those in use.
    _slot: Arc<()>,
}

impl BackupFile {
    pub(super) fn new(path: PathBuf, mark: Mark, bytes: u64, slot: Arc<()>) -> Self {
        Self { path, mark, bytes, _slot: slot }
    }

    /// The file; [`restore`](crate::restore) takes it or a copy of it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place in the log that it stands for, and who belonged to the group.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        // It may be gone with its directory.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a backup that is no longer used");
        }
        if let Some(dir) = self.path.parent() {
            let _ = std::fs::remove_dir(dir);
        }
    }
}
