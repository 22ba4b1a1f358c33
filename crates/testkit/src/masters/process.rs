//! One run of a member: from its start until it crashes. Everything in here is lost then.

use std::{collections::VecDeque, io};

use consensus::{
    Entry, Machine as _, Mark,
    brain::{Brain, Event, Persist},
    message::Message,
    wal_image::{ImageLog, Recovered, Write},
};
use store::Store;

use crate::Prng;

use super::{
    Broken, Outcome, Rule,
    disk::{Disk, SnapshotFile},
    ledger::{Digest, Ledger, Place},
};

/// A member's events: writes and reads are known by their numbers.
pub(super) type MemberEvent = Event<u64, u64>;

/// What the log thread has to do.
#[derive(Debug)]
pub(super) enum Task {
    Persist(Persist),
    Forget { mark: Mark, keep_from: u64 },
}

/// What the log thread is doing.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) writes: VecDeque<Write>,
    /// Written, but not synced.
    pub(super) unsynced: Option<Write>,
    /// To be reported when all is durable, and the messages that leave after that. Nothing for a snapshot's mark.
    pub(super) report: Option<(u64, Vec<Message>)>,
}

/// What the log thread just did.
#[derive(Debug)]
pub(super) enum DiskStep {
    /// There was nothing to do.
    Idle,
    /// Took up something.
    Began,
    /// Wrote something that is not durable yet.
    Wrote,
    /// Made it durable.
    Synced,
    /// Finished something, and reports what is durable.
    Done(Option<(u64, Vec<Message>)>),
}

/// The log as the brain believes it to be, durable or not.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    before: (u64, u64),
    places: Vec<Place>,
}

impl Shadow {
    fn new(mark: &Mark) -> Self {
        Self { before: (mark.index, mark.term), places: Vec::new() }
    }

    pub(super) fn get(&self, index: u64) -> Option<Place> {
        let at = index.checked_sub(self.before.0 + 1)?;
        self.places.get(at as usize).copied()
    }

    /// The term at an index; what is in the snapshot counts as known only at its end.
    pub(super) fn term(&self, index: u64) -> Option<u64> {
        if index == self.before.0 { Some(self.before.1) } else { self.get(index).map(|place| place.term) }
    }

    /// The index that the log begins after.
    pub(super) fn base(&self) -> u64 {
        self.before.0
    }

    fn append(&mut self, entries: &[Entry], ledger: &mut Ledger) -> Outcome {
        for entry in entries {
            let Some(before) = self.term(entry.index - 1) else {
                let detail = format!("entry {} leaves a gap after {}", entry.index, self.before.0);
                return Err(Broken { rule: Rule::LogMatching, detail });
            };
            let place = Place::from(entry);
            ledger.place(entry.index, place, before)?;
            self.places.truncate((entry.index - self.before.0 - 1) as usize);
            self.places.push(place);
        }
        Ok(())
    }
}

/// A running member.
pub(super) struct Process {
    pub(super) brain: Brain<u64, u64>,
    machine: store::Machine,
    pub(super) store: Store,
    pub(super) log: ImageLog,
    pub(super) tasks: VecDeque<Task>,
    pub(super) job: Option<Job>,
    pub(super) is_disk_busy: bool,
    pub(super) shadow: Shadow,
    /// The last index that was applied to the machine, and the state then.
    pub(super) applied: u64,
    pub(super) digest: Digest,
    /// Stopped by a signal: nothing happens, everything waits.
    pub(super) is_paused: bool,
    pub(super) inbox: VecDeque<MemberEvent>,
    /// It was removed and has stopped.
    pub(super) is_removed: bool,
    /// Which run of the member this is.
    pub(super) boot: u64,
}

impl Process {
    /// Goes on from what is on the disk.
    pub(super) fn new(
        recovered: Recovered,
        file: Option<&SnapshotFile>,
        boot: u64,
        ledger: &mut Ledger,
    ) -> Result<Self, Broken> {
        let (mut machine, store) = store::new();
        if let Some(file) = file {
            restore(&mut machine, file)?;
        }
        let Recovered { log, setup } = recovered;
        let mut shadow = Shadow::new(&setup.mark);
        shadow.append(&setup.entries, ledger)?;
        let digest = Digest::of(&store.view());
        ledger.same_state(setup.mark.index, digest)?;
        Ok(Self {
            applied: setup.mark.index,
            brain: Brain::new(setup),
            machine,
            store,
            log,
            tasks: VecDeque::new(),
            job: None,
            is_disk_busy: false,
            shadow,
            digest,
            is_paused: false,
            inbox: VecDeque::new(),
            is_removed: false,
            boot,
        })
    }

    /// The brain wants something written: the log has it from now on.
    pub(super) fn persist(&mut self, persist: Persist, ledger: &mut Ledger) -> Outcome {
        if let Some(mark) = &persist.restore {
            self.shadow = Shadow::new(mark);
        }
        self.shadow.append(&persist.entries, ledger)?;
        self.tasks.push_back(Task::Persist(persist));
        Ok(())
    }

    /// The log thread takes one step.
    pub(super) fn work_on_disk(&mut self, disk: &mut Disk, chance: &mut Prng) -> DiskStep {
        let Some(job) = &mut self.job else { return self.begin_job(chance) };
        if let Some(write) = job.unsynced.take() {
            disk.write(write);
            return DiskStep::Synced;
        }
        if let Some(write) = job.writes.pop_front() {
            job.unsynced = Some(write);
            return DiskStep::Wrote;
        }
        let report = self.job.take().and_then(|job| job.report);
        if report.is_none() {
            disk.prune();
        }
        DiskStep::Done(report)
    }

    /// Some of what waits, in order, becomes one write.
    fn begin_job(&mut self, chance: &mut Prng) -> DiskStep {
        let mut batch = Vec::new();
        while let Some(task) = self.tasks.pop_front() {
            match task {
                Task::Persist(persist) => batch.push(persist),
                Task::Forget { mark, keep_from } if batch.is_empty() => {
                    let writes = self.log.forget(mark, keep_from).into();
                    self.job = Some(Job { writes, unsynced: None, report: None });
                    return DiskStep::Began;
                }
                forget @ Task::Forget { .. } => {
                    self.tasks.push_front(forget);
                    break;
                }
            }
            if chance.happens(250) {
                break;
            }
        }
        let Some(number) = batch.last().map(|persist| persist.number) else { return DiskStep::Idle };
        let (writes, after) = self.log.persist(batch);
        self.job = Some(Job { writes: writes.into(), unsynced: None, report: Some((number, after)) });
        DiskStep::Began
    }

    /// Takes over a snapshot of the leader.
    pub(super) fn restore(&mut self, mark: &Mark, file: Option<&SnapshotFile>, ledger: &mut Ledger) -> Outcome {
        let missing =
            || Broken { rule: Rule::OpensAgain, detail: format!("the snapshot at {} is not there", mark.index) };
        restore(&mut self.machine, file.ok_or_else(missing)?)?;
        let digest = Digest::of(&self.store.view());
        if digest.revision < self.digest.revision || mark.index < self.applied {
            let detail = format!("a snapshot at {} after index {} was applied", mark.index, self.applied);
            return Err(Broken { rule: Rule::Revisions, detail });
        }
        (self.digest, self.applied) = (digest, mark.index);
        ledger.same_state(mark.index, digest)
    }

    /// The machine as a file.
    pub(super) fn snapshot(&self, mark: Mark) -> Result<SnapshotFile, Broken> {
        let mut bytes = Vec::new();
        self.machine.snapshot()(&mut bytes).map_err(|error| unreadable(&error))?;
        Ok(SnapshotFile { mark, bytes: bytes.into() })
    }

    /// Applies a command that was agreed; answers the revision afterwards.
    pub(super) fn apply(&mut self, index: u64, command: bytes::Bytes, ledger: &mut Ledger) -> Result<u64, Broken> {
        self.catch_up(index - 1, ledger)?;
        let before = self.digest.revision;
        let is_news = !ledger.is_agreed(index);
        let events = match self.machine.apply(index, command.clone()) {
            Ok(applied) => applied.events,
            Err(_) => Vec::new(),
        };
        self.machine.show();
        for event in &events {
            self.digest.take(event);
        }
        let revision = self.store.view().revision().0;
        if revision != self.digest.revision || revision != before + events.len() as u64 {
            let detail = format!("entry {index} made revision {revision} of {before} with {} changes", events.len());
            return Err(Broken { rule: Rule::Revisions, detail });
        }
        if is_news {
            ledger.command(index, &command, &events)?;
        }
        self.catch_up(index, ledger)?;
        Ok(revision)
    }

    /// Enters what was applied up to an index, commands or not.
    pub(super) fn catch_up(&mut self, until: u64, ledger: &mut Ledger) -> Outcome {
        if self.applied >= until {
            return Ok(());
        }
        let known_in = self.brain.status().term;
        while self.applied < until {
            self.applied += 1;
            let Some(place) = self.shadow.get(self.applied) else {
                let detail = format!("entry {} is applied, but not in the log", self.applied);
                return Err(Broken { rule: Rule::SameOrder, detail });
            };
            ledger.agree(self.applied, place, known_in, self.digest)?;
        }
        Ok(())
    }
}

fn restore(machine: &mut store::Machine, file: &SnapshotFile) -> Outcome {
    machine.restore(&mut &*file.bytes).map_err(|error| unreadable(&error))
}

fn unreadable(error: &io::Error) -> Broken {
    Broken { rule: Rule::OpensAgain, detail: format!("a snapshot cannot be written or read: {error}") }
}
