//! How much work is taken on at a time. What is too much is refused at once, with the time after which to try again, rather
//! than queued until everybody has given up. Nodes and masters have a share of their own, so that users who ask too much
//! cannot make nodes look dead.

use std::sync::Arc;

use api::{Error, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Caller;

/// The most requests of users that are answered at the same time: the sum of Kubernetes' limits for reads and writes.
const USER_REQUESTS_MAX: usize = 600;

/// The most requests of nodes and masters at the same time: a whole cluster's agents after a restart.
const SYSTEM_REQUESTS_MAX: usize = 4096;

/// The most bytes of users' requests that are held at the same time: a few hundred of the largest.
const USER_BYTES_MAX: usize = 256 << 20;

/// The most bytes of nodes' and masters' requests at the same time.
const SYSTEM_BYTES_MAX: usize = 128 << 20;

/// Bytes are counted in units of so many, and every request counts as at least one.
const UNIT_BYTES: usize = 1 << 10;

/// What a request counts that does not say how long it is: most gRPC messages are shorter.
const UNKNOWN_BYTES: usize = 16 << 10;

/// The most open watches of a master. One costs some KiB and a socket; 5,000 nodes have four each.
pub(crate) const WATCHES_MAX: usize = 65_536;

/// The budget of one server. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    users: Share,
    system: Share,
}

/// A part of the budget.
#[derive(Clone, Debug)]
struct Share {
    requests: Arc<Semaphore>,
    units: Arc<Semaphore>,
}

/// A place in the budget, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _request: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            users: Share::new(USER_REQUESTS_MAX, USER_BYTES_MAX),
            system: Share::new(SYSTEM_REQUESTS_MAX, SYSTEM_BYTES_MAX),
        }
    }
}

impl Budget {
    /// A place for a request of so many bytes, if there is one.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again.
    pub(crate) fn take(&self, caller: &Caller, bytes: Option<u64>) -> Result<Place, Error> {
        let share = match caller {
            Caller::Cluster | Caller::Master { .. } | Caller::Node { .. } => &self.system,
            Caller::Admin { .. } | Caller::Nobody => &self.users,
        };
        share.take(bytes).ok_or_else(|| {
            Error::new(Reason::TooManyRequests, "the master is answering as many requests as it can; try again")
        })
    }
}

impl Share {
    fn new(requests: usize, bytes: usize) -> Self {
        Self { requests: Arc::new(Semaphore::new(requests)), units: Arc::new(Semaphore::new(bytes / UNIT_BYTES)) }
    }

    fn take(&self, bytes: Option<u64>) -> Option<Place> {
        let bytes = bytes.map_or(UNKNOWN_BYTES, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // A body that is too long to be read counts as the longest: it is refused by whoever reads it.
        let units = bytes.min(crate::rest::BODY_BYTES_MAX).div_ceil(UNIT_BYTES).max(1);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Some(Place {
            _request: self.requests.clone().try_acquire_owned().ok()?,
            _units: self.units.clone().try_acquire_many_owned(units).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Caller {
        Caller::Admin { name: "a".to_owned() }
    }

    #[test]
    fn users_who_ask_too_much_leave_nodes_their_share() {
        let budget = Budget::default();
        let places: Vec<Place> = std::iter::from_fn(|| budget.take(&admin(), Some(10)).ok()).collect();
        assert_eq!(places.len(), USER_REQUESTS_MAX);
        let refused = budget.take(&admin(), None).map(drop);
        assert_eq!(
            refused.map_err(|error| (error.reason, error.retry_after_s)),
            Err((Reason::TooManyRequests, Some(1)))
        );
        assert!(budget.take(&Caller::Node { name: "w1".to_owned() }, None).is_ok());
        drop(places);
        assert!(budget.take(&admin(), None).is_ok());
    }

    #[test]
    fn bytes_count_as_well() {
        let budget = Budget::default();
        let largest = u64::MAX;
        let places = std::iter::from_fn(|| budget.take(&admin(), Some(largest)).ok()).collect::<Vec<_>>();
        assert_eq!(places.len(), USER_BYTES_MAX / crate::rest::BODY_BYTES_MAX);
        assert!(budget.take(&admin(), Some(0)).is_ok(), "there is room for a small one");
    }
}
