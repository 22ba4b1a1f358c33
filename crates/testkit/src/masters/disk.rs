//! A disk that holds real bytes: what was synced stays, what was not may be there in any part after a crash.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use consensus::{Mark, wal_image::Write};

use crate::Prng;

/// The unit in which a disk writes all or nothing, in bytes.
const SECTOR: usize = 512;

/// So many snapshots are kept, as the driver does.
const SNAPSHOTS_KEPT: usize = 2;

/// A snapshot file.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile {
    pub(super) mark: Mark,
    pub(super) bytes: Bytes,
}

/// What survives.
#[derive(Debug, Default)]
pub(super) struct Disk {
    segments: BTreeMap<u64, Vec<u8>>,
    /// Segments that nobody needs; a later use finds their bytes behind its own.
    spares: Vec<Vec<u8>>,
    pub(super) snapshots: BTreeMap<u64, SnapshotFile>,
    /// Where frames were written, for disks that lose one.
    frames: VecDeque<(u64, usize)>,
    segment_bytes: usize,
}

impl Disk {
    pub(super) fn new(segment_bytes: usize) -> Self {
        Self { segment_bytes, ..Self::default() }
    }

    /// Carries out a write to the end: it is durable.
    pub(super) fn write(&mut self, write: Write) {
        match write {
            Write::Begin { segment, header } => {
                let mut bytes = self.spares.pop().unwrap_or_else(|| vec![0; self.segment_bytes]);
                bytes[..header.len()].copy_from_slice(&header);
                self.segments.insert(segment, bytes);
            }
            Write::Frame { segment, offset, bytes } => {
                if let Some(file) = self.segments.get_mut(&segment) {
                    file[offset..offset + bytes.len()].copy_from_slice(&bytes);
                    self.frames.push_back((segment, offset));
                }
            }
            Write::Drop { segment } => self.spares.extend(self.segments.remove(&segment)),
        }
    }

    /// A crash before the sync: nothing of the write may be there, or all, or of a frame any of its sectors.
    pub(super) fn crash(&mut self, unsynced: Option<Write>, chance: &mut Prng) {
        let Some(write) = unsynced else { return };
        match (write, chance.between(0, 3)) {
            (_, 0) => {}
            (Write::Frame { segment, offset, bytes }, 1 | 2) => self.tear(segment, offset, &bytes, chance),
            (write, _) => self.write(write),
        }
    }

    fn tear(&mut self, segment: u64, offset: usize, bytes: &[u8], chance: &mut Prng) {
        let Some(file) = self.segments.get_mut(&segment) else { return };
        let sectors = bytes.chunks(SECTOR).enumerate().filter(|_| chance.happens(500));
        for (at, sector) in sectors {
            let start = offset + at * SECTOR;
            file[start..start + sector.len()].copy_from_slice(sector);
        }
    }

    /// Breaks the disk's word: the frame that was synced last is gone.
    pub(super) fn forget_last_frame(&mut self) {
        let Some((segment, offset)) = self.frames.pop_back() else { return };
        if let Some(file) = self.segments.get_mut(&segment) {
            file[offset..offset + SECTOR].fill(0);
        }
    }

    /// The segments as a member finds them.
    pub(super) fn segments(&self) -> Vec<(u64, Bytes)> {
        self.segments.iter().map(|(number, bytes)| (*number, Bytes::copy_from_slice(bytes))).collect()
    }

    /// Removes all but the newest snapshots.
    pub(super) fn prune(&mut self) {
        while self.snapshots.len() > SNAPSHOTS_KEPT {
            self.snapshots.pop_first();
        }
    }

    /// The marks of the snapshots.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.snapshots.values().map(|file| file.mark.clone()).collect()
    }
}
