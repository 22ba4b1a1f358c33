//! Every outside crate has the same features in the program as beside its tests, so that whoever tests and then runs `kapelle`
//! compiles the engine once.

use std::{collections::BTreeSet, path::Path, process::Command};

/// Crates with their features, as `cargo tree` prints them.
type Crates = BTreeSet<String>;

/// What is compiled once more for `cargo run` after `cargo test --workspace`.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let program = crates(root, &["--package", "kapelle", "--edges", "normal,build"]);
    let tests = crates(root, &["--workspace", "--edges", "normal,build,dev"]);
    match (program, tests) {
        (Ok(program), Ok(tests)) => differences(&program, &tests),
        (Err(error), _) | (_, Err(error)) => vec![error],
    }
}

fn crates(root: &Path, which: &[&str]) -> Result<Crates, String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p} with {f}"])
        .args(which)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    // A crate that was printed before is marked.
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

fn differences(program: &Crates, tests: &Crates) -> Vec<String> {
    let told = |line: &String| {
        format!(
            "{line}: its features are others beside the tests, so that it is compiled twice; \
             name the union of both in Cargo.toml, as with `rand`"
        )
    };
    program.difference(tests).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_two_sets_of_features_is_told() {
        let crates = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Crates>();
        let program = crates(&["a v1.0.0 with ", "b v2.0.0 with std"]);
        assert!(differences(&program, &crates(&["a v1.0.0 with ", "b v2.0.0 with std", "c v1.0.0 with "])).is_empty());
        let told = differences(&program, &crates(&["a v1.0.0 with ", "b v2.0.0 with default,std"]));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("b v2.0.0 with std: "), "{told:?}");
    }
}
