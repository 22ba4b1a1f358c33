//! What may not change.

use expect_test::{Expect, expect};

use super::{lines, object};
use crate::{
    Subresource,
    validate::{update, update_part},
};

fn check(old: &str, new: &str, expected: &Expect) {
    expected.assert_eq(&lines(&update(&object(old), &object(new))));
}

const POD: &str = "{kind: Pod, metadata: {name: web, namespace: default, uid: u1}, spec: {nodeName: n1, activeDeadlineSeconds: 9, containers: [{name: a, image: a:1}]}}";

#[test]
fn names_and_uids_stay() {
    let new = POD.replace("uid: u1", "uid: u2").replace("name: web", "name: wbe");
    check(
        POD,
        &new,
        &expect![[r#"
        metadata.name: Invalid value: "wbe": field is immutable
        metadata.uid: Invalid value: "u2": field is immutable
    "#]],
    );
    let old = "{kind: ConfigMap, metadata: {name: a, namespace: b, deletionTimestamp: '2026-11-23T01:00:00Z', finalizers: [x.y/z]}}";
    check(
        old,
        &old.replace("x.y/z", "x.y/z, x.y/w"),
        &expect![[r#"
        metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted
    "#]],
    );
    check(old, &old.replace("x.y/z", ""), &expect![[r#""#]]);
}

#[test]
fn of_a_pod_little_may_change() {
    check(POD, &POD.replace("a:1", "a:2"), &expect![[r#""#]]);
    check(
        POD,
        &POD.replace("nodeName: n1", "nodeName: n1, tolerations: [{key: x, operator: Exists}]"),
        &expect![[r#""#]],
    );
    check(POD, &POD.replace("activeDeadlineSeconds: 9", "activeDeadlineSeconds: 8"), &expect![[r#""#]]);
    check(
        POD,
        &POD.replace("activeDeadlineSeconds: 9", "activeDeadlineSeconds: 10"),
        &expect![[r#"
        spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value 9
    "#]],
    );
    check(
        POD,
        &POD.replace("n1", "n2"),
        &expect![[r#"
        spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions) and `spec.terminationGracePeriodSeconds` (only to 1 if it was negative)
    "#]],
    );
    check(
        POD,
        &POD.replace("image: a:1}", "image: a:1}, {name: b, image: b}"),
        &expect![[r#"
        spec.containers: Forbidden: pod updates may not add or remove containers
    "#]],
    );
    check(
        POD,
        &POD.replace("image: a:1", "image: a:1, args: [x]"),
        &expect![[r#"
        spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions) and `spec.terminationGracePeriodSeconds` (only to 1 if it was negative)
    "#]],
    );
}

#[test]
fn selectors_addresses_and_types_stay() {
    let deployment = "{kind: Deployment, metadata: {name: a, namespace: b}, spec: {selector: {matchLabels: {app: web}},
        template: {metadata: {labels: {app: web, v: x}}, spec: {containers: [{name: a, image: a}]}}}}";
    check(
        deployment,
        &deployment.replace("matchLabels: {app: web}", "matchLabels: {v: x}"),
        &expect![[r#"
        spec.selector: Invalid value: "v=x": field is immutable; delete the object and create it anew, or choose another name
    "#]],
    );
    let service =
        "{kind: Service, metadata: {name: a, namespace: b}, spec: {clusterIP: 127.128.0.9, ports: [{port: 1}]}}";
    check(
        service,
        &service.replace("0.9", "0.10"),
        &expect![[r#"
        spec.clusterIP: Invalid value: "127.128.0.10": field is immutable; it may not change once set
    "#]],
    );
    let secret = "{kind: Secret, metadata: {name: a, namespace: b}, type: x, immutable: true, data: {k: v}}";
    check(
        secret,
        &secret.replace("type: x", "type: y").replace("k: v", "k: w"),
        &expect![[r#"
        type: Invalid value: "<secret contents redacted>": field is immutable
        data: Forbidden: field is immutable when `immutable` is set; delete the object and create it anew
    "#]],
    );
    check(
        secret,
        &secret.replace("immutable: true", "immutable: false"),
        &expect![[r#"
        immutable: Forbidden: field is immutable when `immutable` is set; delete the object and create it anew
    "#]],
    );
    let node = "{kind: Node, metadata: {name: n}, spec: {podCIDR: 127.64.0.0/18}}";
    check(
        node,
        &node.replace("64", "65"),
        &expect![[r#"
        spec.podCIDR: Forbidden: may not change once set
    "#]],
    );
}

#[test]
fn parts_are_judged_alone() {
    let part = |old: &str, new: &str, part| lines(&update_part(&object(old), &object(new), part));
    let unbound = POD.replace("nodeName: n1, ", "");
    assert_eq!(part(&unbound, POD, Subresource::Binding), "");
    let again = part(POD, &POD.replace("n1", "n2"), Subresource::Binding);
    assert_eq!(again, "spec.nodeName: Invalid value: \"n2\": the Pod is already bound to node \"n1\"\n");
    let old = "{kind: Deployment, metadata: {name: a, namespace: b}, spec: {replicas: 1}}";
    assert_eq!(part(old, &old.replace('1', "2"), Subresource::Scale), "", "the rest of the spec is not looked at");
    let negative = part(old, &old.replace('1', "-1"), Subresource::Scale);
    assert_eq!(negative, "spec.replicas: Invalid value: -1: must be greater than or equal to 0\n");
    let dreaming = POD.replace("spec:", "status: {phase: Dreaming}, spec:");
    assert!(part(POD, &dreaming, Subresource::Status).starts_with("status.phase: Unsupported value: \"Dreaming\""));
    let namespace = "{kind: Namespace, metadata: {name: a}}";
    assert_eq!(part(namespace, namespace, Subresource::Finalize), "");
}
