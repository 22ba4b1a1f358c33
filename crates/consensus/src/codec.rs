//! The one byte format of this crate, of which the log and the messages between members are made.
//!
//! Fixed little-endian fields, lengths before bytes, no schema. Protobuf 2, which the `raft` crate uses for its own types,
//! is never parsed from a disk or a wire: its parser has a known stack overflow that is not mended in that version.
//! Every decoder checks each length against what is left before it allocates.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use crate::{Entry, EntryKind, HardState, Mark, MemberId, Members};

/// The longest description of a change of members, in bytes.
pub const CHANGE_BYTES_MAX: usize = 4 << 10;

/// The most members in any list: far above any sensible group.
pub const MEMBERS_MAX: usize = 128;

/// The longest contact, in bytes: the longest host name (253) with a port.
pub const CONTACT_BYTES_MAX: usize = 260;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end in the middle of something.
    #[error("the bytes end early")]
    Short,
    /// There are bytes after the end.
    #[error("there are bytes after the end")]
    Long,
    /// A length, count or tag that cannot be.
    #[error("{0} cannot be")]
    Impossible(&'static str),
    /// A kind of message that members never send each other.
    #[error("a member may not send this kind of message")]
    Forbidden,
    /// A message of another group.
    #[error("the message is of another group")]
    OtherCluster,
}

/// The bytes of an entry without its data and context.
pub(crate) const ENTRY_BYTES_MIN: usize = 8 + 8 + 1 + 4 + 4;

/// A length or count as all formats write it. Nothing that is written is nearly so long: what could be is refused where it
/// comes in, and a wrong length on the disk would be worse than an end of the process.
pub(crate) fn length_field(length: usize) -> u32 {
    u32::try_from(length).expect("commands, messages and frames are limited")
}

/// How long the next piece of something is of which so much is left.
pub(crate) fn piece_len(left: u64, length_max: usize) -> usize {
    usize::try_from(left).map_or(length_max, |left| left.min(length_max))
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(length_field(bytes.len()));
    out.put_slice(bytes);
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.put_u64_le(entry.term);
    out.put_u64_le(entry.index);
    out.put_u8(match entry.kind {
        EntryKind::Command => 0,
        EntryKind::Change => 1,
    });
    put_bytes(out, &entry.context);
    put_bytes(out, &entry.data);
}

pub(crate) fn put_hard_state(out: &mut Vec<u8>, hard: &HardState) {
    out.put_u64_le(hard.term);
    out.put_u64_le(hard.vote);
    out.put_u64_le(hard.commit);
}

pub(crate) fn put_mark(out: &mut Vec<u8>, mark: &Mark) {
    out.put_u64_le(mark.index);
    out.put_u64_le(mark.term);
    put_members(out, &mark.members);
}

pub(crate) fn put_members(out: &mut Vec<u8>, m: &Members) {
    for list in [&m.voters, &m.learners, &m.voters_outgoing, &m.learners_next] {
        out.put_u32_le(length_field(list.len()));
        list.iter().for_each(|member| out.put_u64_le(member.0));
    }
    out.put_u8(u8::from(m.auto_leave));
    put_contacts(out, &m.contacts);
}

pub(crate) fn put_contacts(out: &mut Vec<u8>, contacts: &BTreeMap<MemberId, String>) {
    out.put_u32_le(length_field(contacts.len()));
    for (member, contact) in contacts {
        out.put_u64_le(member.0);
        put_bytes(out, contact.as_bytes());
    }
}

/// Reads what [`put_contacts`] wrote in this process; bytes of others are checked when their message is decoded.
pub(crate) fn contacts_of(bytes: &Bytes) -> BTreeMap<MemberId, String> {
    if bytes.is_empty() {
        return BTreeMap::new();
    }
    Source(bytes.clone()).contacts().unwrap_or_default()
}

/// Bytes being read from the front.
pub(crate) struct Source(pub(crate) Bytes);

impl Source {
    fn need(&self, bytes: usize) -> Result<(), Malformed> {
        if self.0.remaining() < bytes { Err(Malformed::Short) } else { Ok(()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.need(1).map(|()| self.0.get_u8())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.need(4).map(|()| self.0.get_u32_le())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.need(8).map(|()| self.0.get_u64_le())
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        self.need(16).map(|()| self.0.get_u128_le())
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        self.need(length)?;
        Ok(self.0.split_to(length))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.0.split_to(self.0.remaining())
    }

    /// A number of items of at least `bytes_each`; more than fit into the rest cannot be.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.saturating_mul(bytes_each) > self.0.remaining() { Err(Malformed::Short) } else { Ok(count) }
    }

    pub(crate) fn entry(&mut self) -> Result<Entry, Malformed> {
        let (term, index) = (self.u64()?, self.u64()?);
        let kind = match self.u8()? {
            0 => EntryKind::Command,
            1 => EntryKind::Change,
            _ => return Err(Malformed::Impossible("the kind of an entry")),
        };
        let (context, data) = (self.bytes()?, self.bytes()?);
        if kind == EntryKind::Change && context.len() + data.len() > CHANGE_BYTES_MAX {
            return Err(Malformed::Impossible("the length of a change of members"));
        }
        Ok(Entry { term, index, kind, data, context })
    }

    pub(crate) fn hard_state(&mut self) -> Result<HardState, Malformed> {
        Ok(HardState { term: self.u64()?, vote: self.u64()?, commit: self.u64()? })
    }

    pub(crate) fn mark(&mut self) -> Result<Mark, Malformed> {
        Ok(Mark { index: self.u64()?, term: self.u64()?, members: self.members()? })
    }

    pub(crate) fn members(&mut self) -> Result<Members, Malformed> {
        Ok(Members {
            voters: self.member_list()?,
            learners: self.member_list()?,
            voters_outgoing: self.member_list()?,
            learners_next: self.member_list()?,
            auto_leave: self.u8()? != 0,
            contacts: self.contacts()?,
        })
    }

    fn contacts(&mut self) -> Result<BTreeMap<MemberId, String>, Malformed> {
        let count = self.count(12)?;
        if count > MEMBERS_MAX {
            return Err(Malformed::Impossible("the number of contacts"));
        }
        (0..count).map(|_| Ok((MemberId(self.u64()?), self.contact()?))).collect()
    }

    pub(crate) fn contact(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > CONTACT_BYTES_MAX {
            return Err(Malformed::Impossible("the length of a contact"));
        }
        String::from_utf8(bytes.into()).map_err(|_| Malformed::Impossible("a contact that is no text"))
    }

    /// Sorted, as everybody here takes for granted, whatever the order was in which they came.
    fn member_list(&mut self) -> Result<Vec<MemberId>, Malformed> {
        let count = self.count(8)?;
        if count > MEMBERS_MAX {
            return Err(Malformed::Impossible("the number of members"));
        }
        let mut list: Vec<MemberId> = (0..count).map(|_| self.u64().map(MemberId)).collect::<Result<_, _>>()?;
        list.sort_unstable();
        Ok(list)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}
