//! Moves bytes from a Service's address to a ready Pod.
//!
//! A [`Table`] says which address leads where; [`Proxy`] keeps a listener for each of them and swaps the table in one step,
//! so that the data path takes no lock. HTTP Pods of this node are handlers that were registered here: a request is handed
//! to one without a second socket. The crate knows neither masters nor Wasmtime.

mod listen;
mod locals;
mod names;
mod net;
mod outgoing;
mod serve;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use api::Key;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;

pub use listen::Problem;
pub use names::Resolved;
pub use net::{Net, NetError, Way};
pub use outgoing::SendError;
pub use table::{Endpoint, Route, Table};

/// Whatever went wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Answers requests for an HTTP Pod of this node.
pub type LocalHandler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

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
    locals: locals::Locals,
    listeners: Mutex<HashMap<SocketAddr, listen::Listener>>,
    problems: mpsc::UnboundedSender<Problem>,
    outgoing: outgoing::Outgoing,
}

impl Proxy {
    /// A proxy without any route, and the stream of what it could not do. Call it within a Tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> (Self, mpsc::UnboundedReceiver<Problem>) {
        let (problems, told) = mpsc::unbounded_channel();
        let inner = Inner {
            config,
            table: ArcSwap::from_pointee(Table::default()),
            locals: locals::Locals::default(),
            listeners: Mutex::default(),
            problems,
            outgoing: outgoing::Outgoing::new(),
        };
        (Self { inner: Arc::new(inner) }, told)
    }

    /// Routes by a new table from now on: opens the addresses that it adds and closes those that it no longer has.
    /// Connections that are open stay; requests on them follow the new table.
    pub fn update(&self, table: Table) {
        let table = Arc::new(table);
        self.inner.table.store(table.clone());
        let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|address, listener| listener.is_pod() || table.route(*address).is_some());
        for (address, route) in table.routes() {
            if let Entry::Vacant(vacant) = listeners.entry(address) {
                match listen::service(self.clone(), address) {
                    Ok(listener) => {
                        vacant.insert(listener);
                    }
                    Err(error) => self.complain(route.service.clone(), address, &error),
                }
            }
        }
    }

    /// Hands requests for a Pod's address to a handler, whichever Service they come through, and listens on the address.
    pub fn register_local(&self, pod: Key, address: SocketAddr, handler: LocalHandler) {
        self.inner.locals.insert(address, handler);
        match listen::pod(self.clone(), address) {
            Ok(listener) => {
                let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
                listeners.insert(address, listener);
            }
            Err(error) => self.complain(pod, address, &error),
        }
    }

    /// Forgets a Pod's address; requests under way are answered.
    pub fn unregister_local(&self, address: SocketAddr) {
        self.inner.locals.remove(address);
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }

    /// Whether nothing can reach an address through a Service any more, and no request for it is under way.
    #[must_use]
    pub fn drained(&self, address: SocketAddr) -> bool {
        !self.inner.table.load().leads_to(address) && self.inner.locals.in_flight(address) == 0
    }

    fn complain(&self, about: Key, address: SocketAddr, error: &std::io::Error) {
        // Nobody listens only while the process ends.
        let _ = self.inner.problems.send(Problem::new(about, address, error));
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
