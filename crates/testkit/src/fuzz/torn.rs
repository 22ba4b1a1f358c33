//! Logs after a crash or a defect of the disk. A write that was torn loses itself and nothing before it; damage to anything
//! older is refused, or does not matter.
//!
//! The input is not the log: its bytes are the seed of a log, of a crash and of a damage.

use bytes::Bytes as Input;
use consensus::{
    ClusterId, Entry, EntryKind, HardState, Mark, MemberId, Members,
    brain::Persist,
    decoders::{SEGMENT_BYTES, SIZES},
    wal_image::{ImageLog, Write, recover},
};

use super::{Scale, Verdict};
use crate::Prng;

/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;

/// What a log says: entries by index and term with their bytes, and the promises.
type Said = (Vec<Entry>, HardState);

/// The segments of a log, one behind the other.
type Disk = Vec<Vec<u8>>;

pub(super) fn samples(chance: &mut Prng) -> Vec<Vec<u8>> {
    (0..16).map(|_| chance.bits().to_le_bytes().to_vec()).collect()
}

pub(super) fn read(input: &Input, scale: &mut Scale) -> Result<Verdict, String> {
    let seed = input.chunks(8).fold(0_u64, |seed, bytes| {
        let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        seed.rotate_left(7) ^ number
    });
    let mut chance = Prng::new(seed);
    let log = Log::random(&mut chance);
    scale.weigh(|| log.torn(&mut chance))?;
    scale.weigh(|| log.damaged(&mut chance))?;
    Ok(Verdict::Accepted)
}

/// A log of which every write but the last was acknowledged.
struct Log {
    /// Before the last write.
    before: Disk,
    after: Disk,
    /// Where the last write went.
    last: (usize, usize, usize),
    said_before: Said,
    said_after: Said,
}

impl Log {
    fn random(chance: &mut Prng) -> Self {
        let member = MemberId(5);
        let mark = Mark { index: 1, term: 1, members: Members { voters: vec![member], ..Members::default() } };
        let (mut log, mut writes) = ImageLog::create(ClusterId(7), member, SIZES, chance.bits());
        writes.extend(log.found(mark, HardState { term: 1, vote: 0, commit: 1 }));
        let mut after = Disk::new();
        writes.iter().for_each(|write| carry_out(&mut after, write));
        let mut said_after: Said = (Vec::new(), HardState { term: 1, vote: 0, commit: 1 });
        let (mut before, mut said_before, mut last) = (after.clone(), said_after.clone(), (0, 0, 0));
        for number in 1..=chance.between(1, 9) {
            let persist = persist(chance, number, &said_after);
            said_before = said_after.clone();
            say(&mut said_after, &persist);
            for write in log.persist(vec![persist]).0 {
                before.clone_from(&after);
                if let Write::Frame { segment, offset, bytes } = &write {
                    last = (*segment as usize - 1, *offset, offset + bytes.len());
                }
                carry_out(&mut after, &write);
            }
        }
        Self { before, after, last, said_before, said_after }
    }

    /// Any sectors of the last write are missing, and nonsense may stand behind it.
    fn torn(&self, chance: &mut Prng) -> Result<(), String> {
        let mut disk = self.after.clone();
        let (segment, start, end) = self.last;
        for at in (start..end).step_by(SECTOR).filter(|_| chance.bits().is_multiple_of(2)) {
            disk[segment][at..at + SECTOR].copy_from_slice(&self.before[segment][at..at + SECTOR]);
        }
        disk[segment][end..].iter_mut().for_each(|byte| *byte = chance.bits() as u8);
        match read_back(disk) {
            Ok(said) if said == self.said_after || said == self.said_before => Ok(()),
            Ok(said) => Err(format!("after a torn write it says {said:?} instead of {:?}", self.said_before)),
            Err(refusal) => Err(format!("a torn write was refused: {refusal}")),
        }
    }

    /// Something in an older write is not as it was.
    fn damaged(&self, chance: &mut Prng) -> Result<(), String> {
        let mut disk = self.after.clone();
        let (segment, start, _) = self.last;
        let target = chance.between(0, segment as u64) as usize;
        let end = if target == segment { start } else { SEGMENT_BYTES };
        let at = chance.between(0, end as u64 - 1) as usize;
        let length = chance.between(1, 600) as usize;
        disk[target][at..end.min(at + length)].iter_mut().for_each(|byte| *byte ^= chance.bits() as u8);
        match read_back(disk) {
            Ok(said) if said == self.said_after => Ok(()),
            Ok(said) => Err(format!("damage at {target}:{at} went unseen: it says {said:?}")),
            Err(_) => Ok(()),
        }
    }
}

fn persist(chance: &mut Prng, number: u64, said: &Said) -> Persist {
    let last = said.0.last().map_or(1, |entry| entry.index);
    let agreed = said.1.commit;
    let first = last + 1 - chance.between(0, (last - agreed).min(2));
    let term = number + 1;
    let entry = |index, chance: &mut Prng| {
        let data = (0..chance.between(0, 1200)).map(|_| chance.bits() as u8).collect();
        Entry { term, index, kind: EntryKind::Command, data, context: Input::new() }
    };
    let entries: Vec<Entry> = (first..first + chance.between(1, 2)).map(|index| entry(index, chance)).collect();
    let hard = HardState { term, vote: 5, commit: chance.between(agreed, first - 1) };
    Persist { number, restore: None, entries, hard, after: Vec::new() }
}

fn say(said: &mut Said, persist: &Persist) {
    if let Some(first) = persist.entries.first() {
        said.0.retain(|entry| entry.index < first.index);
    }
    said.0.extend_from_slice(&persist.entries);
    said.1 = persist.hard;
}

fn carry_out(disk: &mut Disk, write: &Write) {
    match write {
        Write::Begin { segment, header } => {
            disk.resize(*segment as usize, vec![0; SEGMENT_BYTES]);
            disk[*segment as usize - 1][..header.len()].copy_from_slice(header);
        }
        Write::Frame { segment, offset, bytes } => {
            disk[*segment as usize - 1][*offset..][..bytes.len()].copy_from_slice(bytes);
        }
        Write::Drop { .. } => {}
    }
}

fn read_back(disk: Disk) -> Result<Said, consensus::OpenError> {
    let segments = (1..).zip(disk.into_iter().map(Into::into)).collect();
    let setup = recover(segments, &[], SIZES, 0)?.setup;
    Ok((setup.entries, setup.hard))
}
