//! Rows as `kubectl` users know them.

use expect_test::{Expect, expect};

use super::{columns, row};
use crate::{Kind, Object, Timestamp, core_v1, defaults, fixtures, kinds::core::pod::summary};

/// The rows below are looked at on this day at noon.
const NOW: &str = "2026-11-23T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap_or_default()
}

/// Headings and cells side by side, wide ones with a star.
fn check(yaml: &str, expected: &Expect) {
    let object = fixtures::object(yaml);
    let lines = columns(object.kind()).iter().zip(row(&object, now())).map(|(column, cell)| {
        let star = if column.priority == 1 { "*" } else { "" };
        format!("{}{star}: {cell}\n", column.name.to_uppercase())
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn every_kind_has_as_many_cells_as_columns_and_one_name() {
    for kind in Kind::ALL {
        let mut object = Object::empty(*kind);
        assert_eq!(row(&object, now()).len(), columns(*kind).len(), "{kind}");
        defaults::apply(&mut object);
        assert_eq!(row(&object, now()).len(), columns(*kind).len(), "{kind} with defaults");
        assert_eq!(columns(*kind).iter().filter(|column| column.format == "name").count(), 1, "{kind}");
    }
}

#[test]
fn parts_of_the_control_plane() {
    let component = |conditions: &str| format!("{{kind: ComponentStatus, metadata: {{name: etcd-0}}, {conditions}}}");
    check(
        &component("conditions: [{type: Other, status: 'False'}, {type: Healthy, status: 'True', message: ok}]"),
        &expect![[r#"
            NAME: etcd-0
            STATUS: Healthy
            MESSAGE: ok
            ERROR: 
        "#]],
    );
    check(
        &component("conditions: [{type: Healthy, status: Unknown, message: silent, error: late}]"),
        &expect![[r#"
            NAME: etcd-0
            STATUS: Unhealthy
            MESSAGE: silent
            ERROR: late
        "#]],
    );
    check(
        "{kind: ComponentStatus, metadata: {name: etcd-0}}",
        &expect![[r#"
            NAME: etcd-0
            STATUS: Unknown
            MESSAGE: 
            ERROR: 
        "#]],
    );
}

#[test]
fn pods() {
    check(
        "{kind: Pod, metadata: {name: web-1, creationTimestamp: '2026-11-23T11:57:57Z'},
          spec: {nodeName: n1, containers: [{name: a}, {name: b}], readinessGates: [{conditionType: lb}, {conditionType: Ready}]},
          status: {phase: Running, podIP: 127.64.0.9, conditions: [{type: Ready, status: 'True'}], containerStatuses: [
            {name: a, ready: true, restartCount: 2, state: {running: {}}, lastState: {terminated: {finishedAt: '2026-11-23T11:59:00Z'}}},
            {name: b, ready: false, restartCount: 1, state: {running: {}}}]}}",
        &expect![[r#"
            NAME: web-1
            READY: 1/2
            STATUS: Running
            RESTARTS: 3 (60s ago)
            AGE: 2m3s
            IP*: 127.64.0.9
            NODE*: n1
            NOMINATED NODE*: <none>
            READINESS GATES*: 1/2
        "#]],
    );
    check(
        "{kind: Pod, metadata: {name: new}}",
        &expect![[r#"
        NAME: new
        READY: 0/0
        STATUS: Pending
        RESTARTS: 0
        AGE: <unknown>
        IP*: <none>
        NODE*: <none>
        NOMINATED NODE*: <none>
        READINESS GATES*: <none>
    "#]],
    );
}

#[test]
fn the_status_of_a_pod_is_kubectls_word() {
    let cases = [
        ("status: {phase: Pending}", "Pending 0/1"),
        ("status: {phase: Failed, reason: Evicted}", "Evicted 0/1"),
        (
            "status: {phase: Pending, containerStatuses: [{state: {waiting: {reason: ContainerCreating}}}]}",
            "ContainerCreating 0/1",
        ),
        (
            "status: {phase: Pending, containerStatuses: [{state: {waiting: {reason: ImagePullBackOff}}}]}",
            "ImagePullBackOff 0/1",
        ),
        ("status: {phase: Running, containerStatuses: [{ready: true, state: {running: {}}}]}", "Running 1/1"),
        (
            "status: {phase: Running, containerStatuses: [{state: {waiting: {reason: CrashLoopBackOff}}}]}",
            "CrashLoopBackOff 0/1",
        ),
        ("status: {phase: Running, containerStatuses: [{state: {terminated: {exitCode: 3}}}]}", "ExitCode:3 0/1"),
        (
            "status: {phase: Running, containerStatuses: [{state: {terminated: {exitCode: 137, signal: 9}}}]}",
            "Signal:9 0/1",
        ),
        (
            "status: {phase: Failed, containerStatuses: [{state: {terminated: {exitCode: 1, reason: OOMKilled}}}]}",
            "OOMKilled 0/1",
        ),
        (
            "status: {phase: Succeeded, containerStatuses: [{state: {terminated: {reason: Completed}}}]}",
            "Completed 0/1",
        ),
        (
            "status: {phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: [
               {state: {terminated: {reason: Completed}}}, {ready: true, state: {running: {}}}]}",
            "Running 1/1",
        ),
        (
            "status: {phase: Running, containerStatuses: [{state: {terminated: {reason: Completed}}}, {ready: true, state: {running: {}}}]}",
            "NotReady 1/1",
        ),
        ("metadata: {deletionTimestamp: '2026-11-23T11:00:00Z'}, status: {phase: Running}", "Terminating 0/1"),
        ("metadata: {deletionTimestamp: '2026-11-23T11:00:00Z'}, status: {phase: Succeeded}", "Succeeded 0/1"),
        (
            "metadata: {deletionTimestamp: '2026-11-23T11:00:00Z'}, status: {phase: Running, reason: NodeLost}",
            "Unknown 0/1",
        ),
    ];
    for (fields, expected) in cases {
        let Object::Pod(mut pod) = fixtures::object(&format!("{{kind: Pod, {fields}}}")) else { unreachable!() };
        pod.spec.get_or_insert_default().containers.push(core_v1::Container::default());
        let summary = summary(&pod);
        assert_eq!(format!("{} {}/{}", summary.status, summary.ready, summary.total), expected, "{fields}");
    }
}

#[test]
fn init_containers_are_counted_until_they_are_done() {
    let spec =
        "spec: {initContainers: [{name: i}, {name: s, restartPolicy: Always}, {name: j}], containers: [{name: a}]}";
    let cases = [
        ("[]", "Pending 0/2 0"),
        ("[{name: i, state: {running: {}}}]", "Init:0/3 0/2 0"),
        ("[{name: i, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}}]", "Init:CrashLoopBackOff 0/2 4"),
        ("[{name: i, state: {waiting: {reason: PodInitializing}}}]", "Init:0/3 0/2 0"),
        ("[{name: i, state: {terminated: {exitCode: 1, reason: Error}}}]", "Init:Error 0/2 0"),
        ("[{name: i, state: {terminated: {exitCode: 7}}}]", "Init:ExitCode:7 0/2 0"),
        (
            "[{name: i, restartCount: 5, state: {terminated: {exitCode: 0}}}, {name: s, started: true, ready: true, restartCount: 1, state: {running: {}}}, {name: j}]",
            "Init:2/3 1/2 6",
        ),
        (
            "[{name: i, restartCount: 5, state: {terminated: {exitCode: 0}}}, {name: s, started: true, ready: true, restartCount: 1, state: {running: {}}}, {name: j, state: {terminated: {exitCode: 0}}}]",
            "Pending 1/2 1",
        ),
    ];
    for (statuses, expected) in cases {
        let yaml = format!("{{kind: Pod, {spec}, status: {{phase: Pending, initContainerStatuses: {statuses}}}}}");
        let Object::Pod(pod) = fixtures::object(&yaml) else { unreachable!() };
        let summary = summary(&pod);
        let line = format!("{} {}/{} {}", summary.status, summary.ready, summary.total, summary.restarts);
        assert_eq!(line, expected, "{statuses}");
    }
}

#[test]
fn workloads() {
    check(
        "{kind: Deployment, metadata: {name: web, creationTimestamp: '2026-11-19T10:00:00Z'}, spec: {replicas: 3,
          selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [b, a]}]},
          template: {spec: {containers: [{name: a, image: 'a:1'}, {name: b, image: 'b:2'}]}}},
          status: {replicas: 4, readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2}}",
        &expect![[r#"
            NAME: web
            READY: 2/3
            UP-TO-DATE: 1
            AVAILABLE: 2
            AGE: 4d2h
            CONTAINERS*: a,b
            IMAGES*: a:1,b:2
            SELECTOR*: app=web,tier in (a,b)
        "#]],
    );
    check(
        "{kind: ReplicaSet, metadata: {name: web-1}, spec: {replicas: 3, template: {spec: {containers: [{name: a, image: b}]}}}, status: {replicas: 2, readyReplicas: 1}}",
        &expect![[r#"
            NAME: web-1
            DESIRED: 3
            CURRENT: 2
            READY: 1
            AGE: <unknown>
            CONTAINERS*: a
            IMAGES*: b
            SELECTOR*: <none>
        "#]],
    );
}

#[test]
fn services_and_slices() {
    check(
        "{kind: Service, metadata: {name: web}, spec: {type: NodePort, clusterIP: 127.128.0.10, selector: {app: web, b: c},
          ports: [{port: 80, protocol: TCP}, {port: 81, nodePort: 30081, protocol: UDP}], externalIPs: [1.2.3.4]}}",
        &expect![[r#"
            NAME: web
            TYPE: NodePort
            CLUSTER-IP: 127.128.0.10
            EXTERNAL-IP: <none>
            PORT(S): 80/TCP,81/UDP
            AGE: <unknown>
            SELECTOR*: app=web,b=c
        "#]],
    );
    check(
        "{kind: Service, metadata: {name: lb}, spec: {type: LoadBalancer, clusterIP: 127.128.0.11}}",
        &expect![[r#"
            NAME: lb
            TYPE: LoadBalancer
            CLUSTER-IP: 127.128.0.11
            EXTERNAL-IP: <pending>
            PORT(S): <none>
            AGE: <unknown>
            SELECTOR*: <none>
        "#]],
    );
    check(
        "{kind: Service, metadata: {name: out}, spec: {type: ExternalName, externalName: example.com}}",
        &expect![[r#"
            NAME: out
            TYPE: ExternalName
            CLUSTER-IP: <none>
            EXTERNAL-IP: example.com
            PORT(S): <none>
            AGE: <unknown>
            SELECTOR*: <none>
        "#]],
    );
    check(
        "{kind: EndpointSlice, metadata: {name: web-1}, addressType: IPv4, ports: [{port: 80}, {name: all}, {}],
          endpoints: [{addresses: [127.64.0.1]}, {addresses: [127.64.0.2]}, {addresses: [127.64.0.3, 127.64.0.4]}]}",
        &expect![[r#"
            NAME: web-1
            ADDRESSTYPE: IPv4
            PORTS: 80,all,*
            ENDPOINTS: 127.64.0.1,127.64.0.2,127.64.0.3 + 1 more...
            AGE: <unknown>
        "#]],
    );
    check(
        "{kind: EndpointSlice, metadata: {name: none}, addressType: IPv4}",
        &expect![[r#"
        NAME: none
        ADDRESSTYPE: IPv4
        PORTS: <unset>
        ENDPOINTS: <unset>
        AGE: <unknown>
    "#]],
    );
}

#[test]
fn nodes_and_namespaces() {
    check(
        "{kind: Node, metadata: {name: n1, labels: {node-role.kubernetes.io/worker: '', node-role.kubernetes.io/edge: ''}},
          spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: Unknown}],
          addresses: [{type: InternalIP, address: 127.0.0.1}],
          nodeInfo: {kubeletVersion: v1.32.0, osImage: Debian, kernelVersion: 6.1, containerRuntimeVersion: wasmtime://48}}}"
            .replace("6.1", "'6.1'")
            .as_str(),
        &expect![[r#"
            NAME: n1
            STATUS: NotReady,SchedulingDisabled
            ROLES: edge,worker
            AGE: <unknown>
            VERSION: v1.32.0
            INTERNAL-IP*: 127.0.0.1
            EXTERNAL-IP*: <none>
            OS-IMAGE*: Debian
            KERNEL-VERSION*: 6.1
            CONTAINER-RUNTIME*: wasmtime://48
        "#]],
    );
    check(
        "{kind: Node, metadata: {name: n2}}",
        &expect![[r#"
        NAME: n2
        STATUS: Unknown
        ROLES: <none>
        AGE: <unknown>
        VERSION: 
        INTERNAL-IP*: <none>
        EXTERNAL-IP*: <none>
        OS-IMAGE*: <unknown>
        KERNEL-VERSION*: <unknown>
        CONTAINER-RUNTIME*: <unknown>
    "#]],
    );
    check(
        "{kind: Namespace, metadata: {name: shop}, status: {phase: Active}}",
        &expect![[r#"
        NAME: shop
        STATUS: Active
        AGE: <unknown>
    "#]],
    );
}

#[test]
fn the_small_kinds() {
    check(
        "{kind: ConfigMap, metadata: {name: a}, data: {a: b}, binaryData: {c: d}}",
        &expect![[r#"
        NAME: a
        DATA: 2
        AGE: <unknown>
    "#]],
    );
    check(
        "{kind: Secret, metadata: {name: a}, type: Opaque, data: {a: b}}",
        &expect![[r#"
        NAME: a
        TYPE: Opaque
        DATA: 1
        AGE: <unknown>
    "#]],
    );
    check(
        "{kind: Lease, metadata: {name: a}, spec: {holderIdentity: n1}}",
        &expect![[r#"
        NAME: a
        HOLDER: n1
        AGE: <unknown>
    "#]],
    );
    check(
        "{kind: Event, metadata: {name: web.1}, involvedObject: {kind: ReplicaSet, name: web, fieldPath: 'spec.x'}, type: Warning,
          reason: Failed, message: 'out of luck  ', count: 3, firstTimestamp: '2026-11-23T11:00:00Z',
          lastTimestamp: '2026-11-23T11:59:55Z', source: {component: control}}",
        &expect![[r#"
            LAST SEEN: 5s
            TYPE: Warning
            REASON: Failed
            OBJECT: replicaset/web
            SUBOBJECT*: spec.x
            SOURCE*: control
            MESSAGE: out of luck
            FIRST SEEN*: 60m
            COUNT*: 3
            NAME*: web.1
        "#]],
    );
    check(
        "{kind: Event, metadata: {name: web.2}, eventTime: '2026-11-23T11:58:00Z', reportingComponent: agent, reportingInstance: n1}",
        &expect![[r#"
            LAST SEEN: 2m
            TYPE: 
            REASON: 
            OBJECT: /
            SUBOBJECT*: 
            SOURCE*: agent, n1
            MESSAGE: 
            FIRST SEEN*: 2m
            COUNT*: 1
            NAME*: web.2
        "#]],
    );
}
