//! ConfigMaps, Secrets and the small kinds.

use expect_test::expect;

use super::{check, lines, object, valid};
use crate::{
    Object,
    validate::{DATA_BYTES_MAX, create},
};

#[test]
fn keys_are_file_names() {
    check(
        "{kind: ConfigMap, metadata: {name: a, namespace: b}, data: {a/b: x, ..: y, same: z}, binaryData: {same: z}}",
        &expect![[r#"
            data[..]: Invalid value: "..": must not be '.' or start with '..'
            data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name' or 'KEY_NAME')
            data[same]: Invalid value: "same": duplicate of key present in binaryData
        "#]],
    );
    check(
        "{kind: Secret, metadata: {name: a, namespace: b}, type: kubernetes.io/tls, data: {tls.crt: x}}",
        &expect![[r#"
            data[tls.key]: Required value: a Secret of type kubernetes.io/tls has it
        "#]],
    );
    check(
        "{kind: Secret, metadata: {name: a, namespace: b}, type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: x}}",
        &expect![[r#"
            data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be valid JSON
        "#]],
    );
    valid("{kind: Secret, metadata: {name: a, namespace: b}, stringData: {.hidden: x}}");
}

#[test]
fn data_has_a_limit() {
    let of = |bytes: usize| {
        let mut map = object("{kind: ConfigMap, metadata: {name: a, namespace: b}}");
        if let Object::ConfigMap(map) = &mut map {
            map.data.insert("k".to_owned(), "x".repeat(bytes));
        }
        lines(&create(&map))
    };
    assert_eq!(of(DATA_BYTES_MAX), "");
    assert_eq!(of(DATA_BYTES_MAX + 1), "data: Too long: may not be more than 1048576 bytes\n");
}

#[test]
fn the_small_kinds_are_judged() {
    check(
        "{kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.0.0.0/99, taints: [{key: a, effect: Never}, {key: b},
          {key: c, effect: NoSchedule}, {key: c, effect: NoSchedule}]}, status: {capacity: {cpu: two}}}",
        &expect![[r#"
            spec.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.taints[1].effect: Required value: one of NoSchedule, PreferNoSchedule, NoExecute
            spec.taints[3]: Duplicate value: "c:NoSchedule"
            spec.podCIDRs[0]: Invalid value: "10.0.0.0/99": must be an address range in CIDR form (e.g. '10.9.8.0/24')
            status.capacity[cpu]: Invalid value: "two": is no quantity: it does not begin with a number; write a number and an optional suffix, such as 100m, 2, 1.5, 64Mi or 1e3
            status.allocatable[cpu]: Invalid value: "two": is no quantity: it does not begin with a number; write a number and an optional suffix, such as 100m, 2, 1.5, 64Mi or 1e3
        "#]],
    );
    check(
        "{kind: Lease, metadata: {name: a, namespace: b}, spec: {leaseDurationSeconds: 0, leaseTransitions: -1}}",
        &expect![[r#"
            spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0
            spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0
        "#]],
    );
    check(
        "{kind: Event, metadata: {name: a, namespace: b}, involvedObject: {kind: Pod, namespace: c}, eventTime: '2026-11-23T01:00:00Z', type: Bad}",
        &expect![[r#"
            involvedObject.namespace: Invalid value: "c": does not match event.namespace
            type: Unsupported value: "Bad": supported values: "Normal", "Warning"
            reportingComponent: Required value
            reportingInstance: Required value
            action: Required value
            reason: Required value
        "#]],
    );
    check(
        "{kind: Namespace, metadata: {name: shop}, spec: {finalizers: [mine]}}",
        &expect![[r#"
        spec.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified
    "#]],
    );
    valid("{kind: Event, metadata: {name: a, namespace: default}, involvedObject: {kind: Node, name: n1}}");
}
