//! Whether this master leads: the controllers run on the leader alone.

use std::time::Duration;

use api::ReadAt;
use consensus::{Change, Role};

use super::Registry;

/// How long to wait before a new leader asks again whether it knows everything.
const RETRY: Duration = Duration::from_millis(20);

impl Registry {
    /// Waits until this master leads and knows everything that was acknowledged before. `false` if it never will: the
    /// process stops.
    pub async fn until_leading(&self) -> bool {
        let mut status = self.inner.consensus.status();
        loop {
            let found = status.wait_for(|status| matches!(status.role, Role::Leader | Role::Stopped)).await;
            if !found.is_ok_and(|status| status.role == Role::Leader) {
                return false;
            }
            // A leader that has just been elected may not have applied yet what its predecessor acknowledged.
            if self.view(ReadAt::Latest).await.is_ok() {
                return true;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What this master knows of the group, and its changes.
    #[must_use]
    pub fn group(&self) -> tokio::sync::watch::Receiver<consensus::Status> {
        self.inner.consensus.status()
    }

    /// Says where this master is reached, if the group knows it otherwise.
    ///
    /// # Errors
    /// If the group cannot agree on it at the moment.
    pub async fn reached_at(&self, contact: &str) -> Result<(), api::Error> {
        let status = self.status();
        if status.members.contacts.get(&status.member).is_some_and(|known| known == contact) {
            return Ok(());
        }
        self.change(Change::Contact { member: status.member, contact: contact.to_owned() }).await
    }

    /// Waits until this master no longer leads.
    pub async fn until_following(&self) {
        // An error means that the member is gone, and with it its lead.
        let _ = self.inner.consensus.status().wait_for(|status| status.role != Role::Leader).await;
    }
}
