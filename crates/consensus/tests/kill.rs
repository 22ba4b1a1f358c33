//! A process that is killed without warning loses nothing that it acknowledged: the file starts itself as a child, kills it
//! at a random moment, and opens what is left.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use consensus::{Config, Machine, OpenError, SnapshotWriter};

/// Set in the child: the directory to work in.
const CHILD_DIR: &str = "CONSENSUS_KILL_DIR";

/// How often the child is killed; each time it goes on where the last one ended.
const KILLS: u64 = 12;

/// The set of numbers that were applied.
#[derive(Clone, Debug, Default)]
struct Numbers(Arc<Mutex<BTreeSet<u64>>>);

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

impl Machine for Numbers {
    type Output = ();

    fn apply(&mut self, _: u64, command: Bytes) {
        self.0.lock().unwrap().insert(number(&command));
    }

    fn snapshot(&self) -> SnapshotWriter {
        let all = self.0.lock().unwrap().clone();
        Box::new(move |to: &mut dyn Write| all.iter().try_for_each(|number| to.write_all(&number.to_le_bytes())))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        *self.0.lock().unwrap() = bytes.chunks_exact(8).map(number).collect();
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
}

/// Segments and snapshots are small, so that kills hit their changes too.
fn config(dir: &Path) -> Config {
    Config { segment_bytes_max: 4 << 20, snapshot_after_bytes: 1 << 20, log_tail_bytes: 0, ..Config::new(dir) }
}

/// Not a test by itself: what the child does. Proposes for ever and prints each number that is acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let numbers = Numbers::default();
        let consensus = consensus::open(config(Path::new(&dir)), numbers.clone()).unwrap();
        consensus.read_barrier().await.unwrap();
        let first = numbers.0.lock().unwrap().last().map_or(0, |last| last + 1);
        let writers = (0..32).map(|writer| {
            let consensus = consensus.clone();
            tokio::spawn(async move {
                for number in (first + writer..).step_by(32) {
                    let mut command = vec![0; 8 + (number % 3000) as usize];
                    command[..8].copy_from_slice(&number.to_le_bytes());
                    consensus.propose(command.into()).await.unwrap();
                    // In one write, so that a line is whole or missing.
                    io::stdout().write_all(format!("\nacknowledged {number}\n").as_bytes()).unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

#[test]
fn no_acknowledged_command_is_lost_by_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
        acknowledged.extend(numbers.by_ref().take(200 + 937 * round as usize % 3000));
        child.kill().unwrap();
        // What it had said before it died counts too.
        acknowledged.extend(numbers);
        child.wait().unwrap();
    }
    let survived = survivors(dir.path());
    let lost: Vec<&u64> = acknowledged.difference(&survived).collect();
    println!("{KILLS} kills, {} acknowledged, {} survived", acknowledged.len(), survived.len());
    assert!(lost.is_empty(), "lost {lost:?}");
    assert!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count() > 0, "snapshots were taken on the way");
}

fn survivors(dir: &Path) -> BTreeSet<u64> {
    let numbers = Numbers::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let consensus = consensus::open(config(dir), numbers.clone()).unwrap();
        let second = consensus::open(config(dir), Numbers::default()).unwrap_err();
        assert!(matches!(second, OpenError::Locked { .. }));
        consensus.read_barrier().await.unwrap();
        consensus.shutdown().await;
    });
    numbers.0.lock().unwrap().clone()
}
