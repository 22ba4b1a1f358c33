//! How a Namespace ends.

use api::{Kind, Object, core_v1::NamespaceSpec};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{Told, key, namespace, plan, pod, replica_set, service, world},
};

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&plan(&world(objects), Controller::Namespace, &key(Kind::Namespace, "default")).to_string());
}

#[test]
fn everything_in_it_goes_and_then_the_namespace() {
    let mut ending = namespace("default").leaving(&[]);
    ending.spec = Some(NamespaceSpec { finalizers: vec!["kubernetes".to_owned()] });
    let stopping = pod("b").leaving(&[]);
    let content = [pod("a").object(), stopping.object(), service("web", "app=web", 80).object()];
    check(
        content.into_iter().chain([ending.object()]),
        expect![[r#"
        delete Pod default/a
        delete Service default/web
        status Namespace default
    "#]],
    );
    check(
        [ending.object(), stopping.object()],
        expect![[r#"
        status Namespace default
    "#]],
    );
    check(
        [ending.object()],
        expect![[r#"
        finalize Namespace default
    "#]],
    );
    ending.spec = None;
    check([ending.object()], expect![[""]]);
    check([namespace("default").object(), replica_set("web", 1).object()], expect![[""]]);
}

#[test]
fn nothing_new_is_made_in_it() {
    let world = world([namespace("default").leaving(&[]).object(), replica_set("web", 1).object()]);
    let plan = plan(&world, Controller::ReplicaSet, &key(Kind::ReplicaSet, "web"));
    assert!(!plan.steps.iter().any(|step| matches!(step.write, api::Write::Create(_))), "{plan}");
}
