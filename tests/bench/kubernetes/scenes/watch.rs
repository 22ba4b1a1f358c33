//! What a change costs with many watchers, each with a connection of its own, over HTTP and over WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;

use crate::{
    client::Ask,
    figures::median,
    load::quantile,
    members::PATIENCE,
    objects::{self, Sort, numbered},
    rival::Rival,
    settings::Settings,
    table,
};

/// Time between changes: where they are rare, and where they come in quick succession.
const EVERY: [(&str, Duration); 2] = [("rare", Duration::from_millis(100)), ("quick", Duration::from_millis(2))];

/// So many objects change in turn.
const OBJECTS: usize = 10;

/// What one run does.
#[derive(Clone, Copy)]
struct Run {
    every: Duration,
    changes: u64,
    /// The number of its first change: no two changes are alike, since one that changes nothing is no event.
    first: u64,
}

/// What came of it: milliseconds until a change is seen, microseconds of processor time for each watcher of each change.
#[derive(Clone, Copy)]
struct Outcome {
    seen_ms: f64,
    cpu_us: f64,
    /// What the servers' memory grew by while they watched, for each watcher.
    memory_kib: f64,
}

/// How changes are told.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// As lines of an answer.
    Lines,
    /// As messages of a WebSocket.
    Messages,
}

impl Way {
    /// Where the objects are that change.
    fn namespace(self) -> &'static str {
        match self {
            Self::Lines => objects::NAMESPACES[2],
            Self::Messages => objects::NAMESPACES[4],
        }
    }
}

pub(crate) async fn play(way: Way, sort: Sort, watchers: usize, rivals: &[Rival], settings: &Settings) -> Result<()> {
    for rival in rivals {
        objects::fill(rival, sort, way.namespace(), OBJECTS).await?;
    }
    println!("  {watchers} watchers; the CPU is that of an event for one of them, the patch included");
    let mut first = 1;
    for (pace, every) in EVERY {
        let mut outcomes = vec![Vec::new(); rivals.len()];
        for _ in 0..settings.rounds {
            let run = Run { every, first, changes: (settings.each.as_millis() / every.as_millis()).max(1) as u64 * 2 };
            first += run.changes;
            for (rival, outcomes) in rivals.iter().zip(&mut outcomes) {
                outcomes.push(measure(rival, run, way, (sort, watchers)).await?);
            }
        }
        let rows = |figure: fn(&Outcome) -> f64| -> Vec<(String, f64)> {
            let of = |outcomes: &Vec<Outcome>| median(outcomes.iter().map(figure).collect());
            rivals.iter().zip(&outcomes).map(|(rival, outcomes)| (rival.name.to_owned(), of(outcomes))).collect()
        };
        table::figures(&format!("{pace} changes: CPU an event"), "µs", &rows(|outcome| outcome.cpu_us));
        table::figures("  seen p50", "ms", &rows(|outcome| outcome.seen_ms));
        table::figures("  memory a watcher", "KiB", &rows(|outcome| outcome.memory_kib));
    }
    Ok(())
}

async fn measure(rival: &Rival, run: Run, way: Way, (sort, count): (Sort, usize)) -> Result<Outcome> {
    let (mut writer, namespace) = (rival.client().await?, way.namespace());
    let list = writer.read(&format!("{}?limit=1", sort.collection(namespace))).await?;
    let version = list.pointer("/metadata/resourceVersion").and_then(|text| text.as_str());
    let version = version.context("a list has a version")?.to_owned();
    let (seen, mut sights) = mpsc::unbounded_channel();
    let (mut watchers, resident_mib) = (JoinSet::new(), rival.resident_mib());
    for mut client in rival.clients(count).await? {
        let path = format!("{}?watch=true&resourceVersion={version}", sort.collection(namespace));
        let seen = seen.clone();
        // The client goes along, since its connection ends with it.
        match way {
            Way::Lines => {
                let body = client.open(Ask::new(Method::GET, &path)).await?.into_body();
                watchers.spawn(async move { (client, tell_lines(body, seen).await) });
            }
            Way::Messages => {
                let socket = client.socket(&path).await?;
                watchers.spawn(async move { (client, tell_messages(socket, seen).await) });
            }
        }
    }
    let (mut ticks, mut starts) = (tokio::time::interval(run.every), Vec::new());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let before = rival.cpu();
    for change in 0..run.changes {
        ticks.tick().await;
        starts.push(Instant::now());
        let object = sort.path(namespace, &numbered(change as usize % OBJECTS));
        let number = run.first + change;
        writer.send(Ask::new(Method::PATCH, &object).merge_patch(sort.patch(number))).await?;
    }
    let events = starts.len() * count;
    let mut times = Vec::with_capacity(events);
    while times.len() < events {
        let sight = tokio::time::timeout(PATIENCE, sights.recv()).await.context("an event is missing")?;
        let (number, at) = sight.context("all watchers have ended")?;
        let Some(start) = starts.get(number) else { bail!("{}: more events than changes", rival.name) };
        times.push((at - *start).as_secs_f64() * 1e3);
    }
    let cpu_us = (rival.cpu() - before).as_secs_f64() * 1e6 / events as f64;
    times.sort_by(f64::total_cmp);
    let memory_kib = (rival.resident_mib() - resident_mib) * 1024.0 / count as f64;
    Ok(Outcome { seen_ms: quantile(&times, 0.5), cpu_us, memory_kib })
}

/// Tells when which event has come: each is a line.
async fn tell_lines(mut body: Incoming, seen: mpsc::UnboundedSender<(usize, Instant)>) -> Result<()> {
    let mut lines = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        for _ in data.iter().filter(|byte| **byte == b'\n') {
            let _ = seen.send((lines, Instant::now()));
            lines += 1;
        }
    }
    Ok(())
}

/// The same where each is a message.
async fn tell_messages(
    mut socket: WebSocketStream<TokioIo<Upgraded>>,
    seen: mpsc::UnboundedSender<(usize, Instant)>,
) -> Result<()> {
    let mut messages = 0;
    while let Some(message) = socket.next().await {
        if message?.is_text() {
            let _ = seen.send((messages, Instant::now()));
            messages += 1;
        }
    }
    Ok(())
}
