//! Our nouns as the `raft` crate has them, and back.

use std::collections::BTreeMap;

use raft::eraftpb;

use crate::{
    Entry, EntryKind, HardState, Mark, MemberId, Members,
    codec::{contacts_of, put_contacts},
};

pub(crate) fn kind_of(entry: &eraftpb::Entry) -> EntryKind {
    match entry.get_entry_type() {
        eraftpb::EntryType::EntryNormal => EntryKind::Command,
        eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => EntryKind::Change,
    }
}

pub(crate) fn from_raft_entry(entry: &eraftpb::Entry) -> Entry {
    let kind = kind_of(entry);
    Entry { term: entry.term, index: entry.index, kind, data: entry.data.clone(), context: entry.context.clone() }
}

pub(crate) fn to_raft_entry(entry: Entry) -> eraftpb::Entry {
    let Entry { term, index, kind, data, context } = entry;
    let mut raft = eraftpb::Entry { term, index, data, context, ..Default::default() };
    match kind {
        EntryKind::Command => {}
        EntryKind::Change => raft.set_entry_type(eraftpb::EntryType::EntryConfChangeV2),
    }
    raft
}

/// The members without their contacts, of which Raft knows nothing.
pub(crate) fn from_raft_members(state: &eraftpb::ConfState) -> Members {
    let sorted = |ids: &[u64]| {
        let mut ids: Vec<MemberId> = ids.iter().copied().map(MemberId).collect();
        ids.sort_unstable();
        ids
    };
    Members {
        voters: sorted(&state.voters),
        learners: sorted(&state.learners),
        voters_outgoing: sorted(&state.voters_outgoing),
        learners_next: sorted(&state.learners_next),
        auto_leave: state.auto_leave,
        contacts: BTreeMap::new(),
    }
}

/// The place of a snapshot as Raft carries it. The contacts travel where Raft keeps the application's bytes.
pub(crate) fn from_raft_snapshot(snapshot: &eraftpb::Snapshot) -> Mark {
    let meta = snapshot.get_metadata();
    let contacts = contacts_of(&snapshot.data);
    let members = Members { contacts, ..from_raft_members(meta.get_conf_state()) };
    Mark { index: meta.index, term: meta.term, members }
}

/// Raft's view of a snapshot: only its place. The machine's bytes travel beside the message.
pub(crate) fn to_raft_snapshot(mark: &Mark) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let mut contacts = Vec::new();
    put_contacts(&mut contacts, &mark.members.contacts);
    snapshot.data = contacts.into();
    let meta = snapshot.mut_metadata();
    (meta.index, meta.term) = (mark.index, mark.term);
    meta.set_conf_state(to_raft_members(&mark.members));
    snapshot
}

pub(crate) fn to_raft_members(members: &Members) -> eraftpb::ConfState {
    let ids = |members: &[MemberId]| members.iter().map(|member| member.0).collect();
    eraftpb::ConfState {
        voters: ids(&members.voters),
        learners: ids(&members.learners),
        voters_outgoing: ids(&members.voters_outgoing),
        learners_next: ids(&members.learners_next),
        auto_leave: members.auto_leave,
        ..Default::default()
    }
}

pub(crate) fn from_raft_hard_state(state: &eraftpb::HardState) -> HardState {
    HardState { term: state.term, vote: state.vote, commit: state.commit }
}

pub(crate) fn to_raft_hard_state(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState { term: state.term, vote: state.vote, commit: state.commit, ..Default::default() }
}
