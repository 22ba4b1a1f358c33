//! Rules for source files: an opening sentence, a bounded length, short functions, and no world outside the drivers.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The most lines of a file. A file that grows past it holds two things.
const FILE_LINES_MAX: usize = 800;

/// The most lines of a function, signature and closing brace included.
const FUNCTION_LINES_MAX: usize = 70;

/// Crates whose brains must be replayable, and the files of each that may touch the world.
const PURE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("control", &["driver.rs"]),
    ("consensus", &["driver.rs", "driver/", "wal.rs", "wal/", "snapshot.rs", "snapshot/", "lib.rs"]),
    ("agent", &["driver.rs", "driver/"]),
    ("store", &[]),
];

/// What touches the world, and what to do instead.
const WORLD: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::fs::",
    "tokio::spawn",
    "tokio::fs::",
    "thread::spawn",
    "rand::",
    "getrandom::",
];

/// Ways by which bytes from a wire or a disk would reach a parser with a known stack overflow (see `deny.toml`).
const BANNED: &[&str] = &["merge_from_bytes", "parse_from_bytes"];

/// What is written in few places only: where, and why.
const AT_HOME: &[(&str, &[&str], &str)] = &[
    ("impl Registry", &["crates/registry/"], "what the Registry does stands where it is"),
    (
        ".propose(",
        &["crates/registry/", "crates/consensus/", "tests/bench/"],
        "nothing but the Registry proposes to the log",
    ),
];

/// Every broken rule in every source file of the workspace and the guests.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for top in ["crates", "tests", "wasm-samples"] {
        collect(&root.join(top), &mut files);
    }
    files.sort();
    files.iter().flat_map(|path| file_problems(root, path)).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn file_problems(root: &Path, path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut problems = Vec::new();
    if !text.lines().next().is_some_and(|line| line.starts_with("//!")) {
        problems.push(format!("{place}:1: open with `//!`: what the file is for and what it leaves to others"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        problems.push(format!("{place}: {lines} lines; split it before it grows past {FILE_LINES_MAX}"));
    }
    problems.extend(long_functions(&place, &text));
    problems.extend(world(&place, &text));
    problems.extend(banned(&place, &text));
    problems.extend(away(&place, &text));
    problems
}

fn banned(place: &str, text: &str) -> Option<String> {
    let word = BANNED.iter().find(|word| text.contains(*word)).filter(|_| !place.starts_with("crates/xtask/"))?;
    Some(format!("{place}: `{word}` parses protobuf 2 from outside; use our own framing"))
}

/// What does not stand where it belongs.
fn away(place: &str, text: &str) -> Vec<String> {
    let is_away = |(word, homes, _): &&(&str, &[&str], &str)| {
        text.contains(word) && !homes.iter().chain(&["crates/xtask/"]).any(|home| place.starts_with(home))
    };
    let say =
        |(word, homes, why): &(&str, &[&str], &str)| format!("{place}: `{word}` belongs into {}: {why}", homes[0]);
    AT_HOME.iter().filter(is_away).map(say).collect()
}

/// Functions by indentation: rustfmt closes a function with a brace in the column where its line began.
fn long_functions(place: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| opens_function(line)) {
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[start..].iter().position(|line| *line == close) else { continue };
        if length + 1 > FUNCTION_LINES_MAX {
            let start = start + 1;
            problems.push(format!("{place}:{start}: a function of {} lines; at most {FUNCTION_LINES_MAX}", length + 1));
        }
    }
    problems
}

fn opens_function(line: &str) -> bool {
    let line = line.trim_start();
    let is_item = |word| matches!(word, "pub" | "fn" | "async" | "const" | "unsafe") || word.starts_with("pub(");
    let mut words = line.split_whitespace().take_while(|word| is_item(word));
    words.any(|word| word == "fn") && !line.ends_with(';') && !line.ends_with('}')
}

fn world(place: &str, text: &str) -> Vec<String> {
    let Some((name, inside)) = place.strip_prefix("crates/").and_then(|rest| rest.split_once("/src/")) else {
        return Vec::new();
    };
    let Some((_, drivers)) = PURE.iter().find(|(pure, _)| *pure == name) else { return Vec::new() };
    if inside.contains("test") || drivers.iter().any(|driver| inside == *driver || inside.starts_with(driver)) {
        return Vec::new();
    }
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let touches = |line: &str| WORLD.iter().find(|word| !line.trim_start().starts_with("//") && line.contains(*word));
    code.lines()
        .enumerate()
        .filter_map(|(number, line)| {
            touches(line).map(|word| format!("{place}:{}: `{word}` belongs into a driver", number + 1))
        })
        .collect()
}

#[test]
fn long_functions_are_found_and_short_ones_are_not() {
    let body = "    step();\n".repeat(FUNCTION_LINES_MAX - 1);
    let long = format!("pub(crate) async fn long() {{\n{body}}}\nfn short() {{\n    step();\n}}\n");
    assert_eq!(long_functions("x.rs", &long), ["x.rs:1: a function of 71 lines; at most 70"]);
}

#[test]
fn a_brain_that_reads_a_clock_is_found() {
    let text = "//! A brain.\nfn now() {\n    std::time::Instant::now();\n}\n";
    assert_eq!(
        world("crates/control/src/brain.rs", text),
        ["crates/control/src/brain.rs:3: `Instant::now` belongs into a driver"]
    );
    assert!(world("crates/control/src/driver.rs", text).is_empty());
}
