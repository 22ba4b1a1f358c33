//! What others who are asked make of a write, told by somebody who stands for the network.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use api::{
    DeleteOptions, Error, Key, Kind, Object, PatchKind, ReadAt, Reason, Served, Subresource, Write, apps_v1,
    authentication_v1::{TokenRequest, TokenRequestSpec},
    core_v1,
    json::{self, Strictness},
    kinds::Resource as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use rpc::identity::Authority;
use serde_json::{Value, json};

use super::{House, config_map};
use crate::{Call, CallError, Calls, Registry, Wanted, WriteOptions, Written};

mod requests;

type Answers = dyn Fn(&str, &Value) -> Result<Value, CallError> + Send + Sync;

/// Answers in the place of webhooks, and keeps what they were asked.
#[derive(Clone)]
struct Network {
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Answers>,
    /// Somebody who writes while the first question is being answered.
    meddler: Arc<Mutex<Option<Registry>>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Calls for Network {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let review: Value = serde_json::from_slice(&call.body).unwrap();
        let request = review["request"].clone();
        let answer = (self.answers)(&call.url, &request);
        self.asked.lock().unwrap().push((call.url, request.clone()));
        let meddler = self.meddler.lock().unwrap().take();
        async move {
            if let Some(registry) = meddler {
                let key = Key::namespaced(Kind::ConfigMap, "default", "a");
                let patch = json!({"data": {"meddled": "1"}});
                registry
                    .patch(&key, PatchKind::Merge, patch, Subresource::None, WriteOptions::default())
                    .await
                    .unwrap();
            }
            let mut response = answer?;
            response["uid"] = request["uid"].clone();
            let review = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
            Ok(review.to_string().into())
        }
        .boxed()
    }
}

struct Court {
    registry: Registry,
    network: Network,
    _dir: tempfile::TempDir,
}

impl Court {
    async fn new(answers: impl Fn(&str, &Value) -> Result<Value, CallError> + Send + Sync + 'static) -> Self {
        let House { registry, dir } = House::new().await;
        let network = Network { asked: Arc::default(), answers: Arc::new(answers), meddler: Arc::default() };
        registry.call_webhooks_by(Arc::new(network.clone()));
        Self { registry, network, _dir: dir }
    }

    async fn apply(&self, manifest: Value) -> Written {
        let wanted = Wanted { manifest: manifest.into(), subresource: Subresource::None, force: true };
        let options = WriteOptions { field_manager: "court".to_owned(), ..WriteOptions::default() };
        self.registry.apply(wanted, "default", options).await.unwrap().0
    }

    async fn create(&self, object: Object) -> Result<Written, Error> {
        self.registry.submit(Write::Create(object), WriteOptions::default()).await
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.network.asked.lock().unwrap())
    }

    fn urls(&self) -> Vec<String> {
        self.asked().into_iter().map(|(url, _)| url.trim_start_matches("https://hook/").to_owned()).collect()
    }

    async fn is_there(&self, kind: Kind, name: &str) -> bool {
        let key = Key::namespaced(kind, "default", name);
        self.registry.get(&key, ReadAt::Latest).await.is_ok()
    }
}

fn allow() -> Result<Value, CallError> {
    Ok(json!({"allowed": true}))
}

fn patch(operations: &Value) -> Result<Value, CallError> {
    Ok(json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())}))
}

fn add(path: &str, value: Value) -> Value {
    json!([{"op": "add", "path": path, "value": value}])
}

/// A webhook for everything that happens to a resource, with more fields.
fn hook(name: &str, group: &str, resource: &str, more: Value) -> Value {
    let mut hook = json!({
        "name": format!("{name}.example.com"), "clientConfig": {"url": format!("https://hook/{name}")},
        "rules": [{"operations": ["*"], "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]}],
        "sideEffects": "None", "admissionReviewVersions": ["v1"],
    });
    hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hook
}

fn configuration(kind: &str, hooks: Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "hooks"}, "webhooks": hooks,
    })
}

fn mutating(hooks: Value) -> Value {
    configuration("MutatingWebhookConfiguration", hooks)
}

fn validating(hooks: Value) -> Value {
    configuration("ValidatingWebhookConfiguration", hooks)
}

fn deployment(name: &str) -> Object {
    let template = json!({
        "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "hello:1"}]},
    });
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template});
    let value = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    json::decode(Kind::Deployment, &value, Strictness::Strict).unwrap().object
}

#[tokio::test]
async fn nobody_is_asked_whom_no_rule_names() {
    let court = Court::new(|_, _| allow()).await;
    court.create(config_map("before", "1")).await.unwrap();
    court.apply(validating(json!([hook("v", "apps", "deployments", json!({}))]))).await;
    court.create(config_map("a", "1")).await.unwrap();
    assert_eq!(court.urls(), Vec::<String>::new());
    court.create(deployment("web")).await.unwrap();
    assert_eq!(court.urls(), ["v"]);
    // Nobody is asked about those who are asked.
    court.apply(validating(json!([hook("all", "*", "*", json!({}))]))).await;
    let mut other = validating(json!([hook("more", "*", "*", json!({}))]));
    other["metadata"]["name"] = "more".into();
    court.apply(other).await;
    assert_eq!(court.urls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_review_tells_what_kubernetes_tells() {
    let court = Court::new(|_, _| allow()).await;
    court.create(config_map("a", "1")).await.unwrap();
    court.apply(validating(json!([hook("v", "", "configmaps", json!({}))]))).await;
    let options = WriteOptions { field_manager: "me".to_owned(), ..WriteOptions::default() };
    let mut changed = config_map("a", "2");
    changed.metadata_mut().labels.insert("x".to_owned(), "y".to_owned());
    court.registry.submit(Write::Update(changed, Subresource::None), options).await.unwrap();
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    let options = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    court.registry.submit(Write::Delete(key, options), WriteOptions::default()).await.unwrap();
    let asked = court.asked();
    let (update, delete) = (&asked[0].1, &asked[1].1);
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    for (field, wanted) in [
        ("kind", kind.clone()),
        ("requestKind", kind),
        ("resource", resource.clone()),
        ("requestResource", resource),
        ("name", "a".into()),
        ("namespace", "default".into()),
        ("operation", "UPDATE".into()),
        ("dryRun", false.into()),
        ("userInfo", json!({"username": "system:kapelle", "groups": ["system:masters", "system:authenticated"]})),
        (
            "options",
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions", "fieldManager": "me", "fieldValidation": "Warn",
            }),
        ),
    ] {
        assert_eq!(update[field], wanted, "{field}");
    }
    assert_eq!((&update["object"]["data"]["v"], &update["oldObject"]["data"]["v"]), (&"2".into(), &"1".into()));
    assert_eq!(update["object"]["kind"], "ConfigMap");
    assert_eq!(
        (&delete["operation"], &delete["object"], &delete["dryRun"]),
        (&"DELETE".into(), &Value::Null, &true.into())
    );
    assert_eq!(delete["oldObject"]["data"]["v"], "2");
    assert!(court.is_there(Kind::ConfigMap, "a").await, "it was a dry run");
}

#[tokio::test]
async fn parts_are_told_as_what_they_are() {
    let court = Court::new(|_, _| allow()).await;
    court.create(deployment("web")).await.unwrap();
    court.apply(validating(json!([hook("v", "*", "*/*", json!({}))]))).await;
    let key = Key::namespaced(Kind::Deployment, "default", "web");
    let mut scaled = Object::clone(&court.registry.get(&key, ReadAt::Latest).await.unwrap().object());
    scaled.set_replicas(5);
    court.registry.submit(Write::Update(scaled, Subresource::Scale), WriteOptions::default()).await.unwrap();
    let asked = court.asked();
    let scale = &asked[0].1;
    assert_eq!(scale["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((&scale["subResource"], &scale["resource"]["resource"]), (&"scale".into(), &"deployments".into()));
    assert_eq!((&scale["object"]["spec"]["replicas"], &scale["oldObject"]["spec"]["replicas"]), (&5.into(), &2.into()));
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "hello:1"}]},
    });
    court.create(json::decode(Kind::Pod, &pod, Strictness::Strict).unwrap().object).await.unwrap();
    let mut bound = core_v1::Pod::default();
    (bound.metadata_mut().name, bound.metadata_mut().namespace) = ("p".to_owned(), "default".to_owned());
    bound.spec.get_or_insert_default().node_name = "n".to_owned();
    court.registry.submit(Write::Update(bound.into(), Subresource::Binding), WriteOptions::default()).await.unwrap();
    let options = WriteOptions { through: Subresource::Eviction, ..WriteOptions::default() };
    let delete = Write::Delete(Key::namespaced(Kind::Pod, "default", "p"), DeleteOptions::default());
    court.registry.submit(delete, options).await.unwrap();
    let told: Vec<_> = court
        .asked()
        .into_iter()
        .map(|(_, asked)| (asked["operation"].clone(), asked["subResource"].clone(), asked["object"]["kind"].clone()))
        .collect();
    let of = |operation: &str, part: &str, kind: &str| (operation.into(), part.into(), kind.into());
    assert_eq!(
        told,
        [
            ("CREATE".into(), Value::Null, "Pod".into()),
            of("CREATE", "binding", "Binding"),
            of("CREATE", "eviction", "Eviction")
        ]
    );
}

#[tokio::test]
async fn what_a_webhook_makes_is_given_defaults_and_judged() {
    let court = Court::new(|url, _| match url {
        "https://hook/image" => patch(&json!([
            {"op": "replace", "path": "/spec/template/spec/containers/0", "value": {"name": "d", "image": "other:2"}},
        ])),
        "https://hook/wrong" => patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": -1}])),
        _ => allow(),
    })
    .await;
    court.apply(mutating(json!([hook("image", "apps", "deployments", json!({}))]))).await;
    let written = court.create(deployment("web")).await.unwrap();
    let object = written.object.object();
    let spec = object.get::<apps_v1::Deployment>().unwrap().spec.clone().unwrap();
    let container = &spec.template.unwrap().spec.unwrap().containers[0];
    assert_eq!((container.name.as_str(), container.image.as_str()), ("d", "other:2"));
    assert_eq!(container.image_pull_policy, "IfNotPresent", "defaults came after it");

    court.apply(mutating(json!([hook("wrong", "apps", "deployments", json!({}))]))).await;
    let error = court.create(deployment("bad")).await.unwrap_err();
    assert_eq!((error.reason, error.causes[0].field.as_str()), (Reason::Invalid, "spec.replicas"));
    assert!(!court.is_there(Kind::Deployment, "bad").await);
}

#[tokio::test]
async fn what_is_wrong_may_be_put_right_by_a_webhook() {
    let court = Court::new(|_, _| patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": 1}]))).await;
    court.apply(mutating(json!([hook("m", "apps", "deployments", json!({}))]))).await;
    let mut wrong = deployment("web");
    wrong.set_replicas(-1);
    assert!(court.create(wrong).await.is_ok());
}

#[tokio::test]
async fn who_wants_it_is_asked_again_if_others_changed_the_object_after_it() {
    let court = Court::new(|url, asked| match url {
        "https://hook/b" if asked["object"]["data"]["b"].is_null() => patch(&add("/data/b", "1".into())),
        "https://hook/c" if asked["object"]["data"]["c"].is_null() => patch(&add("/data/c", "1".into())),
        _ => allow(),
    })
    .await;
    let again = || json!({"reinvocationPolicy": "IfNeeded"});
    court
        .apply(mutating(json!([
            hook("a", "", "configmaps", again()),
            hook("b", "", "configmaps", again()),
            hook("c", "", "configmaps", json!({})),
            hook("d", "", "configmaps", again()),
        ])))
        .await;
    let written = court.create(config_map("a", "1")).await.unwrap();
    assert_eq!(court.urls(), ["a", "b", "c", "d", "a", "b"]);
    let object = written.object.object();
    let keys: Vec<_> = object.get::<core_v1::ConfigMap>().unwrap().data.keys().cloned().collect();
    assert_eq!(keys, ["b", "c", "v"]);
}

#[tokio::test]
async fn a_refusal_is_told_with_what_was_said_beside_it_and_nothing_is_stored() {
    let court = Court::new(|_, _| {
        let status = json!({"code": 403, "reason": "Forbidden", "message": "not on Mondays"});
        Ok(json!({"allowed": false, "status": status, "warnings": ["it is Monday"]}))
    })
    .await;
    court.apply(validating(json!([hook("v", "", "configmaps", json!({}))]))).await;
    let error = court.create(config_map("a", "1")).await.unwrap_err();
    assert_eq!(error.message, "admission webhook \"v.example.com\" denied the request: not on Mondays");
    assert_eq!((error.code(), error.warnings()), (403, &["it is Monday".to_owned()][..]));
    assert!(!court.is_there(Kind::ConfigMap, "a").await);
}

#[tokio::test]
async fn who_does_not_answer_refuses_unless_it_may_be_passed_over() {
    let court = Court::new(|url, _| match url {
        "https://hook/slow" => Err(CallError::Timeout),
        "https://hook/gone" => Err(CallError::Status(404)),
        "https://hook/bomb" => patch(&add("/data/../x", "1".into())),
        "https://hook/nonsense" => Ok(json!({"allowed": true, "patchType": "JSONPatch"})),
        _ => allow(),
    })
    .await;
    let failing = |name: &str| format!("Internal error occurred: failed calling webhook \"{name}.example.com\": ");
    for (name, why) in [
        ("slow", "failed to call webhook: Post \"https://hook/slow?timeout=10s\": context deadline exceeded"),
        ("gone", "failed to call webhook: the server could not find the requested resource"),
        ("nonsense", "received invalid webhook response: webhook returned response.patchType but not response.patch"),
    ] {
        court.apply(mutating(json!([hook(name, "", "configmaps", json!({}))]))).await;
        let error = court.create(config_map("a", "1")).await.unwrap_err();
        assert_eq!((error.reason, error.message), (Reason::InternalError, failing(name) + why));
        court.apply(mutating(json!([hook(name, "", "configmaps", json!({"failurePolicy": "Ignore"}))]))).await;
        let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
        assert!(court.registry.submit(Write::Create(config_map("a", "1")), dry).await.is_ok(), "{name}");
    }
    let ignoring = json!({"failurePolicy": "Ignore"});
    court.apply(mutating(json!([hook("bomb", "", "configmaps", ignoring)]))).await;
    let error = court.create(config_map("a", "1")).await.unwrap_err();
    assert_eq!(error.reason, Reason::InternalError, "what does not fit is no silence");
    assert!(!court.is_there(Kind::ConfigMap, "a").await);
}

#[tokio::test]
async fn a_patch_that_would_make_too_much_is_refused() {
    let court = Court::new(|_, _| {
        let mut operations = vec![json!({"op": "add", "path": "/data/x0", "value": "x".repeat(100_000)})];
        operations.extend((0..60).map(|index| {
            let path = format!("/data/x{}", index + 1);
            json!({"op": "copy", "from": format!("/data/x{index}"), "path": path})
        }));
        patch(&operations.into())
    })
    .await;
    court.apply(mutating(json!([hook("m", "", "configmaps", json!({}))]))).await;
    let error = court.create(config_map("a", "1")).await.unwrap_err();
    assert!(error.message.contains("bytes would be copied"), "{error}");
    assert!(!court.is_there(Kind::ConfigMap, "a").await);
}

#[tokio::test]
async fn who_writes_while_a_webhook_is_asked_is_not_undone() {
    let court = Court::new(|_, _| allow()).await;
    court.create(config_map("a", "1")).await.unwrap();
    court.apply(validating(json!([hook("v", "", "configmaps", json!({}))]))).await;
    *court.network.meddler.lock().unwrap() = Some(court.registry.clone());
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    let mine = json!({"data": {"mine": "1"}});
    let options = WriteOptions::default();
    court.registry.patch(&key, PatchKind::Merge, mine, Subresource::None, options).await.unwrap();
    assert_eq!(court.urls().len(), 3, "the other write, and this one twice");
    let map = court.registry.get(&key, ReadAt::Latest).await.unwrap().object();
    let keys: Vec<_> = map.get::<core_v1::ConfigMap>().unwrap().data.keys().cloned().collect();
    assert_eq!(keys, ["meddled", "mine", "v"]);
}

#[tokio::test]
async fn conditions_and_selectors_spare_webhooks() {
    let court = Court::new(|_, _| allow()).await;
    let selected = json!({"objectSelector": {"matchLabels": {"ask": "me"}}});
    let condition = json!({"matchConditions": [{"name": "c", "expression": "object.metadata.name.startsWith('x')"}]});
    let faulty = json!({"matchConditions": [{"name": "c", "expression": "object.data.none == '1'"}]});
    let hooks = json!([hook("s", "", "configmaps", selected), hook("c", "", "configmaps", condition)]);
    court.apply(validating(hooks)).await;
    court.create(config_map("a", "1")).await.unwrap();
    assert_eq!(court.urls(), Vec::<String>::new());
    let mut map = config_map("x", "1");
    map.metadata_mut().labels.insert("ask".to_owned(), "me".to_owned());
    court.create(map).await.unwrap();
    assert_eq!(court.urls(), ["s", "c"]);
    court.apply(validating(json!([hook("f", "", "configmaps", faulty)]))).await;
    let error = court.create(config_map("b", "1")).await.unwrap_err();
    let why = "expression 'object.data.none == '1'' resulted in error: no such key: none";
    assert_eq!(error.message, format!("configmaps \"b\" is forbidden: {why}"));
}

#[tokio::test]
async fn a_webhook_sees_the_version_that_its_rule_names() {
    let court = Court::new(|_, _| patch(&add("/note", "seen".into()))).await;
    court.apply(mutating(json!([hook("m", "events.k8s.io", "events", json!({}))]))).await;
    let about = json!({"kind": "ConfigMap", "namespace": "default", "name": "a"});
    let event = json!({
        "metadata": {"name": "e", "namespace": "default"}, "involvedObject": about, "message": "told", "reason": "R",
        "type": "Normal",
    });
    let event = json::decode(Served::from(Kind::Event), &event, Strictness::Strict).unwrap().object;
    let written = court.create(event).await.unwrap();
    let asked = court.asked();
    assert_eq!(asked[0].1["kind"]["group"], "events.k8s.io");
    assert_eq!(asked[0].1["requestKind"]["group"], "");
    assert_eq!(written.object.object().get::<core_v1::Event>().unwrap().message, "seen");
}

#[tokio::test]
async fn whoever_wants_to_be_connected_is_asked_about_as_well() {
    let court = Court::new(|url, _| match url {
        "https://hook/no" => Ok(json!({"allowed": false, "status": {"message": "no shells"}})),
        _ => allow(),
    })
    .await;
    court.create(deployment("web")).await.unwrap();
    let key = Key::namespaced(Kind::Deployment, "default", "web");
    let how = || json!({"apiVersion": "v1", "kind": "PodExecOptions", "command": ["sh"]});
    court.apply(mutating(json!([hook("m", "apps", "*/*", json!({}))]))).await;
    assert_eq!(court.registry.admit_question(&key, Subresource::Log, how).await, Ok(Vec::new()));
    let asked = court.asked();
    let (kind, of) = (json!({"group": "", "version": "v1", "kind": "PodExecOptions"}), &asked[0].1);
    assert_eq!((&of["kind"], &of["operation"], &of["object"]), (&kind, &"CONNECT".into(), &how()));
    court.apply(validating(json!([hook("no", "apps", "*/*", json!({}))]))).await;
    let error = court.registry.admit_question(&key, Subresource::Log, how).await.unwrap_err();
    assert!(error.message.ends_with("denied the request: no shells"), "{error}");
}

/// A ServiceAccount `till` of a cluster that signs tokens.
async fn till(court: &Court) -> Key {
    court.registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    let mut account = core_v1::ServiceAccount::default();
    (account.metadata_mut().name, account.metadata_mut().namespace) = ("till".to_owned(), "default".to_owned());
    court.create(account.into()).await.unwrap();
    Key::namespaced(Kind::ServiceAccount, "default", "till")
}

#[tokio::test]
async fn whoever_wants_a_token_is_asked_about_as_well() {
    let court = Court::new(|url, _| match url {
        "https://hook/no" => Ok(json!({"allowed": false, "status": {"message": "no tokens"}})),
        _ => allow(),
    })
    .await;
    let key = till(&court).await;
    let spec = TokenRequestSpec { audiences: vec!["vault".to_owned()], ..TokenRequestSpec::default() };
    let request = || TokenRequest { spec: Some(spec.clone()), ..TokenRequest::default() };
    court.apply(validating(json!([hook("s", "", "serviceaccounts/token", json!({}))]))).await;
    court.registry.create_token(&key, request()).await.unwrap();
    let asked = court.asked();
    let of = &asked[0].1;
    assert_eq!(
        (&of["operation"], &of["subResource"], &of["name"]),
        (&"CREATE".into(), &"token".into(), &"till".into())
    );
    assert_eq!(of["kind"], json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}));
    assert_eq!(of["resource"]["resource"], "serviceaccounts");
    assert_eq!(
        (&of["object"]["spec"]["audiences"], &of["options"]["kind"]),
        (&json!(["vault"]), &"CreateOptions".into())
    );
    court.apply(validating(json!([hook("no", "", "serviceaccounts/token", json!({}))]))).await;
    let error = court.registry.create_token(&key, request()).await.unwrap_err();
    assert!(error.message.ends_with("denied the request: no tokens"), "{error}");
}

#[tokio::test]
async fn what_is_applied_is_told_merged_and_its_owners_stay() {
    let court = Court::new(|_, asked| match asked["object"]["metadata"]["labels"]["seen"].is_null() {
        true => patch(&add("/metadata/labels", json!({"seen": "yes"}))),
        false => allow(),
    })
    .await;
    court.create(config_map("a", "1")).await.unwrap();
    court.apply(mutating(json!([hook("m", "", "configmaps", json!({}))]))).await;
    let map = || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"w": "2"}});
    let object = court.apply(map()).await.object.object();
    let asked = court.asked();
    assert_eq!(
        (&asked[0].1["operation"], &asked[0].1["object"]["data"]),
        (&"UPDATE".into(), &json!({"v": "1", "w": "2"}))
    );
    let metadata = object.metadata().unwrap();
    assert_eq!(metadata.labels["seen"], "yes");
    let applied = metadata.managed_fields.iter().find(|entry| entry.operation == "Apply").unwrap();
    let fields = String::from_utf8(applied.fields_v1.as_ref().unwrap().raw.to_vec()).unwrap();
    assert_eq!(fields, r#"{"f:data":{"f:w":{}}}"#, "what a webhook makes is nobody's");
    assert!(court.apply(map()).await.unchanged, "applied again it changes nothing");
}

#[tokio::test]
async fn kinds_that_users_define_are_asked_about_like_others() {
    let court = Court::new(|_, _| {
        patch(&json!([
            {"op": "replace", "path": "/spec/size", "value": 3}, {"op": "add", "path": "/spec/nothing", "value": 1},
        ]))
    })
    .await;
    super::custom::define(&court.registry).await;
    let widget = |name: &str| json!({"apiVersion": "registry.test/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {}});
    let size = |written: &Written| {
        let served = court.registry.definitions().from_api_version("registry.test/v1", "Widget").unwrap();
        json::encode(&written.object.object_as(served))["spec"].clone()
    };
    let rule = json!({
        "operations": ["CREATE"], "apiGroups": ["registry.test"], "apiVersions": ["v1"], "resources": ["widgets"],
    });
    let spec = json!({
        "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{spec: Object.spec{size: object.spec.size + 1}}",
        }}],
    });
    court.apply(policy("MutatingAdmissionPolicy", spec)).await;
    court.apply(binding("MutatingAdmissionPolicyBinding", json!({}))).await;
    assert_eq!(size(&court.apply(widget("a")).await), json!({"size": 8}), "one more than the default");
    court.apply(mutating(json!([hook("m", "registry.test", "widgets", json!({}))]))).await;
    let written = court.apply(widget("b")).await;
    assert_eq!(size(&written), json!({"size": 3}));
    assert_eq!(written.warnings, ["admission webhook \"m.example.com\": unknown field \"spec.nothing\""]);
    let asked = court.asked();
    assert_eq!(
        (&asked[0].1["object"]["spec"]["size"], &asked[0].1["resource"]["group"]),
        (&8.into(), &"registry.test".into())
    );
}

fn policy(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec})
}

fn binding(kind: &str, more: Value) -> Value {
    let mut spec = json!({"policyName": "p"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "b"}, "spec": spec})
}

fn of_config_maps() -> Value {
    let operations = ["CREATE", "UPDATE"];
    let rule = json!({"operations": operations, "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    json!({ "resourceRules": [rule] })
}

#[tokio::test]
async fn a_policy_is_in_force_where_a_binding_says_so() {
    let court = Court::new(|_, _| allow()).await;
    let spec = json!({
        "matchConstraints": of_config_maps(),
        "validations": [{"expression": "object.data.v != '2'", "messageExpression": "'not ' + object.data.v"}],
    });
    court.apply(policy("ValidatingAdmissionPolicy", spec)).await;
    court.create(config_map("free", "2")).await.unwrap();
    let bound = |actions: Value| binding("ValidatingAdmissionPolicyBinding", json!({"validationActions": actions}));
    court.apply(bound(json!(["Deny"]))).await;
    court.create(config_map("a", "1")).await.unwrap();
    let error = court.create(config_map("b", "2")).await.unwrap_err();
    let by = "ValidatingAdmissionPolicy 'p' with binding 'b'";
    assert_eq!(error.message, format!("configmaps \"b\" is forbidden: {by} denied request: not 2"));
    assert_eq!(error.reason, Reason::Invalid);
    assert!(!court.is_there(Kind::ConfigMap, "b").await);
    court.apply(bound(json!(["Warn", "Audit"]))).await;
    let written = court.create(config_map("b", "2")).await.unwrap();
    let warning = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': not 2";
    assert_eq!(written.warnings, [warning]);
}

#[tokio::test]
async fn a_policy_is_run_with_each_of_its_params() {
    let court = Court::new(|_, _| allow()).await;
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": of_config_maps(),
        "validations": [{"expression": "object.data.v != params.data.v", "messageExpression": "string(params.metadata.name)"}],
    });
    let bound = |reference: Value| {
        let more = json!({"validationActions": ["Deny"], "paramRef": reference});
        binding("ValidatingAdmissionPolicyBinding", more)
    };
    for name in ["one", "two"] {
        let mut map = config_map(name, name);
        map.metadata_mut().labels.insert("param".to_owned(), "yes".to_owned());
        court.create(map).await.unwrap();
    }
    court.apply(policy("ValidatingAdmissionPolicy", spec)).await;
    court.apply(bound(json!({"selector": {"matchLabels": {"param": "yes"}}, "parameterNotFoundAction": "Deny"}))).await;
    court.create(config_map("a", "1")).await.unwrap();
    let error = court.create(config_map("b", "two")).await.unwrap_err();
    assert!(error.message.ends_with("denied request: two"), "{error}");
    court.apply(bound(json!({"name": "none", "parameterNotFoundAction": "Allow"}))).await;
    court.create(config_map("b", "two")).await.unwrap();
    court.apply(bound(json!({"name": "none", "parameterNotFoundAction": "Deny"}))).await;
    let error = court.create(config_map("c", "1")).await.unwrap_err();
    let why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(error.message.ends_with(why), "{error}");
}

#[tokio::test]
async fn a_policy_changes_what_is_written() {
    let court = Court::new(|_, _| allow()).await;
    let spec = json!({
        "matchConstraints": of_config_maps(), "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "new", "expression": "request.operation == 'CREATE'"}],
        "variables": [{"name": "team", "expression": "namespaceObject.metadata.name + '-team'"}],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {
                "expression": "Object{metadata: Object.metadata{labels: {'team': variables.team}}}",
            }},
            {"patchType": "JSONPatch", "jsonPatch": {
                "expression": "[JSONPatch{op: 'add', path: '/data/team', value: object.metadata.labels.team}]",
            }},
            {"patchType": "JSONPatch", "jsonPatch": {
                "expression": "[JSONPatch{op: 'test', path: '/data/v', value: '9'}, JSONPatch{op: 'remove', path: '/data/v'}]",
            }},
        ],
    });
    court.apply(policy("MutatingAdmissionPolicy", spec)).await;
    court.apply(binding("MutatingAdmissionPolicyBinding", json!({}))).await;
    let written = court.create(config_map("a", "1")).await.unwrap();
    let object = written.object.object();
    let map = object.get::<core_v1::ConfigMap>().unwrap();
    let data: Vec<_> = map.data.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(data, ["team=default-team", "v=1"]);
    assert_eq!(object.metadata().unwrap().labels["team"], "default-team");
}

#[tokio::test]
async fn a_policy_that_would_replace_a_whole_list_is_told() {
    let court = Court::new(|_, _| allow()).await;
    let spec = |expression: &str| {
        let apply = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
        let rule = json!({"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*"]});
        json!({
            "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never", "mutations": [apply],
        })
    };
    court.apply(binding("MutatingAdmissionPolicyBinding", json!({}))).await;
    let template =
        |inside: &str| format!("Object{{spec: Object.spec{{template: Object.spec.template{{spec: {inside}}}}}}}");
    let container =
        "Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', args: ['x']}]}";
    for (expression, why) in [
        (template(container), "may not mutate atomic arrays, maps or structs: .spec.template.spec.containers.args"),
        ("Object{spec: Object.spec{nothing: 1}}".to_owned(), ".spec.nothing: field not declared in schema"),
    ] {
        court.apply(policy("MutatingAdmissionPolicy", spec(&expression))).await;
        let error = court.create(deployment("web")).await.unwrap_err();
        assert!(error.message.ends_with(why), "{error}");
    }
    let env = "Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', env: [\
               Object.spec.template.spec.containers.env{name: 'E', value: '1'}]}]}";
    court.apply(policy("MutatingAdmissionPolicy", spec(&template(env)))).await;
    let written = court.create(deployment("web")).await.unwrap();
    let object = written.object.object();
    let spec = object.get::<apps_v1::Deployment>().unwrap().spec.clone().unwrap();
    let container = &spec.template.unwrap().spec.unwrap().containers[0];
    assert_eq!((container.image.as_str(), container.env[0].value.as_str()), ("hello:1", "1"));
}
