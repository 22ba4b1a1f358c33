//! Feeds damaged bytes to the decoders, as many as one likes:
//! `cargo run --release -p testkit --example fuzz -- frame log --inputs 1000000 --seed 7`; all decoders if none is named. Ends
//! with an error and the input in hexadecimal when a decoder breaks; `-- frame --input HEX` gives it that one again.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use testkit::{
    Prng,
    fuzz::{Counting, INPUT_TIME_MAX, Run, Tally, Target, fuzz, judge, targets, warm_up},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is asked for.
struct Wish {
    targets: Vec<Target>,
    run: Run,
    input: Option<Bytes>,
}

fn main() -> ExitCode {
    let Some(wish) = wish(std::env::args().skip(1)) else {
        let names: Vec<&str> = targets().iter().map(|target| target.name).collect();
        eprintln!("usage: fuzz [DECODER…] [--inputs N] [--seed S] [--input HEX]\ndecoders: {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    if let Some(input) = &wish.input {
        return wish.targets.iter().fold(ExitCode::SUCCESS, |code, target| again(target, input).unwrap_or(code));
    }
    // Panics are findings here, and told with their input.
    std::panic::set_hook(Box::new(|_| {}));
    println!(
        "{:10} {:>10} {:>10} {:>10} {:>12} {:>6} {:>9}",
        "decoder", "inputs/s", "accepted", "refused", "peak bytes", "bound", "slowest"
    );
    let mut code = ExitCode::SUCCESS;
    for target in &wish.targets {
        let begin = Instant::now();
        match fuzz(*target, wish.run) {
            Ok(tally) => println!("{}", line(target, wish.run, begin.elapsed(), &tally)),
            Err(finding) => {
                println!("{finding}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn line(target: &Target, run: Run, time: Duration, tally: &Tally) -> String {
    let speed = run.inputs as f64 / time.as_secs_f64();
    let Tally { accepted, refused, heaviest, fullest_percent, slowest } = tally;
    let name = target.name;
    format!("{name:10} {speed:10.0} {accepted:10} {refused:10} {heaviest:12} {fullest_percent:5}% {slowest:9.1?}")
}

/// One input; a panic is shown with its trace.
fn again(target: &Target, input: &Bytes) -> Option<ExitCode> {
    warm_up(target, &(target.samples)(&mut Prng::new(0)));
    match judge(target, input, &mut Tally::default()) {
        Ok(verdict) => println!("{}: {verdict:?}", target.name),
        Err(broken) => {
            println!("{}: {broken}", target.name);
            return Some(ExitCode::FAILURE);
        }
    }
    None
}

fn wish(mut arguments: impl Iterator<Item = String>) -> Option<Wish> {
    let run = Run { seed: 0, inputs: 100_000, time_max: INPUT_TIME_MAX };
    let mut wish = Wish { targets: Vec::new(), run, input: None };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--inputs" => wish.run.inputs = arguments.next()?.parse().ok()?,
            "--seed" => wish.run.seed = arguments.next()?.parse().ok()?,
            "--input" => wish.input = Some(bytes(&arguments.next()?)?),
            name => wish.targets.push(targets().into_iter().find(|target| target.name == name)?),
        }
    }
    if wish.targets.is_empty() {
        wish.targets = targets();
    }
    Some(wish)
}

fn bytes(hex: &str) -> Option<Bytes> {
    let starts = (0..hex.len()).step_by(2);
    starts.map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
