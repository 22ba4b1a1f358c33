//! Stories about Pods on a node: each line is what happened, and what the brain wants done.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::Ipv4Addr, sync::Arc};

use api::{
    Change, ChangeType, Kind, Object, Revision, Timestamp,
    core_v1::{ContainerStatus, Pod},
    json::{self, Strictness},
    kinds::core::pod::summary,
};
use serde_json::{Value, json};

use super::{Brain, Effect, Ended, Event, Failure, ProbeKind, Run, Shape};

/// A node under test: it says what it wants in words, and its wishes are granted on demand.
struct Node {
    brain: Brain,
    now: Timestamp,
    /// What the cluster has.
    pod: Pod,
    told: Vec<String>,
    runs: Vec<Run>,
}

fn pod(spec: Value) -> Pod {
    let value = json!({"metadata": {"name": "web", "namespace": "default", "uid": "u1"}, "spec": spec});
    let mut object = json::decode(Kind::Pod, &value, Strictness::Strict).unwrap().object;
    api::defaults::apply(&mut object);
    object.get::<Pod>().unwrap().clone()
}

fn one(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "hello:v1"});
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"containers": [container]})
}

impl Node {
    fn with(pod: Pod) -> Self {
        let mut node = Self {
            brain: Brain::new(Ipv4Addr::LOCALHOST),
            now: Timestamp(1_000_000),
            pod,
            told: Vec::new(),
            runs: Vec::new(),
        };
        node.happens(Event::Range("127.64.0.0/18".into()));
        node.shows();
        node
    }

    fn shows(&mut self) {
        let object = Arc::new(Object::from(self.pod.clone()));
        let change = Change { change: ChangeType::Modified, object, revision: Revision(1) };
        self.happens(Event::Pods(vec![change]));
    }

    fn happens(&mut self, event: Event) {
        for effect in self.brain.handle(event, self.now) {
            self.takes(effect);
        }
    }

    fn takes(&mut self, effect: Effect) {
        let say = |run: &Run, what: &str| format!("{what} {}#{}", run.container, run.number);
        let line = match &effect {
            Effect::Prepare(run, _) => say(run, "prepare"),
            Effect::Start(run, _, address) => format!("{} on {address}", say(run, "start")),
            Effect::Stop(run, grace) => format!("{} within {}s", say(run, "stop"), grace.as_secs()),
            Effect::Probe(run, kind, ..) => say(run, kind.word()),
            Effect::Drain(..) => "drain".into(),
            Effect::Clean(_) => "clean".into(),
            Effect::Remove(key, _) => format!("remove {key}"),
            Effect::Tell(_, note) => format!("tell {}: {}", note.reason, note.message),
            Effect::Report(pod) => {
                self.pod.status = pod.status.clone();
                format!("report {}", summary(&self.pod).status)
            }
            Effect::WakeAt(_) => return,
        };
        if let Effect::Prepare(run, _) = effect {
            self.runs.push(run);
        }
        self.told.push(line);
    }

    fn run(&self) -> Run {
        self.runs.last().unwrap().clone()
    }

    fn waits_ms(&mut self, milliseconds: i64) {
        self.now.0 += milliseconds;
        self.happens(Event::Woken);
    }

    fn status(&self) -> ContainerStatus {
        self.pod.status.as_ref().unwrap().container_statuses[0].clone()
    }

    fn runs_now(&mut self) {
        self.happens(Event::Prepared(self.run(), "sha256:1".into()));
        self.happens(Event::Started(self.run(), Shape::Handler));
    }

    fn ends(&mut self, code: i32, reason: &str) {
        self.happens(Event::Ended(self.run(), Ended { code, reason: reason.into(), message: String::new() }));
    }

    fn waits(&mut self, seconds: i64) {
        self.now.0 += seconds * 1000;
        self.happens(Event::Woken);
    }

    fn deletes(&mut self, grace: i64) {
        let meta = self.pod.metadata.as_mut().unwrap();
        meta.deletion_timestamp = Some(self.now.into());
        meta.deletion_grace_period_seconds = Some(grace);
        self.shows();
    }

    #[track_caller]
    fn told(&mut self, wanted: &[&str]) {
        assert_eq!(self.told.drain(..).collect::<Vec<_>>(), wanted);
    }

    fn forget(&mut self) {
        self.told.clear();
    }
}

#[test]
fn a_pod_is_prepared_started_and_reported_ready() {
    let mut node = Node::with(pod(one(json!({}))));
    node.told(&["prepare c#1", "report ContainerCreating"]);
    node.happens(Event::Prepared(node.run(), "sha256:1".into()));
    node.told(&["start c#1 on 127.64.0.1", "tell Pulled: Image \"hello:v1\" is ready (sha256:1)"]);
    node.happens(Event::Started(node.run(), Shape::Handler));
    node.told(&["tell Started: Started container c", "report Running"]);
    assert!(api::pod::is_ready(&node.pod));
    node.shows();
    node.told(&[]);
}

#[test]
fn a_container_that_keeps_failing_is_started_ever_more_slowly() {
    let mut node = Node::with(pod(one(json!({}))));
    node.runs_now();
    node.forget();
    node.ends(1, "Error");
    node.told(&["prepare c#2", "report ContainerCreating"]);
    node.runs_now();
    node.forget();
    node.ends(1, "Error");
    node.told(&["tell BackOff: back-off 10s restarting failed container=c", "report CrashLoopBackOff"]);
    node.waits(9);
    node.told(&[]);
    node.waits(1);
    node.told(&["prepare c#3", "report ContainerCreating"]);
    node.runs_now();
    node.ends(1, "Error");
    node.forget();
    node.waits(19);
    node.told(&[]);
    node.waits(1);
    node.told(&["prepare c#4", "report ContainerCreating"]);
    assert_eq!(node.pod.status.as_ref().unwrap().container_statuses[0].restart_count, 2);
    node.runs_now();
    assert_eq!(node.pod.status.as_ref().unwrap().container_statuses[0].restart_count, 3);
}

#[test]
fn the_restart_policy_decides_how_a_pod_ends() {
    let ends = |policy: &str, code: i32| {
        let mut spec = one(json!({}));
        spec["restartPolicy"] = json!(policy);
        let mut node = Node::with(pod(spec));
        node.runs_now();
        node.ends(code, if code == 0 { "Completed" } else { "Error" });
        node.pod.status.unwrap().phase
    };
    assert_eq!(ends("Never", 0), "Succeeded");
    assert_eq!(ends("Never", 134), "Failed");
    assert_eq!(ends("OnFailure", 0), "Succeeded");
    assert_eq!(ends("OnFailure", 1), "Running");
    assert_eq!(ends("Always", 0), "Running");
}

#[test]
fn a_deleted_pod_is_drained_before_it_is_stopped_and_removed_last() {
    let mut node = Node::with(pod(one(json!({}))));
    node.runs_now();
    node.forget();
    node.deletes(30);
    node.told(&["drain", "report Terminating"]);
    assert!(!api::pod::is_ready(&node.pod), "endpoints must let go of it");
    node.happens(Event::Drained("u1".into()));
    node.told(&["stop c#1 within 30s", "tell Killing: Stopping container c"]);
    node.ends(0, "Completed");
    node.told(&["clean", "remove Pod default/web"]);
    node.happens(Event::Cleaned("u1".into()));
    assert_eq!(node.brain.pods(), 0);
}

#[test]
fn a_proxy_that_never_lets_go_delays_the_end_by_half_the_grace_period() {
    let mut node = Node::with(pod(one(json!({}))));
    node.runs_now();
    node.deletes(10);
    node.forget();
    node.waits(4);
    node.told(&[]);
    node.waits(1);
    node.told(&["stop c#1 within 10s", "tell Killing: Stopping container c"]);
}

#[test]
fn an_image_that_cannot_be_had_is_tried_again_and_told() {
    let mut node = Node::with(pod(one(json!({}))));
    let failure = || Failure { reason: "ErrImagePull", message: "no such image".into() };
    node.forget();
    node.happens(Event::NotPrepared(node.run(), failure()));
    node.told(&["tell Failed: no such image", "report ErrImagePull"]);
    node.waits(10);
    node.told(&["prepare c#2", "report ContainerCreating"]);
    node.happens(Event::NotPrepared(node.run(), failure()));
    node.told(&["tell Failed: no such image", "report ImagePullBackOff"]);
}

#[test]
fn init_containers_run_one_after_the_other_first() {
    let spec = json!({"initContainers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}], "containers": [{"name": "c", "image": "x"}]});
    let mut node = Node::with(pod(spec));
    node.told(&["prepare a#1", "report Init:0/2"]);
    node.runs_now();
    node.forget();
    node.ends(0, "Completed");
    node.told(&["prepare b#1", "report Init:1/2"]);
    node.runs_now();
    node.forget();
    node.ends(0, "Completed");
    node.told(&["prepare c#1", "report PodInitializing"]);
}

#[test]
fn probes_decide_about_traffic_and_restarts() {
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5, "failureThreshold": 2});
    let mut node = Node::with(pod(one(json!({"readinessProbe": probe, "livenessProbe": probe}))));
    node.happens(Event::Prepared(node.run(), "sha256:1".into()));
    node.forget();
    node.happens(Event::Started(node.run(), Shape::Handler));
    node.told(&["Liveness c#1", "Readiness c#1", "tell Started: Started container c", "report Running"]);
    assert!(!api::pod::is_ready(&node.pod));
    node.happens(Event::Probed(node.run(), ProbeKind::Readiness, Ok(())));
    assert!(api::pod::is_ready(&node.pod));

    node.forget();
    node.happens(Event::Probed(node.run(), ProbeKind::Liveness, Err("500".into())));
    node.told(&["tell Unhealthy: Liveness probe failed: 500"]);
    node.waits(5);
    node.forget();
    node.happens(Event::Probed(node.run(), ProbeKind::Liveness, Err("500".into())));
    assert_eq!(node.told.remove(0), "stop c#1 within 30s");
    assert_eq!(node.told.remove(0), "tell Killing: Container c failed liveness probe, will be restarted");
    node.forget();
    node.ends(137, "Error");
    node.told(&["prepare c#2", "report ContainerCreating"]);
}

#[test]
fn after_a_restart_of_the_node_pods_run_again_under_their_addresses() {
    let mut before = Node::with(pod(one(json!({}))));
    before.runs_now();
    let mut node = Node::with(before.pod);
    assert_eq!(node.told.remove(0), "prepare c#2", "no two runs have the same id");
    node.forget();
    node.happens(Event::Prepared(node.run(), "sha256:1".into()));
    assert_eq!(node.told.remove(0), "start c#2 on 127.64.0.1");
    node.happens(Event::Started(node.run(), Shape::Handler));
    let status = &node.pod.status.as_ref().unwrap().container_statuses[0];
    assert_eq!(status.restart_count, 1);
    assert!(status.last_state.as_ref().unwrap().terminated.is_some());
}

#[test]
fn a_pod_that_vanishes_is_ended_at_once_and_nothing_is_reported() {
    let mut node = Node::with(pod(one(json!({}))));
    node.runs_now();
    node.forget();
    node.happens(Event::AllPods(Vec::new()));
    node.told(&["drain", "stop c#1 within 0s", "tell Killing: Stopping container c"]);
    node.ends(137, "Error");
    node.told(&["clean"]);
}

#[test]
fn a_deadline_fails_the_pod() {
    let mut spec = one(json!({}));
    spec["activeDeadlineSeconds"] = json!(5);
    let mut node = Node::with(pod(spec));
    node.runs_now();
    node.waits(5);
    node.happens(Event::Drained("u1".into()));
    node.ends(137, "Error");
    let status = node.pod.status.as_ref().unwrap();
    assert_eq!((status.phase.as_str(), status.reason.as_str()), ("Failed", "DeadlineExceeded"));
}

#[test]
fn answers_about_an_older_run_are_ignored() {
    let mut node = Node::with(pod(one(json!({}))));
    let old = node.run();
    node.runs_now();
    node.ends(1, "Error");
    node.forget();
    node.happens(Event::Ended(old, Ended { code: 0, reason: "Completed".into(), message: String::new() }));
    node.told(&[]);
}

#[test]
fn a_startup_probe_grants_its_whole_budget_of_time() {
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 30});
    let mut node = Node::with(pod(one(json!({"startupProbe": probe}))));
    node.runs_now();
    let began = node.now;
    let mut asked = 0;
    while !node.told.iter().any(|line| line.starts_with("stop")) {
        node.told.retain(|line| line == "Startup c#1");
        asked += node.told.len();
        for _ in node.told.drain(..).collect::<Vec<_>>() {
            node.happens(Event::Probed(node.run(), ProbeKind::Startup, Err("not yet".into())));
        }
        node.waits_ms(50);
    }
    assert_eq!(node.now.since(began).as_secs(), 30);
    assert!((31..40).contains(&asked), "the first second is asked more often: {asked}");
}

#[test]
fn a_container_that_starts_late_is_seen_soon_and_never_restarted() {
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 10, "failureThreshold": 3});
    let mut node = Node::with(pod(one(json!({"startupProbe": probe}))));
    node.runs_now();
    for pause in [0, 100, 200, 400, 800] {
        node.waits_ms(pause);
        assert!(node.told.contains(&"Startup c#1".to_owned()), "after {pause} ms");
        node.forget();
        node.happens(Event::Probed(node.run(), ProbeKind::Startup, Err("not yet".into())));
    }
    node.waits_ms(1_600);
    node.happens(Event::Probed(node.run(), ProbeKind::Startup, Ok(())));
    assert!(api::pod::is_ready(&node.pod));
    assert_eq!(node.status().started, Some(true));
}

#[test]
fn successes_count_once_a_period() {
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5, "successThreshold": 2});
    let mut node = Node::with(pod(one(json!({"readinessProbe": probe}))));
    node.runs_now();
    node.happens(Event::Probed(node.run(), ProbeKind::Readiness, Ok(())));
    node.forget();
    node.waits(4);
    node.told(&[]);
    node.waits(1);
    node.told(&["Readiness c#1"]);
    assert!(!api::pod::is_ready(&node.pod));
    node.happens(Event::Probed(node.run(), ProbeKind::Readiness, Ok(())));
    assert!(api::pod::is_ready(&node.pod));
}

#[test]
fn a_probe_may_have_a_grace_period_of_its_own() {
    let probe = json!({"tcpSocket": {"port": 80}, "failureThreshold": 1, "terminationGracePeriodSeconds": 7});
    let mut node = Node::with(pod(one(json!({"livenessProbe": probe}))));
    node.runs_now();
    node.forget();
    node.happens(Event::Probed(node.run(), ProbeKind::Liveness, Err("refused".into())));
    assert_eq!(node.told.remove(0), "stop c#1 within 7s");
}

#[test]
fn a_program_without_probes_is_ready_once_it_has_not_failed_at_its_start() {
    let mut node = Node::with(pod(one(json!({}))));
    let starts = |node: &mut Node| {
        node.happens(Event::Prepared(node.run(), "sha256:1".into()));
        node.happens(Event::Started(node.run(), Shape::Program));
        node.forget();
    };
    starts(&mut node);
    assert!(!api::pod::is_ready(&node.pod));
    node.ends(134, "Error");
    assert!(!api::pod::is_ready(&node.pod), "what fails at its start is never ready");

    starts(&mut node);
    node.waits_ms(999);
    node.told(&[]);
    node.waits_ms(1);
    node.told(&["Settling c#2"]);
    node.happens(Event::Probed(node.run(), ProbeKind::Settling, Err("not yet".into())));
    node.told(&[]);
    node.waits_ms(100);
    node.told(&["Settling c#2"]);
    node.happens(Event::Probed(node.run(), ProbeKind::Settling, Ok(())));
    assert!(api::pod::is_ready(&node.pod));
    node.forget();
    node.waits(3600);
    node.told(&[]);
}

#[test]
fn restarts_are_counted_when_they_happen() {
    let mut node = Node::with(pod(one(json!({}))));
    for restarts in 0..3 {
        node.runs_now();
        assert_eq!(node.status().restart_count, restarts);
        node.ends(1, "Error");
        assert_eq!(node.status().restart_count, restarts, "what waits to be started again was not yet");
        node.waits(300);
    }
    // The node forgets in the middle of a pause what it had counted, and reads it off the status.
    let mut node = Node::with(node.pod);
    node.runs_now();
    assert_eq!(node.status().restart_count, 3);
    assert!(node.status().last_state.unwrap().terminated.unwrap().container_id.ends_with("/c/3"));
}

#[test]
fn requests_that_run_out_of_memory_show_in_the_status() {
    let mut node = Node::with(pod(one(json!({}))));
    node.runs_now();
    node.forget();
    let ended = Ended { code: 137, reason: "OOMKilled".into(), message: "needed more than its memory limit".into() };
    node.happens(Event::InstancesEnded(node.run(), ended));
    node.told(&["tell OOMKilled: Container c: needed more than its memory limit", "report Running"]);
    let status = node.status();
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.reason.as_str(), last.exit_code, status.restart_count), ("OOMKilled", 137, 1));
    assert_eq!(last.container_id, status.container_id, "the log is still the same");
    assert!(api::pod::is_ready(&node.pod), "it goes on serving");
}
