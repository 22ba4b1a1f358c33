//! Weighs what a master holds in memory for each Pod, part by part: `cargo run -p testkit --example memory -- --pods 20000`.
//! Bytes are those that were asked of the allocator, and so the same in every build.

use std::process::ExitCode;

use testkit::{fuzz::Counting, memory::weigh};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pods = match arguments.as_slice() {
        [] => Some(20_000),
        [flag, count] if flag == "--pods" => count.parse().ok().filter(|count| *count > 0),
        _ => None,
    };
    let Some(pods) = pods else {
        eprintln!("usage: memory [--pods COUNT]");
        return ExitCode::FAILURE;
    };
    let count = isize::try_from(pods).unwrap_or(isize::MAX);
    let (alone, told) = (weigh(pods, false), weigh(pods, true));
    println!("bytes for each of {pods} Pods, with all else that is there for them:\n{}", alone / count);
    println!("and with the Events that tell of it:\n{}", told / count);
    ExitCode::SUCCESS
}
