//! What proxies are shown of the endpoints that users list.

use api::{
    ChangeType, Kind, Object, Write,
    core_v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
    discovery_v1::EndpointSlice,
    kinds::Resource as _,
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    plan::Plan,
    testing::{NOW, Told, change, endpoints, key, namespace, plan, service, world},
    world::World,
};

fn wanted(world: &World) -> Plan {
    plan(world, Controller::EndpointSliceMirroring, &key(Kind::Endpoints, "outside"))
}

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    expected.assert_eq(&told(&wanted(&world(objects))));
}

fn told(plan: &Plan) -> String {
    let step = |step: &crate::plan::Step| match &step.write {
        Write::Create(object) | Write::Update(object, _) => {
            format!("{step}\n{}", object.get::<EndpointSlice>().map(shown).unwrap_or_default())
        }
        Write::Delete(..) => format!("{step}\n"),
    };
    plan.steps.iter().map(step).collect()
}

fn shown(slice: &EndpointSlice) -> String {
    let meta = slice.metadata.clone().unwrap_or_default();
    let ports: Vec<String> =
        slice.ports.iter().map(|port| format!("{}:{}/{}", port.name(), port.port(), port.protocol())).collect();
    let endpoints: Vec<String> = slice
        .endpoints
        .iter()
        .map(|endpoint| format!("{}={}", endpoint.addresses[0], endpoint.conditions.unwrap_or_default().ready()))
        .collect();
    let owner = meta.owner_references.first().map(|owner| format!("{} {}", owner.kind, owner.name));
    format!(
        "  {} {ports:?} {endpoints:?}\n  labels {:?}, annotations {:?}, of {}\n",
        slice.address_type,
        meta.labels,
        meta.annotations,
        owner.unwrap_or_default()
    )
}

fn subset(ready: &[&str], others: &[&str], port: i32) -> EndpointSubset {
    let addresses = |ips: &[&str]| {
        let address = |ip: &&str| EndpointAddress { ip: (*ip).to_owned(), ..EndpointAddress::default() };
        ips.iter().map(address).collect()
    };
    let port = EndpointPort { name: "http".to_owned(), port, ..EndpointPort::default() };
    EndpointSubset { addresses: addresses(ready), not_ready_addresses: addresses(others), ports: vec![port] }
}

fn outside() -> Endpoints {
    let first = subset(&["192.0.2.2", "192.0.2.1"], &["192.0.2.3"], 80);
    endpoints("outside", vec![first, subset(&["192.0.2.3", "2001:db8::1"], &[], 80), subset(&["192.0.2.1"], &[], 81)])
}

#[test]
fn endpoints_are_shown_as_slices_by_family_and_ports() {
    let own = outside()
        .labelled("tier=back")
        .annotated("note", "kept")
        .annotated("kubectl.kubernetes.io/last-applied-configuration", "{}");
    check(
        [service("outside", "", 80).object(), own.object()],
        expect![[r#"
        create EndpointSlice default/outside-978k2
          IPv4 ["http:80/TCP"] ["192.0.2.1=true", "192.0.2.2=true", "192.0.2.3=true"]
          labels {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "outside", "tier": "back"}, annotations {"note": "kept"}, of Endpoints outside
        create EndpointSlice default/outside-nfxrf
          IPv6 ["http:80/TCP"] ["2001:db8::1=true"]
          labels {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "outside", "tier": "back"}, annotations {"note": "kept"}, of Endpoints outside
        create EndpointSlice default/outside-v7tlw
          IPv4 ["http:81/TCP"] ["192.0.2.1=true"]
          labels {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "outside", "tier": "back"}, annotations {"note": "kept"}, of Endpoints outside
    "#]],
    );
}

#[test]
fn what_is_no_list_for_a_service_without_selector_is_not_shown() {
    let bare = || service("outside", "", 80).object();
    for objects in [
        vec![outside().object()],
        vec![service("outside", "app=web", 80).object(), outside().object()],
        vec![bare(), outside().labelled("endpointslice.kubernetes.io/skip-mirror=true").object()],
        vec![bare(), outside().annotated("control-plane.alpha.kubernetes.io/leader", "{}").object()],
        vec![bare(), outside().labelled("endpoints.kubernetes.io/managed-by=endpoint-controller").object()],
        vec![bare(), outside().leaving(&["wait"]).object()],
        vec![namespace("default").leaving(&[]).object(), bare(), outside().object()],
    ] {
        check(objects, expect![[""]]);
    }
}

#[test]
fn slices_follow_what_their_user_writes_and_who_the_service_asks_for() {
    let mut world = world([service("outside", "", 80).object(), outside().object()]);
    wanted(&world).steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    assert_eq!(wanted(&world).to_string(), "", "that is as it should be");

    let fewer = endpoints("outside", vec![subset(&["192.0.2.9"], &[], 80)]).labelled("tier=back");
    world.observe(&change(ChangeType::Modified, fewer.object(), 100));
    expect![[r#"
        delete EndpointSlice default/outside-nfxrf
        delete EndpointSlice default/outside-v7tlw
        update EndpointSlice default/outside-978k2
          IPv4 ["http:80/TCP"] ["192.0.2.9=true"]
          labels {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "outside", "tier": "back"}, annotations {}, of Endpoints outside
    "#]].assert_eq(&told(&wanted(&world)));

    world.observe(&change(ChangeType::Modified, service("outside", "app=web", 80).object(), 101));
    expect![[r#"
        delete EndpointSlice default/outside-978k2
        delete EndpointSlice default/outside-nfxrf
        delete EndpointSlice default/outside-v7tlw
    "#]]
    .assert_eq(&told(&wanted(&world)));
}

#[test]
fn more_than_a_thousand_endpoints_fill_a_second_slice() {
    let ips: Vec<String> = (0..1500).map(|n| format!("192.0.{}.{}", n / 250, n % 250)).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let many = endpoints("outside", vec![subset(&ips[..800], &ips[800..], 80)]);
    let plan = wanted(&world([service("outside", "", 80).object(), many.object()]));
    let slices = plan.steps.iter().filter_map(|step| match &step.write {
        Write::Create(object) => object.get::<EndpointSlice>().map(|slice| slice.endpoints.len()),
        Write::Update(..) | Write::Delete(..) => None,
    });
    let mut sizes: Vec<usize> = slices.collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [500, 1000]);
}

#[test]
fn a_slice_that_is_gone_or_changed_is_looked_at() {
    let mut world = world([service("outside", "", 80).object(), outside().object()]);
    let plan = wanted(&world);
    let Some(Write::Create(object)) = plan.steps.first().map(|step| step.write.clone()) else {
        panic!("a slice is wanted: {plan}")
    };
    let shift = world.observe(&change(ChangeType::Added, object, 100));
    let mut looked = Vec::new();
    Controller::EndpointSliceMirroring.concerns(&world, &shift, &mut |key| looked.push(key));
    assert_eq!(looked, [outside().key()]);
}
