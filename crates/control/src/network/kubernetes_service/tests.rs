//! The way to the masters.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use api::{
    ChangeType, Object, Write,
    core_v1::{Endpoints, Service},
    discovery_v1::EndpointSlice,
    kinds::{Resource as _, core::service::kubernetes_key},
};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    plan::{Plan, Step},
    testing::{Told, change, namespace, plan, service, world},
    world::World,
};

fn at(masters: &[&str]) -> BTreeSet<SocketAddr> {
    masters.iter().map(|text| text.parse().expect("an address")).collect()
}

/// A world with the namespace `default` and some masters.
fn led(masters: &[&str], objects: impl IntoIterator<Item = Object>) -> World {
    let mut world = world([namespace("default").object()].into_iter().chain(objects));
    world.find_masters(at(masters));
    world
}

fn wanted(world: &World) -> Plan {
    plan(world, Controller::KubernetesService, &kubernetes_key())
}

/// Does what is wanted, and says what that was.
fn settle(world: &mut World) -> String {
    /// Each change is newer than those before it.
    static REVISION: AtomicU64 = AtomicU64::new(100);
    let plan = wanted(world);
    for step in &plan.steps {
        let revision = REVISION.fetch_add(1, Ordering::Relaxed);
        let seen = match &step.write {
            Write::Create(object) | Write::Update(object, _) => change(ChangeType::Modified, object.clone(), revision),
            Write::Delete(key, _) => {
                let gone = world.object(key).map(|object| Object::clone(object)).expect("it is there");
                change(ChangeType::Deleted, gone, revision)
            }
        };
        world.observe(&seen);
    }
    told(&plan)
}

fn told(plan: &Plan) -> String {
    let step = |step: &Step| match &step.write {
        Write::Create(object) | Write::Update(object, _) => format!("{step}\n{}", shown(object)),
        Write::Delete(..) => format!("{step}\n"),
    };
    plan.steps.iter().map(step).collect()
}

fn shown(object: &Object) -> String {
    let labels = object.metadata().map(|meta| meta.labels.clone()).unwrap_or_default();
    let mut text = format!("  labels {labels:?}\n");
    if let Some(spec) = object.get::<Service>().and_then(|service| service.spec.as_ref()) {
        let port = &spec.ports[0];
        let target = port.target_port.as_ref().map(|target| target.value());
        text += &format!("  {} {:?} {}:{} to {target:?}\n", spec.r#type, spec.cluster_ip, port.name, port.port);
    }
    for subset in object.get::<Endpoints>().into_iter().flat_map(|endpoints| &endpoints.subsets) {
        let ips: Vec<&str> = subset.addresses.iter().map(|address| address.ip.as_str()).collect();
        text += &format!("  {ips:?} {}:{}\n", subset.ports[0].name, subset.ports[0].port);
    }
    if let Some(slice) = object.get::<EndpointSlice>() {
        let ips: Vec<&String> = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).collect();
        text += &format!("  {} {ips:?} {}:{}\n", slice.address_type, slice.ports[0].name(), slice.ports[0].port());
    }
    text
}

#[test]
fn the_service_leads_to_the_masters() {
    let mut world = led(&["10.0.0.2:6443", "10.0.0.1:6443"], []);
    let expected: Expect = expect![[r#"
        create Service default/kubernetes
          labels {"component": "apiserver", "provider": "kubernetes"}
          ClusterIP "127.128.0.1" https:443 to Some(Int(6443))
        create Endpoints default/kubernetes
          labels {"endpointslice.kubernetes.io/skip-mirror": "true"}
          ["10.0.0.1", "10.0.0.2"] https:6443
        create EndpointSlice default/kubernetes
          labels {"kubernetes.io/service-name": "kubernetes"}
          IPv4 ["10.0.0.1", "10.0.0.2"] https:6443
    "#]];
    expected.assert_eq(&settle(&mut world));
    assert_eq!(settle(&mut world), "", "then it is as it should be");
}

#[test]
fn nothing_is_done_before_it_is_known_where_masters_are_and_there_is_a_namespace() {
    assert_eq!(told(&wanted(&led(&[], []))), "");
    let mut world = world([]);
    world.find_masters(at(&["10.0.0.1:6443"]));
    assert_eq!(told(&wanted(&world)), "");
}

#[test]
fn it_follows_masters_that_come_go_and_move() {
    let mut world = led(&["10.0.0.1:6443"], []);
    settle(&mut world);
    world.find_masters(at(&["10.0.0.1:6443", "10.0.0.2:7443", "[2001:db8::1]:6443"]));
    expect![[r#"
        update Endpoints default/kubernetes
          labels {"endpointslice.kubernetes.io/skip-mirror": "true"}
          ["10.0.0.1"] https:6443
          ["10.0.0.2"] https:7443
          ["2001:db8::1"] https:6443
        create EndpointSlice default/kubernetes-7443
          labels {"kubernetes.io/service-name": "kubernetes"}
          IPv4 ["10.0.0.2"] https:7443
        create EndpointSlice default/kubernetes-ipv6-6443
          labels {"kubernetes.io/service-name": "kubernetes"}
          IPv6 ["2001:db8::1"] https:6443
    "#]]
    .assert_eq(&settle(&mut world));
    world.find_masters(at(&["10.0.0.9:7443"]));
    expect![[r#"
        update Service default/kubernetes
          labels {"component": "apiserver", "provider": "kubernetes"}
          ClusterIP "127.128.0.1" https:443 to Some(Int(7443))
        update Endpoints default/kubernetes
          labels {"endpointslice.kubernetes.io/skip-mirror": "true"}
          ["10.0.0.9"] https:7443
        delete EndpointSlice default/kubernetes-7443
        delete EndpointSlice default/kubernetes-ipv6-6443
        update EndpointSlice default/kubernetes
          labels {"kubernetes.io/service-name": "kubernetes"}
          IPv4 ["10.0.0.9"] https:7443
    "#]]
    .assert_eq(&settle(&mut world));
}

#[test]
fn what_somebody_deletes_or_leads_elsewhere_is_made_again() {
    let mut world = led(&["10.0.0.1:6443"], []);
    settle(&mut world);
    let mut service = world.get::<Service>(&kubernetes_key()).cloned().unwrap_or_default().labelled("mine=1");
    let spec = service.spec.get_or_insert_default();
    (spec.r#type, spec.ports[0].port) = ("NodePort".to_owned(), 8443);
    spec.selector = crate::testing::labels("app=web");
    spec.session_affinity = "ClientIP".to_owned();
    world.observe(&change(ChangeType::Added, service.object(), 10_000));
    for slice in world.all::<EndpointSlice>().cloned().collect::<Vec<_>>() {
        world.observe(&change(ChangeType::Added, slice.object(), 10_001));
        world.observe(&change(ChangeType::Deleted, slice.object(), 10_002));
    }
    expect![[r#"
        update Service default/kubernetes
          labels {"component": "apiserver", "mine": "1", "provider": "kubernetes"}
          ClusterIP "127.128.0.1" https:443 to Some(Int(6443))
        create EndpointSlice default/kubernetes
          labels {"kubernetes.io/service-name": "kubernetes"}
          IPv4 ["10.0.0.1"] https:6443
    "#]]
    .assert_eq(&settle(&mut world));
}

#[test]
fn an_address_that_another_service_has_is_left_to_it_and_that_is_said() {
    let mut other = service("other", "app=web", 80);
    other.spec.get_or_insert_default().cluster_ip = "127.128.0.1".to_owned();
    let plan = wanted(&led(&["127.0.0.1:6443"], [other.object()]));
    let (first, rest) = plan.steps.split_first().expect("the Service is wanted");
    expect![[r#"
        create Service default/kubernetes, then say Warning KubernetesAddressTaken: it has 127.128.0.1, which is meant for the Service default/kubernetes: that one got another address, which is in no certificate of a master; delete both to mend it
          labels {"component": "apiserver", "provider": "kubernetes"}
          ClusterIP "" https:443 to Some(Int(6443))
        2"#]].assert_eq(&format!(
        "{}{}",
        told(&Plan { steps: vec![first.clone()], ..Plan::default() }),
        rest.len()
    ));
}

#[test]
fn only_its_own_objects_concern_it() {
    let mut world = led(&["10.0.0.1:6443"], []);
    let concerns = |world: &mut World, object: Object| {
        let shift = world.observe(&change(ChangeType::Added, object, 100));
        let mut looked = Vec::new();
        Controller::KubernetesService.concerns(world, &shift, &mut |key| looked.push(key));
        looked == [kubernetes_key()]
    };
    assert!(concerns(&mut world, service("kubernetes", "", 443).object()));
    assert!(concerns(&mut world, crate::testing::endpoints("kubernetes", Vec::new()).object()));
    assert!(!concerns(&mut world, service("web", "", 443).object()));
    let mut slice = EndpointSlice::default();
    slice.metadata_mut().namespace = "default".to_owned();
    slice.metadata_mut().labels.insert("kubernetes.io/service-name".to_owned(), "kubernetes".to_owned());
    assert!(concerns(&mut world, slice.object()));
    slice.metadata_mut().namespace = "shop".to_owned();
    assert!(!concerns(&mut world, slice.object()));
}
