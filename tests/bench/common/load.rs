//! A closed loop of so many clients, and what came of it.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::figures::median;

/// So long clients run before they are measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of all servers an operation.
    pub(crate) cpu_us: f64,
    pub(crate) failed: u64,
}

impl Outcome {
    /// Medians, figure by figure.
    pub(crate) fn middle(outcomes: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(outcomes.iter().map(figure).collect());
        Self {
            per_second: of(|outcome| outcome.per_second),
            p50_ms: of(|outcome| outcome.p50_ms),
            p99_ms: of(|outcome| outcome.p99_ms),
            cpu_us: of(|outcome| outcome.cpu_us),
            failed: outcomes.iter().map(|outcome| outcome.failed).sum(),
        }
    }
}

/// The value below which a share of sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Every client asks again as soon as it was answered. `ask` is told who asks and how often it has; `cpu` says what the
/// servers have used so far.
pub(crate) async fn run<F>(
    clients: usize,
    each: Duration,
    cpu: impl Fn() -> Duration,
    ask: impl Fn(usize, u64) -> F + Clone + Send + 'static,
) -> Outcome
where
    F: Future<Output = Result<()>> + Send,
{
    let from = Instant::now() + WARM_UP;
    let until = from + each;
    let mut workers = JoinSet::new();
    for client in 0..clients {
        let ask = ask.clone();
        workers.spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0);
            for count in 0.. {
                let start = Instant::now();
                if start >= until {
                    break;
                }
                let is_ok = ask(client, count).await.is_ok();
                let end = Instant::now();
                if !is_ok {
                    failed += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                } else if end >= from && end < until {
                    times.push((end - start).as_secs_f64() * 1e3);
                }
            }
            (times, failed)
        });
    }
    tokio::time::sleep_until(from.into()).await;
    let before = cpu();
    tokio::time::sleep_until(until.into()).await;
    let used = cpu().saturating_sub(before);
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(worker) = workers.join_next().await {
        let (mine, broken) = worker.expect("a client does not panic");
        times.extend(mine);
        failed += broken;
    }
    times.sort_by(f64::total_cmp);
    Outcome {
        per_second: times.len() as f64 / each.as_secs_f64(),
        p50_ms: quantile(&times, 0.5),
        p99_ms: quantile(&times, 0.99),
        cpu_us: used.as_secs_f64() * 1e6 / times.len() as f64,
        failed,
    }
}
