//! The rows of the table, what each of them demands, and the test that makes it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    accidents,
    load::{Load, Sum},
    road,
    stage::{REST, Service, Stage, WORKERS},
};

/// Something that happens while clients ask.
struct Change {
    name: &'static str,
    /// Where clients are.
    clients: &'static [&'static str],
    service: Service,
    /// How long a client rests between two requests.
    rest: Duration,
    allows: Allows,
    /// Does it and waits until everything is as it should be; answers how long that took.
    work: fn(&mut Stage, &Load) -> Duration,
}

/// How many requests may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allows {
    None,
    /// A Pod that is killed takes along what it was answering: at most one request of each client.
    OneOfEach,
}

/// A row of the table.
struct Row {
    name: &'static str,
    sum: Sum,
    settled: Option<Duration>,
    complaint: Option<String>,
}

/// Something that operators do, which nobody notices.
const PLAN: Change = Change {
    name: "",
    clients: &WORKERS,
    service: Service::Web,
    rest: REST,
    allows: Allows::None,
    work: |_, _| Duration::ZERO,
};

/// Something that happens to the third worker's host: its own clients may notice.
const ACCIDENT: Change = Change { clients: &["w1", "w2"], allows: Allows::OneOfEach, ..PLAN };

const CHANGES: &[Change] = &[
    Change { name: "two rollouts", work: |stage, load| road::rollouts(stage, load, 2), ..PLAN },
    Change {
        name: "two rollouts, sessionAffinity",
        service: Service::Sticky,
        work: |stage, load| road::rollouts(stage, load, 2),
        ..PLAN
    },
    Change { name: "drain of a node", work: |stage, load| road::drain(stage, load, "w3"), ..PLAN },
    Change { name: "scale 50 to 1", work: road::shrink, ..PLAN },
    Change { name: "grow 1 to 30, from one node to three", work: road::grow, ..PLAN },
    Change { name: "slow and large bodies through a rollout", work: road::bodies, ..PLAN },
    Change { name: "kill -9 of a worker", work: accidents::kill, ..ACCIDENT },
    Change { name: "a worker is cut off", work: accidents::cut_off, ..ACCIDENT },
    Change { name: "a worker restarts", work: accidents::restart, ..ACCIDENT },
    Change { name: "a worker's host reboots", work: accidents::reboot, ..ACCIDENT },
    Change { name: "a worker restarts without any master", work: accidents::restart_without_masters, ..ACCIDENT },
    Change { name: "a new worker joins", work: accidents::newcomer, ..PLAN },
    Change { name: "a master moves to another address", work: accidents::master_moves, ..PLAN },
    Change { name: "a worker's disk is full", work: accidents::full_disk, ..PLAN },
    Change { name: "a host's daemon on a Service's port", work: accidents::daemon, ..PLAN },
    Change { name: "HTTP/2 with prior knowledge", work: accidents::http2, ..PLAN },
    Change { name: "no more Pods than a range has addresses", work: accidents::ranges, ..PLAN },
];

/// The long form's last row.
const LONG: Change = Change {
    name: "300,000 requests, ten rollouts, two drains, 50 to 1, 1 to 30",
    rest: road::LONG_REST,
    work: road::long,
    ..PLAN
};

#[test]
fn changes_over_hosts_are_not_noticed_by_clients() {
    let named = std::env::var("KAPELLE_HOSTS_ROWS").ok();
    let is_wanted =
        |change: &Change| named.as_ref().is_none_or(|named| named.split(',').any(|part| change.name.contains(part)));
    let is_long = std::env::var("KAPELLE_HOSTS").is_ok_and(|form| form == "long");
    let mut rows: Vec<Row> = Vec::new();
    let mut stage = None;
    println!("{}", Row::head());
    for change in CHANGES.iter().chain(is_long.then_some(&LONG)).filter(|change| is_wanted(change)) {
        let Some(mut ready) = stage.take().or_else(Stage::new) else { return };
        let row = play(&mut ready, change);
        println!("{row}");
        // What went wrong must not spoil the next row.
        stage = row.complaint.is_none().then_some(ready);
        rows.push(row);
    }
    let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    assert!(rows.iter().all(|row| row.complaint.is_none()), "\n{}\n{table}", Row::head());
}

fn play(stage: &mut Stage, change: &Change) -> Row {
    let load = Load::start(&stage.lab, change.clients, stage.address(change.service), change.rest);
    let begin = Instant::now();
    let work = catch_unwind(AssertUnwindSafe(|| {
        load.go_on(change.clients.len());
        (change.work)(stage, &load)
    }));
    let sum = load.stop();
    let complaint = match &work {
        Err(panic) => Some(said(panic.as_ref())),
        Ok(_) => change.allows.complaint(&sum),
    };
    let complaint = complaint.or_else(|| {
        let rest = catch_unwind(AssertUnwindSafe(|| stage.rests()));
        rest.err().map(|panic| format!("afterwards: {}", said(panic.as_ref())))
    });
    if let Some(complaint) = &complaint {
        eprintln!("{} ({:?}): {complaint}\n{}", change.name, begin.elapsed(), stage.complaints());
    }
    Row { name: change.name, sum, settled: work.ok(), complaint }
}

/// The text of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

impl Allows {
    fn complaint(self, sum: &Sum) -> Option<String> {
        let is_allowed = match self {
            Self::None => sum.failed == 0,
            Self::OneOfEach => sum.failed_of_one <= 1,
        };
        (!is_allowed).then(|| format!("{} requests failed, {} of one client", sum.failed, sum.failed_of_one))
    }
}

impl Row {
    fn head() -> String {
        format!(
            "{:<44} {:>8} {:>7} {:>9} {:>9} {:>9}  what went wrong",
            "change", "requests", "failed", "gap", "slowest", "settled"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let settled = self.settled.map_or("never".to_owned(), ms);
        let (gap, slowest) = (ms(self.sum.gap), ms(self.sum.longest));
        let Sum { requests, failed, first_failure, .. } = &self.sum;
        write!(f, "{:<44} {requests:>8} {failed:>7} {gap:>9} {slowest:>9} {settled:>9}", self.name)?;
        let words: Vec<&str> =
            [self.complaint.as_deref(), Some(first_failure.as_str())].into_iter().flatten().collect();
        write!(f, "  {}", words.join("; ").chars().take(300).collect::<String>())
    }
}
