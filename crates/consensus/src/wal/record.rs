//! What the log remembers, one record at a time.

use bytes::{BufMut, Bytes};

use crate::{
    Entry, HardState, Mark,
    codec::{Malformed, Source, put_entry, put_hard_state, put_mark},
};

/// One fact of the log. Later records win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// An entry; it voids what was at its index and after it.
    Entry(Entry),
    /// The member's promises.
    HardState(HardState),
    /// A snapshot file is durable.
    Mark(Mark),
    /// Entries from this index on are void.
    Truncate(u64),
}

impl Record {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entry(entry) => {
                out.put_u8(1);
                put_entry(out, entry);
            }
            Self::HardState(hard) => {
                out.put_u8(2);
                put_hard_state(out, hard);
            }
            Self::Mark(mark) => {
                out.put_u8(3);
                put_mark(out, mark);
            }
            Self::Truncate(from) => {
                out.put_u8(4);
                out.put_u64_le(*from);
            }
        }
    }

    /// All records of a frame; entries are slices of it.
    pub(crate) fn decode_all(bytes: Bytes) -> Result<Vec<Self>, Malformed> {
        let mut from = Source(bytes);
        let mut records = Vec::new();
        while !from.is_empty() {
            records.push(Self::decode(&mut from)?);
        }
        Ok(records)
    }

    fn decode(from: &mut Source) -> Result<Self, Malformed> {
        match from.u8()? {
            1 => Ok(Self::Entry(from.entry()?)),
            2 => Ok(Self::HardState(from.hard_state()?)),
            3 => Ok(Self::Mark(from.mark()?)),
            4 => Ok(Self::Truncate(from.u64()?)),
            _ => Err(Malformed::Impossible("the kind of a record")),
        }
    }
}
