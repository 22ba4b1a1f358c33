//! One container of a Pod: what it does, and when it may be started again.

use std::{sync::Arc, time::Duration};

use api::{Timestamp, core_v1, pod::RestartPolicy};

use super::{Failure, ProbeKind, Run, Uid, probes::Probes};

/// The pause before a container is started again after its first failure; doubles with each further one.
pub(crate) const BACK_OFF_FIRST: Duration = Duration::from_secs(10);

/// The longest pause between two runs.
pub(crate) const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// A run that lasts so long makes earlier failures forgotten.
const BACK_OFF_RESET: Duration = Duration::from_secs(600);

/// The pause before a start is tried again; doubles up to [`BACK_OFF_MAX`]. For an image it is [`BACK_OFF_FIRST`].
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Why a container waits that ended again and again.
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; 134 after a trap, 137 after an end by force.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`…
    pub reason: String,
    /// What people read; may be empty.
    pub message: String,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It was not its turn yet.
    Idle,
    /// It waits until a time, for a reason that users see.
    Waiting { until: Timestamp, reason: &'static str, message: String },
    /// Its image is being made ready.
    Preparing,
    /// It is being started.
    Starting,
    /// It runs.
    Running { since: Timestamp },
    /// It ended and stays so.
    Done { since: Timestamp, at: Timestamp, ended: Ended },
}

/// One container of a Pod.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) spec: Arc<core_v1::Container>,
    pub(crate) init: bool,
    pub(crate) step: Step,
    pub(crate) number: u32,
    pub(crate) restarts: i32,
    /// How its previous run ended: began, ended, how.
    pub(crate) last: Option<(Timestamp, Timestamp, Ended)>,
    /// The digest of its image, once known.
    pub(crate) image_id: String,
    pub(crate) probes: Probes,
    /// It was asked to end.
    pub(crate) stopping: bool,
    /// The start of this run was asked for.
    pub(crate) asked_to_start: bool,
    /// A probe demands a new run.
    pub(crate) must_restart: bool,
    /// The probe that failed last, until it was told.
    pub(crate) probe_failed: Option<(ProbeKind, String)>,
    /// The run and step that the users were told about.
    pub(crate) told: Option<(u32, &'static str)>,
    /// If the image cannot be had, it is tried again at once: it came meanwhile.
    at_once: bool,
    failures: u32,
    tries: u32,
}

impl Container {
    /// A container as the Pod's status left it. What ran when this node stopped runs no more.
    pub(crate) fn new(
        spec: Arc<core_v1::Container>,
        init: bool,
        known: Option<&core_v1::ContainerStatus>,
        policy: RestartPolicy,
        now: Timestamp,
    ) -> Self {
        let mut container = Self {
            probes: Probes::new(&spec),
            spec,
            init,
            step: Step::Idle,
            number: 0,
            restarts: known.map_or(0, |status| status.restart_count),
            last: None,
            image_id: String::new(),
            stopping: false,
            asked_to_start: false,
            must_restart: false,
            probe_failed: None,
            told: None,
            at_once: false,
            failures: 0,
            tries: 0,
        };
        if let Some(state) = known.and_then(|status| status.state.as_ref()) {
            container.resume(state, policy, now);
        }
        container
    }

    fn resume(&mut self, state: &core_v1::ContainerState, policy: RestartPolicy, now: Timestamp) {
        let time = |time: Option<&api::meta_v1::Time>| time.map_or(now, Timestamp::from);
        let (since, at, ended) = match (&state.running, &state.terminated) {
            (Some(running), _) => {
                let lost = Ended {
                    code: 137,
                    reason: "Error".to_owned(),
                    message: "the node stopped while it ran".to_owned(),
                };
                (time(running.started_at.as_ref()), now, lost)
            }
            (None, Some(ended)) => {
                let how = Ended { code: ended.exit_code, reason: ended.reason.clone(), message: ended.message.clone() };
                (time(ended.started_at.as_ref()), time(ended.finished_at.as_ref()), how)
            }
            (None, None) => return,
        };
        if again(policy, self.init, ended.code) {
            self.restarts += 1;
            self.last = Some((since, at, ended));
        } else {
            self.step = Step::Done { since, at, ended };
        }
    }

    pub(crate) fn run(&self, pod: &Uid) -> Run {
        Run { pod: pod.clone(), container: self.spec.name.as_str().into(), number: self.number }
    }

    /// Begins a new run.
    pub(crate) fn begin(&mut self) {
        self.number += 1;
        self.step = Step::Preparing;
        (self.stopping, self.asked_to_start, self.must_restart, self.at_once) = (false, false, false, false);
        self.probes.restart();
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.step, Step::Running { .. })
    }

    pub(crate) fn succeeded(&self) -> bool {
        matches!(&self.step, Step::Done { ended, .. } if ended.code == 0)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done { .. })
    }

    /// Something is going on that must end before the Pod can.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.step, Step::Starting | Step::Running { .. })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_running() && !self.stopping && self.probes.ready()
    }

    /// An image that was not there has come, so that there is nothing to wait for.
    pub(crate) fn again(&mut self, now: Timestamp) {
        match &mut self.step {
            Step::Waiting { until, reason, .. } if *reason != CRASH_LOOP => *until = now.min(*until),
            Step::Preparing => self.at_once = true,
            Step::Idle | Step::Waiting { .. } | Step::Starting | Step::Running { .. } | Step::Done { .. } => return,
        }
        self.tries = 0;
    }

    /// An image or a start that failed is tried again after a pause.
    pub(crate) fn failed(&mut self, failure: Failure, now: Timestamp) {
        let first = if failure.reason == "ErrImagePull" { BACK_OFF_FIRST } else { RETRY_FIRST };
        let pause = match std::mem::take(&mut self.at_once) {
            true => Duration::ZERO,
            false => first.saturating_mul(1 << self.tries.min(16)).min(BACK_OFF_MAX),
        };
        self.tries += 1;
        let Failure { reason, message } = failure;
        // The second failure in a row is told as a pause, as Kubernetes does for images.
        let reason = if reason == "ErrImagePull" && self.tries > 1 { "ImagePullBackOff" } else { reason };
        self.step = Step::Waiting { until: now.after(pause), reason, message };
    }

    pub(crate) fn started(&mut self, now: Timestamp) {
        self.tries = 0;
        self.step = Step::Running { since: now };
        self.probes.began(now);
    }

    /// A run ended. Answers the pause before the next one, if there is to be one.
    pub(crate) fn ended(&mut self, ended: Ended, policy: RestartPolicy, now: Timestamp) -> Option<Duration> {
        let since = if let Step::Running { since } = self.step { since } else { now };
        if !again(policy, self.init, if self.must_restart { 1 } else { ended.code }) {
            self.step = Step::Done { since, at: now, ended };
            return None;
        }
        if now.since(since) >= BACK_OFF_RESET {
            self.failures = 0;
        }
        // The first restart comes at once, each further one after a pause that doubles.
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => BACK_OFF_FIRST.saturating_mul(1 << (n - 1).min(16)).min(BACK_OFF_MAX),
        };
        self.failures += 1;
        self.restarts += 1;
        let message = format!("back-off {}s restarting failed container={}", pause.as_secs(), self.spec.name);
        self.step = if pause.is_zero() {
            Step::Idle
        } else {
            Step::Waiting { until: now.after(pause), reason: CRASH_LOOP, message }
        };
        self.last = Some((since, now, ended));
        Some(pause)
    }
}

/// Whether a container that ended with a code is started again.
fn again(policy: RestartPolicy, init: bool, code: i32) -> bool {
    match policy {
        RestartPolicy::Always => !(init && code == 0),
        RestartPolicy::OnFailure => code != 0,
        RestartPolicy::Never => false,
    }
}
