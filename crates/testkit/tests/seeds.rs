//! Trials from many seeds. `KAPELLE_SEED=123 cargo test -p testkit --test seeds` plays a single one again.

/// How many seeds are played each time; the first of them fixed, so that a failure is everybody's failure.
const SEEDS: u64 = 240;

#[test]
fn whatever_goes_wrong_the_cluster_becomes_what_was_wanted() {
    let seeds = match std::env::var("KAPELLE_SEED") {
        Ok(seed) => vec![seed.parse().expect("KAPELLE_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let failures = play_all(&seeds);
    let count = failures.len();
    let list: Vec<&str> = failures.iter().filter_map(|failure| failure.lines().next()).collect();
    assert!(failures.is_empty(), "{count} seeds fail:\n{}\n\nthe first of them:\n{}", list.join("\n"), failures[0]);
}

/// Plays the seeds on all processors, each trial alone, and answers the failures in the order of the seeds.
fn play_all(seeds: &[u64]) -> Vec<String> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let play = |seed: &u64| {
        let broken = testkit::trial::play(*seed).err()?;
        Some(format!("KAPELLE_SEED={seed}: {broken}"))
    };
    let share = seeds.len().div_ceil(workers);
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            seeds.chunks(share).map(|seeds| scope.spawn(move || seeds.iter().filter_map(play).collect())).collect();
        shares.into_iter().flat_map(|share| -> Vec<String> { share.join().expect("a trial does not panic") }).collect()
    })
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let numbers = |seed| {
        let mut chance = testkit::Prng::new(seed);
        (0..4).map(|_| chance.bits()).collect::<Vec<u64>>()
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
}
