//! Who may write which role and binding, and that no sequence of such writes gives more.
#![expect(clippy::unwrap_used, reason = "tests")]
use api::core_v1::{ConfigMap, Pod};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use store::State;

use super::*;
use crate::access::rbac::{
    Attributes,
    tests::{binding, delete, put, role, state, user},
};

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

fn writes(state: &State, who: &User, new: &Object) -> Result<(), String> {
    let view = state.view();
    let old = view.get(&new.key()).map(|record| record.object());
    let grant = Grant { new, old: old.as_deref() };
    who.may_grant(grant, &Roles::new(&view)).map_err(|error| error.message)
}

/// Ann may read Pods in `a`, and Bob may, too, and `escalate` and `bind` one role of each kind.
fn story() -> State {
    let escalates = json!([
        {"verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]},
        {"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["root"]}
    ]);
    state(&[
        role("", "reader", json!([rule(&["get", "list"], "", &["pods"])])),
        role("", "root", json!([rule(&["*"], "*", &["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}])),
        role("", "escalates", escalates),
        binding("a", "ann", "ClusterRole reader", &["User ann"]),
        binding("a", "bob", "ClusterRole escalates", &["User bob"]),
        binding("", "eve", "ClusterRole root", &["User eve"]),
    ])
}

#[test]
fn whoever_writes_a_role_has_all_its_rights() {
    let (state, ann) = (story(), user("ann", &["devs", "system:authenticated"]));
    let of_pods = |namespace: &str, verbs: &[&str]| role(namespace, "new", json!([rule(verbs, "", &["pods"])]));
    assert_eq!(writes(&state, &ann, &of_pods("a", &["get"])), Ok(()));
    assert_eq!(
        writes(&state, &ann, &of_pods("a", &["get", "delete"])).unwrap_err(),
        "roles.rbac.authorization.k8s.io \"new\" is forbidden: user \"ann\" (groups=[\"devs\" \"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
    for namespace in ["b", ""] {
        assert!(writes(&state, &ann, &of_pods(namespace, &["get"])).is_err(), "in {namespace:?} Ann has nothing");
    }
    assert_eq!(writes(&state, &user("bob", &[]), &of_pods("a", &["*"])), Ok(()), "Bob may escalate");
    assert!(writes(&state, &user("bob", &[]), &of_pods("", &["get"])).is_err(), "but no ClusterRole");
    assert_eq!(writes(&state, &user("root", &["system:masters"]), &of_pods("", &["*"])), Ok(()));
}

#[test]
fn whoever_gathers_roles_has_all_rights() {
    let (state, eve) = (story(), user("eve", &[]));
    let mut gathers = role("", "new", json!([]));
    let Object::ClusterRole(role) = &mut gathers else { panic!("a ClusterRole") };
    role.aggregation_rule.get_or_insert_default();
    assert_eq!(writes(&state, &eve, &gathers), Ok(()));
    let refused = writes(&state, &user("ann", &[]), &gathers).unwrap_err();
    assert!(refused.ends_with("must have cluster-admin privileges to use the aggregationRule"), "{refused}");
}

#[test]
fn whoever_writes_a_binding_has_all_rights_of_its_role() {
    let (state, ann, bob) = (story(), user("ann", &[]), user("bob", &[]));
    let binds = |namespace: &str, of: &str| binding(namespace, "new", of, &["User joe"]);
    assert_eq!(writes(&state, &ann, &binds("a", "ClusterRole reader")), Ok(()));
    for (namespace, of) in [("b", "ClusterRole reader"), ("", "ClusterRole reader"), ("a", "ClusterRole root")] {
        let refused = writes(&state, &ann, &binds(namespace, of)).unwrap_err();
        assert!(refused.contains("permissions not currently held"), "{refused}");
    }
    let missing = writes(&state, &ann, &binds("a", "Role none")).unwrap_err();
    assert_eq!(missing, "roles.rbac.authorization.k8s.io \"none\" not found");
    assert_eq!(writes(&state, &bob, &binds("a", "ClusterRole root")), Ok(()), "Bob may bind this one here");
    assert!(writes(&state, &bob, &binds("", "ClusterRole root")).is_err(), "and nowhere else");
    assert!(writes(&state, &bob, &binds("a", "ClusterRole reader")).is_err(), "and no other");
}

#[test]
fn what_garbage_collection_goes_by_gives_nothing() {
    let (state, joe) = (story(), user("joe", &[]));
    let key = Key::cluster(Kind::ClusterRole, "root");
    let mut held = Object::clone(&state.view().get(&key).unwrap().object());
    held.metadata_mut().finalizers.push("example.org/held".to_owned());
    assert_eq!(writes(&state, &joe, &held), Ok(()));
    held.metadata_mut().labels.insert("aggregate".to_owned(), "true".to_owned());
    assert!(writes(&state, &joe, &held).is_err(), "by labels roles are gathered");
    for other in [Object::from(Pod::default()), ConfigMap::default().into()] {
        assert_eq!(writes(&state, &joe, &other), Ok(()), "nothing else gives rights");
    }
}

const NAMES: [&str; 3] = ["x", "y", "z"];
const PLACES: [&str; 3] = ["", "a", "b"];
const VERBS: [&str; 4] = ["get", "delete", "create", "*"];
const RESOURCES: [&str; 5] = ["pods", "secrets", "pods/log", "*/log", "*"];
const USERS: [&str; 2] = ["ann", "bob"];

fn random_role(random: &mut StdRng, namespace: &str) -> Object {
    let mut pick = |words: &[&'static str]| *words.choose(random).unwrap();
    let (verb, resource, name) = (pick(&VERBS), pick(&RESOURCES), pick(&["", "", "n"]));
    let mut rule = rule(&[verb], pick(&["", "*", "apps"]), &[resource]);
    if !name.is_empty() {
        rule["resourceNames"] = json!([name]);
    }
    role(namespace, pick(&NAMES), json!([rule]))
}

fn random_binding(random: &mut StdRng, namespace: &str) -> Object {
    let mut pick = |words: &[&'static str]| *words.choose(random).unwrap();
    let kind = if namespace.is_empty() { "ClusterRole" } else { pick(&["ClusterRole", "Role"]) };
    let (role, to) = (format!("{kind} {}", pick(&NAMES)), pick(&["User ann", "User bob", "Group all"]));
    binding(namespace, pick(&NAMES), &role, &[to])
}

/// What both together may do, of everything that the rules are about.
fn together(state: &State) -> Vec<String> {
    let roles = Roles::new(&state.view());
    let mut may = Vec::new();
    for namespace in PLACES {
        for verb in ["get", "delete", "create", "patch", "escalate", "bind"] {
            for (resource, subresource) in
                [("pods", ""), ("secrets", ""), ("pods", "log"), ("nodes", "log"), ("nodes", "")]
            {
                for (group, name) in [("", ""), ("", "n"), ("apps", "n"), ("batch", "m")] {
                    let asked = ResourceAttributes { verb, group, resource, subresource, namespace, name };
                    let asked = Attributes::from(asked);
                    if USERS.iter().any(|name| roles.decide(&user(name, &["all"]), &asked).is_some()) {
                        may.push(format!("{asked:?}"));
                    }
                }
            }
        }
    }
    may
}

/// Administrators give at random; then two users who may write every role and binding, though neither `escalate` nor `bind`, do
/// so at random. Together they never may what they might not before.
#[test]
fn no_sequence_of_allowed_writes_gives_more() {
    let mut taken = 0;
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = State::default();
        for _ in 0..6 {
            let namespace = *PLACES.choose(&mut random).unwrap();
            let given = [random_role(&mut random, namespace), random_binding(&mut random, namespace)];
            // The right to everything is the right to escalate, too.
            given
                .iter()
                .filter(|object| !format!("{object:?}").contains('*'))
                .for_each(|object| put(&mut state, object));
        }
        let before = together(&state);
        for step in 0..30 {
            let namespace = *PLACES.choose(&mut random).unwrap();
            let who = user(USERS.choose(&mut random).unwrap(), &["all"]);
            let wanted = match random.random_range(0..5) {
                0 | 1 => random_role(&mut random, namespace),
                2 | 3 => random_binding(&mut random, namespace),
                _ => {
                    let key = random_binding(&mut random, namespace).key();
                    if state.view().get(&key).is_some() {
                        delete(&mut state, key);
                    }
                    continue;
                }
            };
            if writes(&state, &who, &wanted).is_err() {
                continue;
            }
            taken += 1;
            put(&mut state, &wanted);
            let after = together(&state);
            let more: Vec<&String> = after.iter().filter(|right| !before.contains(right)).collect();
            assert!(more.is_empty(), "seed {seed}, step {step}: {wanted:?} gave {more:?}");
        }
    }
    assert!(taken > 50, "enough of it is allowed to tell something: {taken}");
}
