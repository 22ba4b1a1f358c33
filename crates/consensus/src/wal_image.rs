//! The log's bytes without a disk, for whoever models one: a simulator that crashes it between any two bytes.
//!
//! [`ImageLog`] says which bytes go where, as [`Write`]s; [`recover`] reads what a crash left of them. Frames, segments,
//! the order of records, the choice of the snapshot: all of it is the code that `driver` runs over files. Only the carrying
//! out is left to the caller.

use std::path::PathBuf;

use bytes::Bytes;

use crate::{
    ClusterId, HardState, Mark, MemberId, OpenError,
    brain::{Persist, Setup},
    driver::{from_origin, records},
    message::Message,
    wal::{BLOCK, Framer, Identity, LogImage, Position, Reader, Record, SegmentHeader, name},
};

/// How long things are. A disk on which everything happens often has short ones.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A segment, in bytes: a multiple of 4096, and long enough for any one frame.
    pub segment_bytes: usize,
    /// A frame is closed when it holds so many bytes of records.
    pub frame_bytes: usize,
    /// See [`Config::snapshot_after_bytes`](crate::Config::snapshot_after_bytes).
    pub snapshot_after_bytes: u64,
    /// See [`Config::log_tail_bytes`](crate::Config::log_tail_bytes).
    pub log_tail_bytes: u64,
}

/// What is to be done to the disk. Each is durable before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A segment gets its name; its header is durable by then. What else is in it may be left from an earlier use.
    Begin {
        /// Its number.
        segment: u64,
        /// Its first bytes.
        header: Vec<u8>,
    },
    /// Bytes in a segment. A crash may leave any part of them.
    Frame {
        /// The segment's number.
        segment: u64,
        /// Where they go in it.
        offset: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A segment is not needed any more; its bytes may be used again.
    Drop {
        /// The segment's number.
        segment: u64,
    },
}

/// The writing end of a log that is only bytes.
#[derive(Debug)]
pub struct ImageLog {
    sizes: Sizes,
    identity: Identity,
    epoch_seed: u64,
    framer: Framer,
    number: u64,
    epoch: u64,
    offset: usize,
    /// Full segments: the number and the highest index in each.
    closed: Vec<(u64, u64)>,
    hard: HardState,
}

impl ImageLog {
    /// An empty log, as a member has that joins, or founds a group together with others. `epoch_seed` stands for the
    /// randomness that keeps the uses of a segment apart: never the same for two starts of a member.
    #[must_use]
    pub fn create(cluster: ClusterId, member: MemberId, sizes: Sizes, epoch_seed: u64) -> (Self, Vec<Write>) {
        let identity = Identity { cluster, member, incarnation: epoch_seed };
        let mut log = Self {
            sizes,
            identity,
            epoch_seed,
            framer: Framer::new(sizes.frame_bytes, &LogImage::default(), Position::default(), 0),
            number: 0,
            epoch: 0,
            offset: 0,
            closed: Vec::new(),
            hard: HardState::default(),
        };
        let begin = log.begin();
        (log, vec![begin])
    }

    /// What a member writes first: the founding, or nothing at all ([`Mark::default`]) if it joins.
    #[must_use]
    pub fn found(&mut self, mark: Mark, hard: HardState) -> Vec<Write> {
        self.hard = hard;
        self.append([Record::Mark(mark), Record::HardState(hard)])
    }

    /// Several writes of the brain at once: the bytes, and the messages that wait for them.
    #[must_use]
    pub fn persist(&mut self, batch: Vec<Persist>) -> (Vec<Write>, Vec<Message>) {
        let mut after = Vec::new();
        let mut hard = self.hard;
        let all: Vec<Record> = batch.into_iter().flat_map(|persist| records(persist, &mut hard, &mut after)).collect();
        self.hard = hard;
        (self.append(all), after)
    }

    /// Notes a snapshot and gives back the segments that only hold entries before `keep_from`.
    #[must_use]
    pub fn forget(&mut self, mark: Mark, keep_from: u64) -> Vec<Write> {
        let mut writes = self.append([Record::Mark(mark)]);
        let unnecessary = self.closed.iter().take_while(|(_, last_index)| *last_index < keep_from).count();
        writes.extend(self.closed.drain(..unnecessary).map(|(segment, _)| Write::Drop { segment }));
        writes
    }

    fn append(&mut self, records: impl IntoIterator<Item = Record>) -> Vec<Write> {
        let mut writes = Vec::new();
        for record in records {
            if self.framer.push(record) {
                self.flush(&mut writes);
            }
        }
        if !self.framer.is_empty() {
            self.flush(&mut writes);
        }
        writes
    }

    fn flush(&mut self, writes: &mut Vec<Write>) {
        if self.offset + self.framer.frame_bytes() > self.sizes.segment_bytes {
            self.closed.push((self.number, self.framer.last_index));
            writes.push(self.begin());
            self.framer.open_segment();
        }
        let bytes = self.framer.seal(self.epoch).to_vec();
        self.framer.clear();
        let (segment, offset) = (self.number, self.offset);
        self.offset += bytes.len();
        writes.push(Write::Frame { segment, offset, bytes });
    }

    fn begin(&mut self) -> Write {
        self.number += 1;
        self.epoch = self.epoch_seed.wrapping_add(self.number);
        self.offset = BLOCK;
        let (number, epoch, identity, first) = (self.number, self.epoch, self.identity, self.framer.next);
        Write::Begin { segment: number, header: SegmentHeader { number, epoch, identity, first }.encode() }
    }
}

/// A member after a crash.
#[derive(Debug)]
pub struct Recovered {
    /// The writing end, after the last whole frame.
    pub log: ImageLog,
    /// What its brain starts from. `setup.mark` is the snapshot that the machine is to be restored from; the default one is
    /// the empty machine of a member that has not joined yet.
    pub setup: Setup,
}

/// Reads what a crash left: the segments in order of their numbers, and the marks of the snapshots that are whole. `nonce` is
/// random, see [`Setup::nonce`].
///
/// # Errors
/// [`OpenError`] if something is missing that was durable once.
pub fn recover(
    segments: Vec<(u64, Bytes)>,
    snapshots: &[Mark],
    sizes: Sizes,
    nonce: u64,
) -> Result<Recovered, OpenError> {
    let named = segments.into_iter().map(|(number, bytes)| Ok((PathBuf::from(name(number)), bytes)));
    let Reader { mut image, header, next, offset, last_index, closed } = Reader::read_all(named)?;
    let missing = |detail: &str| OpenError::Corrupt { path: "image".into(), detail: detail.into() };
    let header = header.ok_or_else(|| missing("there is no segment"))?;
    let newest = snapshots.iter().filter(|mark| image.continues(mark.index)).max_by_key(|mark| mark.index);
    let mark = newest.or_else(|| from_origin(&image)).cloned();
    let mark = mark.ok_or_else(|| missing("no snapshot goes with the log"))?;
    image.detach(mark.index);
    image.hard.commit = image.hard.commit.max(mark.index);
    let log = ImageLog {
        sizes,
        identity: header.identity,
        epoch_seed: nonce,
        framer: Framer::new(sizes.frame_bytes, &image, next, last_index),
        number: header.number,
        epoch: header.epoch,
        offset,
        closed: closed.iter().filter_map(|closed| Some((closed.number()?, closed.last_index))).collect(),
        hard: image.hard,
    };
    let setup = Setup {
        member: header.identity.member,
        nonce,
        mark,
        hard: image.hard,
        entries: image.entries.into(),
        snapshot_bytes: 0,
        snapshot_after_bytes: sizes.snapshot_after_bytes,
        log_tail_bytes: sizes.log_tail_bytes,
    };
    Ok(Recovered { log, setup })
}
