//! When Pods have to leave their nodes.

use api::{
    Kind, Object,
    core_v1::{Node, Taint, Toleration},
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{NOW, PodTold, Told, key, node, plan, pod, world},
};

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&plan(&world(objects), Controller::PodLife, &key(Kind::Pod, "a")).to_string());
}

fn unreachable() -> Node {
    let mut node = node("n1");
    let (key, effect) = ("node.kubernetes.io/unreachable".to_owned(), "NoExecute".to_owned());
    let taint = Taint { key, effect, value: String::new(), time_added: Some(NOW.into()) };
    node.spec.get_or_insert_default().taints.push(taint);
    node
}

#[test]
fn a_lost_node_is_left_by_those_who_cannot_wait() {
    let patient = |seconds| {
        let (key, operator) = ("node.kubernetes.io/unreachable".to_owned(), "Exists".to_owned());
        let toleration = Toleration { key, operator, toleration_seconds: seconds, ..Toleration::default() };
        pod("a").on("n1").ready().spec(|spec| spec.tolerations.push(toleration))
    };
    check(
        [unreachable().object(), pod("a").on("n1").ready().object()],
        expect![[r#"
        delete Pod default/a, then say Normal TaintManagerEviction: Marking for deletion Pod default/a
    "#]],
    );
    check(
        [unreachable().object(), patient(Some(300)).object()],
        expect![[r#"
        again at 1000300000ms
    "#]],
    );
    check([unreachable().object(), patient(None).object()], expect![[""]]);
    check([node("n1").object(), pod("a").on("n1").ready().object()], expect![[""]]);
}

#[test]
fn what_no_node_will_ever_remove_is_removed() {
    check(
        [pod("a").on("n1").ready().object()],
        expect![[r#"
        delete Pod default/a now, then say Warning NodeLost: Deleted because its node n1 does not exist any more
    "#]],
    );
    check(
        [pod("a").leaving(&["example.com/hold"]).object()],
        expect![[r#"
        delete Pod default/a now
    "#]],
    );
    check([pod("a").object()], expect![[""]]);
}
