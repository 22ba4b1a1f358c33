//! Computes, prints, ends with the code it was told.
//!
//! Counts the primes below `LIMIT` (100,000 without it), prints its arguments and the number, writes it to `/out/primes` if there
//! is such a volume, and ends with `EXIT_CODE` (0 without it).

use std::process::ExitCode;

fn main() -> ExitCode {
    let limit = number("LIMIT").unwrap_or(100_000);
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments: {args:?}");
    let count = primes_below(limit as usize);
    println!("{count} primes below {limit}");
    if std::fs::write("/out/primes", format!("{count}\n")).is_ok() {
        println!("written to /out/primes");
    }
    if std::env::var("WAIT").is_ok_and(|what| what == "stdin") {
        println!("waiting for the end of the input");
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        println!("asked to stop");
    }
    let code = number("EXIT_CODE").unwrap_or(0) as u8;
    if code != 0 {
        eprintln!("ending with {code}, as told");
    }
    ExitCode::from(code)
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

fn primes_below(limit: usize) -> usize {
    let mut composite = vec![false; limit.max(2)];
    let mut count = 0;
    for n in 2..limit {
        if composite[n] {
            continue;
        }
        count += 1;
        for multiple in (n * n..limit).step_by(n) {
            composite[multiple] = true;
        }
    }
    count
}
