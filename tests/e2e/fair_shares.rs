//! Flow schemas and priority levels: what answers say of them, and that a level which is full holds up nobody else.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    cluster::Cluster,
    floods::{nobody, runtime},
    kubectl::Kubectl,
    patience::wait_until,
};

/// One seat of 600, which cannot borrow; and a level that leaves others no more of their own, but lends all that it has.
const OBJECTS: &str = r#"---
{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "narrow"},
 "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "borrowingLimitPercent": 0,
  "limitResponse": {"type": "Reject"}}}}
---
{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "lender"},
 "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 100000, "lendablePercent": 100,
  "limitResponse": {"type": "Reject"}}}}
---
{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "narrow"},
 "spec": {"priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 1000,
  "distinguisherMethod": {"type": "ByUser"}, "rules": [{"subjects": [
   {"kind": "User", "user": {"name": "noxu"}},
   {"kind": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": "noxu"}}],
  "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
  "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}
"#;

/// The head of a request of somebody.
fn head(line: &str, token: &str, length: usize) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// The head of the answer, in lower case.
async fn asked(cluster: &Cluster, line: &str, token: &str) -> String {
    let mut stream = nobody(cluster).await.unwrap();
    stream.write_all(head(line, token, 0).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whether the end is clean, the other side does not say.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase()
}

#[test]
fn a_level_that_is_full_refuses_its_own_and_nobody_else() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    kubectl.run("apply -f -", OBJECTS).ok();
    kubectl.ok("wait --for=condition=Dangling=False flowschema/narrow --timeout=60s");
    kubectl.ok("create serviceaccount noxu");
    kubectl.ok("create serviceaccount other");
    let token = |name: &str| kubectl.ok(&format!("create token {name}")).trim().to_owned();
    let (noxu, other) = (token("noxu"), token("other"));
    let uid = |object: &str| kubectl.ok(&format!("get {object} -o 'jsonpath={{.metadata.uid}}'"));
    let told = |schema: &str, level: &str| {
        let (schema, level) =
            (uid(&format!("flowschema/{schema}")), uid(&format!("prioritylevelconfiguration/{level}")));
        [format!("x-kubernetes-pf-flowschema-uid: {schema}"), format!("x-kubernetes-pf-prioritylevel-uid: {level}")]
    };
    let (narrow, usual) = (told("narrow", "narrow"), told("service-accounts", "workload-low"));
    runtime().block_on(async {
        let answer = asked(&cluster, "GET /version", &noxu).await;
        assert!(answer.starts_with("http/1.1 200") && narrow.iter().all(|line| answer.contains(line)), "{answer}");

        // A request that has not come to its end holds the seat.
        let mut stream = nobody(&cluster).await.unwrap();
        let endless = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        stream.write_all(head(endless, &noxu, 100).as_bytes()).await.unwrap();
        let refused = loop {
            let answer = asked(&cluster, "GET /version", &noxu).await;
            if !answer.starts_with("http/1.1 200") {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(refused.starts_with("http/1.1 429") && refused.contains("retry-after: 1"), "{refused}");
        assert!(narrow.iter().all(|line| refused.contains(line)), "{refused}");
        let answer = asked(&cluster, "GET /version", &other).await;
        assert!(answer.starts_with("http/1.1 200") && usual.iter().all(|line| answer.contains(line)), "{answer}");
        kubectl.ok("get namespaces");

        // Acting as somebody, an administrator is that one.
        let by_another = kubectl.run("get --raw /version --as=noxu --as-group=system:authenticated", "").err();
        assert!(by_another.contains("too many requests of the priority level \"narrow\""), "{by_another}");
        drop(stream);
        let freed = asked(&cluster, "GET /version", &noxu);
        assert!(tokio::time::timeout(Duration::from_secs(10), freed).await.is_ok());
    });
    wait_until("the seat", || {
        kubectl.run("get --raw /version --as=noxu --as-group=system:authenticated", "").printed()
    });
}

/// What upstream's conformance suite does with both kinds, and what is told of what has no effect.
#[test]
fn schemas_and_levels_are_written_like_any_object() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let level = r#"{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "a", "labels": {"of": "test"}}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 2, "limitResponse": {"type": "Queue", "queuing": {"handSize": 3}}}}}"#;
    let answer = kubectl.run("create -f -", level);
    assert!(answer.stderr.contains("spec.limited.limitResponse.queuing.handSize: ignored"), "{}", answer.stderr);
    answer.ok();
    let field = |object: &str, path: &str| kubectl.ok(&format!("get {object} -o 'jsonpath={{{path}}}'"));
    assert_eq!(field("prioritylevelconfiguration/a", ".spec.limited.limitResponse.queuing.queues"), "64");
    assert_eq!(field("prioritylevelconfiguration/a", ".spec.limited.lendablePercent"), "0");
    kubectl.ok(
        "patch prioritylevelconfiguration a --type=merge -p '{\"spec\":{\"limited\":{\"nominalConcurrencyShares\":0}}}'",
    );
    assert_eq!(field("prioritylevelconfiguration/a", ".spec.limited.nominalConcurrencyShares"), "0");
    assert_eq!(field("prioritylevelconfiguration/a", ".metadata.generation"), "2");
    kubectl.ok("patch prioritylevelconfiguration a --subresource=status --type=merge -p \
         '{\"status\":{\"conditions\":[{\"type\":\"PatchStatusFailed\",\"status\":\"False\",\"reason\":\"e2e\"}]}}'");
    assert_eq!(field("prioritylevelconfiguration/a", ".status.conditions[0].type"), "PatchStatusFailed");
    assert_eq!(field("prioritylevelconfiguration/a", ".metadata.generation"), "2");
    kubectl.ok("delete prioritylevelconfigurations -l of=test");
    // What is fixed stays, and what is taken away comes back.
    let fixed =
        kubectl.run("patch flowschema exempt --type=merge -p '{\"spec\":{\"matchingPrecedence\":3}}'", "").err();
    assert!(fixed.contains("spec of 'exempt' must equal the fixed value"), "{fixed}");
    let before = field("flowschema/catch-all", ".metadata.uid");
    kubectl.ok("delete flowschema catch-all");
    wait_until("another", || {
        let uid = kubectl.run("get flowschema catch-all -o 'jsonpath={.metadata.uid}'", "").printed()?;
        if uid == before || uid.is_empty() { Err(uid) } else { Ok(()) }
    });
    let table = kubectl.ok("get flowschemas");
    assert!(table.lines().any(|line| line.starts_with("service-accounts") && line.ends_with("False")), "{table}");
}
