//! What follows from a node's state.

use std::time::Duration;

use api::{
    Kind, Object, Subresource, Timestamp, Write,
    conditions::{self, ConditionStatus},
    core_v1::Node,
};
use expect_test::{Expect, expect};

use super::{GRACE, SILENCE_MAX};
use crate::{
    controller::Controller,
    nodes::readiness::ready,
    plan::Plan,
    testing::{NOW, Told, key, node, plan, world},
    world::World,
};

/// The node's addresses and taints after a look.
fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::Node, &key(Kind::Node, "n1"));
    let spec = plan.steps.iter().find_map(|step| match &step.write {
        Write::Update(Object::Node(node), Subresource::None) => node.spec.clone(),
        _ => None,
    });
    let told = spec.map_or_else(String::new, |spec| {
        let taints = spec.taints.iter().map(|taint| format!("\n  {}:{}", taint.key, taint.effect));
        format!("{}{}", spec.pod_cidr, taints.collect::<String>())
    });
    expected.assert_eq(&told);
}

fn with_range(name: &str, range: &str) -> Node {
    let mut node = node(name);
    let spec = node.spec.get_or_insert_default();
    range.clone_into(&mut spec.pod_cidr);
    spec.pod_cidrs = vec![range.to_owned()];
    node
}

#[test]
fn every_node_gets_the_first_free_range() {
    check([node("n1").object()], expect!["127.64.0.0/18"]);
    let others = [with_range("n0", "127.64.0.0/18"), with_range("n2", "127.64.128.0/18")];
    check(others.iter().map(Told::object).chain([node("n1").object()]), expect!["127.64.64.0/18"]);
    check([with_range("n1", "127.64.64.0/18").object()], expect![[""]]);
    let larger = with_range("n0", "127.64.0.0/17");
    check([larger.object(), node("n1").object()], expect!["127.64.128.0/18"]);
}

#[test]
fn its_state_becomes_taints() {
    let mut node = with_range("n1", "127.64.0.0/18");
    node.spec.get_or_insert_default().unschedulable = true;
    check(
        [node.object()],
        expect![[r#"
        127.64.0.0/18
          node.kubernetes.io/unschedulable:NoSchedule"#]],
    );
    let ready = |status| conditions::new("Ready", status, "Test", "", NOW);
    conditions::set(&mut node.status.get_or_insert_default().conditions, ready(ConditionStatus::False));
    check(
        [node.object()],
        expect![[r#"
        127.64.0.0/18
          node.kubernetes.io/not-ready:NoSchedule
          node.kubernetes.io/not-ready:NoExecute
          node.kubernetes.io/unschedulable:NoSchedule"#]],
    );
    conditions::set(&mut node.status.get_or_insert_default().conditions, ready(ConditionStatus::Unknown));
    check(
        [node.object(), crate::testing::node("n2").object()],
        expect![[r#"
        127.64.0.0/18
          node.kubernetes.io/unreachable:NoSchedule
          node.kubernetes.io/unreachable:NoExecute
          node.kubernetes.io/unschedulable:NoSchedule"#]],
    );
}

#[test]
fn what_a_node_lacks_keeps_new_pods_away_and_evicts_none() {
    let mut node = with_range("n1", "127.64.0.0/18");
    for kind in ["MemoryPressure", "DiskPressure", "NetworkUnavailable"] {
        let trouble = conditions::new(kind, ConditionStatus::True, "Test", "", NOW);
        conditions::set(&mut node.status.get_or_insert_default().conditions, trouble);
    }
    check(
        [node.object()],
        expect![[r#"
        127.64.0.0/18
          node.kubernetes.io/memory-pressure:NoSchedule
          node.kubernetes.io/disk-pressure:NoSchedule
          node.kubernetes.io/network-unavailable:NoSchedule"#]],
    );
}

/// So many nodes, `n0` first, of which the first `heard` say at a time that they live.
fn nodes(count: usize, heard: usize, at: Timestamp) -> World {
    let nodes = (0..count).map(|n| with_range(&format!("n{n}"), &format!("127.64.{n}.0/24")).object());
    let mut world = world(nodes);
    (0..heard).for_each(|n| world.hear(&format!("n{n}"), at));
    world
}

/// Looks at the last of them.
fn look(world: &World, now: Timestamp) -> Plan {
    let last = world.nodes().count() - 1;
    super::reconcile(world, &key(Kind::Node, &format!("n{last}")), now)
}

/// What a plan makes of the node: its readiness and the effects of its taints.
fn outcome(plan: &Plan) -> String {
    let told = plan.steps.iter().filter_map(|step| match &step.write {
        Write::Update(Object::Node(node), Subresource::Status) => ready(node).map(|ready| ready.status.clone()),
        Write::Update(Object::Node(node), _) => {
            let taints = node.spec.iter().flat_map(|spec| &spec.taints).map(|taint| taint.effect.clone());
            Some(taints.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    });
    told.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_silent_node_is_unknown_within_three_seconds_and_its_pods_stay_for_forty() {
    let judged = NOW.after(SILENCE_MAX);
    assert!(SILENCE_MAX < Duration::from_secs(3), "what users are promised");
    let mut world = nodes(4, 3, judged);
    assert_eq!(outcome(&look(&world, Timestamp(judged.0 - 1))), "");
    let plan = look(&world, judged);
    assert_eq!(outcome(&plan), "Unknown");
    plan.steps.iter().for_each(|step| _ = world.assume(&step.write, judged));
    let taints = look(&world, judged);
    assert_eq!(outcome(&taints), "NoSchedule", "nothing is evicted yet");
    taints.steps.iter().for_each(|step| _ = world.assume(&step.write, judged));
    assert_eq!(look(&world, judged).again, Some(judged.after(GRACE)));

    let evicting = look(&world, judged.after(GRACE));
    assert_eq!(outcome(&evicting), "NoSchedule NoExecute");

    world.hear("n3", judged.after(GRACE));
    let back = look(&world, judged.after(GRACE));
    assert!(outcome(&back).contains("True"), "{back}");
}

#[test]
fn a_node_whose_process_ended_is_unknown_at_once() {
    let mut world = nodes(1, 1, NOW);
    assert_eq!(outcome(&look(&world, NOW)), "");
    world.lose("n0", NOW);
    assert_eq!(outcome(&look(&world, NOW)), "Unknown", "whatever the others do, it was seen");
    world.hear("n0", NOW.after(Duration::from_millis(1)));
    assert_eq!(outcome(&look(&world, NOW.after(Duration::from_millis(1)))), "", "it started again");
}

#[test]
fn a_master_that_hears_almost_nobody_doubts_itself_first() {
    let late = NOW.after(SILENCE_MAX);
    for (count, heard, expected) in
        [(1, 0, ""), (2, 0, ""), (4, 1, ""), (9, 4, ""), (3, 1, "Unknown"), (9, 5, "Unknown")]
    {
        let world = nodes(count, heard, late);
        assert_eq!(outcome(&look(&world, late)), expected, "{heard} of {count} were heard");
        assert_eq!(
            outcome(&look(&world, NOW.after(GRACE))),
            if heard == 0 || expected.is_empty() { "Unknown" } else { expected }
        );
    }
    // They fall silent one after the other, as they spoke last.
    let mut world = nodes(4, 0, NOW);
    (0..3).for_each(|n| world.hear(&format!("n{n}"), Timestamp(NOW.0 + 150 * (n + 1))));
    assert_eq!(outcome(&look(&world, late)), "");
}

#[test]
fn pods_stay_on_lost_nodes_while_most_are_lost() {
    let mut world = nodes(4, 0, NOW);
    for n in 1..4 {
        let name = format!("n{n}");
        world.lose(&name, NOW);
        let plan = super::reconcile(&world, &key(Kind::Node, &name), NOW);
        plan.steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    }
    let later = NOW.after(GRACE);
    world.hear("n0", later);
    assert_eq!(outcome(&look(&world, later)), "NoSchedule");
    world.hear("n1", later);
    let back = super::reconcile(&world, &key(Kind::Node, "n1"), later);
    back.steps.iter().for_each(|step| _ = world.assume(&step.write, later));
    assert_eq!(outcome(&look(&world, later)), "NoSchedule NoExecute");
}
