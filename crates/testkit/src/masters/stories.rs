//! Stories with names: defects that others had, told to these masters. Each says what would be seen if it came back; the
//! ledger's rules watch every step besides.
#![expect(clippy::unwrap_used, reason = "tests")]

use api::{Key, Revision};
use consensus::{
    ClusterId, HardState, Machine as _, Mark, MemberId,
    brain::Change,
    wal_image::{ImageLog, Sizes, Write, recover},
};
use store::{Expect, Op, Txn};

use super::{
    Rule,
    clients::KINDS,
    disk::Disk,
    ledger::label,
    watchers::Watcher,
    weather::{TICK, Weather},
    world::{Act, World},
};
use crate::Prng;

/// Longer than any election.
const LONG: u64 = 120;

const SIZES: Sizes =
    Sizes { segment_bytes: 10 * 4096, frame_bytes: 200, snapshot_after_bytes: 1_000_000, log_tail_bytes: 0 };

fn group(seed: u64, sizes: Sizes) -> World {
    let mut world = World::new(Prng::new(seed), Weather::CALM, sizes);
    world.found(3).unwrap();
    world.run(LONG).unwrap();
    assert!(world.some_leader().is_some());
    world
}

fn key(name: &str) -> Key {
    Key::namespaced(KINDS[0], "default", name)
}

fn put(name: &str) -> Op {
    Op::Put { key: key(name), bytes: name.to_owned().into(), expect: Expect::Any }
}

impl World {
    fn write(&mut self, to: MemberId, op: Op) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        self.ask_write(to, number, &Txn { ops: vec![op, label(number)] }).unwrap();
        number
    }

    fn read(&mut self, from: MemberId) {
        self.numbers += 1;
        self.ask_read(from, self.numbers).unwrap();
    }

    /// A write to whoever leads, which is acknowledged.
    fn written(&mut self, op: Op) {
        for _ in 0..10 {
            let Some(leader) = self.some_leader() else {
                self.run(LONG).unwrap();
                continue;
            };
            let number = self.write(leader, op.clone());
            self.run(10).unwrap();
            if self.ledger.newest_write == number {
                return;
            }
        }
        panic!("nobody takes a write");
    }

    /// Takes away a member's vote, then removes it.
    fn remove(&mut self, id: MemberId) {
        for _ in 0..2 {
            self.change(Change::Remove(id)).unwrap();
            self.run(LONG).unwrap();
        }
    }

    fn leader(&mut self) -> MemberId {
        self.some_leader().unwrap()
    }

    fn others(&self, than: MemberId) -> Vec<MemberId> {
        self.members.keys().copied().filter(|id| *id != than).collect()
    }

    /// The member's time stands still, and nobody hears it or is heard.
    fn freeze(&mut self, id: MemberId) {
        self.members.get_mut(&id).unwrap().tick = 1_000_000 * TICK;
        for other in self.others(id) {
            self.cut.extend([(id, other), (other, id)]);
        }
        self.run(2).unwrap();
    }

    fn thaw(&mut self, id: MemberId) {
        self.members.get_mut(&id).unwrap().tick = TICK;
        self.cut.clear();
    }

    /// Everybody who belongs to the group knows everything.
    fn assert_equal(&self, members: &[MemberId]) {
        let last = self.ledger.last_agreed();
        for id in members {
            let process = self.members[id].process.as_ref().unwrap();
            assert_eq!(process.applied, last, "{id}");
        }
    }
}

/// Raft 0.7, and etcd #20418: an acknowledgement of an old read counts for a new one under the same context, and a leader
/// that was replaced without knowing answers with old data.
#[test]
fn a_late_acknowledgement_proves_no_other_read() {
    let mut world = group(1, SIZES);
    let old = world.leader();
    world.delivered = Some(Vec::new());
    world.read(old);
    world.run(4).unwrap();
    assert_eq!(world.ledger.tally.reads, 1);
    let late: Vec<_> = world.delivered.take().unwrap().into_iter().filter(|parcel| parcel.to == old).collect();
    assert!(!late.is_empty());

    world.freeze(old);
    world.run(LONG).unwrap();
    let others = world.others(old);
    let new = others.into_iter().max_by_key(|id| world.process_term(*id)).unwrap();
    let number = world.write(new, put("news"));
    world.run(10).unwrap();
    assert_eq!(world.ledger.newest_write, number);

    world.read(old);
    world.cut.clear();
    late.into_iter().for_each(|parcel| world.deliver(parcel).unwrap());
    assert_eq!(world.ledger.tally.reads, 1, "the old leader answered from the past");
}

/// Raft 0.7: a leader that is removed leads on without a vote, and the group stands still.
#[test]
fn a_removed_leader_does_not_block_the_others() {
    let mut world = group(2, SIZES);
    let old = world.leader();
    world.change(Change::Remove(old)).unwrap();
    world.run(LONG).unwrap();
    let new = world.leader();
    assert_ne!(new, old, "the leader handed over first");
    world.remove(old);
    let status = world.process(new).unwrap().brain.status();
    assert_eq!(status.members.voters, world.others(old));
    world.written(put("later"));
    world.assert_equal(&world.others(old));
}

/// A member that was removed votes no more. Here the one who stays crashes at each of the steps of the removal, and forgets
/// what was agreed but not yet on its disk: it must be able to lead without the one who went. (A random trial found a group
/// that stood still for ever.)
#[test]
fn who_stays_never_needs_the_vote_of_who_went() {
    for steps in 0..120 {
        let mut world = group(11, SIZES);
        let leader = world.leader();
        let others = world.others(leader);
        world.remove(others[0]);
        assert_eq!(world.leader(), leader);
        let until = world.now + LONG * TICK;
        for step in 0..steps {
            if step % 8 == 0 {
                world.change(Change::Remove(others[1])).unwrap();
            }
            world.step(until).unwrap();
        }
        world.crash(leader);
        world.run(3 * LONG).unwrap();
        world.written(put("later"));
    }
}

/// Raft 0.7 panics when a vote makes a leader of a member whose acknowledged entries are still on their way to the disk. Here
/// disks become slower and slower, until they take longer than an election.
#[test]
fn a_vote_that_is_faster_than_the_disk_panics_nobody() {
    let mut world = group(3, SIZES);
    for (name, ticks) in [("a", 5), ("b", 15), ("c", 30), ("d", 60)] {
        world.weather.disk_delay_max = ticks * TICK;
        let Some(leader) = world.some_leader() else { break };
        world.write(leader, put(name));
        world.run(1).unwrap();
        world.crash(leader);
        world.run(3 * LONG).unwrap();
    }
    world.weather = Weather::CALM;
    world.run(3 * LONG).unwrap();
    world.written(put("later"));
    world.assert_equal(&world.others(MemberId(0)));
}

/// etcd 3.5.0 to 3.5.2 lost data when a crash came between the state and the index that it stands for. Here the whole group
/// crashes after each of the steps of three writes and a snapshot.
#[test]
fn a_crash_at_any_step_leaves_state_and_index_in_step() {
    let sizes = Sizes { snapshot_after_bytes: 400, ..SIZES };
    for steps in 0..150 {
        let mut world = group(4, sizes);
        let leader = world.leader();
        for name in ["a", "b", "c"] {
            world.write(leader, put(name));
        }
        let until = world.now + LONG * TICK;
        (0..steps).for_each(|_| _ = world.step(until).unwrap());
        (1..=3).for_each(|id| world.crash(MemberId(id)));
        world.run(3 * LONG).unwrap();
        world.written(put("later"));
        world.assert_equal(&[1, 2, 3].map(MemberId));
    }
}

/// etcd 3.6.9 mended a race: a read is asked on a follower, the leader changes while the proof is on its way, and the answer
/// is older than a write that the new leader acknowledged. The ledger would see it.
#[test]
fn a_read_that_meets_a_change_of_leader_is_fresh_or_fails() {
    for wait in 0..12 {
        let mut world = group(5, SIZES);
        let old = world.leader();
        let reader = world.others(old)[0];
        world.weather.delay_max = 8;
        world.read(reader);
        let now = world.now;
        while world.step(now + wait).unwrap() {}
        world.freeze(old);
        world.run(LONG).unwrap();
        world.written(put("news"));
        world.thaw(old);
        world.run(LONG).unwrap();
    }
}

/// A member whose disk was lost comes back under its old id with an empty one: it has forgotten what it promised. Whoever
/// leads finds out, and the member must stop; Raft 0.7 would panic, others (Qdrant #1235) crash for ever.
#[test]
fn a_member_with_a_lost_disk_is_found_out() {
    let mut world = group(6, SIZES);
    world.written(put("a"));
    let lost = world.others(world.members.keys().copied().next().unwrap())[0];
    let lost = if world.leader() == lost { MemberId(1) } else { lost };
    world.members.remove(&lost);
    world.join(lost).unwrap();
    let broken = world.run(LONG).unwrap_err();
    assert_eq!(broken.rule, Rule::OpensAgain);
    assert!(broken.detail.contains("has lost what it promised"), "{}", broken.detail);
}

/// A received snapshot is on the disk, but the log does not know of it yet, and still holds entries that the snapshot's
/// leader never agreed to.
#[test]
fn a_snapshot_that_the_log_does_not_know_yet_does_no_harm() {
    let sizes = Sizes { snapshot_after_bytes: 2000, ..SIZES };
    for steps in 0..120 {
        let mut world = group(7, sizes);
        let old = world.leader();
        world.freeze(old);
        (0..30).for_each(|_| _ = world.write(old, put("never")));
        world.run(LONG).unwrap();
        let new = *world.others(old).iter().max_by_key(|id| world.process_term(**id)).unwrap();
        (0..60).for_each(|_| _ = world.write(new, put("agreed")));
        world.run(20).unwrap();
        world.thaw(old);
        world.start_clock(old);
        let until = world.now + LONG * TICK;
        (0..4 * steps).for_each(|_| _ = world.step(until).unwrap());
        world.crash(old);
        world.run(3 * LONG).unwrap();
        world.written(put("later"));
        world.assert_equal(&[1, 2, 3].map(MemberId));
    }
}

impl World {
    /// The term, and whether it leads.
    fn process_term(&self, id: MemberId) -> (u64, bool) {
        let status = self.members[&id].process.as_ref().unwrap().brain.status();
        (status.term, status.leader == Some(id))
    }

    fn start_clock(&mut self, id: MemberId) {
        let boot = self.process(id).unwrap().boot;
        self.agenda.add(self.now + 1, Act::Tick(id, boot));
    }
}

/// What a machine knows after a snapshot of another: `changes` of one object, the last of them perhaps a deletion.
fn restored(changes: usize, deleted: bool) -> (store::Machine, store::Store) {
    let (mut first, _) = store::new();
    for at in 0..changes {
        let op =
            if deleted && at + 1 == changes { Op::Delete { key: key("a"), expect: Expect::Any } } else { put("a") };
        first.apply(at as u64 + 2, Txn { ops: vec![op] }.encode()).unwrap();
    }
    let mut bytes = Vec::new();
    first.snapshot()(&mut bytes).unwrap();
    let (mut second, store) = store::new();
    second.restore(&mut bytes.as_slice()).unwrap();
    (second, store)
}

/// etcd #18089 and #19179: a watch that is opened exactly at the compacted revision missed events, one before it was not told.
#[test]
fn a_watch_at_the_compacted_revision_misses_nothing() {
    for deleted in [false, true] {
        let (mut machine, store) = restored(5, deleted);
        assert!(store.watch(&KINDS, Revision(4)).is_err(), "the history begins after 5");
        let mut watch = store.watch(&KINDS, Revision(5)).unwrap();
        machine.apply(9, Txn { ops: vec![put("a"), put("b")] }.encode()).unwrap();
        machine.show();
        let seen: Vec<u64> = watch.ready().unwrap().iter().map(|event| event.revision().0).collect();
        assert_eq!(seen, [6, 7], "the last change was a deletion: {deleted}");
    }
}

/// etcd #20221: a deletion at the compacted revision was forgotten by whoever watched from before it. Here such a watcher is
/// told to list, and the list does not have the object.
#[test]
fn a_deletion_at_the_compacted_revision_is_not_forgotten() {
    let (_machine, store) = restored(5, true);
    assert!(store.watch(&KINDS, Revision(4)).is_err());
    assert_eq!(store.view().list(KINDS[0], None, None).count(), 0);
    assert_eq!(store.view().revision(), Revision(5));
}

/// etcd #15220: a watch from a revision that is not there yet was given events from before it. A member that is behind meets
/// such watches whenever a watcher comes to it from another.
#[test]
fn a_watch_from_the_future_sees_only_the_future() {
    let (mut machine, store) = restored(5, false);
    let mut watch = store.watch(&KINDS, Revision(7)).unwrap();
    machine.apply(9, Txn { ops: vec![put("a"), put("a")] }.encode()).unwrap();
    machine.show();
    assert!(watch.ready().unwrap().is_empty(), "6 and 7 are known to the watcher");
    machine.apply(10, Txn { ops: vec![put("a")] }.encode()).unwrap();
    machine.show();
    let seen: Vec<u64> = watch.ready().unwrap().iter().map(|event| event.revision().0).collect();
    assert_eq!(seen, [8]);
}

/// A watch that is open while its member takes over a snapshot may not jump over what the snapshot contains: it is told to
/// list again.
#[test]
fn an_open_watch_survives_a_snapshot_only_by_listing_again() {
    let (mut machine, store) = restored(2, false);
    let mut watch = store.watch(&KINDS, Revision(2)).unwrap();
    let mut bytes = Vec::new();
    restored(9, false).0.snapshot()(&mut bytes).unwrap();
    machine.restore(&mut bytes.as_slice()).unwrap();
    assert!(watch.ready().is_err());
    assert!(store.watch(&KINDS, Revision(9)).unwrap().ready().unwrap().is_empty());
}

/// A watcher that goes from member to member sees every change once, whoever is behind.
#[test]
fn a_watcher_that_wanders_misses_nothing() {
    let mut world = group(8, SIZES);
    world.watchers.push(Watcher::new(&KINDS));
    world.agenda.add(world.now, Act::Watcher(0));
    for at in 0..40 {
        world.written(put(["a", "b"][at % 2]));
    }
    world.run(LONG).unwrap();
    assert_eq!((world.watchers[0].cursor, world.ledger.tally.events), (Revision(40), 40));
    assert_eq!(world.ledger.tally.relists, 0);
}

/// A torn frame over the bytes of an earlier use is as if it never was.
#[test]
fn a_recycled_segment_shows_nothing_of_its_past() {
    let (mut disk, mut chance) = (Disk::new(SIZES.segment_bytes), Prng::new(9));
    let create = |seed| ImageLog::create(ClusterId(1), MemberId(1), SIZES, seed);
    let founding = || Mark { index: 1, term: 1, ..Mark::default() };
    let term = |term| HardState { term, vote: 0, commit: 1 };
    let (mut log, begin) = create(1);
    let writes = begin.into_iter().chain((0..8).flat_map(|_| log.found(founding(), term(1000))));
    writes.for_each(|write| disk.write(write));
    disk.write(Write::Drop { segment: 1 });
    let (mut log, begin) = create(2);
    let first = log.found(founding(), term(0));
    begin.into_iter().chain(first).for_each(|write| disk.write(write));
    let mut known = 0;
    for next in 1..200 {
        let torn = log.found(founding(), term(next));
        torn.into_iter().for_each(|write| disk.crash(Some(write), &mut chance));
        let recovered = recover(disk.segments(), &[], SIZES, next).unwrap();
        let found = recovered.setup.hard.term;
        assert!(found == known || found == next, "{found} after {known}");
        (log, known) = (recovered.log, found);
    }
    assert!(known > 100, "most of it got through in the end");
}

/// A follower that hears nobody, or nobody but one, wants an election, and one that nobody hears cannot lose one: it asks
/// first, and whoever hears the leader says no.
#[test]
fn a_follower_whose_links_carry_one_direction_costs_no_election() {
    for odd in ["deaf", "mute", "deaf to the leader"] {
        let mut world = group(9, SIZES);
        let leader = world.leader();
        let before = world.process_term(leader);
        let follower = world.others(leader)[0];
        let lost: Vec<(MemberId, MemberId)> = match odd {
            "deaf" => world.others(follower).into_iter().map(|other| (other, follower)).collect(),
            "mute" => world.others(follower).into_iter().map(|other| (follower, other)).collect(),
            _ => vec![(leader, follower)],
        };
        world.cut.extend(lost);
        world.written(put("without it"));
        world.run(10 * LONG).unwrap();
        world.cut.clear();
        world.run(LONG).unwrap();
        assert_eq!(world.process_term(leader), before, "{odd}");
        world.written(put("with it"));
        world.run(LONG).unwrap();
        let members = [world.others(leader), vec![leader]].concat();
        world.assert_equal(&members);
    }
}
