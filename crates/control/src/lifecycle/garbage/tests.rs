//! What happens to dependents.

use api::{Kind, Object, kinds::Resource};
use expect_test::{Expect, expect};

use super::ANCESTORS_MAX;
use crate::{
    controller::Controller,
    testing::{PodTold, Told, deployment, key, plan, pod, replica_set, world},
};

fn check(objects: impl IntoIterator<Item = Object>, about: &api::Key, expected: Expect) {
    expected.assert_eq(&plan(&world(objects), Controller::Garbage, about).to_string());
}

#[test]
fn dependents_follow_their_last_owner() {
    let (gone, here) = (replica_set("gone", 1), replica_set("here", 1));
    let orphan = pod("a").owned_by(&gone);
    check(
        [orphan.object()],
        &orphan.key(),
        expect![[r#"
        delete Pod default/a
    "#]],
    );
    let shared = orphan.owned_by(&here);
    check(
        [here.object(), shared.object()],
        &shared.key(),
        expect![[r#"
        owners of Pod default/a
    "#]],
    );
    let mut foreign = pod("a").owned_by(&gone);
    foreign.metadata_mut().owner_references[0].kind = "Conductor".to_owned();
    check([foreign.object()], &foreign.key(), expect![[""]]);
}

#[test]
fn an_owner_in_the_foreground_waits_for_those_that_block_it() {
    let owner = deployment("shop", 1, "hello:1").leaving(&["foregroundDeletion"]);
    let set = replica_set("web", 1).owned_by(&owner);
    let pod = pod("a").owned_by(&set);
    check(
        [owner.object(), set.object(), pod.object()],
        &owner.key(),
        expect![[r#"
        delete ReplicaSet default/web
    "#]],
    );
    let going = set.leaving(&["foregroundDeletion"]);
    check([owner.object(), going.object(), pod.object()], &owner.key(), expect![""]);
    check(
        [owner.object(), going.object(), pod.object()],
        &going.key(),
        expect![[r#"
        delete Pod default/a
    "#]],
    );
    check(
        [owner.object(), going.object()],
        &going.key(),
        expect![[r#"
        owners of ReplicaSet default/web
    "#]],
    );
    check(
        [owner.object()],
        &owner.key(),
        expect![[r#"
            owners of Deployment default/shop
        "#]],
    );
}

#[test]
fn orphans_forget_their_owner_before_it_goes() {
    let owner = replica_set("web", 1).leaving(&["orphan"]);
    let pod = pod("a").on("n1").owned_by(&owner);
    check(
        [owner.object(), pod.object()],
        &key(Kind::ReplicaSet, "web"),
        expect![[r#"
        owners of Pod default/a
    "#]],
    );
    check(
        [owner.object()],
        &key(Kind::ReplicaSet, "web"),
        expect![[r#"
        owners of ReplicaSet default/web
    "#]],
    );
}

#[test]
fn a_circle_of_owners_does_not_wait_for_itself() {
    let (mut a, mut b, mut c) = (pod("a"), pod("b"), pod("c"));
    (a, b, c) = (a.clone().owned_by(&c), b.clone().owned_by(&a), c.clone().owned_by(&b));
    let going = a.leaving(&["foregroundDeletion"]);
    check(
        [going.object(), b.object(), c.object()],
        &going.key(),
        expect![[r#"
        owners of Pod default/a
    "#]],
    );
    check(
        [b.object(), c.object()],
        &b.key(),
        expect![[r#"
        delete Pod default/b
    "#]],
    );
    let aside = pod("aside").owned_by(&going);
    check(
        [going.object(), b.object(), c.object(), aside.object()],
        &going.key(),
        expect![[r#"
            delete Pod default/aside
            delete Pod default/b
        "#]],
    );
}

#[test]
fn a_circle_is_followed_so_far_and_no_farther() {
    let circle = |length: usize| {
        let mut pods: Vec<_> = (0..length).map(|number| pod(&format!("p{number}"))).collect();
        for number in 0..length {
            let owner = pods[(number + length - 1) % length].clone();
            pods[number] = pods[number].clone().owned_by(&owner);
        }
        pods[0] = pods[0].clone().leaving(&["foregroundDeletion"]);
        let about = pods[0].key();
        plan(&world(pods.iter().map(Told::object)), Controller::Garbage, &about).to_string()
    };
    assert_eq!(circle(ANCESTORS_MAX), "owners of Pod default/p0\n");
    assert_eq!(circle(ANCESTORS_MAX + 2), "delete Pod default/p1\n");
}
