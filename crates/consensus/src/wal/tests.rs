//! The log under torn writes, flipped bits and reuse: after any of them it says a prefix of what was durable, or refuses.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::{ClusterId, Entry, EntryKind, HardState, Mark, MemberId, Members};

const SIZES: Sizes = Sizes { first: 4 << 20, max: 4 << 20 };

fn identity() -> Identity {
    Identity { cluster: ClusterId(77), member: MemberId(5), incarnation: 9 }
}

fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let data = Bytes::from(vec![(index * 7 + term) as u8; bytes]);
    Entry { term, index, kind: EntryKind::Command, data, context: Bytes::new() }
}

fn founding() -> [Record; 2] {
    let members = Members { voters: vec![MemberId(5)], ..Members::default() };
    let mark = Mark { index: 1, term: 1, members };
    [Record::Mark(mark), Record::HardState(HardState { term: 1, vote: 0, commit: 1 })]
}

fn read(dir: &Path) -> Result<LogImage, OpenError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| segment::number(path).is_some());
    paths.sort();
    recovery::inspect(paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap().into())).collect())
}

/// A log of a few frames in a file that is cut short behind them, and what it says after each frame.
struct Sample {
    dir: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    /// The end of each frame in the file, and the image up to there.
    frames: Vec<(usize, LogImage)>,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
        let path = wal.current.path.clone();
        let mut frames = vec![(BLOCK, LogImage::default())];
        let batches = [
            founding().to_vec(),
            vec![Record::Entry(entry(2, 2, 100)), Record::Entry(entry(3, 2, 5000))],
            vec![Record::Entry(entry(4, 2, 10)), Record::HardState(HardState { term: 2, vote: 5, commit: 3 })],
            vec![Record::Entry(entry(4, 3, 3)), Record::Entry(entry(5, 3, 6000))],
        ];
        for batch in batches {
            wal.append(batch).unwrap();
            frames.push((wal.current.offset as usize, read(dir.path()).unwrap()));
        }
        drop(wal);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(frames.last().unwrap().0 + 3 * BLOCK);
        Self { dir, path, bytes, frames }
    }

    fn with(&self, bytes: &[u8]) -> Result<LogImage, OpenError> {
        recovery::inspect(vec![(self.path.clone(), Bytes::copy_from_slice(bytes))])
    }

    fn last_frame(&self) -> (usize, usize) {
        let [.., (start, _), (end, _)] = &self.frames[..] else { unreachable!("there are frames") };
        (*start, *end)
    }
}

#[test]
fn a_log_says_what_was_appended() {
    let sample = Sample::new();
    let image = sample.with(&sample.bytes).unwrap();
    assert_eq!(image.hard, HardState { term: 2, vote: 5, commit: 3 });
    let places: Vec<(u64, u64)> = image.entries.iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(places, [(2, 2), (3, 2), (4, 3), (5, 3)], "entry 4 was replaced");
    assert_eq!(image.entries[3].data.len(), 6000);
}

/// Whatever part of the last frame reached the disk, and whatever was there before: the frames before it count, and the log
/// goes on.
#[test]
fn a_write_torn_at_any_byte_is_as_if_it_never_was() {
    let sample = Sample::new();
    let (start, end) = sample.last_frame();
    let [.., (_, before), (_, after)] = &sample.frames[..] else { unreachable!("there are frames") };
    let length = u32::from_le_bytes(sample.bytes[start + 4..start + 8].try_into().unwrap()) as usize;
    for stale in [0, 0xFF, 0x4D] {
        for cut in start..end {
            let mut torn = sample.bytes.clone();
            torn[cut..end].fill(stale);
            let is_whole = cut >= start + FRAME_HEADER + length || torn[start..end] == sample.bytes[start..end];
            let expected = if is_whole { after } else { before };
            assert_eq!(&sample.with(&torn).unwrap(), expected, "torn at {cut}, then {stale:#x}");
        }
    }
}

/// A disk may write the blocks of one frame in any order.
#[test]
fn a_frame_without_one_of_its_blocks_is_as_if_it_never_was() {
    let sample = Sample::new();
    let (start, end) = sample.last_frame();
    let before = &sample.frames[sample.frames.len() - 2].1;
    for block in (start..end).step_by(BLOCK) {
        let mut torn = sample.bytes.clone();
        torn[block..block + BLOCK].fill(0);
        assert_eq!(&sample.with(&torn).unwrap(), before, "block at {block} lost");
    }
}

#[test]
fn after_a_torn_write_the_log_goes_on() {
    let sample = Sample::new();
    let (start, _) = sample.last_frame();
    let mut torn = sample.bytes.clone();
    torn[start + 40] ^= 1;
    fs::write(&sample.path, &torn).unwrap();
    let (mut wal, found, _) = recover(sample.dir.path(), SIZES).unwrap().unwrap();
    assert_eq!(found, identity());
    wal.append([Record::Entry(entry(5, 4, 1))]).unwrap();
    wal.append([Record::Entry(entry(6, 4, 1))]).unwrap();
    drop(wal);
    let image = read(sample.dir.path()).unwrap();
    let places: Vec<(u64, u64)> = image.entries.iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(places, [(2, 2), (3, 2), (4, 2), (5, 4), (6, 4)]);
}

/// In the last frame a flipped bit looks like a torn write. Everywhere else it is damage and is refused, never skipped.
#[test]
fn a_flipped_bit_gives_a_prefix_or_a_refusal() {
    let sample = Sample::new();
    let (last, end) = sample.last_frame();
    let before = &sample.frames[sample.frames.len() - 2].1;
    let whole = &sample.frames[sample.frames.len() - 1].1;
    for at in 0..end {
        let mut flipped = sample.bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        match sample.with(&flipped) {
            Ok(image) if at >= last => assert!(image == *before || image == *whole, "byte {at}"),
            // Only the zeros that fill up a block are not covered by a checksum.
            Ok(image) => assert!(image == *whole && sample.bytes[at] == 0, "byte {at}"),
            Err(OpenError::Corrupt { .. }) => assert!(at < last, "byte {at} refused"),
            Err(OpenError::Version { .. }) => assert!((8..12).contains(&at), "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn damage_before_a_readable_frame_is_named() {
    let sample = Sample::new();
    let mut damaged = sample.bytes.clone();
    damaged[sample.frames[1].0 + 50] ^= 1;
    let error = sample.with(&damaged).unwrap_err().to_string();
    let (at, next) = (sample.frames[1].0, sample.frames[2].0);
    let expected = format!("frame 1 at byte {at} is not readable, but frame 2 at byte {next} is");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_lost_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
    wal.append(founding()).unwrap();
    (2..20).for_each(|index| wal.append([Record::Entry(entry(index, 1, 1 << 20))]).unwrap());
    assert!(wal.closed.len() > 2);
    let middle = wal.closed[1].path.clone();
    drop(wal);
    fs::remove_file(middle).unwrap();
    assert!(matches!(read(dir.path()), Err(OpenError::Corrupt { .. })));
}

/// Segments are used again and again; what an earlier use left behind is never taken for frames, wherever the log ends.
#[test]
fn stale_frames_of_a_reused_segment_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
    wal.append(founding()).unwrap();
    let mut reused = 0;
    for index in 2..60 {
        let spares = wal.spares.len();
        wal.append([Record::Entry(entry(index, 1, 700_000))]).unwrap();
        reused += usize::from(wal.spares.len() < spares);
        let mark = Mark { index, term: 1, ..Mark::default() };
        wal.append([Record::Mark(mark.clone())]).unwrap();
        wal.forget(index.saturating_sub(2)).unwrap();
        let image = read(dir.path()).unwrap();
        assert_eq!(image.mark, Some(mark));
        assert_eq!(image.last(), index);
        assert!(image.entries.front().unwrap().index <= index.saturating_sub(2).max(2));
    }
    assert!(reused > 3, "{reused} segments were used again");
}

#[test]
fn the_newest_promises_survive_the_segment_they_were_written_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
    wal.append(founding()).unwrap();
    let hard = HardState { term: 8, vote: 3, commit: 1 };
    wal.append([Record::HardState(hard)]).unwrap();
    (2..20).for_each(|index| wal.append([Record::Entry(entry(index, 8, 1 << 20))]).unwrap());
    wal.append([Record::Mark(Mark { index: 15, term: 8, ..Mark::default() })]).unwrap();
    wal.forget(12).unwrap();
    drop(wal);
    let image = read(dir.path()).unwrap();
    assert!(image.entries.front().unwrap().index > 2, "segments went");
    assert_eq!((image.hard.term, image.hard.vote), (8, 3));
}

/// The head of a segment repeats only what is sure without the entries before it. It must not take back what was known.
#[test]
fn what_was_agreed_survives_the_head_of_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
    wal.append(founding()).unwrap();
    (2..8).for_each(|index| wal.append([Record::Entry(entry(index, 8, 1 << 20))]).unwrap());
    wal.append([Record::HardState(HardState { term: 8, vote: 3, commit: 7 })]).unwrap();
    let before = wal.closed.len();
    (8..20).for_each(|index| wal.append([Record::Entry(entry(index, 8, 1 << 20))]).unwrap());
    assert!(wal.closed.len() > before, "another segment was begun");
    drop(wal);
    assert_eq!(read(dir.path()).unwrap().hard, HardState { term: 8, vote: 3, commit: 7 });
}

#[test]
fn a_file_of_another_group_or_version_is_refused() {
    let sample = Sample::new();
    let mut other = sample.bytes.clone();
    other[8] = 3;
    assert!(matches!(sample.with(&other), Err(OpenError::Version { found: 3, known: 2, .. })));
    assert!(matches!(sample.with(&sample.bytes[..10]), Err(OpenError::Corrupt { .. })));
}

/// Found by damaged logs with right checksums: a number one above the highest was looked for, which overflows.
#[test]
fn the_highest_numbers_do_not_overflow() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
    let highest = |term| Entry { index: u64::MAX, ..entry(9, term, 10) };
    wal.append([Record::Entry(highest(2)), Record::Entry(highest(3))]).unwrap();
    let (path, next) = (wal.current.path.clone(), Position { sequence: u64::MAX, chain: 0 });
    drop(wal);
    let image = read(dir.path()).unwrap();
    assert_eq!(image.entries, [highest(3)], "the later one replaced the earlier one");
    assert!(image.continues(u64::MAX));

    let header = SegmentHeader { number: 1, epoch: 4, identity: identity(), first: next };
    let mut frame = frame::FrameBuffer::default();
    frame.push(&Record::Truncate(2));
    let bytes = [&header.encode(), frame.seal(4, next).bytes].concat();
    let refused = recovery::inspect(vec![(path, bytes.into())]).unwrap_err();
    assert!(refused.to_string().contains("no frame follows"), "{refused}");
}

/// One step of a log's life.
#[derive(Clone, Debug)]
enum Step {
    /// Entries follow, or replace the last few.
    Append { back: u64, count: u64, bytes: usize },
    /// The member promises.
    Promise { vote: u64 },
    /// A snapshot of what is agreed.
    Snapshot,
    /// The process ends and starts again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let append = (0..3u64, 1..20u64, prop_oneof![Just(10), Just(3000), Just(300_000)]);
    prop_oneof![
        6 => append.prop_map(|(back, count, bytes)| Step::Append { back, count, bytes }),
        1 => any::<u64>().prop_map(|vote| Step::Promise { vote }),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A log says what a list would say, whatever is done to it in whatever order.
    #[test]
    fn a_log_is_a_list(steps in proptest::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let mut wal = Wal::found(dir.path(), SIZES, identity()).unwrap();
        wal.append(founding()).unwrap();
        let mut model = read(dir.path()).unwrap();
        let mut floor = 1;
        for (place, step) in steps.into_iter().enumerate() {
            let term = place as u64 + 2;
            match step {
                Step::Append { back, count, bytes } => {
                    let first = (model.last() + 1).saturating_sub(back).max(floor + 1);
                    let entries: Vec<Entry> = (first..first + count).map(|index| entry(index, term, bytes)).collect();
                    model.entries.retain(|entry| entry.index < first);
                    model.entries.extend(entries.clone());
                    wal.append(entries.into_iter().map(Record::Entry)).unwrap();
                }
                Step::Promise { vote } => {
                    model.hard = HardState { term, vote, commit: floor };
                    wal.append([Record::HardState(model.hard)]).unwrap();
                }
                Step::Snapshot => {
                    let keep_from = floor + 1;
                    floor = model.last();
                    let mark = Mark { index: floor, term, ..Mark::default() };
                    model.mark = Some(mark.clone());
                    wal.append([Record::Mark(mark)]).unwrap();
                    wal.forget(keep_from).unwrap();
                }
                Step::Reopen => {
                    drop(wal);
                    wal = recover(dir.path(), SIZES).unwrap().unwrap().0;
                }
            }
        }
        drop(wal);
        let image = read(dir.path()).unwrap();
        prop_assert_eq!(&image.mark, &model.mark);
        prop_assert_eq!((image.hard.term, image.hard.vote), (model.hard.term, model.hard.vote));
        // Whole segments are forgotten, so more may be there, but never less and never other entries.
        let first = image.entries.front().map_or(u64::MAX, |entry| entry.index);
        model.entries.retain(|entry| entry.index >= first);
        prop_assert_eq!(image.entries, model.entries);
    }
}
