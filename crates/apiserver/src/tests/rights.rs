//! Users who have what roles give: who they are, as whom they act, what they are told that they may do, and what they then do.

use std::sync::Arc;

use api::{Object, Served, Write, json::Strictness};
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use registry::{Caller, User, WriteOptions};
use serde_json::{Value, json};

use super::{House, node_caller, soon};
use crate::server::Languages;

const GROUP: &str = "rbac.authorization.k8s.io";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

struct Street {
    house: House,
    languages: Languages,
}

/// A house in which Ann may read ConfigMaps of `default` and act as Bob, as a group, and as an account; and ask about others.
async fn street() -> Street {
    let house = House::new().await;
    let rule = |verbs: &[&str], group: &str, resources: &[&str], names: &[&str]| json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "resourceNames": names});
    let reads = [rule(&["get", "list"], "", &["configmaps"], &[])];
    let acts = [
        rule(&["impersonate"], "", &["users"], &["bob"]),
        rule(&["impersonate"], "", &["groups"], &["devs"]),
        rule(&["impersonate"], "", &["serviceaccounts"], &["robot"]),
        rule(&["impersonate"], "authentication.k8s.io", &["uids"], &["7"]),
        rule(&["impersonate"], "authentication.k8s.io", &["userextras/scopes"], &["all"]),
        rule(&["create"], "authorization.k8s.io", &["subjectaccessreviews"], &[]),
    ];
    for (kind, namespace, name, more) in [
        ("ClusterRole", "", "reads", json!({"rules": reads})),
        ("ClusterRole", "", "acts", json!({"rules": acts})),
        ("RoleBinding", "default", "ann", bound("reads", &[("User", "ann")])),
        ("RoleBinding", "default", "devs", bound("reads", &[("Group", "devs")])),
        ("ClusterRoleBinding", "", "ann", bound("acts", &[("User", "ann")])),
    ] {
        let object = object(kind, namespace, name, more);
        house.registry.submit(Write::Create(object), WriteOptions::default()).await.unwrap();
    }
    let languages = Languages::new(house.registry.clone(), house.aggregator(), house.images.clone(), None).await;
    Street { house, languages }
}

fn bound(role: &str, to: &[(&str, &str)]) -> Value {
    let subject = |(kind, name): &(&str, &str)| json!({"kind": kind, "apiGroup": GROUP, "name": name});
    let subjects: Vec<Value> = to.iter().map(subject).collect();
    json!({"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": subjects})
}

fn object(kind: &str, namespace: &str, name: &str, mut value: Value) -> Object {
    let api_version = format!("{GROUP}/v1");
    let served = Served::from_api_version(&api_version, kind).unwrap();
    (value["apiVersion"], value["kind"]) = (api_version.into(), kind.into());
    value["metadata"] = json!({"name": name, "namespace": namespace});
    api::json::decode(served, &value, Strictness::Strict).unwrap().object
}

fn user(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Caller::User(Arc::new(User { name: name.to_owned(), groups, ..User::default() }))
}

fn ann() -> Caller {
    user("ann", &["system:authenticated"])
}

impl Street {
    /// Asks as somebody, with `name: value` headers.
    async fn ask(&self, caller: Caller, line: &str, headers: &[&str], body: Value) -> (StatusCode, Value) {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers.iter().filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.body(body).unwrap();
        let answer = soon(self.languages.answer(request, Arc::new(caller), [127, 0, 0, 1].into())).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        (head.status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// `yes` or `no`, and why, as a review answers somebody.
    async fn may(&self, caller: Caller, review: &str, spec: Value) -> (Value, Value) {
        let (code, answer) = self.ask(caller, &format!("POST {REVIEWS}/{review}"), &[], json!({"spec": spec})).await;
        assert_eq!(code, StatusCode::CREATED, "{answer}");
        let mut said = spec;
        let asked = said["resourceAttributes"].as_object_mut();
        asked.into_iter().for_each(|asked| asked.retain(|_, value| *value != ""));
        assert_eq!(answer["spec"], said, "what is empty is left out");
        (answer["status"]["allowed"].clone(), answer["status"]["reason"].clone())
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn who_may_acts_as_others_and_no_more() {
    let street = street().await;
    let root = || Caller::Admin { name: "tester".to_owned() };
    let maps = format!("GET {MAPS}");
    let (code, refused) = street.ask(root(), &maps, &["Impersonate-User: joe"], Value::Null).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        refused["message"],
        "configmaps is forbidden: User \"joe\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\": a role of its own would allow it: kubectl create role NAME --verb=list --resource=configmaps \
         --namespace=default; kubectl create rolebinding NAME --role=NAME --user=joe --namespace=default"
    );
    assert_eq!(refused["details"], json!({"kind": "configmaps"}));
    let cases: [(&[&str], StatusCode); 9] = [
        (&["Impersonate-User: bob"], StatusCode::FORBIDDEN),
        (&["Impersonate-User: bob", "Impersonate-Group: devs"], StatusCode::OK),
        (&["Impersonate-User: bob", "Impersonate-Group: ops"], StatusCode::FORBIDDEN),
        (&["Impersonate-User: joe", "Impersonate-Group: devs"], StatusCode::FORBIDDEN),
        (&["Impersonate-User: bob", "Impersonate-Group: system:masters"], StatusCode::FORBIDDEN),
        (&["Impersonate-Group: devs"], StatusCode::BAD_REQUEST),
        (&["Impersonate-User: bob", "Impersonate-Uid: 8"], StatusCode::FORBIDDEN),
        (&["Impersonate-User: bob", "Impersonate-Extra-Scopes: some"], StatusCode::FORBIDDEN),
        (&[], StatusCode::OK),
    ];
    for (headers, expected) in cases {
        let (code, answer) = street.ask(ann(), &maps, headers, Value::Null).await;
        assert_eq!(code, expected, "{headers:?}: {answer}");
        if !headers.is_empty() {
            let nobody = street.ask(Caller::Nobody, &maps, headers, Value::Null).await.0;
            let expected = if expected == StatusCode::BAD_REQUEST { expected } else { StatusCode::UNAUTHORIZED };
            assert_eq!(nobody, expected, "{headers:?}");
            let node = node_caller(&street.house.registry, "w1").await;
            assert_ne!(street.ask(node, &maps, headers, Value::Null).await.0, StatusCode::OK, "{headers:?}");
        }
    }
    let (_, refused) = street.ask(ann(), &maps, &["Impersonate-User: joe"], Value::Null).await;
    let told = refused["message"].as_str().unwrap();
    let sentence = "users \"joe\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert!(told.starts_with(sentence), "{told}");

    let all =
        ["Impersonate-User: bob", "Impersonate-Group: devs", "Impersonate-Uid: 7", "Impersonate-Extra-Scopes: all"];
    let review = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, answer) = street.ask(ann(), review, &all, json!({})).await;
    assert_eq!(code, StatusCode::CREATED);
    let expected = json!({
        "username": "bob", "uid": "7", "groups": ["devs", "system:authenticated"], "extra": {"scopes": ["all"]},
    });
    assert_eq!(answer["status"]["userInfo"], expected);
    let account = ["Impersonate-User: system:serviceaccount:default:robot"];
    let (_, answer) = street.ask(ann(), review, &account, json!({})).await;
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(answer["status"]["userInfo"]["groups"], groups);
}

#[tokio::test]
async fn grpc_carries_it_by_metadata() {
    let street = street().await;
    for (headers, status) in [(&["impersonate-user", "joe"][..], "7"), (&["impersonate-group", "devs"], "3")] {
        let request = Request::post("/kapelle.api.v1.Cluster/Backup").header(header::CONTENT_TYPE, "application/grpc");
        let request =
            request.header(header::TE, "trailers").header(headers[0], headers[1]).body(Body::empty()).unwrap();
        let root = Arc::new(Caller::Admin { name: "tester".to_owned() });
        let answer = soon(street.languages.answer(request, root, [127, 0, 0, 1].into())).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], status, "{headers:?}");
    }
}

#[tokio::test]
async fn reviews_tell_what_a_request_would_be_answered() {
    let street = street().await;
    let asks = |verb: &str, resource: &str, namespace: &str| json!({"resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace}});
    let own = "selfsubjectaccessreviews";
    let by = "RBAC: allowed by RoleBinding \"ann/default\" of ClusterRole \"reads\" to User \"ann\"";
    assert_eq!(street.may(ann(), own, asks("list", "configmaps", "default")).await, (json!(true), json!(by)));
    for (verb, namespace) in [("delete", "default"), ("list", "kube-system"), ("list", "")] {
        assert_eq!(street.may(ann(), own, asks(verb, "configmaps", namespace)).await, (json!(false), Value::Null));
    }
    let root = Caller::Admin { name: "tester".to_owned() };
    assert_eq!(street.may(root, own, asks("delete", "anything", "")).await.0, json!(true));
    let node = node_caller(&street.house.registry, "w1").await;
    assert_eq!(street.may(node.clone(), own, asks("list", "services", "")).await.0, json!(true));
    let (allowed, why) = street.may(node, own, asks("list", "secrets", "")).await;
    assert_eq!(allowed, json!(false));
    assert!(why.as_str().unwrap().ends_with("a node may only get what its Pods use, by name"), "{why}");

    let others = "subjectaccessreviews";
    let of = |who: Value| {
        let mut spec = asks("get", "configmaps", "default");
        spec.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        spec
    };
    assert_eq!(street.may(ann(), others, of(json!({"user": "bob"}))).await.0, json!(false));
    assert_eq!(street.may(ann(), others, of(json!({"user": "bob", "groups": ["devs"]}))).await.0, json!(true));
    assert_eq!(street.may(ann(), others, of(json!({"groups": ["system:masters"]}))).await.0, json!(true));
    let local = "namespaces/default/localsubjectaccessreviews";
    let refused = street.ask(ann(), &format!("POST {REVIEWS}/{local}"), &[], json!({"spec": of(json!({}))})).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN, "{}", refused.1);
    let root = || Caller::Admin { name: "tester".to_owned() };
    assert_eq!(street.may(root(), local, of(json!({"user": "ann"}))).await.0, json!(true));
    let bare = user("joe", &[]);
    let line = format!("POST {REVIEWS}/{others}");
    assert_eq!(street.ask(bare, &line, &[], json!({"spec": of(json!({"user": "x"}))})).await.0, StatusCode::FORBIDDEN);
    for (line, spec, why) in [
        (line.clone(), of(json!({})), "at least one of user or group must be specified"),
        (line, json!({"user": "x"}), "exactly one of nonResourceAttributes or resourceAttributes"),
        (
            format!("POST {REVIEWS}/namespaces/kube-system/localsubjectaccessreviews"),
            of(json!({"user": "x"})),
            "must match",
        ),
        (format!("POST {REVIEWS}/{others}"), of(json!({"groups": vec!["g"; 1025]})), "must have at most 1024 groups"),
    ] {
        let (code, answer) = street.ask(root(), &line, &[], json!({"spec": spec})).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
    }
}

#[tokio::test]
async fn reviews_heed_the_fields_by_which_a_node_selects() {
    let street = street().await;
    let node = node_caller(&street.house.registry, "w1").await;
    let (own, others) = ("selfsubjectaccessreviews", "subjectaccessreviews");
    let pods =
        |field: Value| json!({"resourceAttributes": {"verb": "watch", "resource": "pods", "fieldSelector": field}});
    let raw = |text: &str| json!({"rawSelector": text});
    let one = |operator: &str, values: Value| json!({"requirements": [{"key": "spec.nodeName", "operator": operator, "values": values}]});
    for (field, allowed) in [
        (raw("spec.nodeName=w1"), true),
        (raw("status.phase!=Failed,spec.nodeName==w1,nobody=knows"), true),
        (one("In", json!(["w1"])), true),
        (raw("spec.nodeName=w2"), false),
        (raw("spec.nodeName!=w1"), false),
        (one("In", json!(["w2"])), false),
        (one("NotIn", json!(["w1"])), false),
        (one("In", json!(["w1", "w2"])), false),
        (raw("nonsense"), false),
    ] {
        assert_eq!(street.may(node.clone(), own, pods(field.clone())).await.0, json!(allowed), "{field}");
        let mut of_node = pods(field.clone());
        of_node["user"] = "system:node:w1".into();
        of_node["groups"] = json!(["system:nodes"]);
        let root = Caller::Admin { name: "tester".to_owned() };
        assert_eq!(street.may(root, others, of_node).await.0, json!(allowed), "{field}");
    }
    let requests = json!({"resourceAttributes": {
        "verb": "list", "group": "certificates.k8s.io", "resource": "podcertificaterequests",
        "fieldSelector": raw("spec.nodeName=w1"),
    }});
    assert_eq!(street.may(node, own, requests).await.0, json!(true));

    let root = || Caller::Admin { name: "tester".to_owned() };
    let line = format!("POST {REVIEWS}/{others}");
    let maps = |more: Value| {
        let mut asked = json!({"verb": "list", "resource": "configmaps", "namespace": "default"});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": {"user": "bob", "groups": ["devs"], "resourceAttributes": asked}})
    };
    let odd = maps(json!({"fieldSelector": raw("nonsense"), "labelSelector": raw("a in (")}));
    let (code, answer) = street.ask(root(), &line, &[], odd).await;
    assert_eq!((code, &answer["status"]["allowed"]), (StatusCode::CREATED, &json!(true)), "no role depends on it");
    assert_eq!(
        answer["status"]["evaluationError"],
        "spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to \
         parse error"
    );
    let both = json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]});
    for (more, why) in [
        (
            json!({"fieldSelector": {}}),
            "fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector",
        ),
        (
            json!({"labelSelector": both}),
            "labelSelector.rawSelector: Invalid value: \"a=b\": may not specified at the same time",
        ),
    ] {
        let (code, answer) = street.ask(root(), &line, &[], maps(more)).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
    }
}

#[tokio::test]
async fn the_rules_of_the_asker_are_listed() {
    let street = street().await;
    let line = format!("POST {REVIEWS}/selfsubjectrulesreviews");
    let (code, answer) = street.ask(ann(), &line, &[], json!({"spec": {"namespace": "default"}})).await;
    assert_eq!(code, StatusCode::CREATED);
    let rules = answer["status"]["resourceRules"].as_array().unwrap();
    assert_eq!(rules.len(), 7, "{answer}");
    assert!(rules.contains(&json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"]})));
    assert_eq!(answer["status"]["incomplete"], false);
    assert_eq!(answer["status"]["nonResourceRules"], json!([]));
    let (code, _) = street.ask(ann(), &line, &[], json!({"spec": {}})).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
}
