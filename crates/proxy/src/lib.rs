//! Moves bytes from a Service's address to a ready Pod.
//!
//! A [`Table`] says which address leads where; [`Proxy`] keeps a listener for each of them and swaps the table in one step,
//! so that the data path takes no lock. HTTP Pods of this node are handlers that were registered here: a request is handed
//! to one without a second socket. The crate knows neither masters nor Wasmtime.

mod affinity;
mod balance;
mod egress;
mod forwarded;
mod hop;
mod link;
mod listen;
mod locals;
mod names;
mod net;
mod outbound;
mod outgoing;
mod peers;
mod replay;
mod serve;
mod shield;
mod sniff;
mod strict;
mod table;
#[cfg(test)]
mod tests;
mod trailers;
mod tunnel;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak, atomic::AtomicUsize},
    time::Instant,
};

use api::Key;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{Semaphore, mpsc, watch};

pub use balance::Failure;
pub use egress::{Denied, PodSocket, Ranges, is_special};
pub use listen::{News, Problem};
pub use names::{Inside, Resolved};
pub use net::{Net, NetError, Way};
pub use outgoing::SendError;
pub use shield::{Shield, ShieldError};
pub use table::{Aim, Endpoint, Headless, Named, Route, Speech, Table};

/// Whatever went wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Answers requests for an HTTP Pod of this node.
pub type LocalHandler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The most connections at the same time, to all Services and Pods of a node together.
const CONNECTIONS_MAX: usize = 16_384;

/// How the proxy behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether Pods may reach hosts outside the cluster.
    pub allow_external: bool,
}

/// The proxy of a node. Cloning shares it; it ends with its runtime.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    table: ArcSwap<Table>,
    /// Says that the table is another one.
    changed: watch::Sender<()>,
    peers: peers::Peers,
    /// From where other nodes' proxies pass requests on.
    nodes: ArcSwap<HashSet<IpAddr>>,
    locals: Arc<locals::Locals>,
    egress: Arc<egress::Egress>,
    /// For connections at the same time.
    places: Arc<Semaphore>,
    listeners: listen::Listeners,
    /// How many names were looked up.
    lookups: AtomicUsize,
    outgoing: outgoing::Outgoing,
}

impl Proxy {
    /// A proxy without any route, and the stream of what it could not do. Call it within a Tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> (Self, mpsc::UnboundedReceiver<News>) {
        let (news, told) = mpsc::unbounded_channel();
        let locals = Arc::<locals::Locals>::default();
        let egress = Arc::new(egress::Egress::new(config.allow_external, locals.clone()));
        let inner = Inner {
            config,
            table: ArcSwap::from_pointee(Table::default()),
            changed: watch::Sender::new(()),
            peers: peers::Peers::default(),
            nodes: ArcSwap::default(),
            locals,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            listeners: listen::Listeners::new(news),
            lookups: AtomicUsize::new(0),
            outgoing: outgoing::Outgoing::new(egress.clone()),
            egress,
        };
        let inner = Arc::new(inner);
        tokio::spawn(look_after(Arc::downgrade(&inner)));
        (Self { inner }, told)
    }

    /// Takes at most so many connections from now on: each costs up to two files.
    pub fn limit(&self, connections: usize) {
        self.inner.places.forget_permits(CONNECTIONS_MAX.saturating_sub(connections));
    }

    /// Routes by a new table from now on: opens the addresses that it adds and closes those that it no longer has.
    /// Connections that are open stay; requests on them follow the new table.
    pub fn update(&self, mut table: Table) {
        table.inherit(&self.inner.table.load());
        let table = Arc::new(table);
        self.inner.table.store(table.clone());
        self.inner.peers.retain(&table);
        self.inner.changed.send_replace(());
        let all = table.routes().map(|(address, route)| (address, &route.service));
        self.inner.listeners.set_services(self, |address| table.route(address).is_some(), all);
    }

    /// Tries at once to open what could not be opened. Call it when the machine has got new addresses.
    pub fn listen_again(&self) {
        self.inner.listeners.retry(self, |_| true);
    }

    /// Hands requests for a Pod's address to a handler, whichever Service they come through, and listens on the address.
    pub fn register_local(&self, pod: Key, address: SocketAddr, handler: LocalHandler) {
        self.inner.locals.insert(address, handler);
        self.inner.listeners.add_pod(self, pod, address);
    }

    /// Lets no request in to a Pod's address any more: it goes to another Pod of its Service, also if it comes from a node
    /// that does not know yet. The address still answers, to say so.
    pub fn close_local(&self, address: SocketAddr) {
        self.inner.locals.close(address);
    }

    /// Forgets a Pod's address; requests under way are answered.
    pub fn unregister_local(&self, address: SocketAddr) {
        self.inner.locals.remove(address);
        self.inner.listeners.remove(address);
    }

    /// Whether nothing can reach an address through a Service any more, and no request for it is under way.
    #[must_use]
    pub fn drained(&self, address: SocketAddr) -> bool {
        !self.inner.table.load().leads_to(address) && self.inner.locals.in_flight(address) == 0
    }

    /// Passes requests on from an address of this node that none of its Pods can use, and believes what comes from such
    /// addresses of other nodes about its clients.
    pub fn set_nodes(&self, own: Option<IpAddr>, others: HashSet<IpAddr>) {
        self.inner.peers.pass_on_from(own);
        self.inner.nodes.store(Arc::new(others));
    }

    fn origin(&self, client: IpAddr) -> forwarded::Origin {
        if self.inner.nodes.load().contains(&client) {
            forwarded::Origin::Node
        } else {
            forwarded::Origin::Client(client)
        }
    }

    /// Whether a Service leads to some port of a Pod.
    #[must_use]
    pub fn leads_to(&self, pod: IpAddr) -> bool {
        self.inner.table.load().leads_to_pod(pod)
    }
}

/// Tries what could not be opened, and closes what is idle, as long as the proxy lives.
async fn look_after(inner: Weak<Inner>) {
    let mut every = tokio::time::interval(listen::RETRY_MIN);
    loop {
        every.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let (proxy, now) = (Proxy { inner }, Instant::now());
        proxy.inner.listeners.retry(&proxy, |at| at <= now);
        proxy.inner.peers.sweep(now);
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
