//! Moves bytes from a Service's address to a ready Pod.
//!
//! A [`Table`] says which address leads where; [`Proxy`] keeps a listener for each of them and swaps the table in one step,
//! so that the data path takes no lock. HTTP Pods of this node are handlers that were registered here: a request is handed
//! to one without a second socket. The crate knows neither masters nor Wasmtime.

mod affinity;
mod balance;
mod body;
mod download;
mod egress;
mod forwarded;
mod hop;
mod link;
mod listen;
mod locals;
mod masters;
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
use http::{Request, Response};
use rustls::ClientConfig;
use tokio::sync::mpsc;

use balance::Balancer;
pub use balance::Failure;
pub use body::{Body, BoxError};
pub use egress::{Denied, PodSocket, Ranges, is_special};
use egress::{Egress, Whose};
use listen::Listeners;
pub use listen::{News, Problem};
pub use locals::LocalHandler;
use locals::Locals;
pub use names::{Inside, Resolved};
pub use net::{Net, NetError, Way};
use outgoing::Outgoing;
pub use outgoing::SendError;
use serve::Server;
pub use shield::{Shield, ShieldError};
pub use table::{Aim, Endpoint, Headless, Named, Route, Speech, Table};

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
    balancer: Arc<Balancer>,
    server: Arc<Server>,
    listeners: Listeners,
    outgoing: Outgoing,
    /// How many names were looked up.
    lookups: AtomicUsize,
}

impl Proxy {
    /// A proxy without any route, and the stream of what it could not do. Call it within a Tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> (Self, mpsc::UnboundedReceiver<News>) {
        let (news, told) = mpsc::unbounded_channel();
        let locals = Arc::<Locals>::default();
        let egress = Arc::new(Egress::new(config.allow_external, locals.clone()));
        let balancer = Arc::new(Balancer::new(locals, egress));
        let server = Arc::new(Server::new(balancer.clone()));
        let inner = Arc::new(Inner {
            config,
            listeners: Listeners::new(server.clone(), news),
            outgoing: Outgoing::new(balancer.clone(), config.allow_external),
            balancer,
            server,
            lookups: AtomicUsize::new(0),
        });
        tokio::spawn(look_after(Arc::downgrade(&inner)));
        (Self { inner }, told)
    }

    /// Takes at most so many connections from now on: each costs up to two files.
    pub fn limit(&self, connections: usize) {
        self.inner.listeners.limit(connections);
    }

    /// Routes by a new table from now on: opens the addresses that it adds and closes those that it no longer has.
    /// Connections that are open stay; requests on them follow the new table.
    pub fn update(&self, table: Table) {
        let table = self.inner.balancer.update(table);
        let all = table.routes().map(|(address, route)| (address, &route.service));
        self.inner.listeners.set_services(|address| table.route(address).is_some(), all);
    }

    /// Tries at once to open what could not be opened. Call it when the machine has got new addresses.
    pub fn listen_again(&self) {
        self.inner.listeners.retry(|_| true);
    }

    /// Hands requests for a Pod's address to a handler, whichever Service they come through, and listens on the address.
    pub fn register_local(&self, pod: Key, address: SocketAddr, handler: LocalHandler) {
        self.inner.balancer.locals.insert(address, handler);
        self.inner.listeners.add_pod(pod, address);
    }

    /// Lets no request in to a Pod's address any more: it goes to another Pod of its Service, also if it comes from a node
    /// that does not know yet. The address still answers, to say so.
    pub fn close_local(&self, address: SocketAddr) {
        self.inner.balancer.locals.close(address);
    }

    /// Forgets a Pod's address; requests under way are answered.
    pub fn unregister_local(&self, address: SocketAddr) {
        self.inner.balancer.locals.remove(address);
        self.inner.listeners.remove(address);
    }

    /// Whether nothing can reach an address through a Service any more, and no request for it is under way.
    #[must_use]
    pub fn drained(&self, address: SocketAddr) -> bool {
        let balancer = &self.inner.balancer;
        !balancer.table().leads_to(address) && balancer.locals.in_flight(address) == 0
    }

    /// Passes requests on from an address of this node that none of its Pods can use, and believes what comes from such
    /// addresses of other nodes about its clients.
    pub fn set_nodes(&self, own: Option<IpAddr>, others: HashSet<IpAddr>) {
        self.inner.balancer.peers.pass_on_from(own);
        self.inner.server.believe(others);
    }

    /// Whether a Service leads to some port of a Pod.
    #[must_use]
    pub fn leads_to(&self, pod: IpAddr) -> bool {
        self.inner.balancer.table().leads_to_pod(pod)
    }

    /// Sends the request of a Pod at an address, in a namespace, to where its URI says. A Pod of this node is asked without
    /// a socket.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        request: Request<Body>,
        namespace: &str,
        from: IpAddr,
    ) -> Result<Response<Body>, SendError> {
        self.inner.outgoing.send(request, namespace, from).await
    }

    /// What a name means to a Pod in a namespace: `web`, `web.ns`, `web.ns.svc` or `web.ns.svc.cluster.local`, each with
    /// `pod-host.` before it for a Pod of a headless Service that has a hostname.
    #[must_use]
    pub fn resolve(&self, name: &str, namespace: &str) -> Resolved {
        names::resolve(&self.inner.balancer.table(), name, namespace, &self.inner.lookups)
    }

    /// The Pod that takes a connection of another Pod to a Service's address; `None` if the address is not a Service's or nobody
    /// is ready.
    #[must_use]
    pub fn pick(&self, address: SocketAddr, client: IpAddr) -> Option<SocketAddr> {
        self.inner.balancer.pick(address, client)
    }

    /// Whether an address is a Service's.
    #[must_use]
    pub fn is_service(&self, address: SocketAddr) -> bool {
        self.inner.balancer.is_service(address)
    }

    /// Where a connection of a Pod to an address really goes: for a Service's address to one of its Pods.
    ///
    /// # Errors
    /// If the Pod may not go there; see [`Denied`].
    pub fn way(&self, to: SocketAddr, from: IpAddr) -> Result<SocketAddr, Denied> {
        self.inner.balancer.way(to, from)
    }

    /// Whether a Pod of this node answers on an address: as a handler, or with a socket of its own.
    #[must_use]
    pub fn has_pod(&self, address: SocketAddr) -> bool {
        self.inner.balancer.egress.is_pods(address)
    }

    /// Tells what is known about addresses; `change` gets what was known so far.
    pub fn learn(&self, change: impl Fn(&mut Ranges)) {
        self.inner.balancer.egress.learn(change);
    }

    /// Lets Pods send requests over TLS to masters, called in this way. Only the first call counts.
    pub fn believe(&self, masters: Arc<ClientConfig>) {
        self.inner.outgoing.believe(masters);
    }

    /// Whether masters serve the API on an address.
    #[must_use]
    pub fn is_master(&self, address: SocketAddr) -> bool {
        self.inner.balancer.egress.permit(address) == Ok(Whose::Masters)
    }

    /// Says that a Pod of this node listens on an address with a socket of its own, for as long as what is returned is kept.
    #[must_use]
    pub fn listening(&self, address: SocketAddr) -> PodSocket {
        self.inner.balancer.egress.listening(address)
    }
}

/// Tries what could not be opened, and closes what is idle, as long as the proxy lives.
async fn look_after(inner: Weak<Inner>) {
    let mut every = tokio::time::interval(listen::RETRY_MIN);
    loop {
        every.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let now = Instant::now();
        inner.listeners.retry(|at| at <= now);
        inner.balancer.peers.sweep(now);
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
