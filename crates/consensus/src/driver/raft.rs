//! The raft thread: events in, effects out, the machine in between.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Answer, Call, News, RaftInbox, ReadAnswer,
    backup::{BACKUPS_MAX, BackupAnswer, BackupFile},
    digests::Digests,
    forward::{Forwards, WishAnswer},
    inbox::Taken,
    log::{LogInbox, Task, route},
    peers::{Frame, Gate, Pass, Peers},
};
use crate::{
    ChangeError, ClusterId, Machine, Mark, MemberId, Members, OnFailure, Origin, ProposeError, Role, Status, TICK_MS,
    brain::{Brain, Commit, Effect, Event, Proposal},
    message::Message,
    snapshot::{self, SnapshotReader},
};

/// Most proposals that are stepped as one message.
const STEP_PROPOSALS_MAX: usize = 4096;

/// About how many bytes of proposals are stepped as one message: a frame of the log.
const STEP_BYTES: usize = 1 << 20;

const TICK: Duration = Duration::from_millis(TICK_MS);

/// Who waits for a command.
pub(super) enum Ticket<O> {
    /// A caller of this member.
    Own(Answer<O>),
    /// A caller of another member, under that member's number, who asked the leader of a term.
    Forwarded { origin: Origin, term: u64 },
}

/// Who wants a change.
#[derive(Debug)]
pub(super) enum Asker {
    /// A caller of this member.
    Own(WishAnswer),
    /// A caller of another member, under that member's number.
    Peer { from: MemberId, id: u64 },
}

/// Commands on their way to the brain.
pub(super) struct Batch<O> {
    proposals: Vec<Proposal<Ticket<O>>>,
    bytes: usize,
}

pub(super) struct RaftThread<M: Machine> {
    pub(super) brain: Brain<Ticket<M::Output>, ReadAnswer>,
    pub(super) machine: M,
    pub(super) inbox: Arc<RaftInbox<M::Output>>,
    pub(super) log: Arc<LogInbox>,
    pub(super) status: watch::Sender<Status>,
    pub(super) peers: Option<Arc<Peers>>,
    pub(super) cluster: ClusterId,
    pub(super) member: MemberId,
    pub(super) snapshots: PathBuf,
    pub(super) backups: PathBuf,
    pub(super) policy: OnFailure,
    pub(super) is_removed: bool,
    pub(super) writer: Option<JoinHandle<()>>,
    /// Tells the threads that write files that nobody waits for them any more.
    pub(super) is_ending: Arc<AtomicBool>,
    pub(super) gate: Arc<Gate>,
    pub(super) forwards: Forwards<M::Output>,
    pub(super) digests: Digests,
    /// The members that the connections know of.
    pub(super) known: Members,
    /// Leader and term when last looked.
    pub(super) led: (Option<MemberId>, u64),
    /// Changes in the log that somebody waits for, by index and term.
    pub(super) changing: BTreeMap<(u64, u64), Asker>,
    /// Whoever asked for the change that the brain is looking at.
    pub(super) asker: Option<Asker>,
    /// One clone for each backup that is being made or used.
    pub(super) backup_count: Arc<()>,
    pub(super) backups_made: u64,
}

impl<M: Machine> RaftThread<M> {
    /// Works until the inbox is closed or something fails; `lock` keeps the directory until all files are closed.
    pub(super) fn run(mut self, log_thread: JoinHandle<()>, lock: std::fs::File) {
        super::priority::run_soon();
        let outcome = super::failure::guard(self.policy, || self.work());
        self.inbox.close();
        self.log.close();
        self.is_ending.store(true, Ordering::Relaxed);
        for thread in [Some(log_thread), self.writer.take()].into_iter().flatten() {
            // What went wrong in there was reported from in there.
            let _ = thread.join();
        }
        match &self.peers {
            Some(peers) => peers.close(),
            None => self.gate.close(),
        }
        self.refuse_calls();
        self.forwards.removed(self.member, self.brain.members());
        self.forwards.give_up();
        let Self { brain, status, cluster, .. } = self;
        let last = Status { role: Role::Stopped, leader: None, cluster, failure: outcome.err(), ..brain.status() };
        // Callers whose proposals are under way learn by this that nobody knows.
        drop(brain);
        drop(lock);
        status.send_replace(last);
    }

    fn work(&mut self) -> Result<(), String> {
        self.handle(Event::Start)?;
        let mut next_tick = Instant::now() + TICK;
        loop {
            self.publish();
            let taken = self.inbox.take(next_tick.saturating_duration_since(Instant::now()));
            if taken.is_closed || self.is_removed {
                self.refuse(taken.work);
                return Ok(());
            }
            self.take_in(taken)?;
            let now = Instant::now();
            if now >= next_tick {
                // After a pause the missed ticks are forgotten: messages that wait must be read before a timeout counts.
                next_tick = now + TICK;
                self.forwards.tick();
                self.handle(Event::Tick)?;
            }
            self.notice_leader();
        }
    }

    fn take_in(&mut self, taken: Taken<Call<M::Output>, News>) -> Result<(), String> {
        let mut batch = Batch { proposals: Vec::with_capacity(taken.work.len()), bytes: 0 };
        for news in taken.control {
            self.hear(news, &mut batch)?;
        }
        self.notice_leader();
        let mut reads = Vec::new();
        for call in taken.work {
            match call {
                Call::Read(answer) => reads.push(answer),
                Call::Propose { command, answer } => self.propose(command, answer, &mut batch)?,
                Call::Ask { wish, answer } => self.asked(wish, Asker::Own(answer))?,
                Call::Backup(answer) => self.backup(answer),
            }
        }
        self.step(&mut batch)?;
        if reads.is_empty() { Ok(()) } else { self.handle(Event::Read(reads)) }
    }

    fn hear(&mut self, news: News, batch: &mut Batch<M::Output>) -> Result<(), String> {
        match news {
            News::Persisted(number) => self.handle(Event::Persisted(number))?,
            News::SnapshotWritten { mark, bytes } => self.handle(Event::SnapshotWritten { mark, bytes })?,
            News::Failed(reason) => return Err(reason),
            News::Peer { message, room } => {
                self.receive(message)?;
                drop(room);
            }
            News::Forwarded { from, id, term, command, room } => {
                let origin = Origin { member: from, id };
                self.add(command, Ticket::Forwarded { origin, term }, Some(origin), batch)?;
                drop(room);
            }
            News::Refused { id, error } => {
                if let Some(answer) = self.forwards.take(id) {
                    let _ = answer.send(Err(error));
                }
            }
            News::Asked { from, id, wish } => self.asked(wish, Asker::Peer { from, id })?,
            News::Answered { id, outcome } => self.forwards.answered(id, outcome),
            News::Digest { from, index, digest } => {
                self.digests.hear(from, index, digest);
                self.compare(index)?;
            }
            News::Unreachable(member) => self.handle(Event::Unreachable(member))?,
            News::Lost(member) => {
                if self.brain.leader() == Some(member) {
                    self.forwards.give_up_requests();
                }
                self.handle(Event::Lost(member))?;
            }
            News::SnapshotSent { to, delivered } => self.handle(Event::SnapshotSent { to, delivered })?,
        }
        Ok(())
    }

    fn receive(&mut self, message: Message) -> Result<(), String> {
        if self.brain.is_forgetful(&message) {
            return Err(format!(
                "the leader knows entries of member {} that are not in its log: its directory was lost or is an old copy; \
                 remove the directory, and the member from the group, and let it join under a new id",
                self.member
            ));
        }
        self.handle(Event::Peer(message))
    }

    /// A caller's command: to the leader, whoever that is.
    fn propose(
        &mut self,
        command: Bytes,
        answer: Answer<M::Output>,
        batch: &mut Batch<M::Output>,
    ) -> Result<(), String> {
        let Some((leader, peers)) = self.other_leader() else {
            return self.add(command, Ticket::Own(answer), None, batch);
        };
        if self.forwards.is_full() {
            let _ = answer.send(Err(ProposeError::Overloaded));
            return Ok(());
        }
        let id = self.forwards.number();
        let term = self.brain.term();
        if peers.send_one(leader, &Frame::Forward { id, term, command }) {
            self.forwards.sent(id, term, answer);
        } else {
            let error = if peers.is_reachable(leader) {
                ProposeError::Overloaded
            } else {
                ProposeError::NoLeader { hint: Some(leader) }
            };
            let _ = answer.send(Err(error));
        }
        Ok(())
    }

    /// The leader, if it is another member, and the way to it.
    pub(super) fn other_leader(&self) -> Option<(MemberId, Arc<Peers>)> {
        let leader = self.brain.leader().filter(|leader| *leader != self.member)?;
        Some((leader, self.peers.clone()?))
    }

    fn add(
        &mut self,
        command: Bytes,
        ticket: Ticket<M::Output>,
        origin: Option<Origin>,
        batch: &mut Batch<M::Output>,
    ) -> Result<(), String> {
        batch.bytes += command.len();
        batch.proposals.push(Proposal { ticket, command, origin });
        if batch.proposals.len() >= STEP_PROPOSALS_MAX || batch.bytes >= STEP_BYTES { self.step(batch) } else { Ok(()) }
    }

    fn step(&mut self, batch: &mut Batch<M::Output>) -> Result<(), String> {
        batch.bytes = 0;
        if batch.proposals.is_empty() {
            return Ok(());
        }
        // Whoever asked the leader of an earlier term was told, or will be, that nothing was done.
        let term = self.brain.term();
        let is_late = |proposal: &mut Proposal<Ticket<M::Output>>| matches!(proposal.ticket, Ticket::Forwarded { term: asked, .. } if asked != term);
        let late: Vec<_> = batch.proposals.extract_if(.., is_late).map(|proposal| proposal.ticket).collect();
        self.refuse_tickets(late, ProposeError::NoLeader { hint: None });
        self.handle(Event::Propose(std::mem::take(&mut batch.proposals)))
    }

    pub(super) fn handle(&mut self, event: Event<Ticket<M::Output>, ReadAnswer>) -> Result<(), String> {
        self.brain.handle(event).into_iter().try_for_each(|effect| self.carry_out(effect))
    }

    fn carry_out(&mut self, effect: Effect<Ticket<M::Output>, ReadAnswer>) -> Result<(), String> {
        match effect {
            Effect::Persist(persist) => self.log.tell(Task::Persist(persist)),
            Effect::Forget { mark, keep_from } => self.log.tell(Task::Forget { mark, keep_from }),
            Effect::Send(messages) => route(self.peers.as_deref(), messages),
            Effect::Apply(commits) => self.apply(commits)?,
            Effect::ReadReady(answers) => answer_all(answers, &Ok(())),
            Effect::ReadFailed(answers, error) => answer_all(answers, &Err(error)),
            Effect::Refuse(tickets, error) => self.refuse_tickets(tickets, error),
            Effect::Restore(mark) => self.restore(&mark)?,
            Effect::Snapshot(mark) => self.snapshot(mark),
            Effect::ChangeRefused(change, refusal) => {
                tracing::debug!(?change, %refusal, "the members stay as they are");
                if let Some(asker) = self.asker.take() {
                    self.answer(asker, Err(refusal));
                }
            }
            Effect::Changed { index, term } => self.changed(index, term),
            Effect::Removed => {
                tracing::warn!("this member was removed from its group and stops");
                self.is_removed = true;
            }
        }
        Ok(())
    }

    fn refuse_tickets(&self, tickets: Vec<Ticket<M::Output>>, error: ProposeError) {
        for ticket in tickets {
            match ticket {
                Ticket::Own(answer) => drop(answer.send(Err(error))),
                Ticket::Forwarded { origin: Origin { member, id }, .. } => {
                    self.reply(member, &Frame::Refused { id, error })
                }
            }
        }
    }

    /// Whoever cannot be told gives up by itself.
    pub(super) fn reply(&self, to: MemberId, frame: &Frame) {
        if let Some(peers) = &self.peers {
            peers.reply(to, frame);
        }
    }

    /// Applies all, shows all, then wakes all: who is woken finds the newest state, and the machine is not interrupted.
    fn apply(&mut self, commits: Vec<Commit<Ticket<M::Output>>>) -> Result<(), String> {
        let mut answers = Vec::with_capacity(commits.len());
        for Commit { index, command, ticket, origin } in commits {
            if let Some(point) = self.digests.passes(index) {
                self.note_digest(point)?;
            }
            let output = self.machine.apply(index, command);
            let answer = match ticket {
                Some(Ticket::Own(answer)) => Some(answer),
                Some(Ticket::Forwarded { .. }) => None,
                None => origin.filter(|o| o.member == self.member).and_then(|o| self.forwards.take(o.id)),
            };
            answers.extend(answer.map(|answer| (answer, output)));
        }
        self.machine.show();
        for (answer, output) in answers {
            // A caller that went away does not undo its command.
            let _ = answer.send(Ok(output));
        }
        Ok(())
    }

    fn note_digest(&mut self, index: u64) -> Result<(), String> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let digest = self.machine.digest();
        self.digests.record(index, digest);
        peers.send_all(&Frame::Digest { index, digest });
        self.compare(index)
    }

    fn compare(&self, index: u64) -> Result<(), String> {
        if !self.digests.is_contradicted(index, &self.brain.members().voters) {
            return Ok(());
        }
        Err(format!(
            "the state of this master differs from that of the majority at index {index}; remove its directory and let it \
             join again"
        ))
    }

    /// Whoever waits for another leader's answer to a request waits in vain. Forwarded commands wait until it is known what
    /// became of them.
    fn notice_leader(&mut self) {
        self.forwards.outlive(self.brain.applied_term());
        let now = (self.brain.leader(), self.brain.term());
        let before = std::mem::replace(&mut self.led, now);
        if before == now {
            return;
        }
        self.forwards.give_up_requests();
        if before.0.is_none() {
            self.forwards.give_up_term(now.1);
        }
        if !self.brain.is_leader() {
            for asker in std::mem::take(&mut self.changing).into_values() {
                self.answer(asker, Err(ChangeError::Unknown));
            }
        }
    }

    fn restore(&mut self, mark: &Mark) -> Result<(), String> {
        let path = snapshot::path(&self.snapshots, mark.index);
        let mut reader = SnapshotReader::open(&path).map_err(|error| error.to_string())?;
        let restored = self.machine.restore(&mut reader).and_then(|()| reader.finish());
        restored.map_err(|error| format!("restoring {}: {error}", path.display()))?;
        self.digests.restart(mark.index);
        self.forwards.give_up_commands();
        Ok(())
    }

    /// Captures the machine here and writes it out elsewhere, out of the way of commits.
    fn snapshot(&mut self, mark: Mark) {
        let fill = self.machine.snapshot();
        let (dir, cluster, policy) = (self.snapshots.clone(), self.cluster, self.policy);
        let (inbox, is_ending) = (self.inbox.clone(), self.is_ending.clone());
        let work = move || {
            super::priority::run_last();
            let outcome = super::failure::guard(policy, || {
                let fill = |to: &mut dyn io::Write| fill(&mut Cancelled { to, is_ending: &is_ending });
                match snapshot::write(&dir, cluster, &mark, fill) {
                    Ok(bytes) => inbox.tell(News::SnapshotWritten { mark, bytes }),
                    Err(_) if is_ending.load(Ordering::Relaxed) => {}
                    Err(error) => return Err(format!("writing a snapshot in {}: {error}", dir.display())),
                }
                Ok(())
            });
            if let Err(reason) = outcome {
                inbox.tell(News::Failed(reason));
            }
        };
        match std::thread::Builder::new().name("snapshot".into()).spawn(work) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => self.inbox.tell(News::Failed(format!("starting the snapshot thread: {error}"))),
        }
    }

    /// The same for a backup. Its failure is its caller's affair: nothing depends on it.
    fn backup(&mut self, answer: BackupAnswer) {
        let refuse = |answer: BackupAnswer, reason: &str| drop(answer.send(Err(io::Error::other(reason))));
        let Some(mark) = self.brain.applied_mark() else { return refuse(answer, "this master holds nothing yet") };
        if Arc::strong_count(&self.backup_count) > BACKUPS_MAX {
            return refuse(answer, "enough backups are being made; wait for one of them");
        }
        let Some(pass) = self.gate.enter() else { return refuse(answer, "this master is shutting down") };
        self.backups_made += 1;
        let dir = self.backups.join(self.backups_made.to_string());
        let (fill, cluster, slot) = (self.machine.snapshot(), self.cluster, self.backup_count.clone());
        let is_ending = self.is_ending.clone();
        let work = move || {
            super::priority::run_last();
            let fill = |to: &mut dyn io::Write| fill(&mut Cancelled { to, is_ending: &is_ending });
            let written = write_backup(dir, cluster, mark, slot, fill);
            let _: Pass = pass;
            let _ = answer.send(written);
        };
        if let Err(error) = std::thread::Builder::new().name("backup".into()).spawn(work) {
            tracing::warn!(%error, "cannot start a thread for a backup");
        }
    }

    fn publish(&mut self) {
        let mut now = Status { cluster: self.cluster, ..self.brain.status() };
        if let Some(peers) = &self.peers {
            if now.members != self.known {
                self.known = now.members.clone();
                peers.set_members(&self.known);
            }
            for peer in &mut now.peers {
                peer.is_reachable = peers.is_reachable(peer.member);
            }
        }
        self.status.send_if_modified(|known| {
            let is_news = *known != now;
            *known = now;
            is_news
        });
    }

    fn refuse_calls(&self) {
        self.refuse(self.inbox.take(Duration::ZERO).work);
    }

    fn refuse(&self, calls: Vec<Call<M::Output>>) {
        for call in calls {
            match call {
                Call::Propose { answer, .. } => drop(answer.send(Err(ProposeError::Stopped))),
                Call::Read(answer) => drop(answer.send(Err(ProposeError::Stopped))),
                Call::Ask { answer, .. } => drop(answer.send(Err(ChangeError::Stopped))),
                Call::Backup(answer) => drop(answer.send(Err(io::Error::other(ProposeError::Stopped)))),
            }
        }
    }
}

fn write_backup(
    dir: PathBuf,
    cluster: ClusterId,
    mark: Mark,
    slot: Arc<()>,
    fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<BackupFile> {
    std::fs::create_dir_all(&dir)?;
    let path = snapshot::path(&dir, mark.index);
    match snapshot::write(&dir, cluster, &mark, fill) {
        Ok(bytes) => Ok(BackupFile::new(path, mark, bytes, slot)),
        Err(error) => {
            std::fs::remove_dir_all(&dir)?;
            Err(error)
        }
    }
}

fn answer_all(answers: Vec<ReadAnswer>, outcome: &Result<(), ProposeError>) {
    for answer in answers {
        let _ = answer.send(*outcome);
    }
}

/// A file that nobody waits for any more when the member ends.
struct Cancelled<'a> {
    to: &'a mut dyn io::Write,
    is_ending: &'a AtomicBool,
}

impl io::Write for Cancelled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Err(io::Error::other("the member ends"));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
