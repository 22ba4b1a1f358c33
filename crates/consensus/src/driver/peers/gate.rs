//! Who writes files beside the log's own threads: all of them must have ended before the directory is free for others.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Counts the writers and waits for their end.
#[derive(Debug, Default)]
pub(in crate::driver) struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    is_closed: bool,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(in crate::driver) struct Pass(Arc<Gate>);

impl Gate {
    /// Lets a writer in; nobody once the gate is closed.
    pub(in crate::driver) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        state.inside += 1;
        Some(Pass(self.clone()))
    }

    /// Lets nobody in any more and waits until all have left.
    pub(in crate::driver) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        while state.inside > 0 {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.left.notify_all();
    }
}
