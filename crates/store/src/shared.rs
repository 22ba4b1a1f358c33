//! What the writer and all readers share: the state as it is, and the history of each kind.

use std::sync::{Arc, Mutex, MutexGuard};

use api::Kind;
use arc_swap::ArcSwap;

use crate::{
    View,
    history::{Lane, lock},
};

#[derive(Debug)]
pub(crate) struct Shared {
    view: ArcSwap<View>,
    /// In the order of [`Kind::ALL`].
    lanes: Vec<Mutex<Lane>>,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self { view: ArcSwap::from_pointee(view), lanes: Kind::ALL.iter().map(|_| Mutex::default()).collect() }
    }

    /// The state as it is now.
    pub(crate) fn view(&self) -> View {
        View::clone(&self.view.load())
    }

    /// Shows readers another state.
    pub(crate) fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// The history of a kind.
    pub(crate) fn lane(&self, kind: Kind) -> MutexGuard<'_, Lane> {
        lock(&self.lanes[kind as usize])
    }
}
