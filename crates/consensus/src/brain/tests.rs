//! Three brains that talk through a net in memory: every message goes through the codec, every write through a model of a
//! disk, and a test says what is lost, held back or late.
#![expect(clippy::unwrap_used, reason = "tests")]

mod random;

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::{
    ClusterId, Entry, HardState,
    codec::CONTACT_BYTES_MAX,
    message::{Lane, may_travel},
};

type TestBrain = Brain<u64, u64>;

/// What an outcome was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Applied(u64),
    Refused(u64, ProposeError),
    Read(u64),
    ReadFailed(u64, ProposeError),
    ChangeRefused(ChangeError),
    Removed,
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
struct Disk {
    mark: Mark,
    hard: HardState,
    entries: Vec<Entry>,
    /// Snapshots: place and content.
    snapshots: BTreeMap<u64, Vec<Bytes>>,
}

struct Node {
    brain: TestBrain,
    disk: Disk,
    state: Vec<Bytes>,
    outcomes: Vec<Outcome>,
    origins: Vec<Option<Origin>>,
    /// Writes are durable, but the brain is not told yet.
    is_report_late: bool,
    unreported: VecDeque<u64>,
}

struct Net {
    nodes: BTreeMap<u64, Node>,
    messages: VecDeque<Message>,
    /// Members that hear nothing and are not heard.
    cut_off: Vec<u64>,
    /// Every message that was delivered, for tests that deliver one again.
    delivered: Vec<Message>,
}

fn setup(id: u64, disk: &Disk, nonce: u64) -> Setup {
    Setup {
        member: MemberId(id),
        nonce,
        mark: disk.mark.clone(),
        hard: disk.hard,
        entries: disk.entries.clone(),
        snapshot_bytes: 0,
        snapshot_after_bytes: 2000,
        log_tail_bytes: 0,
    }
}

impl Net {
    fn new() -> Self {
        let members = Members { voters: [1, 2, 3].map(MemberId).to_vec(), ..Members::default() };
        let mark = Mark { index: FOUNDING_INDEX, term: 1, members };
        let hard = HardState { term: 1, vote: 0, commit: FOUNDING_INDEX };
        let disk = Disk { mark, hard, ..Disk::default() };
        let mut net =
            Self { nodes: BTreeMap::new(), messages: VecDeque::new(), cut_off: Vec::new(), delivered: Vec::new() };
        (1..=3).for_each(|id| net.boot(id, disk.clone(), id));
        net
    }

    fn boot(&mut self, id: u64, disk: Disk, nonce: u64) {
        let brain = Brain::new(setup(id, &disk, nonce));
        let state = disk.snapshots.get(&disk.mark.index).cloned().unwrap_or_default();
        let node = Node {
            brain,
            disk,
            state,
            outcomes: Vec::new(),
            origins: Vec::new(),
            is_report_late: false,
            unreported: VecDeque::new(),
        };
        self.nodes.insert(id, node);
        self.event(id, Event::Start);
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn event(&mut self, id: u64, event: Event<u64, u64>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let effects = self.node(id).brain.handle(event);
            for effect in effects {
                self.carry_out(id, effect, &mut events);
            }
        }
    }

    fn carry_out(&mut self, id: u64, effect: Effect<u64, u64>, events: &mut VecDeque<Event<u64, u64>>) {
        let node = self.nodes.get_mut(&id).unwrap();
        match effect {
            Effect::Persist(persist) => {
                node.disk.write(&persist);
                if node.is_report_late {
                    node.unreported.push_back(persist.number);
                } else {
                    events.push_back(Event::Persisted(persist.number));
                }
                self.messages.extend(persist.after);
            }
            Effect::Send(messages) => self.messages.extend(messages),
            Effect::Apply(commits) => {
                for commit in commits {
                    node.state.push(commit.command);
                    node.origins.push(commit.origin);
                    node.outcomes.extend(commit.ticket.map(Outcome::Applied));
                }
            }
            Effect::ReadReady(tickets) => node.outcomes.extend(tickets.into_iter().map(Outcome::Read)),
            Effect::ReadFailed(tickets, error) => {
                node.outcomes.extend(tickets.into_iter().map(|ticket| Outcome::ReadFailed(ticket, error)));
            }
            Effect::Refuse(tickets, error) => {
                node.outcomes.extend(tickets.into_iter().map(|ticket| Outcome::Refused(ticket, error)));
            }
            Effect::Snapshot(mark) => {
                node.disk.snapshots.insert(mark.index, node.state.clone());
                events.push_back(Event::SnapshotWritten { mark, bytes: 0 });
            }
            Effect::Forget { mark, .. } => {
                node.disk.entries.retain(|entry| entry.index > mark.index);
                node.disk.mark = mark;
            }
            Effect::Restore(mark) => node.state = node.disk.snapshots[&mark.index].clone(),
            Effect::ChangeRefused(_, refusal) => node.outcomes.push(Outcome::ChangeRefused(refusal)),
            Effect::Changed { .. } => {}
            Effect::Removed => node.outcomes.push(Outcome::Removed),
        }
    }

    /// Delivers until nobody has anything to say.
    fn settle(&mut self) {
        while let Some(message) = self.messages.pop_front() {
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        let (from, to) = (message.from().0, message.to().0);
        if self.cut_off.contains(&from) || self.cut_off.contains(&to) || !self.nodes.contains_key(&to) {
            return;
        }
        let message = Message::decode(message.encode(ClusterId(4)), ClusterId(4)).unwrap();
        self.delivered.push(message.clone());
        if message.lane() == Lane::Snapshot {
            // The bytes travel beside the message and are durable before it is told.
            let index = message.0.get_snapshot().get_metadata().index;
            let content = self.nodes[&from].disk.snapshots[&index].clone();
            self.node(to).disk.snapshots.insert(index, content);
            self.event(from, Event::SnapshotSent { to: MemberId(to), delivered: true });
        }
        self.event(to, Event::Peer(message));
    }

    fn tick(&mut self, ids: &[u64], ticks: usize) {
        for _ in 0..ticks {
            ids.iter().for_each(|id| self.event(*id, Event::Tick));
            self.settle();
        }
    }

    /// Lets `id` lead: nobody else's time passes until it does.
    fn elect(&mut self, id: u64) {
        for _ in 0..4 * ELECTION_TICKS_MAX {
            if self.nodes[&id].brain.is_leader() {
                return self.tick(&[id], HEARTBEAT_TICKS);
            }
            self.tick(&[id], 1);
        }
        panic!("{id} was not elected: {:?}", self.nodes[&id].brain);
    }

    /// The leader takes away a member's vote, then removes it.
    fn remove(&mut self, leader: u64, id: u64) {
        for _ in 0..2 {
            self.event(leader, Event::Change(Change::Remove(MemberId(id))));
            self.settle();
            self.tick(&[leader], HEARTBEAT_TICKS);
        }
        assert!(!self.nodes[&leader].brain.members().contains(MemberId(id)));
    }

    /// The others wait long enough to give up their leader, then `id` stands.
    fn elect_without_leader(&mut self, others: &[u64], id: u64) {
        // Members that heard of a leader lately refuse to vote, so their time must pass too.
        for _ in 0..4 * ELECTION_TICKS_MAX {
            if others.iter().any(|other| self.nodes[other].brain.is_leader()) {
                break;
            }
            self.tick(others, 1);
        }
        if !self.nodes[&id].brain.is_leader() {
            let leader = *others.iter().find(|other| self.nodes[other].brain.is_leader()).unwrap();
            self.event(leader, Event::TransferLeader(MemberId(id)));
            self.settle();
        }
        assert!(self.nodes[&id].brain.is_leader());
    }

    fn propose(&mut self, id: u64, ticket: u64) {
        let command = Bytes::from(format!("command {ticket}"));
        self.event(id, Event::Propose(vec![Proposal { ticket, command, origin: None }]));
    }

    fn outcomes(&mut self, id: u64) -> Vec<Outcome> {
        std::mem::take(&mut self.node(id).outcomes)
    }

    fn state(&self, id: u64) -> Vec<String> {
        let text = |command: &Bytes| String::from_utf8_lossy(command).into_owned();
        self.nodes[&id].state.iter().map(text).collect()
    }
}

impl Disk {
    fn write(&mut self, persist: &Persist) {
        if let Some(mark) = &persist.restore {
            self.mark = mark.clone();
            self.entries.clear();
        }
        if let Some(first) = persist.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(persist.entries.clone());
        }
        self.hard = persist.hard;
    }
}

fn no_leader(hint: Option<u64>) -> ProposeError {
    ProposeError::NoLeader { hint: hint.map(MemberId) }
}

#[test]
fn a_member_alone_leads_at_once() {
    let members = Members { voters: vec![MemberId(1)], ..Members::default() };
    let disk = Disk { mark: Mark { index: 1, term: 1, members }, ..Disk::default() };
    let hard = HardState { term: 1, vote: 0, commit: 1 };
    let mut brain: TestBrain = Brain::new(setup(1, &Disk { hard, ..disk }, 1));
    let effects = brain.handle(Event::Start);
    assert_eq!(brain.status().role, Role::Leader);
    assert!(matches!(&effects[..], [Effect::Persist(persist)] if persist.hard.vote == 1 && persist.entries.len() == 1));
}

#[test]
fn three_members_apply_the_same_commands() {
    let mut net = Net::new();
    net.elect(1);
    (1..=3).for_each(|ticket| net.propose(1, ticket));
    net.propose(2, 9);
    net.settle();
    net.tick(&[1], HEARTBEAT_TICKS);
    assert_eq!(net.outcomes(1), [Outcome::Applied(1), Outcome::Applied(2), Outcome::Applied(3)]);
    assert_eq!(net.outcomes(2), [Outcome::Refused(9, no_leader(Some(1)))]);
    for id in 1..=3 {
        assert_eq!(net.state(id), ["command 1", "command 2", "command 3"], "member {id}");
    }
}

/// Found by the simulator: the lead may be lost between the question and the event. Raft's follower sends its leader a kind
/// of message that members refuse, and whoever refuses closes the connection.
#[test]
fn regression_a_follower_passes_on_no_transfer_of_the_lead() {
    let mut net = Net::new();
    net.elect(1);
    net.event(2, Event::TransferLeader(MemberId(3)));
    assert!(net.messages.iter().all(may_travel), "{:?}", net.messages);
    net.settle();
    assert!(net.nodes[&1].brain.is_leader());
}

/// All proposals that wait are one message, and what one follower gets is one message too.
#[test]
fn a_batch_is_one_message() {
    let mut net = Net::new();
    net.elect(1);
    net.delivered.clear();
    let proposals = (0..50).map(|ticket| Proposal { ticket, command: "x".into(), origin: None }).collect();
    net.event(1, Event::Propose(proposals));
    net.settle();
    let appends = net.delivered.iter().filter(|message| message.0.entries.len() == 50).count();
    assert_eq!((appends, net.outcomes(1).len()), (2, 50));
}

#[test]
fn reads_are_answered_by_every_member_and_share_a_round() {
    let mut net = Net::new();
    net.elect(1);
    net.delivered.clear();
    net.event(1, Event::Read((0..20).collect()));
    net.event(3, Event::Read(vec![30]));
    net.settle();
    assert_eq!(net.outcomes(1).len(), 20);
    assert_eq!(net.outcomes(3), [Outcome::Read(30)]);
    let beats = net.delivered.iter().filter(|message| message.0.get_msg_type() == MessageType::MsgHeartbeat).count();
    assert_eq!(beats, 4, "two rounds to two members");
}

/// Defect 1 of raft 0.7 (the same as etcd #20418): an acknowledgement for an answered read counts for a later read with the
/// same context, so that a leader that was replaced meanwhile answers with old data. Contexts are never the same here.
#[test]
fn regression_a_late_acknowledgement_proves_no_other_read() {
    let mut net = Net::new();
    net.elect(1);
    net.event(1, Event::Read(vec![100]));
    net.settle();
    assert_eq!(net.outcomes(1), [Outcome::Read(100)]);
    let acknowledgements: Vec<Message> = net
        .delivered
        .iter()
        .filter(|message| message.0.get_msg_type() == MessageType::MsgHeartbeatResponse && message.to().0 == 1)
        .cloned()
        .collect();
    assert!(!acknowledgements.is_empty());

    net.cut_off = vec![1];
    net.elect_without_leader(&[2, 3], 3);
    net.propose(3, 7);
    net.settle();
    assert_eq!(net.outcomes(3), [Outcome::Applied(7)]);
    assert!(net.nodes[&1].brain.is_leader(), "the old leader does not know yet");
    net.event(1, Event::Read(vec![101]));
    net.cut_off.clear();
    net.messages.clear();
    for late in acknowledgements {
        net.event(1, Event::Peer(late));
    }
    assert_eq!(net.outcomes(1), [], "a read was proven by an old acknowledgement");
    net.messages.clear();
    net.cut_off = vec![1];
    net.tick(&[1], 2 * ELECTION_TICKS_MIN);
    assert!(matches!(net.outcomes(1)[..], [Outcome::ReadFailed(101, ProposeError::NoLeader { .. })]));
}

/// The same across a restart: the counter begins again, the nonce does not.
#[test]
fn regression_a_restarted_member_asks_under_another_context() {
    let contexts = |nonce| {
        let mut net = Net::new();
        let disk = net.nodes[&1].disk.clone();
        net.boot(1, disk, nonce);
        net.elect(1);
        net.delivered.clear();
        net.event(1, Event::Read(vec![1]));
        net.settle();
        net.delivered.iter().map(|message| message.0.context.clone()).find(|context| !context.is_empty()).unwrap()
    };
    assert_ne!(contexts(11), contexts(12));
}

/// Defect 2 of raft 0.7: a leader that is removed goes on leading, without a vote, and blocks the others. Here a leader
/// hands over first.
#[test]
fn regression_a_leader_hands_over_before_it_is_removed() {
    let mut net = Net::new();
    net.elect(1);
    net.event(1, Event::Change(Change::Remove(MemberId(1))));
    net.settle();
    let outcomes = net.outcomes(1);
    let [Outcome::ChangeRefused(ChangeError::HandsOver { to })] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(net.nodes[&to.0].brain.is_leader(), "{to} leads");
    net.tick(&[to.0], HEARTBEAT_TICKS);
    net.remove(to.0, 1);
    assert!(net.outcomes(1).contains(&Outcome::Removed));
    assert_eq!(net.nodes[&to.0].brain.status().members.voters, [2, 3].map(MemberId));
    net.propose(to.0, 5);
    net.settle();
    assert_eq!(net.outcomes(to.0), [Outcome::Applied(5)]);
}

/// The same where the leader did not know that the change in its log would cost it its vote.
#[test]
fn regression_a_leader_that_finds_itself_without_a_vote_makes_room() {
    let mut net = Net::new();
    net.elect(1);
    net.node(1).brain.propose_change(Change::Demote(MemberId(1)));
    net.propose(1, 4);
    net.settle();
    assert_eq!(net.nodes[&1].brain.status().role, Role::Follower);
    net.propose(1, 6);
    assert_eq!(net.outcomes(1), [Outcome::Refused(6, no_leader(None))]);
    for id in [2, 3] {
        assert_eq!(net.nodes[&id].brain.status().members.voters, [2, 3].map(MemberId), "{id} knows");
    }
    net.elect_without_leader(&[2, 3], 2);
    net.remove(2, 1);
    assert_eq!(net.outcomes(1), [Outcome::Applied(4), Outcome::Removed]);
    assert_eq!(net.nodes[&1].brain.status().role, Role::Stopped);
    net.propose(1, 6);
    net.event(1, Event::Read(vec![7]));
    assert_eq!(net.outcomes(1), [Outcome::Refused(6, no_leader(None)), Outcome::ReadFailed(7, no_leader(None))]);
    net.propose(2, 8);
    net.settle();
    assert!(net.outcomes(2).contains(&Outcome::Applied(8)));
}

#[test]
fn a_leader_whose_connections_broke_is_replaced_at_once() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![1];
    net.event(2, Event::Read(vec![5]));
    net.settle();
    for id in [2, 3] {
        net.event(id, Event::Lost(MemberId(1)));
    }
    assert_eq!(net.outcomes(2), [Outcome::ReadFailed(5, no_leader(None))]);
    net.tick(&[2, 3], 2);
    assert!(net.nodes[&2].brain.is_leader());
}

/// Who still hears the leader does not vote, and who thought it lost hears it again.
#[test]
fn a_leader_that_only_seemed_lost_leads_on() {
    let mut net = Net::new();
    net.elect(1);
    let term = net.nodes[&1].brain.term();
    net.event(2, Event::Lost(MemberId(1)));
    assert_eq!(net.nodes[&2].brain.leader(), None);
    net.tick(&[1, 2, 3], 2 * HEARTBEAT_TICKS);
    for id in [1, 2, 3] {
        assert_eq!((net.nodes[&id].brain.leader(), net.nodes[&id].brain.term()), (Some(MemberId(1)), term));
    }
}

/// Defect 3 of raft 0.7: it panics when a vote makes a leader of a member that acknowledged entries on the wire before it
/// was told that they are durable. Votes wait here until the disk has reported.
#[test]
fn regression_a_vote_waits_for_the_disk() {
    let mut net = Net::new();
    net.elect(1);
    net.node(2).is_report_late = true;
    net.propose(1, 1);
    net.settle();
    assert_eq!(net.outcomes(1), [Outcome::Applied(1)]);
    assert!(!net.node(2).unreported.is_empty(), "member 2 answered, but its brain was not told");
    net.cut_off = vec![1];
    for _ in 0..3 * ELECTION_TICKS_MAX {
        net.event(3, Event::Tick);
        net.event(2, Event::Tick);
        net.settle();
        if net.nodes[&2].brain.status().role == Role::Candidate {
            break;
        }
    }
    assert!(!net.nodes[&2].brain.is_leader());
    while let Some(number) = net.node(2).unreported.pop_front() {
        net.event(2, Event::Persisted(number));
        net.settle();
    }
    net.node(2).is_report_late = false;
    net.elect_without_leader(&[2, 3], 2);
}

/// Entries that never were agreed yield to the next leader's, and whoever proposed them is told that nothing was done.
#[test]
fn what_was_not_agreed_yields() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![1];
    (10..15).for_each(|ticket| net.propose(1, ticket));
    net.settle();
    net.elect_without_leader(&[2, 3], 2);
    net.propose(2, 20);
    net.settle();
    net.cut_off.clear();
    net.tick(&[2], 3 * HEARTBEAT_TICKS);
    let refused: Vec<Outcome> = (10..15).map(|ticket| Outcome::Refused(ticket, no_leader(Some(2)))).collect();
    assert_eq!(net.outcomes(1), refused);
    for id in 1..=3 {
        assert_eq!(net.state(id), ["command 20"], "member {id}");
    }
    let places = |id| net.nodes[&id].disk.entries.iter().map(|entry| (entry.index, entry.term)).collect::<Vec<_>>();
    assert_eq!(places(1), places(2));
}

#[test]
fn a_leader_without_followers_steps_down_and_fails_its_callers() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![1];
    net.propose(1, 3);
    net.tick(&[1], 2 * ELECTION_TICKS_MAX);
    assert!(!net.nodes[&1].brain.is_leader());
    assert_eq!(net.outcomes(1), [], "another leader may still get it agreed");
    net.tick(&[1], WAIT_TICKS_MAX as usize);
    assert_eq!(net.outcomes(1), [Outcome::Refused(3, ProposeError::Unknown)]);
    net.propose(1, 4);
    assert_eq!(net.outcomes(1), [Outcome::Refused(4, no_leader(None))]);
}

#[test]
fn a_crash_of_all_loses_nothing() {
    let mut net = Net::new();
    net.elect(1);
    (0..5).for_each(|ticket| net.propose(1, ticket));
    net.settle();
    assert_eq!(net.outcomes(1).len(), 5);
    let disks: Vec<Disk> = (1..=3).map(|id| net.nodes[&id].disk.clone()).collect();
    net.messages.clear();
    for (id, disk) in (1..).zip(disks) {
        net.boot(id, disk, 100 + id);
    }
    net.elect(3);
    net.tick(&[3], HEARTBEAT_TICKS);
    for id in 1..=3 {
        assert_eq!(net.state(id).len(), 5, "member {id}");
    }
}

/// A member that is far behind gets a snapshot, because the log no longer reaches back to it.
#[test]
fn a_member_far_behind_gets_a_snapshot() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![3];
    (0..200).for_each(|ticket| {
        net.propose(1, ticket);
        net.settle();
    });
    assert!(net.nodes[&1].brain.status().log_first > 100, "{:?}", net.nodes[&1].brain);
    net.cut_off.clear();
    net.tick(&[1], 4 * HEARTBEAT_TICKS);
    assert_eq!(net.state(3), net.state(1));
    assert!(net.nodes[&3].disk.mark.index > 100);
    assert!(net.delivered.iter().any(|message| message.lane() == Lane::Snapshot));
}

/// The leader holds a bounded number of bytes that are not agreed.
#[test]
fn commands_that_nobody_agrees_to_do_not_pile_up() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![1];
    let command = Bytes::from(vec![1; 1 << 20]);
    for ticket in 0..80 {
        net.event(1, Event::Propose(vec![Proposal { ticket, command: command.clone(), origin: None }]));
    }
    let refused: Vec<Outcome> = (64..80).map(|ticket| Outcome::Refused(ticket, ProposeError::Overloaded)).collect();
    assert_eq!(net.outcomes(1), refused);
}

/// And a bounded number of commands, however short.
#[test]
fn short_commands_do_not_pile_up_either() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![1];
    let batch = |tickets: std::ops::Range<u64>| {
        Event::Propose(tickets.map(|ticket| Proposal { ticket, command: Bytes::new(), origin: None }).collect())
    };
    net.event(1, batch(0..WAITING_MAX as u64));
    assert_eq!(net.outcomes(1), []);
    net.event(1, batch(0..1));
    assert_eq!(net.outcomes(1), [Outcome::Refused(0, ProposeError::Overloaded)]);
}

#[test]
fn a_member_joins_by_listening_first() {
    let mut net = Net::new();
    net.elect(1);
    net.propose(1, 1);
    net.settle();
    net.event(1, Event::Change(Change::AddLearner { member: MemberId(4), contact: "four:1".into() }));
    net.boot(4, Disk::default(), 4);
    net.settle();
    net.tick(&[1], 4 * HEARTBEAT_TICKS);
    assert_eq!(net.state(4), ["command 1"], "the new member was given everything");
    net.event(1, Event::Change(Change::Promote(MemberId(4))));
    net.settle();
    net.tick(&[1], HEARTBEAT_TICKS);
    let members = net.nodes[&4].brain.status().members;
    assert_eq!((members.voters, members.learners), ([1, 2, 3, 4].map(MemberId).to_vec(), vec![]));
    assert_eq!(members.contacts, [(MemberId(4), "four:1".to_owned())].into());
}

#[test]
fn the_last_voter_stays_and_changes_come_one_at_a_time() {
    let mut net = Net::new();
    net.elect(1);
    net.event(2, Event::Change(Change::Remove(MemberId(3))));
    assert_eq!(net.outcomes(2), [Outcome::ChangeRefused(ChangeError::NoLeader { hint: Some(MemberId(1)) })]);
    net.cut_off = vec![1];
    net.event(1, Event::Change(Change::Remove(MemberId(3))));
    net.event(1, Event::Change(Change::Remove(MemberId(2))));
    assert_eq!(net.outcomes(1), [Outcome::ChangeRefused(ChangeError::Busy)]);
}

/// What would leave nobody to agree, or makes no sense, is refused with the reason.
#[test]
fn unwise_changes_are_refused() {
    let mut net = Net::new();
    net.elect(1);
    let member = MemberId;
    let add = |id| Change::AddLearner { member: member(id), contact: String::new() };
    let contact = "x".repeat(CONTACT_BYTES_MAX + 1);
    let refused = [
        (add(2), ChangeError::AlreadyMember { member: member(2) }),
        (Change::Promote(member(2)), ChangeError::AlreadyMember { member: member(2) }),
        (Change::Promote(member(9)), ChangeError::NoSuchMember { member: member(9) }),
        (Change::Remove(member(9)), ChangeError::NoSuchMember { member: member(9) }),
        (Change::Demote(member(9)), ChangeError::NoSuchMember { member: member(9) }),
        (Change::Contact { member: member(9), contact: "n:1".into() }, ChangeError::NoSuchMember { member: member(9) }),
        (Change::Contact { member: member(2), contact }, ChangeError::ContactTooLong),
    ];
    for (change, refusal) in refused {
        net.event(1, Event::Change(change.clone()));
        assert_eq!(net.outcomes(1), [Outcome::ChangeRefused(refusal)], "{change:?}");
    }
    net.event(1, Event::Change(add(4)));
    net.settle();
    net.event(1, Event::Change(Change::Promote(member(4))));
    let behind = net.nodes[&1].brain.status().log_last;
    assert_eq!(net.outcomes(1), [Outcome::ChangeRefused(ChangeError::NotCaughtUp { member: member(4), behind })]);
}

/// Adding is allowed while a member is down; removing one that answers is not.
#[test]
fn a_change_keeps_a_majority_that_answers() {
    let mut net = Net::new();
    net.elect(1);
    net.cut_off = vec![3];
    net.tick(&[1], ELECTION_TICKS_MIN + HEARTBEAT_TICKS);
    let peers = net.nodes[&1].brain.status().peers;
    let active: Vec<_> = peers.iter().map(|peer| (peer.member.0, peer.is_active)).collect();
    assert_eq!(active, [(2, true), (3, false)]);
    let lost = |id| Outcome::ChangeRefused(ChangeError::WouldLoseQuorum { member: MemberId(id) });
    for id in [1, 2] {
        net.event(1, Event::Change(Change::Remove(MemberId(id))));
        assert_eq!(net.outcomes(1), [lost(id)]);
    }
    net.event(1, Event::Change(Change::AddLearner { member: MemberId(4), contact: "four:1".into() }));
    net.settle();
    assert_eq!(net.outcomes(1), []);
    net.remove(1, 3);
    let members = net.nodes[&1].brain.status().members;
    assert_eq!((members.voters, members.learners), ([1, 2].map(MemberId).to_vec(), vec![MemberId(4)]));
}

/// A contact is changed by the log, and told by snapshots.
#[test]
fn contacts_are_agreed_like_members() {
    let mut net = Net::new();
    net.elect(1);
    net.event(1, Event::Change(Change::Contact { member: MemberId(2), contact: "two:1".into() }));
    net.settle();
    (0..200).for_each(|ticket| {
        net.propose(1, ticket);
        net.settle();
    });
    net.event(1, Event::Change(Change::AddLearner { member: MemberId(4), contact: "four:1".into() }));
    net.boot(4, Disk::default(), 4);
    net.settle();
    net.tick(&[1], 4 * HEARTBEAT_TICKS);
    let contacts = [(MemberId(2), "two:1".to_owned()), (MemberId(4), "four:1".to_owned())].into();
    for id in [1, 2, 4] {
        assert_eq!(net.nodes[&id].brain.status().members.contacts, contacts, "member {id}");
    }
    assert_eq!(net.nodes[&1].brain.status().members.voters.len(), 3);
}

/// The member that forwarded a command recognises it in its own log.
#[test]
fn a_forwarded_command_carries_its_origin() {
    let mut net = Net::new();
    net.elect(1);
    let origin = Some(Origin { member: MemberId(2), id: 77 });
    net.event(1, Event::Propose(vec![Proposal { ticket: 1, command: "x".into(), origin }]));
    net.settle();
    net.tick(&[1], HEARTBEAT_TICKS);
    assert_eq!(net.node(2).origins, [origin]);
}
