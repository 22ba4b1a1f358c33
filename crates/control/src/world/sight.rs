//! An object as it was observed: kept as whoever told of it keeps it, and decoded while somebody looks at it.
//!
//! Controllers look at few of a large cluster's objects at a time, and a decoded Pod takes several times the memory of its
//! bytes, which the state has anyway.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use api::{Kept, Object, Revision};

#[derive(Debug)]
pub(super) struct Sight {
    pub(super) revision: Revision,
    kept: Arc<dyn Kept>,
    decoded: OnceLock<Arc<Object>>,
    /// Whether somebody has looked since this was last asked.
    looked: AtomicBool,
}

impl Sight {
    pub(super) fn new(kept: Arc<dyn Kept>, revision: Revision) -> Self {
        Self { revision, kept, decoded: OnceLock::new(), looked: AtomicBool::new(false) }
    }

    pub(super) fn object(&self) -> &Arc<Object> {
        self.looked.store(true, Ordering::Relaxed);
        self.decoded.get_or_init(|| self.kept.clone().decoded())
    }

    /// Lets go of the decoded value if nobody has looked at it since this was last called.
    pub(super) fn cool(&mut self) {
        if !std::mem::take(self.looked.get_mut()) {
            self.let_go();
        }
    }

    pub(super) fn let_go(&mut self) {
        self.decoded = OnceLock::new();
    }
}
