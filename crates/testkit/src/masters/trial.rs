//! One trial: a group is founded, suffers, is mended, and must get on.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use consensus::{ELECTION_TICKS_MAX, MemberId, Role};

use super::{
    Broken, Outcome, Rule, Sabotage, Tally,
    clients::{Client, KINDS},
    watchers::Watcher,
    weather::{TICK, Weather, sizes},
    world::{Act, World},
};
use crate::Prng;

/// How long the trouble lasts, in ticks: about ten elections.
const TROUBLE_TICKS: u64 = 400;

/// How long a mended group may take until everybody knows everything, in ticks: several elections that meet each other, and
/// the last stragglers.
const PEACE_TICKS_MAX: u64 = 20 * ELECTION_TICKS_MAX as u64;

/// How often somebody looks, in ticks.
const PEACE_STEP_TICKS: u64 = 10;

/// A trial that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to give [`play`] to see it again.
    pub seed: u64,
    /// What was broken.
    pub broken: Broken,
    /// What happened last.
    pub story: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken: Broken { rule, detail }, story } = self;
        write!(f, "KAPELLE_SEED={seed}: it is not true that {rule}: {detail}\n{}", story.join("\n"))
    }
}

/// Plays one trial.
///
/// # Errors
/// What was broken, with the end of the story. The same seed gives the same trial.
pub fn play(seed: u64) -> Result<Tally, Failure> {
    play_with(seed, None)
}

/// Plays one trial in which one part does not do its duty.
///
/// # Errors
/// As [`play`].
pub fn play_sabotaged(seed: u64, sabotage: Sabotage) -> Result<Tally, Failure> {
    play_with(seed, Some(sabotage))
}

/// A story costs more than the trial, so it is told only of a failure, by playing it again.
fn play_with(seed: u64, sabotage: Option<Sabotage>) -> Result<Tally, Failure> {
    let (_, outcome) = attempt(seed, sabotage, false);
    let Err(broken) = outcome else { return outcome.map_err(|broken| Failure { seed, broken, story: Vec::new() }) };
    let (story, again) = attempt(seed, sabotage, true);
    let mut story: Vec<String> = story.into();
    if again.as_ref().err() != Some(&broken) {
        story.push(format!("the same seed gave another trial: {again:?}"));
    }
    Err(Failure { seed, broken, story })
}

fn attempt(seed: u64, sabotage: Option<Sabotage>, is_told: bool) -> (VecDeque<String>, Result<Tally, Broken>) {
    let mut world = world(seed, sabotage);
    world.story = is_told.then(VecDeque::new);
    let outcome = catch_unwind(AssertUnwindSafe(|| suffer(&mut world).and_then(|()| recover(&mut world))));
    let outcome = outcome.unwrap_or_else(|panic| Err(Broken { rule: Rule::NoPanic, detail: words(&*panic) }));
    (world.story.take().unwrap_or_default(), outcome.map(|()| world.ledger.tally))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn world(seed: u64, sabotage: Option<Sabotage>) -> World {
    let mut chance = Prng::new(seed);
    let weather = Weather::draw(&mut chance);
    let sizes = sizes(&mut chance);
    let mut world = World::new(chance, weather, sizes);
    world.sabotage = sabotage;
    world
}

fn suffer(world: &mut World) -> Outcome {
    let count = world.chance.between(3, 5);
    world.found(count)?;
    world.clients = (0..3).map(|_| Client::default()).collect();
    world.watchers = [&KINDS[..1], &KINDS[..]].into_iter().map(Watcher::new).collect();
    for at in 0..world.clients.len() {
        world.agenda.add(1, Act::Client(at));
    }
    for at in 0..world.watchers.len() {
        world.agenda.add(1, Act::Watcher(at));
    }
    world.agenda.add(60 * TICK, Act::Mishap);
    world.run(TROUBLE_TICKS)
}

/// Everything that was disturbed is left alone from now on.
fn recover(world: &mut World) -> Outcome {
    world.weather = Weather::CALM;
    world.tell_story(|| "from now on all is well".to_owned());
    let everybody: Vec<MemberId> = world.members.keys().copied().collect();
    world.cut.clear();
    for id in everybody {
        world.start(id)?;
        if let Some(member) = world.members.get_mut(&id) {
            member.tick = TICK;
        }
        let boot = world.process(id).map_or(0, |process| process.boot);
        world.resume(id, boot)?;
    }
    let asked = world.numbers;
    for _ in 0..PEACE_TICKS_MAX / PEACE_STEP_TICKS {
        world.run(PEACE_STEP_TICKS)?;
        world.is_quiet = world.ledger.newest_write > asked;
        if world.is_quiet && unrest(world).is_none() {
            return world.ledger.nothing_is_lost(world.ledger.last_agreed());
        }
    }
    let nothing_written = || "nothing was written".to_owned();
    let detail = if world.is_quiet { unrest(world).unwrap_or_default() } else { nothing_written() };
    Err(Broken { rule: Rule::Progress, detail })
}

/// What is still missing: a leader, or that everybody who belongs to the group has everything, and so have the watchers.
fn unrest(world: &World) -> Option<String> {
    let running = || world.members.iter().filter_map(|(id, member)| Some((id, member.process.as_ref()?)));
    let leader = running().map(|(_, process)| process.brain.status()).filter(|status| status.role == Role::Leader);
    let Some(leader) = leader.max_by_key(|status| status.term) else { return Some("nobody leads".to_owned()) };
    let last = world.ledger.last_agreed();
    let belongs = |id: &MemberId| leader.members.contains(*id);
    if let Some((id, process)) = running().find(|(id, process)| belongs(id) && process.applied < last) {
        return Some(format!("{id} is at {} of {last}: {:?}", process.applied, process.brain.status()));
    }
    let revision = world.ledger.revision();
    let watcher = world.watchers.iter().find(|watcher| watcher.cursor < revision);
    watcher.map(|watcher| format!("a watcher is at {} of {revision}", watcher.cursor))
}
