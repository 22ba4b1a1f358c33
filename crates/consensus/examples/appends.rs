//! How many durable commands a second one member takes, in process: `cargo run --release --example appends [SECONDS]`.
//!
//! Each waiter proposes 1 KiB, waits until it is durable and applied, and proposes again. Prints a line for each number of
//! waiters: commands a second, latency at the median and at the 99th percentile, processor time a command.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use consensus::{Config, Consensus, Machine, SnapshotWriter};

const COMMAND_BYTES: usize = 1024;

/// Counts.
struct Counter(u64);

impl Machine for Counter {
    type Output = u64;

    fn apply(&mut self, _: u64, _: Bytes) -> u64 {
        self.0 += 1;
        self.0
    }

    fn snapshot(&self) -> SnapshotWriter {
        let count = self.0;
        Box::new(move |to: &mut dyn Write| to.write_all(&count.to_le_bytes()))
    }

    fn digest(&self) -> u64 {
        0
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let dir = PathBuf::from(std::env::args().nth(2).unwrap_or_else(|| "target/appends".into()));
    let _ = std::fs::remove_dir_all(&dir);
    let begun = Instant::now();
    let consensus = consensus::open(Config::new(&dir), Counter(0))?;
    consensus.propose(Bytes::from_static(b"first")).await?;
    println!("founded and first command durable after {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    // Into full-sized segments first: a new log begins small.
    measure(&consensus, 256, Duration::from_secs(1)).await?;
    for waiters in [1, 16, 64, 256, 1024] {
        let cpu = cpu_time();
        let mut latencies = measure(&consensus, waiters, Duration::from_secs(seconds)).await?;
        latencies.sort_unstable();
        let cpu_us = (cpu_time() - cpu).as_secs_f64() * 1e6 / latencies.len() as f64;
        let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = latencies.len() as u64 / seconds;
        println!(
            "{waiters:5} waiters {rate:8} /s   p50 {:6.3} ms  p99 {:6.3} ms   cpu {cpu_us:5.1} us",
            at(0.5),
            at(0.99)
        );
    }
    consensus.shutdown().await;
    let begun = Instant::now();
    let consensus = consensus::open(Config::new(&dir), Counter(0))?;
    consensus.read_barrier().await?;
    println!("reopened and replayed after {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    consensus.shutdown().await;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn measure(
    consensus: &Consensus<u64>,
    waiters: usize,
    time: Duration,
) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let end = Instant::now() + time;
    let command = Bytes::from(vec![7; COMMAND_BYTES]);
    let tasks = (0..waiters).map(|_| {
        let (consensus, command) = (consensus.clone(), command.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                consensus.propose(command.clone()).await?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, consensus::ProposeError>(latencies)
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await??);
    }
    Ok(all)
}

/// The processor time of the whole process, callers included.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
