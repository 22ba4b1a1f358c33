//! What names mean.

use std::collections::BTreeSet;

use api::{Key, Kind, core_v1::Service, discovery_v1::EndpointSlice, kinds::Resource as _};
use http::Request;

use super::*;
use crate::{
    Inside, Resolved,
    names::{Reading, readings},
};

fn read(host: Option<&str>, service: &str, namespace: &str) -> Reading {
    Reading { host: host.map(Into::into), service: Key::namespaced(Kind::Service, namespace, service) }
}

#[test]
fn names_are_read_as_the_search_path_of_a_pod_reads_them() {
    let web = |namespace| read(None, "web", namespace);
    assert_eq!(readings("web", "shop"), [web("shop")]);
    assert_eq!(readings("web.other", "shop"), [read(Some("web"), "other", "shop"), web("other")]);
    assert_eq!(readings("web.other.svc", "shop").last(), Some(&web("other")));
    assert_eq!(readings("web.other.svc.cluster.local", "shop").last(), Some(&web("other")));
    assert_eq!(readings("a.web.other.svc", "shop"), [read(Some("a"), "web", "other")]);
    assert!(readings("a.b.example.com", "shop").is_empty());
    assert!(readings("a..b", "shop").is_empty());
}

fn headless() -> Service {
    service("None", 80)
}

fn alias(name: &str, other: &str) -> Service {
    let mut service = service("", 80);
    service.metadata_mut().name = name.into();
    let spec = service.spec.as_mut().unwrap();
    spec.r#type = "ExternalName".into();
    spec.external_name = other.into();
    service
}

fn slice_with_hosts(pods: &[SocketAddr]) -> EndpointSlice {
    let ready: Vec<_> = pods.iter().map(|pod| (*pod, true)).collect();
    let mut slice = slice(&ready);
    for (number, endpoint) in slice.endpoints.iter_mut().enumerate() {
        endpoint.hostname = Some(format!("web-{number}"));
    }
    slice
}

#[tokio::test]
async fn a_headless_name_gives_every_pod_and_a_hostname_one_of_them() {
    let pods = [1, 2, 3].map(|last| SocketAddr::from(([127, 0, 0, last], 80)));
    let proxy = proxy();
    proxy.update(Table::build(NODE, [&headless()], [&slice_with_hosts(&pods)]));
    let resolve = |name: &str| match proxy.resolve(name, "shop") {
        Resolved::Inside(Inside { addresses, .. }) => addresses,
        Resolved::Nobody | Resolved::Outside(_) => Vec::new(),
    };
    let all = pods.map(|pod| pod.ip());
    let lists = [resolve("web"), resolve("web"), resolve("web")];
    for list in &lists {
        assert!(list.len() == 3 && all.iter().all(|ip| list.contains(ip)), "{list:?}");
    }
    let firsts: BTreeSet<_> = lists.iter().map(|list| list[0]).collect();
    assert_eq!(firsts, all.into(), "each comes first in turn");
    for name in ["web-1.web", "WEB-1.web.", "web-1.web.shop", "web-1.web.shop.svc", "web-1.web.shop.svc.cluster.local"]
    {
        assert_eq!(resolve(name), [pods[1].ip()], "{name}");
    }
    assert_eq!(proxy.resolve("web-9.web.shop.svc", "shop"), Resolved::Nobody);
}

#[tokio::test]
async fn requests_to_a_headless_name_take_turns_among_its_pods() {
    let a = free("127.77.0.20").await;
    let b = SocketAddr::new([127, 77, 0, 21].into(), a.port());
    let proxy = proxy();
    proxy.register_local(pod("a"), a, says("a"));
    proxy.register_local(pod("b"), b, says("b"));
    proxy.update(Table::build(NODE, [&headless()], [&slice_with_hosts(&[a, b])]));
    let ask = async |host: &str| {
        let request = Request::get(format!("http://{host}:{}/", a.port())).body(empty()).unwrap();
        let answer = proxy.send(request, "shop", [127, 0, 0, 1].into()).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let mut answers = [ask("web").await, ask("web").await];
    answers.sort();
    assert_eq!(answers, ["a", "b"]);
    assert_eq!([ask("web-1.web").await, ask("web-1.web").await], ["b", "b"]);
}

#[tokio::test]
async fn an_external_name_leads_on_inside_and_outside() {
    let services = [
        service("127.1.0.1", 80),
        alias("inner", "web.shop.svc.cluster.local"),
        alias("outer", "db.example.com."),
        alias("x", "y"),
        alias("y", "x"),
    ];
    let proxy = proxy();
    proxy.update(Table::build(NODE, &services, []));
    let inside = Inside { service: services[0].key(), addresses: vec![[127, 1, 0, 1].into()] };
    assert_eq!(proxy.resolve("inner", "shop"), Resolved::Inside(inside));
    assert_eq!(proxy.resolve("outer.shop", "other"), Resolved::Outside("db.example.com".into()));
    assert_eq!(proxy.resolve("x.shop.svc", "shop"), Resolved::Nobody, "a circle ends");
    let request = Request::get("http://outer/").body(empty()).unwrap();
    let refused = proxy.send(request, "shop", [127, 0, 0, 1].into()).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "outer is no Service, and hosts outside the cluster are not allowed");
}

#[tokio::test]
async fn names_of_the_cluster_that_nobody_has_are_not_asked_outside() {
    let proxy = Proxy::new(Config { allow_external: true }).0;
    for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "no.shop.svc.cluster.local"] {
        assert_eq!(proxy.resolve(name, "shop"), Resolved::Nobody);
        let request = Request::get(format!("http://{name}/")).body(empty()).unwrap();
        let refused = proxy.send(request, "shop", [127, 0, 0, 1].into()).await.map(drop).unwrap_err();
        assert_eq!(refused.to_string(), format!("there is no Service {name}"));
    }
}
