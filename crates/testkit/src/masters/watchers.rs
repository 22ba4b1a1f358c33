//! Watchers: each follows some kinds from a revision, on one member after the other, and may only miss what it is told to
//! list again.

use api::{Kind, Revision};
use consensus::MemberId;
use store::Watch;

use super::{
    Broken, Outcome, Rule, Sabotage,
    process::Process,
    weather::TICK,
    world::{Act, World},
};

/// One watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) kinds: Vec<Kind>,
    /// Everything up to here it knows.
    pub(super) cursor: Revision,
    /// Where it watches: the member, and which run of it.
    open: Option<(MemberId, u64, Watch)>,
}

impl Watcher {
    pub(super) fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), cursor: Revision(0), open: None }
    }
}

/// Whether a watcher may stay. When there is no trouble, whoever knows of no leader does not belong to the group.
fn serves(process: &Process, is_quiet: bool) -> bool {
    !process.is_removed && (!is_quiet || process.brain.status().leader.is_some())
}

impl World {
    /// A watcher looks for news and comes back later.
    pub(super) fn watcher(&mut self, at: usize) -> Outcome {
        let next = self.now + self.chance.between(1, 8 * TICK);
        self.agenda.add(next, Act::Watcher(at));
        let is_tired = self.chance.happens(100);
        let (members, is_quiet) = (&self.members, self.is_quiet);
        let alive = |(id, boot, _): &mut (MemberId, u64, Watch)| {
            let process = members.get(id).and_then(|member| member.process.as_ref());
            !is_tired && process.is_some_and(|process| process.boot == *boot && serves(process, is_quiet))
        };
        self.watchers[at].open = self.watchers[at].open.take().and_then(|mut open| alive(&mut open).then_some(open));
        if self.watchers[at].open.is_none() {
            self.open_watch(at)?;
        }
        self.follow(at)
    }

    /// Begins on any member, after what the watcher knows. What that member has forgotten is listed instead.
    fn open_watch(&mut self, at: usize) -> Outcome {
        let is_quiet = self.is_quiet;
        let able = self.members.iter().filter(|(_, member)| {
            let process = member.process.as_ref();
            process.is_some_and(|process| !process.is_paused && serves(process, is_quiet))
        });
        let able: Vec<MemberId> = able.map(|(id, _)| *id).collect();
        let Some(id) = self.chance.pick(&able).copied() else { return Ok(()) };
        let is_late = self.sabotage == Some(Sabotage::LateResume) && self.watchers[at].cursor.0 > 0;
        let Some(process) = self.members.get(&id).and_then(|member| member.process.as_ref()) else { return Ok(()) };
        let watcher = &mut self.watchers[at];
        let after = Revision(watcher.cursor.0 + u64::from(is_late));
        let boot = process.boot;
        match process.store.watch(&watcher.kinds, after) {
            Ok(watch) => watcher.open = Some((id, boot, watch)),
            Err(_) => self.list_again(at, id)?,
        }
        Ok(())
    }

    /// The history does not reach back to what the watcher knows, so its member must be further on.
    fn list_again(&mut self, at: usize, id: MemberId) -> Outcome {
        let Some(process) = self.members.get(&id).and_then(|member| member.process.as_ref()) else { return Ok(()) };
        let revision = process.store.view().revision();
        let watcher = &mut self.watchers[at];
        watcher.open = None;
        if revision <= watcher.cursor {
            let detail = format!("a watch at {} expired on {id}, which is at {revision}", watcher.cursor);
            return Err(Broken { rule: Rule::WholeWatches, detail });
        }
        watcher.cursor = revision;
        self.ledger.tally.relists += 1;
        Ok(())
    }

    fn follow(&mut self, at: usize) -> Outcome {
        let watcher = &mut self.watchers[at];
        let Some((id, _, watch)) = &mut watcher.open else { return Ok(()) };
        let id = *id;
        match watch.ready() {
            Ok(events) => {
                let (from, to) = (watcher.cursor, watch.cursor());
                watcher.cursor = to.max(from);
                self.ledger.watched(&watcher.kinds, from, to, &events)
            }
            Err(_) => self.list_again(at, id),
        }
    }
}
