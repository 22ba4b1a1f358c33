//! Pods in every state, and what the questions answer.

use super::{
    Limits, Resources, is_active, is_available, is_ready, is_terminal, limits, port_by_name, qos_class, repository,
    requests, set_condition, tolerates, untolerated,
};
use crate::{
    Timestamp,
    conditions::{self, ConditionStatus},
    core_v1::{Container, ContainerPort, Pod, PodSpec, PodStatus, ResourceRequirements, Taint, Toleration},
    meta_v1,
    quantity::{ByteCount, Millicores},
};

fn amounts(cpu: &str, memory: &str) -> std::collections::BTreeMap<String, meta_v1::Quantity> {
    let list = [("cpu", cpu), ("memory", memory)].into_iter().filter(|(_, text)| !text.is_empty());
    list.map(|(name, text)| (name.to_owned(), meta_v1::Quantity { string: text.to_owned() })).collect()
}

fn container(requests: (&str, &str), limits: (&str, &str)) -> Container {
    let resources = ResourceRequirements {
        requests: amounts(requests.0, requests.1),
        limits: amounts(limits.0, limits.1),
        claims: Vec::new(),
    };
    Container { resources: Some(resources), ..Default::default() }
}

fn pod(spec: PodSpec) -> Pod {
    Pod { spec: Some(spec), ..Default::default() }
}

fn resources(cpu: u64, memory: u64) -> Resources {
    Resources { cpu: Millicores(cpu), memory: ByteCount(memory) }
}

#[test]
fn requests_are_the_containers_or_the_greatest_init_container() {
    let plain = container(("100m", "1Ki"), ("", ""));
    let greedy = container(("1", "1"), ("", ""));
    let sidecar = Container { restart_policy: Some("Always".to_owned()), ..container(("50m", "1Ki"), ("", "")) };
    let of = |init: &[&Container], containers: &[&Container]| {
        requests(&pod(PodSpec {
            init_containers: init.iter().map(|container| (*container).clone()).collect(),
            containers: containers.iter().map(|container| (*container).clone()).collect(),
            ..Default::default()
        }))
    };
    assert_eq!(of(&[], &[&plain, &plain]), resources(200, 2048));
    assert_eq!(of(&[&greedy], &[&plain, &plain]), resources(1000, 2048));
    assert_eq!(
        of(&[&sidecar, &greedy], &[&plain]),
        resources(1050, 2048),
        "a sidecar runs beside later init containers"
    );
    assert_eq!(of(&[&greedy, &sidecar], &[&plain]), resources(1000, 2048), "but not beside earlier ones");
    assert!(resources(2, 2).holds(resources(2, 1)) && !resources(2, 2).holds(resources(1, 3)));
}

#[test]
fn limits_hold_only_if_every_container_has_one() {
    let (bounded, half) = (container(("", ""), ("1", "1Mi")), container(("", ""), ("1", "")));
    let both = pod(PodSpec { containers: vec![bounded.clone(), half.clone()], ..Default::default() });
    assert_eq!(limits(&both), Limits { cpu: Some(Millicores(2000)), memory: None });
    let class = |containers| qos_class(&PodSpec { containers, ..Default::default() });
    assert_eq!(class(vec![Container::default()]), "BestEffort");
    assert_eq!(class(vec![bounded]), "Burstable");
    assert_eq!(class(vec![container(("1", "1Mi"), ("1000m", "1024Ki"))]), "Guaranteed");
    assert_eq!(class(vec![half]), "Burstable");
}

#[test]
fn readiness_comes_from_the_condition_and_lasts() {
    let mut pod = pod(PodSpec::default());
    assert!(!is_ready(&pod) && is_active(&pod) && !is_terminal(&pod));
    let ready = conditions::new("Ready", ConditionStatus::True, "", "", Timestamp(10_000));
    assert!(set_condition(&mut pod, ready));
    assert!(is_ready(&pod) && is_available(&pod, 0, Timestamp(10_000)));
    assert!(!is_available(&pod, 5, Timestamp(14_999)) && is_available(&pod, 5, Timestamp(15_000)));
    pod.status = Some(PodStatus { phase: "Failed".to_owned(), ..Default::default() });
    assert!(is_terminal(&pod) && !is_active(&pod));
}

#[test]
fn tolerations_cover_taints() {
    let toleration = |key: &str, operator: &str, value: &str, effect: &str| Toleration {
        key: key.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
        toleration_seconds: None,
    };
    let taint = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        value: "v".to_owned(),
        effect: effect.to_owned(),
        time_added: None,
    };
    let gpu = taint("gpu", "NoSchedule");
    for (toleration, covers) in [
        (toleration("gpu", "Equal", "v", "NoSchedule"), true),
        (toleration("gpu", "", "v", ""), true),
        (toleration("gpu", "Equal", "w", ""), false),
        (toleration("gpu", "Exists", "", "NoExecute"), false),
        (toleration("", "Exists", "", ""), true),
        (toleration("", "Equal", "v", ""), false),
        (toleration("other", "Exists", "", ""), false),
    ] {
        assert_eq!(tolerates(&toleration, &gpu), covers, "{toleration:?}");
    }
    let taints = [taint("soft", "PreferNoSchedule"), gpu.clone()];
    assert_eq!(untolerated(&[], &taints, &["NoSchedule", "NoExecute"]), Some(&gpu));
    assert_eq!(untolerated(&[toleration("gpu", "Exists", "", "")], &taints, &["NoSchedule", "NoExecute"]), None);
}

#[test]
fn ports_are_found_by_name() {
    let port = ContainerPort { name: "http".to_owned(), container_port: 8080, ..Default::default() };
    let spec =
        PodSpec { containers: vec![Container { ports: vec![port], ..Default::default() }], ..Default::default() };
    assert_eq!((port_by_name(&spec, "http"), port_by_name(&spec, "admin")), (Some(8080), None));
}

#[test]
fn the_bytes_of_a_pod_tell_its_node() {
    let bound = pod(PodSpec { node_name: "n1".to_owned(), ..PodSpec::default() });
    let bytes = crate::Object::from(bound.clone()).encode_bytes();
    assert_eq!(super::node_name(&bound), Some(crate::encoded::text(&bytes, &super::NODE_NAME)));
}

#[test]
fn images_without_a_host_are_of_the_masters() {
    for (image, expected) in [
        ("web", Some("web")),
        ("web:1", Some("web")),
        ("team/web:1", Some("team/web")),
        ("team/web@sha256:00", Some("team/web")),
        ("a/b/web:1@sha256:00", Some("a/b/web")),
        ("registry.example/web:1", None),
        ("localhost/web", None),
        ("10.0.0.1:5000/web", None),
        ("file:///tmp/web.wasm", None),
        ("", Some("")),
    ] {
        assert_eq!(repository(image), expected, "{image}");
    }
}
