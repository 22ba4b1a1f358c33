//! Owners and their children, whatever they are.

use std::collections::BTreeSet;

use api::{
    Kind,
    apps_v1::{Deployment, ReplicaSet},
    core_v1::{Pod, PodTemplateSpec},
    kinds::Resource,
};
use expect_test::expect;

use super::{NOTES_MAX, Owner, create, delete};
use crate::{
    owners::controller_of_kind,
    plan::{BURST_MAX, Plan},
    testing::{NOW, PodTold, Told, added, deployment, pod, replica_set, world},
    world::World,
};

/// The names of its own Pods, and what it wants to write.
fn claim(owner: &Owner<'_>, controlled: &[Pod], orphans: &[Pod]) -> (Vec<String>, String) {
    let mut plan = Plan::default();
    let own: Vec<&Pod> = owner.claim(controlled.iter(), orphans.iter(), &mut plan);
    (own.into_iter().map(|pod| pod.name().to_owned()).collect(), plan.to_string())
}

#[test]
fn what_matches_and_belongs_to_nobody_is_adopted_and_what_no_longer_matches_released() {
    let set = replica_set("web", 1);
    let owner = Owner::of(&set).expect("it has a uid and a selector");
    let own = |name: &str, labels: &str| pod(name).labelled(labels).owned_by(&set);
    let mut unstored = pod("unstored").labelled("app=web");
    unstored.metadata_mut().uid.clear();
    let (names, plan) = claim(
        &owner,
        &[own("own", "app=web"), own("stranger", "app=db"), own("stranger-going", "app=db").leaving(&["x"])],
        &[
            pod("stray").labelled("app=web"),
            pod("other").labelled("app=db"),
            pod("ended").labelled("app=web").phase("Failed"),
            pod("going").labelled("app=web").leaving(&["x"]),
            unstored,
        ],
    );
    assert_eq!(names, ["own", "stranger-going", "stray"]);
    expect![[r#"
        update Pod default/stranger
        update Pod default/stray
    "#]]
    .assert_eq(&plan);
}

#[test]
fn an_owner_that_is_deleted_adopts_nobody_and_makes_nothing() {
    let set = replica_set("web", 1).leaving(&["foregroundDeletion"]);
    let owner = Owner::of(&set).expect("it has a uid and a selector");
    let own = pod("own").labelled("app=web").owned_by(&set);
    let (names, plan) = claim(&owner, &[own], &[pod("stray").labelled("app=web")]);
    assert_eq!(names, ["own"]);
    assert_eq!(plan, "");
    assert!(!owner.is_in_charge(&world([])));
}

#[test]
fn nothing_belongs_to_what_has_no_identity_or_no_selector() {
    let mut unborn = replica_set("web", 1);
    unborn.metadata_mut().uid.clear();
    assert!(Owner::of(&unborn).is_none());
    assert!(Owner::of(&ReplicaSet { spec: None, ..replica_set("web", 1) }).is_none());
}

/// The rules are the same for whatever owns and is owned.
#[test]
fn a_deployment_claims_sets_as_a_set_claims_pods() {
    let owner: Deployment = deployment("shop", 1, "hello:1");
    let claimed = Owner::of(&owner).expect("it has a uid and a selector");
    let (own, stray) = (replica_set("own", 1).owned_by(&owner), replica_set("stray", 1).labelled("app=web"));
    let mut plan = Plan::default();
    let sets: Vec<&ReplicaSet> = claimed.claim([&own].into_iter(), [&stray].into_iter(), &mut plan);
    assert_eq!(sets.into_iter().map(Resource::name).collect::<Vec<_>>(), ["stray"]);
    let adopted = plan.steps.last().and_then(|step| match &step.write {
        api::Write::Update(api::Object::ReplicaSet(set), _) => set.metadata.clone(),
        _ => None,
    });
    let reference = adopted.expect("the stray is adopted").owner_references.remove(0);
    assert_eq!((reference.kind.as_str(), reference.uid.as_str()), ("Deployment", "shop"));
}

#[test]
fn a_child_is_counted_once_while_its_creation_is_under_way_and_after() {
    let set = replica_set("web", 1);
    let owner = Owner::of(&set).expect("it has a uid and a selector");
    let mut world = world([set.object()]);
    let mut names = BTreeSet::new();
    for slot in 0..20 {
        let had = world.departed(owner.uid()) + slot;
        let name = owner.free_names(had, |name| world.named::<Pod>("default", name).is_some()).next();
        let name = name.expect("there are always more names");
        assert!(names.insert(name.clone()), "{name} came twice");
        let template = PodTemplateSpec::default();
        let child = owner.pod(&template, name).labelled("app=web");
        world.assume(&api::Write::Create(child.object()), NOW);
        let count = |world: &World| {
            let (controlled, orphans) = (world.controlled::<Pod>(owner.uid()), world.orphans("default"));
            owner.claim(controlled, orphans, &mut Plan::default()).len() as u64
        };
        assert_eq!(count(&world), slot + 1, "its creation is under way");
        let mut stored = child;
        stored.metadata_mut().uid = format!("uid-{slot}");
        world.observe(&added(stored.object(), slot + 10));
        assert_eq!(count(&world), slot + 1, "it exists");
    }
}

#[test]
fn a_burst_is_limited_and_told_in_few_events() {
    let set = replica_set("web", 1);
    let owner = Owner::of(&set).expect("it has a uid and a selector");
    let object = std::sync::Arc::new(set.object());
    let mut plan = Plan::default();
    let names = owner.free_names(0, |_| false);
    create(&object, BURST_MAX + 1, names, |name| owner.pod(&PodTemplateSpec::default(), name), &mut plan);
    let told: Vec<String> = plan.steps.iter().filter_map(|step| step.done.as_ref()).map(ToString::to_string).collect();
    assert_eq!((plan.steps.len(), told.len()), (BURST_MAX, NOTES_MAX + 1));
    expect!["Normal SuccessfulCreate: (combined from similar events): Created 1990 more pods"]
        .assert_eq(&told[NOTES_MAX]);

    let children: Vec<Pod> = (0..3).map(|n| pod(&format!("p{n}"))).collect();
    let mut plan = Plan::default();
    delete(&object, 2, &children, &mut plan);
    expect![[r#"
        delete Pod default/p0, then say Normal SuccessfulDelete: Deleted pod: p0
        delete Pod default/p1, then say Normal SuccessfulDelete: Deleted pod: p1
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn a_child_carries_what_its_template_says_and_whose_it_is() {
    let set = replica_set("web", 1);
    let owner = Owner::of(&set).expect("it has a uid and a selector");
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).expect("it has a template");
    let child = owner.pod(&template, "web-1".to_owned());
    let meta = child.metadata.clone().expect("it has metadata");
    assert_eq!((meta.generate_name.as_str(), meta.labels["app"].as_str()), ("web-", "web"));
    assert_eq!(controller_of_kind(&meta, Kind::ReplicaSet).map(|owner| owner.uid.as_str()), Some("web"));
    assert_eq!(child.spec, template.spec);
}
