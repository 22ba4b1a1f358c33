//! Where Pods go, and what they are told if they go nowhere.

use api::{
    Kind, Object, Write,
    core_v1::{Node, Pod, PodAffinityTerm, Taint, Toleration, TopologySpreadConstraint},
    kinds::Resource,
    meta_v1::LabelSelector,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{NOW, PodTold, Told, key, labels, node, plan, pod, replica_set, resources, world},
};

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::Scheduler, &key(Kind::Pod, "a"));
    expected.assert_eq(&plan.to_string());
}

fn tainted(name: &str, key: &str, value: &str, effect: &str) -> Node {
    let mut node = node(name);
    let taint = Taint { key: key.into(), value: value.into(), effect: effect.into(), time_added: None };
    node.spec.get_or_insert_default().taints.push(taint);
    node
}

#[test]
fn a_pod_goes_where_there_is_most_room() {
    let other = pod("b").on("n1").requesting("1", "1Gi");
    check(
        [node("n1").object(), node("n2").object(), other.object(), pod("a").object()],
        expect![[r#"
        bind Pod default/a to n2, then say Normal Scheduled: Successfully assigned default/a to n2
    "#]],
    );
}

#[test]
fn a_pod_that_fits_nowhere_is_told_why() {
    let tainted = tainted("n3", "dedicated", "db", "NoSchedule");
    let hungry = pod("a").requesting("500m", "8Gi");
    check(
        [node("n1").object(), node("n2").object(), tainted.object(), hungry.object()],
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: 0/3 nodes are available: 2 Insufficient memory, 1 node(s) had untolerated taint {dedicated: db}.
    "#]],
    );
    check(
        [pod("a").object()],
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: no nodes available to schedule pods
    "#]],
    );
    let mut closed = node("n1");
    closed.spec.get_or_insert_default().unschedulable = true;
    check(
        [closed.object(), Node { status: None, ..node("n2") }.object(), pod("a").object()],
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: 0/2 nodes are available: 1 node(s) were not ready, 1 node(s) were unschedulable.
    "#]],
    );
}

#[test]
fn what_it_was_told_before_is_not_said_again() {
    let mut world = world([pod("a").object()]);
    let first = plan(&world, Controller::Scheduler, &key(Kind::Pod, "a"));
    world.assume(&first.steps[0].write, NOW);
    expect![[""]].assert_eq(&plan(&world, Controller::Scheduler, &key(Kind::Pod, "a")).to_string());
}

#[test]
fn a_pod_for_another_scheduler_says_whom_it_waits_for() {
    let foreign = pod("a").spec(|spec| spec.scheduler_name = "mine".into());
    let mut world = world([node("n1").object(), foreign.object()]);
    let first = plan(&world, Controller::Scheduler, &key(Kind::Pod, "a"));
    expect![[r#"
        status Pod default/a
    "#]]
    .assert_eq(&first.to_string());
    let Write::Update(Object::Pod(told), _) = &first.steps[0].write else { panic!("no status") };
    let condition = api::pod::condition(told, "PodScheduled").expect("a condition");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "WaitingForScheduler"));
    assert!(condition.message.contains("\"mine\""), "{}", condition.message);

    world.assume(&first.steps[0].write, NOW);
    expect![[""]].assert_eq(&plan(&world, Controller::Scheduler, &key(Kind::Pod, "a")).to_string());
}

#[test]
fn a_taint_is_tolerated_and_a_selector_followed() {
    let toleration = Toleration { key: "dedicated".into(), operator: "Exists".into(), ..Toleration::default() };
    let patient = pod("a").spec(|spec| {
        spec.tolerations.push(toleration);
        spec.node_selector = labels("disk=ssd");
    });
    let ssd = tainted("n2", "dedicated", "db", "NoSchedule").labelled("disk=ssd");
    check(
        [node("n1").object(), ssd.object(), patient.object()],
        expect![[r#"
        bind Pod default/a to n2, then say Normal Scheduled: Successfully assigned default/a to n2
    "#]],
    );
}

#[test]
fn a_batch_does_not_spend_the_same_room_twice() {
    let pods: Vec<Pod> = (0..5).map(|n| pod(&format!("p{n}")).requesting("1", "1Gi")).collect();
    let objects = [node("n1").object(), node("n2").object()];
    let mut world = world(objects.into_iter().chain(pods.iter().map(Told::object)));
    let mut log = String::new();
    for pod in &pods {
        let plan = plan(&world, Controller::Scheduler, &pod.key());
        plan.steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
        log.push_str(&format!("{}\n", plan.steps[0]));
    }
    expect![[r#"
        bind Pod default/p0 to n1, then say Normal Scheduled: Successfully assigned default/p0 to n1
        bind Pod default/p1 to n2, then say Normal Scheduled: Successfully assigned default/p1 to n2
        bind Pod default/p2 to n1, then say Normal Scheduled: Successfully assigned default/p2 to n1
        bind Pod default/p3 to n2, then say Normal Scheduled: Successfully assigned default/p3 to n2
        status Pod default/p4
    "#]]
    .assert_eq(&log);
}

#[test]
fn siblings_are_kept_apart() {
    let set = replica_set("web", 3);
    let sibling = pod("b").on("n1").owned_by(&set);
    let big = pod("c").on("n2").requesting("1", "3Gi");
    let one = pod("a").owned_by(&set);
    check(
        [node("n1").object(), node("n2").object(), sibling.object(), big.object(), one.object()],
        expect![[r#"
        bind Pod default/a to n2, then say Normal Scheduled: Successfully assigned default/a to n2
    "#]],
    );
}

#[test]
fn a_spread_constraint_is_a_limit() {
    let constraint = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "zone".into(),
        when_unsatisfiable: "DoNotSchedule".into(),
        label_selector: Some(LabelSelector { match_labels: labels("app=web"), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    };
    let spread = |name: &str| {
        pod(name).labelled("app=web").spec(|spec| spec.topology_spread_constraints.push(constraint.clone()))
    };
    let east = node("n1").labelled("zone=east");
    let mut west = node("n2").labelled("zone=west");
    check(
        [east.object(), west.object(), spread("b").on("n1").object(), spread("a").object()],
        expect![[r#"
        bind Pod default/a to n2, then say Normal Scheduled: Successfully assigned default/a to n2
    "#]],
    );
    west.status = None;
    check(
        [east.object(), west.object(), spread("b").on("n1").object(), spread("a").object()],
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: 0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were not ready.
    "#]],
    );
}

#[test]
fn pods_that_may_not_be_neighbours_are_not() {
    let term = PodAffinityTerm {
        topology_key: "kubernetes.io/hostname".into(),
        label_selector: Some(LabelSelector { match_labels: labels("app=db"), ..LabelSelector::default() }),
        ..PodAffinityTerm::default()
    };
    let shy = |name: &str| {
        pod(name).labelled("app=db").spec(|spec| {
            let anti = spec.affinity.get_or_insert_default().pod_anti_affinity.get_or_insert_default();
            anti.required_during_scheduling_ignored_during_execution.push(term.clone());
        })
    };
    check(
        [node("n1").object(), node("n2").object(), shy("b").on("n1").object(), shy("a").object()],
        expect![[r#"
        bind Pod default/a to n2, then say Normal Scheduled: Successfully assigned default/a to n2
    "#]],
    );
    check(
        [node("n1").object(), shy("b").on("n1").object(), shy("a").object()],
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: 0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.
    "#]],
    );
}

/// What a term costs follows from how many Pods it means, not from how many there are.
#[test]
fn a_term_looks_at_the_pods_that_it_means_only() {
    let meaning = || Some(LabelSelector { match_labels: labels("app=db"), ..LabelSelector::default() });
    let term = PodAffinityTerm { topology_key: "zone".into(), label_selector: meaning(), ..PodAffinityTerm::default() };
    let constraint = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "zone".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: meaning(),
        ..TopologySpreadConstraint::default()
    };
    let choosy = pod("a").spec(|spec| {
        let affinity = spec.affinity.get_or_insert_default();
        let near = affinity.pod_affinity.get_or_insert_default();
        near.required_during_scheduling_ignored_during_execution.push(term.clone());
        spec.topology_spread_constraints.push(constraint);
    });
    let looks = |crowd: usize| {
        let others = (0..crowd).map(|n| pod(&format!("other-{n}")).labelled("app=web").on("n1").object());
        let meant = (0..3).map(|n| pod(&format!("db-{n}")).labelled("app=db").on("n2").object());
        let nodes = [node("n1").labelled("zone=east").object(), node("n2").labelled("zone=west").object()];
        let world = world(nodes.into_iter().chain(others).chain(meant).chain([choosy.object()]));
        world.take_looks();
        let plan = plan(&world, Controller::Scheduler, &key(Kind::Pod, "a"));
        assert!(plan.to_string().starts_with("bind Pod default/a to n2"), "{plan}");
        world.take_looks()
    };
    assert_eq!(looks(1_000), looks(10));
}

#[test]
fn devices_are_where_a_node_says_that_it_has_some_left() {
    let with = |name: &str, count: &str| {
        let mut node = node(name);
        let status = node.status.get_or_insert_default();
        status.allocatable.extend(resources(&[("example.com/dongle", count)]));
        node
    };
    let wanting = |name: &str, count: &str| {
        pod(name).spec(|spec| {
            let own = spec.containers[0].resources.get_or_insert_default();
            own.requests = resources(&[("example.com/dongle", count)]);
        })
    };
    let objects = |wanted: &str| {
        [
            node("n1").object(),
            with("n2", "3").object(),
            with("n3", "2").object(),
            wanting("b", "2").on("n2").object(),
            wanting("c", "2").on("n3").phase("Succeeded").object(),
            wanting("a", wanted).object(),
        ]
    };
    check(
        objects("2"),
        expect![[r#"
        bind Pod default/a to n3, then say Normal Scheduled: Successfully assigned default/a to n3
    "#]],
    );
    check(
        objects("4"),
        expect![[r#"
        status Pod default/a
        say Warning FailedScheduling: 0/3 nodes are available: 3 Insufficient example.com/dongle.
    "#]],
    );
}
