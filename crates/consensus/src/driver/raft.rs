//! The raft thread: events in, effects out, the machine in between.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Answer, Call, News, RaftInbox, ReadAnswer,
    inbox::Taken,
    log::{LogInbox, Task, route},
};
use crate::{
    ClusterId, Machine, Mark, OnFailure, ProposeError, Role, Status, TICK_MS,
    brain::{Brain, Commit, Effect, Event, Proposal},
    snapshot::{self, SnapshotReader},
};

/// So many proposals, at most, are stepped as one message.
const STEP_PROPOSALS_MAX: usize = 4096;

/// So many bytes of proposals, about, are stepped as one message: a frame of the log.
const STEP_BYTES: usize = 1 << 20;

const TICK: Duration = Duration::from_millis(TICK_MS);

pub(super) struct RaftThread<M: Machine> {
    pub(super) brain: Brain<Answer<M::Output>, ReadAnswer>,
    pub(super) machine: M,
    pub(super) inbox: Arc<RaftInbox<M::Output>>,
    pub(super) log: Arc<LogInbox>,
    pub(super) status: watch::Sender<Status>,
    pub(super) cluster: ClusterId,
    pub(super) snapshots: PathBuf,
    pub(super) policy: OnFailure,
    pub(super) is_removed: bool,
    pub(super) writer: Option<JoinHandle<()>>,
    /// Tells the snapshot thread that nobody waits for its file any more.
    pub(super) is_ending: Arc<AtomicBool>,
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
        self.refuse_calls();
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
                self.handle(Event::Tick)?;
            }
        }
    }

    fn take_in(&mut self, taken: Taken<Call<M::Output>, News>) -> Result<(), String> {
        for news in taken.control {
            match news {
                News::Persisted(number) => self.handle(Event::Persisted(number))?,
                News::SnapshotWritten { mark, bytes } => self.handle(Event::SnapshotWritten { mark, bytes })?,
                News::Failed(reason) => return Err(reason),
            }
        }
        let mut reads = Vec::new();
        let mut proposals = Vec::with_capacity(taken.work.len());
        let mut bytes = 0;
        for call in taken.work {
            match call {
                Call::Read(answer) => reads.push(answer),
                Call::Propose { command, answer } => {
                    bytes += command.len();
                    proposals.push(Proposal { ticket: answer, command, origin: None });
                }
            }
            if proposals.len() >= STEP_PROPOSALS_MAX || bytes >= STEP_BYTES {
                bytes = 0;
                self.handle(Event::Propose(std::mem::take(&mut proposals)))?;
            }
        }
        if !proposals.is_empty() {
            self.handle(Event::Propose(proposals))?;
        }
        if reads.is_empty() { Ok(()) } else { self.handle(Event::Read(reads)) }
    }

    fn handle(&mut self, event: Event<Answer<M::Output>, ReadAnswer>) -> Result<(), String> {
        self.brain.handle(event).into_iter().try_for_each(|effect| self.carry_out(effect))
    }

    fn carry_out(&mut self, effect: Effect<Answer<M::Output>, ReadAnswer>) -> Result<(), String> {
        match effect {
            Effect::Persist(persist) => self.log.tell(Task::Persist(persist)),
            Effect::Forget { mark, keep_from } => self.log.tell(Task::Forget { mark, keep_from }),
            Effect::Send(messages) => route(messages),
            Effect::Apply(commits) => self.apply(commits),
            Effect::ReadReady(answers) => answer_all(answers, &Ok(())),
            Effect::ReadFailed(answers, error) => answer_all(answers, &Err(error)),
            Effect::Refuse(answers, error) => {
                for answer in answers {
                    let _ = answer.send(Err(error));
                }
            }
            Effect::Restore(mark) => self.restore(&mark)?,
            Effect::Snapshot(mark) => self.snapshot(mark),
            Effect::ChangeRefused(change, refusal) => tracing::warn!(?change, %refusal, "the members stay as they are"),
            Effect::Changed { .. } => {}
            Effect::Removed => {
                tracing::warn!("this member was removed from its group and stops");
                self.is_removed = true;
            }
        }
        Ok(())
    }

    /// Applies all, then wakes all: who is woken finds the newest state, and the machine is not interrupted.
    fn apply(&mut self, commits: Vec<Commit<Answer<M::Output>>>) {
        let mut answers = Vec::with_capacity(commits.len());
        for Commit { index, command, ticket, origin: _ } in commits {
            let output = self.machine.apply(index, command);
            answers.extend(ticket.map(|answer| (answer, output)));
        }
        for (answer, output) in answers {
            // A caller that went away does not undo its command.
            let _ = answer.send(Ok(output));
        }
    }

    fn restore(&mut self, mark: &Mark) -> Result<(), String> {
        let path = snapshot::path(&self.snapshots, mark.index);
        let mut reader = SnapshotReader::open(&path).map_err(|error| error.to_string())?;
        let restored = self.machine.restore(&mut reader).and_then(|()| reader.finish());
        restored.map_err(|error| format!("restoring {}: {error}", path.display()))
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
                    Err(error) => return Err(format!("writing a snapshot: {error}")),
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

    fn publish(&self) {
        let now = Status { cluster: self.cluster, ..self.brain.status() };
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
            }
        }
    }
}

fn answer_all(answers: Vec<ReadAnswer>, outcome: &Result<(), ProposeError>) {
    for answer in answers {
        let _ = answer.send(*outcome);
    }
}

/// A snapshot file that nobody waits for any more when the member ends.
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
