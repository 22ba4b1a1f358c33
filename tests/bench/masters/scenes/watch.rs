//! What a change costs with many watchers, each with a stream of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    door::value,
    figures::median,
    fill::{CONNECTIONS, fill},
    group::{Group, Reach},
    load::quantile,
    settings::Settings,
    table,
};

/// So many watch.
const WATCHERS: [usize; 3] = [1, 100, 1000];

/// Time between changes.
const EVERY: Duration = Duration::from_millis(50);

/// How long the slowest watcher is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many objects change in turn.
const OBJECTS: u64 = 10;

/// One run: milliseconds until a change was acknowledged and seen, microseconds of processor time an event.
#[derive(Clone, Copy)]
struct Outcome {
    put_ms: f64,
    seen_ms: f64,
    cpu_us: f64,
}

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    let groups = settings.groups(1).await?;
    for group in &groups {
        fill(group, OBJECTS).await?;
    }
    for watchers in WATCHERS {
        let mut outcomes = vec![Vec::new(); groups.len()];
        for _ in 0..settings.rounds {
            for (group, outcomes) in groups.iter().zip(&mut outcomes) {
                outcomes.push(measure(group, watchers, settings).await?);
            }
        }
        let rows = |figure: fn(&Outcome) -> f64| -> Vec<(String, f64)> {
            let of = |outcomes: &Vec<Outcome>| median(outcomes.iter().map(figure).collect());
            groups.iter().zip(&outcomes).map(|(group, outcomes)| (group.name(), of(outcomes))).collect()
        };
        table::figures(&format!("{watchers} watchers: put p50"), "ms", &rows(|outcome| outcome.put_ms));
        table::figures("  seen p50", "ms", &rows(|outcome| outcome.seen_ms));
        table::figures("  CPU an event", "µs", &rows(|outcome| outcome.cpu_us));
    }
    Ok(())
}

async fn measure(group: &Group, watchers: usize, settings: &Settings) -> Result<Outcome> {
    let epoch = Instant::now();
    let doors = group.doors(watchers.min(CONNECTIONS), Reach::Leader).await?;
    let (seen, mut sights) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for watcher in 0..watchers {
        let (door, seen) = (doors[watcher % doors.len()].clone(), seen.clone());
        tasks.spawn(async move {
            let mut changes = door.watch().await?;
            changes.next().await.context("the watch has ended")?;
            let _ = seen.send(0.0);
            while let Some(values) = changes.next().await {
                let now = epoch.elapsed().as_micros() as f64;
                for value in values {
                    let put: f64 = value.get(..20).and_then(|text| text.parse().ok()).context("a value of ours")?;
                    let _ = seen.send((now - put) / 1e3);
                }
            }
            anyhow::Ok(())
        });
    }
    for _ in 0..watchers {
        tokio::time::timeout(PATIENCE, sights.recv()).await.context("a watch does not begin")?;
    }
    let writer = group.doors(1, Reach::Leader).await?.remove(0);
    writer.get(0).await?;
    let changes = (settings.each.as_millis() / EVERY.as_millis()).max(1) as u64 * 2;
    let (mut ticks, mut puts) = (tokio::time::interval(EVERY), Vec::new());
    let before = group.cpu();
    for change in 0..changes {
        ticks.tick().await;
        let start = Instant::now();
        writer.put(change % OBJECTS, value(epoch.elapsed().as_micros() as u64)).await?;
        puts.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let events = changes as usize * watchers;
    let mut times = Vec::with_capacity(events);
    while times.len() < events {
        let sight = tokio::time::timeout(PATIENCE, sights.recv()).await.context("an event is missing")?;
        times.push(sight.context("all watchers have ended")?);
    }
    let cpu_us = (group.cpu() - before).as_secs_f64() * 1e6 / events as f64;
    times.sort_by(f64::total_cmp);
    Ok(Outcome { put_ms: median(puts), seen_ms: quantile(&times, 0.5), cpu_us })
}
