//! Where requests belong, and how many seats levels have.

use api::{
    Object, Served,
    json::{self, Strictness},
};
use serde_json::{Value, json};

use super::*;

fn object(kind: &str, mut value: Value) -> Object {
    let group = "flowcontrol.apiserver.k8s.io/v1";
    let served = Served::from_api_version(group, kind).expect("it is served");
    (value["apiVersion"], value["kind"]) = (group.into(), kind.into());
    let mut object = json::decode(served, &value, Strictness::Strict).expect("it can be read").object;
    api::defaults::apply(&mut object);
    assert_eq!(api::validate::create(&object), []);
    object
}

/// Kubernetes' own, and these.
fn scheme(more: Vec<Object>) -> Scheme {
    let mut schemas: Vec<_> = flow_control::schemas().collect();
    let mut levels: Vec<_> = flow_control::levels().collect();
    schemas.extend(more.iter().filter_map(|object| object.get::<FlowSchema>().cloned()));
    levels.extend(more.iter().filter_map(|object| object.get::<PriorityLevelConfiguration>().cloned()));
    Scheme::of(schemas, levels)
}

fn schema(name: &str, precedence: i32, level: &str, rule: Value) -> Object {
    let spec =
        json!({"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": [rule]});
    object("FlowSchema", json!({"metadata": {"name": name}, "spec": spec}))
}

/// `list pods in a`, `get nodes/status`, `get deployments.apps in a`, or `get /version`.
fn asked(line: &str) -> Attributes<'_> {
    let (what, namespace) = line.split_once(" in ").unwrap_or((line, ""));
    let (verb, what) = what.split_once(' ').expect("a verb");
    if what.starts_with('/') {
        return Attributes::NonResource { verb, path: what };
    }
    let (what, group) = what.split_once('.').unwrap_or((what, ""));
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    Attributes::Resource(ResourceAttributes { verb, group, resource, subresource, namespace, name: "" })
}

fn check(scheme: &Scheme, cases: &[(&str, &str, &str, &str)]) {
    for (user, groups, line, expected) in cases {
        let place = scheme.find(user, groups.split_whitespace(), &asked(line));
        assert_eq!(scheme.schema(place).0.name, *expected, "{user}: {line}");
    }
}

const ACCOUNT: &str = "system:serviceaccounts system:serviceaccounts:shop system:authenticated";

#[test]
fn requests_belong_where_kubernetes_puts_them() {
    check(
        &scheme(Vec::new()),
        &[
            ("root", "system:masters system:authenticated", "delete pods in a", "exempt"),
            ("ann", "system:authenticated", "list pods in a", "global-default"),
            ("ann", "system:authenticated", "get /healthz", "probes"),
            ("ann", "system:authenticated", "get /healthz/etcd", "probes"),
            ("ann", "system:authenticated", "get /healthzz", "global-default"),
            ("ann", "system:authenticated", "post /healthz", "global-default"),
            ("system:anonymous", "system:unauthenticated", "get /readyz", "probes"),
            ("system:anonymous", "system:unauthenticated", "get /version", "global-default"),
            ("system:node:w1", "system:nodes system:authenticated", "update nodes/status", "system-node-high"),
            ("system:node:w1", "system:nodes system:authenticated", "get nodes/proxy", "system-nodes"),
            (
                "system:node:w1",
                "system:nodes system:authenticated",
                "get leases.coordination.k8s.io in a",
                "system-node-high",
            ),
            ("system:node:w1", "system:nodes system:authenticated", "list leases.coordination.k8s.io", "system-nodes"),
            ("system:serviceaccount:shop:till", ACCOUNT, "list pods in a", "service-accounts"),
            ("system:serviceaccount:kube-system:dns", ACCOUNT, "list pods in a", "kube-system-service-accounts"),
            (
                "system:serviceaccount:kube-system:dns",
                ACCOUNT,
                "update leases.coordination.k8s.io in a",
                "system-leader-election",
            ),
            ("system:kube-scheduler", "system:authenticated", "list pods", "kube-scheduler"),
            ("nobody", "", "list pods", "catch-all"),
        ],
    );
}

#[test]
fn the_smallest_precedence_counts_and_then_the_first_name() {
    let everything =
        json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]);
    let whose = |kind: &str, field: &str, of: Value| json!([{"kind": kind, field: of}]);
    let rule = |subjects: Value| json!({"subjects": subjects, "resourceRules": everything.clone()});
    let ann = || rule(whose("User", "user", json!({"name": "ann"})));
    let listing =
        json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["pods", "pods/log"], "namespaces": ["shop"]}]);
    let shop = whose("ServiceAccount", "serviceAccount", json!({"namespace": "shop", "name": "*"}));
    let till = whose("ServiceAccount", "serviceAccount", json!({"namespace": "shop", "name": "till"}));
    let scheme = scheme(vec![
        schema("b", 500, "system", ann()),
        schema("a", 500, "system", ann()),
        schema("lost", 2, "missing", ann()),
        schema("devs", 400, "system", rule(whose("Group", "group", json!({"name": "devs"})))),
        schema("shop", 300, "system", json!({"subjects": shop, "resourceRules": listing})),
        schema("till", 301, "system", rule(till)),
        schema("all", 9_999, "system", rule(whose("User", "user", json!({"name": "*"})))),
    ]);
    check(
        &scheme,
        &[
            ("ann", "", "list pods", "a"),
            ("ann", "ops devs", "list pods", "devs"),
            ("bob", "devs", "list pods in a", "devs"),
            ("bob", "", "list pods in a", "all"),
            ("bob", "", "get /version", "catch-all"),
            ("system:serviceaccount:shop:till", "", "list pods in shop", "shop"),
            ("system:serviceaccount:shop:till", "", "list pods/log in shop", "shop"),
            ("system:serviceaccount:shop:till", "", "list pods/status in shop", "till"),
            ("system:serviceaccount:shop:till", "", "list pods", "till"),
            ("system:serviceaccount:shop:clerk", "", "get pods in shop", "all"),
            ("system:serviceaccount:shopping:till", "", "list pods in shop", "all"),
        ],
    );
}

#[test]
fn seats_are_divided_by_shares() {
    let level = |name: &str, limited: Value| {
        object(
            "PriorityLevelConfiguration",
            json!({"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}),
        )
    };
    let scheme = scheme(vec![
        level("none", json!({"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}})),
        level(
            "small",
            json!({"nominalConcurrencyShares": 5, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}),
        ),
        level(
            "queue",
            json!({"nominalConcurrencyShares": 50, "lendablePercent": 10, "borrowingLimitPercent": 50,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 7}}}),
        ),
    ]);
    // 300 shares in all, of 600 seats.
    let of = |name: &str| scheme.levels.iter().find(|level| &*level.name == name).expect("it is there");
    let limits = |name: &str| of(name).limits;
    assert_eq!(limits("none"), Limits { nominal: 0, lendable: 0, most: USER_REQUESTS_MAX, queue: None });
    assert_eq!(limits("small"), Limits { nominal: 10, lendable: 0, most: 10, queue: None });
    assert_eq!(limits("queue"), Limits { nominal: 100, lendable: 10, most: 150, queue: Some((7, 7)) });
    assert!(of("queue").is_one_queue && !of("system").is_one_queue);
    assert_eq!(limits("workload-low"), Limits { nominal: 200, lendable: 180, most: 800, queue: Some((50, 6_400)) });
    let exempt = Limits { nominal: 600, lendable: 0, most: 600, queue: Some((FLOW_WAITING_MAX, 600)) };
    assert_eq!(limits("exempt"), exempt);
}

#[test]
fn what_is_mandatory_counts_before_anybody_has_made_it() {
    let scheme = Scheme::of(Vec::new(), Vec::new());
    check(&scheme, &[("root", "system:masters", "list pods", "exempt"), ("ann", "", "list pods", "catch-all")]);
    assert!(scheme.is_imagined());
}
