//! How bad things are in one trial. Each trial is bad in its own way: what is always a little bad finds little.

use consensus::wal_image::Sizes;

use crate::Prng;

/// A tick has so many moments: messages and disks are faster than ticks.
pub(super) const TICK: u64 = 16;

/// Probabilities are in thousandths, times in moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) delay_max: u64,
    /// Messages that take very long.
    pub(super) stragglers: u64,
    pub(super) losses: u64,
    pub(super) doubles: u64,
    /// Of a crash between two effects, in hundred-thousandths.
    pub(super) crashes_at_effects: u64,
    /// Of a crash between two steps of the disk, in hundred-thousandths.
    pub(super) crashes_at_disk: u64,
    pub(super) disk_delay_max: u64,
    /// How often something happens to somebody, in moments; never if zero.
    pub(super) mishap_every: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub(super) const CALM: Self = Self {
        delay_max: 2,
        stragglers: 0,
        losses: 0,
        doubles: 0,
        crashes_at_effects: 0,
        crashes_at_disk: 0,
        disk_delay_max: 2,
        mishap_every: 0,
    };

    pub(super) fn draw(chance: &mut Prng) -> Self {
        let mut one = |of: &[u64]| chance.pick(of).copied().unwrap_or(0);
        Self {
            delay_max: one(&[1, 4, 16, 60]),
            stragglers: one(&[0, 0, 5, 30]),
            losses: one(&[0, 0, 10, 60, 150]),
            doubles: one(&[0, 20, 100]),
            crashes_at_effects: one(&[0, 20, 100]),
            crashes_at_disk: one(&[0, 20, 100]),
            disk_delay_max: one(&[1, 6, 40]),
            mishap_every: TICK * one(&[6, 15, 40]),
        }
    }
}

/// How long things are on the disk and when snapshots are due: small, so that all borders are crossed often.
pub(super) fn sizes(chance: &mut Prng) -> Sizes {
    let mut one = |of: &[u64]| chance.pick(of).copied().unwrap_or(0);
    Sizes {
        segment_bytes: 4096 * one(&[10, 16, 32]) as usize,
        frame_bytes: one(&[64, 400, 4000, 16_000]) as usize,
        snapshot_after_bytes: one(&[1500, 6000, 100_000]),
        log_tail_bytes: one(&[0, 500, 5000]),
    }
}
