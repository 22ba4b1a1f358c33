//! Opens everything that a master keeps in its directory.

use std::{path::Path, sync::Arc};

use consensus::{Config, Dial};

pub use consensus::Begin;

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
}

/// Opens the state in `dir` (the log in `DIR/log`, images in `DIR/images`) and recovers it. `begin` says what an empty
/// directory becomes, `dial` how other masters are reached. Call it within a Tokio runtime.
///
/// Before the first request [`Registry::bootstrap`] should have come to its end.
///
/// # Errors
/// If another process uses the directory, or a file is damaged.
pub async fn open(
    dir: &Path,
    options: Options,
    begin: Begin,
    dial: Option<Arc<dyn Dial>>,
) -> Result<(Registry, Blobs), OpenError> {
    let (machine, store) = store::new();
    let config = Config { begin, dial, ..Config::new(dir.join("log")) };
    // Reads from disk on this thread; nothing is served yet that could wait for it. The log goes first: it is locked, so
    // that no other process's images are touched.
    let consensus = consensus::open(config, machine)?;
    let blobs = Blobs::open(&dir.join("images")).await.map_err(OpenError::Blobs)?;
    Ok((Registry::new(store, consensus, options), blobs))
}
