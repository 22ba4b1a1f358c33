//! What is listed of a Service's Pods in one object.

use api::{
    Kind, Object, Write,
    core_v1::{EndpointAddress, EndpointSubset, Endpoints, Pod},
    kinds::Resource as _,
    meta_v1::IntOrString,
};
use expect_test::{Expect, expect};

use super::{LISTED_MAX, truncate};
use crate::{
    controller::Controller,
    plan::Plan,
    testing::{NOW, PodTold, Told, endpoints, key, namespace, node, plan, pod, service, world},
    world::World,
};

/// A world in which the slices of the Service `web` are as they should be.
fn sliced(objects: impl IntoIterator<Item = Object>) -> World {
    let mut world = world(objects);
    let slices = plan(&world, Controller::EndpointSlice, &key(Kind::Service, "web"));
    slices.steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    world
}

fn wanted(world: &World) -> Plan {
    plan(world, Controller::Endpoints, &key(Kind::Service, "web"))
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&told(&wanted(&sliced(objects))));
}

fn told(plan: &Plan) -> String {
    let step = |step: &crate::plan::Step| match &step.write {
        Write::Create(object) | Write::Update(object, _) => {
            format!("{step}\n{}", object.get::<Endpoints>().map(shown).unwrap_or_default())
        }
        Write::Delete(..) => format!("{step}\n"),
    };
    plan.steps.iter().map(step).collect()
}

fn shown(endpoints: &Endpoints) -> String {
    let meta = endpoints.metadata.clone().unwrap_or_default();
    let mut text = format!("  labels {:?}, annotations {:?}\n", meta.labels, meta.annotations);
    let address = |address: &EndpointAddress| {
        let pod = address.target_ref.as_ref().map_or("", |target| target.name.as_str());
        format!(" {}={pod} on {}", address.ip, address.node_name())
    };
    for subset in &endpoints.subsets {
        let ports: Vec<String> = subset.ports.iter().map(|port| format!("{}:{}", port.name, port.port)).collect();
        let [ready, others] = [&subset.addresses, &subset.not_ready_addresses]
            .map(|addresses| addresses.iter().map(address).collect::<String>());
        text += &format!("  {ports:?} ready:{ready}; not ready:{others}\n");
    }
    text
}

fn web(name: &str, address: &str) -> Pod {
    pod(name).labelled("app=web").on("n1").ready().at(address)
}

fn unready(name: &str, address: &str) -> Pod {
    pod(name).labelled("app=web").on("n1").phase("Running").at(address)
}

#[test]
fn pods_are_listed_by_whether_they_are_ready() {
    let objects = [
        node("n1").object(),
        service("web", "app=web", 80).labelled("tier=front").object(),
        web("b", "127.64.0.10").object(),
        web("a", "127.64.0.9").object(),
        unready("c", "127.64.0.2").object(),
        web("leaving", "127.64.0.3").leaving(&[]).object(),
        web("ended", "127.64.0.4").phase("Failed").object(),
    ];
    check(
        objects,
        expect![[r#"
        create Endpoints default/web
          labels {"endpoints.kubernetes.io/managed-by": "endpoint-controller", "tier": "front"}, annotations {}
          ["http:80"] ready: 127.64.0.9=a on n1 127.64.0.10=b on n1; not ready: 127.64.0.2=c on n1
    "#]],
    );
}

#[test]
fn a_service_that_wants_all_its_pods_gets_them_as_ready() {
    let mut service = service("web", "app=web", 80);
    let spec = service.spec.get_or_insert_default();
    spec.publish_not_ready_addresses = true;
    spec.cluster_ip = "None".to_owned();
    let leaving = web("leaving", "127.64.0.3").leaving(&[]);
    check(
        [node("n1").object(), service.object(), unready("a", "127.64.0.2").object(), leaving.object()],
        expect![[r#"
            create Endpoints default/web
              labels {"endpoints.kubernetes.io/managed-by": "endpoint-controller", "service.kubernetes.io/headless": ""}, annotations {}
              ["http:80"] ready: 127.64.0.2=a on n1 127.64.0.3=leaving on n1; not ready:
        "#]],
    );
}

#[test]
fn pods_that_resolve_a_port_differently_stand_in_different_subsets_and_without_it_in_none() {
    let mut service = service("web", "app=web", 80);
    service.spec.get_or_insert_default().ports[0].target_port = Some(IntOrString::text("http"));
    let objects = [
        node("n1").object(),
        service.object(),
        web("a", "127.64.0.1").with_port("http", 8080).object(),
        web("b", "127.64.0.2").with_port("http", 9090).object(),
        web("c", "127.64.0.3").object(),
    ];
    check(
        objects,
        expect![[r#"
        create Endpoints default/web
          labels {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}, annotations {}
          ["http:8080"] ready: 127.64.0.1=a on n1; not ready:
          ["http:9090"] ready: 127.64.0.2=b on n1; not ready:
    "#]],
    );
}

#[test]
fn what_says_the_same_is_not_written_again_and_what_somebody_changed_is() {
    let objects = [node("n1").object(), service("web", "app=web", 80).object(), web("a", "127.64.0.1").object()];
    let mut world = sliced(objects);
    wanted(&world).steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    assert_eq!(wanted(&world).to_string(), "");

    let mut changed = world.named::<Endpoints>("default", "web").cloned().unwrap_or_default();
    changed.subsets.clear();
    let meta = changed.metadata_mut();
    meta.labels.clear();
    meta.annotations.insert("endpoints.kubernetes.io/last-change-trigger-time".to_owned(), "2020".to_owned());
    meta.annotations.insert("mine".to_owned(), "stays".to_owned());
    world.observe(&crate::testing::added(changed.into(), 100));
    expect![[r#"
        update Endpoints default/web
          labels {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}, annotations {"mine": "stays"}
          ["http:80"] ready: 127.64.0.1=a on n1; not ready:
    "#]]
    .assert_eq(&told(&wanted(&world)));
}

#[test]
fn more_than_a_thousand_are_cut_and_that_is_said() {
    let ready = (0..700).map(|n| web(&format!("r{n:04}"), &format!("127.64.1.{}", n % 250)).object());
    let others = (0..800).map(|n| unready(&format!("u{n:04}"), &format!("127.64.2.{}", n % 250)).object());
    let objects = [node("n1").object(), service("web", "app=web", 80).object()];
    let mut world = sliced(objects.into_iter().chain(ready).chain(others));
    wanted(&world).steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    let listed = world.named::<Endpoints>("default", "web").cloned().unwrap_or_default();
    let subset = &listed.subsets[0];
    assert_eq!((subset.addresses.len(), subset.not_ready_addresses.len()), (700, LISTED_MAX - 700));
    let annotations = &listed.metadata.clone().unwrap_or_default().annotations;
    assert_eq!(annotations.get("endpoints.kubernetes.io/over-capacity").map(String::as_str), Some("truncated"));

    let few = [node("n1").object(), service("web", "app=web", 80).object(), listed.into()];
    let plan = wanted(&sliced(few));
    assert!(told(&plan).contains("annotations {}"), "{}", told(&plan));
}

#[test]
fn of_each_subset_a_like_part_is_listed_and_of_too_many_subsets_the_first() {
    let subset = |ready: usize, others: usize| EndpointSubset {
        addresses: vec![EndpointAddress::default(); ready],
        not_ready_addresses: vec![EndpointAddress::default(); others],
        ..EndpointSubset::default()
    };
    let cut = |subsets: &[EndpointSubset]| {
        let mut subsets = subsets.to_vec();
        let is_cut = truncate(&mut subsets);
        let sizes = subsets.iter().map(|subset| (subset.addresses.len(), subset.not_ready_addresses.len()));
        (is_cut, sizes.collect::<Vec<_>>())
    };
    assert_eq!(cut(&[subset(600, 0), subset(400, 0)]), (false, vec![(600, 0), (400, 0)]));
    assert_eq!(cut(&[subset(1500, 9), subset(500, 9)]), (true, vec![(750, 0), (250, 0)]));
    assert_eq!(cut(&[subset(800, 300), subset(0, 100)]), (true, vec![(800, 150), (0, 50)]));
    assert_eq!(cut(&[subset(999, 0), subset(1, 0), subset(1, 0)]), (true, vec![(999, 0), (1, 0)]));
    let (is_cut, sizes) = cut(&vec![subset(1, 0); 70]);
    assert_eq!((is_cut, sizes.len()), (true, 64));
}

#[test]
fn they_go_with_their_service_and_those_of_users_stay() {
    let kept = endpoints("web", Vec::new()).labelled("endpoints.kubernetes.io/managed-by=endpoint-controller");
    let own = endpoints("web", Vec::new());
    check(
        [kept.object()],
        expect![[r#"
        delete Endpoints default/web
    "#]],
    );
    check([own.object()], expect![[""]]);
    check([service("web", "", 80).object(), kept.object()], expect![[""]]);
    let mut alias = service("web", "app=web", 80);
    alias.spec.get_or_insert_default().r#type = "ExternalName".to_owned();
    check(
        [alias.object(), kept.object()],
        expect![[r#"
        delete Endpoints default/web
    "#]],
    );
    check([service("web", "app=web", 80).leaving(&["wait"]).object(), kept.object()], expect![[""]]);
    check([namespace("default").leaving(&[]).object(), service("web", "app=web", 80).object()], expect![[""]]);
}
