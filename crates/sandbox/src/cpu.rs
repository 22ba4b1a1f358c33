//! Who may compute, and for how long.
//!
//! A guest is a future. `Metered` wraps it and measures every poll; the engine's epoch callback (`on_tick`) runs
//! inside such a poll about once a millisecond and decides whether the guest goes on, gives way or ends. The two share
//! what they know about the present poll in a thread local, because a store cannot be reached from outside while it runs.
//!
//! A poll runs on the thread of its caller, which is the data path: there a guest may compute for `INLINE_BUDGET` and is then
//! carried over to the guests' own threads, where limits and weights count.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop::{Unconstrained, unconstrained};
use wasmtime::{Engine, UpdateDeadline};

/// Time between two epochs. A looping guest is stopped within a few of them.
const TICK: Duration = Duration::from_millis(1);

/// How long one poll may hold a thread of the data path. Quick requests need a tenth of that.
const INLINE_BUDGET: Duration = Duration::from_millis(1);

/// After so many epochs in which no guest ran, the ticker sleeps until one does: an idle node wakes nobody.
const IDLE_TICKS: u32 = 50;

/// CPU that a container with a limit may use at once after a rest, as time at its full rate; the period of Kubernetes' quotas.
const QUOTA_PERIOD: Duration = Duration::from_millis(100);

/// A weight of one core (1,000 millis) computes for so long before it gives way; lighter ones for proportionally less.
const SLICE_PER_CORE: Duration = Duration::from_millis(10);

/// A command that has computed for so long has begun its work: what fails at its start fails long before.
const SETTLED_CPU: Duration = Duration::from_millis(100);

const _: () = {
    assert!(TICK.as_nanos() <= INLINE_BUDGET.as_nanos(), "a budget is looked at once a tick");
    assert!(TICK.as_nanos() <= SLICE_PER_CORE.as_nanos(), "the shortest slice is longer than the longest");
};

/// Whose thread a poll holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// The caller's: the data path.
    Callers,
    /// One of the guests' own.
    Guests,
}

/// What `on_tick` has to know about the poll it is in.
#[derive(Clone, Copy)]
struct Turn {
    thread: Thread,
    began: Instant,
    budget_spent: bool,
}

thread_local! {
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// CPU time of one container: what it used, and whether it may use more.
pub(crate) struct Meter {
    used_ns: AtomicU64,
    quota: Option<Quota>,
    slice: Duration,
    killed: AtomicBool,
    waited: AtomicBool,
}

impl Meter {
    /// For a limit of so many thousandths of a core (`None`: unlimited) and a weight in the same unit.
    pub(crate) fn new(limit_millis: Option<u32>, weight_millis: u32) -> Self {
        let slice = SLICE_PER_CORE.mul_f64(f64::from(weight_millis) / 1_000.0);
        Self {
            used_ns: AtomicU64::new(0),
            quota: limit_millis.map(Quota::new),
            slice: slice.clamp(TICK, SLICE_PER_CORE),
            killed: AtomicBool::new(false),
            waited: AtomicBool::new(false),
        }
    }

    /// Whether a guest has come to wait for something outside (a socket, a clock, input), or has computed for a while. Unlike a
    /// time, this says the same on a busy machine.
    pub(crate) fn has_settled(&self) -> bool {
        self.waited.load(Ordering::Relaxed) || self.used() >= SETTLED_CPU
    }

    /// CPU time so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }

    /// Ends every guest of the container at its next epoch.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    /// Whether `kill` was called.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// How long the container has to pause because of its limit; `None` if it may run.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.quota.as_ref().and_then(|quota| quota.debt(Instant::now()))
    }

    fn charge(&self, used: Duration) {
        self.used_ns.fetch_add(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(quota) = &self.quota {
            quota.charge(used, Instant::now());
        }
    }

    /// What a guest of this container does at an epoch.
    pub(crate) fn on_tick(&self) -> UpdateDeadline {
        if self.is_killed() {
            return UpdateDeadline::Interrupt;
        }
        let Some(turn) = TURN.get() else {
            return UpdateDeadline::Yield(1);
        };
        let elapsed = turn.began.elapsed();
        let goes_on = match turn.thread {
            Thread::Callers => elapsed < INLINE_BUDGET,
            Thread::Guests => {
                elapsed < self.slice && !self.quota.as_ref().is_some_and(|quota| quota.ends_with(elapsed))
            }
        };
        if goes_on {
            return UpdateDeadline::Continue(1);
        }
        TURN.set(Some(Turn { budget_spent: true, ..turn }));
        UpdateDeadline::Yield(1)
    }
}

/// A bucket of CPU time that fills at the rate of the limit and may be overdrawn; the debt is paid in waiting.
struct Quota {
    /// CPU nanoseconds a nanosecond of wall time brings.
    rate: f64,
    level: Mutex<Level>,
}

struct Level {
    /// CPU nanoseconds in hand; negative is debt.
    nanos: f64,
    at: Instant,
}

impl Quota {
    fn new(limit_millis: u32) -> Self {
        let rate = f64::from(limit_millis.max(1)) / 1_000.0;
        let nanos = rate * QUOTA_PERIOD.as_nanos() as f64;
        Self { rate, level: Mutex::new(Level { nanos, at: Instant::now() }) }
    }

    fn with<R>(&self, now: Instant, act: impl FnOnce(&mut f64) -> R) -> R {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = self.rate * now.saturating_duration_since(level.at).as_nanos() as f64;
        level.at = now;
        level.nanos = (level.nanos + gained).min(self.rate * QUOTA_PERIOD.as_nanos() as f64);
        act(&mut level.nanos)
    }

    fn charge(&self, used: Duration, now: Instant) {
        self.with(now, |nanos| *nanos -= used.as_nanos() as f64);
    }

    fn debt(&self, now: Instant) -> Option<Duration> {
        let nanos = self.with(now, |nanos| *nanos);
        (nanos < 0.0).then(|| Duration::from_nanos((-nanos / self.rate) as u64))
    }

    /// Whether a poll that has taken `elapsed` so far has used up what is in hand.
    fn ends_with(&self, elapsed: Duration) -> bool {
        self.with(Instant::now(), |nanos| *nanos <= elapsed.as_nanos() as f64)
    }
}

/// A guest's future under its container's meter. Epochs bound what it does in one poll, so Tokio's own budget, which
/// would make ready things look pending, is lifted.
pub(crate) struct Metered<F> {
    work: Unconstrained<F>,
    meter: Arc<Meter>,
    ticker: Arc<Ticker>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<F: Future + Unpin> Metered<F> {
    pub(crate) fn new(work: F, meter: Arc<Meter>, ticker: Arc<Ticker>) -> Self {
        Self { work: unconstrained(work), meter, ticker, pause: None }
    }

    /// One poll on the data path; says whether the guest has spent the time that it may spend there.
    pub(crate) fn poll_inline(&mut self, cx: &mut Context<'_>) -> (Poll<F::Output>, bool) {
        self.turn(cx, Thread::Callers)
    }

    fn turn(&mut self, cx: &mut Context<'_>, thread: Thread) -> (Poll<F::Output>, bool) {
        let began = Instant::now();
        let before = TURN.replace(Some(Turn { thread, began, budget_spent: false }));
        let cpu_before = cpu_clock(thread);
        self.ticker.enter();
        let result = Pin::new(&mut self.work).poll(cx);
        self.ticker.leave();
        self.meter.charge(match cpu_before {
            Some(before) => thread_cpu().saturating_sub(before),
            None => began.elapsed(),
        });
        let spent = TURN.replace(before).is_some_and(|turn| turn.budget_spent);
        if result.is_pending() && !spent {
            self.meter.waited.store(true, Ordering::Relaxed);
        }
        (result, spent)
    }

    /// Waits as long as the container's limit wants it to.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.meter.pause() {
                Some(rest) => self.pause = Some(Box::pin(tokio::time::sleep(rest))),
                None => return Poll::Ready(()),
            }
        }
    }
}

/// As a future of its own it runs on the guests' threads.
impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        std::task::ready!(self.poll_pause(cx));
        self.turn(cx, Thread::Guests).0
    }
}

/// Two system calls a poll would be a tenth of a quick request, so inline polls, a millisecond long at most, count wall time.
fn cpu_clock(thread: Thread) -> Option<Duration> {
    match thread {
        Thread::Callers => None,
        Thread::Guests => Some(thread_cpu()),
    }
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The thread that advances the engines' epochs while guests run.
pub(crate) struct Ticker {
    running: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: Mutex<Option<std::thread::Thread>>,
    engines: Mutex<Vec<Engine>>,
}

impl Ticker {
    /// Starts the thread. It ends when the last handle but its own is gone.
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: Mutex::new(None),
            engines: Mutex::new(Vec::new()),
        });
        let own = Arc::clone(&ticker);
        let thread = std::thread::Builder::new().name("sandbox-ticker".into()).spawn(move || own.run())?;
        *ticker.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
        Ok(ticker)
    }

    /// Also advances the epochs of `engine` from now on.
    pub(crate) fn add(&self, engine: Engine) {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn enter(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    fn run(&self) {
        let mut idle = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            std::thread::park_timeout(TICK);
            for engine in &*self.engines.lock().unwrap_or_else(PoisonError::into_inner) {
                engine.increment_epoch();
            }
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
        }
    }

    /// `enter` counts first and looks at `asleep` second, this does the opposite, so one of the two sees the other.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// Lowers the priority of the calling thread and of threads that it starts.
pub(crate) fn be_nice(nice: i32) {
    // On Linux this call changes one thread, not the process. It cannot fail when it lowers.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Meter, QUOTA_PERIOD, Quota, SLICE_PER_CORE, TICK};

    /// A quota of so many thousandths of a core, and when it began.
    fn quota(millis: u32) -> (Quota, Instant) {
        let quota = Quota::new(millis);
        let began = quota.level.lock().expect("nobody panicked").at;
        (quota, began)
    }

    #[test]
    fn what_is_overdrawn_is_paid_in_waiting_at_the_rate_of_the_limit() {
        let (half, began) = quota(500);
        assert_eq!(half.debt(began), None, "it begins with a period's worth");
        half.charge(QUOTA_PERIOD, began);
        assert_eq!(
            half.debt(began),
            Some(QUOTA_PERIOD),
            "half of it was in hand, and the other half takes twice as long"
        );
        assert_eq!(half.debt(began + QUOTA_PERIOD / 2), Some(QUOTA_PERIOD / 2));
        assert_eq!(half.debt(began + QUOTA_PERIOD), None);
    }

    #[test]
    fn a_rest_brings_no_more_than_a_period() {
        let (whole, began) = quota(1_000);
        let later = began + 100 * QUOTA_PERIOD;
        whole.charge(2 * QUOTA_PERIOD, later);
        assert_eq!(whole.debt(later), Some(QUOTA_PERIOD));
    }

    #[test]
    fn lighter_containers_give_way_sooner_but_not_before_a_tick() {
        let slice = |weight| Meter::new(None, weight).slice;
        assert_eq!([slice(4_000), slice(1_000), slice(500)], [SLICE_PER_CORE, SLICE_PER_CORE, SLICE_PER_CORE / 2]);
        assert_eq!(slice(1), TICK);
    }

    #[test]
    fn a_command_has_settled_when_it_has_computed_for_a_while() {
        let meter = Meter::new(None, 1_000);
        meter.charge(Duration::from_millis(99));
        assert!(!meter.has_settled());
        meter.charge(Duration::from_millis(1));
        assert!(meter.has_settled() && meter.used() == Duration::from_millis(100));
        assert_eq!(meter.pause(), None, "without a limit nobody pauses");
    }
}
