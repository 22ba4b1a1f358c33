//! Who is told to be served, and why somebody is not.

use api::{
    Kind, Object, Write,
    discovery_v1::{Endpoint, EndpointConditions, EndpointPort},
};
use expect_test::{Expect, expect};

use super::*;
use crate::{
    controller::Controller,
    testing::{NOW, Told as _, labels, plan, service, world},
};

const NAME: &str = "v1beta1.metrics.example.org";

fn metrics() -> ApiService {
    let to = ServiceReference { namespace: "default".to_owned(), name: "metrics".to_owned(), port: Some(443) };
    let spec = ApiServiceSpec {
        group: "metrics.example.org".to_owned(),
        version: "v1beta1".to_owned(),
        service: Some(to),
        ..ApiServiceSpec::default()
    };
    let metadata = ObjectMeta { name: NAME.to_owned(), ..ObjectMeta::default() };
    ApiService { metadata: Some(metadata), spec: Some(spec), status: None }
}

fn behind_port(port: i32) -> Service {
    let mut service = service("metrics", "app=metrics", port);
    service.spec.get_or_insert_default().r#type = "ClusterIP".to_owned();
    service
}

fn slice(ready: bool) -> EndpointSlice {
    let conditions = Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() });
    let metadata = ObjectMeta {
        name: "metrics-1".to_owned(),
        namespace: "default".to_owned(),
        labels: labels("kubernetes.io/service-name=metrics"),
        ..ObjectMeta::default()
    };
    EndpointSlice {
        metadata: Some(metadata),
        endpoints: vec![Endpoint { conditions, ..Endpoint::default() }],
        ports: vec![EndpointPort { name: Some("http".to_owned()), port: Some(8443), ..EndpointPort::default() }],
        address_type: "IPv4".to_owned(),
    }
}

fn heard(objects: impl IntoIterator<Item = Object>, answers: &[(&str, Result<(), String>)]) -> World {
    let mut world = world(objects);
    world.hear_backends(answers.iter().map(|(name, answer)| ((*name).to_owned(), answer.clone())).collect());
    world
}

/// What is done about an APIService, with the condition that is written.
fn check(world: &World, name: &str, expected: Expect) {
    let plan = plan(world, Controller::ApiService, &Key::cluster(Kind::ApiService, name));
    let told = plan.steps.iter().map(|step| match &step.write {
        Write::Create(object) | Write::Update(object, _) => format!("{step}\n{}", shown(object)),
        Write::Delete(..) => format!("{step}\n"),
    });
    expected.assert_eq(&told.collect::<String>());
}

fn shown(object: &Object) -> String {
    let found: &ApiService = object.get().expect("an APIService");
    let spec = found.spec.clone().unwrap_or_default();
    let conditions = found.status.iter().flat_map(|status| &status.conditions);
    let conditions: String = conditions
        .map(|condition| format!("  {} {}: {}\n", condition.status, condition.reason, condition.message))
        .collect();
    format!("  priorities {} {}\n{conditions}", spec.group_priority_minimum, spec.version_priority)
}

#[test]
fn each_version_of_the_masters_has_one_that_is_always_available() {
    check(&world([]), "v1.apps", expect![[""]]);
    let empty = heard([], &[]);
    let expected = expect![[r#"
        create APIService v1.apps
          priorities 17800 15
    "#]];
    check(&empty, "v1.apps", expected);
    let expected = expect![[r#"
        create APIService v1.
          priorities 18000 1
    "#]];
    check(&empty, "v1.", expected);
    check(&empty, "v1.apiregistration.k8s.io", expect![[""]]);
    check(&empty, "v2.apps", expect![[""]]);
    let made = heard([local("apps", "v1").object()], &[]);
    let expected = expect![[r#"
        status APIService v1.apps
          priorities 17800 15
          True Local: Local APIServices are always available
    "#]];
    check(&made, "v1.apps", expected);
    assert!(keys(&made).any(|key| &*key.name == "v1.events.k8s.io"));
}

#[test]
fn a_backend_is_judged_by_the_state_and_then_by_its_answer() {
    let judged = |objects: &[Object], answer: Option<Result<(), String>>, expected: Expect| {
        let answers: Vec<_> = answer.into_iter().map(|answer| (NAME, answer)).collect();
        let objects = objects.iter().cloned().chain([metrics().object()]);
        check(&heard(objects, &answers), NAME, expected);
    };
    let well = || Some(Ok(()));
    judged(
        &[],
        well(),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              False ServiceNotFound: service/metrics in "default" is not present
        "#]],
    );
    judged(
        &[behind_port(80).object()],
        well(),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              False ServicePortError: service/metrics in "default" is not listening on port 443
        "#]],
    );
    judged(
        &[behind_port(443).object()],
        well(),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              False EndpointsNotFound: cannot find endpointslices for service/metrics in "default"
        "#]],
    );
    judged(
        &[behind_port(443).object(), slice(false).object()],
        well(),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              False MissingEndpoints: endpointslices for service/metrics in "default" have no addresses with port name "http"
        "#]],
    );
    let served = [behind_port(443).object(), slice(true).object()];
    judged(&served, None, expect![[""]]);
    judged(
        &served,
        Some(Err("bad status: 500".to_owned())),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              False FailedDiscoveryCheck: bad status: 500
        "#]],
    );
    judged(
        &served,
        well(),
        expect![[r#"
            status APIService v1beta1.metrics.example.org
              priorities 0 0
              True Passed: all checks passed
        "#]],
    );
}

#[test]
fn nothing_is_written_twice_and_what_changes_behind_it_concerns_it() {
    let mut known = metrics();
    let passed = conditions::new(AVAILABLE, true.into(), "Passed", "all checks passed", NOW);
    known.status.get_or_insert_default().conditions.push(passed);
    let world = heard([known.object(), behind_port(443).object(), slice(true).object()], &[(NAME, Ok(()))]);
    check(&world, NAME, expect![[""]]);
    let concerned = |object: Object| {
        let (key, mut found) = (object.key(), Vec::new());
        let shift = Shift { key, before: None, after: Some(object.into()) };
        concerns(&world, &shift, &mut |key| found.push(key.name.to_string()));
        found
    };
    assert_eq!(concerned(slice(true).object()), [NAME]);
    assert_eq!(concerned(behind_port(80).object()), [NAME]);
    assert_eq!(concerned(service("other", "a=b", 80).object()), [""; 0]);
}
