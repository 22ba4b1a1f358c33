//! How a Namespace ends.

use api::{
    Kind, Object, Subresource, Write,
    core_v1::{Namespace, NamespaceSpec},
    kinds::Resource as _,
};
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
        status Namespace default
    "#]],
    );
    check(
        [ending.object(), service("web", "app=web", 80).object()],
        expect![[r#"
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

#[test]
fn conditions_say_what_is_left_and_what_keeps_it() {
    let kept = [pod("a").leaving(&["example.com/keep"]).object(), pod("b").leaving(&[]).object()];
    let world = world(kept.into_iter().chain([namespace("default").leaving(&[]).object()]));
    let plan = plan(&world, Controller::Namespace, &key(Kind::Namespace, "default"));
    let [Write::Update(object, Subresource::Status)] =
        plan.steps.iter().map(|step| &step.write).collect::<Vec<_>>()[..]
    else {
        panic!("{plan}")
    };
    let Some(told) = Namespace::of(object).and_then(|namespace| namespace.status.as_ref()) else { panic!("{plan}") };
    let lines: Vec<String> =
        told.conditions.iter().map(|of| format!("{}={}: {}\n", of.r#type, of.status, of.message)).collect();
    expect![[r#"
        NamespaceDeletionDiscoveryFailure=False: All resources successfully discovered
        NamespaceDeletionGroupVersionParsingFailure=False: All legacy kube types successfully parsed
        NamespaceDeletionContentFailure=False: All content successfully deleted, may be waiting on finalization
        NamespaceContentRemaining=True: Some resources are remaining: pods. has 2 resource instances
        NamespaceFinalizersRemaining=True: Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances
    "#]]
    .assert_eq(&lines.concat());
}
