//! One container of a Pod: what it does, and when it may be started again.

use std::{sync::Arc, time::Duration};

use api::{Timestamp, core_v1, pod::RestartPolicy};

use super::{Failure, ProbeKind, Run, Shape, Uid, probes::Probes};

/// The pause before a container is started again after its first failure; doubles with each further one.
pub(crate) const BACK_OFF_FIRST: Duration = Duration::from_secs(10);

/// The longest pause between two runs.
pub(crate) const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// After a run that lasted so long, earlier failures no longer count.
const BACK_OFF_RESET: Duration = Duration::from_secs(600);

/// The pause before a start is tried again; doubles up to [`BACK_OFF_MAX`]. For an image it is [`BACK_OFF_FIRST`].
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Why a container waits that ended again and again.
pub(crate) const CRASH_LOOP: &str = "CrashLoopBackOff";

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

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// The number of the run.
    pub(crate) number: u32,
    pub(crate) since: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) ended: Ended,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its turn has not come.
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
    Done(Past),
}

/// One container of a Pod.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) spec: Arc<core_v1::Container>,
    pub(crate) init: bool,
    pub(crate) step: Step,
    pub(crate) number: u32,
    /// How often it was started again; a start that is still waited for does not count yet.
    pub(crate) restarts: i32,
    /// How its previous run ended.
    pub(crate) last: Option<Past>,
    /// What names its image, and by what it can be pulled again, once known.
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
    /// The image came while it was asked for: if this try fails, the next one is made at once.
    at_once: bool,
    /// What happened to its instances, until it was told.
    pub(crate) lost: Option<Ended>,
    /// The next start is one after an end, and counts as a restart.
    again: bool,
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
            restarts: 0,
            last: None,
            image_id: String::new(),
            stopping: false,
            asked_to_start: false,
            must_restart: false,
            probe_failed: None,
            told: None,
            at_once: false,
            lost: None,
            again: false,
            failures: 0,
            tries: 0,
        };
        if let Some(status) = known {
            container.resume(status, policy, now);
        }
        container
    }

    fn resume(&mut self, status: &core_v1::ContainerStatus, policy: RestartPolicy, now: Timestamp) {
        let terminated = |state: Option<&core_v1::ContainerState>| state.and_then(|state| state.terminated.clone());
        let state = status.state.as_deref();
        self.restarts = status.restart_count;
        self.image_id.clone_from(&status.image_id);
        self.last = terminated(status.last_state.as_deref()).map(|ended| past(&ended, now));
        // Numbers go on, so that no run ever has the id or the log of another.
        self.number = number(&status.container_id).max(self.last.as_ref().map_or(0, |past| past.number));
        let over = match (state.and_then(|state| state.running.as_ref()), terminated(state)) {
            (Some(running), _) => lost_with_the_node(self.number, running, now),
            (None, Some(ended)) => past(&ended, now),
            // It waited, either for its first run or to be started again.
            (None, None) => {
                self.again = self.last.is_some();
                return;
            }
        };
        if again(policy, self.init, over.ended.code) {
            self.again = true;
            self.last = Some(over);
        } else {
            self.step = Step::Done(over);
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
        matches!(&self.step, Step::Done(past) if past.ended.code == 0)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done(_))
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
            Step::Idle | Step::Waiting { .. } | Step::Starting | Step::Running { .. } | Step::Done(_) => return,
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

    pub(crate) fn started(&mut self, shape: Shape, now: Timestamp) {
        self.tries = 0;
        self.restarts += i32::from(std::mem::take(&mut self.again));
        self.step = Step::Running { since: now };
        self.probes.began(shape, now);
    }

    /// Instances ended while the container goes on. Users see what they would see if it had been one process: an end with a
    /// reason, and a new start.
    pub(crate) fn instances_ended(&mut self, ended: Ended, now: Timestamp) {
        let Step::Running { since } = self.step else { return };
        self.restarts += 1;
        self.lost = Some(ended.clone());
        self.last = Some(Past { number: self.number, since, at: now, ended });
    }

    /// A run ended. Returns the pause before the next one, if there is to be one.
    pub(crate) fn ended(&mut self, ended: Ended, policy: RestartPolicy, now: Timestamp) -> Option<Duration> {
        let since = if let Step::Running { since } = self.step { since } else { now };
        let over = Past { number: self.number, since, at: now, ended };
        if !again(policy, self.init, if self.must_restart { 1 } else { over.ended.code }) {
            self.step = Step::Done(over);
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
        self.again = true;
        let message = format!("back-off {}s restarting failed container={}", pause.as_secs(), self.spec.name);
        self.step = if pause.is_zero() {
            Step::Idle
        } else {
            Step::Waiting { until: now.after(pause), reason: CRASH_LOOP, message }
        };
        self.last = Some(over);
        Some(pause)
    }
}

fn past(ended: &core_v1::ContainerStateTerminated, now: Timestamp) -> Past {
    let time = |time: Option<&api::meta_v1::Time>| time.map_or(now, Timestamp::from);
    let how = Ended { code: ended.exit_code, reason: ended.reason.clone(), message: ended.message.clone() };
    Past {
        number: number(&ended.container_id),
        since: time(ended.started_at.as_ref()),
        at: time(ended.finished_at.as_ref()),
        ended: how,
    }
}

/// What ran when this node stopped runs no more.
fn lost_with_the_node(number: u32, running: &core_v1::ContainerStateRunning, now: Timestamp) -> Past {
    let message = "the node stopped while it ran".to_owned();
    let ended = Ended { code: 137, reason: "Error".to_owned(), message };
    Past { number, since: running.started_at.as_ref().map_or(now, Timestamp::from), at: now, ended }
}

/// The number of the run that an id names; 0 if it names none.
fn number(id: &str) -> u32 {
    id.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether a container that ended with a code is started again.
fn again(policy: RestartPolicy, init: bool, code: i32) -> bool {
    match policy {
        RestartPolicy::Always => !(init && code == 0),
        RestartPolicy::OnFailure => code != 0,
        RestartPolicy::Never => false,
    }
}
