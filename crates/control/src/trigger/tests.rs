//! Whom a change concerns.

use api::{
    Kind, Object,
    core_v1::{Pod, Taint},
    kinds::Resource,
};
use expect_test::{Expect, expect};

use super::concerned;
use crate::{
    testing::{PodTold, Told, added, change, deployment, node, pod, replica_set, service, world},
    world::World,
};

/// Who looks at what because an object becomes another.
fn check(world: &mut World, object: Object, expected: Expect) {
    let shift = world.observe(&added(object, 100));
    let mut told = String::new();
    concerned(world, &shift, &mut |task| told += &format!("{:?}: {}\n", task.controller, task.key));
    expected.assert_eq(&told);
}

fn controlled_by(pod: Pod, api_version: &str, kind: &str) -> Pod {
    let mut pod = pod.owned_by(&replica_set("web", 1));
    let owner = &mut pod.metadata_mut().owner_references[0];
    (owner.api_version, owner.kind) = (api_version.to_owned(), kind.to_owned());
    pod
}

#[test]
fn a_pod_concerns_the_controller_of_its_owner_by_kind_and_group() {
    let own = pod("a").labelled("app=web").on("n1");
    for (api_version, kind) in [("batch/v1", "Job"), ("example.com/v1", "ReplicaSet")] {
        let mut world = world([replica_set("web", 1).object()]);
        check(
            &mut world,
            controlled_by(own.clone(), api_version, kind).object(),
            expect![[r#"
                Garbage: Pod default/a
                PodLife: Pod default/a
            "#]],
        );
    }
    check(
        &mut world([replica_set("web", 1).object()]),
        controlled_by(own, "apps/v1", "ReplicaSet").object(),
        expect![[r#"
            ReplicaSet: ReplicaSet default/web
            Garbage: Pod default/a
            PodLife: Pod default/a
        "#]],
    );
}

#[test]
fn a_pod_that_ended_concerns_the_deployment_of_its_set_and_of_no_other_owner() {
    let set = replica_set("web", 1).owned_by(&deployment("shop", 1, "hello:1"));
    let own = pod("a").labelled("app=web").on("n1");
    let mut world = world([set.object(), controlled_by(own.clone(), "batch/v1", "Job").object()]);
    check(
        &mut world,
        controlled_by(own.clone(), "batch/v1", "Job").phase("Failed").object(),
        expect![[r#"
            PodLife: Pod default/a
        "#]],
    );
    world.observe(&added(own.clone().owned_by(&set).object(), 101));
    let shift = world.observe(&change(api::ChangeType::Deleted, own.owned_by(&set).object(), 102));
    let mut told = Vec::new();
    concerned(&world, &shift, &mut |task| told.push(task.key));
    assert!(told.contains(&api::Key::namespaced(Kind::Deployment, "default", "shop")), "{told:?}");
}

#[test]
fn a_stray_concerns_whoever_would_adopt_or_serve_it() {
    let mut world = world([
        replica_set("web", 1).object(),
        service("front", "app=web", 80).object(),
        service("back", "app=db", 80).object(),
    ]);
    check(
        &mut world,
        pod("a").labelled("app=web").object(),
        expect![[r#"
            ReplicaSet: ReplicaSet default/web
            EndpointSlice: Service default/front
            PodLife: Pod default/a
            Scheduler: Pod default/a
        "#]],
    );
}

#[test]
fn a_node_concerns_those_who_depend_on_what_changed() {
    let own = pod("a").labelled("app=web").on("n1").ready().owned_by(&replica_set("web", 1));
    let mut world = world([
        node("n1").object(),
        replica_set("web", 1).object(),
        service("front", "app=web", 80).object(),
        own.object(),
        pod("waits").object(),
    ]);
    let mut tainted = node("n1");
    let taint = Taint { key: "dedicated".into(), effect: "NoExecute".into(), ..Taint::default() };
    tainted.spec.get_or_insert_default().taints.push(taint);
    check(
        &mut world,
        tainted.object(),
        expect![[r#"
            PodLife: Pod default/a
            Scheduler: Pod default/waits
            Node: Node n1
        "#]],
    );
    let mut lost = tainted;
    lost.status.get_or_insert_default().conditions[0].status = "Unknown".to_owned();
    check(
        &mut world,
        lost.object(),
        expect![[r#"
            ReplicaSet: ReplicaSet default/web
            EndpointSlice: Service default/front
            Scheduler: Pod default/waits
            Node: Node n1
        "#]],
    );
}
