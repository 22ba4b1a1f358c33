//! How much room the disk has on which volumes, logs and images are kept.

use std::{path::Path, sync::Arc, time::Duration};

use rustix::fs::StatVfs;

use super::{World, health::Trouble};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// From so little room on, in bytes, the disk counts as full: images are tens of MiB, and the host needs some itself.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// On a small disk it is this part of all its room, in a hundred.
const FREE_PERCENT_MIN: u64 = 5;

/// The disk counts as full until it has so many times as much room again, so that the judgement does not change all the time.
const RELIEF: u64 = 2;

/// Looks for ever.
pub(crate) async fn follow(world: Arc<World>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let was_full = world.health.disk_trouble().is_some();
        match rustix::fs::statvfs(&world.config.dir) {
            Ok(room) => world.health.disk(judge(&world.config.dir, &room, was_full)),
            Err(error) => tracing::debug!(%error, "the disk does not say how much room it has"),
        }
    }
}

fn judge(dir: &Path, room: &StatVfs, was_full: bool) -> Option<Trouble> {
    let relief = if was_full { RELIEF } else { 1 };
    let (all, free) = (room.f_blocks.saturating_mul(room.f_frsize), room.f_bavail.saturating_mul(room.f_frsize));
    let least = (all / 100 * FREE_PERCENT_MIN).min(FREE_BYTES_MIN);
    // Some filesystems do not count their files.
    let files_least = room.f_files / 100;
    let dir = dir.display();
    let message = if free < least.saturating_mul(relief) {
        format!("{dir} has {} MiB left of {} MiB; from {} MiB on it is full", free >> 20, all >> 20, least >> 20)
    } else if room.f_favail < files_least.saturating_mul(relief) {
        format!("{dir} has room for {} more files; from {files_least} on it is full", room.f_favail)
    } else {
        return None;
    };
    Some(Trouble { reason: "AgentHasDiskPressure", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(all_mib: u64, free_mib: u64, files: u64, files_free: u64) -> StatVfs {
        // There is no other way to make one.
        let mut room = rustix::fs::statvfs("/").expect("there is a root");
        (room.f_frsize, room.f_blocks, room.f_bavail) = (MIB, all_mib, free_mib);
        (room.f_files, room.f_favail) = (files, files_free);
        room
    }

    #[test]
    fn a_disk_is_full_from_five_percent_or_a_gibibyte_on_and_until_it_has_twice_that() {
        let full = |room: &StatVfs, was_full| judge(Path::new("/data"), room, was_full).is_some();
        for (all, free, expected) in [(100, 4, true), (100, 5, false), (100_000, 1023, true), (100_000, 1025, false)] {
            assert_eq!(full(&room(all, free, 1000, 500), false), expected, "{free} of {all} MiB");
        }
        assert!(full(&room(100, 9, 1000, 500), true) && !full(&room(100, 10, 1000, 500), true));
        assert!(full(&room(100, 50, 1000, 9), false) && !full(&room(100, 50, 0, 0), false));
    }
}
