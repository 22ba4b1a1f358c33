//! What follows from a node's state.

use api::{
    Kind, Object, Subresource, Write,
    conditions::{self, ConditionStatus},
    core_v1::Node,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{NOW, Told, key, node, plan, world},
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
    for status in [ConditionStatus::False, ConditionStatus::Unknown] {
        let ready = conditions::new("Ready", status, "Test", "", NOW);
        conditions::set(&mut node.status.get_or_insert_default().conditions, ready);
        let expected = match status {
            ConditionStatus::False => expect![[r#"
                127.64.0.0/18
                  node.kubernetes.io/not-ready:NoSchedule
                  node.kubernetes.io/not-ready:NoExecute
                  node.kubernetes.io/unschedulable:NoSchedule"#]],
            ConditionStatus::True | ConditionStatus::Unknown => expect![[r#"
                127.64.0.0/18
                  node.kubernetes.io/unreachable:NoSchedule
                  node.kubernetes.io/unreachable:NoExecute
                  node.kubernetes.io/unschedulable:NoSchedule"#]],
        };
        check([node.object()], expected);
    }
}
