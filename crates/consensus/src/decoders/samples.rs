//! Valid bytes of each format, in every shape.

use bytes::Bytes;
use raft::eraftpb;

use super::{CLUSTER, Format, SEGMENT_BYTES, SIZES};
use crate::{
    Change, ChangeError, Entry, EntryKind, HardState, Mark, MemberId, Members, ProposeError,
    brain::Persist,
    codec::piece_len,
    driver::{Frame, Hello, Wish},
    message::{KINDS, Lane, Message},
    raft_types::{to_raft_entry, to_raft_snapshot},
    snapshot,
    wal::Record,
    wal_image::{ImageLog, Write},
};

/// Values by chance.
pub(super) struct Draw<'a>(pub(super) &'a mut dyn FnMut() -> u64);

impl Draw<'_> {
    fn below(&mut self, end: u64) -> u64 {
        (self.0)() % end
    }

    fn index(&mut self, end: usize) -> usize {
        piece_len(self.below(end as u64), end)
    }

    /// A number as they occur, or one at the edge of what there is.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => (self.0)(),
            _ => self.below(1000),
        }
    }

    fn member(&mut self) -> MemberId {
        MemberId(self.number())
    }

    fn bytes(&mut self) -> Bytes {
        let length = [0, 1, 20, 300, 2000][self.index(5)];
        (0..length).map(|_| (self.0)().to_le_bytes()[0]).collect()
    }

    fn contact(&mut self) -> String {
        let name = "master-".repeat(self.index(4));
        format!("{name}{}:6443", self.below(100))
    }

    fn list(&mut self) -> Vec<MemberId> {
        let mut list: Vec<MemberId> = (0..self.below(5)).map(|_| self.member()).collect();
        list.sort_unstable();
        list
    }

    fn members(&mut self) -> Members {
        Members {
            voters: self.list(),
            learners: self.list(),
            voters_outgoing: self.list(),
            learners_next: self.list(),
            auto_leave: self.below(2) == 0,
            contacts: (0..self.below(4)).map(|_| (self.member(), self.contact())).collect(),
        }
    }

    fn mark(&mut self) -> Mark {
        Mark { index: self.number(), term: self.number(), members: self.members() }
    }

    fn entry(&mut self) -> Entry {
        let kind = if self.below(3) == 0 { EntryKind::Change } else { EntryKind::Command };
        let (data, context) = (self.bytes(), self.bytes());
        Entry { term: self.number(), index: self.number(), kind, data, context }
    }

    fn message(&mut self, kind: eraftpb::MessageType) -> Message {
        let mut m = eraftpb::Message { to: self.number(), from: self.number(), ..Default::default() };
        m.set_msg_type(kind);
        (m.term, m.log_term, m.index, m.commit) = (self.number(), self.number(), self.number(), self.number());
        (m.reject, m.reject_hint, m.context) = (self.below(2) == 0, self.number(), self.bytes());
        for _ in 0..self.below(4) {
            let entry = self.entry();
            m.mut_entries().push(to_raft_entry(entry));
        }
        if kind == eraftpb::MessageType::MsgSnapshot {
            m.set_snapshot(to_raft_snapshot(&self.mark()));
        }
        Message(m)
    }

    fn changes(&mut self) -> Vec<Change> {
        let (member, contact) = (self.member(), self.contact());
        vec![
            Change::AddLearner { member, contact: contact.clone() },
            Change::Promote(member),
            Change::Remove(member),
            Change::Demote(member),
            Change::Contact { member, contact },
        ]
    }

    fn frames(&mut self) -> Vec<Frame> {
        let (member, id) = (self.member(), self.number());
        let append = self.message(eraftpb::MessageType::MsgAppend);
        let mut frames = vec![
            Frame::Message(append),
            Frame::Forward { id, term: self.number(), command: self.bytes() },
            Frame::Ask { id, wish: Wish::Lead(member) },
            Frame::Contacts(self.members().contacts),
            Frame::Note(self.bytes()),
            Frame::Digest { index: id, digest: self.number() },
            Frame::Offer { length: id, message: self.message(eraftpb::MessageType::MsgSnapshot) },
            Frame::Have { offset: id },
            Frame::Chunk(self.bytes()),
            Frame::Done { delivered: true },
            Frame::Answer { id, outcome: Ok(self.members()) },
            Frame::Answer { id, outcome: Err(ChangeError::NotCaughtUp { member, behind: 9 }) },
            Frame::Refused { id, error: ProposeError::NoLeader { hint: None } },
        ];
        frames.extend(self.changes().into_iter().map(|change| Frame::Ask { id, wish: Wish::Change(change) }));
        frames
    }

    fn records(&mut self) -> Vec<Record> {
        let hard = HardState { term: self.number(), vote: self.number(), commit: self.number() };
        let mut records = vec![Record::HardState(hard), Record::Mark(self.mark()), Record::Truncate(self.number())];
        records.extend((0..4).map(|_| Record::Entry(self.entry())));
        records.extend((0..self.below(2) * 500).map(Record::Truncate));
        records
    }

    fn snapshot(&mut self) -> Vec<u8> {
        let content = self.bytes().repeat(self.index(3));
        snapshot::in_memory(CLUSTER, &self.mark(), &content).unwrap_or_default()
    }

    /// An offer and all chunks of a snapshot.
    fn transfer(&mut self) -> Vec<u8> {
        let whole = self.snapshot();
        let message = self.message(eraftpb::MessageType::MsgSnapshot);
        let mut out = Frame::Offer { length: whole.len() as u64, message }.encode(CLUSTER).to_vec();
        for chunk in whole.chunks(1 + self.index(500)) {
            out.extend_from_slice(&Frame::Chunk(Bytes::copy_from_slice(chunk)).encode(CLUSTER));
        }
        out
    }

    /// A log of some segments, as a member writes it that was founded alone.
    fn log(&mut self) -> Vec<u8> {
        let (mut log, mut writes) = ImageLog::create(CLUSTER, MemberId(5), SIZES, self.number());
        writes.extend(log.found(founding(), HardState { term: 1, vote: 0, commit: 1 }));
        let mut last = 1;
        for number in 1..3 + self.below(8) {
            let first = last + 1 - self.below(2).min(last - 1);
            last = first + self.below(4);
            let entry = |index, data| Entry { term: 2, index, kind: EntryKind::Command, data, context: Bytes::new() };
            let entries = (first..=last).map(|index| entry(index, self.bytes())).collect();
            let hard = HardState { term: 2, vote: 5, commit: first - 1 };
            let persist = Persist { number, restore: None, entries, hard, after: Vec::new() };
            writes.extend(log.persist(vec![persist]).0);
        }
        on_disk(&writes)
    }
}

/// Many of the smallest entries: what they cost in memory is more than their bytes.
fn crowd() -> Message {
    let mut m = eraftpb::Message::default();
    m.set_msg_type(eraftpb::MessageType::MsgAppend);
    (0..500).for_each(|_| m.mut_entries().push(eraftpb::Entry::default()));
    Message(m)
}

/// Where the logs of the samples begin.
fn founding() -> Mark {
    Mark { index: 1, term: 1, members: Members { voters: vec![MemberId(5)], ..Members::default() } }
}

/// The snapshots that stand beside the log of a [`Format::Log`].
pub(super) fn snapshots() -> [Mark; 2] {
    [Mark { index: 4, term: 2, ..founding() }, Mark { index: u64::MAX, ..founding() }]
}

/// The segments that some writes make, one behind the other.
fn on_disk(writes: &[Write]) -> Vec<u8> {
    let mut disk = Vec::new();
    for write in writes {
        let (segment, offset, bytes) = match write {
            Write::Begin { segment, header } => (*segment, 0, header),
            Write::Frame { segment, offset, bytes } => (*segment, *offset, bytes),
            Write::Drop { .. } => continue,
        };
        let at = piece_len(segment - 1, usize::MAX) * SEGMENT_BYTES;
        disk.resize(disk.len().max(at + SEGMENT_BYTES), 0);
        disk[at + offset..][..bytes.len()].copy_from_slice(bytes);
    }
    disk
}

/// So many samples of a format that has one shape only.
const SEVERAL: usize = 6;

pub(super) fn of(format: Format, draw: &mut Draw<'_>) -> Vec<Bytes> {
    match format {
        Format::Hello => [Lane::Control, Lane::Append, Lane::Snapshot]
            .into_iter()
            .map(|lane| {
                let (from, to, contact) = (draw.member(), draw.member(), draw.contact());
                Hello { cluster: CLUSTER, from, to, lane, contact }.encode().into()
            })
            .collect(),
        Format::Frame => draw.frames().iter().map(|frame| frame.encode(CLUSTER)).collect(),
        Format::Message => {
            let all = KINDS.iter().map(|kind| draw.message(*kind)).chain([crowd()]);
            all.map(|message| message.encode(CLUSTER)).collect()
        }
        Format::Change => draw.changes().iter().map(|change| change.encode().into()).collect(),
        Format::Records => several(|| {
            let mut out = Vec::new();
            draw.records().iter().for_each(|record| record.encode(&mut out));
            out
        }),
        Format::Log => several(|| draw.log()),
        Format::Snapshot => several(|| draw.snapshot()),
        Format::Transfer => several(|| draw.transfer()),
    }
}

fn several(mut one: impl FnMut() -> Vec<u8>) -> Vec<Bytes> {
    (0..SEVERAL).map(|_| one().into()).collect()
}
