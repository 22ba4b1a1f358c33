//! What to say about a guest that failed.

use wasmtime::{Trap, WasmBacktrace};

/// Functions of a backtrace that are worth a reader's time.
const FRAMES_SHOWN: usize = 4;

/// Functions that are on top of every panic of a Rust guest and say nothing about it.
const NOISE: &[&str] =
    &["abort", "rust_panic", "panic_with_hook", "begin_panic_handler", "short_backtrace", "rust_begin_unwind"];

/// One line: what happened, and in which functions of the guest, innermost first.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let what = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let places = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
    if places.is_empty() { what } else { format!("{what}, in {}", places.join(" < ")) }
}

fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let text = backtrace.to_string();
    let names = text.lines().filter_map(|line| line.split_once('!').map(|(_, name)| name.trim().to_string()));
    let all: Vec<String> = names.collect();
    let telling: Vec<String> =
        all.iter().filter(|name| !NOISE.iter().any(|noise| name.contains(noise))).take(FRAMES_SHOWN).cloned().collect();
    if telling.is_empty() { all.into_iter().take(FRAMES_SHOWN).collect() } else { telling }
}
