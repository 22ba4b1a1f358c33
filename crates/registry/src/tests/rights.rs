//! Users who have what roles give, over a real log.

use std::sync::Arc;

use api::{
    DeleteOptions, Error, Key, Kind, Object, PatchKind, ReadAt, Subresource, Verb, Write,
    core_v1::{Pod, PodSpec},
    kinds::Resource as _,
    rbac_v1::{ClusterRole, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    selector::{Fields, Labels},
};
use futures::StreamExt as _;
use serde_json::json;

use super::{House, config_map, soon};
use crate::{Access, Caller, Item, ListQuery, Registry, User, WatchFrom, WatchQuery, WriteOptions, Written};

fn rule(verbs: &[&str], resources: &[&str]) -> PolicyRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    PolicyRule { verbs: words(verbs), api_groups: words(&[""]), resources: words(resources), ..PolicyRule::default() }
}

async fn create(registry: &Registry, object: impl Into<Object>) -> Result<Written, Error> {
    registry.submit(Write::Create(object.into()), WriteOptions::default()).await
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    let mut role = ClusterRole { rules, ..ClusterRole::default() };
    name.clone_into(&mut role.metadata_mut().name);
    role
}

/// Gives Ann some rights in the namespace `default`, by a role of a name of its own.
async fn give(registry: &Registry, name: &str, rules: Vec<PolicyRule>) {
    create(registry, cluster_role(name, rules)).await.unwrap();
    let subject = Subject { kind: "User".to_owned(), name: "ann".to_owned(), ..Subject::default() };
    let of = RoleRef { kind: "ClusterRole".to_owned(), name: name.to_owned(), ..RoleRef::default() };
    let mut binding = RoleBinding { role_ref: Some(of), subjects: vec![subject], ..RoleBinding::default() };
    (binding.metadata_mut().name, binding.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    create(registry, binding).await.unwrap();
}

fn ann(registry: &Registry) -> Registry {
    registry.for_caller(Caller::User(Arc::new(User { name: "ann".to_owned(), ..User::default() })))
}

fn maps(namespace: Option<&str>) -> ListQuery {
    ListQuery {
        kind: Kind::ConfigMap,
        namespace: namespace.map(str::to_owned),
        labels: Labels::everything(),
        fields: Fields::everything(),
        limit: None,
        continue_: None,
        at: ReadAt::Latest.into(),
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.reason, api::Reason::Forbidden, "{error}");
    error.message
}

#[tokio::test]
async fn each_right_is_what_its_verb_says_and_no_more() {
    let house = House::new().await;
    let (root, ann) = (&house.registry, ann(&house.registry));
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    let patch =
        || ann.patch(&key, PatchKind::Merge, json!({"data": {"v": "2"}}), Subresource::None, WriteOptions::default());
    refused(create(&ann, config_map("a", "1")).await);
    give(root, "creates", vec![rule(&["create"], &["configmaps"])]).await;
    create(&ann, config_map("a", "1")).await.unwrap();
    create(&ann, config_map("b", "1")).await.unwrap();
    refused(ann.get(&key, ReadAt::Latest).await);
    refused(patch().await);
    give(root, "patches", vec![rule(&["patch"], &["configmaps"])]).await;
    patch().await.unwrap();
    refused(ann.submit(Write::Update(config_map("a", "3"), Subresource::None), WriteOptions::default()).await);
    refused(ann.list(maps(Some("default"))).await);
    refused(ann.delete_all(&maps(Some("default")), &DeleteOptions::default()).await);
    give(root, "empties", vec![rule(&["deletecollection"], &["configmaps"])]).await;
    refused(ann.submit(Write::Delete(key.clone(), DeleteOptions::default()), WriteOptions::default()).await);
    ann.delete_all(&maps(Some("default")), &DeleteOptions::default()).await.unwrap();
    assert!(root.get(&key, ReadAt::Latest).await.is_err(), "all are deleted");
    refused(ann.delete_all(&maps(None), &DeleteOptions::default()).await);
}

#[tokio::test]
async fn an_eviction_and_a_binding_are_rights_of_their_own() {
    let house = House::new().await;
    let (root, ann) = (&house.registry, ann(&house.registry));
    let mut pod = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
    (pod.metadata_mut().name, pod.metadata_mut().namespace) = ("p".to_owned(), "default".to_owned());
    let pod = Object::from(pod);
    give(root, "evicts", vec![rule(&["create"], &["pods/eviction"]), rule(&["delete"], &["secrets"])]).await;
    let through = |subresource| WriteOptions { through: subresource, ..WriteOptions::default() };
    let delete = |options| ann.submit(Write::Delete(pod.key(), DeleteOptions::default()), options);
    let told = refused(delete(through(Subresource::None)).await);
    assert!(told.contains("cannot delete resource \"pods\" in API group \"\" in the namespace \"default\""), "{told}");
    let missing = delete(through(Subresource::Eviction)).await.unwrap_err();
    assert_eq!(missing.reason, api::Reason::NotFound, "it may be asked for");
    let bound = Write::Update(pod.clone(), Subresource::Binding);
    let told = refused(ann.submit(bound, WriteOptions::default()).await);
    assert!(told.contains("cannot create resource \"pods/binding\""), "{told}");
    let told = refused(ann.reach(&pod.key(), Verb::Get, Subresource::Proxy).await);
    assert!(told.contains("cannot get resource \"pods/proxy\""), "{told}");
    let told = refused(ann.authorise(Access::to(Verb::Log, &pod.key())).await);
    assert!(told.contains("cannot get resource \"pods/log\""), "{told}");
}

#[tokio::test]
async fn nobody_gives_more_than_it_has() {
    let house = House::new().await;
    let (root, ann) = (&house.registry, ann(&house.registry));
    let roles = PolicyRule { api_groups: vec!["rbac.authorization.k8s.io".to_owned()], ..rule(&["*"], &["roles"]) };
    let bindings =
        PolicyRule { resources: vec!["rolebindings".to_owned()], verbs: vec!["create".to_owned()], ..roles.clone() };
    let roles = PolicyRule { verbs: ["create", "update", "patch", "delete"].map(str::to_owned).to_vec(), ..roles };
    give(root, "writes", vec![roles, bindings]).await;
    let role = |verbs: &[&str]| {
        let mut role = Role { rules: vec![rule(verbs, &["secrets"])], ..Role::default() };
        (role.metadata_mut().name, role.metadata_mut().namespace) = ("mine".to_owned(), "default".to_owned());
        role
    };
    let told = refused(create(&ann, role(&["get"])).await);
    assert!(told.contains("permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"]"), "{told}");
    create(&ann, Role { rules: Vec::new(), ..role(&[]) }).await.unwrap();
    let key = Object::from(role(&[])).key();
    let patch = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    let patched = ann.patch(&key, PatchKind::Merge, patch, Subresource::None, WriteOptions::default()).await;
    assert!(refused(patched).contains("permissions not currently held"));
    create(root, cluster_role("all", vec![rule(&["*"], &["*"])])).await.unwrap();
    let mut binding = RoleBinding {
        role_ref: Some(RoleRef { kind: "ClusterRole".to_owned(), name: "all".to_owned(), ..RoleRef::default() }),
        ..RoleBinding::default()
    };
    (binding.metadata_mut().name, binding.metadata_mut().namespace) = ("mine".to_owned(), "default".to_owned());
    assert!(refused(create(&ann, binding).await).contains("permissions not currently held"));
    ann.submit(Write::Delete(key, DeleteOptions::default()), WriteOptions::default()).await.unwrap();
}

/// A watch that would not be allowed any more tells nothing more, though it is open: other than in Kubernetes, where it goes on.
#[tokio::test]
async fn a_watch_tells_nothing_once_its_right_is_gone() {
    let house = House::new().await;
    let (root, ann) = (&house.registry, ann(&house.registry));
    give(root, "watches", vec![rule(&["watch"], &["configmaps"])]).await;
    let query = WatchQuery {
        kind: Kind::ConfigMap,
        namespace: Some("default".to_owned()),
        labels: Labels::everything(),
        fields: Fields::everything(),
        from: WatchFrom::Now,
        bookmarks: false,
        send_initial_events: false,
    };
    let mut watch = Box::pin(ann.watch(query).await.unwrap());
    create(root, config_map("a", "1")).await.unwrap();
    let told = soon(watch.next()).await.unwrap();
    assert!(matches!(&told[..], [Item::Change { .. }]), "{told:?}");
    // A role that is none of Ann's business changes nothing.
    create(root, cluster_role("other", vec![])).await.unwrap();
    create(root, config_map("b", "1")).await.unwrap();
    assert!(matches!(&soon(watch.next()).await.unwrap()[..], [Item::Change { .. }]));
    let binding = Key::namespaced(Kind::RoleBinding, "default", "watches");
    root.submit(Write::Delete(binding, DeleteOptions::default()), WriteOptions::default()).await.unwrap();
    create(root, config_map("c", "1")).await.unwrap();
    let told = soon(watch.next()).await.unwrap();
    let [Item::Error(error)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(error.reason, api::Reason::Forbidden);
    assert!(soon(watch.next()).await.is_none(), "and it is over");
}
