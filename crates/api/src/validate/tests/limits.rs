//! Whatever an object may have many of, it may have so many of and no more.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::super::{causes::CAUSES_MAX, create, limits::*, update_part};
use super::lines;
use crate::{
    Kind, Object, Subresource, defaults,
    expansion::ENVIRONMENT_BYTES_MAX,
    json::{Strictness, decode},
};

fn made(kind: &str, value: Value) -> Object {
    let mut object = decode(Kind::from_name(kind).unwrap(), &value, Strictness::Strict).unwrap().object;
    defaults::apply(&mut object);
    object
}

fn meta() -> Value {
    json!({"name": "a", "namespace": "default"})
}

fn pod(spec: Value) -> Value {
    let mut all = json!({"containers": [{"name": "c", "image": "i"}]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": meta(), "spec": all})
}

fn container(fields: Value) -> Value {
    let mut all = json!({"name": "c", "image": "i"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"metadata": meta(), "spec": {"containers": [all]}})
}

fn service(spec: Value) -> Value {
    json!({"metadata": meta(), "spec": spec})
}

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

fn map(count: usize) -> Value {
    Value::Object((0..count).map(|n| (format!("k{n}"), json!("v"))).collect())
}

/// A kind, how many may be there, and the object with so many.
type Case = (&'static str, &'static str, usize, fn(usize) -> Value);

const CASES: [Case; 30] = [
    (
        "ConfigMap",
        "metadata.labels",
        LABELS_MAX,
        |n| json!({"metadata": {"name": "a", "namespace": "b", "labels": map(n)}}),
    ),
    (
        "ConfigMap",
        "metadata.finalizers",
        FINALIZERS_MAX,
        |n| json!({"metadata": {"name": "a", "namespace": "b", "finalizers": list(n, |n| json!(format!("x.y/f{n}")))}}),
    ),
    ("ConfigMap", "metadata.ownerReferences", OWNERS_MAX, |n| {
        let owner = |n| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{n}"), "uid": format!("u{n}")});
        json!({"metadata": {"name": "a", "namespace": "b", "ownerReferences": list(n, owner)}})
    }),
    ("ConfigMap", "data", DATA_KEYS_MAX, |n| json!({"metadata": meta(), "data": map(n)})),
    ("Pod", "spec.containers", CONTAINERS_MAX, |n| {
        pod(json!({"containers": list(n, |n| json!({"name": format!("c{n}"), "image": "i"}))}))
    }),
    ("Pod", "spec.initContainers", CONTAINERS_MAX, |n| {
        pod(json!({"initContainers": list(n, |n| json!({"name": format!("i{n}"), "image": "i"}))}))
    }),
    ("Pod", "spec.volumes", VOLUMES_MAX, |n| {
        pod(json!({"volumes": list(n, |n| json!({"name": format!("v{n}"), "emptyDir": {}}))}))
    }),
    ("Pod", "spec.tolerations", TAINTS_MAX, |n| {
        pod(
            json!({"tolerations": list(n, |n| if n == 0 { json!({"operator": "Exists"}) } else { json!({"key": format!("k{n}"), "operator": "Exists"}) })}),
        )
    }),
    ("Pod", "spec.nodeSelector", LABELS_MAX, |n| pod(json!({"nodeSelector": map(n)}))),
    ("Pod", "spec.imagePullSecrets", SMALL_LIST_MAX, |n| {
        pod(json!({"imagePullSecrets": list(n, |n| json!({"name": format!("s{n}")}))}))
    }),
    ("Pod", "spec.topologySpreadConstraints", SPREADS_MAX, |n| {
        let limit = |n| json!({"maxSkew": 1, "topologyKey": format!("k{n}"), "whenUnsatisfiable": "DoNotSchedule"});
        pod(json!({"topologySpreadConstraints": list(n, limit)}))
    }),
    ("Pod", "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", TERMS_MAX, |n| {
        let term = |n| json!({"topologyKey": format!("k{n}"), "labelSelector": {"matchLabels": {"a": "b"}}});
        let terms = json!({"requiredDuringSchedulingIgnoredDuringExecution": list(n, term)});
        pod(json!({"affinity": {"podAntiAffinity": terms}}))
    }),
    (
        "Pod",
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        TERMS_MAX,
        |n| {
            let term = |_| json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
            let terms = json!({"nodeSelectorTerms": list(n, term)});
            pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}))
        },
    ),
    ("Pod", "spec.containers[0].env", ENV_MAX, |n| {
        container(json!({"env": list(n, |n| json!({"name": format!("E{n}"), "value": "v"}))}))
    }),
    ("Pod", "spec.containers[0].envFrom", ENV_FROM_MAX, |n| {
        container(json!({"envFrom": list(n, |n| json!({"configMapRef": {"name": format!("m{n}")}}))}))
    }),
    ("Pod", "spec.containers[0].command", WORDS_MAX, |n| container(json!({"command": list(n, |_| json!("w"))}))),
    ("Pod", "spec.containers[0].args", WORDS_MAX, |n| container(json!({"args": list(n, |_| json!("w"))}))),
    ("Pod", "spec.containers[0].ports", CONTAINER_PORTS_MAX, |n| {
        container(json!({"ports": list(n, |n| json!({"containerPort": n + 1}))}))
    }),
    ("Service", "spec.ports", SERVICE_PORTS_MAX, |n| {
        service(json!({"ports": list(n, |n| json!({"name": format!("p{n}"), "port": n + 1}))}))
    }),
    ("Service", "spec.selector", LABELS_MAX, |n| service(json!({"ports": [{"port": 1}], "selector": map(n)}))),
    ("Service", "spec.externalIPs", SMALL_LIST_MAX, |n| {
        service(json!({"ports": [{"port": 1}], "externalIPs": list(n, |n| json!(format!("1.2.3.{n}")))}))
    }),
    ("EndpointSlice", "endpoints", ENDPOINTS_MAX, |n| {
        let endpoint = |n: usize| json!({"addresses": [format!("10.0.{}.{}", n / 250, n % 250)]});
        json!({"metadata": meta(), "addressType": "IPv4", "endpoints": list(n, endpoint)})
    }),
    ("EndpointSlice", "endpoints[0].addresses", ADDRESSES_MAX, |n| {
        let addresses = list(n, |n| json!(format!("10.0.0.{n}")));
        json!({"metadata": meta(), "addressType": "IPv4", "endpoints": [{"addresses": addresses}]})
    }),
    ("EndpointSlice", "ports", SLICE_PORTS_MAX, |n| {
        let port = |n| json!({"name": format!("p{n}"), "port": n + 1});
        json!({"metadata": meta(), "addressType": "IPv4", "ports": list(n, port)})
    }),
    (
        "Namespace",
        "spec.finalizers",
        FINALIZERS_MAX,
        |n| json!({"metadata": {"name": "a"}, "spec": {"finalizers": list(n, |n| json!(format!("x.y/f{n}")))}}),
    ),
    (
        "Node",
        "spec.taints",
        TAINTS_MAX,
        |n| json!({"metadata": {"name": "a"}, "spec": {"taints": list(n, |n| json!({"key": format!("k{n}"), "effect": "NoSchedule"}))}}),
    ),
    ("Role", "rules", RULES_MAX, |n| {
        let rule = |_| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        json!({"metadata": meta(), "rules": list(n, rule)})
    }),
    ("Role", "rules[0].resourceNames", RULE_WORDS_MAX, |n| {
        let names = list(n, |n| json!(format!("n{n}")));
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": names});
        json!({"metadata": meta(), "rules": [rule]})
    }),
    ("RoleBinding", "subjects", SUBJECTS_MAX, |n| {
        let subjects = list(n, |n| json!({"kind": "User", "name": format!("u{n}")}));
        json!({"metadata": meta(), "roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects})
    }),
    (
        "ServiceAccount",
        "imagePullSecrets",
        SMALL_LIST_MAX,
        |n| json!({"metadata": meta(), "imagePullSecrets": list(n, |n| json!({"name": format!("s{n}")}))}),
    ),
];

#[test]
fn there_may_be_so_many_and_no_more() {
    for (kind, field, count_max, of) in CASES {
        assert_eq!(lines(&create(&made(kind, of(count_max)))), "", "{field}");
        let told = lines(&create(&made(kind, of(count_max + 1))));
        let expected = format!("{field}: Too many: {}: must have at most {count_max} items\n", count_max + 1);
        assert_eq!(told, expected);
    }
}

#[test]
fn a_selector_has_so_many_conditions() {
    let deployment = |expressions: Value| {
        let labels = json!({"app": "a"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let selector = json!({"matchLabels": labels, "matchExpressions": expressions});
        made("Deployment", json!({"metadata": meta(), "spec": {"selector": selector, "template": template}}))
    };
    let absent = |n| json!({"key": format!("k{n}"), "operator": "DoesNotExist"});
    let values = |count| json!([{"key": "app", "operator": "In", "values": list(count, |n| json!(if n == 0 { "a".to_owned() } else { format!("v{n}") }))}]);
    for (expressions, field, count_max) in [
        (list(TERMS_MAX + 1, absent), "spec.selector.matchExpressions", TERMS_MAX),
        (values(TERM_VALUES_MAX + 1), "spec.selector.matchExpressions[0].values", TERM_VALUES_MAX),
    ] {
        let told = lines(&create(&deployment(expressions)));
        assert!(told.starts_with(&format!("{field}: Too many: {}: must have at most", count_max + 1)), "{told}");
    }
    assert_eq!(lines(&create(&deployment(list(TERMS_MAX, absent)))), "");
    assert_eq!(lines(&create(&deployment(values(TERM_VALUES_MAX)))), "");
}

#[test]
fn what_is_reported_has_limits_too() {
    let conditions = |n| list(n, |n| json!({"type": format!("T{n}"), "status": "True"}));
    let statuses = |n| list(n, |n| json!({"name": format!("c{n}"), "image": "i", "imageID": ""}));
    let of = |status: Value| json!({"metadata": meta(), "spec": {"containers": []}, "status": status});
    let long = "x".repeat(POD_STATUS_BYTES_MAX);
    for (value, told) in [
        (json!({"phase": "Running", "conditions": conditions(CONDITIONS_MAX)}), ""),
        (json!({"phase": "Running", "conditions": conditions(CONDITIONS_MAX + 1)}), "status.conditions: Too many: 65"),
        (
            json!({"phase": "Running", "containerStatuses": statuses(CONTAINERS_MAX + 1)}),
            "status.containerStatuses: Too many",
        ),
        (json!({"phase": "Running", "message": long}), "status: Too long: may not be more than 131072 bytes"),
    ] {
        let pod = made("Pod", of(value));
        let said = lines(&update_part(&pod, &pod, Subresource::Status));
        assert!(said.starts_with(told) && said.is_empty() == told.is_empty(), "{said}");
    }
    let node =
        made("Node", json!({"metadata": {"name": "a"}, "status": {"images": list(IMAGES_MAX + 1, |_| json!({}))}}));
    assert!(lines(&create(&node)).starts_with("status.images: Too many: 1025"));
    let event =
        json!({"metadata": meta(), "involvedObject": {"namespace": "default"}, "message": "x".repeat(EVENT_BYTES_MAX)});
    assert!(lines(&create(&made("Event", event))).contains("Too long: may not be more than 16384 bytes"));
}

#[test]
fn a_part_of_an_object_brings_no_more_than_the_whole() {
    let owner = |n| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{n}"), "uid": format!("u{n}")});
    let owned = |n| made("ConfigMap", json!({"metadata": {"name": "a", "ownerReferences": list(n, owner)}}));
    let told = |n| lines(&update_part(&owned(1), &owned(n), Subresource::Owners));
    assert_eq!(told(OWNERS_MAX), "");
    assert!(told(OWNERS_MAX + 1).starts_with("metadata.ownerReferences: Too many: 65"), "{}", told(OWNERS_MAX + 1));
}

#[test]
fn variables_that_double_are_refused_with_their_place() {
    let doubled = |count: usize| {
        let double = |n: usize| match n {
            0 => json!({"name": "E0", "value": "x"}),
            n => json!({"name": format!("E{n}"), "value": format!("$(E{})$(E{})", n - 1, n - 1)}),
        };
        lines(&create(&made("Pod", container(json!({"env": list(count, double)})))))
    };
    assert_eq!(doubled(15), "");
    assert!(
        doubled(45).starts_with("spec.containers[0].env[19].value: Forbidden: the variables, command and"),
        "{}",
        doubled(45)
    );
    let same = json!({"env": list(45, |n| json!({"name": "E", "value": if n == 0 { "x" } else { "$(E)$(E)" }}))});
    assert!(lines(&create(&made("Pod", container(same)))).contains("spec.containers[0].env["));
    let args = json!({"env": [{"name": "E", "value": "x".repeat(ENVIRONMENT_BYTES_MAX / 4)}], "args": ["$(E)$(E)", "$(E)$(E)"]});
    assert!(lines(&create(&made("Pod", container(args)))).starts_with("spec.containers[0].args[1]: Forbidden"));
    let unknown = json!({"args": ["$(WHO)".repeat(1000)], "env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "T", "value": "$(S)$(S)"}]});
    assert_eq!(lines(&create(&made("Pod", container(unknown)))), "");
}

#[test]
fn an_error_is_not_larger_than_what_caused_it() {
    let labels: Value =
        (0..200).map(|n| (format!("!{n}"), json!("y".repeat(10_000)))).collect::<serde_json::Map<_, _>>().into();
    let causes = create(&made("ConfigMap", json!({"metadata": {"name": "a", "namespace": "b", "labels": labels}})));
    assert_eq!(causes.len(), CAUSES_MAX + 1);
    assert!(causes.iter().all(|cause| cause.message.len() < 2_000));
    assert!(causes.last().unwrap().message.starts_with("and "), "{:?}", causes.last());
}
