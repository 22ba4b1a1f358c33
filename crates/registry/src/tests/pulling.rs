//! Which Pods may run which images of the masters' registry.

use std::sync::Arc;

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Write,
    authentication_v1::TokenRequest,
    json::{Strictness, decode},
};
use rpc::identity::Authority;
use serde_json::{Value, json};

use super::{House, soon};
use crate::{Caller, Puller, Registry, User, WriteOptions};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

async fn create(registry: &Registry, kind: Kind, value: Value) -> String {
    let object: Object = decode(kind, &value, Strictness::Strict).unwrap().object;
    let written = soon(registry.submit(Write::Create(object), WriteOptions::default())).await.unwrap();
    written.object.object().metadata().unwrap().uid.clone()
}

/// A house with keys, in whose namespace `team` the account `till` may read images, and nobody anywhere else.
async fn house() -> House {
    let house = House::new().await;
    let registry = &house.registry;
    registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    for name in ["team", "other"] {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(registry, Kind::Namespace, value).await;
    }
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "till", "namespace": "default"}});
    create(registry, Kind::ServiceAccount, account).await;
    let rules = json!([{"apiGroups": ["kapelle.dev"], "resources": ["images"], "verbs": ["get"]}]);
    let role = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "pulls"}, "rules": rules});
    create(registry, Kind::ClusterRole, role).await;
    let binding = json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "till", "namespace": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pulls"},
        "subjects": [{"kind": "ServiceAccount", "name": "till", "namespace": "default"}]});
    create(registry, Kind::RoleBinding, binding).await;
    house
}

/// A Pod on a node; answers how the node asks for it.
async fn pod(registry: &Registry, name: &str, image: &str, more: Value) -> Puller {
    let mut spec = json!({"nodeName": "w1", "containers": [{"name": "c", "image": image}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": "default"});
    let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    let uid = create(registry, Kind::Pod, value).await;
    Puller { namespace: "default".to_owned(), name: name.to_owned(), uid }
}

fn node(registry: &Registry, name: &str) -> Registry {
    registry.for_caller(Caller::Node { name: name.to_owned(), uid: "u".to_owned(), from: None })
}

fn refused(outcome: Result<(), Error>, why: &str) {
    let error = outcome.unwrap_err();
    assert!(error.reason == Reason::Forbidden && error.message.contains(why), "{error}");
}

#[tokio::test]
async fn a_pod_runs_what_its_account_may_read() {
    let house = house().await;
    let (registry, node) = (&house.registry, node(&house.registry, "w1"));
    let may = pod(registry, "may", "team/web:1", json!({"serviceAccountName": "till"})).await;
    let may_not = pod(registry, "may-not", "team/web:1", json!({})).await;
    soon(node.may_pull(Some(&may), "team/web")).await.unwrap();
    refused(soon(node.may_pull(Some(&may_not), "team/web")).await, "User \"system:serviceaccount:default:default\"");
    refused(soon(node.may_pull(Some(&may_not), "team/web")).await, "imagePullSecrets");
    // A right in a namespace is one for the repositories that begin with its name.
    for (name, image) in [("a", "other/web:1"), ("b", "web:1"), ("c", "teams/web:1")] {
        let other = pod(registry, name, image, json!({"serviceAccountName": "till"})).await;
        let repository = image.strip_suffix(":1").unwrap();
        refused(soon(node.may_pull(Some(&other), repository)).await, "User \"system:serviceaccount:default:till\"");
    }
}

#[tokio::test]
async fn a_node_asks_for_what_its_own_pods_run_and_for_nothing_else() {
    let house = house().await;
    let (registry, node) = (&house.registry, node(&house.registry, "w1"));
    let more = json!({"serviceAccountName": "till", "initContainers": [{"name": "i", "image": "team/init@sha256:0"}]});
    let puller = pod(registry, "p", "team/web:1", more).await;
    soon(node.may_pull(Some(&puller), "team/init")).await.unwrap();
    refused(soon(node.may_pull(Some(&puller), "team/api")).await, "no container of the Pod runs it");
    refused(soon(node.may_pull(None, "team/web")).await, "for which of its Pods");
    let elsewhere = self::node(registry, "w2");
    refused(soon(elsewhere.may_pull(Some(&puller), "team/web")).await, "none of this node");
    let another = Puller { uid: "another".to_owned(), ..puller };
    refused(soon(node.may_pull(Some(&another), "team/web")).await, "none of this node");
    // Others ask for themselves.
    soon(registry.may_pull(None, "team/web")).await.unwrap();
    let ann = registry.for_caller(Caller::User(Arc::new(User { name: "ann".to_owned(), ..User::default() })));
    refused(soon(ann.may_pull(Some(&another), "team/web")).await, "User \"ann\" cannot get resource \"images\"");
    assert!(soon(registry.for_caller(Caller::Nobody).may_pull(None, "team/web")).await.is_err());
}

#[tokio::test]
async fn a_secret_for_pulling_speaks_for_whoever_its_token_names() {
    let house = house().await;
    let (registry, node) = (&house.registry, node(&house.registry, "w1"));
    let account = Key::namespaced(Kind::ServiceAccount, "default", "till");
    let (made, _) = soon(registry.create_token(&account, TokenRequest::default())).await.unwrap();
    let token = made.status.unwrap().token;
    for (name, password) in [("good", token.as_str()), ("bad", "x"), ("forged", &token[..token.len() - 4])] {
        let auths = json!({"auths": {
            "registry.example": {"username": "u", "password": "p"},
            "https://10.0.0.1:6443/": {"username": "any", "password": password},
        }});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auths.to_string()}});
        create(registry, Kind::Secret, secret).await;
    }
    let named = |names: &[&str]| {
        let names: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"imagePullSecrets": names})
    };
    let with = pod(registry, "with", "team/web:1", named(&["missing", "bad", "good"])).await;
    soon(node.may_pull(Some(&with), "team/web")).await.unwrap();
    let without = pod(registry, "without", "team/web:1", named(&["missing", "bad", "forged"])).await;
    refused(soon(node.may_pull(Some(&without), "team/web")).await, "system:serviceaccount:default:default");
    let other = pod(registry, "other", "other/web:1", named(&["good"])).await;
    refused(soon(node.may_pull(Some(&other), "other/web")).await, "system:serviceaccount:default:default");
    // A token counts for as long as its account is there.
    let write = Write::Delete(account, api::DeleteOptions::default());
    soon(registry.submit(write, WriteOptions::default())).await.unwrap();
    registry.get(&Key::namespaced(Kind::Pod, "default", "with"), ReadAt::Latest).await.unwrap();
    refused(soon(node.may_pull(Some(&with), "team/web")).await, "imagePullSecrets");
}
