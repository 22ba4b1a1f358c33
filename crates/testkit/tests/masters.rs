//! Trials of masters from many seeds. `KAPELLE_SEED=123 cargo test -p testkit --test masters` plays a single one again;
//! `cargo run --release -p testkit --example masters -- --seeds 0..100000` plays as many as one likes.

use testkit::masters::{Failure, Rule, Sabotage, Tally, play, play_sabotaged};

/// How many seeds are played each time; the first of them fixed, so that a failure is everybody's failure.
const SEEDS: u64 = 2000;

#[test]
fn whatever_goes_wrong_the_masters_keep_their_word() {
    let seeds = match std::env::var("KAPELLE_SEED") {
        Ok(seed) => vec![seed.parse().expect("KAPELLE_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let (tally, failures) = play_all(&seeds);
    println!("{tally:?}");
    let list: Vec<String> =
        failures.iter().map(|failure| format!("{} {}", failure.seed, failure.broken.rule)).collect();
    let count = failures.len();
    assert!(failures.is_empty(), "{count} seeds fail:\n{}\n\nthe first of them:\n{}", list.join("\n"), failures[0]);
}

/// Plays the seeds on all processors, each trial alone.
fn play_all(seeds: &[u64]) -> (Tally, Vec<Failure>) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = seeds.len().div_ceil(workers);
    let mut sum = Tally::default();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            seeds.chunks(share).map(|seeds| scope.spawn(move || seeds.iter().copied().map(play).collect())).collect();
        for share in shares {
            let played: Vec<Result<Tally, Failure>> =
                share.join().expect("a panic in a trial is a failure, not a panic");
            for outcome in played {
                match outcome {
                    Ok(tally) => sum += tally,
                    Err(failure) => failures.push(failure),
                }
            }
        }
    });
    failures.sort_by_key(|failure| failure.seed);
    (sum, failures)
}

/// Plays until the checker sees a sabotage, and answers which rule it was.
fn caught(sabotage: Sabotage) -> Rule {
    /// A part that fails must be seen within so many trials.
    const SEEDS_MAX: u64 = 400;
    let seen = (0..SEEDS_MAX).find_map(|seed| play_sabotaged(seed, sabotage).err());
    let Some(failure) = seen else { panic!("nobody saw {sabotage:?} in {SEEDS_MAX} trials") };
    assert!(!failure.story.is_empty() && !failure.story.iter().any(|line| line.contains("another trial")), "{failure}");
    failure.broken.rule
}

#[test]
fn a_disk_that_forgets_what_it_confirmed_is_seen() {
    caught(Sabotage::ForgetfulDisk);
}

#[test]
fn a_write_that_is_reported_before_it_is_begun_is_seen() {
    caught(Sabotage::EarlyReport);
}

#[test]
fn a_reader_without_a_barrier_is_seen() {
    assert_eq!(caught(Sabotage::NoBarrier), Rule::FreshReads);
}

#[test]
fn a_watcher_that_resumes_too_late_is_seen() {
    assert_eq!(caught(Sabotage::LateResume), Rule::WholeWatches);
}

#[test]
fn a_command_that_is_left_out_is_seen() {
    caught(Sabotage::SkippedCommand);
}
