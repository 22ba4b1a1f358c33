//! Checks that the repository keeps its own rules. `cargo run -p xtask` prints what breaks them; `cargo test` fails on it.
//!
//! The rules are those of ARCHITECTURE.md and CONTRIBUTING.md that a compiler does not check: which crate may know which,
//! which modules may import which, where clocks and files may be touched, how long a file or a function may be, that every
//! file says what it is for, that each controller has a scenario, that `proto/` says what Go and readers need, that
//! SPECIFICATION's limits are those of the code, that outside crates are what `deny.toml` demands, and that they are compiled once
//! for tests and for use.

mod deny;
mod features;
mod imports;
mod limits;
mod plan;
mod protos;
mod scenarios;
mod source;

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let problems = problems(&root());
    for problem in &problems {
        eprintln!("{problem}");
    }
    println!("{} problems", problems.len());
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Everything that breaks a rule, a line each, with the place and the remedy.
fn problems(root: &Path) -> Vec<String> {
    let mut problems = plan::problems(root);
    problems.extend(imports::problems(root));
    problems.extend(source::problems(root));
    problems.extend(scenarios::problems(root));
    problems.extend(limits::problems(root));
    problems.extend(deny::problems(root));
    problems.extend(features::problems(root));
    problems.extend(protos::problems(root));
    problems
}

#[test]
fn the_repository_keeps_its_rules() {
    let problems = problems(&root());
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
