//! The one door to the cluster's state: every read and every write passes here, whichever language it was asked in.
//!
//! A request comes with its [`Caller`] and is checked against what that caller may do ([`Access`]); what a node writes about
//! itself is checked as well, and there are limits for Events and for the size of the state. A write is then decided by
//! [`decide`], a pure function of the present state, and proposed to the log, which carries it out only if that state has not
//! changed meanwhile; if it has, the write is decided again. A read takes a view of the state that Raft applied in this
//! process. The Registry also knows who belongs to the cluster: it lets masters and workers in, hears which nodes are alive,
//! and turns away callers that have left.
//!
//! The law: nothing else proposes to the log, and nothing here knows how a request was written: no HTTP, no gRPC but what
//! `rpc` makes of it.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod access;
mod accounts;
mod admission;
pub mod decide;
pub mod decoders;
mod defined;
mod limits;
mod logs;
mod membership;
mod nodes;
pub mod offline;
mod open;
mod reach;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use api::{Cidr, Error, Key, Reason, Timestamp};
use consensus::{Consensus, ProposeError};
use rpc::identity::Shared;
use store::{Applied, Refusal, Store, View};
use tokio::sync::{Semaphore, watch as latest};
use tokio_util::sync::CancellationToken;

pub use access::{Access, Asked, Attributes, Caller, ResourceAttributes, Roles, RulesOf, User, Verdict};
pub use accounts::{Authenticated, ISSUER, Puller, Reviewed};
pub use admission::{ANSWER_BYTES_MAX, Call, CallError, Calls, REQUEST_TIMEOUT};
pub use consensus::{BackupFile, Begin, Dial, MemberId, Status as GroupStatus, Stream};
pub use defined::Form;
pub use limits::{
    budget,
    events::{EVENTS_MAX, NODE_BURST, NODE_PER_SECOND},
    fair,
    quota::QUOTA_BYTES,
};
pub use membership::{
    Heartbeat, Invitation, JoinAs, LEASE_SECONDS, MERGED_WITHIN, Masters, PEER_PROTOCOL, Presented, SHARE_EVERY, Sign,
    TOKEN_LIFE, TOKEN_LIFE_MAX, UNROUTED_MAX, Worker, cluster_id, fresh_member, is_over, member_id,
};
pub use open::{Membership, OpenError, open};
pub use reach::{REACHES_MAX, Reach};
pub use read::{Encoded, Endpoint, Found, Item, ListAt, ListPage, ListQuery, WatchFrom, WatchQuery};
use write::Turns;
pub use write::{AGREEMENT_TIMEOUT, Wanted, WriteOptions, Written};

use access::{NodeUses, Rights};
use accounts::Keys;
use admission::Admission;
use decide::Rules;
use defined::Defined;
use limits::{events::Events, fair::FairShares};
use membership::{heartbeats::Heartbeats, routes::Routes};
use read::{pages::Pins, watch::WATCHES_MAX};

/// The one door to the cluster's state, for somebody. Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    caller: Arc<Caller>,
}

struct Inner {
    store: Store,
    consensus: Consensus<Result<Applied, Refusal>>,
    options: Options,
    rules: Rules,
    admission: Admission,
    rights: Rights,
    fair_shares: FairShares,
    node_uses: NodeUses,
    /// Who calls webhooks; empty until [`Registry::call_webhooks_by`].
    calls: OnceLock<Arc<dyn Calls>>,
    pins: Pins,
    defined: Defined,
    heartbeats: Heartbeats,
    events: Events,
    routes: Routes,
    /// Who writes where there are ResourceQuotas.
    turns: Turns,
    /// With which certificate this master calls the agents of nodes; empty until [`Registry::introduce`].
    identity: OnceLock<Arc<Shared>>,
    /// The keys of ServiceAccounts' tokens.
    keys: Keys,
    /// The only node of a cluster that nobody joins.
    only_node: OnceLock<Key>,
    /// Changes whenever somebody joins or leaves.
    presence: latest::Sender<u64>,
    /// Permits for open watches.
    watches: Arc<Semaphore>,
    reaches: Arc<Semaphore>,
    /// Cancelled when the process stops: open watches say where they are and end.
    closing: CancellationToken,
    /// How often somebody looked at the state, in debug builds.
    looks: AtomicUsize,
}

/// What a Registry is told about its cluster.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The range from which Services get their addresses.
    pub service_cidr: Cidr,
    /// How many bytes all objects may take. Near it writers are warned; from it on only deletions are taken.
    pub quota_bytes: usize,
    /// The wall clock.
    pub now: fn() -> Timestamp,
}

impl Registry {
    /// A Registry over a state and the log that drives it, for this process itself: see [`Registry::for_caller`].
    #[must_use]
    pub fn new(store: Store, consensus: Consensus<Result<Applied, Refusal>>, options: Options) -> Self {
        let inner = Inner {
            store,
            consensus,
            options,
            rules: Rules { service_cidr: options.service_cidr },
            admission: Admission::default(),
            rights: Rights::default(),
            fair_shares: FairShares::default(),
            node_uses: NodeUses::default(),
            calls: OnceLock::new(),
            pins: Pins::default(),
            defined: Defined::default(),
            heartbeats: Heartbeats::new((options.now)()),
            events: Events::default(),
            routes: Routes::default(),
            turns: Turns::default(),
            identity: OnceLock::new(),
            keys: Keys::default(),
            only_node: OnceLock::new(),
            presence: latest::Sender::default(),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            reaches: Arc::new(Semaphore::new(reach::REACHES_MAX)),
            closing: CancellationToken::new(),
            looks: AtomicUsize::default(),
        };
        Self { inner: Arc::new(inner), caller: Arc::new(Caller::Cluster) }
    }

    /// The same Registry for somebody else: from now on it allows what that caller may do.
    #[must_use]
    pub fn for_caller(&self, caller: impl Into<Arc<Caller>>) -> Self {
        Self { inner: self.inner.clone(), caller: caller.into() }
    }

    /// For whom it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Allows what the caller wants to do, or says why not. Everything that is asked of a Registry begins here.
    ///
    /// What a node may do depends on its Pods, and this master may not know yet what was bound to it a moment ago: before a
    /// node is refused, the latest state is asked for and looked at. What a caller may do and the kind does not offer is refused
    /// here as well.
    ///
    /// # Errors
    /// If the caller may not do it, if it is not offered, or if the masters cannot agree on what is newest.
    pub async fn authorise(&self, access: Access<'_>) -> Result<(), Error> {
        if let Caller::User(user) = &*self.caller {
            user.authorise(access, || self.inner.rights.of(&self.state()))?;
            return access.offered();
        }
        match self.caller.authorise(access, || self.state(), &self.inner.node_uses) {
            Err(_) if matches!((&*self.caller, access), (Caller::Node { .. }, Access::Objects(_))) => {
                self.inner.consensus.read_barrier().await.map_err(|error| refused(&error))?;
                self.caller.authorise(access, || self.state(), &self.inner.node_uses)?;
            }
            decided => decided?,
        }
        access.offered()
    }

    /// The state as this master knows it.
    pub(crate) fn state(&self) -> View {
        if cfg!(debug_assertions) {
            self.inner.looks.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.store.view()
    }

    /// How often somebody looked at the state so far, for tests of what must not look. Counted in debug builds only.
    #[must_use]
    pub fn looks(&self) -> usize {
        self.inner.looks.load(Ordering::Relaxed)
    }

    /// Says who this master is when it calls the agents of nodes. Only the first call counts.
    pub fn introduce(&self, identity: Arc<Shared>) {
        let _ = self.inner.identity.set(identity);
    }

    /// Says who calls webhooks. Only the first call counts; without it, none can be asked.
    pub fn call_webhooks_by(&self, calls: Arc<dyn Calls>) {
        let _ = self.inner.calls.set(calls);
    }

    /// The time, by the Registry's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.inner.options.now)()
    }

    /// Ends all open watches, cleanly: each says where it is, so that its reader can go on elsewhere.
    pub fn close_watches(&self) {
        self.inner.closing.cancel();
    }

    /// Ends all open watches and stops this master's part in the log. What was acknowledged is durable without it.
    pub async fn shutdown(&self) {
        self.close_watches();
        self.inner.consensus.shutdown().await;
    }
}

/// A refusal of the log, in the words that tell a client whether to try again.
fn refused(error: &ProposeError) -> Error {
    let reason = match error {
        ProposeError::NoLeader { .. } | ProposeError::Stopped => Reason::ServiceUnavailable,
        ProposeError::Overloaded => Reason::TooManyRequests,
        ProposeError::TooLarge => Reason::RequestEntityTooLarge,
        ProposeError::Unknown => Reason::Timeout,
    };
    Error::new(reason, error)
}
