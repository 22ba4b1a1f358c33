//! Decisions over a state of roles, and how the index of them follows the state.
#![expect(clippy::unwrap_used, reason = "tests")]

use api::{
    Key, Kind, Object, Served, Subresource, Verb,
    json::{self, Strictness},
    selector::Fields,
};
use serde_json::{Value, json};
use store::{Expect, Op, State, Txn};

use super::*;
use crate::Caller;

const GROUP: &str = "rbac.authorization.k8s.io";

fn object(kind: &str, mut value: Value) -> Object {
    let api_version = format!("{GROUP}/v1");
    let served = Served::from_api_version(&api_version, kind).unwrap();
    (value["apiVersion"], value["kind"]) = (api_version.into(), kind.into());
    json::decode(served, &value, Strictness::Strict).unwrap().object
}

pub(super) fn role(namespace: &str, name: &str, rules: Value) -> Object {
    let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    object(kind, json!({"metadata": {"name": name, "namespace": namespace}, "rules": rules}))
}

/// `to` is `User ann`, `Group ops` or `ServiceAccount ns/name`.
pub(super) fn binding(namespace: &str, name: &str, of: &str, to: &[&str]) -> Object {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    let (role_kind, role) = of.split_once(' ').unwrap();
    let subject = |text: &&str| match text.split_once(' ').unwrap() {
        ("ServiceAccount", account) => {
            let (namespace, name) = account.split_once('/').unwrap();
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        (kind, name) => json!({"kind": kind, "apiGroup": GROUP, "name": name}),
    };
    let subjects: Vec<Value> = to.iter().map(subject).collect();
    let role = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    object(kind, json!({"metadata": {"name": name, "namespace": namespace}, "roleRef": role, "subjects": subjects}))
}

fn reads(resources: &[&str]) -> Value {
    json!([{"apiGroups": [""], "resources": resources, "verbs": ["get", "list", "watch"]}])
}

pub(super) fn put(state: &mut State, object: &Object) {
    let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any };
    state.apply(&Txn { ops: vec![op] }).unwrap();
}

pub(super) fn delete(state: &mut State, key: Key) {
    state.apply(&Txn { ops: vec![Op::Delete { key, expect: Expect::Any }] }).unwrap();
}

pub(super) fn state(objects: &[Object]) -> State {
    let mut state = State::default();
    objects.iter().for_each(|object| put(&mut state, object));
    state
}

pub(super) fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    User { name: name.to_owned(), groups, ..User::default() }
}

/// `get pods/log x` in a namespace, of the core group unless the resource has a dot.
fn asked<'a>(line: &'a str, namespace: &'a str) -> Attributes<'a> {
    let mut words = line.split(' ');
    let (verb, resource, name) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    ResourceAttributes { verb, group, resource, subresource, namespace, name }.into()
}

fn some_roles() -> Vec<Object> {
    vec![
        role("", "reader", reads(&["pods", "pods/log"])),
        role("", "root", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])),
        role(
            "a",
            "secret",
            json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"], "verbs": ["get", "list", "create"]}]),
        ),
        role("", "events", json!([{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["list"]}])),
        binding("a", "readers", "ClusterRole reader", &["User ann", "Group ops"]),
        binding("a", "secret", "Role secret", &["ServiceAccount b/robot"]),
        binding("", "everywhere", "ClusterRole reader", &["Group system:serviceaccounts:b"]),
        binding("", "nowhere", "ClusterRole missing", &["User ann"]),
        binding("a", "nothing", "Role reader", &["User bob"]),
        binding("a", "events", "ClusterRole events", &["User eve"]),
    ]
}

#[test]
fn bindings_give_what_their_role_allows_where_they_are() {
    let roles = Roles::new(&state(&some_roles()).view());
    let robot = user("system:serviceaccount:b:robot", &["system:serviceaccounts", "system:serviceaccounts:b"]);
    let told = |user: &User, line: &str, namespace: &str| {
        roles.decide(user, &asked(line, namespace)).map_or("no".to_owned(), |allowed| allowed.to_string())
    };
    let ann = user("ann", &[]);
    let by_user = "RBAC: allowed by RoleBinding \"readers/a\" of ClusterRole \"reader\" to User \"ann\"";
    assert_eq!(told(&ann, "get pods x", "a"), by_user);
    assert_eq!(told(&ann, "get pods/log x", "a"), by_user);
    for (line, namespace) in [
        ("get pods x", "b"),
        ("list pods", ""),
        ("delete pods x", "a"),
        ("get pods/exec x", "a"),
        ("get pods.apps x", "a"),
    ] {
        assert_eq!(told(&ann, line, namespace), "no", "{line} in {namespace:?}");
    }
    let by_group = "RBAC: allowed by RoleBinding \"readers/a\" of ClusterRole \"reader\" to Group \"ops\"";
    assert_eq!(told(&user("joe", &["ops"]), "list pods", "a"), by_group);
    let by_account = "RBAC: allowed by RoleBinding \"secret/a\" of Role \"secret\" to ServiceAccount \"robot/b\"";
    assert_eq!(told(&robot, "get secrets x", "a"), by_account);
    assert_eq!(told(&robot, "get secrets y", "a"), "no");
    assert_eq!(told(&robot, "list secrets", "a"), "no", "a name is demanded");
    let by_namespace = "RBAC: allowed by ClusterRoleBinding \"everywhere\" of ClusterRole \"reader\" to Group \"system:serviceaccounts:b\"";
    assert_eq!(told(&robot, "list pods", ""), by_namespace);
    assert_eq!(told(&user("bob", &[]), "get pods x", "a"), "no", "the Role is not there");
    assert_eq!(
        told(&user("any", &["system:masters"]), "get anything.at.all x", ""),
        "system:masters may do everything"
    );
    for line in ["list events.events.k8s.io", "list events"] {
        assert!(told(&user("eve", &[]), line, "a").contains("\"events/a\""), "one resource in two groups: {line}");
    }
}

#[test]
fn requests_are_asked_about_as_in_kubernetes() {
    let fields = Fields::parse(Served::from(Kind::Secret), "metadata.name=x").unwrap();
    let secrets = Key::namespaced(Kind::Secret, "a", "");
    let pod = Key::namespaced(Kind::Pod, "a", "p");
    let namespace = Key::cluster(Kind::Namespace, "a");
    let cases = [
        (Access::to_many(Verb::List, &secrets, &fields), asked("list secrets x", "a")),
        (Access::to(Verb::Log, &pod), asked("get pods/log p", "a")),
        (Access::to_subresource(Verb::Create, &pod, Subresource::Exec), asked("create pods/exec p", "a")),
        (Access::to(Verb::Get, &namespace), asked("get namespaces a", "a")),
    ];
    for (access, expected) in cases {
        let Access::Objects(of) = access else { panic!("objects") };
        assert_eq!(Attributes::from(of.attributes()), expected);
    }
    let image = ResourceAttributes::of_images(Verb::Get, "team/app/web");
    assert_eq!((image.namespace, image.name, image.group), ("team", "team/app/web", "kapelle.dev"));
    assert_eq!(ResourceAttributes::of_images(Verb::Create, "app").namespace, "");
}

/// `joe` may read nothing of roles, `max` all of them.
fn refused_to(who: &str, access: Access<'_>, roles: &Arc<Roles>) -> String {
    let error = user(who, &[]).authorise(access, || roles.clone()).unwrap_err();
    assert_eq!(error.reason, Reason::Forbidden);
    error.message
}

/// Beside [`some_roles`] those that every cluster has, as far as they matter, and somebody who may list roles.
fn a_cluster() -> Arc<Roles> {
    let lists = json!([{"apiGroups": [GROUP], "resources": ["roles", "clusterroles"], "verbs": ["list"]}]);
    let own = [
        role("", "view", reads(&["pods", "services", "configmaps"])),
        role(
            "",
            "edit",
            json!([{"apiGroups": [""], "resources": ["pods", "services", "configmaps"], "verbs": ["get", "list", "watch", "delete"]}]),
        ),
        role("", "cluster-admin", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])),
        role("", "lists", lists),
        binding("", "lists", "ClusterRole lists", &["User max"]),
    ];
    Arc::new(Roles::new(&state(&[some_roles(), own.to_vec()].concat()).view()))
}

#[test]
fn a_refusal_says_which_role_would_allow_it_and_how() {
    let roles = a_cluster();
    let pods = Key::namespaced(Kind::Pod, "a", "");
    let everything = Fields::everything();
    assert_eq!(
        refused_to("joe", Access::to_many(Verb::List, &pods, &everything), &roles),
        "pods is forbidden: User \"joe\" cannot list resource \"pods\" in API group \"\" in the namespace \"a\": the ClusterRole \
         \"view\" would allow it: kubectl create rolebinding joe-view --clusterrole=view --user=joe --namespace=a"
    );
    let pod = Key::namespaced(Kind::Pod, "a", "p");
    assert!(refused_to("system:serviceaccount:b:bot", Access::to(Verb::Delete, &pod), &roles).ends_with(
        "the ClusterRole \"edit\" would allow it: kubectl create rolebinding bot-edit --clusterrole=edit \
             --serviceaccount=b:bot --namespace=a"
    ));
    let node = Key::cluster(Kind::Node, "n");
    assert!(
        refused_to("o'neil, x", Access::to(Verb::Delete, &node), &roles).ends_with(
            "at the cluster scope: a role of its own would allow it: kubectl create clusterrole NAME --verb=delete \
             --resource=nodes; kubectl create clusterrolebinding NAME --clusterrole=NAME --user='o'\\''neil, x'"
        ),
        "a role that gives all is no answer"
    );
    let scale = ResourceAttributes {
        verb: "get",
        group: "apps",
        resource: "deployments",
        subresource: "scale",
        namespace: "a",
        name: "d",
    };
    assert!(refused_to("joe", Access::Resource(scale), &roles).ends_with(
        "kubectl create role NAME --verb=get --resource=deployments.apps/scale --namespace=a; kubectl create rolebinding NAME \
         --role=NAME --user=joe --namespace=a"
    ));
    let path = Attributes::NonResource { verb: "get", path: "/metrics" };
    assert!(refusal::refusal(&user("joe", &[]), &path, &roles).message.contains("--non-resource-url=/metrics; "));
    let error = user("joe", &[]).authorise(Access::to(Verb::Get, &pod), || roles.clone()).unwrap_err();
    assert_eq!(error.about, Some(pod));
}

#[test]
fn nobody_learns_of_roles_that_it_may_not_list() {
    let roles = a_cluster();
    let secret = Key::namespaced(Kind::Secret, "a", "x");
    let hidden = refused_to("joe", Access::to(Verb::Get, &secret), &roles);
    assert!(hidden.contains("kubectl create role NAME") && !hidden.contains("Role \"secret\""), "{hidden}");
    let told = refused_to("max", Access::to(Verb::Get, &secret), &roles);
    assert!(
        told.contains("the Role \"secret\" would allow it: kubectl create rolebinding max-secret --role=secret"),
        "{told}"
    );
    let pods = Key::namespaced(Kind::Pod, "a", "p");
    assert!(
        refused_to("max", Access::to(Verb::Get, &pods), &roles).contains("ClusterRole \"reader\""),
        "it is smaller"
    );
    assert!(refused_to("joe", Access::to(Verb::Get, &pods), &roles).contains("ClusterRole \"view\""));
}

#[test]
fn a_refusal_costs_no_more_than_so_many_roles() {
    let number = refusal::LOOKED_THROUGH_MAX;
    let mut objects: Vec<Object> =
        (0..number - 1).map(|n| role("", &format!("r{n:04}"), reads(&["nothing"]))).collect();
    let lists = json!([{"apiGroups": [GROUP], "resources": ["clusterroles"], "verbs": ["list"]}]);
    objects.extend([role("", "lists", lists), binding("", "lists", "ClusterRole lists", &["User max"])]);
    objects.push(role("", "s", reads(&["pods"])));
    let told = |objects: &[Object]| {
        let roles = Arc::new(Roles::new(&state(objects).view()));
        refused_to("max", Access::to(Verb::Get, &Key::namespaced(Kind::Pod, "a", "p")), &roles)
    };
    assert!(told(&objects).contains("a role of its own"));
    assert!(told(&objects[1..]).contains("the ClusterRole \"s\" would allow it"));
}

#[test]
fn an_explanation_names_the_rule_or_what_comes_nearest() {
    let roles = a_cluster();
    let explained = |who: &User, line: &str| roles.explain(who, &asked(line, "a"), refusal::Reader::Administrator);
    let ann = user("ann", &[]);
    assert_eq!(
        explained(&ann, "get pods x"),
        (
            true,
            "RBAC: allowed by RoleBinding \"readers/a\" of ClusterRole \"reader\" to User \"ann\": {APIGroups:[\"\"], \
             Resources:[\"pods\" \"pods/log\"], Verbs:[\"get\" \"list\" \"watch\"]}"
                .to_owned()
        )
    );
    let (allowed, why) = explained(&ann, "delete pods x");
    assert!(!allowed && why.starts_with("the ClusterRole \"edit\" would allow it: kubectl"), "{why}");
    assert!(
        why.contains(
            "; nearest comes RoleBinding \"readers/a\" of ClusterRole \"reader\" to User \"ann\", which allows {"
        ),
        "{why}"
    );
    let (allowed, why) = explained(&user("system:serviceaccount:b:robot", &[]), "get secrets y");
    assert!(!allowed && why.contains("ResourceNames:[\"x\"]"), "{why}");
    assert!(!explained(&user("joe", &[]), "get pods x").1.contains("nearest"));
    let master = user("root", &["system:masters"]);
    assert_eq!(explained(&master, "get pods x"), (true, "system:masters may do everything".to_owned()));
    let (allowed, why) = explained(&user("eve", &[]), "list events");
    assert!(allowed && why.contains("{APIGroups:[\"events.k8s.io\"]"), "{why}");
}

/// A state that must not be needed.
fn unseen() -> Arc<Roles> {
    panic!("the roles were looked at")
}

#[test]
fn some_things_no_role_can_allow() {
    let (ann, master) = (user("ann", &[]), user("root", &["system:masters"]));
    for access in [Access::Public, Access::Inside] {
        assert!(ann.authorise(access, unseen).is_ok());
    }
    for access in [Access::Heartbeat("n"), Access::Renew, Access::Admit] {
        assert_eq!(ann.authorise(access, unseen).unwrap_err().reason, Reason::Forbidden, "{access:?}");
        assert_eq!(master.authorise(access, unseen).unwrap_err().reason, Reason::Forbidden, "{access:?}");
    }
    let backup = Access::Administer("make a backup");
    assert!(ann.authorise(backup, unseen).unwrap_err().message.contains("cannot make a backup"));
    assert!(master.authorise(backup, unseen).is_ok());
    let view = state(&[]).view();
    let caller = Caller::User(Arc::new(ann));
    for access in
        [Access::SeeMasters, Access::Images(Verb::Get, "a/b"), Access::Resource(ResourceAttributes::default())]
    {
        assert!(caller.authorise(access, || view.clone(), &crate::access::NodeUses::default()).is_err(), "{access:?}");
    }
}

#[test]
fn the_index_follows_the_state() {
    let (mut state, rights) = (State::default(), Rights::default());
    let ann = user("ann", &[]);
    let may = |state: &State, line: &str| rights.of(&state.view()).decide(&ann, &asked(line, "a")).is_some();
    assert!(!may(&state, "get pods x"));
    put(&mut state, &binding("a", "one", "Role r", &["User ann"]));
    assert!(!may(&state, "get pods x"), "there is no such role yet");
    put(&mut state, &role("a", "r", reads(&["pods"])));
    assert!(may(&state, "get pods x"));
    put(&mut state, &role("a", "r", reads(&["services"])));
    assert!(!may(&state, "get pods x") && may(&state, "get services x"));
    put(&mut state, &binding("a", "two", "Role r", &["User ann", "User ann"]));
    delete(&mut state, Key::namespaced(Kind::RoleBinding, "a", "one"));
    assert!(may(&state, "get services x"), "the other binding gives it, too");
    let earlier = state.view();
    put(&mut state, &binding("a", "two", "Role r", &["User bob"]));
    assert!(!may(&state, "get services x"));
    assert!(
        rights.of(&earlier).decide(&ann, &asked("get services x", "a")).is_some(),
        "an earlier state is read as it was"
    );
    delete(&mut state, Key::namespaced(Kind::Role, "a", "r"));
    let bob = user("bob", &[]);
    assert!(rights.of(&state.view()).decide(&bob, &asked("get services x", "a")).is_none());
}
