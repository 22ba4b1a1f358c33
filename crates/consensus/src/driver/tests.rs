//! A whole member on a real disk: what is acknowledged is there after every kind of end.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::{Consensus, open};
use crate::{
    COMMAND_BYTES_MAX, Config, Machine, OnFailure, OpenError, ProposeError, Role, SnapshotWriter, machine::tests::Notes,
};

fn config(dir: &Path) -> Config {
    Config { on_failure: OnFailure::Stop, ..Config::new(dir) }
}

fn config_small(dir: &Path) -> Config {
    Config { snapshot_after_bytes: 10_000, log_tail_bytes: 1_000, segment_bytes_max: 4 << 20, ..config(dir) }
}

fn start(config: Config) -> (Consensus<usize>, Notes) {
    let notes = Notes::default();
    (open(config, notes.clone()).unwrap(), notes)
}

async fn propose(consensus: &Consensus<usize>, from: usize, to: usize) {
    let all = (from..to).map(|number| {
        let consensus = consensus.clone();
        tokio::spawn(async move { consensus.propose(Notes::line(number)).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            // Files may be renamed while they are copied, as they may be in a crash.
            let _ = std::fs::copy(&path, &target);
        }
    }
}

#[tokio::test]
async fn a_new_member_leads_at_once_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, notes) = start(config(dir.path()));
    assert_eq!(consensus.propose(Notes::line(0)).await, Ok(1));
    assert_eq!(consensus.propose(Notes::line(1)).await, Ok(2));
    assert_eq!(consensus.propose(Bytes::new()).await, Ok(3), "an empty command is a command");
    consensus.read_barrier().await.unwrap();
    assert_eq!(notes.sorted(), [Bytes::new(), Notes::line(0), Notes::line(1)]);
    let status = consensus.status().borrow().clone();
    assert_eq!((status.role, status.leader), (Role::Leader, Some(status.member)));
    assert_eq!(status.members.voters, [status.member]);
    consensus.shutdown().await;
    assert_eq!(consensus.propose(Notes::line(2)).await, Err(ProposeError::Stopped));
    assert_eq!(consensus.read_barrier().await, Err(ProposeError::Stopped));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, first) = start(config(dir.path()));
    propose(&consensus, 0, 500).await;
    let identity = consensus.status().borrow().member;
    consensus.shutdown().await;
    let (consensus, second) = start(config(dir.path()));
    consensus.read_barrier().await.unwrap();
    assert_eq!(second.all(), first.all(), "the same commands in the same order");
    assert_eq!(consensus.status().borrow().member, identity);
}

/// A copy of the files in the middle of the work is what a crash leaves behind, only less tidy.
#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config(&dir.path().join("live")));
    for round in 0..10 {
        propose(&consensus, round * 50, round * 50 + 50).await;
        let busy = {
            let consensus = consensus.clone();
            tokio::spawn(async move { propose(&consensus, 1_000_000, 1_000_300).await })
        };
        let crashed = dir.path().join(format!("crashed-{round}"));
        copy(&dir.path().join("live"), &crashed);
        busy.await.unwrap();
        let (survivor, notes) = start(config(&crashed));
        survivor.read_barrier().await.unwrap();
        let survived = notes.sorted();
        for number in 0..round * 50 + 50 {
            assert!(survived.binary_search(&Notes::line(number)).is_ok(), "{number} is lost");
        }
    }
}

#[tokio::test]
async fn snapshots_replace_the_log_and_a_damaged_one_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, first) = start(config_small(dir.path()));
    for round in 0..30 {
        propose(&consensus, round * 100, round * 100 + 100).await;
    }
    let mut status = consensus.status();
    status.wait_for(|status| status.snapshot > 1000).await.unwrap();
    assert!(status.borrow().log_first > 500, "{:?}", *status.borrow());
    consensus.shutdown().await;

    let (consensus, second) = start(config_small(dir.path()));
    consensus.read_barrier().await.unwrap();
    assert_eq!(second.all(), first.all());
    assert!(second.applied_since_restore() < 3000, "the snapshot was used");
    consensus.shutdown().await;

    let mut snapshots: Vec<_> =
        std::fs::read_dir(dir.path().join("snapshots")).unwrap().map(|f| f.unwrap().path()).collect();
    // One that was being written when the member ended has no name yet.
    snapshots.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    snapshots.sort();
    let newest = snapshots.pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let (consensus, third) = start(config_small(dir.path()));
    consensus.read_barrier().await.unwrap();
    assert_eq!(third.all(), first.all());
    // The replay may have taken a new snapshot under the same name.
    assert!(newest.with_extension("damaged").exists());
}

/// Nothing is guessed: what cannot be read, and is not told elsewhere, is refused with the file's name.
#[tokio::test]
async fn a_lost_log_or_a_contradictory_configuration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config_small(dir.path()));
    propose(&consensus, 0, 500).await;
    consensus.status().wait_for(|status| status.snapshot > 100).await.unwrap();
    consensus.shutdown().await;
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let error = open(config(dir.path()), Notes::default()).unwrap_err();
    assert!(error.to_string().contains("log is damaged: the beginning of the log is missing"), "{error}");

    let odd = Config { segment_bytes_first: 5 << 20 | 1, ..config(dir.path()) };
    let error = open(odd, Notes::default()).unwrap_err();
    assert!(error.to_string().contains("segment_bytes_first is 5242881"), "{error}");
}

/// The oldest snapshot is damaged before there is a second one: the log still reaches back to the founding.
#[tokio::test]
async fn a_damaged_first_snapshot_is_replaced_by_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, first) = start(Config { snapshot_after_bytes: 40_000, ..config(dir.path()) });
    propose(&consensus, 0, 400).await;
    consensus.status().wait_for(|status| status.snapshot > 100).await.unwrap();
    consensus.shutdown().await;
    let snapshot = std::fs::read_dir(dir.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&snapshot, b"not a snapshot").unwrap();
    let (consensus, second) = start(config(dir.path()));
    consensus.read_barrier().await.unwrap();
    assert_eq!(second.all(), first.all());
}

#[tokio::test]
async fn old_segments_go_when_snapshots_have_made_them_unnecessary() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, notes) = start(config_small(dir.path()));
    let large = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..40 {
        consensus.propose(large.clone()).await.unwrap();
        notes.forget_content();
    }
    let mut status = consensus.status();
    let newest = status.wait_for(|status| status.snapshot > 36).await.unwrap().snapshot;
    // The log is kept from the snapshot before the newest, which may be much older where snapshots are slow.
    consensus.propose(large).await.unwrap();
    status.wait_for(|status| status.snapshot > newest).await.unwrap();
    consensus.shutdown().await;
    let files = std::fs::read_dir(dir.path().join("log")).unwrap().count();
    assert!(files <= 10, "40 MiB in segments of 4 MiB left {files} files");
    let (consensus, _) = start(config_small(dir.path()));
    consensus.read_barrier().await.unwrap();
}

#[tokio::test]
async fn a_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config(dir.path()));
    let second = open(config(dir.path()), Notes::default()).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    consensus.shutdown().await;
    open(config(dir.path()), Notes::default()).unwrap();
}

#[tokio::test]
async fn the_longest_command_fits_and_a_longer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config(dir.path()));
    for _ in 0..3 {
        assert!(consensus.propose(vec![1; COMMAND_BYTES_MAX].into()).await.is_ok());
    }
    assert_eq!(consensus.propose(vec![1; COMMAND_BYTES_MAX + 1].into()).await, Err(ProposeError::TooLarge));
    consensus.shutdown().await;
    let (consensus, notes) = start(config(dir.path()));
    consensus.read_barrier().await.unwrap();
    assert_eq!(notes.all().len(), 3);
}

#[tokio::test]
async fn too_much_at_once_is_refused_not_queued() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config(dir.path()));
    let large = Bytes::from(vec![1; COMMAND_BYTES_MAX]);
    let all: Vec<_> = (0..200)
        .map(|_| {
            let (consensus, large) = (consensus.clone(), large.clone());
            tokio::spawn(async move { consensus.propose(large).await })
        })
        .collect();
    let mut refused = 0;
    for one in all {
        refused += usize::from(one.await.unwrap() == Err(ProposeError::Overloaded));
    }
    assert!((1..200).contains(&refused), "{refused} of 200 refused");
    assert!(consensus.propose(Notes::line(1)).await.is_ok(), "overload passes");
}

/// The directory vanishes under a running member: the next segment cannot be begun.
#[tokio::test]
async fn a_failed_write_stops_the_member_and_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, _) = start(config(dir.path()));
    consensus.propose(Notes::line(0)).await.unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let large = Bytes::from(vec![1; 1 << 20]);
    let mut outcome = Ok(0);
    for _ in 0..20 {
        outcome = consensus.propose(large.clone()).await;
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(outcome, Err(ProposeError::Unknown));
    let status = consensus.status().wait_for(|status| status.role == Role::Stopped).await.unwrap().clone();
    let told = format!("writing the log in {}: ", dir.path().join("log").display());
    assert!(status.failure.unwrap().starts_with(&told), "an operator must know which disk");
}

/// A machine that panics on one command.
struct Fragile;

impl Machine for Fragile {
    type Output = usize;

    fn apply(&mut self, _: u64, command: Bytes) -> usize {
        assert_ne!(command, "break");
        0
    }

    fn snapshot(&self) -> SnapshotWriter {
        Box::new(|_: &mut dyn Write| Ok(()))
    }

    fn restore(&mut self, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }

    fn digest(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn a_panic_of_the_machine_stops_the_member() {
    let dir = tempfile::tempdir().unwrap();
    let consensus = open(config(dir.path()), Fragile).unwrap();
    assert_eq!(consensus.propose("bend".into()).await, Ok(0));
    assert_eq!(consensus.propose("break".into()).await, Err(ProposeError::Unknown));
    consensus.shutdown().await;
    let failure = consensus.status().borrow().failure.clone().unwrap();
    assert!(failure.contains("panicked"), "{failure}");
}

/// Barriers wait for everything acknowledged before them, also while others write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_sees_every_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let (consensus, notes) = start(config(dir.path()));
    let acknowledged = Arc::new(Mutex::new(0));
    let writers = (0..8).map(|writer| {
        let (consensus, acknowledged) = (consensus.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for number in 0..100 {
                consensus.propose(Notes::line(writer * 1000 + number)).await.unwrap();
                *acknowledged.lock().unwrap() += 1;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let before = *acknowledged.lock().unwrap();
        consensus.read_barrier().await.unwrap();
        assert!(notes.all().len() >= before);
    }
}
