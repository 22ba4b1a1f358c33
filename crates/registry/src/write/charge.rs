//! Writes where there are ResourceQuotas, and the counting of what those limit.
//!
//! In one namespace they take turns, so that those of one master do not refuse each other in the log. Those of other masters do,
//! and then only what is added to the quotas is decided again.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use api::{Error, Key, Kind, Write};
use store::{Applied, Refusal, View};
use tokio::sync::{Mutex, MutexGuard};

use super::{ATTEMPTS_MAX, Registry};
use crate::{
    access::Caller,
    decide::{self, Bill, Decision},
};

/// How long a write may wait for its turn, as in Kubernetes.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Among how many turns the namespaces are spread. Those that share one wait for each other without need.
const TURNS: usize = 64;

/// Whose turn it is, by namespace.
#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn take(&self, namespace: &str) -> Result<MutexGuard<'_, ()>, Error> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(namespace);
        let index = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        tokio::time::timeout(TURN_TIMEOUT, self.0[index].lock())
            .await
            .map_err(|_| Error::internal("resource quota evaluation timed out"))
    }
}

impl Registry {
    /// The turn of whoever counts anew what a quota limits.
    pub(super) async fn turn_to_count(&self, key: &Key) -> Result<Option<MutexGuard<'_, ()>>, Error> {
        if key.kind == Kind::ResourceQuota && matches!(self.caller(), Caller::Cluster) {
            return self.inner.turns.take(&key.namespace).await.map(Some);
        }
        Ok(None)
    }

    /// A status of a quota as this state counts it, if the cluster itself writes one.
    pub(super) fn recounted<'a>(&self, view: &View, write: Cow<'a, Write>) -> Cow<'a, Write> {
        if matches!(self.caller(), Caller::Cluster) { decide::recounted(view, write, self.now()) } else { write }
    }

    /// A decision with what must be so for its count to be true.
    pub(super) fn conditioned(&self, view: &View, write: &Write, mut decision: Decision) -> Decision {
        let is_count = matches!(self.caller(), Caller::Cluster) && decide::is_recount(write);
        if is_count && !decision.txn.ops.is_empty() {
            decision.txn.ops.extend(decide::still(view, &write.key()));
        }
        decision
    }

    /// Proposes what was decided, together with what it adds to quotas.
    ///
    /// # Errors
    /// If a quota does not allow it, or if the masters cannot agree at the moment.
    pub(super) async fn charged(
        &self,
        decision: &mut Decision,
        bill: Option<&Bill>,
        has_turn: bool,
    ) -> Result<Result<Applied, Refusal>, Error> {
        let Some(bill) = bill else { return self.propose(decision.txn.encode()).await };
        let needs_turn = !has_turn && bill.meets_quotas(&self.state());
        let _turn = if needs_turn { Some(self.inner.turns.take(bill.namespace()).await?) } else { None };
        let own = decision.txn.ops.len();
        for _ in 0..ATTEMPTS_MAX {
            decision.txn.ops.truncate(own);
            decision.txn.ops.extend(bill.charge(&self.state(), self.now())?);
            match self.propose(decision.txn.encode()).await? {
                Err(Refusal::Changed { key, .. } | Refusal::Missing(key)) if key.kind == Kind::ResourceQuota => {}
                outcome => return Ok(outcome),
            }
        }
        Err(Error::conflict(&decision.object.key(), "too many others write at the same moment; please try again"))
    }
}
