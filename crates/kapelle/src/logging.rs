//! What the process says about itself, on standard error. A line that repeats itself thousands of times a second fills the
//! disk that it complains about, so each place in the code has a burst, and then one line a second.

use std::{
    collections::HashMap,
    fmt,
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Format, Writer},
    },
    layer::{Context, Filter, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// What is said unless `RUST_LOG` asks for something else: warnings, and our own milestones.
const DEFAULT: &str = "warn,kapelle=info";

/// The most lines that one place in the code says at once: as many as a screen shows.
const BURST_LINES: u32 = 20;

/// How long such a place then waits for each further line.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Starts logging; later calls do nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = lines(std::io::stderr, std::io::stderr().is_terminal(), Instant::now);
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Lines for a writer, moderated by a clock.
fn lines<S, W>(writer: W, colours: bool, clock: fn() -> Instant) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let moderator = Arc::new(Moderator { clock, flows: Mutex::default() });
    let format =
        Moderated { inner: tracing_subscriber::fmt::format().with_target(false), moderator: moderator.clone() };
    let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(writer).with_ansi(colours);
    // Else a standard error that takes nothing would end the process: the complaint about it goes the same way, and panics.
    let layer = layer.log_internal_errors(false);
    layer.with_filter(Gate(moderator))
}

/// How much each place in the code has said lately.
struct Moderator {
    clock: fn() -> Instant,
    flows: Mutex<HashMap<Identifier, Flow>>,
}

impl Moderator {
    fn with<T>(&self, place: &Metadata<'_>, work: impl FnOnce(&mut Flow, Instant) -> T) -> T {
        let now = (self.clock)();
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        work(flows.entry(place.callsite()).or_insert_with(|| Flow::new(now)), now)
    }
}

/// The lines of one place.
struct Flow {
    /// So many may still be said at once.
    left: u32,
    /// Since when the count holds.
    since: Instant,
    /// So many were not said since the last one that was.
    omitted: u64,
}

impl Flow {
    fn new(now: Instant) -> Self {
        Self { left: BURST_LINES, since: now, omitted: 0 }
    }

    /// Whether one more may be said now.
    fn takes(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.since).as_nanos() / LINE_EVERY.as_nanos();
        if let Ok(earned @ 1..) = u32::try_from(earned) {
            self.left = self.left.saturating_add(earned).min(BURST_LINES);
            self.since = now;
        }
        if self.left == 0 {
            self.omitted += 1;
            return false;
        }
        self.left -= 1;
        true
    }

    /// What a reader must know of the lines that are missing.
    fn remark(&mut self) -> Option<String> {
        match std::mem::take(&mut self.omitted) {
            0 if self.left == 0 => Some("from now on lines like this one are written once a second at most".to_owned()),
            0 => None,
            omitted => Some(format!("{omitted} lines like this one were left out")),
        }
    }
}

/// Lets through what a place may still say.
struct Gate(Arc<Moderator>);

impl<S> Filter<S> for Gate {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.0.with(event.metadata(), Flow::takes)
    }
}

/// The usual lines, with a remark where some are missing.
struct Moderated {
    inner: Format,
    moderator: Arc<Moderator>,
}

impl<S, N> FormatEvent<S, N> for Moderated
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        self.inner.format_event(context, writer.by_ref(), event)?;
        match self.moderator.with(event.metadata(), |flow, _| flow.remark()) {
            Some(remark) => writeln!(writer, "  ({remark})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{
        io::Write,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::*;

    /// Seconds since the test began.
    static SECONDS: AtomicU64 = AtomicU64::new(0);

    fn clock() -> Instant {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        *BEGIN.get_or_init(Instant::now) + Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn complain() {
        tracing::warn!(error = "No space left on device", "a log could not be written");
    }

    /// A full disk made a log of 20,000 lines a second.
    #[test]
    fn what_is_said_again_and_again_is_said_once_a_second() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::registry().with(lines(move || writer.clone(), false, clock));
        tracing::subscriber::with_default(subscriber, || {
            (0..20_000).for_each(|_| complain());
            tracing::warn!("something else");
            SECONDS.store(1, Ordering::Relaxed);
            (0..20_000).for_each(|_| complain());
            SECONDS.store(600, Ordering::Relaxed);
            complain();
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(count("could not be written"), BURST_LINES as usize + 2, "{text}");
        assert_eq!(count("something else"), 1, "{text}");
        assert_eq!(count("once a second at most"), 1, "{text}");
        assert_eq!(count("(19980 lines like this one were left out)"), 1, "{text}");
        assert_eq!(count("(19999 lines like this one were left out)"), 1, "{text}");
    }
}
