//! The one door: every read and every write of the cluster's state, whichever language it was asked in.
//!
//! A write is decided by [`crate::door`], a pure function of the present state, and then proposed to the log, which carries
//! it out only if that state has not changed; if it has, the write is decided again. A read takes a view of the state that
//! Raft applied in this process. Nothing else proposes to the log.

mod bootstrap;
mod events;
mod feed;
mod found;
mod heartbeats;
mod joining;
mod lead;
mod logs;
mod modify;
mod pages;
mod presence;
pub(crate) mod read;
mod routes;
mod tokens;
mod watch;
mod write;

use std::sync::{Arc, OnceLock};

use api::{
    ChangeType, Error, Key, Kind, Reason, Revision, Timestamp,
    json::Strictness,
    selector::{Fields, Labels},
};
use consensus::{Consensus, ProposeError};
use rpc::identity::Shared;
use store::{Applied, Refusal, Store, View};
use tokio::sync::{Semaphore, watch as latest};
use tokio_util::sync::CancellationToken;

pub use api::{ApplyOutcome, PatchKind, ReadAt};
pub use events::{EVENTS_MAX, NODE_BURST, NODE_PER_SECOND};
pub use found::Found;
pub use heartbeats::{Heartbeat, Sign};
pub(crate) use joining::{Worker, holder};
pub use rpc::services::{LogChunk, LogRequest};
pub use tokens::{Invitation, JoinAs, Presented, TOKEN_LIFE, TOKEN_LIFE_MAX};

use crate::{
    access::Access,
    budget::WATCHES_MAX,
    caller::Caller,
    door::{Cidr, Rules},
};
use events::Events;
use heartbeats::Heartbeats;
use pages::Pins;

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
    pins: Pins,
    heartbeats: Heartbeats,
    events: Events,
    routes: routes::Routes,
    /// Who this master is to the agents of nodes; nobody in a cluster without TLS.
    identity: OnceLock<Arc<Shared>>,
    /// The only node of a cluster that nobody joins.
    only_node: OnceLock<Key>,
    /// Changes whenever somebody joins or leaves.
    presence: latest::Sender<u64>,
    /// Places for open watches.
    watches: Arc<Semaphore>,
    /// Cancelled when the process stops: open watches say where they are and end.
    closing: CancellationToken,
    /// How often somebody looked at the state.
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
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

/// The usual quota, in bytes: four times etcd's, since the state is in memory once and not beside a database.
pub const QUOTA_BYTES: usize = 8 << 30;

/// Which objects to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// Conditions on labels.
    pub labels: Labels,
    /// Conditions on fields.
    pub fields: Fields,
    /// The most objects to answer; `None` for all.
    pub limit: Option<usize>,
    /// The token of the previous page; `None` for the first.
    pub continue_: Option<String>,
    /// Which state; of no effect on pages after the first, which show the state of the first.
    pub at: ReadAt,
}

/// Some objects of one state, ordered by namespace and name.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// The objects.
    pub items: Vec<Found>,
    /// The state that was read; start a watch here.
    pub revision: Revision,
    /// Ask again with this token for the rest; `None` at the end.
    pub continue_: Option<String>,
    /// How many objects are left behind this page, if nothing was selected by labels or fields.
    pub remaining: Option<u64>,
}

/// Which changes to watch.
#[derive(Clone, Debug)]
pub struct WatchQuery {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// Conditions on labels.
    pub labels: Labels,
    /// Conditions on fields.
    pub fields: Fields,
    /// Where to begin.
    pub from: WatchFrom,
    /// Whether to send bookmarks now and then.
    pub bookmarks: bool,
    /// Whether to send a bookmark with `initial_end` once everything that existed was sent.
    pub send_initial_events: bool,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// With everything that exists, as additions.
    Existing(ReadAt),
    /// With what changes from now on.
    Now,
    /// With what changed after a revision.
    After(Revision),
}

/// What a watch says.
#[derive(Clone, Debug)]
pub enum Item {
    /// Something changed. An object that begins to match is reported as added, one that ceases to as deleted.
    Change {
        /// What happened.
        change: ChangeType,
        /// The object after the change; for a deletion its last state.
        object: Found,
        /// The revision of the change.
        revision: Revision,
    },
    /// Everything up to `revision` was sent.
    Bookmark {
        /// Where the watch is.
        revision: Revision,
        /// Everything that existed at the start was sent, and this was not said before.
        initial_end: bool,
    },
    /// Why the watch ends. Nothing follows.
    Error(Error),
}

/// How to write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Do everything but store the result.
    pub dry_run: bool,
    /// Who writes.
    pub field_manager: String,
    /// What to do with fields that nobody knows.
    pub field_validation: Strictness,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { dry_run: false, field_manager: String::new(), field_validation: Strictness::Warn }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object as stored; for a deletion that left nothing, its last state.
    pub object: Found,
    /// It did not exist before.
    pub created: bool,
    /// It does not exist any more.
    pub gone: bool,
    /// It was as wanted already; nothing was stored.
    pub unchanged: bool,
    /// What the writer should know, such as fields that mean nothing to a Wasm Pod.
    pub warnings: Vec<String>,
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
            pins: Pins::default(),
            heartbeats: Heartbeats::new((options.now)()),
            events: Events::default(),
            routes: routes::Routes::default(),
            identity: OnceLock::new(),
            only_node: OnceLock::new(),
            presence: latest::Sender::default(),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            closing: CancellationToken::new(),
            #[cfg(test)]
            looks: Default::default(),
        };
        Self { inner: Arc::new(inner), caller: Arc::new(Caller::Cluster) }
    }

    /// The same door for somebody else: from now on it allows what that caller may do.
    #[must_use]
    pub fn for_caller(&self, caller: impl Into<Arc<Caller>>) -> Self {
        Self { inner: self.inner.clone(), caller: caller.into() }
    }

    /// For whom this door is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Allows what the caller wants to do, or says why not. Everything that is asked of a Registry begins here.
    ///
    /// What a node may do depends on its Pods, and this master may not know yet what was bound to it a moment ago: a refusal
    /// is thought over again in the latest state.
    pub(crate) async fn authorise(&self, access: Access<'_>) -> Result<(), Error> {
        match self.caller.authorise(access, || self.state()) {
            Err(_) if matches!((&*self.caller, access), (Caller::Node { .. }, Access::Objects(_))) => {
                self.inner.consensus.read_barrier().await.map_err(|error| refused(&error))?;
                self.caller.authorise(access, || self.state())
            }
            decided => decided,
        }
    }

    /// The state as this master knows it.
    pub(crate) fn state(&self) -> View {
        #[cfg(test)]
        self.inner.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inner.store.view()
    }

    /// How often somebody looked at the state so far.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> usize {
        self.inner.looks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Says who this master is when it calls the agents of nodes. Only the first call counts.
    pub fn introduce(&self, identity: Arc<Shared>) {
        let _ = self.inner.identity.set(identity);
    }

    pub(crate) fn consensus(&self) -> &Consensus<Result<Applied, Refusal>> {
        &self.inner.consensus
    }

    pub(crate) fn quota_bytes(&self) -> usize {
        self.inner.options.quota_bytes
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

    /// Lets another master lead, if this one does, before it stops.
    pub async fn hand_over(&self) {
        self.inner.consensus.hand_over().await;
    }

    /// Ends all open watches and stops this master's part in the log. What was acknowledged is durable without it.
    pub async fn shutdown(&self) {
        self.close_watches();
        self.inner.consensus.shutdown().await;
    }
}

/// What a reader or writer does about a refusal of the log.
fn refused(error: &ProposeError) -> Error {
    let reason = match error {
        ProposeError::NoLeader { .. } | ProposeError::Stopped => Reason::ServiceUnavailable,
        ProposeError::Overloaded => Reason::TooManyRequests,
        ProposeError::TooLarge => Reason::RequestEntityTooLarge,
        ProposeError::Unknown => Reason::Timeout,
    };
    Error::new(reason, error)
}
