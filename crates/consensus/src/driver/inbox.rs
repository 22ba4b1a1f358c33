//! A queue into a thread: pushing never waits, taking takes everything at once.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What waits, in two classes: the thread's own business is always taken, callers' work only up to a budget.
#[derive(Debug)]
pub(super) struct Inbox<W, C> {
    state: Mutex<Waiting<W, C>>,
    arrived: Condvar,
    budget: Budget,
}

/// The most that may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Waiting<W, C> {
    work: Vec<W>,
    work_bytes: usize,
    control: Vec<C>,
    is_closed: bool,
    /// Nobody needs to be woken while the thread is busy: it looks again before it sleeps.
    is_asleep: bool,
}

/// Why work was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Too much waits.
    Full,
    /// The thread takes nothing any more.
    Closed,
}

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken<W, C> {
    pub(super) work: Vec<W>,
    pub(super) control: Vec<C>,
    pub(super) is_closed: bool,
}

impl<W, C> Inbox<W, C> {
    pub(super) fn new(budget: Budget) -> Self {
        let state =
            Waiting { work: Vec::new(), work_bytes: 0, control: Vec::new(), is_closed: false, is_asleep: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), budget }
    }

    /// Queues a caller's work of so many bytes.
    pub(super) fn push(&self, work: W, bytes: usize) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Rejected::Closed);
        }
        if state.work.len() >= self.budget.items || state.work_bytes + bytes > self.budget.bytes {
            return Err(Rejected::Full);
        }
        state.work.push(work);
        state.work_bytes += bytes;
        self.wake(state);
        Ok(())
    }

    /// Queues the thread's own business.
    pub(super) fn tell(&self, control: C) {
        let mut state = self.lock();
        state.control.push(control);
        self.wake(state);
    }

    /// Takes nothing from now on; what waits is still handed out.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, Waiting<W, C>>) {
        let was_asleep = std::mem::take(&mut state.is_asleep);
        drop(state);
        if was_asleep {
            self.arrived.notify_one();
        }
    }

    /// Takes everything, waiting for something until the time is over. For one thread only.
    pub(super) fn take(&self, wait_max: Duration) -> Taken<W, C> {
        let mut state = self.lock();
        if state.work.is_empty() && state.control.is_empty() && !state.is_closed && !wait_max.is_zero() {
            state.is_asleep = true;
            let is_idle = |state: &mut Waiting<W, C>| state.is_asleep;
            let waited = self.arrived.wait_timeout_while(state, wait_max, is_idle);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.is_asleep = false;
        }
        state.work_bytes = 0;
        Taken {
            work: std::mem::take(&mut state.work),
            control: std::mem::take(&mut state.control),
            is_closed: state.is_closed,
        }
    }

    /// A thread that panicked in here leaves a queue that is still whole.
    fn lock(&self) -> MutexGuard<'_, Waiting<W, C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_refused_beyond_the_budget_but_business_is_not() {
        let inbox: Inbox<u8, u8> = Inbox::new(Budget { items: 2, bytes: 10 });
        assert_eq!(inbox.push(1, 6), Ok(()));
        assert_eq!(inbox.push(2, 6), Err(Rejected::Full));
        assert_eq!(inbox.push(3, 4), Ok(()));
        assert_eq!(inbox.push(4, 0), Err(Rejected::Full));
        inbox.tell(5);
        inbox.close();
        assert_eq!(inbox.push(6, 0), Err(Rejected::Closed));
        let taken = inbox.take(Duration::ZERO);
        assert_eq!((taken.work, taken.control, taken.is_closed), (vec![1, 3], vec![5], true));
    }
}
