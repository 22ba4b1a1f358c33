//! The HTTP Pods of this node, by address.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use http::{Request, Response};
use imbl::HashMap;

use crate::body::Body;

/// Answers requests for an HTTP Pod of this node.
pub type LocalHandler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Handlers by address. Readers take no lock.
#[derive(Default)]
pub(crate) struct Locals(ArcSwap<HashMap<SocketAddr, Local>>);

/// One handler.
#[derive(Clone)]
pub(crate) struct Local {
    handler: LocalHandler,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    in_flight: AtomicUsize,
    is_closed: AtomicBool,
}

impl Locals {
    pub(crate) fn insert(&self, address: SocketAddr, handler: LocalHandler) {
        let local = Local { handler, state: Arc::default() };
        self.0.rcu(|all| all.update(address, local.clone()));
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.close(address);
        self.0.rcu(|all| all.without(&address));
    }

    /// Lets nothing more in.
    pub(crate) fn close(&self, address: SocketAddr) {
        if let Some(local) = self.get(address) {
            local.state.is_closed.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn get(&self, address: SocketAddr) -> Option<Local> {
        self.0.load().get(&address).cloned()
    }

    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.0.load().contains_key(&address)
    }

    pub(crate) fn in_flight(&self, address: SocketAddr) -> usize {
        self.get(address).map_or(0, |local| local.state.in_flight.load(Ordering::SeqCst))
    }
}

impl Local {
    /// Lets the Pod answer; gives the request back if it takes none any more.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
        // First the count, then the look: whoever closes looks the other way round, so that nothing slips through.
        let _busy = Busy::new(&self.state.in_flight);
        if self.state.is_closed.load(Ordering::SeqCst) {
            return Err(request);
        }
        Ok((self.handler)(request).await)
    }
}

/// Counts a request while it is answered, also if its client goes away.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
