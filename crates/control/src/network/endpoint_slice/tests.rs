//! Which Pods stand behind a Service.

use api::{Kind, Object, core_v1::Pod, discovery_v1::EndpointSlice, kinds::Resource, meta_v1::IntOrString};
use expect_test::{Expect, expect};

use crate::{
    controller::Controller,
    testing::{NOW, PodTold, Told, key, node, plan, pod, service, world},
};

fn check(objects: impl IntoIterator<Item = Object>, expected: Expect) {
    let plan = plan(&world(objects), Controller::EndpointSlice, &key(Kind::Service, "web"));
    let slices = plan.steps.iter().map(|step| match &step.write {
        api::Write::Create(Object::EndpointSlice(slice)) | api::Write::Update(Object::EndpointSlice(slice), _) => {
            format!("{step}\n{}", told(slice))
        }
        _ => format!("{step}\n"),
    });
    expected.assert_eq(&slices.collect::<String>());
}

fn told(slice: &EndpointSlice) -> String {
    let ports: Vec<String> = slice.ports.iter().map(|port| format!("{}:{}", port.name(), port.port())).collect();
    let endpoints = slice.endpoints.iter().map(|endpoint| {
        let conditions = endpoint.conditions.unwrap_or_default();
        let is = |holds: bool, word: &'static str| if holds { word } else { "" };
        format!(
            "  {} on {}{}{}{}\n",
            endpoint.addresses[0],
            endpoint.node_name(),
            is(conditions.ready(), " ready"),
            is(conditions.serving(), " serving"),
            is(conditions.terminating(), " terminating"),
        )
    });
    format!("  ports [{}]\n{}", ports.join(" "), endpoints.collect::<String>())
}

fn web(name: &str, address: &str) -> Pod {
    pod(name).labelled("app=web").on("n1").ready().at(address)
}

#[test]
fn pods_are_listed_with_their_state() {
    let unready = pod("b").labelled("app=web").on("n1").phase("Running").at("127.64.0.2");
    let other = pod("other").labelled("app=other").on("n1").ready().at("127.64.0.9");
    let objects = [
        node("n1").object(),
        service("web", "app=web", 80).object(),
        web("a", "127.64.0.1").object(),
        unready.object(),
        web("c", "127.64.0.3").leaving(&[]).object(),
        pod("no-address-yet").labelled("app=web").on("n1").object(),
        web("ended", "127.64.0.4").phase("Failed").object(),
        other.object(),
    ];
    check(
        objects,
        expect![[r#"
        create EndpointSlice default/web-qzxh4
          ports [http:80]
          127.64.0.1 on n1 ready serving
          127.64.0.2 on n1
          127.64.0.3 on n1 serving terminating
    "#]],
    );
}

#[test]
fn nothing_is_sent_to_a_lost_node() {
    check(
        [service("web", "app=web", 80).object(), web("a", "127.64.0.1").object()],
        expect![[r#"
        create EndpointSlice default/web-qzxh4
          ports [http:80]
          127.64.0.1 on n1
    "#]],
    );
}

#[test]
fn a_named_port_may_mean_another_number_in_each_pod() {
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
        create EndpointSlice default/web-c8qfp
          ports [http:8080]
          127.64.0.1 on n1 ready serving
        create EndpointSlice default/web-nccpd
          ports [http:9090]
          127.64.0.2 on n1 ready serving
        create EndpointSlice default/web-qzxh4
          ports []
          127.64.0.3 on n1 ready serving
    "#]],
    );
}

#[test]
fn a_service_without_pods_has_an_empty_slice_and_one_without_selector_none() {
    check(
        [service("web", "app=web", 80).object()],
        expect![[r#"
        create EndpointSlice default/web-qzxh4
          ports []
    "#]],
    );
    check([service("web", "", 80).object()], expect![[""]]);
}

#[test]
fn a_slice_that_says_the_same_is_not_written_again() {
    let service = service("web", "app=web", 80);
    let mut world = world([node("n1").object(), service.object(), web("a", "127.64.0.1").object()]);
    let first = plan(&world, Controller::EndpointSlice, &service.key());
    first.steps.iter().for_each(|step| _ = world.assume(&step.write, NOW));
    expect![[""]].assert_eq(&plan(&world, Controller::EndpointSlice, &service.key()).to_string());
}

#[test]
fn more_than_a_thousand_endpoints_fill_a_second_slice() {
    let pods = (0..1500).map(|n| web(&format!("p{n:04}"), "127.64.0.1").object());
    let objects = [node("n1").object(), service("web", "app=web", 80).object()];
    let plan = plan(&world(objects.into_iter().chain(pods)), Controller::EndpointSlice, &key(Kind::Service, "web"));
    let mut sizes: Vec<usize> = plan
        .steps
        .iter()
        .map(|step| match &step.write {
            api::Write::Create(Object::EndpointSlice(slice)) => slice.endpoints.len(),
            _ => 0,
        })
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [500, 1000]);
}
