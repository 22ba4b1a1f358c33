//! What a member does next, as a pure function of what happened: Raft, wrapped by the rules that make version 0.7 of the
//! `raft` crate safe to drive. No clock, disk, thread or socket: time comes as [`Event::Tick`], everything else as events
//! too, and what is to be done leaves as [`Effect`]s, to be carried out in order. The driver and the simulator both run
//! this.
//!
//! The rules beyond Raft itself, each with a test that carries its name:
//! - A read's context is never used twice, not even after a restart, and a read is answered only in the term in which it
//!   was asked (`reads`). Raft 0.7 answers a reused context with old data.
//! - What is durable is reported before any message that promises it leaves, and a vote is not counted while something is
//!   still on its way to the disk. Raft 0.7 panics otherwise.
//! - A leader hands over before it is removed, a voter loses its vote before it is removed, and a member that finds itself
//!   removed stops by itself. Raft 0.7 would lead on, without a vote, and block the rest.
//! - Proposals of other members are not taken, so no foreign byte reaches the protobuf 2 parser.

mod change;
mod event;
mod reads;
mod storage;
mod succession;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::{
    RawNode, Ready, StateRole, Storage as _,
    eraftpb::{self, MessageType},
};

pub use event::{Change, Commit, Effect, Event, Persist, Proposal, Setup};
pub(crate) use storage::FOUNDING_INDEX;

use crate::{
    ChangeError, ELECTION_TICKS_MAX, ELECTION_TICKS_MIN, EntryKind, HEARTBEAT_TICKS, Mark, MemberId, Members, Origin,
    PeerStatus, ProposeError, Role, Status,
    message::{self, Message},
    raft_types::{from_raft_entry, from_raft_hard_state, from_raft_snapshot, kind_of},
};
use reads::Reads;
use storage::Log;
use succession::mix;

/// About how many bytes of entries go to a follower in one message: large enough to amortise a message, small enough
/// that a heartbeat on the same link is not late.
const MESSAGE_BYTES: u64 = 1 << 20;

/// Messages that a follower may leave unanswered before the next one waits for it.
const INFLIGHT_MESSAGES: usize = 256;

/// Most bytes of commands not yet agreed that the leader holds; more are refused as overload.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

/// Most proposals not yet agreed that the leader holds: short ones cost more than their bytes.
const WAITING_MAX: usize = 1 << 18;

/// What was proposed to a leader that leads no more waits so many ticks for the next one: three election timeouts.
pub(crate) const WAIT_TICKS_MAX: u64 = 3 * ELECTION_TICKS_MAX as u64;

/// Most bytes of commands applied in one step, so that a long replay does not hold the thread.
const COMMITTED_BYTES_A_STEP: u64 = 16 << 20;

/// Marks a command for the machine; the empty entry of a new leader has no mark. A later format takes another number.
const COMMAND_MARK: &[u8] = &[1];

/// Marks a command that another member forwarded; the member's id and its number for the command follow.
const FORWARDED_MARK: u8 = 2;

/// A proposal that waits for its entry to be agreed.
#[derive(Debug)]
struct Waiting<P> {
    index: u64,
    term: u64,
    ticket: P,
}

/// One member's decisions. `P` and `R` are what the driver wants back with the outcome of a proposal and of a read.
pub struct Brain<P, R> {
    node: RawNode<Log>,
    members: Members,
    waiting: VecDeque<Waiting<P>>,
    reads: Reads<R>,
    /// Numbers of readies that are on their way to the disk.
    persisting: VecDeque<u64>,
    /// The newest ready's number.
    latest: u64,
    /// Votes that came while something was on its way to the disk.
    held: Vec<Message>,
    /// Term and role when last looked; a difference means that promises of the old part are void.
    seen: (u64, StateRole),
    /// The tick at which it was last seen not to lead any more.
    deposed: Option<u64>,
    /// A received snapshot on its way to the disk: the number of its write, and its index.
    restoring: Option<(u64, u64)>,
    applied: u64,
    snapshots: Snapshots,
    seed: u64,
    removed: bool,
    /// Ticks so far, and at which of them each member was heard last.
    ticks: u64,
    heard: BTreeMap<u64, u64>,
    effects: Vec<Effect<P, R>>,
}

/// When the next snapshot is due.
struct Snapshots {
    after_bytes: u64,
    tail_bytes: u64,
    /// The size of the newest snapshot.
    last_bytes: u64,
    /// Bytes applied since it was captured.
    since: u64,
    running: bool,
}

impl<P, R> std::fmt::Debug for Brain<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brain").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<P, R> Brain<P, R> {
    /// A member that remembers what it wrote. It does nothing before [`Event::Start`].
    ///
    /// # Panics
    /// When `setup` contradicts itself; recovery checks that before.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { member, nonce, mark, hard, entries, snapshot_bytes, snapshot_after_bytes, log_tail_bytes } = setup;
        let (applied, members) = (mark.index, mark.members.clone());
        let entries = entries.into_iter().map(crate::raft_types::to_raft_entry).collect();
        let log = Log::new(mark, hard, entries);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&settings(member, applied), log, &logger)
            .unwrap_or_else(|error| panic!("a recovered log that Raft does not accept: {error}"));
        Self {
            node,
            members,
            waiting: VecDeque::new(),
            reads: Reads::new(nonce),
            persisting: VecDeque::new(),
            latest: 0,
            held: Vec::new(),
            seen: (hard.term, StateRole::Follower),
            deposed: None,
            restoring: None,
            applied,
            snapshots: Snapshots {
                after_bytes: snapshot_after_bytes,
                tail_bytes: log_tail_bytes,
                last_bytes: snapshot_bytes,
                since: 0,
                running: false,
            },
            seed: mix(nonce).wrapping_add(member.0),
            removed: false,
            ticks: 0,
            heard: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    /// Takes in one event; the effects are to be carried out in order.
    pub fn handle(&mut self, event: Event<P, R>) -> Vec<Effect<P, R>> {
        if self.removed {
            self.refuse(event);
            return std::mem::take(&mut self.effects);
        }
        match event {
            Event::Start => self.start(),
            Event::Propose(proposals) => self.propose(proposals),
            Event::Read(tickets) => self.reads.ask(tickets),
            Event::Change(change) => self.change(change),
            Event::TransferLeader(to) => self.transfer_leader(to),
            Event::Peer(message) => self.receive(message),
            Event::Unreachable(member) => self.node.report_unreachable(member.0),
            Event::Lost(member) => self.lost(member),
            Event::SnapshotSent { to, delivered } => self.snapshot_sent(to, delivered),
            Event::Persisted(number) => self.persisted(number),
            Event::SnapshotWritten { mark, bytes } => self.snapshot_written(mark, bytes),
            Event::Tick => self.tick(),
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// The member's own view.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.node.raft;
        let log = self.node.store();
        Status {
            member: MemberId(raft.id),
            role: if self.removed { Role::Stopped } else { role(raft.state) },
            term: raft.term,
            leader: self.leader(),
            committed: raft.raft_log.committed,
            applied: self.applied,
            log_first: log.first(),
            log_last: raft.raft_log.last_index(),
            snapshot: log.mark.index,
            members: self.members.clone(),
            peers: self.peers(),
            ..Status::default()
        }
    }

    /// How the others do; only a leader knows.
    fn peers(&self) -> Vec<PeerStatus> {
        if self.removed || !self.is_leader() {
            return Vec::new();
        }
        let others = self.node.raft.prs().iter().filter(|(id, _)| **id != self.node.raft.id);
        let status = |(id, progress): (&u64, &raft::Progress)| {
            let (member, is_active) = (MemberId(*id), self.is_active(MemberId(*id)));
            PeerStatus { member, matched: progress.matched, is_active, is_reachable: is_active }
        };
        let mut peers: Vec<PeerStatus> = others.map(status).collect();
        peers.sort_unstable_by_key(|peer| peer.member);
        peers
    }

    /// The place in the log that the machine stands for; none before there is anything.
    pub(crate) fn applied_mark(&self) -> Option<Mark> {
        let term = self.node.store().term(self.applied).ok()?;
        let mark = Mark { index: self.applied, term, members: self.members.clone() };
        Some(mark).filter(|mark| mark.index >= FOUNDING_INDEX)
    }

    /// Index and term of the last entry of the log.
    pub(crate) fn last_place(&self) -> (u64, u64) {
        let log = &self.node.raft.raft_log;
        (log.last_index(), log.last_term())
    }

    /// The term of the last entry applied: of what was proposed in an earlier one, all that will ever be agreed is applied.
    pub(crate) fn applied_term(&self) -> u64 {
        self.node.store().term(self.applied).unwrap_or_default()
    }

    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// Whether the leader believes this member to hold entries that it does not: its log was lost or is an old copy, and
    /// what it promised is forgotten. Raft 0.7 would panic.
    #[must_use]
    pub fn is_forgetful(&self, message: &Message) -> bool {
        let m = &message.0;
        m.get_msg_type() == MessageType::MsgHeartbeat
            && m.to == self.node.raft.id
            && m.term >= self.node.raft.term
            && m.commit > self.node.raft.raft_log.last_index()
    }

    /// Whether a member said anything within the shortest election timeout.
    fn is_active(&self, member: MemberId) -> bool {
        let is_recent = |tick: &u64| self.ticks - tick < ELECTION_TICKS_MIN as u64;
        member.0 == self.node.raft.id || self.heard.get(&member.0).is_some_and(is_recent)
    }

    pub(crate) fn leader(&self) -> Option<MemberId> {
        Some(MemberId(self.node.raft.leader_id)).filter(|leader| leader.0 != raft::INVALID_ID)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Replays what is known to be agreed, then, if nobody else has a vote, leads at once.
    fn start(&mut self) {
        self.settle();
        if self.members.voters == [MemberId(self.node.raft.id)] && self.members.voters_outgoing.is_empty() {
            // The only error is a pending change of members, and settling has applied all of those.
            let _ = self.node.campaign();
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        // Raft 0.7 panics when it campaigns between a snapshot's arrival and its application.
        if self.restoring.is_none() {
            self.node.tick();
        }
        if self.deposed.is_some_and(|deposed| self.ticks - deposed >= WAIT_TICKS_MAX) {
            self.abandon_proposals();
        }
        let hint = self.leader();
        let late = self.reads.tick();
        self.fail_reads(late, ProposeError::NoLeader { hint });
    }

    /// All proposals of one event travel as one message: stepping them one by one costs several times as much.
    fn propose(&mut self, proposals: Vec<Proposal<P>>) {
        if proposals.is_empty() {
            return;
        }
        if !self.is_leader() {
            let error = ProposeError::NoLeader { hint: self.leader() };
            return self.refuse_all(proposals.into_iter().map(|proposal| proposal.ticket), error);
        }
        if self.waiting.len() + proposals.len() > WAITING_MAX {
            let tickets = proposals.into_iter().map(|proposal| proposal.ticket);
            return self.refuse_all(tickets, ProposeError::Overloaded);
        }
        let first = self.node.raft.raft_log.last_index() + 1;
        let (tickets, entries): (Vec<P>, Vec<eraftpb::Entry>) = proposals
            .into_iter()
            .map(|Proposal { ticket, command, origin }| {
                let context = origin.map_or(Bytes::from_static(COMMAND_MARK), forwarded_mark);
                (ticket, eraftpb::Entry { data: command, context, ..Default::default() })
            })
            .unzip();
        let mut message = eraftpb::Message { from: self.node.raft.id, entries: entries.into(), ..Default::default() };
        message.set_msg_type(MessageType::MsgPropose);
        let term = self.node.raft.term;
        match self.node.step(message) {
            Ok(()) => {
                let places = tickets.into_iter().zip(first..);
                self.waiting.extend(places.map(|(ticket, index)| Waiting { index, term, ticket }));
            }
            Err(_) if self.node.raft.lead_transferee.is_some() => {
                let hint = self.node.raft.lead_transferee.map(MemberId);
                self.refuse_all(tickets, ProposeError::NoLeader { hint });
            }
            Err(_) => self.refuse_all(tickets, ProposeError::Overloaded),
        }
    }

    /// Steps a message of another member, or holds it: Raft 0.7 panics when a vote makes a leader of a member whose log is
    /// still on its way to the disk.
    fn receive(&mut self, message: Message) {
        if message.to().0 != self.node.raft.id || !message::may_travel(&message) {
            return;
        }
        if self.members.contains(message.from()) {
            self.heard.insert(message.from().0, self.ticks);
        }
        // Who knows of no group yet has no vote. If the group thinks otherwise, this member's log was lost, and with it what
        // it promised.
        let is_request =
            matches!(message.0.get_msg_type(), MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if is_request && self.members.voters.is_empty() {
            return;
        }
        let is_vote = matches!(
            message.0.get_msg_type(),
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse
        );
        if is_vote && !self.persisting.is_empty() {
            return self.held.push(message);
        }
        // To be told to lead is a campaign too, see `tick`; the leader tells again.
        if self.restoring.is_some() && message.0.get_msg_type() == MessageType::MsgTimeoutNow {
            return;
        }
        // Raft refuses answers of strangers; that is no news to anybody.
        let _ = self.node.step(message.0);
    }

    fn persisted(&mut self, number: u64) {
        while self.persisting.front().is_some_and(|first| *first <= number) {
            self.persisting.pop_front();
        }
        self.report_persisted();
        if let Some((_, index)) = self.restoring.take_if(|(restore, _)| *restore <= number) {
            self.node.advance_apply_to(index);
        }
        if self.persisting.is_empty() {
            for message in std::mem::take(&mut self.held) {
                self.receive(message);
            }
        }
    }

    /// Readies without work for the disk count as persisted as soon as all before them are.
    fn report_persisted(&mut self) {
        let number = self.persisting.front().map_or(self.latest, |first| first - 1);
        self.node.on_persist_ready(number);
    }

    /// Lets Raft run until it has nothing more to say, and draws the consequences. Twice, because the first entry agreed in
    /// a term lets reads go.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.issue_reads();
            while !self.removed && self.node.has_ready() {
                let ready = self.node.ready();
                self.carry_out(ready);
            }
            self.notice();
        }
        self.snapshot_if_due();
    }

    fn carry_out(&mut self, mut ready: Ready) {
        let messages = ready.take_messages();
        self.send(messages);
        let restore = self.install(&ready);
        let entries = ready.take_entries();
        self.node.mut_store().append(&entries);
        if let Some(hard) = ready.hs() {
            self.node.mut_store().hard = from_raft_hard_state(hard);
        }
        let committed = ready.take_committed_entries();
        let after = ready.take_persisted_messages().into_iter().map(Message).collect();
        let reads = ready.take_read_states();
        // A commit index alone need not be durable: it is found again. It goes along with the next entries.
        let is_work = ready.must_sync();
        self.latest = ready.number();
        self.node.advance_append_async(ready);
        self.persist(restore, &entries, after, is_work);
        for read in reads {
            self.reads.confirm(&read.request_ctx, read.index, self.node.raft.term);
        }
        self.apply(committed);
    }

    /// Hands the newest ready to the disk. Without work for the disk its messages only wait for what is already there.
    fn persist(&mut self, restore: Option<Mark>, entries: &[eraftpb::Entry], after: Vec<Message>, is_work: bool) {
        let number = self.latest;
        if is_work || !(after.is_empty() || self.persisting.is_empty()) {
            if let Some(mark) = &restore {
                self.restoring = Some((number, mark.index));
            }
            let entries = entries.iter().map(from_raft_entry).collect();
            self.persisting.push_back(number);
            let hard = self.node.store().hard;
            return self.effects.push(Effect::Persist(Persist { number, restore, entries, hard, after }));
        }
        self.send_all(after);
        if self.persisting.is_empty() {
            self.node.on_persist_ready(number);
        }
    }

    fn send(&mut self, messages: Vec<eraftpb::Message>) {
        self.send_all(messages.into_iter().map(Message).collect());
    }

    fn send_all(&mut self, messages: Vec<Message>) {
        if !messages.is_empty() {
            self.effects.push(Effect::Send(messages));
        }
    }

    /// Takes over a snapshot of the leader, whose bytes the transport has already made durable.
    fn install(&mut self, ready: &Ready) -> Option<Mark> {
        if ready.snapshot().is_empty() {
            return None;
        }
        // They may be in it.
        self.abandon_proposals();
        let mark = from_raft_snapshot(ready.snapshot());
        self.node.mut_store().install(mark.clone());
        self.members = mark.members.clone();
        self.applied = mark.index;
        self.snapshots.since = 0;
        self.effects.push(Effect::Restore(mark.clone()));
        Some(mark)
    }

    fn apply(&mut self, entries: Vec<eraftpb::Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return self.release_reads() };
        let mut commits = Vec::with_capacity(entries.len());
        let mut is_out = false;
        for entry in entries {
            self.snapshots.since += storage::cost(&entry);
            self.outlive(entry.term);
            let ticket = self.ticket(entry.index);
            match kind_of(&entry) {
                EntryKind::Change => {
                    is_out |= self.apply_change(&entry.context);
                    self.effects.push(Effect::Changed { index: entry.index, term: entry.term });
                }
                EntryKind::Command if entry.context.is_empty() => {}
                EntryKind::Command => {
                    let origin = origin_of(&entry.context);
                    commits.push(Commit { index: entry.index, command: entry.data, ticket, origin });
                }
            }
        }
        if !commits.is_empty() {
            self.effects.push(Effect::Apply(commits));
        }
        self.applied = last;
        self.node.advance_apply_to(last);
        self.release_reads();
        self.step_down_if_demoted();
        if is_out {
            self.leave();
        }
    }

    /// What was proposed in terms before that of an agreed entry, and is not agreed yet, never will be.
    fn outlive(&mut self, term: u64) {
        while let Some(dead) = self.waiting.pop_front_if(|waiting| waiting.term < term) {
            self.refuse_all([dead.ticket], ProposeError::NoLeader { hint: self.leader() });
        }
    }

    /// The proposal that an agreed entry answers.
    fn ticket(&mut self, index: u64) -> Option<P> {
        self.waiting.pop_front_if(|waiting| waiting.index == index).map(|waiting| waiting.ticket)
    }

    /// Notices a new term or role: whoever waits to read is told. Proposals wait on, since another leader may still get them
    /// agreed, but not for ever.
    fn notice(&mut self) {
        self.set_election_ticks();
        let now = (self.node.raft.term, self.node.raft.state);
        if std::mem::replace(&mut self.seen, now) == now {
            return;
        }
        self.deposed = (!self.is_leader()).then_some(self.ticks);
        let void = self.reads.abandon();
        self.fail_reads(void, ProposeError::NoLeader { hint: self.leader() });
    }

    /// Nobody knows what becomes of what still waits.
    fn abandon_proposals(&mut self) {
        let tickets: Vec<P> = self.waiting.drain(..).map(|waiting| waiting.ticket).collect();
        self.refuse_all(tickets, ProposeError::Unknown);
    }

    fn refuse_all(&mut self, tickets: impl IntoIterator<Item = P>, error: ProposeError) {
        let tickets: Vec<P> = tickets.into_iter().collect();
        if !tickets.is_empty() {
            self.effects.push(Effect::Refuse(tickets, error));
        }
    }

    fn fail_reads(&mut self, tickets: Vec<R>, error: ProposeError) {
        if !tickets.is_empty() {
            self.effects.push(Effect::ReadFailed(tickets, error));
        }
    }

    /// What a removed member answers.
    fn refuse(&mut self, event: Event<P, R>) {
        let hint = None;
        match event {
            Event::Propose(proposals) => {
                let tickets = proposals.into_iter().map(|proposal| proposal.ticket);
                self.refuse_all(tickets, ProposeError::NoLeader { hint });
            }
            Event::Read(tickets) => self.fail_reads(tickets, ProposeError::NoLeader { hint }),
            Event::Change(change) => self.effects.push(Effect::ChangeRefused(change, ChangeError::NoLeader { hint })),
            Event::Start
            | Event::TransferLeader(_)
            | Event::Peer(_)
            | Event::Unreachable(_)
            | Event::Lost(_)
            | Event::SnapshotSent { .. }
            | Event::Persisted(_)
            | Event::SnapshotWritten { .. }
            | Event::Tick => {}
        }
    }

    fn snapshot_sent(&mut self, to: MemberId, delivered: bool) {
        let status = if delivered { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.node.report_snapshot(to.0, status);
    }

    fn snapshot_if_due(&mut self) {
        let wanted = self.node.store().wanted.replace(false);
        let due = self.snapshots.since >= self.snapshots.after_bytes.max(self.snapshots.last_bytes / 2);
        if self.snapshots.running || self.removed || self.applied <= FOUNDING_INDEX || !(due || wanted) {
            return;
        }
        let Ok(term) = self.node.store().term(self.applied) else { return };
        self.snapshots.running = true;
        self.snapshots.since = 0;
        self.effects.push(Effect::Snapshot(Mark { index: self.applied, term, members: self.members.clone() }));
    }

    /// A snapshot is durable. The log on disk is kept from the snapshot before it, so that a damaged snapshot costs nothing
    /// but time.
    fn snapshot_written(&mut self, mark: Mark, bytes: u64) {
        self.snapshots.running = false;
        self.snapshots.last_bytes = bytes;
        let before = self.node.store().mark.index;
        if mark.index <= before {
            return;
        }
        let tail = self.snapshots.tail_bytes;
        self.node.mut_store().compact(mark.clone(), tail);
        self.effects.push(Effect::Forget { mark, keep_from: before + 1 });
    }
}

fn forwarded_mark(origin: Origin) -> Bytes {
    let mut mark = vec![FORWARDED_MARK];
    mark.extend_from_slice(&origin.member.0.to_le_bytes());
    mark.extend_from_slice(&origin.id.to_le_bytes());
    mark.into()
}

fn origin_of(context: &[u8]) -> Option<Origin> {
    let (member, id) = context.strip_prefix(&[FORWARDED_MARK])?.split_first_chunk()?;
    let id = u64::from_le_bytes(id.try_into().ok()?);
    Some(Origin { member: MemberId(u64::from_le_bytes(*member)), id })
}

fn settings(member: MemberId, applied: u64) -> raft::Config {
    raft::Config {
        id: member.0,
        election_tick: ELECTION_TICKS_MIN,
        heartbeat_tick: HEARTBEAT_TICKS,
        min_election_tick: ELECTION_TICKS_MIN,
        max_election_tick: ELECTION_TICKS_MAX,
        applied,
        max_size_per_msg: MESSAGE_BYTES,
        max_inflight_msgs: INFLIGHT_MESSAGES,
        check_quorum: true,
        pre_vote: true,
        read_only_option: raft::ReadOnlyOption::Safe,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        max_committed_size_per_ready: COMMITTED_BYTES_A_STEP,
        ..raft::Config::default()
    }
}

fn role(state: StateRole) -> Role {
    match state {
        StateRole::Follower => Role::Follower,
        StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        StateRole::Leader => Role::Leader,
    }
}
