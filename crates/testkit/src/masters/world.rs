//! The masters, their net and their clock. What happens next is on an agenda in moments of virtual time; when two things are
//! due at once, the one that was put down first happens first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consensus::{
    ClusterId, HardState, Mark, MemberId, Members, Role,
    brain::{Commit, Effect, Event},
    message::Message,
    wal_image::{ImageLog, Sizes, recover},
};

use super::{
    Broken, Outcome, Rule, Sabotage,
    clients::Client,
    disk::{Disk, SnapshotFile},
    ledger::Ledger,
    net::Parcel,
    process::{DiskStep, MemberEvent, Process, Task},
    watchers::Watcher,
    weather::{TICK, Weather},
};
use crate::{Prng, agenda::Agenda};

/// The group's identity.
pub(super) const CLUSTER: ClusterId = ClusterId(4);

/// The founding: see `consensus`.
const FOUNDING: (u64, u64) = (1, 1);

/// So many lines of a story are kept.
const STORY_LINES: usize = 60;

/// A member: what it has on disk, and the process, if it runs.
pub(super) struct Member {
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    pub(super) boots: u64,
    /// How long its ticks are, in moments.
    pub(super) tick: u64,
}

/// What may be on the agenda. The number after a member says which run of it is meant.
#[derive(Debug)]
pub(super) enum Act {
    Deliver(Parcel),
    Tell(MemberId, u64, MemberEvent),
    Disk(MemberId, u64),
    Tick(MemberId, u64),
    SnapshotWritten(MemberId, u64, SnapshotFile),
    Start(MemberId),
    Resume(MemberId, u64),
    Mend(MemberId, MemberId),
    Client(usize),
    Watcher(usize),
    Mishap,
}

/// Everything.
pub(super) struct World {
    pub(super) chance: Prng,
    pub(super) now: u64,
    pub(super) agenda: Agenda<Act, u64>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Pairs between which nothing gets through, in this direction.
    pub(super) cut: BTreeSet<(MemberId, MemberId)>,
    pub(super) ledger: Ledger,
    pub(super) clients: Vec<Client>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) weather: Weather,
    pub(super) sizes: Sizes,
    pub(super) sabotage: Option<Sabotage>,
    /// Whose removal was begun last.
    pub(super) leaving: Option<MemberId>,
    /// Clients ask for nothing.
    pub(super) is_quiet: bool,
    /// The last number that was given to a write or a read.
    pub(super) numbers: u64,
    /// What happened lately, if somebody will read it.
    pub(super) story: Option<VecDeque<String>>,
    /// Messages that a scenario wants to see again.
    pub(super) delivered: Option<Vec<Parcel>>,
}

impl World {
    pub(super) fn new(chance: Prng, weather: Weather, sizes: Sizes) -> Self {
        Self {
            chance,
            now: 0,
            agenda: Agenda::default(),
            members: BTreeMap::new(),
            cut: BTreeSet::new(),
            ledger: Ledger::default(),
            clients: Vec::new(),
            watchers: Vec::new(),
            weather,
            sizes,
            sabotage: None,
            leaving: None,
            is_quiet: false,
            numbers: 0,
            story: None,
            delivered: None,
        }
    }

    /// Founds a group of members 1 to `count`.
    pub(super) fn found(&mut self, count: u64) -> Outcome {
        let voters: Vec<MemberId> = (1..=count).map(MemberId).collect();
        let contacts = voters.iter().map(|member| (*member, member.to_string())).collect();
        let members = Members { voters: voters.clone(), contacts, ..Members::default() };
        let mark = Mark { index: FOUNDING.0, term: FOUNDING.1, members };
        for id in voters {
            let mut member = self.empty_member();
            let hard = HardState { term: FOUNDING.1, vote: 0, commit: FOUNDING.0 };
            let (mut log, begin) = ImageLog::create(CLUSTER, id, self.sizes, self.chance.bits());
            let founding = log.found(mark.clone(), hard);
            begin.into_iter().chain(founding).for_each(|write| member.disk.write(write));
            self.members.insert(id, member);
            self.start(id)?;
        }
        Ok(())
    }

    /// A member that is to join.
    pub(super) fn join(&mut self, id: MemberId) -> Outcome {
        let mut member = self.empty_member();
        let (mut log, begin) = ImageLog::create(CLUSTER, id, self.sizes, self.chance.bits());
        let joining = log.found(Mark::default(), HardState::default());
        begin.into_iter().chain(joining).for_each(|write| member.disk.write(write));
        self.members.insert(id, member);
        self.start(id)
    }

    fn empty_member(&mut self) -> Member {
        let tick = self.chance.between(TICK - 2, TICK + 2);
        Member { disk: Disk::new(self.sizes.segment_bytes), process: None, boots: 0, tick }
    }

    /// Starts a member that does not run.
    pub(super) fn start(&mut self, id: MemberId) -> Outcome {
        let nonce = self.chance.bits();
        let Some(member) = self.members.get_mut(&id).filter(|member| member.process.is_none()) else { return Ok(()) };
        let recovered = recover(member.disk.segments(), &member.disk.marks(), self.sizes, nonce);
        let recovered =
            recovered.map_err(|error| Broken { rule: Rule::OpensAgain, detail: format!("{id}: {error}") })?;
        let (mark, hard, entries) = (&recovered.setup.mark, recovered.setup.hard, recovered.setup.entries.len());
        let line = format!("{id} starts from {} with {entries} entries and {hard:?}", mark.index);
        let file = member.disk.snapshots.get(&mark.index);
        member.boots += 1;
        let boot = member.boots;
        member.process = Some(Process::new(recovered, file, boot, &mut self.ledger)?);
        let first_tick = self.now + self.chance.between(0, TICK);
        self.agenda.add(first_tick, Act::Tick(id, boot));
        self.tell_story(|| line);
        self.handle(id, Event::Start)
    }

    /// Kills a member's process: what was not synced may be lost in any part.
    pub(super) fn crash(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(process) = member.process.take() else { return };
        let unsynced = process.job.and_then(|job| job.unsynced);
        member.disk.crash(unsynced, &mut self.chance);
        if self.sabotage == Some(Sabotage::ForgetfulDisk) && self.chance.happens(500) {
            member.disk.forget_last_frame();
        }
        self.ledger.tally.crashes += 1;
        self.tell_story(|| format!("{id} crashes"));
        self.hang_up(id);
        let pause = *self.chance.pick(&[1, 5, 30, 80]).unwrap_or(&1);
        let back = self.now + self.chance.between(1, pause * TICK);
        self.agenda.add(back, Act::Start(id));
    }

    pub(super) fn tell_story(&mut self, line: impl FnOnce() -> String) {
        let Some(story) = &mut self.story else { return };
        if story.len() == STORY_LINES {
            story.pop_front();
        }
        story.push_back(format!("{:>5}.{:02} {}", self.now / TICK, self.now % TICK, line()));
    }

    pub(super) fn process(&mut self, id: MemberId) -> Option<&mut Process> {
        self.members.get_mut(&id)?.process.as_mut()
    }

    pub(super) fn process_of(&mut self, id: MemberId, boot: u64) -> Option<&mut Process> {
        self.process(id).filter(|process| process.boot == boot)
    }

    /// Carries out what is next on the agenda, if it is due by `until`.
    pub(super) fn step(&mut self, until: u64) -> Result<bool, Broken> {
        let Some((at, act)) = self.agenda.next(until) else {
            self.now = until;
            return Ok(false);
        };
        self.now = at;
        self.ledger.tally.steps += 1;
        match act {
            Act::Deliver(parcel) => self.deliver(parcel)?,
            Act::Tell(id, boot, event) => self.tell(id, boot, event)?,
            Act::Disk(id, boot) => self.work_on_disk(id, boot)?,
            Act::Tick(id, boot) => self.tick(id, boot)?,
            Act::SnapshotWritten(id, boot, file) => self.snapshot_written(id, boot, file)?,
            Act::Start(id) => self.start(id)?,
            Act::Resume(id, boot) => self.resume(id, boot)?,
            Act::Mend(from, to) => _ = self.cut.remove(&(from, to)),
            Act::Client(at) => self.client(at)?,
            Act::Watcher(at) => self.watcher(at)?,
            Act::Mishap => self.mishap()?,
        }
        Ok(true)
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ticks: u64) -> Outcome {
        let until = self.now + ticks * TICK;
        while self.step(until)? {}
        Ok(())
    }

    pub(super) fn tell(&mut self, id: MemberId, boot: u64, event: MemberEvent) -> Outcome {
        if self.process_of(id, boot).is_some() { self.handle(id, event) } else { Ok(()) }
    }

    /// A member takes in an event, or puts it aside while it is stopped. It may crash between any two effects.
    pub(super) fn handle(&mut self, id: MemberId, event: MemberEvent) -> Outcome {
        let Some(process) = self.process(id) else { return Ok(()) };
        if process.is_paused {
            process.inbox.push_back(event);
            return Ok(());
        }
        if self.story.is_some() && !matches!(event, Event::Tick) {
            let line = format!("{id} < {event:?}");
            self.tell_story(|| line);
        }
        let Some(process) = self.process(id) else { return Ok(()) };
        for effect in process.brain.handle(event) {
            if self.chance.bits() % 100_000 < self.weather.crashes_at_effects {
                self.crash(id);
                return Ok(());
            }
            self.carry_out(id, effect)?;
        }
        self.look_at(id)
    }

    /// What must be true of a member after every step.
    fn look_at(&mut self, id: MemberId) -> Outcome {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else { return Ok(()) };
        let status = process.brain.status();
        process.catch_up(status.applied, &mut self.ledger)?;
        if status.role == Role::Leader {
            self.ledger.leads(id, status.term, &process.shadow)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, id: MemberId, effect: Effect<u64, u64>) -> Outcome {
        if self.story.is_some() && !matches!(effect, Effect::Send(_)) {
            let line = format!("{id} > {effect:?}");
            self.tell_story(|| line);
        }
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let Some(process) = &mut member.process else { return Ok(()) };
        match effect {
            Effect::Persist(persist) => {
                process.persist(persist, &mut self.ledger)?;
                self.wake_disk(id);
            }
            Effect::Forget { mark, keep_from } => {
                process.tasks.push_back(Task::Forget { mark, keep_from });
                self.wake_disk(id);
            }
            Effect::Send(messages) => self.send(id, messages),
            Effect::Restore(mark) => {
                process.restore(&mark, member.disk.snapshots.get(&mark.index), &mut self.ledger)?;
                self.ledger.tally.restores += 1;
            }
            Effect::Apply(commits) => commits.into_iter().try_for_each(|commit| self.apply(id, commit))?,
            Effect::ReadReady(reads) => reads.into_iter().try_for_each(|read| self.answer_read(id, read))?,
            Effect::ReadFailed(reads, _) => reads.into_iter().for_each(|read| self.read_failed(read)),
            Effect::Refuse(writes, error) => {
                for write in writes {
                    self.ledger.refuse(write, error)?;
                    self.write_refused(write, error);
                }
            }
            Effect::Snapshot(mark) => self.snapshot(id, mark)?,
            Effect::ChangeRefused(..) => {}
            Effect::Changed { .. } => self.ledger.tally.changes += 1,
            Effect::Removed => process.is_removed = true,
        }
        Ok(())
    }

    fn apply(&mut self, id: MemberId, commit: Commit<u64>) -> Outcome {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else { return Ok(()) };
        let Commit { index, command, ticket, .. } = commit;
        let command = match self.sabotage {
            Some(Sabotage::SkippedCommand) if ticket.is_none() && self.chance.happens(10) => {
                store::Txn::default().encode()
            }
            _ => command,
        };
        let revision = process.apply(index, command, &mut self.ledger)?;
        let Some(write) = ticket else { return Ok(()) };
        self.ledger.acknowledge(write, index, revision)?;
        self.write_acknowledged(write);
        Ok(())
    }

    /// The state is captured now and written out later.
    fn snapshot(&mut self, id: MemberId, mark: Mark) -> Outcome {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else { return Ok(()) };
        process.catch_up(mark.index, &mut self.ledger)?;
        self.ledger.same_state(mark.index, process.digest)?;
        let (boot, file) = (process.boot, process.snapshot(mark)?);
        let done = self.now + self.chance.between(1, 4 * self.weather.disk_delay_max);
        self.agenda.add(done, Act::SnapshotWritten(id, boot, file));
        Ok(())
    }

    fn snapshot_written(&mut self, id: MemberId, boot: u64, file: SnapshotFile) -> Outcome {
        if self.process_of(id, boot).is_none() {
            return Ok(());
        }
        let (mark, bytes) = (file.mark.clone(), file.bytes.len() as u64);
        if let Some(member) = self.members.get_mut(&id) {
            member.disk.snapshots.insert(mark.index, file);
        }
        self.handle(id, Event::SnapshotWritten { mark, bytes })
    }

    pub(super) fn wake_disk(&mut self, id: MemberId) {
        let delay = self.chance.between(0, self.weather.disk_delay_max);
        let now = self.now;
        let Some(process) = self.process(id) else { return };
        if std::mem::replace(&mut process.is_disk_busy, true) {
            return;
        }
        let boot = process.boot;
        self.agenda.add(now + delay, Act::Disk(id, boot));
    }

    /// The log thread works until it has to wait for the disk or has nothing to do. The process may crash between any two
    /// steps.
    fn work_on_disk(&mut self, id: MemberId, boot: u64) -> Outcome {
        loop {
            let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
            let Some(process) = member.process.as_mut().filter(|process| process.boot == boot) else { return Ok(()) };
            process.is_disk_busy = false;
            if process.is_paused {
                return Ok(());
            }
            if self.chance.bits() % 100_000 < self.weather.crashes_at_disk {
                self.crash(id);
                return Ok(());
            }
            match process.work_on_disk(&mut member.disk, &mut self.chance) {
                DiskStep::Idle => return Ok(()),
                DiskStep::Began if self.sabotage == Some(Sabotage::EarlyReport) => {
                    let report = process.job.as_mut().and_then(|job| job.report.take());
                    self.report(id, boot, report)?;
                }
                DiskStep::Began | DiskStep::Synced => {}
                DiskStep::Wrote => {
                    self.wake_disk(id);
                    return Ok(());
                }
                DiskStep::Done(report) => self.report(id, boot, report)?,
            }
        }
    }

    /// First the brain is told, then the messages leave that promise what is durable.
    fn report(&mut self, id: MemberId, boot: u64, report: Option<(u64, Vec<Message>)>) -> Outcome {
        let Some((number, after)) = report else { return Ok(()) };
        self.handle(id, Event::Persisted(number))?;
        if self.process_of(id, boot).is_some() {
            self.send(id, after);
        }
        Ok(())
    }

    fn tick(&mut self, id: MemberId, boot: u64) -> Outcome {
        let Some(length) = self.members.get(&id).map(|member| member.tick) else { return Ok(()) };
        let next = self.now + length;
        let Some(process) = self.process_of(id, boot) else { return Ok(()) };
        let is_paused = process.is_paused;
        self.agenda.add(next, Act::Tick(id, boot));
        if is_paused { Ok(()) } else { self.handle(id, Event::Tick) }
    }
}
