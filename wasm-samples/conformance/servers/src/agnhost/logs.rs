//! `logs-generator`: a number of lines, evenly over a time.

use std::time::Duration;

use crate::flags::{Flags, duration};
use crate::give_up;

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const NAMESPACES: [&str; 3] = ["kube-system", "default", "ns"];

pub async fn main(flags: &Flags) {
    let lines: u32 = flags.value("log-lines-total").or_else(|| flags.value("t")).unwrap_or(0);
    let length = flags.text("run-duration").or_else(|| flags.text("d")).and_then(duration).unwrap_or_default();
    if lines == 0 || length.is_zero() {
        give_up("say how many lines, and for how long: --log-lines-total=100 --run-duration=10s");
    }
    let mut ticks = tokio::time::interval(Duration::max(length / lines, Duration::from_millis(1)));
    ticks.tick().await;
    for line in 0..lines {
        println!("{}", request(line));
        ticks.tick().await;
    }
}

/// A line as a server might write it. What is in it follows from its number.
fn request(line: u32) -> String {
    let at = line as usize;
    let (method, namespace) = (METHODS[at % METHODS.len()], NAMESPACES[at / METHODS.len() % NAMESPACES.len()]);
    let status = 200 + line * 37 % 400;
    format!("{line} {method} /api/v1/namespaces/{namespace}/pods/{:x} {status}", 0x1000 + line * 7919 % 0xefff)
}
