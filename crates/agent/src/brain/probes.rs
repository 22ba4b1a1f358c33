//! Whether a container is ready and alive, as its probes say.

use std::time::Duration;

use api::{Timestamp, core_v1};

use super::Shape;

/// Which question a probe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Has it started? Until then the others wait.
    Startup,
    /// Must it be started again?
    Liveness,
    /// May it get traffic?
    Readiness,
    /// Has a program that no probe asks about come so far that it will not fail at once?
    Settling,
}

impl ProbeKind {
    /// The word in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Settling => "Settling",
        }
    }

    /// The probe of a container that answers the question.
    #[must_use]
    pub fn of(self, container: &core_v1::Container) -> Option<&core_v1::Probe> {
        match self {
            Self::Startup => container.startup_probe.as_deref(),
            Self::Liveness => container.liveness_probe.as_deref(),
            Self::Readiness => container.readiness_probe.as_deref(),
            Self::Settling => None,
        }
    }
}

/// How long a program that no probe asks about must have run before it counts as ready: one that fails at its start has failed
/// by then, and a rollout of it is not reported as complete.
const SETTLES_AFTER: Duration = Duration::from_secs(1);

/// The pause before a container that is not good yet is asked again; doubles up to the probe's period.
const SOON: Duration = Duration::from_millis(100);

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It counts towards the probe's thresholds.
    pub(crate) counts: bool,
    /// From now on the container must be started again.
    pub(crate) unhealthy: bool,
}

/// The probes of one container.
#[derive(Debug)]
pub(crate) struct Probes {
    startup: Option<Probe>,
    liveness: Option<Probe>,
    readiness: Option<Probe>,
    settling: Option<Probe>,
}

#[derive(Debug)]
struct Probe {
    delay: Duration,
    period: Duration,
    successes: u32,
    failures: u32,
    /// What it grants a container that it wants to end, if that is not the Pod's own grace period.
    grace: Option<Duration>,
    /// The count of equal answers in a row: positive successes, negative failures.
    streak: i64,
    good: bool,
    next: Option<Timestamp>,
    asked: bool,
    /// When an answer counted last; at first, when the first question was due.
    counted: Timestamp,
    /// How often it was asked in vain since it was good, which makes the next question wait longer.
    vain: u32,
}

impl Probe {
    fn new(spec: &core_v1::Probe) -> Self {
        let at_least_one =
            |value: i32, default: u32| u32::try_from(value).ok().filter(|value| *value > 0).unwrap_or(default);
        let grace = spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            successes: at_least_one(spec.success_threshold, 1),
            failures: at_least_one(spec.failure_threshold, 3),
            grace: grace.map(Duration::from_secs),
            ..Self::every(
                Duration::from_secs(at_least_one(spec.period_seconds, 10).into()),
                Duration::from_secs(u64::try_from(spec.initial_delay_seconds).unwrap_or(0)),
            )
        }
    }

    fn every(period: Duration, delay: Duration) -> Self {
        Self {
            delay,
            period,
            successes: 1,
            failures: 1,
            grace: None,
            streak: 0,
            good: false,
            next: None,
            asked: false,
            counted: Timestamp(0),
            vain: 0,
        }
    }

    fn restart(&mut self, good: bool) {
        (self.streak, self.good, self.next, self.asked, self.vain) = (0, good, None, false, 0);
    }

    fn began(&mut self, now: Timestamp) {
        self.counted = now.after(self.delay);
        self.next = Some(self.counted);
    }

    /// Whether the threshold of failures was reached.
    fn bad(&self) -> bool {
        self.streak <= -i64::from(self.failures)
    }

    /// Takes an answer in. Says whether it counts.
    fn answer(&mut self, ok: bool, now: Timestamp) -> bool {
        self.asked = false;
        let whole_period = self.good || now >= self.counted.after(self.period);
        // A container that is not good yet is asked more often than once a period, so that a start does not cost a whole one.
        // Only one answer a period counts then, or the budget of failures would be spent long before its time; but the first
        // good answer always does.
        let counts = whole_period || ok && self.streak <= 0;
        if counts {
            self.count(ok, now);
        }
        self.vain = if ok { 0 } else { self.vain.saturating_add(1) };
        let soon = now.after(SOON.saturating_mul(1 << self.vain.saturating_sub(1).min(10)));
        let period = self.counted.after(self.period);
        self.next = Some(if self.good || ok { now.after(self.period) } else { soon.min(period) });
        counts
    }

    fn count(&mut self, ok: bool, now: Timestamp) {
        self.counted = now;
        self.streak = match (ok, self.streak > 0) {
            (true, true) => self.streak + 1,
            (true, false) => 1,
            (false, true) => -1,
            (false, false) => self.streak - 1,
        };
        if self.streak >= i64::from(self.successes) {
            self.good = true;
        } else if self.bad() {
            self.good = false;
        }
    }
}

impl Probes {
    pub(crate) fn new(container: &core_v1::Container) -> Self {
        let probe = |kind: ProbeKind| kind.of(container).map(Probe::new);
        Self {
            startup: probe(ProbeKind::Startup),
            liveness: probe(ProbeKind::Liveness),
            readiness: probe(ProbeKind::Readiness),
            settling: None,
        }
    }

    pub(crate) fn restart(&mut self) {
        let all = [(&mut self.startup, false), (&mut self.liveness, true), (&mut self.readiness, false)];
        all.into_iter().for_each(|(probe, good)| probe.iter_mut().for_each(|probe| probe.restart(good)));
        self.settling = None;
    }

    /// The container runs from now on.
    pub(crate) fn began(&mut self, shape: Shape, now: Timestamp) {
        let silent = self.startup.is_none() && self.readiness.is_none();
        self.settling = (silent && shape == Shape::Program).then(|| Probe::every(SETTLES_AFTER, SETTLES_AFTER));
        self.all().into_iter().for_each(|(_, probe)| probe.iter_mut().for_each(|probe| probe.began(now)));
    }

    fn all(&mut self) -> [(ProbeKind, &mut Option<Probe>); 4] {
        [
            (ProbeKind::Startup, &mut self.startup),
            (ProbeKind::Liveness, &mut self.liveness),
            (ProbeKind::Readiness, &mut self.readiness),
            (ProbeKind::Settling, &mut self.settling),
        ]
    }

    pub(crate) fn started(&self) -> bool {
        self.startup.as_ref().is_none_or(|probe| probe.good)
    }

    pub(crate) fn ready(&self) -> bool {
        let good = |probe: &Option<Probe>| probe.as_ref().is_none_or(|probe| probe.good);
        self.started() && good(&self.readiness) && good(&self.settling)
    }

    /// Whether a probe demands that the container be started again.
    pub(crate) fn unhealthy(&self) -> bool {
        let bad = |probe: &Option<Probe>| probe.as_ref().is_some_and(Probe::bad);
        bad(&self.startup) && !self.started() || bad(&self.liveness)
    }

    /// The probe that demands a new start, and what it grants the container to end, if it has its own word on it.
    pub(crate) fn verdict(&self) -> Option<(ProbeKind, Option<Duration>)> {
        let probes = [(ProbeKind::Startup, &self.startup), (ProbeKind::Liveness, &self.liveness)];
        let bad = |(kind, probe): (ProbeKind, &Option<Probe>)| {
            probe.as_ref().filter(|probe| probe.bad()).map(|probe| (kind, probe.grace))
        };
        probes.into_iter().find_map(bad)
    }

    /// The questions to ask now, and when to look again.
    pub(crate) fn due(&mut self, now: Timestamp) -> (Vec<ProbeKind>, Option<Timestamp>) {
        let started = self.started();
        let mut kinds = Vec::new();
        let mut again: Option<Timestamp> = None;
        for (kind, probe) in self.all() {
            let its_turn = |probe: &&mut Probe| {
                let settled = kind == ProbeKind::Settling && probe.good;
                !probe.asked && !settled && (kind == ProbeKind::Startup) != started
            };
            let Some(probe) = probe.as_mut().filter(its_turn) else { continue };
            match probe.next {
                Some(next) if next <= now => {
                    probe.asked = true;
                    kinds.push(kind);
                }
                Some(next) => again = Some(again.map_or(next, |again| again.min(next))),
                None => {}
            }
        }
        (kinds, again)
    }

    pub(crate) fn answered(&mut self, kind: ProbeKind, ok: bool, now: Timestamp) -> Heard {
        let before = self.unhealthy();
        let probe = self.all().into_iter().find_map(|(known, probe)| probe.as_mut().filter(|_| known == kind));
        let counts = probe.is_some_and(|probe| probe.answer(ok, now));
        Heard { counts, unhealthy: self.unhealthy() && !before }
    }
}
