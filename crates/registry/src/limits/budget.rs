//! How many requests are held at a time, and how many bytes of them: floors that no object can take away. Administrators,
//! users, nodes and masters, and those without a certificate have shares of their own, so that users who ask too much cannot make
//! nodes look dead, and nobody can keep an administrator out. Within its share each node, each user, the accounts of each
//! namespace together, and each address without a certificate have a limit of their own: one *flow*.
//!
//! What is too much is refused at once, with the time after which to try again. How many requests of users are answered at a
//! time, and which of them wait, priority levels say (`fair`).
//!
//! Bytes of bodies count as they are read, whatever the request says of its length.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use api::{Error, Reason};
use tokio::sync::Semaphore;

use super::fair::{FLOW_REQUESTS_MAX, FLOW_WAITING_MAX, USER_REQUESTS_MAX, party};
use crate::{access::Caller, decide::OBJECT_BYTES_MAX};

/// The most requests of administrators that are answered at the same time: the sum of Kubernetes' limits for reads and writes.
const ADMIN_REQUESTS_MAX: usize = 600;

/// The most requests of users that are held, answered or waiting: a request that waits is its head alone.
const USER_HELD_MAX: usize = 8192;

/// The most requests of one user, or of the accounts of one namespace, that are held, whatever they wait for: room for those that
/// are answered and those that wait in several priority levels.
const FLOW_HELD_MAX: usize = 512;

/// The most requests of nodes and masters at the same time: a whole cluster's agents after a restart.
const SYSTEM_REQUESTS_MAX: usize = 4096;

/// The most requests of one node at the same time: an agent reports many Pods at once.
const NODE_REQUESTS_MAX: usize = 512;

/// The most requests without a certificate at the same time: newcomers that join, and health checks.
const NOBODY_REQUESTS_MAX: usize = 64;

/// The most of them from one address.
pub const ADDRESS_REQUESTS_MAX: usize = 16;

/// The most bytes of administrators' requests that are held at the same time: a few hundred of the largest.
const ADMIN_BYTES_MAX: usize = 256 << 20;

/// The same for users.
const USER_BYTES_MAX: usize = 256 << 20;

/// The most bytes of one user's requests, or of those of the accounts of one namespace.
const FLOW_BYTES_MAX: usize = 64 << 20;

/// The most bytes of nodes' and masters' requests at the same time.
const SYSTEM_BYTES_MAX: usize = 128 << 20;

/// The most bytes of one node's requests at the same time: two of the longest messages.
const NODE_BYTES_MAX: usize = 32 << 20;

/// The most bytes of requests without a certificate at the same time.
const NOBODY_BYTES_MAX: usize = 4 << 20;

/// The most of them from one address.
const ADDRESS_BYTES_MAX: usize = 1 << 20;

/// The largest body that holds an object or what is made of one, in bytes: Kubernetes' own limit; an object has to fit into
/// one entry of the log.
pub const BODY_BYTES_MAX: usize = 3 << 20;

/// The unit in which bytes are counted; every request counts as at least one.
const UNIT_BYTES: usize = 1 << 10;

/// The budget of one server. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget {
    admins: Arc<Share>,
    users: Arc<Share>,
    system: Arc<Share>,
    nobody: Arc<Share>,
    flows: Arc<Mutex<HashMap<Flow, Weak<Share>>>>,
}

/// Whose requests have a limit of their own within their share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Flow {
    /// A user by its name, or the accounts of a namespace.
    User(String),
    Node(String),
    Address(IpAddr),
}

/// A number of requests, and of units of bytes.
#[derive(Debug)]
struct Share {
    requests: Semaphore,
    units: Semaphore,
}

/// What one caller may use: its class's share, and of that what its own flow may have. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Account {
    shares: Arc<[Arc<Share>]>,
}

/// Leave to be answered, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    held: Held,
}

/// The bytes that a request holds, until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Held {
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
            admins: Share::new(ADMIN_REQUESTS_MAX, ADMIN_BYTES_MAX),
            users: Share::new(USER_HELD_MAX, USER_BYTES_MAX),
            system: Share::new(SYSTEM_REQUESTS_MAX, SYSTEM_BYTES_MAX),
            nobody: Share::new(NOBODY_REQUESTS_MAX, NOBODY_BYTES_MAX),
            flows: Arc::default(),
        }
    }
}

impl Budget {
    /// What a caller at some address may use.
    pub fn account(&self, caller: &Caller, from: IpAddr) -> Account {
        let shares = match caller {
            Caller::Admin { .. } => Arc::from([self.admins.clone()]),
            // Whoever is in the group is one, however it is known.
            Caller::User(user) if user.is_master() => Arc::from([self.admins.clone()]),
            Caller::User(user) => Arc::from([self.users.clone(), self.flow(Flow::User(party(&user.name).to_owned()))]),
            Caller::Cluster | Caller::Master { .. } | Caller::Newcomer { .. } => Arc::from([self.system.clone()]),
            Caller::Node { name, .. } => Arc::from([self.system.clone(), self.flow(Flow::Node(name.clone()))]),
            Caller::Nobody => Arc::from([self.nobody.clone(), self.flow(Flow::Address(from))]),
        };
        Account { shares }
    }

    /// A flow is kept as long as somebody uses it.
    fn flow(&self, flow: Flow) -> Arc<Share> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = flows.get(&flow).and_then(Weak::upgrade) {
            return share;
        }
        let share = match flow {
            Flow::User(_) => Share::new(FLOW_HELD_MAX, FLOW_BYTES_MAX),
            Flow::Node(_) => Share::new(NODE_REQUESTS_MAX, NODE_BYTES_MAX),
            Flow::Address(_) => Share::new(ADDRESS_REQUESTS_MAX, ADDRESS_BYTES_MAX),
        };
        if flows.len() == flows.capacity() {
            flows.retain(|_, share| share.strong_count() > 0);
        }
        flows.insert(flow, Arc::downgrade(&share));
        share
    }
}

impl Account {
    /// Leave for one request, if there is any.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again.
    pub fn take(&self) -> Result<Permit, Error> {
        self.take_all(|share| &share.requests, 1)?;
        let permit =
            Permit { held: Held { units: Arc::new(Units { account: self.clone(), count: Mutex::default() }) } };
        permit.held.grow(1)?;
        Ok(permit)
    }

    /// Takes `count` of each share, or nothing at all.
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

impl Permit {
    /// What its body counts against.
    pub fn held(&self) -> Held {
        self.held.clone()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        give_back(&self.held.units.account.shares, |share| &share.requests, 1);
    }
}

impl Held {
    /// Makes the request hold `bytes` in all.
    ///
    /// # Errors
    /// As [`Account::take`]; then it holds what it held.
    pub fn grow(&self, bytes: usize) -> Result<(), Error> {
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

// The largest message of one node must fit into its limit, and several into each share; and the largest object into a body.
const _: () = assert!(NODE_BYTES_MAX >= 2 * rpc::MESSAGE_BYTES_MAX && FLOW_BYTES_MAX >= 2 * rpc::MESSAGE_BYTES_MAX);
const _: () = assert!(USER_BYTES_MAX >= 16 * rpc::MESSAGE_BYTES_MAX && ADMIN_BYTES_MAX >= USER_BYTES_MAX);
const _: () = assert!(USER_REQUESTS_MAX > 16 * FLOW_REQUESTS_MAX, "one flow must leave room for many others");
const _: () = assert!(FLOW_HELD_MAX >= 4 * (FLOW_REQUESTS_MAX + FLOW_WAITING_MAX), "several levels");
const _: () = assert!(USER_HELD_MAX >= 16 * FLOW_HELD_MAX);
const _: () = assert!(BODY_BYTES_MAX > OBJECT_BYTES_MAX && BODY_BYTES_MAX <= rpc::MESSAGE_BYTES_MAX);

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

    fn all(account: &Account) -> Vec<Permit> {
        std::iter::from_fn(|| account.take().ok()).collect()
    }

    #[test]
    fn administrators_who_ask_too_much_leave_nodes_their_share() {
        let budget = Budget::default();
        let users = account(&budget, &admin());
        let permits = all(&users);
        assert_eq!(permits.len(), ADMIN_REQUESTS_MAX);
        let refused = users.take().map(drop);
        assert_eq!(
            refused.map_err(|error| (error.reason, error.retry_after_s)),
            Err((Reason::TooManyRequests, Some(1)))
        );
        assert!(account(&budget, &node("w1")).take().is_ok());
        drop(permits);
        assert!(users.take().is_ok());
    }

    #[test]
    fn nobody_cannot_keep_an_administrator_out_nor_one_node_another() {
        let budget = Budget::default();
        let addresses: Vec<_> = (1..=9).map(|host| budget.account(&Caller::Nobody, [10, 0, 0, host].into())).collect();
        let permits: Vec<_> = addresses.iter().map(all).collect();
        let taken: Vec<_> = permits.iter().map(Vec::len).collect();
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
        let permits: Vec<_> = (0..100).map(|_| users.take().unwrap()).collect();
        let full = permits.iter().take_while(|permit| permit.held().grow(BODY_BYTES_MAX).is_ok()).count();
        assert_eq!(full, ADMIN_BYTES_MAX / BODY_BYTES_MAX);
        let late = permits.last().unwrap().held();
        assert!(late.grow(10_000).is_ok(), "there is room for a small one");
        assert_eq!(late.grow(4 << 20).unwrap_err().reason, Reason::TooManyRequests);
        drop(permits);
        assert!(late.grow(4 << 20).is_ok());
        drop(late);
        assert_eq!(users.shares[0].units.available_permits(), ADMIN_BYTES_MAX / UNIT_BYTES, "everything came back");
    }

    fn user(name: &str, groups: &[&str]) -> Caller {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Caller::User(Arc::new(crate::access::User { name: name.to_owned(), groups, ..Default::default() }))
    }

    #[test]
    fn users_who_hold_too_much_leave_administrators_and_each_other_their_share() {
        let budget = Budget::default();
        let till = account(&budget, &user("system:serviceaccount:shop:till", &[]));
        let held = all(&till);
        assert_eq!(held.len(), FLOW_HELD_MAX);
        let clerk = account(&budget, &user("system:serviceaccount:shop:clerk", &[]));
        assert!(clerk.take().is_err(), "the accounts of a namespace are one");
        let many: Vec<_> = (0..USER_HELD_MAX - FLOW_HELD_MAX)
            .map(|number| account(&budget, &user(&format!("u{number}"), &[])).take().unwrap())
            .collect();
        let late = account(&budget, &user("late", &[]));
        assert!(late.take().is_err());
        assert_eq!(late.shares[1].requests.available_permits(), FLOW_HELD_MAX, "what it took it gave back");
        for other in [admin(), node("w1"), user("root", &["system:masters"])] {
            assert!(account(&budget, &other).take().is_ok(), "{other:?}");
        }
        drop((held, many));
        assert_eq!(till.shares[0].requests.available_permits(), USER_HELD_MAX, "everything came back");
    }
}
