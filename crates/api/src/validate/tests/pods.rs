//! Pods: what is wrong, what is refused because a sandbox cannot give it, and what is fine.

use expect_test::expect;

use super::{check, valid};

/// A Pod with a spec, and one container unless the spec says otherwise.
fn pod(spec: &str) -> String {
    let containers = if spec.contains("containers:") { "" } else { "containers: [{name: a, image: a:1}], " };
    format!("{{kind: Pod, metadata: {{name: web, namespace: default}}, spec: {{{containers}{spec}}}}}")
}

/// A Pod whose one container has these fields.
fn container(fields: &str) -> String {
    pod(&format!("volumes: [{{name: data}}], containers: [{{name: a, image: a:1, {fields}}}]"))
}

#[test]
fn containers_are_named_once_and_have_images() {
    check(
        &pod("containers: []"),
        &expect![[r#"
        spec.containers: Required value
    "#]],
    );
    check(
        &pod(
            "initContainers: [{name: a, image: x}], containers: [{name: a, image: ' x'}, {image: x}, {name: B_, image: ''}]",
        ),
        &expect![[r#"
            spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace
            spec.containers[0].name: Duplicate value: "a"
            spec.containers[1].name: Required value
            spec.containers[2].name: Invalid value: "B_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            spec.containers[2].image: Required value
        "#]],
    );
    check(
        &pod("containers: [{name: a, image: a b, imagePullPolicy: Sometimes, terminationMessagePolicy: Log}]"),
        &expect![[r#"
            spec.containers[0].image: Invalid value: "a b": must be the name of an image, such as web:1 or registry.example.com/team/web:1
            spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"
            spec.containers[0].terminationMessagePolicy: Unsupported value: "Log": supported values: "FallbackToLogsOnError", "File"
        "#]],
    );
}

#[test]
fn ports_are_in_range_and_named_once() {
    check(
        &container(
            "ports: [{containerPort: 0}, {containerPort: 70000, protocol: TPC}, {name: x, containerPort: 1}, {name: x, containerPort: 2, hostPort: -1}, {name: WEB, containerPort: 3}]",
        ),
        &expect![[r#"
            spec.containers[0].ports[0].containerPort: Required value
            spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].ports[1].protocol: Unsupported value: "TPC": supported values: "SCTP", "TCP", "UDP"
            spec.containers[0].ports[3].name: Duplicate value: "x"
            spec.containers[0].ports[3].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive
            spec.containers[0].ports[4].name: Invalid value: "WEB": must contain only lower case alphanumeric characters and '-', and start and end with an alphanumeric character
        "#]],
    );
}

#[test]
fn variables_have_one_source() {
    check(
        &container(
            "env: [{name: ''}, {name: a=b}, {name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
              {name: B, valueFrom: {}}, {name: C, valueFrom: {fieldRef: {fieldPath: spec.image}}},
              {name: D, valueFrom: {secretKeyRef: {name: s}}}, {name: E, valueFrom: {resourceFieldRef: {resource: cpu}}},
              {name: F, valueFrom: {configMapKeyRef: {name: a, key: b}, secretKeyRef: {name: s, key: k}}}],
             envFrom: [{}, {configMapRef: {name: ''}}]",
        ),
        &expect![[r#"
            spec.containers[0].env[0].name: Required value
            spec.containers[0].env[1].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[2].valueFrom: Invalid value: "A": may not be specified when `value` is not empty
            spec.containers[0].env[3].valueFrom: Required value: must specify one of `configMapKeyRef`, `fieldRef`, `resourceFieldRef` or `secretKeyRef`
            spec.containers[0].env[4].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.image": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "metadata.labels['KEY']"
            spec.containers[0].env[5].valueFrom.secretKeyRef.key: Required value
            spec.containers[0].env[6].valueFrom.resourceFieldRef.resource: Unsupported value: "cpu": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"
            spec.containers[0].env[7].valueFrom: Forbidden: may not have more than one field specified at a time
            spec.containers[0].envFrom[0]: Required value: must specify one of: `configMapRef` or `secretRef`
            spec.containers[0].envFrom[1].configMapRef.name: Required value
        "#]],
    );
    valid(&container(
        "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}},
          {name: B, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}],
         envFrom: [{prefix: X_, secretRef: {name: s}}]",
    ));
}

#[test]
fn mounts_refer_to_volumes() {
    check(
        &container(
            "volumeMounts: [{name: dta, mountPath: /x}, {name: data, mountPath: /x, subPath: ../up}, {name: data, mountPath: ''},
              {name: data, mountPath: 'a:b', mountPropagation: Bidirectional}],
             volumeDevices: [{name: data, devicePath: /dev/x}]",
        ),
        &expect![[r#"
            spec.containers[0].volumeMounts[0].name: Not found: "dta"
            spec.containers[0].volumeMounts[1].subPath: Invalid value: "../up": must not contain '..'
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique
            spec.containers[0].volumeMounts[2].mountPath: Required value
            spec.containers[0].volumeMounts[3].mountPath: Invalid value: "a:b": must not contain ':'
            spec.containers[0].volumeMounts[3].mountPropagation: Unsupported value: "Bidirectional": supported values: "None", "HostToContainer"
            spec.containers[0].volumeDevices: Forbidden: a Wasm sandbox has no block devices; mount a volume with `volumeMounts`
        "#]],
    );
}

#[test]
fn amounts_are_readable_and_below_their_limits() {
    check(
        &container(
            "resources: {requests: {cpu: 2, memory: -1Gi, nvidia.com/gpu: 1}, limits: {cpu: 1500m, memory: 1GB}}",
        ),
        &expect![[r#"
            spec.containers[0].resources.limits[memory]: Invalid value: "1GB": is no quantity: its suffix is none of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei; write a number and an optional suffix, such as 100m, 2, 1.5, 64Mi or 1e3
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1500m
            spec.containers[0].resources.requests[memory]: Invalid value: "-1Gi": must be greater than or equal to 0
            spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources
        "#]],
    );
    valid(&container("resources: {requests: {cpu: 1500m}, limits: {cpu: 1.5, ephemeral-storage: 1Gi}}"));
    valid(&container("resources: {requests: {nvidia.com/gpu: 2}, limits: {nvidia.com/gpu: 2}}"));
    check(
        &container(
            "resources: {requests: {a.b/c: 1, hugepages-2Mi: 2Mi}, limits: {a.b/c: 2, a.b/d: 1500m, requests.a.b/e: 1, gpu: 1}}",
        ),
        &expect![[r#"
            spec.containers[0].resources.limits[a.b/d]: Invalid value: "1500m": must be an integer
            spec.containers[0].resources.limits[gpu]: Unsupported value: "gpu": supported values: "cpu", "ephemeral-storage", "memory"
            spec.containers[0].resources.limits[requests.a.b/e]: Invalid value: "requests.a.b/e": doesn't follow extended resource name standard
            spec.containers[0].resources.requests: Invalid value: "1": must be equal to a.b/c limit of 2
            spec.containers[0].resources.requests[a.b/d]: Invalid value: "1500m": must be an integer
            spec.containers[0].resources.requests[gpu]: Unsupported value: "gpu": supported values: "cpu", "ephemeral-storage", "memory"
            spec.containers[0].resources.requests[hugepages-2Mi]: Unsupported value: "hugepages-2Mi": supported values: "cpu", "ephemeral-storage", "memory"
            spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources
            spec.containers[0].resources.requests[requests.a.b/e]: Invalid value: "requests.a.b/e": doesn't follow extended resource name standard
        "#]],
    );
}

#[test]
fn probes_that_need_processes_are_refused() {
    check(
        &container(
            "readinessProbe: {exec: {command: [x]}}, livenessProbe: {grpc: {port: 1}, successThreshold: 2},
             startupProbe: {httpGet: {port: 0, scheme: FTP}, tcpSocket: {port: HTTP}, periodSeconds: -1}",
        ),
        &expect![[r#"
            spec.containers[0].readinessProbe.exec: Forbidden: a Wasm sandbox has no processes in which to run a command; use `httpGet` or `tcpSocket`
            spec.containers[0].livenessProbe.grpc: Forbidden: gRPC probes are not supported; use `httpGet` or `tcpSocket`
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[0].startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.containers[0].startupProbe: Forbidden: may not specify more than 1 handler type
            spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"
            spec.containers[0].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.containers[0].startupProbe.tcpSocket.port: Invalid value: "HTTP": must contain only lower case alphanumeric characters and '-', and start and end with an alphanumeric character
        "#]],
    );
    check(
        &container("readinessProbe: {periodSeconds: 1}"),
        &expect![[r#"
        spec.containers[0].readinessProbe: Required value: must specify a handler type: `httpGet` or `tcpSocket`
    "#]],
    );
    valid(&container("readinessProbe: {httpGet: {port: http}}, livenessProbe: {tcpSocket: {port: 80}}"));
}

#[test]
fn what_a_sandbox_cannot_give_is_refused() {
    check(
        &pod("hostNetwork: true, hostPID: true, hostIPC: true, schedulingGates: [{name: x}]"),
        &expect![[r#"
        spec.hostNetwork: Forbidden: a sandbox has no access to its node's network; remove it and reach the Pod through a Service
        spec.hostPID: Forbidden: a sandbox has no access to its node's processes; remove the field
        spec.hostIPC: Forbidden: a sandbox has no access to its node's processes; remove the field
        spec.schedulingGates: Forbidden: the scheduler does not wait for gates; create the Pod when it may start
    "#]],
    );
    check(
        &container(
            "securityContext: {privileged: true, procMount: Unmasked, capabilities: {add: [NET_ADMIN], drop: [ALL]}}",
        ),
        &expect![[r#"
            spec.containers[0].securityContext.privileged: Forbidden: a Wasm sandbox cannot be privileged; remove the field, and mount what the program needs as volumes
            spec.containers[0].securityContext.capabilities.add: Forbidden: a Wasm sandbox has no Linux capabilities, so NET_ADMIN cannot be added; remove the list
            spec.containers[0].securityContext.procMount: Forbidden: a Wasm sandbox has no /proc; remove the field
        "#]],
    );
    valid(&container(
        "securityContext: {privileged: false, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
    ));
    check(
        &pod("volumes: [{name: a, hostPath: {path: /}}, {name: b, persistentVolumeClaim: {claimName: c}},
              {name: b, emptyDir: {medium: Huge, sizeLimit: -1}}, {name: C, secret: {}, configMap: {name: c}},
              {name: d, projected: {sources: [{podCertificate: {}}, {}, {serviceAccountToken: {path: t}},
                {serviceAccountToken: {path: /t, expirationSeconds: 599}}]}},
              {name: e, configMap: {name: e, defaultMode: 512, items: [{key: k, path: /abs}]}},
              {name: f, downwardAPI: {items: [{path: a/../b, fieldRef: {fieldPath: spec.nodeName}}]}}]"),
        &expect![[r#"
            spec.volumes[0].hostPath: Forbidden: files of the node are out of reach for a sandbox; use emptyDir to share files within the Pod, or configMap or secret to bring them along
            spec.volumes[1].persistentVolumeClaim: Forbidden: volumes of this type are not supported; supported types: configMap, downwardAPI, emptyDir, projected, secret
            spec.volumes[2].name: Duplicate value: "b"
            spec.volumes[2].emptyDir.medium: Unsupported value: "Huge": supported values: "", "Memory"
            spec.volumes[2].emptyDir.sizeLimit: Invalid value: "-1": must be greater than or equal to 0
            spec.volumes[3].name: Invalid value: "C": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            spec.volumes[3]: Forbidden: may not specify more than 1 volume type, but has secret, configMap
            spec.volumes[3].secret.secretName: Required value
            spec.volumes[4].projected.sources[0].podCertificate.signerName: Required value
            spec.volumes[4].projected.sources[0].podCertificate.keyType: Unsupported value: "": supported values: "ECDSAP256", "ECDSAP384", "ED25519"
            spec.volumes[4].projected.sources[0].podCertificate: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath
            spec.volumes[4].projected.sources[1]: Required value: must specify a source: clusterTrustBundle, configMap, downwardAPI, podCertificate, secret or serviceAccountToken
            spec.volumes[4].projected.sources[3].serviceAccountToken.path: Invalid value: "/t": must be a relative path
            spec.volumes[4].projected.sources[3].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes
            spec.volumes[5].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[5].configMap.items[0].path: Invalid value: "/abs": must be a relative path
            spec.volumes[6].downwardAPI.items[0].path: Invalid value: "a/../b": must not contain '..'
            spec.volumes[6].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"
        "#]],
    );
}

#[test]
fn a_certificate_in_a_volume_is_one_that_a_node_can_make() {
    let volume = |fields: &str| {
        pod(&format!(
            "volumes: [{{name: a, projected: {{sources: [{{podCertificate: {{signerName: kubernetes.io/a, {fields}}}}}]}}}}]"
        ))
    };
    valid(&volume("keyType: ED25519, keyPath: a, certificateChainPath: b, maxExpirationSeconds: 86400"));
    check(
        &volume(
            "keyType: RSA4096, keyPath: ../a, certificateChainPath: ../a, maxExpirationSeconds: 86401, userAnnotations: {a: b}",
        ),
        &expect![[r#"
            spec.volumes[0].projected.sources[0].podCertificate.userAnnotations: Invalid value: "a": must be a domain-prefixed key (such as "acme.io/foo")
            spec.volumes[0].projected.sources[0].podCertificate.keyType: Forbidden: nodes make no keys of type RSA4096; use one of ECDSAP256, ECDSAP384, ED25519
            spec.volumes[0].projected.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400
            spec.volumes[0].projected.sources[0].podCertificate.keyPath: Invalid value: "../a": must not contain '..'
            spec.volumes[0].projected.sources[0].podCertificate.certificateChainPath: Invalid value: "../a": must not contain '..'
            spec.volumes[0].projected.sources[0].podCertificate.certificateChainPath: Invalid value: "../a": conflicting duplicate paths
        "#]],
    );
    check(
        &volume("keyType: ECDSAP256, credentialBundlePath: a, maxExpirationSeconds: 3599"),
        &expect![[r#"
            spec.volumes[0].projected.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600
        "#]],
    );
}

#[test]
fn the_rest_of_a_spec_is_judged_too() {
    check(
        &pod("restartPolicy: always, dnsPolicy: Cluster, terminationGracePeriodSeconds: -1, activeDeadlineSeconds: 0,
             nodeName: N1, nodeSelector: {disk: 'a b'}, hostname: a.b,
             tolerations: [{key: a, operator: Like}, {operator: Equal, value: x}, {key: a, operator: Exists, value: x},
               {key: a, effect: Never}, {key: a, effect: NoSchedule, tolerationSeconds: 3}],
             topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: Maybe}]"),
        &expect![[r#"
            spec.restartPolicy: Unsupported value: "always": supported values: "Always", "OnFailure", "Never"
            spec.dnsPolicy: Unsupported value: "Cluster": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"
            spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
            spec.nodeName: Invalid value: "N1": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            spec.hostname: Invalid value: "a.b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            spec.nodeSelector[disk]: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue' or 'my_value' or '12345')
            spec.tolerations[0].operator: Unsupported value: "Like": supported values: "Equal", "Exists"
            spec.tolerations[1].operator: Invalid value: "Equal": must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[2].value: Invalid value: "x": must be empty when `operator` is 'Exists'
            spec.tolerations[3].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.tolerations[4].effect: Invalid value: "NoSchedule": must be 'NoExecute' when `tolerationSeconds` is set
            spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Maybe": supported values: "DoNotSchedule", "ScheduleAnyway"
        "#]],
    );
    check(
        &pod(
            "initContainers: [{name: i, image: i, restartPolicy: Never}, {name: j, image: j, readinessProbe: {tcpSocket: {port: 1}}}],
             containers: [{name: a, image: a, restartPolicy: Always}]",
        ),
        &expect![[r#"
            spec.initContainers[0].restartPolicy: Forbidden: init containers that go on running are not supported; list it under `containers`
            spec.initContainers[1].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
            spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers
        "#]],
    );
}
