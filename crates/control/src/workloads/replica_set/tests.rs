//! What a ReplicaSet does about its Pods.

use api::{Kind, Object, core_v1::Pod, kinds::Resource};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{NOW, PodTold, Told, key, plan, pod, replica_set, world},
};

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::ReplicaSet, &key(Kind::ReplicaSet, "web"));
    expected.assert_eq(&plan.to_string());
}

fn own(name: &str) -> Pod {
    pod(name).labelled("app=web").owned_by(&replica_set("web", 0))
}

#[test]
fn missing_pods_are_created_under_names_that_follow_from_the_owner() {
    check(
        [replica_set("web", 2).object()],
        expect![[r#"
        create Pod default/web-qzxh4, then say Normal SuccessfulCreate: Created pod: web-qzxh4
        create Pod default/web-c8qfp, then say Normal SuccessfulCreate: Created pod: web-c8qfp
    "#]],
    );
    check(
        [replica_set("web", 2).object(), own("web-a").object()],
        expect![[r#"
        create Pod default/web-c8qfp, then say Normal SuccessfulCreate: Created pod: web-c8qfp
    "#]],
    );
}

#[test]
fn what_is_assumed_is_not_created_again() {
    let mut world = world([replica_set("web", 2).object()]);
    let first = plan(&world, Controller::ReplicaSet, &key(Kind::ReplicaSet, "web"));
    for step in &first.steps {
        world.assume(&step.write, NOW);
    }
    let second = plan(&world, Controller::ReplicaSet, &key(Kind::ReplicaSet, "web"));
    expect![[r#"
        status ReplicaSet default/web
    "#]]
    .assert_eq(&second.to_string());
}

#[test]
fn ended_pods_are_replaced_and_left_lying() {
    check(
        [replica_set("web", 1).object(), own("web-a").phase("Failed").object()],
        expect![[r#"
        create Pod default/web-c8qfp, then say Normal SuccessfulCreate: Created pod: web-c8qfp
    "#]],
    );
}

#[test]
fn strays_are_adopted_and_strangers_released() {
    let stray = pod("stray").labelled("app=web").phase("Running");
    let stranger = pod("stranger").labelled("app=other").owned_by(&replica_set("web", 0));
    check(
        [replica_set("web", 1).object(), stray.object(), stranger.object()],
        expect![[r#"
        update Pod default/stranger
        update Pod default/stray
    "#]],
    );
}

#[test]
fn those_go_first_whom_nobody_misses() {
    let set = replica_set("web", 1).object();
    let cost = "controller.kubernetes.io/pod-deletion-cost";
    let pods = [
        own("bound-to-nothing"),
        own("pending").on("n1").phase("Pending"),
        own("not-ready").on("n1").phase("Running"),
        own("cheap").on("n1").ready().annotated(cost, "-5"),
        own("crowded-1").on("n1").ready(),
        own("crowded-2").on("n1").ready(),
        own("alone").on("n2").ready(),
    ];
    let objects = std::iter::once(set).chain(pods.iter().map(Told::object));
    check(
        objects,
        expect![[r#"
        delete Pod default/bound-to-nothing, then say Normal SuccessfulDelete: Deleted pod: bound-to-nothing
        delete Pod default/pending, then say Normal SuccessfulDelete: Deleted pod: pending
        delete Pod default/not-ready, then say Normal SuccessfulDelete: Deleted pod: not-ready
        delete Pod default/cheap, then say Normal SuccessfulDelete: Deleted pod: cheap
        delete Pod default/crowded-1, then say Normal SuccessfulDelete: Deleted pod: crowded-1
        delete Pod default/crowded-2, then say Normal SuccessfulDelete: Deleted pod: crowded-2
    "#]],
    );
}

#[test]
fn a_thousand_pods_are_asked_for_at_once_but_do_not_bury_the_events() {
    let world = world([replica_set("web", 1000).object()]);
    let plan = plan(&world, Controller::ReplicaSet, &key(Kind::ReplicaSet, "web"));
    let notes: Vec<String> = plan.steps.iter().filter_map(|step| step.done.as_ref()).map(ToString::to_string).collect();
    assert_eq!((plan.steps.len(), notes.len()), (1000, 11));
    expect!["Normal SuccessfulCreate: (combined from similar events): Created 990 more pods"].assert_eq(&notes[10]);
}

#[test]
fn a_name_is_not_used_twice() {
    let set = replica_set("web", 1);
    let mut world = world([set.object()]);
    let mut names = std::collections::BTreeSet::new();
    for revision in 0..20 {
        let plan = plan(&world, Controller::ReplicaSet, &set.key());
        let name = plan.steps[0].write.key().name;
        assert!(names.insert(name.clone()), "{name} came back");
        let pod = own(&name).object();
        world.observe(&crate::testing::added(pod.clone(), 10 + 2 * revision));
        world.observe(&crate::testing::change(api::ChangeType::Deleted, pod, 11 + 2 * revision));
    }
}
