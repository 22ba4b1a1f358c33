//! Tokens whose subject goes: every master refuses them within a second, and what they have open ends.

use std::{
    thread,
    time::{Duration, Instant},
};

use api::{
    Key, Kind,
    authentication_v1::{BoundObjectReference, TokenRequestSpec},
};

use crate::{lab::Lab, patience::wait_until};

const MASTERS: [&str; 3] = ["m1", "m2", "m3"];

/// How long after a deletion was answered a token may count somewhere.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// Everything of which tokens can speak, and leave for all to read Pods.
const OBJECTS: &str = "
apiVersion: kapelle.dev/v1
kind: User
metadata: {name: ann}
spec: {groups: [watchers]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: till}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: leaving}
---
apiVersion: v1
kind: Secret
metadata: {name: thing}
---
apiVersion: v1
kind: Node
metadata: {name: thing}
---
apiVersion: v1
kind: Pod
metadata: {name: thing}
spec:
  serviceAccountName: till
  nodeSelector: {never: scheduled}
  containers: [{name: c, image: 'hello:1'}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: watchers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: watchers}
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:serviceaccounts'}
";

/// What is deleted, and whose tokens are bound to it.
const CASES: [(&str, Kind, &str); 5] = [
    ("user/ann", Kind::User, "ann"),
    ("pod/thing --grace-period=0 --force", Kind::ServiceAccount, "till"),
    ("secret/thing", Kind::ServiceAccount, "till"),
    ("node/thing", Kind::ServiceAccount, "till"),
    ("serviceaccount/leaving", Kind::ServiceAccount, "leaving"),
];

/// A token that ends with an object.
fn token(lab: &Lab, what: &str, kind: Kind, name: &'static str) -> String {
    let bound = match what.split('/').next().unwrap() {
        "pod" => "Pod",
        "secret" => "Secret",
        "node" => "Node",
        _ => "",
    };
    let reference = BoundObjectReference {
        kind: bound.to_owned(),
        api_version: "v1".to_owned(),
        name: "thing".to_owned(),
        uid: String::new(),
    };
    let bound_object_ref = (!bound.is_empty()).then_some(reference);
    let spec = TokenRequestSpec { bound_object_ref, ..TokenRequestSpec::default() };
    let made = lab.client("m1", &["m1"], move |client| async move {
        let namespace = if kind.info().namespaced { "default" } else { "" };
        client.request_token(&Key::namespaced(kind, namespace, name), spec).await.unwrap().token
    });
    made.join().unwrap()
}

/// What a master answers to who shows a token.
fn asked(lab: &Lab, master: &str, token: &str, query: &[&str], path: &str) -> String {
    let url = format!("https://{}{path}", lab.contact(master));
    let header = format!("Authorization: Bearer {token}");
    lab.on(master, "curl", &[&["-sk", "-H", &header], query, &[&url]].concat()).stdout
}

fn status(lab: &Lab, master: &str, token: &str) -> String {
    asked(lab, master, token, &["--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}"], "/api/v1/pods")
}

/// Each master refuses a token, sooner or later.
fn all_refuse(lab: &Lab, token: &str, what: &str) {
    for master in MASTERS {
        wait_until("a refusal", || match status(lab, master, token).as_str() {
            "401" => Ok(()),
            other => Err(format!("{master} answers {other} without {what}")),
        });
    }
}

#[test]
fn whoever_goes_is_refused_by_every_master_within_a_second() {
    let Some(mut lab) = Lab::new(&MASTERS) else { return };
    lab.three_masters();
    lab.apply("m2", "objects.yaml", OBJECTS).ok();
    for (what, kind, name) in CASES {
        let token = token(&lab, what, kind, name);
        for master in MASTERS {
            wait_until("leave", || match status(&lab, master, &token).as_str() {
                "200" => Ok(()),
                other => Err(format!("{master} answers {other} to {what}")),
            });
        }
        thread::scope(|scope| {
            let lab = &lab;
            let token = token.as_str();
            let watches: Vec<_> = MASTERS
                .iter()
                .map(|master| {
                    scope.spawn(move || {
                        let path = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                                    &allowWatchBookmarks=true";
                        asked(lab, master, token, &["-N", "--max-time", "60"], path);
                        Instant::now()
                    })
                })
                .collect();
            thread::park_timeout(Duration::from_millis(300));
            assert!(watches.iter().all(|watch| !watch.is_finished()), "{what}: the watches are open");
            lab.kapelle("m3", &format!("delete {what} --wait=false")).ok();
            let gone = Instant::now();
            all_refuse(lab, token, what);
            assert!(gone.elapsed() < REFUSED_WITHIN, "{what}: {:?}", gone.elapsed());
            for watch in watches {
                let ended = watch.join().unwrap();
                assert!(ended.saturating_duration_since(gone) < REFUSED_WITHIN, "{what}: a watch went on");
            }
        });
    }
    // Who comes under the name of one who went is another.
    let before = {
        lab.apply("m1", "objects.yaml", OBJECTS).ok();
        token(&lab, "user/ann", Kind::User, "ann")
    };
    lab.kapelle("m2", "user revoke ann").ok();
    lab.apply("m3", "objects.yaml", OBJECTS).ok();
    all_refuse(&lab, &before, "the ann of before");
}
