//! Several whole members in one process, on real disks, connected by streams in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod moves;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    time::timeout,
};

use super::{Consensus, force_new, open, restore};
use crate::{
    Begin, BoxFuture, Change, ChangeError, ClusterId, Config, Dial, MemberId, OnFailure, OpenError, ProposeError, Role,
    Status, Stream, machine::tests::Notes,
};

/// Nothing takes so long, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A refusal that passes by itself is not asked again more often than this, or when the status changes.
const RETRY: Duration = Duration::from_millis(100);

/// Bytes on their way between two members.
const STREAM_BYTES: usize = 64 << 10;

/// Who answers where.
#[derive(Clone, Default)]
struct Board {
    seats: Arc<Mutex<BTreeMap<String, Consensus<usize>>>>,
    /// So many connections still break when they have carried [`BREAK_BYTES`].
    breaks: Arc<AtomicUsize>,
    /// What all connections carried.
    carried: Arc<AtomicUsize>,
}

/// Where a connection breaks, if any is to: in the middle of a snapshot's third piece.
const BREAK_BYTES: usize = 600 << 10;

/// One end of a connection that may break.
struct Fragile {
    end: DuplexStream,
    written: usize,
    board: Board,
}

impl AsyncWrite for Fragile {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let is_due = self.written > BREAK_BYTES;
        let one_less = |left: usize| left.checked_sub(1);
        if is_due && self.board.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let outcome = Pin::new(&mut self.end).poll_write(cx, bytes);
        if let Poll::Ready(Ok(taken)) = &outcome {
            self.written += taken;
            self.board.carried.fetch_add(*taken, Ordering::Relaxed);
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}

impl AsyncRead for Fragile {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_read(cx, into)
    }
}

/// A member's way to the others.
struct Line {
    board: Board,
    own: Arc<OnceLock<MemberId>>,
}

impl Dial for Line {
    fn dial(&self, _: MemberId, contact: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (board, own, contact) = (self.board.clone(), self.own.clone(), contact.to_owned());
        Box::pin(async move {
            let there = board.seats.lock().unwrap().get(&contact).cloned();
            let there = there.ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionRefused, contact))?;
            // A member may call before the test has heard who it is.
            let own = *own.get().ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let (here, end) = tokio::io::duplex(STREAM_BYTES);
            there.accept(own, Box::new(end));
            Ok(Box::new(Fragile { end: here, written: 0, board }) as Box<dyn Stream>)
        })
    }
}

/// One member and what it knows.
#[derive(Clone)]
struct Seat {
    consensus: Consensus<usize>,
    notes: Notes,
    member: MemberId,
    contact: String,
}

impl Seat {
    fn status(&self) -> Status {
        self.consensus.status().borrow().clone()
    }

    async fn until(&self, what: &str, is_so: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.consensus.status();
        let waited = timeout(PATIENCE, status.wait_for(is_so)).await;
        let Ok(found) = waited else { panic!("{} never: {what}: {:?}", self.contact, self.status()) };
        found.unwrap().clone()
    }

    /// Proposes until it is agreed; what nobody knows the fate of may be there twice.
    async fn insist(&self, command: Bytes) -> usize {
        let mut status = self.consensus.status();
        let attempts = async {
            loop {
                match self.consensus.propose(command.clone()).await {
                    Ok(output) => return output,
                    Err(ProposeError::NoLeader { .. } | ProposeError::Unknown | ProposeError::Overloaded) => {
                        let _ = timeout(RETRY, status.changed()).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let Ok(output) = timeout(PATIENCE, attempts).await else {
            panic!("{} is not heard: {:?}", self.contact, self.status())
        };
        output
    }

    /// Changes the members as soon as the group is ready for it.
    async fn change(&self, change: Change) {
        let mut status = self.consensus.status();
        let attempts = async {
            loop {
                match self.consensus.change(change.clone()).await {
                    Ok(_) | Err(ChangeError::AlreadyMember { .. }) => return,
                    Err(
                        ChangeError::NotCaughtUp { .. }
                        | ChangeError::NoLeader { .. }
                        | ChangeError::Busy
                        | ChangeError::WouldLoseQuorum { .. },
                    ) => drop(timeout(RETRY, status.changed()).await),
                    Err(error) => panic!("{change:?}: {error}"),
                }
            }
        };
        timeout(PATIENCE, attempts).await.unwrap();
    }

    async fn barrier(&self) {
        let attempts = async { while self.consensus.read_barrier().await.is_err() {} };
        timeout(PATIENCE, attempts).await.unwrap();
    }
}

struct Group {
    dir: TempDir,
    board: Board,
    tune: fn(Config) -> Config,
    seats: Vec<Seat>,
}

impl Group {
    /// A group of so many members, led by the first.
    async fn new(count: usize, tune: fn(Config) -> Config) -> Self {
        let board = Board::default();
        let mut group = Self { dir: tempfile::tempdir().unwrap(), board, tune, seats: Vec::new() };
        let first = group.sit(0, Begin::Found).unwrap();
        first.until("it leads", |status| status.role == Role::Leader).await;
        group.seats.push(first);
        for _ in 1..count {
            group.learner().await;
            let newest = group.seats.last().unwrap().member;
            group.seats[0].change(Change::Promote(newest)).await;
        }
        for seat in &group.seats {
            seat.until("it knows all", |status| status.members.voters.len() == count).await;
        }
        group
    }

    /// Somebody new listens.
    async fn learner(&mut self) {
        let (at, cluster) = (self.seats.len(), self.seats[0].status().cluster);
        let member = MemberId(1000 + at as u64);
        let seat = self.sit(at, Begin::Join { cluster, member }).unwrap();
        let contact = seat.contact.clone();
        self.seats.push(seat);
        self.leader().change(Change::AddLearner { member, contact }).await;
    }

    fn path(&self, at: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("seat-{at}"))
    }

    /// Opens the directory of a seat.
    fn sit(&self, at: usize, begin: Begin) -> Result<Seat, OpenError> {
        self.sit_as(at, format!("seat-{at}"), begin)
    }

    /// Opens the directory of a seat where others reach it under a contact.
    fn sit_as(&self, at: usize, contact: String, begin: Begin) -> Result<Seat, OpenError> {
        let (own, notes) = (Arc::new(OnceLock::new()), Notes::default());
        let dial = Arc::new(Line { board: self.board.clone(), own: own.clone() });
        let config = Config {
            on_failure: OnFailure::Stop,
            begin,
            contact: contact.clone(),
            dial: Some(dial),
            ..Config::new(self.path(at))
        };
        let consensus = open((self.tune)(config), notes.clone())?;
        let member = consensus.status().borrow().member;
        own.set(member).unwrap();
        self.board.seats.lock().unwrap().insert(contact.clone(), consensus.clone());
        Ok(Seat { consensus, notes, member, contact })
    }

    /// Ends a member as if its machine were switched off, but for the files.
    async fn stop(&self, at: usize) {
        self.board.seats.lock().unwrap().remove(&format!("seat-{at}"));
        self.seats[at].consensus.shutdown().await;
    }

    fn restart(&mut self, at: usize) {
        self.seats[at] = self.sit(at, Begin::default()).unwrap();
    }

    /// Whoever sat at a seat comes back elsewhere.
    fn moves(&mut self, at: usize) {
        self.seats[at] = self.sit_as(at, format!("moved-{at}"), Begin::default()).unwrap();
    }

    /// Whoever leads, as far as anybody knows.
    fn leader(&self) -> Seat {
        let leads = |seat: &&Seat| seat.status().role == Role::Leader;
        self.seats.iter().find(leads).unwrap_or(&self.seats[0]).clone()
    }

    async fn all_agree(&self, at: &[usize]) {
        let mut states = Vec::new();
        for seat in at.iter().map(|at| &self.seats[*at]) {
            seat.barrier().await;
        }
        let newest = at.iter().map(|at| self.seats[*at].status().committed).max().unwrap();
        for seat in at.iter().map(|at| &self.seats[*at]) {
            seat.until("it has applied all", |status| status.applied >= newest).await;
            states.push(seat.notes.all());
        }
        states.windows(2).for_each(|pair| assert_eq!(pair[0], pair[1]));
    }
}

fn usual(config: Config) -> Config {
    config
}

fn small(config: Config) -> Config {
    Config { snapshot_after_bytes: 10_000, log_tail_bytes: 1_000, segment_bytes_max: 4 << 20, ..config }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_takes_commands_and_reads_what_it_wrote() {
    let group = Group::new(3, usual).await;
    for round in 0..20 {
        for (at, seat) in group.seats.iter().enumerate() {
            let command = Notes::line(round * 3 + at);
            let output = seat.insist(command.clone()).await;
            assert_eq!(seat.notes.all()[output - 1], command, "its own machine has it already");
        }
    }
    group.all_agree(&[0, 1, 2]).await;
    let status = group.leader().status();
    assert_eq!(status.members.contacts.values().cloned().collect::<Vec<_>>().len(), 3);
    assert_eq!(status.peers.len(), 2);
    assert!(status.peers.iter().all(|peer| peer.is_active && peer.is_reachable && peer.matched > 0), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_at_once_through_a_follower() {
    let group = Group::new(3, usual).await;
    group.seats[1].insist(Notes::line(0)).await;
    let all = (1..400).map(|number| {
        let seat = group.seats[1].clone();
        tokio::spawn(async move { seat.consensus.propose(Notes::line(number)).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(group.seats[1].notes.all().len(), 400);
    group.all_agree(&[0, 1, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_without_their_leader_and_it_catches_up() {
    let mut group = Group::new(3, usual).await;
    group.seats[1].insist(Notes::line(1)).await;
    group.stop(0).await;
    group.seats[1].insist(Notes::line(2)).await;
    group.seats[2].insist(Notes::line(3)).await;
    group.restart(0);
    group.seats[0].insist(Notes::line(4)).await;
    group.all_agree(&[0, 1, 2]).await;
    assert!(group.seats[0].notes.all().contains(&Notes::line(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_joins_by_snapshot_while_writes_go_on() {
    let mut group = Group::new(1, small).await;
    let writer = {
        let seat = group.seats[0].clone();
        tokio::spawn(async move {
            for number in 0..2000 {
                seat.insist(Notes::line(number)).await;
            }
        })
    };
    group.seats[0].until("there is a snapshot", |status| status.snapshot > 200).await;
    group.learner().await;
    let joined = group.seats[1].until("it has a snapshot", |status| status.snapshot > 1).await;
    assert!(joined.log_first > 200, "{joined:?}");
    group.seats[0].change(Change::Promote(group.seats[1].member)).await;
    writer.await.unwrap();
    group.all_agree(&[0, 1]).await;
    assert_eq!(group.seats[1].notes.all().len(), 2000);
    group.stop(1).await;
    group.restart(1);
    group.all_agree(&[0, 1]).await;
}

/// A snapshot whose connection breaks goes on where it was, not from the beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_transfer_of_a_snapshot_goes_on() {
    let mut group = Group::new(1, small).await;
    let bytes = 64 * (64 << 10);
    for _ in 0..64 {
        group.seats[0].insist(vec![7; 64 << 10].into()).await;
    }
    group.board.breaks.store(3, Ordering::Relaxed);
    group.learner().await;
    group.seats[1].until("it has all", |status| status.applied > 64).await;
    assert_eq!(group.seats[1].notes.all().len(), 64);
    assert_eq!(group.board.breaks.load(Ordering::Relaxed), 0, "connections broke");
    // One that began anew each time would carry 600 KiB more for each break, beside what is sent twice in any case.
    let (carried, extra) = (group.board.carried.load(Ordering::Relaxed), 3 * (BREAK_BYTES / 2));
    assert!(carried < bytes + extra, "{carried} bytes for {bytes}");
    let left = std::fs::read_dir(group.path(1).join("snapshots")).unwrap();
    assert!(left.map(|file| file.unwrap().path()).all(|path| path.extension().unwrap() != "part"));
}

/// The caller sees one answer, whether it asked the leader itself or somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_removed_after_it_handed_over() {
    for asked in [0, 1] {
        let group = Group::new(3, usual).await;
        let leader = group.leader();
        let asked = if asked == 0 { leader.clone() } else { other(&group, leader.member) };
        let members = asked.consensus.change(Change::Remove(leader.member)).await.unwrap();
        assert!(!members.contains(leader.member) && members.voters.len() == 2, "{members:?}");
        let last = leader.until("it stops", |status| status.role == Role::Stopped).await;
        assert_eq!(last.failure, None);
        other(&group, leader.member).insist(Notes::line(1)).await;
    }
}

/// Whoever forwarded a command to the old leader learns what became of it, so that it may be proposed again without being
/// done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_leaves_no_command_in_doubt() {
    const EACH: usize = 300;
    let group = Group::new(3, usual).await;
    let writers = (0..3).map(|place| {
        let seat = group.seats[place].clone();
        tokio::spawn(async move {
            for number in place * EACH..(place + 1) * EACH {
                while let Err(error) = seat.consensus.propose(Notes::line(number)).await {
                    assert!(matches!(error, ProposeError::NoLeader { .. }), "{error}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while !writers.iter().all(|writer| writer.is_finished()) {
        let leader = group.leader();
        let (before, mut status) = (leader.notes.all().len(), leader.consensus.status());
        leader.consensus.hand_over().await;
        // The next one leads for a while: until it has agreed on something, or everything is done.
        while leader.notes.all().len() < before + 10 && !writers.iter().all(|writer| writer.is_finished()) {
            let _ = timeout(RETRY, status.changed()).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    group.all_agree(&[0, 1, 2]).await;
    assert_eq!(group.seats[0].notes.all().len(), 3 * EACH, "each was done once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_hands_over() {
    let group = Group::new(3, usual).await;
    let leader = group.leader();
    leader.consensus.hand_over().await;
    let next = leader.consensus.status().borrow().leader.unwrap();
    assert_ne!(next, leader.member);
    leader.consensus.shutdown().await;
    other(&group, leader.member).insist(Notes::line(1)).await;
}

fn other(group: &Group, member: MemberId) -> Seat {
    group.seats.iter().find(|seat| seat.member != member).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_leaves_by_its_own_wish() {
    let group = Group::new(3, usual).await;
    let leaver = other(&group, group.leader().member);
    let members = leaver.consensus.change(Change::Remove(leaver.member)).await.unwrap();
    assert!(!members.contains(leaver.member));
    leaver.until("it stops", |status| status.role == Role::Stopped).await;
    assert_eq!(leaver.consensus.propose(Notes::line(1)).await, Err(ProposeError::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_is_asked_to_hand_over_and_to_change() {
    let group = Group::new(3, usual).await;
    for to in [2, 1, 0] {
        let asked = other(&group, group.seats[to].member);
        let outcome = async {
            // A hand-over may meet an election.
            while asked.consensus.transfer_leader(group.seats[to].member).await.is_err() {}
        };
        timeout(PATIENCE, outcome).await.unwrap();
        group.seats[to].until("it leads", |status| status.role == Role::Leader).await;
    }
    let follower = &group.seats[1];
    let unknown = MemberId(7);
    group.board.seats.lock().unwrap().insert("elsewhere".into(), follower.consensus.clone());
    follower.change(Change::Contact { member: follower.member, contact: "elsewhere".into() }).await;
    let refused = [
        (Change::Remove(unknown), ChangeError::NoSuchMember { member: unknown }),
        (Change::Promote(group.seats[2].member), ChangeError::AlreadyMember { member: group.seats[2].member }),
    ];
    for (change, error) in refused {
        assert_eq!(follower.consensus.change(change).await, Err(error));
    }
    assert_eq!(follower.consensus.transfer_leader(unknown).await, Err(ChangeError::NoSuchMember { member: unknown }));
    for seat in &group.seats {
        seat.until("it knows", |status| status.members.contacts.values().any(|contact| contact == "elsewhere")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_would_stop_the_group_is_refused() {
    let mut group = Group::new(3, usual).await;
    group.stop(2).await;
    let leader = group.leader();
    let (gone, other) = (group.seats[2].member, other(&group, leader.member).member);
    leader
        .until("it misses one", |status| status.peers.iter().any(|peer| peer.member == gone && !peer.is_active))
        .await;
    assert_eq!(
        leader.consensus.change(Change::Remove(other)).await,
        Err(ChangeError::WouldLoseQuorum { member: other })
    );
    group.learner().await;
    leader.consensus.change(Change::Remove(gone)).await.unwrap();
    let newest = group.seats[3].member;
    leader.change(Change::Promote(newest)).await;
    group.seats[3].insist(Notes::line(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_reach_all_others() {
    let group = Group::new(3, usual).await;
    let mut readers: Vec<_> = group.seats.iter().map(|seat| seat.consensus.notes()).collect();
    let sender = group.seats[1].member;
    let heard = async {
        for at in [0, 2] {
            // Best effort: one that is lost is not sent again.
            loop {
                group.seats[1].consensus.broadcast("beat".into());
                if let Ok(note) = timeout(Duration::from_secs(1), readers[at].recv()).await {
                    assert_eq!(note.unwrap(), (sender, Bytes::from("beat")));
                    break;
                }
            }
        }
    };
    timeout(PATIENCE, heard).await.unwrap();
    assert!(readers[1].try_recv().is_err(), "nobody hears itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_any_member_becomes_a_new_group() {
    let group = Group::new(3, usual).await;
    for number in 0..300 {
        group.seats[2].insist(Notes::line(number)).await;
    }
    let busy = {
        let seat = group.seats[1].clone();
        tokio::spawn(async move {
            for number in 300..400 {
                seat.insist(Notes::line(number)).await;
            }
        })
    };
    let backup = group.seats[2].consensus.backup().await.unwrap();
    busy.await.unwrap();
    assert!(backup.mark().members.voters.len() == 3 && backup.bytes() > 300);
    let dir = group.dir.path().join("restored");
    let restored = restore(backup.path(), &dir).unwrap();
    assert!(matches!(restore(backup.path(), &dir), Err(OpenError::NotEmpty { .. })));
    let path = backup.path().to_owned();
    drop(backup);
    assert!(!path.exists(), "a backup that nobody uses is removed");

    let notes = Notes::default();
    let alone = open(Config { on_failure: OnFailure::Stop, ..Config::new(&dir) }, notes.clone()).unwrap();
    alone.propose(Notes::line(1000)).await.unwrap();
    let status = alone.status().borrow().clone();
    assert_eq!((status.cluster, status.member), (restored.cluster, restored.member));
    assert_ne!(status.cluster, group.seats[0].status().cluster);
    assert_eq!(status.members.voters, [restored.member]);
    let all = notes.all();
    (0..300).for_each(|number| assert_eq!(all[number], Notes::line(number)));
    assert_eq!(all.last(), Some(&Notes::line(1000)));
}

#[tokio::test]
async fn a_damaged_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let consensus = open(Config::new(dir.path().join("one")), Notes::default()).unwrap();
    consensus.propose(Notes::line(7)).await.unwrap();
    let backup = consensus.backup().await.unwrap();
    let whole = std::fs::read(backup.path()).unwrap();
    let copy = dir.path().join("copy");
    for place in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        std::fs::write(&copy, &damaged).unwrap();
        let target = dir.path().join("target");
        assert!(matches!(restore(&copy, &target), Err(OpenError::Corrupt { .. })), "byte {place}");
        assert!(!target.exists(), "nothing is left behind");
    }
    consensus.shutdown().await;
}

/// Two of three masters are lost for ever; the third becomes a group of its own, with a snapshot or without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_master_becomes_a_new_group() {
    for tune in [usual, small] {
        let group = Group::new(3, tune).await;
        for number in 0..400 {
            group.seats[1].insist(Notes::line(number)).await;
        }
        let survivor = &group.seats[1];
        for at in [2, 0, 1] {
            group.stop(at).await;
        }
        let old = survivor.status();
        let forced = force_new(&group.path(1), "seat-1").unwrap();
        assert!(forced.index >= old.applied && forced.cluster != old.cluster && forced.member != old.member);
        let names: Vec<_> = std::fs::read_dir(group.path(1)).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("re")), "{names:?}");

        let alone = group.sit(1, Begin::default()).unwrap();
        alone.insist(Notes::line(1000)).await;
        let status = alone.status();
        assert_eq!((status.cluster, &status.members.voters[..]), (forced.cluster, &[forced.member][..]));
        assert_eq!(status.members.contacts, [(forced.member, "seat-1".to_owned())].into());
        let all = alone.notes.all();
        (0..400).for_each(|number| assert_eq!(all[number], Notes::line(number)));
        alone.consensus.shutdown().await;
    }
}

/// The change to a new group is cut short at every step; opening completes it.
#[tokio::test]
async fn a_new_group_that_was_cut_short_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one");
    let begin = || open(Config { on_failure: OnFailure::Stop, ..Config::new(&path) }, Notes::default()).unwrap();
    let consensus = begin();
    consensus.propose(Notes::line(7)).await.unwrap();
    let old = consensus.status().borrow().cluster;
    consensus.shutdown().await;
    let saved = dir.path().join("saved");
    copy(&path, &saved);
    let forced = force_new(&path, "").unwrap();
    let done = dir.path().join("done");
    copy(&path, &done);
    for step in 0..4 {
        std::fs::remove_dir_all(&path).unwrap();
        copy(&saved, &path);
        copy(&done.join("log"), &path.join("renewed/log"));
        copy(&done.join("snapshots"), &path.join("renewed/snapshots"));
        std::fs::create_dir(path.join("replaced")).unwrap();
        for move_part in
            [("snapshots", "replaced/snapshots"), ("renewed/snapshots", "snapshots"), ("log", "replaced/log")]
                .iter()
                .take(step)
        {
            std::fs::rename(path.join(move_part.0), path.join(move_part.1)).unwrap();
        }
        let consensus = begin();
        consensus.read_barrier().await.unwrap();
        let cluster = consensus.status().borrow().cluster;
        assert!(cluster == forced.cluster && cluster != old, "step {step}");
        consensus.shutdown().await;
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Whoever says something wrong at the beginning is cut off.
#[tokio::test]
async fn strangers_are_cut_off() {
    let group = Group::new(1, usual).await;
    let Status { cluster, member, .. } = group.seats[0].status();
    let caller = MemberId(5);
    let hello = |cluster: ClusterId, from: MemberId, to: MemberId| {
        let hello = super::peers::tests::hello(cluster, from, to);
        (hello, format!("{cluster} {from} {to}"))
    };
    let cases = [
        hello(ClusterId(1), caller, member),
        hello(cluster, MemberId(6), member),
        hello(cluster, caller, MemberId(7)),
        (b"GET / HTTP/1.1\r\nHost: kapelle\r\nAccept: */*\r\nUser-Agent: curl\r\n\r\n".to_vec(), "http".into()),
        (vec![0; 100], "zeros".into()),
    ];
    for (bytes, what) in cases {
        let mut stream = call(&group.seats[0], caller);
        stream.write_all(&bytes).await.unwrap();
        assert!(is_closed(&mut stream).await, "{what}");
    }
    let (right, _) = hello(cluster, caller, member);
    for frame in [&b"\x01\x00\x00\x00\xff"[..], b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x02\x00\x00\x00\x06n"] {
        let mut stream = call(&group.seats[0], caller);
        stream.write_all(&right).await.unwrap();
        stream.write_all(frame).await.unwrap();
        assert!(is_closed(&mut stream).await, "{frame:?}");
    }
    group.seats[0].insist(Notes::line(1)).await;
}

fn call(seat: &Seat, from: MemberId) -> DuplexStream {
    let (here, there) = tokio::io::duplex(STREAM_BYTES);
    seat.consensus.accept(from, Box::new(there));
    here
}

async fn is_closed(stream: &mut DuplexStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0])).await.unwrap(), Ok(0) | Err(_))
}

#[tokio::test]
async fn a_directory_of_another_member_is_refused() {
    let group = Group::new(1, usual).await;
    let own = group.seats[0].status();
    group.stop(0).await;
    let join = |cluster, member| group.sit(0, Begin::Join { cluster, member }).map(|_| ());
    for (cluster, member) in [(ClusterId(1), own.member), (own.cluster, MemberId(1))] {
        let error = join(cluster, member).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::OtherMember { .. }), "{text}");
        for part in [cluster.to_string(), member.to_string(), own.member.to_string(), "remove the directory".into()] {
            assert!(text.contains(&part), "{text}");
        }
    }
    join(own.cluster, own.member).unwrap();
}

/// A voter comes back with an empty directory under its old id: it has forgotten what it promised, so it must not vote, and
/// stops as soon as it hears what it should know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_directory_stops() {
    let mut group = Group::new(3, usual).await;
    group.seats[2].insist(Notes::line(1)).await;
    group.stop(2).await;
    let Status { cluster, member, .. } = group.seats[2].status();
    std::fs::remove_dir_all(group.path(2)).unwrap();
    group.seats[2] = group.sit(2, Begin::Join { cluster, member }).unwrap();
    let last = group.seats[2].until("it stops", |status| status.role == Role::Stopped).await;
    assert!(last.failure.as_ref().unwrap().contains("join under a new id"), "{last:?}");
    group.seats[0].insist(Notes::line(2)).await;
}

/// A member whose state is not what the log says is found out by the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_state_differs_stops() {
    let group = Group::new(3, usual).await;
    let spoilt = other(&group, group.leader().member);
    spoilt.notes.spoil();
    let good = group.leader();
    for number in 0..40 {
        let batch = (0..100).map(|at| {
            let good = good.clone();
            tokio::spawn(async move { good.insist(Notes::line(number * 100 + at)).await })
        });
        for one in batch.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        if spoilt.status().role == Role::Stopped {
            break;
        }
    }
    let last = spoilt.until("it stops", |status| status.role == Role::Stopped).await;
    assert!(last.failure.as_ref().unwrap().contains("differs from that of the majority at index"), "{last:?}");
    for seat in group.seats.iter().filter(|seat| seat.member != spoilt.member) {
        assert_ne!(seat.status().role, Role::Stopped);
    }
}
