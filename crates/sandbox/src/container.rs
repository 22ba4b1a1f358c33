//! A running workload: its life, its books, and the handle that callers hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::cpu::{Meter, Ticker};
use crate::http::{HttpHandle, Service};
use crate::log::Log;
use crate::spec::{Spec, Stdin};

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

    pub(crate) fn out_of_memory(limit_bytes: u64) -> Self {
        let message = format!("needed more than its memory limit of {limit_bytes} bytes");
        Self { code: CODE_KILLED, reason: ExitReason::OomKilled, message }
    }

    pub(crate) fn killed() -> Self {
        Self { code: CODE_KILLED, reason: ExitReason::Killed, message: String::new() }
    }

    fn terminated() -> Self {
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

/// A running workload. Clones are the same container; it goes on when all of them are dropped, until it ends or the process does.
#[derive(Clone)]
pub struct Container {
    shared: Arc<Shared>,
    service: Option<Arc<Service>>,
    runtime: Handle,
}

impl Container {
    pub(crate) fn new(shared: Arc<Shared>, service: Option<Arc<Service>>, runtime: Handle) -> Self {
        Self { shared, service, runtime }
    }

    /// Waits until the container has ended and says how; at once if it already has. HTTP containers end by `stop` or `kill` only.
    pub async fn exited(&self) -> Exit {
        self.shared.ended().await
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        match &*self.shared.phase.borrow() {
            Phase::Ended(exit) => Some(exit.clone()),
            Phase::Running | Phase::Stopping | Phase::Killed(_) => None,
        }
    }

    /// Ends it now; a guest in a loop stops within a few milliseconds. Requests in flight get 503.
    pub fn kill(&self) {
        self.shared.kill(Exit::killed());
        if self.service.is_some() {
            self.shared.end(Exit::killed());
        }
    }

    /// Asks it to end, and ends it after `grace`. A command sees the end of its input if it was started with
    /// `Stdin::OpenUntilStop`, and is ended at once if not: it has no signals, so it could not use the time. An HTTP container
    /// takes no new requests (503) and ends as `Completed` when the last one is answered.
    pub fn stop(&self, grace: Duration) {
        if !self.shared.ask_to_stop() {
            return;
        }
        if self.service.is_none() && !self.shared.hears_stop {
            return self.shared.kill(Exit::terminated());
        }
        let container = self.clone();
        self.runtime.spawn(async move {
            let quiet = async {
                match &container.service {
                    Some(service) => {
                        service.drained().await;
                        container.shared.end(Exit::with_code(0));
                    }
                    None => drop(container.shared.ended().await),
                }
            };
            if tokio::time::timeout(grace, quiet).await.is_err() {
                container.kill();
            }
        });
    }

    /// Waits until a request has failed for want of memory, and says how. Later requests go on in fresh instances. One caller
    /// at a time; what happened while nobody waited is told once.
    pub async fn out_of_memory(&self) -> Exit {
        self.shared.starved.notified().await;
        Exit::out_of_memory(self.shared.memory.limit)
    }

    /// Whether a command that runs has come to wait for something outside, or has computed for a while: it has not failed at
    /// its very start, however slow the machine is.
    pub fn has_settled(&self) -> bool {
        self.shared.meter.has_settled()
    }

    /// The way to send requests; `None` for commands.
    pub fn http(&self) -> Option<HttpHandle> {
        self.service.clone().map(HttpHandle::new)
    }

    /// CPU time of the guest so far.
    pub fn cpu_used(&self) -> Duration {
        self.shared.meter.used()
    }

    /// What it used and did so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Container").field("exit", &self.exit()).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Where a container is in its life; only ever moves forward.
#[derive(Clone, Debug)]
enum Phase {
    Running,
    Stopping,
    Killed(Exit),
    Ended(Exit),
}

/// The rank of a container that was ended by force.
const KILLED: u8 = 2;

impl Phase {
    fn rank(&self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Stopping => 1,
            Self::Killed(_) => KILLED,
            Self::Ended(_) => 3,
        }
    }
}

/// What all instances of a container have in common.
pub(crate) struct Shared {
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

impl Shared {
    pub(crate) fn new(spec: &Spec, ticker: Arc<Ticker>) -> Arc<Self> {
        Arc::new(Self {
            meter: Arc::new(Meter::new(spec.limits.cpu_millis, spec.limits.cpu_weight_millis)),
            memory: Memory::new(spec.limits.memory_bytes),
            log: Arc::new(Log::new(Arc::clone(&spec.log))),
            ticker,
            requests: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            starved: Notify::new(),
            hears_stop: spec.stdin == Stdin::OpenUntilStop,
            phase: watch::Sender::new(Phase::Running),
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.borrow().rank() >= Phase::Stopping.rank()
    }

    pub(crate) async fn stopping(&self) {
        self.reached(Phase::Stopping.rank()).await;
    }

    pub(crate) async fn killed(&self) {
        self.reached(KILLED).await;
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

    fn kill(&self, exit: Exit) {
        self.advance(Phase::Killed(exit));
        self.meter.kill();
    }

    /// Whether this call was the first to ask.
    fn ask_to_stop(&self) -> bool {
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

    async fn reached(&self, rank: u8) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| phase.rank() >= rank).await;
    }

    async fn ended(&self) -> Exit {
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

    fn stats(&self) -> Stats {
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

    /// Whether a further 64 KiB, the least that a memory grows by, would be refused.
    pub(crate) fn is_tight(&self) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(64 << 10) > self.limit
    }

    /// Returns what was taken.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
