//! Opens everything that a master keeps in its directory.

use std::path::Path;

use consensus::Config;

use crate::{
    blobs::Blobs,
    registry::{Options, Registry},
};

/// Why a master's state cannot be opened. None of these is helped by trying again unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error("the log cannot be opened")]
    Log(#[from] consensus::OpenError),
    /// The images.
    #[error("the image store cannot be opened")]
    Blobs(#[source] std::io::Error),
    /// The first objects.
    #[error("the first objects cannot be created")]
    Bootstrap(#[source] api::Error),
}

/// Opens the state in `dir` (the log in `DIR/log`, images in `DIR/images`), recovers it, waits for a leader, and creates
/// what every cluster has.
///
/// # Errors
/// If another process uses the directory, a file is damaged, or there is no leader within half a minute.
pub async fn open(dir: &Path, options: Options) -> Result<(Registry, Blobs), OpenError> {
    let (machine, store) = store::new();
    let config = Config::new(dir.join("log"));
    // Reads from disk on this thread; nothing is served yet that could wait for it. The log goes first: it is locked, so
    // that no other process's images are touched.
    let consensus = consensus::open(config, machine)?;
    let blobs = Blobs::open(&dir.join("images")).await.map_err(OpenError::Blobs)?;
    let registry = Registry::new(store, consensus, options);
    registry.bootstrap().await.map_err(OpenError::Bootstrap)?;
    Ok((registry, blobs))
}
