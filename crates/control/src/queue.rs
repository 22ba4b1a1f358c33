//! What has to be looked at: each task once, however often it was asked for, and not before its time. Those of a higher rank come
//! first, those of the same rank in the order in which they were asked for.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use api::{Key, Timestamp};

use crate::controller::Controller;

/// One object in the eyes of one controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Task {
    pub(crate) controller: Controller,
    pub(crate) key: Key,
}

/// How long a task waits after its first refused write. Doubles with each further one.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);

/// The longest that a task waits after refused writes: a user who mends the cause should not wait much longer than this.
const BACK_OFF_MAX: Duration = Duration::from_secs(8);

/// The most doublings, so that the shift cannot overflow; the maximum is reached before.
const DOUBLINGS_MAX: u32 = 16;

/// A work queue. A task that failed waits out its back-off, whatever happens meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Those without a rank, as nearly all are.
    ready: VecDeque<Task>,
    /// Those with one, by it and by the order in which they came.
    ranked: BTreeMap<(Reverse<i32>, u64), Task>,
    came: u64,
    queued: HashSet<Task>,
    later: BTreeSet<(Timestamp, Task)>,
    /// The entry of each task in `later`.
    due: HashMap<Task, Timestamp>,
    failed: HashMap<Task, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    until: Timestamp,
}

impl Queue {
    /// Asks for a look now. A task keeps the rank with which it was asked for first.
    pub(crate) fn push(&mut self, task: Task, rank: i32, now: Timestamp) {
        if self.rests(&task, now) || !self.queued.insert(task.clone()) {
            return;
        }
        if rank == 0 {
            return self.ready.push_back(task);
        }
        self.came += 1;
        self.ranked.insert((Reverse(rank), self.came), task);
    }

    /// Asks for a look at a time; the earliest that was asked for counts.
    pub(crate) fn push_at(&mut self, task: Task, at: Timestamp) {
        match self.due.get(&task) {
            Some(due) if *due <= at => return,
            Some(due) => _ = self.later.remove(&(*due, task.clone())),
            None => {}
        }
        self.due.insert(task.clone(), at);
        self.later.insert((at, task));
    }

    /// Remembers a refused write: the task rests, longer each time.
    pub(crate) fn fail(&mut self, task: &Task, now: Timestamp) {
        let failures = self.failed.entry(task.clone()).or_insert(Failures { count: 0, until: now });
        // Several writes of one look may be refused together; they count as one failure.
        if failures.count == 0 || failures.until <= now {
            let wait = BACK_OFF_MIN.saturating_mul(1 << failures.count.min(DOUBLINGS_MAX)).min(BACK_OFF_MAX);
            failures.count += 1;
            failures.until = now.after(wait);
        }
        let until = failures.until;
        self.push_at(task.clone(), until);
    }

    /// Whether the task's last writes were refused.
    pub(crate) fn has_failed(&self, task: &Task) -> bool {
        self.failed.contains_key(task)
    }

    /// Forgets refused writes: the task's writes go through again.
    pub(crate) fn succeed(&mut self, task: &Task) {
        self.failed.remove(task);
    }

    /// The next task whose time has come. What it was to look at later is forgotten: it will say so again.
    pub(crate) fn pop(&mut self, now: Timestamp, rank: impl Fn(&Task) -> i32) -> Option<Task> {
        while let Some((_, task)) = self.later.first().filter(|(at, _)| *at <= now).cloned() {
            self.forget_due(&task);
            let rank = rank(&task);
            self.push(task, rank, now);
        }
        while let Some(task) = self.first() {
            self.queued.remove(&task);
            // It may have failed after it was asked for; its time is noted.
            if !self.rests(&task, now) {
                self.forget_due(&task);
                return Some(task);
            }
        }
        None
    }

    fn first(&mut self) -> Option<Task> {
        let is_urgent = self.ranked.first_key_value().is_some_and(|((Reverse(rank), _), _)| *rank > 0);
        if !is_urgent && let Some(task) = self.ready.pop_front() {
            return Some(task);
        }
        self.ranked.pop_first().map(|(_, task)| task)
    }

    /// Gives back the memory of a burst that is over.
    pub(crate) fn shrink(&mut self) {
        self.ready.shrink_to_fit();
        self.queued.shrink_to_fit();
        self.due.shrink_to_fit();
        self.failed.shrink_to_fit();
    }

    /// When the next task is due, if none is ready.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    fn rests(&self, task: &Task, now: Timestamp) -> bool {
        self.failed.get(task).is_some_and(|failures| failures.until > now)
    }

    fn forget_due(&mut self, task: &Task) {
        if let Some(at) = self.due.remove(task) {
            self.later.remove(&(at, task.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{Key, Kind, Timestamp};

    use super::{BACK_OFF_MAX, Queue, Task};
    use crate::controller::Controller;

    fn task(name: &str) -> Task {
        Task { controller: Controller::Deployment, key: Key::namespaced(Kind::Deployment, "default", name) }
    }

    #[test]
    fn a_task_is_looked_at_once_however_often_it_was_asked_for() {
        let mut queue = Queue::default();
        for name in ["a", "b", "a"] {
            queue.push(task(name), 0, Timestamp(0));
        }
        queue.push_at(task("a"), Timestamp(0));
        let popped: Vec<Task> = std::iter::from_fn(|| queue.pop(Timestamp(0), |_| 0)).collect();
        assert_eq!(popped, [task("a"), task("b")]);
    }

    #[test]
    fn the_earliest_time_counts() {
        let mut queue = Queue::default();
        queue.push_at(task("a"), Timestamp(500));
        queue.push_at(task("a"), Timestamp(300));
        queue.push_at(task("a"), Timestamp(400));
        assert_eq!(queue.next_due(), Some(Timestamp(300)));
        assert_eq!(queue.pop(Timestamp(299), |_| 0), None);
        assert_eq!(queue.pop(Timestamp(300), |_| 0), Some(task("a")));
        assert_eq!((queue.pop(Timestamp(500), |_| 0), queue.next_due()), (None, None));
    }

    #[test]
    fn a_task_that_fails_again_and_again_rests_longer_each_time_but_never_too_long() {
        let mut queue = Queue::default();
        let mut now = Timestamp(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            queue.fail(&task("a"), now);
            queue.push(task("a"), 0, now);
            assert_eq!(queue.pop(now, |_| 0), None, "whatever happens meanwhile, it rests");
            let due = queue.next_due().unwrap_or_default();
            waits.push(due.since(now));
            now = due;
            assert_eq!(queue.pop(now, |_| 0), Some(task("a")));
        }
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[0] < waits[5]);
        assert_eq!(waits.last(), Some(&BACK_OFF_MAX));
        queue.succeed(&task("a"));
        queue.push(task("a"), 0, now);
        assert_eq!(queue.pop(now, |_| 0), Some(task("a")));
    }

    #[test]
    fn of_those_that_wait_the_highest_rank_comes_first() {
        let mut queue = Queue::default();
        for (name, rank) in [("a", 0), ("low", -5), ("b", 10), ("top", 2_000), ("c", 10), ("d", 0)] {
            queue.push(task(name), rank, Timestamp(0));
        }
        queue.push_at(task("due"), Timestamp(0));
        let rank = |task: &Task| if &*task.key.name == "due" { 11 } else { 0 };
        let popped: Vec<String> =
            std::iter::from_fn(|| queue.pop(Timestamp(0), rank)).map(|task| task.key.name.to_string()).collect();
        assert_eq!(popped, ["top", "due", "b", "c", "a", "d", "low"]);
    }
}
