//! What happens to a group besides the weather: members are cut off, stopped, killed, slow, added, promoted and removed, and
//! the lead is handed on.

use consensus::{
    MemberId, Role,
    brain::{Change, Event},
};

use super::{
    Outcome,
    weather::TICK,
    world::{Act, World},
};

/// No group has more members at a time, and no trial more in all.
const MEMBERS_MAX: (usize, usize) = (6, 9);

/// The longest that trouble lasts, in ticks: several election timeouts.
const TROUBLE_TICKS_MAX: u64 = 150;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Crash,
    CrashAll,
    Pause,
    CutOneWay,
    CutOff,
    Halves,
    ClockJump,
    AddLearner,
    Promote,
    Remove,
    Transfer,
}

const ALL: [Mishap; 14] = [
    Mishap::Crash,
    Mishap::CrashAll,
    Mishap::Pause,
    Mishap::CutOneWay,
    Mishap::CutOff,
    Mishap::Halves,
    Mishap::ClockJump,
    Mishap::AddLearner,
    Mishap::Promote,
    Mishap::Promote,
    Mishap::Remove,
    Mishap::Remove,
    Mishap::Transfer,
    Mishap::Transfer,
];

impl World {
    /// Something happens to somebody.
    pub(super) fn mishap(&mut self) -> Outcome {
        if self.weather.mishap_every == 0 {
            return Ok(());
        }
        let next = self.now + self.chance.between(1, 2 * self.weather.mishap_every);
        self.agenda.add(next, Act::Mishap);
        let mishap = *self.chance.pick(&ALL).unwrap_or(&Mishap::Crash);
        let everybody: Vec<MemberId> = self.members.keys().copied().collect();
        let Some(id) = self.chance.pick(&everybody).copied() else { return Ok(()) };
        self.tell_story(|| format!("{mishap:?}, perhaps of {id}"));
        match mishap {
            Mishap::Crash => self.crash(id),
            Mishap::CrashAll => everybody.into_iter().for_each(|id| self.crash(id)),
            Mishap::Pause => self.pause(id),
            Mishap::CutOneWay => {
                let other = *self.chance.pick(&everybody).unwrap_or(&id);
                self.cut_pair(id, other);
            }
            Mishap::CutOff => self.halve(&everybody, &[id]),
            Mishap::Halves => {
                let one: Vec<MemberId> = everybody.iter().copied().filter(|_| self.chance.happens(500)).collect();
                self.halve(&everybody, &one);
            }
            Mishap::ClockJump => self.jump(id)?,
            Mishap::AddLearner => self.add_learner()?,
            Mishap::Promote => self.promote()?,
            Mishap::Remove => {
                // Whoever lost its vote by an earlier removal is asked away for good, until that is done.
                let leaves = *self.leaving.get_or_insert(id);
                self.change(Change::Remove(leaves))?;
                self.leaving = self.leaving.filter(|_| self.chance.happens(700));
            }
            Mishap::Transfer => self.transfer(id)?,
        }
        Ok(())
    }

    fn trouble(&mut self) -> u64 {
        self.now + self.chance.between(1, TROUBLE_TICKS_MAX * TICK)
    }

    pub(super) fn pause(&mut self, id: MemberId) {
        let until = self.trouble();
        let Some(process) = self.process(id) else { return };
        process.is_paused = true;
        let boot = process.boot;
        self.agenda.add(until, Act::Resume(id, boot));
    }

    /// A stopped process goes on: it reads what has come meanwhile before it looks at the clock.
    pub(super) fn resume(&mut self, id: MemberId, boot: u64) -> Outcome {
        let Some(process) = self.process_of(id, boot) else { return Ok(()) };
        if !std::mem::replace(&mut process.is_paused, false) {
            return Ok(());
        }
        let waiting = std::mem::take(&mut process.inbox);
        self.tell_story(|| format!("{id} goes on"));
        self.wake_disk(id);
        waiting.into_iter().try_for_each(|event| self.tell(id, boot, event))?;
        self.tell(id, boot, Event::Tick)
    }

    fn cut_pair(&mut self, from: MemberId, to: MemberId) {
        let until = self.trouble();
        self.cut.insert((from, to));
        self.agenda.add(until, Act::Mend(from, to));
    }

    /// Nothing gets through between some and the others, for a while.
    pub(super) fn halve(&mut self, everybody: &[MemberId], some: &[MemberId]) {
        let until = self.trouble();
        let others: Vec<MemberId> = everybody.iter().copied().filter(|id| !some.contains(id)).collect();
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
            self.cut.extend([(one, other), (other, one)]);
            self.agenda.add(until, Act::Mend(one, other));
            self.agenda.add(until, Act::Mend(other, one));
        }
    }

    /// Many ticks at once for one member, and from now on a clock that is fast or slow.
    fn jump(&mut self, id: MemberId) -> Outcome {
        let (ticks, length) = (self.chance.between(1, 50), self.chance.between(TICK / 2, 2 * TICK));
        if let Some(member) = self.members.get_mut(&id) {
            member.tick = length;
        }
        (0..ticks).try_for_each(|_| self.handle(id, Event::Tick))
    }

    /// Somebody who leads, or believes so.
    pub(super) fn some_leader(&mut self) -> Option<MemberId> {
        let leads = |id: &MemberId| {
            let process = self.members.get(id).and_then(|member| member.process.as_ref());
            process.is_some_and(|process| process.brain.status().role == Role::Leader)
        };
        let leaders: Vec<MemberId> = self.members.keys().copied().filter(leads).collect();
        self.chance.pick(&leaders).copied()
    }

    pub(super) fn change(&mut self, change: Change) -> Outcome {
        let Some(leader) = self.some_leader() else { return Ok(()) };
        self.handle(leader, Event::Change(change))
    }

    fn add_learner(&mut self) -> Outcome {
        let Some(leader) = self.some_leader() else { return Ok(()) };
        let Some(process) = self.process(leader) else { return Ok(()) };
        let members = process.brain.status().members;
        let present = members.voters.len() + members.learners.len();
        if present >= MEMBERS_MAX.0 || self.members.len() >= MEMBERS_MAX.1 {
            return Ok(());
        }
        let id = MemberId(self.members.len() as u64 + 1);
        self.join(id)?;
        self.handle(leader, Event::Change(Change::AddLearner { member: id, contact: id.to_string() }))
    }

    fn promote(&mut self) -> Outcome {
        let Some(leader) = self.some_leader() else { return Ok(()) };
        let Some(process) = self.process(leader) else { return Ok(()) };
        let learners = process.brain.status().members.learners;
        let Some(learner) = self.chance.pick(&learners).copied() else { return Ok(()) };
        self.handle(leader, Event::Change(Change::Promote(learner)))
    }

    fn transfer(&mut self, to: MemberId) -> Outcome {
        let Some(leader) = self.some_leader() else { return Ok(()) };
        let may = self.process(leader).is_some_and(|process| process.brain.may_lead(to).is_ok());
        if may { self.handle(leader, Event::TransferLeader(to)) } else { Ok(()) }
    }
}
