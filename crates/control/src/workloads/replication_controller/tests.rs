//! What a ReplicationController does about its Pods, as far as it is not what a ReplicaSet does.

use api::{
    Kind, Object,
    core_v1::{Pod, PodTemplateSpec, ReplicationController, ReplicationControllerSpec},
    meta_v1::ObjectMeta,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    owners,
    testing::{Told, key, plan, pod, replica_set, world},
};

fn controller(replicas: i32) -> ReplicationController {
    let labels: std::collections::BTreeMap<_, _> = [("app".to_owned(), "web".to_owned())].into();
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: labels.clone(), ..ObjectMeta::default() }),
        ..PodTemplateSpec::default()
    };
    let spec = ReplicationControllerSpec {
        replicas: Some(replicas),
        selector: labels,
        template: Some(template),
        ..ReplicationControllerSpec::default()
    };
    let metadata = ObjectMeta {
        name: "web".to_owned(),
        namespace: "default".to_owned(),
        uid: "uid-of-rc-web".to_owned(),
        ..ObjectMeta::default()
    };
    ReplicationController { metadata: Some(metadata), spec: Some(spec), status: None }
}

fn own(name: &str) -> Pod {
    let mut pod = pod(name).labelled("app=web");
    let controller = controller(0);
    let owner =
        owners::controller_reference(Kind::ReplicationController, controller.metadata.as_ref().expect("set above"));
    pod.metadata.get_or_insert_default().owner_references.push(owner);
    pod
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::ReplicationController, &key(Kind::ReplicationController, "web"));
    expected.assert_eq(&plan.to_string());
}

#[test]
fn missing_pods_are_created_and_orphans_adopted() {
    check(
        [controller(1).into()],
        expect![[r#"
        create Pod default/web-cbrlb, then say Normal SuccessfulCreate: Created pod: web-cbrlb
    "#]],
    );
    check(
        [controller(2).into(), own("web-a").object(), pod("stray").labelled("app=web").object()],
        expect![[r#"
        update Pod default/stray
    "#]],
    );
}

#[test]
fn what_is_too_much_is_deleted_and_what_is_reported_is_reported_once() {
    check(
        [controller(0).into(), own("web-a").object()],
        expect![[r#"
        delete Pod default/web-a, then say Normal SuccessfulDelete: Deleted pod: web-a
    "#]],
    );
    let reported = controller(0);
    check(
        [reported.into()],
        expect![[r#"
        status ReplicationController default/web
    "#]],
    );
}

#[test]
fn a_pod_of_a_set_with_its_name_is_not_its_own() {
    let theirs = pod("web-b").labelled("app=web").owned_by(&replica_set("web", 0));
    check(
        [controller(0).into(), theirs.object()],
        expect![[r#"
        status ReplicationController default/web
    "#]],
    );
}
