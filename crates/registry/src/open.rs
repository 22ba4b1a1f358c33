//! Opens the state that a master keeps in its directory.

use std::{path::Path, sync::Arc};

use consensus::{Begin, Config, Dial};

use crate::{Options, Registry};

/// Why a master's state cannot be opened. None of these is helped by trying again unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error("the log cannot be opened")]
    Log(#[from] consensus::OpenError),
}

/// How a master takes part in its group.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    /// What an empty directory becomes.
    pub begin: Begin,
    /// Where the other masters reach this one until it stops; empty if there are none.
    pub contact: String,
    /// How the other masters are reached; without it there are none.
    pub dial: Option<Arc<dyn Dial>>,
}

/// Opens the state in `dir` (the log in `DIR/log`) and recovers it. Call it within a Tokio runtime.
///
/// Before the first request [`Registry::bootstrap`] should have come to its end.
///
/// # Errors
/// If another process uses the directory, or a file is damaged.
pub fn open(dir: &Path, options: Options, membership: Membership) -> Result<Registry, OpenError> {
    let (machine, store) = store::new();
    let Membership { begin, contact, dial } = membership;
    let config = Config { begin, contact, dial, ..Config::new(dir.join("log")) };
    // Reads from disk on this thread; nothing is served yet that could wait for it.
    let consensus = consensus::open(config, machine)?;
    Ok(Registry::new(store, consensus, options))
}
