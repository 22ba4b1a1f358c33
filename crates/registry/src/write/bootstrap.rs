//! What every cluster has from its first moment.

use std::time::Duration;

use api::{Error, Object, ReadAt, Reason, Write, core_v1, kinds::Resource as _, well_known::NAMESPACES};
use tracing::info;

use super::WriteOptions;
use crate::Registry;

/// How long a start may wait for a leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before asking again whether there is a leader.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

impl Registry {
    /// Creates what every cluster has, as far as it is missing. Waits for a leader.
    ///
    /// # Errors
    /// If there is no leader within half a minute, or a namespace cannot be created.
    pub async fn bootstrap(&self) -> Result<(), Error> {
        let late = |_| Error::new(Reason::Timeout, "the masters have not found a leader within 30 s");
        tokio::time::timeout(LEADER_TIMEOUT, self.namespaces()).await.map_err(late)?
    }

    async fn namespaces(&self) -> Result<(), Error> {
        self.recovered().await?;
        for name in NAMESPACES {
            let mut namespace = core_v1::Namespace::default();
            namespace.metadata_mut().name = name.to_owned();
            self.ensure(namespace.into()).await?;
        }
        Ok(())
    }

    /// Waits until this master knows again everything that was acknowledged before it started.
    async fn recovered(&self) -> Result<(), Error> {
        loop {
            match self.view(ReadAt::Latest).await {
                Ok(_) => return Ok(()),
                Err(error) if error.reason.retryable() => tokio::time::sleep(RETRY_INTERVAL).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Nobody is asked about what is there: a webhook that fails must not keep a master from starting.
    async fn ensure(&self, object: Object) -> Result<(), Error> {
        loop {
            if self.state().get(&object.key()).is_some() {
                return Ok(());
            }
            match self.submit(Write::Create(object.clone()), WriteOptions::default()).await {
                Ok(written) => {
                    info!(object = %written.object.key(), "created");
                    return Ok(());
                }
                Err(error) if error.reason == Reason::AlreadyExists => return Ok(()),
                Err(error) if error.reason.retryable() => tokio::time::sleep(RETRY_INTERVAL).await,
                Err(error) => return Err(error),
            }
        }
    }
}
