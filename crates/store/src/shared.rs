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
    /// By [`Kind::row`]: a lane a kind, and one for all that users have defined.
    lanes: Vec<Mutex<Lane>>,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self { view: ArcSwap::from_pointee(view), lanes: (0..Kind::ROWS).map(|_| Mutex::default()).collect() }
    }

    /// The state as it is now.
    pub(crate) fn view(&self) -> View {
        View::clone(&self.view.load())
    }

    /// Shows readers another state.
    pub(crate) fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// The history in which changes of a kind are, by [`Kind::row`].
    pub(crate) fn lane(&self, row: usize) -> MutexGuard<'_, Lane> {
        lock(&self.lanes[row])
    }
}
