//! How much work is taken on at a time. What is too much is refused at once, with the time after which to try again, rather
//! than queued until everybody has given up. Users, nodes and masters, and those without a certificate have shares of their
//! own, so that users who ask too much cannot make nodes look dead, and nobody can keep an administrator out. Within its
//! share each node, and each address without a certificate, has a part that it cannot exceed.
//!
//! Bytes of bodies count as they are read (see [`crate::metered`]), whatever the request says of its length.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use api::{Error, Reason};
use tokio::sync::Semaphore;

use crate::caller::Caller;

/// The most requests of users that are answered at the same time: the sum of Kubernetes' limits for reads and writes.
const USER_REQUESTS_MAX: usize = 600;

/// The most requests of nodes and masters at the same time: a whole cluster's agents after a restart.
const SYSTEM_REQUESTS_MAX: usize = 4096;

/// The most requests of one node at the same time: an agent reports many Pods at once.
const NODE_REQUESTS_MAX: usize = 512;

/// The most requests without a certificate at the same time: newcomers that join, and health checks.
const NOBODY_REQUESTS_MAX: usize = 64;

/// The most of them from one address.
pub(crate) const ADDRESS_REQUESTS_MAX: usize = 16;

/// The most bytes of users' requests that are held at the same time: a few hundred of the largest.
const USER_BYTES_MAX: usize = 256 << 20;

/// The most bytes of nodes' and masters' requests at the same time.
const SYSTEM_BYTES_MAX: usize = 128 << 20;

/// The most bytes of one node's requests at the same time: two of the longest messages.
const NODE_BYTES_MAX: usize = 32 << 20;

/// The most bytes of requests without a certificate at the same time.
const NOBODY_BYTES_MAX: usize = 4 << 20;

/// The most of them from one address.
const ADDRESS_BYTES_MAX: usize = 1 << 20;

/// Bytes are counted in units of so many, and every request counts as at least one.
const UNIT_BYTES: usize = 1 << 10;

/// The most open watches of a master. One costs some KiB and a socket; 5,000 nodes have four each.
pub(crate) const WATCHES_MAX: usize = 65_536;

/// The budget of one server. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    users: Arc<Share>,
    system: Arc<Share>,
    nobody: Arc<Share>,
    parts: Arc<Mutex<HashMap<Part, Weak<Share>>>>,
}

/// Who has a part of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Node(String),
    Address(IpAddr),
}

/// A number of requests, and of units of bytes.
#[derive(Debug)]
struct Share {
    requests: Semaphore,
    units: Semaphore,
}

/// What one caller may use: its class's share, and its part of that. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    shares: Arc<[Arc<Share>]>,
}

/// A place in the budget, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    held: Held,
}

/// The bytes that a request holds, until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    units: Arc<Units>,
}

#[derive(Debug)]
struct Units {
    account: Account,
    count: Mutex<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            users: Share::new(USER_REQUESTS_MAX, USER_BYTES_MAX),
            system: Share::new(SYSTEM_REQUESTS_MAX, SYSTEM_BYTES_MAX),
            nobody: Share::new(NOBODY_REQUESTS_MAX, NOBODY_BYTES_MAX),
            parts: Arc::default(),
        }
    }
}

impl Budget {
    /// What a caller at some address may use.
    pub(crate) fn account(&self, caller: &Caller, from: IpAddr) -> Account {
        let shares = match caller {
            Caller::Admin { .. } => Arc::from([self.users.clone()]),
            Caller::Cluster | Caller::Master { .. } | Caller::Newcomer { .. } => Arc::from([self.system.clone()]),
            Caller::Node { name, .. } => Arc::from([self.system.clone(), self.part(Part::Node(name.clone()))]),
            Caller::Nobody => Arc::from([self.nobody.clone(), self.part(Part::Address(from))]),
        };
        Account { shares }
    }

    /// A part is kept as long as somebody uses it.
    fn part(&self, part: Part) -> Arc<Share> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = parts.get(&part).and_then(Weak::upgrade) {
            return share;
        }
        let share = match part {
            Part::Node(_) => Share::new(NODE_REQUESTS_MAX, NODE_BYTES_MAX),
            Part::Address(_) => Share::new(ADDRESS_REQUESTS_MAX, ADDRESS_BYTES_MAX),
        };
        parts.retain(|_, share| share.strong_count() > 0);
        parts.insert(part, Arc::downgrade(&share));
        share
    }
}

impl Account {
    /// A place for a request, if there is one.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again.
    pub(crate) fn take(&self) -> Result<Place, Error> {
        self.take_all(|share| &share.requests, 1)?;
        let place = Place { held: Held { units: Arc::new(Units { account: self.clone(), count: Mutex::default() }) } };
        place.held.grow(1)?;
        Ok(place)
    }

    /// Takes so many of each share, or of none.
    fn take_all(&self, of: fn(&Share) -> &Semaphore, count: u32) -> Result<(), Error> {
        for (at, share) in self.shares.iter().enumerate() {
            match of(share).try_acquire_many(count) {
                Ok(permit) => permit.forget(),
                Err(_) => {
                    give_back(&self.shares[..at], of, count as usize);
                    return Err(busy());
                }
            }
        }
        Ok(())
    }
}

impl Place {
    /// What its body counts against.
    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        give_back(&self.held.units.account.shares, |share| &share.requests, 1);
    }
}

impl Held {
    /// Holds so many bytes in all from now on.
    ///
    /// # Errors
    /// As [`Account::take`]; then it holds what it held.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), Error> {
        let Units { account, count } = &*self.units;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(*count);
        if more == 0 {
            return Ok(());
        }
        account.take_all(|share| &share.units, u32::try_from(more).map_err(|_| busy())?)?;
        *count += more;
        Ok(())
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        let count = *self.count.get_mut().unwrap_or_else(PoisonError::into_inner);
        give_back(&self.account.shares, |share| &share.units, count);
    }
}

fn give_back(shares: &[Arc<Share>], of: fn(&Share) -> &Semaphore, count: usize) {
    shares.iter().for_each(|share| of(share).add_permits(count));
}

impl Share {
    fn new(requests: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self { requests: Semaphore::new(requests), units: Semaphore::new(bytes / UNIT_BYTES) })
    }
}

fn busy() -> Error {
    Error::new(Reason::TooManyRequests, "the master is answering as many requests as it can; try again")
}

// The largest message of one caller must fit into its part, and several into each share.
const _: () = assert!(NODE_BYTES_MAX >= 2 * rpc::MESSAGE_BYTES_MAX && USER_BYTES_MAX >= 16 * rpc::MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn account(budget: &Budget, caller: &Caller) -> Account {
        budget.account(caller, HERE)
    }

    fn admin() -> Caller {
        Caller::Admin { name: "a".to_owned() }
    }

    fn node(name: &str) -> Caller {
        Caller::Node { name: name.to_owned(), uid: String::new(), from: None }
    }

    fn all(account: &Account) -> Vec<Place> {
        std::iter::from_fn(|| account.take().ok()).collect()
    }

    #[test]
    fn users_who_ask_too_much_leave_nodes_their_share() {
        let budget = Budget::default();
        let users = account(&budget, &admin());
        let places = all(&users);
        assert_eq!(places.len(), USER_REQUESTS_MAX);
        let refused = users.take().map(drop);
        assert_eq!(
            refused.map_err(|error| (error.reason, error.retry_after_s)),
            Err((Reason::TooManyRequests, Some(1)))
        );
        assert!(account(&budget, &node("w1")).take().is_ok());
        drop(places);
        assert!(users.take().is_ok());
    }

    #[test]
    fn nobody_cannot_keep_an_administrator_out_nor_one_node_another() {
        let budget = Budget::default();
        let addresses: Vec<_> = (1..=9).map(|host| budget.account(&Caller::Nobody, [10, 0, 0, host].into())).collect();
        let places: Vec<_> = addresses.iter().map(all).collect();
        let taken: Vec<_> = places.iter().map(Vec::len).collect();
        assert_eq!(taken, [16, 16, 16, 16, 0, 0, 0, 0, 0]);
        assert!(account(&budget, &admin()).take().is_ok());
        let first = all(&account(&budget, &node("w1")));
        assert_eq!(first.len(), NODE_REQUESTS_MAX);
        assert!(account(&budget, &node("w1")).take().is_err(), "by another connection of the same node too");
        assert!(account(&budget, &node("w2")).take().is_ok());
        drop(first);
        assert!(account(&budget, &node("w1")).take().is_ok());
    }

    #[test]
    fn bytes_count_as_they_come() {
        let budget = Budget::default();
        let users = account(&budget, &admin());
        let places: Vec<_> = (0..100).map(|_| users.take().unwrap()).collect();
        let full = places.iter().take_while(|place| place.held().grow(crate::rest::BODY_BYTES_MAX).is_ok()).count();
        assert_eq!(full, USER_BYTES_MAX / crate::rest::BODY_BYTES_MAX);
        let late = places.last().unwrap().held();
        assert!(late.grow(10_000).is_ok(), "there is room for a small one");
        assert_eq!(late.grow(4 << 20).unwrap_err().reason, Reason::TooManyRequests);
        drop(places);
        assert!(late.grow(4 << 20).is_ok());
        drop(late);
        assert_eq!(users.shares[0].units.available_permits(), USER_BYTES_MAX / UNIT_BYTES, "everything came back");
    }
}
