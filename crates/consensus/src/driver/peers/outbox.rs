//! What waits for a connection to another member: bounded by bytes, and dropped rather than waited for.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// A queue from any thread into one task.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    state: Mutex<Waiting<T>>,
    arrived: Notify,
    bytes_max: usize,
    is_connected: AtomicBool,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    bytes: usize,
    is_closed: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new(bytes_max: usize) -> Self {
        let state = Mutex::new(Waiting { items: VecDeque::new(), bytes: 0, is_closed: false });
        Self { state, arrived: Notify::new(), bytes_max, is_connected: AtomicBool::new(false) }
    }

    /// Queues something of so many bytes; false if there is no room. Something always fits into an empty queue.
    pub(super) fn push(&self, item: T, bytes: usize) -> bool {
        let mut state = self.lock();
        if state.is_closed || (state.bytes + bytes > self.bytes_max && !state.items.is_empty()) {
            return false;
        }
        state.items.push_back(item);
        state.bytes += bytes;
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Waits for something and takes everything; `None` once the queue is closed and empty. For one task only.
    pub(super) async fn next(&self) -> Option<VecDeque<T>> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.lock();
                if !state.items.is_empty() {
                    state.bytes = 0;
                    return Some(std::mem::take(&mut state.items));
                }
                if state.is_closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.items.clear();
        state.bytes = 0;
    }

    /// Takes nothing from now on; what waits still goes out.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_drops_and_a_closed_one_is_emptied() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(1, 50), "a large item fits when nothing else waits");
        assert!(!outbox.push(2, 1));
        assert_eq!(outbox.next().await, Some([1].into()));
        assert!(outbox.push(3, 6) && outbox.push(4, 4));
        outbox.close();
        assert!(!outbox.push(5, 0));
        assert_eq!(outbox.next().await, Some([3, 4].into()));
        assert_eq!(outbox.next().await, None);
    }
}
