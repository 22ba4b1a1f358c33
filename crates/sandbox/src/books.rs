//! The books of a container: what it may use, what it has used and done, and where it is in its life.
//!
//! Everything that runs a guest writes here; none of it needs to know the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::cpu::{Meter, Ticker};
use crate::grants::{Limits, LogSink, Stdin};
use crate::log::Log;

/// A page of linear memory, in bytes.
const PAGE_BYTES: u64 = 64 << 10;

/// What a shell reports for a process that died of SIGABRT; WebAssembly hosts report traps so.
const CODE_TRAPPED: i32 = 134;

/// What a shell reports for a process that died of SIGKILL.
const CODE_KILLED: i32 = 137;

/// What a shell reports for a process that died of SIGTERM.
const CODE_TERMINATED: i32 = 143;

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Returned, or exited with 0.
    Completed,
    /// Exited with another code, or trapped.
    Error,
    /// Was refused memory beyond its limit and did not survive that.
    OomKilled,
    /// Ended by `kill` or `stop`.
    Killed,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The guest's own code (components can only give 0 and 1); 134 after a trap, 137 when killed or out of memory, 143 when
    /// it was asked to stop and had no way to hear that.
    pub code: i32,
    /// Why.
    pub reason: ExitReason,
    /// What happened, for people: a trap with the guest's function, the limit that was hit. Empty if there is nothing to say.
    pub message: String,
}

impl Exit {
    pub(crate) fn with_code(code: i32) -> Self {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        Self { code, reason, message: String::new() }
    }

    pub(crate) fn trapped(message: String) -> Self {
        Self { code: CODE_TRAPPED, reason: ExitReason::Error, message }
    }

    fn out_of_memory(limit_bytes: u64) -> Self {
        let message = format!("needed more than its memory limit of {limit_bytes} bytes");
        Self { code: CODE_KILLED, reason: ExitReason::OomKilled, message }
    }

    pub(crate) fn killed() -> Self {
        Self { code: CODE_KILLED, reason: ExitReason::Killed, message: String::new() }
    }

    pub(crate) fn terminated() -> Self {
        Self { code: CODE_TERMINATED, reason: ExitReason::Killed, message: String::new() }
    }
}

/// What a container has used and done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time of the guest and of its host calls.
    pub cpu: Duration,
    /// Linear memory now, in bytes, over all instances.
    pub memory_bytes: u64,
    /// The most linear memory at any moment, in bytes.
    pub memory_peak_bytes: u64,
    /// Requests that came to the guest.
    pub requests: u64,
    /// Requests and runs that trapped.
    pub traps: u64,
    /// Times that more memory was refused because of the limit.
    pub memory_refused: u64,
    /// Requests that got no answer in time.
    pub timeouts: u64,
}

/// Where a container is in its life; only ever moves forward.
#[derive(Clone, Debug)]
enum Phase {
    Running,
    Stopping,
    Killed(Exit),
    Ended(Exit),
}

/// How far a container is, without how it ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Running,
    Stopping,
    Killed,
    Ended,
}

impl Phase {
    fn rank(&self) -> Rank {
        match self {
            Self::Running => Rank::Running,
            Self::Stopping => Rank::Stopping,
            Self::Killed(_) => Rank::Killed,
            Self::Ended(_) => Rank::Ended,
        }
    }
}

/// The books of one container, kept by all its instances and whoever runs them: what it may use, what it has used and done, and
/// where it is in its life.
pub(crate) struct Books {
    pub(crate) meter: Arc<Meter>,
    pub(crate) memory: Memory,
    pub(crate) log: Arc<Log>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) requests: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    /// Told when a request fails for want of memory.
    pub(crate) starved: Notify,
    /// Whether the guest learns that it is asked to stop.
    hears_stop: bool,
    phase: watch::Sender<Phase>,
}

impl Books {
    /// Opens the books of a container that begins to run.
    pub(crate) fn open(limits: Limits, log: LogSink, stdin: Stdin, ticker: Arc<Ticker>) -> Arc<Self> {
        Arc::new(Self {
            meter: Arc::new(Meter::new(limits.cpu_millis, limits.cpu_weight_millis)),
            memory: Memory::new(limits.memory_bytes),
            log: Arc::new(Log::new(log)),
            ticker,
            requests: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            starved: Notify::new(),
            hears_stop: stdin == Stdin::OpenUntilStop,
            phase: watch::Sender::new(Phase::Running),
        })
    }

    /// Whether the guest learns that it is asked to stop.
    pub(crate) fn hears_stop(&self) -> bool {
        self.hears_stop
    }

    /// How a container ends that was refused memory and did not survive that.
    pub(crate) fn out_of_memory(&self) -> Exit {
        Exit::out_of_memory(self.memory.limit)
    }

    /// How the container ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match &*self.phase.borrow() {
            Phase::Ended(exit) => Some(exit.clone()),
            Phase::Running | Phase::Stopping | Phase::Killed(_) => None,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.borrow().rank() >= Rank::Stopping
    }

    pub(crate) async fn stopping(&self) {
        self.reached(Rank::Stopping).await;
    }

    pub(crate) async fn killed(&self) {
        self.reached(Rank::Killed).await;
    }

    /// How a container that was ended by force ends.
    pub(crate) fn forced_exit(&self) -> Exit {
        match &*self.phase.borrow() {
            Phase::Killed(exit) | Phase::Ended(exit) => exit.clone(),
            Phase::Running | Phase::Stopping => Exit::killed(),
        }
    }

    /// Records how the container ended; the first call counts.
    pub(crate) fn end(&self, exit: Exit) {
        self.advance(Phase::Ended(exit));
    }

    /// Ends every guest of the container, and records how it will have ended.
    pub(crate) fn kill(&self, exit: Exit) {
        self.advance(Phase::Killed(exit));
        self.meter.kill();
    }

    /// Whether this call was the first to ask.
    pub(crate) fn ask_to_stop(&self) -> bool {
        self.advance(Phase::Stopping)
    }

    fn advance(&self, next: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let forward = phase.rank() < next.rank();
            if forward {
                *phase = next;
            }
            forward
        })
    }

    async fn reached(&self, rank: Rank) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| phase.rank() >= rank).await;
    }

    /// Waits until the container has ended.
    pub(crate) async fn ended(&self) -> Exit {
        let mut phase = self.phase.subscribe();
        loop {
            if let Phase::Ended(exit) = &*phase.borrow_and_update() {
                return exit.clone();
            }
            if phase.changed().await.is_err() {
                return Exit::killed();
            }
        }
    }

    /// What the container used and did so far.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            cpu: self.meter.used(),
            memory_bytes: self.memory.used.load(Ordering::Relaxed),
            memory_peak_bytes: self.memory.peak.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            traps: self.traps.load(Ordering::Relaxed),
            memory_refused: self.memory.refused.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
        }
    }
}

/// Linear memory of a container, summed over all memories of all its instances.
pub(crate) struct Memory {
    pub(crate) limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

impl Memory {
    fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), peak: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Whether `more` bytes still fit; if so they are taken.
    pub(crate) fn take(&self, more: u64) -> bool {
        let grown = |used: u64| used.checked_add(more).filter(|sum| *sum <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) {
            Ok(before) => {
                self.peak.fetch_max(before + more, Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Whether the least that a memory grows by would be refused.
    pub(crate) fn is_tight(&self) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(PAGE_BYTES) > self.limit
    }

    /// Returns what was taken.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Books, Exit, ExitReason, Memory, PAGE_BYTES};
    use crate::cpu::Ticker;
    use crate::grants::{Limits, Stdin};

    fn books() -> Arc<Books> {
        let ticker = Ticker::start().expect("a thread");
        ticker.stop();
        Books::open(Limits::default(), Arc::new(|_, _| {}), Stdin::Empty, ticker)
    }

    #[test]
    fn a_life_only_moves_forward_and_the_first_end_counts() {
        let books = books();
        assert!(!books.is_stopping() && books.exit().is_none());
        assert!(books.ask_to_stop() && !books.ask_to_stop(), "only the first call asks");
        assert!(books.is_stopping() && books.exit().is_none());
        books.kill(Exit::terminated());
        assert!(books.meter.is_killed() && books.exit().is_none(), "its guests are still to end");
        assert_eq!(books.forced_exit(), Exit::terminated());
        books.end(Exit::with_code(0));
        books.end(Exit::killed());
        books.kill(Exit::killed());
        assert_eq!(books.exit(), Some(Exit::with_code(0)));
        assert!(!books.ask_to_stop(), "what has ended cannot be asked");
    }

    #[test]
    fn codes_say_how_it_ended() {
        let reasons = |exit: Exit| (exit.code, exit.reason);
        assert_eq!(reasons(Exit::with_code(0)), (0, ExitReason::Completed));
        assert_eq!(reasons(Exit::with_code(7)), (7, ExitReason::Error));
        assert_eq!(reasons(Exit::trapped(String::new())), (134, ExitReason::Error));
        assert_eq!(reasons(books().out_of_memory()), (137, ExitReason::OomKilled));
        assert_eq!(reasons(Exit::killed()), (137, ExitReason::Killed));
        assert_eq!(reasons(Exit::terminated()), (143, ExitReason::Killed));
    }

    #[test]
    fn memory_is_counted_over_all_instances_up_to_the_limit() {
        let memory = Memory::new(3 * PAGE_BYTES);
        assert!(memory.take(2 * PAGE_BYTES) && !memory.is_tight());
        assert!(!memory.take(2 * PAGE_BYTES), "that is a page too much");
        assert!(!memory.take(u64::MAX), "nor does a sum that overflows fit");
        assert!(memory.take(PAGE_BYTES) && memory.is_tight());
        memory.give_back(3 * PAGE_BYTES);
        assert!(!memory.is_tight());
        let books = books();
        assert!(books.memory.take(PAGE_BYTES) && !books.memory.take(u64::MAX));
        books.memory.give_back(PAGE_BYTES);
        let stats = books.stats();
        assert_eq!((stats.memory_bytes, stats.memory_peak_bytes, stats.memory_refused), (0, PAGE_BYTES, 1));
    }
}
