//! What to say about a guest that failed.

use wasmtime::{Trap, WasmBacktrace};

/// Functions of a backtrace that are worth a reader's time.
const FRAMES_SHOWN: usize = 4;

/// Functions that are on top of every panic of a Rust guest and say nothing about it.
const NOISE: &[&str] = &[
    "abort",
    "rust_panic",
    "rust_start_panic",
    "panic_with_hook",
    "panic_handler",
    "short_backtrace",
    "rust_begin_unwind",
];

/// Digits of the hashes that Rust's compiler adds to names.
const HASH_DIGITS: usize = 16;

/// One line: what happened, and in which functions of the guest, innermost first.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let what = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let frames = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
    if frames.is_empty() { what } else { format!("{what}, in {}", frames.join(" < ")) }
}

fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let text = backtrace.to_string();
    let names = text.lines().filter_map(|line| line.split_once('!').map(|(_, name)| without_hashes(name.trim())));
    let all: Vec<String> = names.collect();
    let telling: Vec<String> =
        all.iter().filter(|name| !NOISE.iter().any(|noise| name.contains(noise))).take(FRAMES_SHOWN).cloned().collect();
    if telling.is_empty() { all.into_iter().take(FRAMES_SHOWN).collect() } else { telling }
}

/// `std[d123b7a1a2ed1472]::rt` and `trap::divide::h098bc641e525da79` without what changes from build to build.
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((start, hash)) if is_hash(hash) => start,
        Some(_) | None => name,
    };
    let mut pieces = name.split('[');
    let mut short = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        match piece.split_once(']') {
            Some((hash, rest)) if is_hash(hash) => short.push_str(rest),
            Some(_) | None => {
                short.push('[');
                short.push_str(piece);
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::without_hashes;

    #[test]
    fn names_lose_what_changes_from_build_to_build() {
        for (long, short) in [
            ("trap::divide::h098bc641e525da79", "trap::divide"),
            ("std[d123b7a1a2ed1472]::rt::<impl core[6d9e98711c484d2e]::Fn>", "std::rt::<impl core::Fn>"),
            ("main.(*Server).handle[...]", "main.(*Server).handle[...]"),
            ("wasi:http/incoming-handler@0.2.12#handle", "wasi:http/incoming-handler@0.2.12#handle"),
        ] {
            assert_eq!(without_hashes(long), short);
        }
    }
}
