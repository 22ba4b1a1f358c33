//! The HTTP Pods of this node, by address.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use imbl::HashMap;

use crate::{Body, LocalHandler};

/// Handlers by address. Readers take no lock.
#[derive(Default)]
pub(crate) struct Locals(ArcSwap<HashMap<SocketAddr, Local>>);

/// One handler, and how many requests it is answering.
#[derive(Clone)]
pub(crate) struct Local {
    handler: LocalHandler,
    in_flight: Arc<AtomicUsize>,
}

impl Locals {
    pub(crate) fn insert(&self, address: SocketAddr, handler: LocalHandler) {
        let local = Local { handler, in_flight: Arc::default() };
        self.0.rcu(|all| all.update(address, local.clone()));
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.0.rcu(|all| all.without(&address));
    }

    pub(crate) fn get(&self, address: SocketAddr) -> Option<Local> {
        self.0.load().get(&address).cloned()
    }

    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.0.load().contains_key(&address)
    }

    pub(crate) fn in_flight(&self, address: SocketAddr) -> usize {
        self.get(address).map_or(0, |local| local.in_flight.load(Ordering::Acquire))
    }
}

impl Local {
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let _busy = Busy::new(&self.in_flight);
        (self.handler)(request).await
    }
}

/// Counts a request while it is answered, also if its client goes away.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::AcqRel);
        Self(counter)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
