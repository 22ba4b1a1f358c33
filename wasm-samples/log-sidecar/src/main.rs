//! Prints what other containers of its Pod write to a shared volume.
//!
//! Looks into `/logs` (or the directory in `LOG_DIR`) every 200 ms and prints each new line of each file there, with the file's name
//! before it, for as long as it runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(200);
/// What is read of one file in one round, so that one file cannot hold up the others.
const MAX_READ_BYTES: u64 = 64 * 1024;

fn main() {
    let dir = std::env::var("LOG_DIR").unwrap_or_else(|_| "/logs".into());
    let mut read_so_far = BTreeMap::new();
    println!("watching {dir}");
    loop {
        for name in files(&dir) {
            let offset = read_so_far.entry(name.clone()).or_insert(0);
            *offset += print_lines(&dir, &name, *offset).unwrap_or(0);
        }
        std::thread::sleep(PAUSE);
    }
}

fn files(dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Prints the whole lines from `offset` on and says how many bytes they have.
fn print_lines(dir: &str, name: &str, offset: u64) -> std::io::Result<u64> {
    let mut file = File::open(format!("{dir}/{name}"))?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok(0) };
    for line in String::from_utf8_lossy(&bytes[..end]).lines() {
        println!("{name}: {line}");
    }
    Ok(end as u64 + 1)
}
