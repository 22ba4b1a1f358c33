//! Gathers what a watch tells in quick succession. A write to a socket costs many times what it costs to copy an event into
//! it, and with hundreds of watchers each change means hundreds of writes.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use tokio::time::{Instant, Sleep};

/// The least time between two writes to a watcher for each watch that is open, unless there is much to write: about what a
/// write to each of them costs. Few watchers are told everything at once.
const PACE_EACH: Duration = Duration::from_micros(20);

/// The least time between two writes to one of very many watchers, which no client of Kubernetes notices. What comes after a
/// while of quiet goes at once; only what follows it waits.
const PACE_MAX: Duration = Duration::from_millis(10);

/// From so many items on a batch goes at once: it costs little for each of them.
const BATCH_ENOUGH: usize = 64;

/// The watches that are open. Cloning shares the number.
#[derive(Clone, Default)]
pub(crate) struct Watches(Arc<AtomicU32>);

/// One of them, open as long as it exists.
pub(crate) struct OpenWatch(Watches);

impl Watches {
    pub(crate) fn open(&self) -> OpenWatch {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenWatch(self.clone())
    }
}

impl OpenWatch {
    /// The least time between two writes.
    pub(crate) fn pace(&self) -> Duration {
        PACE_EACH.saturating_mul(self.0.0.load(Ordering::Relaxed)).min(PACE_MAX)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream of batches that are put together where they come in quick succession. Nothing is reordered or lost, and no more is
/// held than two batches.
pub(crate) struct Gather<S, T, P> {
    batches: Pin<Box<S>>,
    /// The least time between two batches.
    pace: P,
    held: Vec<T>,
    /// When the next batch may go, if there was one.
    next: Option<Instant>,
    /// Set while something is held.
    alarm: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl<S: Stream<Item = Vec<T>>, T, P: Fn() -> Duration> Gather<S, T, P> {
    pub(crate) fn new(batches: S, pace: P) -> Self {
        Self { batches: Box::pin(batches), pace, held: Vec::new(), next: None, alarm: None, is_over: false }
    }

    /// The held batch with what came since, once it may go.
    fn held(&mut self, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
        }
        match self.batches.as_mut().poll_next(cx) {
            Poll::Ready(Some(more)) => self.held.extend(more),
            Poll::Ready(None) => self.is_over = true,
            Poll::Pending => {}
        }
        Poll::Ready(std::mem::take(&mut self.held))
    }

    fn hold(&mut self, batch: Vec<T>, until: Instant) {
        self.held = batch;
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().reset(until),
            None => self.alarm = Some(Box::pin(tokio::time::sleep_until(until))),
        }
    }
}

impl<S: Stream<Item = Vec<T>>, T: Unpin, P: Fn() -> Duration + Unpin> Stream for Gather<S, T, P> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let this = self.get_mut();
        if this.held.is_empty() {
            if this.is_over {
                return Poll::Ready(None);
            }
            let Some(batch) = ready!(this.batches.as_mut().poll_next(cx)) else { return Poll::Ready(None) };
            let now = Instant::now();
            match this.next.filter(|next| *next > now && batch.len() < BATCH_ENOUGH) {
                Some(next) => this.hold(batch, next),
                None => {
                    this.next = Some(now + (this.pace)());
                    return Poll::Ready(Some(batch));
                }
            }
        }
        let batch = ready!(this.held(cx));
        this.next = Some(Instant::now() + (this.pace)());
        Poll::Ready(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn few_watchers_wait_for_nothing_and_many_not_for_long() {
        let watches = Watches::default();
        let alone = watches.open();
        assert_eq!(alone.pace(), PACE_EACH);
        let others: Vec<OpenWatch> = (0..100_000).map(|_| watches.open()).collect();
        assert_eq!(alone.pace(), PACE_MAX);
        drop(others);
        assert_eq!(alone.pace(), PACE_EACH);
    }

    #[tokio::test]
    async fn what_comes_first_goes_at_once_and_what_follows_waits() {
        let mut gathered = Gather::new(stream::iter([vec![1], vec![2], vec![3]]), || LONG);
        assert_eq!(gathered.next().await, Some(vec![1]));
        assert_eq!(gathered.next().now_or_never(), None, "it is not the time");
    }

    #[tokio::test]
    async fn nothing_is_lost_or_told_in_another_order() {
        for pace in [Duration::ZERO, Duration::from_millis(1)] {
            let numbers: Vec<u32> = (0..1000).collect();
            let batches: Vec<Vec<u32>> = numbers.chunks(7).map(<[u32]>::to_vec).collect();
            let told: Vec<Vec<u32>> = Gather::new(stream::iter(batches), move || pace).collect().await;
            assert_eq!(told.concat(), numbers);
        }
    }

    #[tokio::test]
    async fn what_waits_goes_with_what_came_meanwhile() {
        let mut gathered = Gather::new(stream::iter([vec![1], vec![2], vec![3], vec![4]]), || LONG);
        assert_eq!(gathered.next().await, Some(vec![1]));
        assert_eq!(gathered.next().now_or_never(), None);
        // The hour is over.
        gathered.alarm = None;
        assert_eq!(gathered.next().await, Some(vec![2, 3]));
        assert_eq!(gathered.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn much_goes_at_once() {
        let batch = || vec![0; BATCH_ENOUGH];
        let mut gathered = Gather::new(stream::iter([batch(), batch(), vec![1]]), || LONG);
        assert_eq!(gathered.next().now_or_never(), Some(Some(batch())));
        assert_eq!(gathered.next().now_or_never(), Some(Some(batch())));
        assert_eq!(gathered.next().now_or_never(), None);
    }
}
