//! What members send each other, as bytes.

use bytes::{BufMut, Bytes};
use raft::eraftpb;

use crate::{
    ClusterId, Mark, MemberId,
    codec::{ENTRY_BYTES_MIN, Malformed, Source, length_field, put_bytes, put_entry, put_mark},
    raft_types::{from_raft_entry, from_raft_snapshot, to_raft_entry, to_raft_snapshot},
};

/// The longest message between members, in bytes: a batch of entries of about 1 MiB, or one of the largest, and room.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The version of the format of messages; members of different versions do not talk.
const MESSAGE_VERSION: u8 = 2;

// Lengths are written with 32 bits.
const _: () = assert!(MESSAGE_BYTES_MAX < u32::MAX as usize);

/// A message between members. Only brains make them; transports carry them.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(pub(crate) eraftpb::Message);

/// Which stream a message travels on: heartbeats must not wait behind a megabyte of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Votes, heartbeats, read indexes and answers: small and urgent.
    Control,
    /// Entries.
    Append,
    /// The announcement of a snapshot; its bytes travel beside it.
    Snapshot,
}

impl Message {
    /// Who sent it.
    #[must_use]
    pub fn from(&self) -> MemberId {
        MemberId(self.0.from)
    }

    /// Whom it is for.
    #[must_use]
    pub fn to(&self) -> MemberId {
        MemberId(self.0.to)
    }

    /// The stream it belongs on.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self.0.get_msg_type() {
            eraftpb::MessageType::MsgSnapshot => Lane::Snapshot,
            eraftpb::MessageType::MsgAppend => Lane::Append,
            _ => Lane::Control,
        }
    }

    /// The index of the snapshot that it announces, if it does.
    #[must_use]
    pub fn announces(&self) -> Option<u64> {
        self.0.has_snapshot().then(|| self.0.get_snapshot().get_metadata().index)
    }

    /// The message as bytes for a member of the same group.
    #[must_use]
    pub fn encode(&self, cluster: ClusterId) -> Bytes {
        let mut out = Vec::new();
        self.encode_into(cluster, &mut out);
        out.into()
    }

    /// Appends what [`Message::encode`] gives.
    pub(crate) fn encode_into(&self, cluster: ClusterId, out: &mut Vec<u8>) {
        let m = &self.0;
        out.reserve(160 + m.entries.iter().map(|e| 60 + e.data.len()).sum::<usize>());
        out.put_u8(MESSAGE_VERSION);
        out.put_u128_le(cluster.0);
        out.put_u8(tag(m.get_msg_type()).unwrap_or(u8::MAX));
        for number in [m.to, m.from, m.term, m.log_term, m.index, m.commit, m.commit_term, m.request_snapshot] {
            out.put_u64_le(number);
        }
        out.put_u8(u8::from(m.reject));
        out.put_u64_le(m.reject_hint);
        out.put_i64_le(m.priority);
        put_bytes(out, &m.context);
        out.put_u32_le(length_field(m.entries.len()));
        for entry in &m.entries {
            put_entry(out, &from_raft_entry(entry));
        }
        out.put_u8(u8::from(m.has_snapshot()));
        if m.has_snapshot() {
            put_mark(out, &from_raft_snapshot(m.get_snapshot()));
        }
    }

    /// The place that an announced snapshot stands for.
    pub(crate) fn mark(&self) -> Mark {
        from_raft_snapshot(self.0.get_snapshot())
    }

    /// Reads a message that a member sent. Kinds that only arise inside a member, and proposals, are refused: a write on a
    /// follower is forwarded by the API, not by Raft.
    ///
    /// # Errors
    /// [`Malformed`]; the sender is broken or hostile and its connection should be closed.
    pub fn decode(bytes: Bytes, cluster: ClusterId) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed::Impossible("the length of the message"));
        }
        let length = bytes.len();
        let mut from = Source(bytes);
        if from.u8()? != MESSAGE_VERSION {
            return Err(Malformed::Impossible("the version of the message"));
        }
        if from.u128()? != cluster.0 {
            return Err(Malformed::OtherCluster);
        }
        let mut m = eraftpb::Message::default();
        m.set_msg_type(kind(from.u8()?).ok_or(Malformed::Forbidden)?);
        for field in [
            &mut m.to,
            &mut m.from,
            &mut m.term,
            &mut m.log_term,
            &mut m.index,
            &mut m.commit,
            &mut m.commit_term,
            &mut m.request_snapshot,
        ] {
            *field = from.u64()?;
        }
        m.reject = from.u8()? != 0;
        m.reject_hint = from.u64()?;
        m.priority = from.u64()?.cast_signed();
        m.context = from.bytes()?;
        for _ in 0..from.count(ENTRY_BYTES_MIN)? {
            let mut entry = from.entry()?;
            // A small slice would keep the whole message in memory for as long as one object lives.
            if entry.data.len() * 2 < length {
                entry.data = Bytes::copy_from_slice(&entry.data);
            }
            entry.context = Bytes::copy_from_slice(&entry.context);
            m.mut_entries().push(to_raft_entry(entry));
        }
        if from.u8()? != 0 {
            m.set_snapshot(to_raft_snapshot(&from.mark()?));
        }
        from.end()?;
        Ok(Self(m))
    }
}

/// The kinds that may travel, and their bytes. The order is the format: only ever append.
pub(crate) const KINDS: [eraftpb::MessageType; 12] = [
    eraftpb::MessageType::MsgAppend,
    eraftpb::MessageType::MsgAppendResponse,
    eraftpb::MessageType::MsgRequestVote,
    eraftpb::MessageType::MsgRequestVoteResponse,
    eraftpb::MessageType::MsgRequestPreVote,
    eraftpb::MessageType::MsgRequestPreVoteResponse,
    eraftpb::MessageType::MsgHeartbeat,
    eraftpb::MessageType::MsgHeartbeatResponse,
    eraftpb::MessageType::MsgSnapshot,
    eraftpb::MessageType::MsgTimeoutNow,
    eraftpb::MessageType::MsgReadIndex,
    eraftpb::MessageType::MsgReadIndexResp,
];

fn tag(kind: eraftpb::MessageType) -> Option<u8> {
    KINDS.iter().zip(0..).find(|(known, _)| **known == kind).map(|(_, tag)| tag)
}

fn kind(tag: u8) -> Option<eraftpb::MessageType> {
    KINDS.get(usize::from(tag)).copied()
}

/// Whether a member may send this kind at all.
pub(crate) fn may_travel(message: &Message) -> bool {
    tag(message.0.get_msg_type()).is_some()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::codec::put_contacts;

    fn sample() -> Message {
        let mut m = eraftpb::Message { to: 2, from: 1, term: 7, index: 41, commit: 40, ..Default::default() };
        m.set_msg_type(eraftpb::MessageType::MsgAppend);
        m.mut_entries().push(eraftpb::Entry { term: 7, index: 42, data: "hello".into(), ..Default::default() });
        let meta = m.mut_snapshot().mut_metadata();
        meta.index = 3;
        meta.mut_conf_state().voters = vec![1, 2, 3];
        let contacts = [(MemberId(2), "two:6443".to_owned())].into();
        let mut data = Vec::new();
        put_contacts(&mut data, &contacts);
        m.mut_snapshot().data = data.into();
        Message(m)
    }

    #[test]
    fn a_message_survives_the_wire() {
        let bytes = sample().encode(ClusterId(9));
        assert_eq!(Message::decode(bytes.clone(), ClusterId(9)).unwrap(), sample());
        assert_eq!(Message::decode(bytes, ClusterId(8)), Err(Malformed::OtherCluster));
    }

    /// Found by the fuzzer: a message with members in another order was not the same once it had been passed on.
    #[test]
    fn members_are_sorted_in_whatever_order_they_come() {
        let mut message = sample();
        message.0.mut_snapshot().mut_metadata().mut_conf_state().voters = vec![1, 2, 3];
        let sorted = message.encode(ClusterId(9));
        let voters: Vec<u8> = [1_u64, 2, 3].into_iter().flat_map(u64::to_le_bytes).collect();
        let at = sorted.windows(voters.len()).position(|window| window == voters).unwrap();
        let mut swapped = sorted.to_vec();
        (swapped[at], swapped[at + 16]) = (3, 1);
        assert_eq!(Message::decode(swapped.into(), ClusterId(9)).unwrap(), message);
    }

    #[test]
    fn no_prefix_of_a_message_is_one() {
        let bytes = sample().encode(ClusterId(9));
        for end in 0..bytes.len() {
            assert!(Message::decode(bytes.slice(..end), ClusterId(9)).is_err(), "prefix of {end} bytes");
        }
    }

    /// Research §1.4 rule 4: a forwarded proposal would bring a peer's bytes to the protobuf 2 parser.
    #[test]
    fn a_proposal_does_not_travel() {
        let mut message = sample();
        message.0.set_msg_type(eraftpb::MessageType::MsgPropose);
        assert_eq!(Message::decode(message.encode(ClusterId(9)), ClusterId(9)), Err(Malformed::Forbidden));
    }
}
