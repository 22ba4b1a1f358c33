//! Kubernetes' own roles, as controllers make and gather them, and the decisions that follow: held against a second reading of the
//! same objects, which knows nothing of the first, for every combination of some subjects, verbs, resources, names and namespaces.

use std::time::Duration;

use api::{Object, Served, Write, json::Strictness};
use registry::{Attributes, ResourceAttributes, Roles, User};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Weather};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Somebody, and what is bound to it: `KIND ROLE` in a namespace, or everywhere.
const SUBJECTS: [(&str, &[&str], &str, &str); 9] = [
    ("ann", &["system:authenticated"], "ClusterRole view", "a"),
    ("bob", &["system:authenticated"], "ClusterRole edit", "a"),
    ("carl", &["system:authenticated"], "ClusterRole admin", "a"),
    ("dora", &["system:authenticated"], "ClusterRole cluster-admin", ""),
    ("eve", &["system:authenticated"], "ClusterRole view", ""),
    ("frank", &["system:authenticated"], "Role named", "a"),
    (
        "system:serviceaccount:b:robot",
        &["system:serviceaccounts", "system:serviceaccounts:b"],
        "ClusterRole widgets",
        "a",
    ),
    ("system:kube-scheduler", &[], "ClusterRole system:node", "b"),
    ("gil", &[], "ClusterRole missing", ""),
];

const VERBS: [&str; 11] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "escalate", "*"];

/// With their groups; the core one is empty.
const RESOURCES: [(&str, &str); 32] = [
    ("", "pods"),
    ("", "pods/log"),
    ("", "pods/exec"),
    ("", "pods/eviction"),
    ("", "pods/status"),
    ("", "pods/binding"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("", "services/proxy"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("", "namespaces"),
    ("", "nodes"),
    ("", "nodes/status"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("", "users"),
    ("", "persistentvolumes"),
    ("apps", "deployments"),
    ("apps", "deployments/scale"),
    ("apps", "deployments/status"),
    ("batch", "jobs"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("networking.k8s.io", "ingresses"),
    ("coordination.k8s.io", "leases"),
    (GROUP, "roles"),
    (GROUP, "clusterroles"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("example.org", "widgets"),
    ("*", "*"),
];

fn object(kind: &str, namespace: &str, name: &str, mut value: Value) -> Object {
    let api_version = format!("{GROUP}/v1");
    let served = Served::from_api_version(&api_version, kind).expect("it is served");
    (value["apiVersion"], value["kind"]) = (api_version.into(), kind.into());
    (value["metadata"]["name"], value["metadata"]["namespace"]) = (name.into(), namespace.into());
    api::json::decode(served, &value, Strictness::Strict).expect("it is an object").object
}

fn binding(name: &str, user: &str, role: &str, namespace: &str) -> Object {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    let (role_kind, role) = role.split_once(' ').expect("a kind and a name");
    let subject = match user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':')) {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"kind": "User", "apiGroup": GROUP, "name": user}),
    };
    let role = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    object(kind, namespace, name, json!({"roleRef": role, "subjects": [subject]}))
}

/// A cluster with its own roles, those of users, and a binding for each subject.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(1, Weather::default());
    let named = json!([{"apiGroups": [""], "resources": ["secrets", "pods/log"], "resourceNames": ["x"], "verbs": ["get", "update"]}]);
    let widgets = json!([{"apiGroups": ["example.org"], "resources": ["widgets", "*/scale"], "verbs": ["*"]}]);
    let part = json!({"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}});
    let seen = json!([{"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get", "list"]}]);
    let mut objects = vec![
        object("Role", "a", "named", json!({"rules": named})),
        object("ClusterRole", "", "widgets", json!({"rules": widgets})),
        object("ClusterRole", "", "part", json!({"metadata": part, "rules": seen})),
    ];
    let bindings = SUBJECTS.iter().enumerate();
    objects.extend(bindings.map(|(n, (user, _, role, namespace))| binding(&format!("b{n}"), user, role, namespace)));
    for name in ["a", "b", *api::well_known::NAMESPACES.last().expect("there are some")] {
        let mut namespace = api::core_v1::Namespace::default();
        api::kinds::Resource::metadata_mut(&mut namespace).name = name.to_owned();
        cluster.submit(&Write::Create(namespace.into())).expect("a namespace");
    }
    for object in objects {
        cluster.submit(&Write::Create(object)).expect("it is stored");
    }
    cluster.advance(Duration::from_secs(5)).expect("nothing goes wrong");
    cluster
}

/// The second reading: every binding and role as JSON, looked through from the first to the last.
struct Simple(Vec<Value>);

impl Simple {
    fn of(cluster: &Cluster) -> Self {
        use api::rbac_v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
        let mut all: Vec<Object> = cluster.all::<ClusterRole>().into_iter().map(Object::from).collect();
        all.extend(cluster.all::<Role>().into_iter().map(Object::from));
        all.extend(cluster.all::<ClusterRoleBinding>().into_iter().map(Object::from));
        all.extend(cluster.all::<RoleBinding>().into_iter().map(Object::from));
        Self(all.iter().map(api::json::encode).collect())
    }

    fn allows(&self, user: &User, asked: &ResourceAttributes<'_>) -> bool {
        self.0.iter().filter(|object| object["roleRef"].is_object()).any(|binding| {
            let namespace = binding["metadata"]["namespace"].as_str().unwrap_or_default();
            (namespace.is_empty() || namespace == asked.namespace)
                && items(&binding["subjects"]).iter().any(|subject| is_subject(subject, user))
                && self.rules(&binding["roleRef"], namespace).iter().any(|rule| does_allow(rule, asked))
        })
    }

    /// The rules of a role. Those of one that gathers are found by its labels here, whatever stands in it.
    fn rules(&self, reference: &Value, namespace: &str) -> Vec<Value> {
        let namespace = if reference["kind"] == "Role" { namespace } else { "" };
        let is_it = |object: &&Value| {
            object["kind"] == reference["kind"]
                && object["metadata"]["name"] == reference["name"]
                && object["metadata"]["namespace"].as_str().unwrap_or_default() == namespace
        };
        let Some(role) = self.0.iter().find(is_it) else { return Vec::new() };
        let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
            return items(&role["rules"]);
        };
        let has = |part: &Value, selector: &Value| {
            let wanted = selector["matchLabels"].as_object().expect("labels");
            wanted.iter().all(|(label, value)| part["metadata"]["labels"][label] == *value)
        };
        let parts = self.0.iter().filter(|part| part["kind"] == "ClusterRole");
        let parts = parts.filter(|part| selectors.iter().any(|selector| has(part, selector)));
        parts
            .flat_map(|part| self.rules(&json!({"kind": "ClusterRole", "name": part["metadata"]["name"]}), ""))
            .collect()
    }
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn is_subject(subject: &Value, user: &User) -> bool {
    let name = subject["name"].as_str().expect("a name");
    match subject["kind"].as_str().expect("a kind") {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            user.name == format!("system:serviceaccount:{}:{name}", subject["namespace"].as_str().expect("a namespace"))
        }
        other => panic!("{other}"),
    }
}

fn does_allow(rule: &Value, asked: &ResourceAttributes<'_>) -> bool {
    let has = |field: &str, word: &str| items(&rule[field]).iter().any(|known| known == word);
    let whole = if asked.subresource.is_empty() {
        asked.resource.to_owned()
    } else {
        format!("{}/{}", asked.resource, asked.subresource)
    };
    let any_part = !asked.subresource.is_empty() && has("resources", &format!("*/{}", asked.subresource));
    let names = items(&rule["resourceNames"]);
    let groups: &[&str] = if asked.resource == "events" { &["", "events.k8s.io"] } else { &[asked.group] };
    (has("verbs", "*") || has("verbs", asked.verb))
        && (has("apiGroups", "*") || groups.iter().any(|group| has("apiGroups", group)))
        && (has("resources", "*") || has("resources", &whole) || any_part)
        && (names.is_empty() || names.iter().any(|name| name == asked.name))
}

#[test]
fn every_decision_is_the_same_by_a_second_reading() {
    let cluster = cluster();
    let (roles, simple) = (Roles::new(&cluster.view()), Simple::of(&cluster));
    let (mut asked_for, mut allowed) = (0, 0);
    for (name, groups, ..) in SUBJECTS {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let user = User { name: name.to_owned(), groups, ..User::default() };
        for (verb, (group, resource)) in VERBS.iter().flat_map(|verb| RESOURCES.map(|resource| (*verb, resource))) {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            for (namespace, name) in [("", ""), ("a", ""), ("a", "x"), ("b", "x")] {
                let asked = ResourceAttributes { verb, group, resource, subresource, namespace, name };
                let verdict = roles.verdict(&user, &Attributes::Resource(asked));
                assert_eq!(verdict.allowed, simple.allows(&user, &asked), "{user:?} {asked:?} {}", verdict.reason);
                asked_for += 1;
                allowed += usize::from(verdict.allowed);
            }
        }
    }
    assert!(asked_for > 10_000 && allowed > 1_000 && allowed < asked_for / 2, "{allowed} of {asked_for}");
}

/// What people rely on, in words that no evaluator can get wrong.
#[test]
fn the_roles_of_kubernetes_mean_what_everybody_knows() {
    let cluster = cluster();
    let roles = Roles::new(&cluster.view());
    let may = |name: &str, verb: &str, resource: &str, namespace: &str| {
        let user = User { name: name.to_owned(), ..User::default() };
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = ResourceAttributes { verb, group, resource, subresource, namespace, name: "" };
        roles.verdict(&user, &Attributes::Resource(asked)).allowed
    };
    for (user, verb, resource, namespace, expected) in [
        ("ann", "list", "pods", "a", true),
        ("ann", "get", "secrets", "a", false),
        ("ann", "get", "widgets.example.org", "a", true),
        ("ann", "list", "pods", "b", false),
        ("bob", "get", "secrets", "a", true),
        ("bob", "create", "pods/exec", "a", true),
        ("bob", "get", "widgets.example.org", "a", true),
        ("bob", "create", "roles.rbac.authorization.k8s.io", "a", false),
        ("carl", "create", "roles.rbac.authorization.k8s.io", "a", true),
        ("carl", "escalate", "roles.rbac.authorization.k8s.io", "a", false),
        ("carl", "delete", "nodes", "", false),
        ("dora", "delete", "nodes", "", true),
        ("eve", "list", "pods", "", true),
    ] {
        assert_eq!(may(user, verb, resource, namespace), expected, "{user} {verb} {resource} {namespace:?}");
    }
}
