//! How much space is left on the disk on which volumes, logs and images are kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::StatVfs;

use super::health::{Health, Trouble};

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// With less than this free, in bytes, a disk counts as full: images are tens of MiB, and the host needs some itself.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// On a small disk it is this share of all its space, in percent.
const FREE_PERCENT_MIN: u64 = 5;

/// A disk that was full counts as full until it has so many times as much free, so that the judgement does not flap.
const RELIEF: u64 = 2;

/// Watches the disk of a directory for ever.
pub(crate) async fn follow(dir: PathBuf, health: Arc<Health>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let was_full = health.disk_trouble().is_some();
        match rustix::fs::statvfs(&dir) {
            Ok(space) => health.disk(judge(&dir, &space, was_full)),
            Err(error) => tracing::debug!(%error, "the disk does not say how much space it has"),
        }
    }
}

fn judge(dir: &Path, space: &StatVfs, was_full: bool) -> Option<Trouble> {
    let relief = if was_full { RELIEF } else { 1 };
    let (all, free) = (space.f_blocks.saturating_mul(space.f_frsize), space.f_bavail.saturating_mul(space.f_frsize));
    let least = (all / 100 * FREE_PERCENT_MIN).min(FREE_BYTES_MIN);
    // Some filesystems do not count their files.
    let files_least = space.f_files / 100;
    let dir = dir.display();
    let message = if free < least.saturating_mul(relief) {
        format!("{dir} has {} MiB left of {} MiB; from {} MiB on it is full", free >> 20, all >> 20, least >> 20)
    } else if space.f_favail < files_least.saturating_mul(relief) {
        format!("{dir} has room for {} more files; from {files_least} on it is full", space.f_favail)
    } else {
        return None;
    };
    Some(Trouble { reason: "AgentHasDiskPressure", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn space(all_mib: u64, free_mib: u64, files: u64, files_free: u64) -> StatVfs {
        // There is no other way to make one.
        let mut space = rustix::fs::statvfs("/").expect("there is a root");
        (space.f_frsize, space.f_blocks, space.f_bavail) = (MIB, all_mib, free_mib);
        (space.f_files, space.f_favail) = (files, files_free);
        space
    }

    #[test]
    fn a_disk_is_full_from_five_percent_or_a_gibibyte_on_and_until_it_has_twice_that() {
        let full = |space: &StatVfs, was_full| judge(Path::new("/data"), space, was_full).is_some();
        for (all, free, expected) in [(100, 4, true), (100, 5, false), (100_000, 1023, true), (100_000, 1025, false)] {
            assert_eq!(full(&space(all, free, 1000, 500), false), expected, "{free} of {all} MiB");
        }
        assert!(full(&space(100, 9, 1000, 500), true) && !full(&space(100, 10, 1000, 500), true));
        assert!(full(&space(100, 50, 1000, 9), false) && !full(&space(100, 50, 0, 0), false));
    }
}
