//! Rollouts, step by step: what a Deployment does about its ReplicaSets, and what it reports.

use api::{
    Kind, Object, Subresource, Timestamp, Write,
    apps_v1::{Deployment, ReplicaSet, ReplicaSetStatus},
    conditions,
    core_v1::Pod,
    kinds::Resource,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    plan::Plan,
    testing::{NOW, PodTold, Told, deployment, key, plan, pod, world},
};

fn look(objects: impl IntoIterator<Item = Object>) -> Plan {
    plan(&world(objects), Controller::Deployment, &key(Kind::Deployment, "web"))
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&look(objects).to_string());
}

/// The set that a Deployment makes for its template, at another size and with so many available Pods.
fn set(of: &Deployment, wanted: i32, available: i32) -> ReplicaSet {
    let created = look([of.object()]).steps.into_iter().find_map(|step| match step.write {
        Write::Create(Object::ReplicaSet(set)) => Some(set),
        _ => None,
    });
    let mut set = created.expect("a Deployment without sets makes one");
    let meta = set.metadata_mut();
    meta.uid.clone_from(&meta.name);
    meta.generation = 1;
    meta.creation_timestamp = Some(Timestamp(NOW.0 - 60_000).into());
    set.spec.as_mut().expect("it has a spec").replicas = Some(wanted);
    let status = ReplicaSetStatus {
        replicas: wanted,
        ready_replicas: available,
        available_replicas: available,
        observed_generation: 1,
        ..ReplicaSetStatus::default()
    };
    ReplicaSet { status: Some(status), ..*set }
}

fn revision(mut set: ReplicaSet, number: u32) -> ReplicaSet {
    set.metadata_mut().annotations.insert("deployment.kubernetes.io/revision".into(), number.to_string());
    set
}

#[test]
fn the_first_template_gets_a_set() {
    check(
        [deployment("web", 3, "hello:1").object()],
        expect![[r#"
        create ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled up replica set web-4cs494h from 0 to 3
        status Deployment default/web
    "#]],
    );
}

#[test]
fn the_next_template_grows_by_the_surge_and_the_old_one_waits_for_it() {
    let (old, new) = (deployment("web", 3, "hello:1"), deployment("web", 3, "hello:2"));
    let first = set(&old, 3, 3);
    check(
        [new.object(), first.object()],
        expect![[r#"
        create ReplicaSet default/web-slgjrrk, then say Normal ScalingReplicaSet: Scaled up replica set web-slgjrrk from 0 to 1
        status Deployment default/web
    "#]],
    );
    let second = revision(set(&new, 1, 0), 2);
    check(
        [new.object(), first.object(), second.object()],
        expect![[r#"
        status Deployment default/web
        again at 1000600000ms
    "#]],
    );
    let second = revision(set(&new, 1, 1), 2);
    check(
        [new.object(), first.object(), second.object()],
        expect![[r#"
        update ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled down replica set web-4cs494h from 3 to 2
        status Deployment default/web
        again at 1000600000ms
    "#]],
    );
}

#[test]
fn going_back_makes_the_old_set_the_newest() {
    let (old, new) = (deployment("web", 3, "hello:1"), deployment("web", 3, "hello:2"));
    let (first, second) = (set(&old, 0, 0), revision(set(&new, 3, 3), 2));
    let plan = look([old.object(), first.object(), second.object()]);
    let edited = plan.steps.iter().find_map(|step| match &step.write {
        Write::Update(Object::ReplicaSet(set), Subresource::None) if set.name() == first.name() => set.metadata.clone(),
        _ => None,
    });
    let annotations = edited.expect("the first set is changed").annotations;
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    expect![[r#"
        update ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled up replica set web-4cs494h from 0 to 1
        status Deployment default/web
        again at 1000600000ms
    "#]].assert_eq(&plan.to_string());
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let (old, mut new) = (deployment("web", 3, "hello:1"), deployment("web", 5, "hello:2"));
    new.spec.as_mut().expect("it has a spec").paused = true;
    check(
        [new.object(), set(&old, 3, 3).object()],
        expect![[r#"
        update ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled up replica set web-4cs494h from 3 to 5
        status Deployment default/web
    "#]],
    );
}

#[test]
fn in_the_middle_of_a_rollout_every_set_gets_its_share_of_the_growth() {
    let (old, new) = (deployment("web", 10, "hello:1"), deployment("web", 10, "hello:2"));
    let (first, second) = (set(&old, 8, 8), revision(set(&new, 3, 0), 2));
    let wanted = deployment("web", 20, "hello:2");
    check(
        [wanted.object(), first.object(), second.object()],
        expect![[r#"
        update ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled up replica set web-4cs494h from 8 to 15
        update ReplicaSet default/web-slgjrrk, then say Normal ScalingReplicaSet: Scaled up replica set web-slgjrrk from 3 to 6
        status Deployment default/web
        again at 1000600000ms
    "#]],
    );
}

#[test]
fn to_recreate_is_to_wait_until_the_last_old_pod_is_gone() {
    let recreate = |image| {
        let mut deployment = deployment("web", 2, image);
        let strategy = deployment.spec.as_mut().and_then(|spec| spec.strategy.as_mut());
        strategy.expect("it has a strategy").r#type = "Recreate".to_owned();
        deployment
    };
    let (old, new) = (recreate("hello:1"), recreate("hello:2"));
    check(
        [new.object(), set(&old, 2, 2).object()],
        expect![[r#"
            update ReplicaSet default/web-4cs494h, then say Normal ScalingReplicaSet: Scaled down replica set web-4cs494h from 2 to 0
            status Deployment default/web
        "#]],
    );
    let gone = set(&old, 0, 0);
    let last: Pod = pod("last").labelled("app=web").on("n1").owned_by(&gone).leaving(&[]);
    check(
        [new.object(), gone.object(), last.object()],
        expect![[r#"
        status Deployment default/web
    "#]],
    );
    check(
        [new.object(), gone.object()],
        expect![[r#"
        create ReplicaSet default/web-slgjrrk, then say Normal ScalingReplicaSet: Scaled up replica set web-slgjrrk from 0 to 2
        status Deployment default/web
    "#]],
    );
}

#[test]
fn old_sets_are_kept_up_to_the_limit() {
    let mut newest = deployment("web", 1, "hello:9");
    newest.spec.as_mut().expect("it has a spec").revision_history_limit = Some(1);
    let old = (1..4).map(|n| revision(set(&deployment("web", 1, &format!("hello:{n}")), 0, 0), n).object());
    let objects = [newest.object(), revision(set(&newest, 1, 1), 9).object()];
    let plan = look(objects.into_iter().chain(old));
    let deleted = plan.steps.iter().filter(|step| matches!(step.write, Write::Delete(..))).count();
    assert_eq!(deleted, 2, "{plan}");
}

#[test]
fn a_set_of_another_owner_with_the_same_name_is_a_collision() {
    let wanted = deployment("web", 1, "hello:1");
    let mut foreign = set(&wanted, 1, 1);
    foreign.metadata_mut().owner_references.clear();
    foreign.metadata_mut().labels.clear();
    let plan = look([wanted.object(), foreign.object()]);
    let status = reported(&plan);
    assert_eq!(status.collision_count, Some(1));
    let mut counted = wanted.clone();
    counted.status = Some(status);
    let plan = look([counted.object(), foreign.object()]);
    let created = plan.steps.iter().find(|step| matches!(step.write, Write::Create(_))).expect("a set is made");
    assert_ne!(&*created.write.key().name, foreign.name());
}

#[test]
fn strays_are_adopted_and_take_part() {
    let wanted = deployment("web", 3, "hello:1");
    let mut stray = set(&wanted, 3, 3);
    stray.metadata_mut().owner_references.clear();
    check(
        [wanted.object(), stray.object()],
        expect![[r#"
        update ReplicaSet default/web-4cs494h
        status Deployment default/web
    "#]],
    );
}

fn reported(plan: &Plan) -> api::apps_v1::DeploymentStatus {
    let status = plan.steps.iter().find_map(|step| match &step.write {
        Write::Update(Object::Deployment(deployment), Subresource::Status) => deployment.status.clone(),
        _ => None,
    });
    status.expect("a status is reported")
}

/// The story of a rollout as its status tells it: each line is one look, at some second after the beginning.
#[test]
fn the_status_tells_how_the_rollout_goes() {
    let mut wanted = deployment("web", 2, "hello:1");
    wanted.spec.as_mut().expect("it has a spec").progress_deadline_seconds = Some(60);
    let mut story = String::new();
    for (second, wanted_pods, available) in [(0, 2, 0), (1, 2, 1), (30, 2, 1), (61, 2, 1), (90, 2, 2), (600, 2, 1)] {
        let world = world([wanted.object(), set(&wanted, wanted_pods, available).object()]);
        let now = Timestamp(NOW.0 + second * 1000);
        let plan = Controller::Deployment.reconcile(&world, &wanted.key(), now);
        let again = plan.again.map_or(String::new(), |again| format!(", again in {}s", again.since(now).as_secs()));
        if plan.steps.iter().any(|step| step.is_report()) {
            wanted.status = Some(reported(&plan));
        }
        let status = wanted.status.clone().unwrap_or_default();
        let condition = |kind| {
            let condition = conditions::get(&status.conditions, kind).cloned().unwrap_or_default();
            format!("{kind}={} {}", condition.status, condition.reason)
        };
        let api::apps_v1::DeploymentStatus { updated_replicas, available_replicas, unavailable_replicas, .. } = status;
        let counts = format!("{updated_replicas} updated, {available_replicas} available, {unavailable_replicas} not");
        story += &format!("{second}s: {counts}; {}; {}{again}\n", condition("Progressing"), condition("Available"));
    }
    expect![[r#"
        0s: 2 updated, 0 available, 2 not; Progressing=True FoundNewReplicaSet; Available=False MinimumReplicasUnavailable, again in 60s
        1s: 2 updated, 1 available, 1 not; Progressing=True ReplicaSetUpdated; Available=False MinimumReplicasUnavailable, again in 60s
        30s: 2 updated, 1 available, 1 not; Progressing=True ReplicaSetUpdated; Available=False MinimumReplicasUnavailable, again in 31s
        61s: 2 updated, 1 available, 1 not; Progressing=False ProgressDeadlineExceeded; Available=False MinimumReplicasUnavailable
        90s: 2 updated, 2 available, 0 not; Progressing=True NewReplicaSetAvailable; Available=True MinimumReplicasAvailable
        600s: 2 updated, 1 available, 1 not; Progressing=True NewReplicaSetAvailable; Available=False MinimumReplicasUnavailable
    "#]].assert_eq(&story);
}
