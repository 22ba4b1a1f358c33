//! Writes to standard output as fast as it can, and so shows that a log is bounded in speed and size.

use std::io::Write as _;

fn main() {
    let mut out = std::io::stdout().lock();
    for line in 0_u64.. {
        if writeln!(out, "line {line} of a flood that does not end by itself").is_err() {
            return;
        }
    }
}
