//! What travels on a connection between members: first a hello, then frames, each with its length in front.
//!
//! ```text
//! hello  magic:8 version:4 cluster:16 from:8 to:8 lane:1 length:4 contact
//! frame  length:4 kind:1 content                  the length counts kind and content
//! ```
//! Numbers are little-endian. Members of different versions do not talk. What came later within a version looks like something
//! that who does not know it passes over, since an unknown frame ends the connection.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
};

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    Change, ChangeError, ClusterId, MemberId, Members, ProposeError,
    codec::{CONTACT_BYTES_MAX, Malformed, Source, length_field, put_bytes, put_members},
    message::{Lane, MESSAGE_BYTES_MAX, Message},
};

/// The version of everything in here.
const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"KPL-PEER";

/// The longest frame, in bytes: the longest message and what is around it.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;

/// Most bytes that are allocated for a frame before they are there: all but batches of entries fit.
const ROOM_BYTES_MAX: usize = 256 << 10;

/// The bytes of a hello before its contact.
const HELLO_BYTES: usize = 8 + 4 + 16 + 8 + 8 + 1 + 4;

/// The number of no request: requests are numbered from 1.
const UNASKED: u64 = 0;

/// Who calls whom, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) cluster: ClusterId,
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    pub(crate) lane: Lane,
    /// Where the caller is reached: who joins knows nobody yet, and must answer.
    pub(crate) contact: String,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HELLO_BYTES + self.contact.len());
        out.put_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u128_le(self.cluster.0);
        out.put_u64_le(self.from.0);
        out.put_u64_le(self.to.0);
        out.put_u8(match self.lane {
            Lane::Control => 0,
            Lane::Append => 1,
            Lane::Snapshot => 2,
        });
        put_bytes(&mut out, self.contact.as_bytes());
        out
    }

    /// Reads a hello.
    ///
    /// # Errors
    /// What the connection said, or that this is no hello.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = vec![0; HELLO_BYTES];
        from.read_exact(&mut bytes).await?;
        let length = bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
        if bytes[..8] != MAGIC[..] || length > CONTACT_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is no hello of a master"));
        }
        bytes.resize(HELLO_BYTES + length, 0);
        from.read_exact(&mut bytes[HELLO_BYTES..]).await?;
        Self::decode(Bytes::from(bytes).slice(8..)).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut from = Source(bytes);
        if from.u32()? != VERSION {
            return Err(Malformed::Impossible("the version of the connection"));
        }
        Ok(Self {
            cluster: ClusterId(from.u128()?),
            from: MemberId(from.u64()?),
            to: MemberId(from.u64()?),
            lane: match from.u8()? {
                0 => Lane::Control,
                1 => Lane::Append,
                2 => Lane::Snapshot,
                _ => return Err(Malformed::Impossible("the lane of the connection")),
            },
            contact: from.contact()?,
        })
    }
}

/// What a member asks of its leader beside commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Change(Change),
    Lead(MemberId),
}

/// What a leader answers.
pub(crate) type WishOutcome = Result<Members, ChangeError>;

/// One thing that a member tells another.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Message(Message),
    /// A command for the leader of a term; who sent it finds it in its own log again.
    Forward {
        id: u64,
        term: u64,
        command: Bytes,
    },
    /// A forwarded command that failed, or of which nobody knows.
    Refused {
        id: u64,
        error: ProposeError,
    },
    Ask {
        id: u64,
        wish: Wish,
    },
    Answer {
        id: u64,
        outcome: WishOutcome,
    },
    /// Where members said themselves that they are reached, to whoever sends this. It has the form of an answer that nobody
    /// waits for.
    Contacts(BTreeMap<MemberId, String>),
    Note(Bytes),
    /// What a member's state looked like at an index.
    Digest {
        index: u64,
        digest: u64,
    },
    /// A snapshot of so many bytes follows, for this message.
    Offer {
        length: u64,
        message: Message,
    },
    /// Bytes up to `offset` are here already.
    Have {
        offset: u64,
    },
    Chunk(Bytes),
    Done {
        delivered: bool,
    },
}

impl Frame {
    /// The frame as bytes, length first.
    pub(crate) fn encode(&self, cluster: ClusterId) -> Bytes {
        let mut out = vec![0; 4];
        self.put(cluster, &mut out);
        let length = length_field(out.len() - 4);
        out[..4].copy_from_slice(&length.to_le_bytes());
        out.into()
    }

    fn put(&self, cluster: ClusterId, out: &mut Vec<u8>) {
        match self {
            Self::Message(message) => {
                out.put_u8(1);
                message.encode_into(cluster, out);
            }
            Self::Forward { id, term, command } => {
                put_numbered(out, 2, *id);
                out.put_u64_le(*term);
                out.put_slice(command);
            }
            Self::Refused { id, error } => {
                put_numbered(out, 3, *id);
                put_propose_error(out, *error);
            }
            Self::Ask { id, wish } => {
                put_numbered(out, 4, *id);
                put_wish(out, wish);
            }
            Self::Answer { id, outcome } => {
                put_numbered(out, 5, *id);
                put_outcome(out, outcome);
            }
            Self::Contacts(contacts) => {
                put_numbered(out, 5, UNASKED);
                put_outcome(out, &Ok(Members { contacts: contacts.clone(), ..Members::default() }));
            }
            Self::Note(note) => {
                out.put_u8(6);
                out.put_slice(note);
            }
            Self::Digest { index, digest } => {
                put_numbered(out, 7, *index);
                out.put_u64_le(*digest);
            }
            Self::Offer { length, message } => {
                put_numbered(out, 8, *length);
                message.encode_into(cluster, out);
            }
            Self::Have { offset } => put_numbered(out, 9, *offset),
            Self::Chunk(bytes) => {
                out.put_u8(10);
                out.put_slice(bytes);
            }
            Self::Done { delivered } => {
                out.put_u8(11);
                out.put_u8(u8::from(*delivered));
            }
        }
    }

    /// Reads a frame and tells its length; `None` at the end of the connection.
    ///
    /// # Errors
    /// What the connection said, or what is wrong with the frame.
    pub(crate) async fn read(
        from: &mut (impl AsyncRead + Unpin),
        cluster: ClusterId,
    ) -> io::Result<Option<(Self, usize)>> {
        let mut length = [0; 4];
        if from.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut length[1..]).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes cannot be")));
        }
        let frame = Self::decode(content(from, length).await?, cluster);
        frame.map(|frame| Some((frame, length))).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    fn decode(bytes: Bytes, cluster: ClusterId) -> Result<Self, Malformed> {
        let mut from = Source(bytes);
        let frame = match from.u8()? {
            1 => Self::Message(Message::decode(from.rest(), cluster)?),
            2 => Self::Forward { id: from.u64()?, term: from.u64()?, command: from.rest() },
            3 => Self::Refused { id: from.u64()?, error: propose_error(&mut from)? },
            4 => Self::Ask { id: from.u64()?, wish: wish(&mut from)? },
            5 => answer(from.u64()?, outcome(&mut from)?),
            6 => Self::Note(from.rest()),
            7 => Self::Digest { index: from.u64()?, digest: from.u64()? },
            8 => Self::Offer { length: from.u64()?, message: Message::decode(from.rest(), cluster)? },
            9 => Self::Have { offset: from.u64()? },
            10 => Self::Chunk(from.rest()),
            11 => Self::Done { delivered: from.u8()? != 0 },
            _ => return Err(Malformed::Impossible("the kind of a frame")),
        };
        from.end()?;
        Ok(frame)
    }

    /// The connection that it belongs on. Commands go with the entries: they are as long.
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Message(message) => message.lane(),
            Self::Forward { .. } | Self::Note(_) => Lane::Append,
            Self::Refused { .. } | Self::Ask { .. } | Self::Answer { .. } | Self::Contacts(_) | Self::Digest { .. } => {
                Lane::Control
            }
            Self::Offer { .. } | Self::Have { .. } | Self::Chunk(_) | Self::Done { .. } => Lane::Snapshot,
        }
    }
}

/// Reads `length` bytes. For a long frame memory is allocated as they come: a length alone must not take memory.
async fn content(from: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length.min(ROOM_BYTES_MAX));
    from.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    bytes.shrink_to_fit();
    Ok(bytes.into())
}

fn put_numbered(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.put_u8(kind);
    out.put_u64_le(number);
}

/// A member, or zero for nobody.
fn put_hint(out: &mut Vec<u8>, hint: Option<MemberId>) {
    out.put_u64_le(hint.map_or(0, |member| member.0));
}

fn hint(from: &mut Source) -> Result<Option<MemberId>, Malformed> {
    Ok(Some(MemberId(from.u64()?)).filter(|member| member.0 != 0))
}

fn put_propose_error(out: &mut Vec<u8>, error: ProposeError) {
    match error {
        ProposeError::NoLeader { hint } => {
            out.put_u8(1);
            put_hint(out, hint);
        }
        ProposeError::Overloaded => out.put_u8(2),
        ProposeError::TooLarge => out.put_u8(3),
        ProposeError::Stopped => out.put_u8(4),
        ProposeError::Unknown => out.put_u8(5),
    }
}

fn propose_error(from: &mut Source) -> Result<ProposeError, Malformed> {
    match from.u8()? {
        1 => Ok(ProposeError::NoLeader { hint: hint(from)? }),
        2 => Ok(ProposeError::Overloaded),
        3 => Ok(ProposeError::TooLarge),
        4 => Ok(ProposeError::Stopped),
        5 => Ok(ProposeError::Unknown),
        _ => Err(Malformed::Impossible("the kind of an error")),
    }
}

fn put_wish(out: &mut Vec<u8>, wish: &Wish) {
    match wish {
        Wish::Change(change) => {
            out.put_u8(1);
            out.put_slice(&change.encode());
        }
        Wish::Lead(to) => {
            out.put_u8(2);
            out.put_u64_le(to.0);
        }
    }
}

fn wish(from: &mut Source) -> Result<Wish, Malformed> {
    match from.u8()? {
        1 => Ok(Wish::Change(Change::decode(from.rest())?)),
        2 => Ok(Wish::Lead(MemberId(from.u64()?))),
        _ => Err(Malformed::Impossible("the kind of a request")),
    }
}

fn put_outcome(out: &mut Vec<u8>, outcome: &WishOutcome) {
    let (kind, number, behind) = match outcome {
        Ok(members) => {
            out.put_u8(0);
            return put_members(out, members);
        }
        Err(ChangeError::NoLeader { hint }) => (1, hint.map_or(0, |member| member.0), 0),
        Err(ChangeError::Busy) => (2, 0, 0),
        Err(ChangeError::HandsOver { to }) => (3, to.0, 0),
        Err(ChangeError::LastVoter) => (4, 0, 0),
        Err(ChangeError::AlreadyMember { member }) => (5, member.0, 0),
        Err(ChangeError::NoSuchMember { member }) => (6, member.0, 0),
        Err(ChangeError::NotAVoter { member }) => (7, member.0, 0),
        Err(ChangeError::NotCaughtUp { member, behind }) => (8, member.0, *behind),
        Err(ChangeError::WouldLoseQuorum { member }) => (9, member.0, 0),
        Err(ChangeError::TooManyMembers) => (10, 0, 0),
        Err(ChangeError::ContactTooLong) => (11, 0, 0),
        Err(ChangeError::NotTakenOver { to }) => (12, to.0, 0),
        Err(ChangeError::Overloaded) => (13, 0, 0),
        Err(ChangeError::Stopped) => (14, 0, 0),
        Err(ChangeError::Unknown) => (15, 0, 0),
    };
    put_numbered(out, kind, number);
    out.put_u64_le(behind);
}

/// An answer to a request, or contacts.
fn answer(id: u64, outcome: WishOutcome) -> Frame {
    match outcome {
        Ok(Members { contacts, .. }) if id == UNASKED => Frame::Contacts(contacts),
        outcome => Frame::Answer { id, outcome },
    }
}

fn outcome(from: &mut Source) -> Result<WishOutcome, Malformed> {
    let kind = from.u8()?;
    if kind == 0 {
        return Ok(Ok(from.members()?));
    }
    let (member, behind) = (MemberId(from.u64()?), from.u64()?);
    Ok(Err(match kind {
        1 => ChangeError::NoLeader { hint: Some(member).filter(|member| member.0 != 0) },
        2 => ChangeError::Busy,
        3 => ChangeError::HandsOver { to: member },
        4 => ChangeError::LastVoter,
        5 => ChangeError::AlreadyMember { member },
        6 => ChangeError::NoSuchMember { member },
        7 => ChangeError::NotAVoter { member },
        8 => ChangeError::NotCaughtUp { member, behind },
        9 => ChangeError::WouldLoseQuorum { member },
        10 => ChangeError::TooManyMembers,
        11 => ChangeError::ContactTooLong,
        12 => ChangeError::NotTakenOver { to: member },
        13 => ChangeError::Overloaded,
        14 => ChangeError::Stopped,
        15 => ChangeError::Unknown,
        _ => return Err(Malformed::Impossible("the kind of an error")),
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    fn samples() -> Vec<Frame> {
        let (member, to) = (MemberId(3), MemberId(4));
        let change = Change::AddLearner { member, contact: "three:1".into() };
        let answers = [
            Ok(Members { voters: vec![member], contacts: [(member, "three:1".into())].into(), ..Members::default() }),
            Err(ChangeError::NoLeader { hint: None }),
            Err(ChangeError::NoLeader { hint: Some(member) }),
            Err(ChangeError::Busy),
            Err(ChangeError::HandsOver { to }),
            Err(ChangeError::LastVoter),
            Err(ChangeError::AlreadyMember { member }),
            Err(ChangeError::NoSuchMember { member }),
            Err(ChangeError::NotAVoter { member }),
            Err(ChangeError::NotCaughtUp { member, behind: 12 }),
            Err(ChangeError::WouldLoseQuorum { member }),
            Err(ChangeError::TooManyMembers),
            Err(ChangeError::ContactTooLong),
            Err(ChangeError::NotTakenOver { to }),
            Err(ChangeError::Overloaded),
            Err(ChangeError::Stopped),
            Err(ChangeError::Unknown),
        ];
        let errors = [
            ProposeError::NoLeader { hint: Some(member) },
            ProposeError::Overloaded,
            ProposeError::TooLarge,
            ProposeError::Stopped,
            ProposeError::Unknown,
        ];
        let mut frames = vec![
            Frame::Forward { id: 1, term: 3, command: "x".into() },
            Frame::Ask { id: 2, wish: Wish::Change(change) },
            Frame::Ask { id: 2, wish: Wish::Change(Change::Promote(member)) },
            Frame::Ask { id: 2, wish: Wish::Change(Change::Remove(member)) },
            Frame::Ask { id: 2, wish: Wish::Change(Change::Contact { member, contact: "n:2".into() }) },
            Frame::Ask { id: 2, wish: Wish::Lead(to) },
            Frame::Contacts([(member, "three:1".into()), (to, "four:1".into())].into()),
            Frame::Contacts(BTreeMap::new()),
            Frame::Note("n".into()),
            Frame::Digest { index: 1024, digest: 9 },
            Frame::Have { offset: 5 },
            Frame::Chunk("bytes".into()),
            Frame::Done { delivered: true },
        ];
        frames.extend(errors.map(|error| Frame::Refused { id: 3, error }));
        frames.extend(answers.map(|outcome| Frame::Answer { id: 4, outcome }));
        frames
    }

    #[tokio::test]
    async fn frames_survive_the_wire_and_their_prefixes_do_not() {
        for frame in samples() {
            let bytes = frame.encode(CLUSTER);
            let (read, length) = Frame::read(&mut &bytes[..], CLUSTER).await.unwrap().unwrap();
            assert_eq!((&read, length), (&frame, bytes.len() - 4));
            for end in 1..bytes.len() {
                assert!(Frame::read(&mut &bytes[..end], CLUSTER).await.is_err(), "{frame:?} cut at {end}");
            }
        }
        assert_eq!(Frame::read(&mut &b""[..], CLUSTER).await.unwrap(), None);
        assert!(Frame::read(&mut &u32::MAX.to_le_bytes()[..], CLUSTER).await.is_err(), "a frame of 4 GiB");
    }

    /// Members of before took every frame of kind 5 for an answer, and dropped one to a request that they had not made. Any
    /// other form would have ended their connections.
    #[test]
    fn contacts_are_an_answer_to_no_request() {
        let contacts: BTreeMap<_, _> = [(MemberId(3), "three:1".to_owned())].into();
        let mut expected = vec![5];
        expected.extend([0; 8]);
        // The members, of which there are none in any of the four lists.
        expected.extend([0; 1 + 4 * 4 + 1]);
        expected.extend([1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
        expected.extend(b"three:1");
        assert_eq!(Frame::Contacts(contacts).encode(CLUSTER)[4..], expected);
        let refusal = Frame::Answer { id: UNASKED, outcome: Err(ChangeError::Busy) };
        assert_eq!(Frame::decode(refusal.encode(CLUSTER).slice(4..), CLUSTER).unwrap(), refusal);
    }

    #[tokio::test]
    async fn a_hello_survives_the_wire() {
        let hello =
            Hello { cluster: CLUSTER, from: MemberId(1), to: MemberId(2), lane: Lane::Append, contact: "one:1".into() };
        let bytes = hello.encode();
        assert_eq!(Hello::read(&mut &bytes[..]).await.unwrap(), hello);
        for end in 0..bytes.len() {
            assert!(Hello::read(&mut &bytes[..end]).await.is_err());
        }
    }
}
