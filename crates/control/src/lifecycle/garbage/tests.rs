//! What happens to dependents.

use api::{Kind, Object, kinds::Resource};
use expect_test::{Expect, expect};

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
