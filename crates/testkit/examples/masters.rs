//! Plays trials of masters for as many seeds as one likes, on all processors:
//! `cargo run --release -p testkit --example masters -- --seeds 0..100000`. Ends with an error and the first failure's story
//! when a seed fails, else with what the trials amounted to.

use std::{
    ops::Range,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use testkit::masters::{Failure, Tally, play};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(seeds) = seeds(&arguments) else {
        eprintln!("usage: masters --seeds FROM..TO");
        return ExitCode::FAILURE;
    };
    // Panics are findings here, and told with their seed.
    std::panic::set_hook(Box::new(|_| {}));
    let (begin, count) = (Instant::now(), seeds.end.saturating_sub(seeds.start));
    let (tally, failures) = play_all(seeds);
    println!("{count} seeds in {:.1?}: {tally:?}", begin.elapsed());
    for failure in &failures {
        println!("seed {}: it is not true that {}: {}", failure.seed, failure.broken.rule, failure.broken.detail);
    }
    match failures.first() {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(arguments: &[String]) -> Option<Range<u64>> {
    let [flag, range] = arguments else { return None };
    let (from, to) = range.split_once("..").filter(|_| flag == "--seeds")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn play_all(seeds: Range<u64>) -> (Tally, Vec<Failure>) {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new((Tally::default(), Vec::new()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let outcome = play(seed);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(tally) => sum.0 += tally,
            Err(failure) => sum.1.push(failure),
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| _ = scope.spawn(work)));
    let (tally, mut failures) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|failure| failure.seed);
    (tally, failures)
}
