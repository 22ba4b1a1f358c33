//! Whether a container is ready and alive, as its probes say.

use std::time::Duration;

use api::{Timestamp, core_v1};

/// Which question a probe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Has it started? Until then the others wait.
    Startup,
    /// Must it be started again?
    Liveness,
    /// May it get traffic?
    Readiness,
}

impl ProbeKind {
    /// The word in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The probe of a container that answers the question.
    #[must_use]
    pub fn of(self, container: &core_v1::Container) -> Option<&core_v1::Probe> {
        match self {
            Self::Startup => container.startup_probe.as_deref(),
            Self::Liveness => container.liveness_probe.as_deref(),
            Self::Readiness => container.readiness_probe.as_deref(),
        }
    }
}

/// What a failed probe means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing changed.
    Same,
    /// The container became ready, or ceased to be.
    Turned,
    /// The container must be started again.
    Unhealthy,
}

/// The probes of one container.
#[derive(Debug)]
pub(crate) struct Probes {
    startup: Option<Probe>,
    liveness: Option<Probe>,
    readiness: Option<Probe>,
}

#[derive(Debug)]
struct Probe {
    delay: Duration,
    period: Duration,
    successes: u32,
    failures: u32,
    /// The count of equal answers in a row: positive successes, negative failures.
    streak: i64,
    good: bool,
    next: Option<Timestamp>,
    asked: bool,
}

impl Probe {
    fn new(spec: &core_v1::Probe) -> Self {
        let at_least_one =
            |value: i32, default: u32| u32::try_from(value).ok().filter(|value| *value > 0).unwrap_or(default);
        Self {
            delay: Duration::from_secs(u64::try_from(spec.initial_delay_seconds).unwrap_or(0)),
            period: Duration::from_secs(at_least_one(spec.period_seconds, 10).into()),
            successes: at_least_one(spec.success_threshold, 1),
            failures: at_least_one(spec.failure_threshold, 3),
            streak: 0,
            good: false,
            next: None,
            asked: false,
        }
    }

    fn restart(&mut self, good: bool) {
        (self.streak, self.good, self.next, self.asked) = (0, good, None, false);
    }

    /// Whether the threshold of failures was reached.
    fn bad(&self) -> bool {
        self.streak <= -i64::from(self.failures)
    }

    fn answer(&mut self, ok: bool, now: Timestamp) {
        self.asked = false;
        // A container that is not good yet is asked again soon: a start should not cost a whole period.
        let soon = Duration::from_millis(100).saturating_mul(1 << self.streak.unsigned_abs().min(10));
        self.next = Some(now.after(if self.good { self.period } else { soon.min(self.period) }));
        self.streak = match (ok, self.streak > 0) {
            (true, true) => self.streak + 1,
            (true, false) => 1,
            (false, true) => -1,
            (false, false) => self.streak - 1,
        };
        if self.streak >= i64::from(self.successes) {
            self.good = true;
            self.next = Some(now.after(self.period));
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
        }
    }

    pub(crate) fn restart(&mut self) {
        let all = [(&mut self.startup, false), (&mut self.liveness, true), (&mut self.readiness, false)];
        all.into_iter().for_each(|(probe, good)| probe.iter_mut().for_each(|probe| probe.restart(good)));
    }

    /// The container runs since now.
    pub(crate) fn began(&mut self, now: Timestamp) {
        for probe in [&mut self.startup, &mut self.liveness, &mut self.readiness].into_iter().flatten() {
            probe.next = Some(now.after(probe.delay));
        }
    }

    pub(crate) fn started(&self) -> bool {
        self.startup.as_ref().is_none_or(|probe| probe.good)
    }

    pub(crate) fn ready(&self) -> bool {
        self.started() && self.readiness.as_ref().is_none_or(|probe| probe.good)
    }

    /// Whether a probe demands that the container be started again.
    pub(crate) fn unhealthy(&self) -> bool {
        let bad = |probe: &Option<Probe>| probe.as_ref().is_some_and(Probe::bad);
        bad(&self.startup) && !self.started() || bad(&self.liveness)
    }

    /// The questions to ask now, and when to look again.
    pub(crate) fn due(&mut self, now: Timestamp) -> (Vec<ProbeKind>, Option<Timestamp>) {
        let started = self.started();
        let mut kinds = Vec::new();
        let mut again: Option<Timestamp> = None;
        let all = [
            (ProbeKind::Startup, &mut self.startup),
            (ProbeKind::Liveness, &mut self.liveness),
            (ProbeKind::Readiness, &mut self.readiness),
        ];
        for (kind, probe) in all {
            let Some(probe) = probe.as_mut().filter(|probe| !probe.asked && (kind == ProbeKind::Startup) != started)
            else {
                continue;
            };
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

    pub(crate) fn answered(&mut self, kind: ProbeKind, ok: bool, now: Timestamp) -> Verdict {
        let before = (self.ready(), self.unhealthy());
        let probe = match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        };
        if let Some(probe) = probe {
            probe.answer(ok, now);
        }
        match (before, (self.ready(), self.unhealthy())) {
            ((_, false), (_, true)) => Verdict::Unhealthy,
            ((was, _), (is, _)) if was != is => Verdict::Turned,
            _ => Verdict::Same,
        }
    }
}
