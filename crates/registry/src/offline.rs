//! What is done to a master's directory while no master runs on it.

use std::{path::Path, time::Duration};

use api::Error;
use consensus::Restored;
use store::{Op, Txn};

use crate::{
    Options,
    open::{Membership, OpenError, open},
};

/// How far a restored state steps its revision forward: far beyond anything that the lost cluster may have written after the
/// backup, so that no client takes an old revision for a new one. etcd's advice for the same case.
const REVISION_STEP: u64 = 1_000_000_000;

/// How long the group of one may take to find its leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a directory cannot be made a new cluster.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The backup or the log.
    #[error(transparent)]
    Log(#[from] consensus::OpenError),
    /// The state that was made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The revision could not be stepped forward.
    #[error("the revision could not be stepped forward")]
    Step(#[from] Error),
}

/// Makes a new cluster of one master out of a backup, in an empty directory. Its revision is far ahead of the backup's, and
/// watches from before end with 410, so that clients read everything anew.
///
/// # Errors
/// If the directory holds a log, or the backup is damaged.
pub async fn restore(backup: &Path, dir: &Path, options: Options) -> Result<Restored, OfflineError> {
    let restored = consensus::restore(backup, &dir.join("log"))?;
    let registry = open(dir, options, Membership::default())?;
    tokio::time::timeout(LEADER_TIMEOUT, registry.until_leading())
        .await
        .map_err(|_| Error::internal("the restored master did not find itself"))?;
    registry.step(Txn { ops: vec![Op::Advance { by: REVISION_STEP }] }).await?;
    registry.shutdown().await;
    Ok(restored)
}

/// Makes a new cluster of one master out of what one master of a lost cluster has.
///
/// # Errors
/// If the directory holds no log, or it is damaged.
pub fn force_new(dir: &Path, contact: &str) -> Result<Restored, OfflineError> {
    Ok(consensus::force_new(&dir.join("log"), contact)?)
}
