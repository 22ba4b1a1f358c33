//! Deployments, ReplicaSets, Services and EndpointSlices.

use expect_test::expect;

use super::{check, valid};

fn deployment(spec: &str) -> String {
    let template = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: a}]}}";
    let template = if spec.contains("template:") { String::new() } else { format!("{template}, ") };
    format!("{{kind: Deployment, metadata: {{name: web, namespace: default}}, spec: {{{template}{spec}}}}}")
}

fn service(spec: &str) -> String {
    format!("{{kind: Service, metadata: {{name: web, namespace: default}}, spec: {{{spec}}}}}")
}

#[test]
fn a_selector_selects_its_own_template() {
    valid(&deployment("selector: {matchLabels: {app: web}}"));
    valid(&deployment("selector: {matchExpressions: [{key: app, operator: In, values: [web, shop]}]}"));
    check(
        &deployment("replicas: 1"),
        &expect![[r#"
        spec.selector: Required value
    "#]],
    );
    check(
        &deployment("selector: {}"),
        &expect![[r#"
        spec.selector: Invalid value: "": empty selector is invalid for deployment
    "#]],
    );
    check(
        &deployment("selector: {matchLabels: {app: wbe}}"),
        &expect![[r#"
        spec.template.metadata.labels: Invalid value: {"app": "web"}: `selector` does not match template `labels`; the selector is app=wbe
    "#]],
    );
    check(
        &deployment(
            "selector: {matchExpressions: [{key: app, operator: In}, {key: b, operator: Exists, values: [x]}, {key: '', operator: Like}]}",
        ),
        &expect![[r#"
            spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'
            spec.selector.matchExpressions[2].key: Required value
            spec.selector.matchExpressions[2].operator: Unsupported value: "Like": supported values: "In", "NotIn", "Exists", "DoesNotExist"
        "#]],
    );
}

#[test]
fn rollouts_can_make_progress() {
    let with = |rest: &str| deployment(&format!("selector: {{matchLabels: {{app: web}}}}, {rest}"));
    check(
        &with("replicas: -1, minReadySeconds: -2, revisionHistoryLimit: -3, progressDeadlineSeconds: -4"),
        &expect![[r#"
            spec.replicas: Invalid value: -1: must be greater than or equal to 0
            spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0
            spec.revisionHistoryLimit: Invalid value: -3: must be greater than or equal to 0
            spec.progressDeadlineSeconds: Invalid value: -4: must be greater than or equal to 0
            spec.progressDeadlineSeconds: Invalid value: -4: must be greater than minReadySeconds
        "#]],
    );
    check(
        &with("minReadySeconds: 700"),
        &expect![[r#"
        spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds
    "#]],
    );
    check(
        &with("strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}"),
        &expect![[r#"
        spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0
    "#]],
    );
    check(
        &with("strategy: {rollingUpdate: {maxSurge: -1, maxUnavailable: 101%}}"),
        &expect![[r#"
        spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0
        spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%
    "#]],
    );
    check(
        &with("strategy: {rollingUpdate: {maxSurge: some, maxUnavailable: 1.5%}}"),
        &expect![[r#"
        spec.strategy.rollingUpdate.maxSurge: Invalid value: "some": a valid percent string must be a numeric string followed by an ending '%' (e.g. '25%')
        spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "1.5%": a valid percent string must be a numeric string followed by an ending '%' (e.g. '25%')
    "#]],
    );
    check(
        &with("strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}"),
        &expect![[r#"
        spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'
    "#]],
    );
    check(
        &with("strategy: {type: BlueGreen}"),
        &expect![[r#"
        spec.strategy.type: Unsupported value: "BlueGreen": supported values: "Recreate", "RollingUpdate"
    "#]],
    );
    valid(&with("strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}"));
    valid(&with("strategy: {type: Recreate}"));
}

#[test]
fn templates_are_judged_as_pods() {
    check(
        &deployment(
            "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}},
             spec: {restartPolicy: Never, activeDeadlineSeconds: 5, hostNetwork: true, containers: [{name: a}]}}",
        ),
        &expect![[r#"
            spec.template.spec.hostNetwork: Forbidden: a sandbox has no access to its node's network; remove it and reach the Pod through a Service
            spec.template.spec.containers[0].image: Required value
            spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
            spec.template.spec.activeDeadlineSeconds: Forbidden: not supported where Pods are replaced when they end
        "#]],
    );
    check(
        "{kind: ReplicaSet, metadata: {name: web, namespace: default}, spec: {selector: {matchLabels: {app: web}}}}",
        &expect![[r#"
            spec.template: Required value
        "#]],
    );
}

#[test]
fn services_name_their_ports() {
    valid(&service("ports: [{port: 80, targetPort: http}]"));
    valid(&service("clusterIP: None"));
    valid(&service("type: ExternalName, externalName: example.com"));
    check(
        &service("selector: {app: web}"),
        &expect![[r#"
        spec.ports: Required value
    "#]],
    );
    check(
        &service(
            "ports: [{port: 80}, {name: a, port: 80}, {name: a, port: 0, targetPort: 70000}, {name: B, port: 1, protocol: HTTP, targetPort: '80', nodePort: 3}]",
        ),
        &expect![[r#"
            spec.ports[0].name: Required value: a Service with several ports names each of them
            spec.ports[1]: Duplicate value: "80/TCP"
            spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[2].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.ports[2].name: Duplicate value: "a"
            spec.ports[3].name: Invalid value: "B": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            spec.ports[3].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"
            spec.ports[3].targetPort: Invalid value: "80": must contain at least one letter (a-z)
            spec.ports[3].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
        "#]],
    );
    check(
        &service(
            "type: Internal, clusterIP: 10.0.0, sessionAffinity: Cookie, ipFamilies: [IPv6], ipFamilyPolicy: RequireDualStack, ports: [{port: 1}]",
        ),
        &expect![[r#"
            spec.type: Unsupported value: "Internal": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"
            spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"
            spec.clusterIP: Invalid value: "10.0.0": must be empty, 'None', or a valid IPv4 address
            spec.ipFamilies[0]: Unsupported value: "IPv6": supported values: "IPv4"
            spec.ipFamilyPolicy: Unsupported value: "RequireDualStack": supported values: "SingleStack", "PreferDualStack"
        "#]],
    );
    check(
        &service("type: NodePort, clusterIP: None, externalTrafficPolicy: Near, ports: [{port: 1}]"),
        &expect![[r#"
            spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"
            spec.clusterIP: Invalid value: "None": may not be set to 'None' for NodePort services
        "#]],
    );
    check(
        &service("type: ExternalName, clusterIP: 127.128.0.9"),
        &expect![[r#"
        spec.externalName: Required value
        spec.clusterIP: Forbidden: may not be set for ExternalName services
    "#]],
    );
    check(
        "{kind: Service, metadata: {name: 1web, namespace: default}, spec: {ports: [{port: 1}]}}",
        &expect![[r#"
        metadata.name: Invalid value: "1web": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
    "#]],
    );
}

#[test]
fn slices_hold_addresses_of_their_type() {
    check(
        "{kind: EndpointSlice, metadata: {name: web-1, namespace: default}, addressType: IPv4,
          endpoints: [{addresses: [127.64.0.3]}, {addresses: []}, {addresses: ['::1'], hostname: A_}],
          ports: [{port: 0}, {port: 1, protocol: X}]}",
        &expect![[r#"
            endpoints[1].addresses: Required value: must contain at least 1 address
            endpoints[2].addresses[0]: Invalid value: "::1": must be a valid IPv4 address
            endpoints[2].hostname: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            ports[1].name: Duplicate value: ""
            ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        "#]],
    );
    check(
        "{kind: EndpointSlice, metadata: {name: web-1, namespace: default}}",
        &expect![[r#"
        addressType: Required value: one of FQDN, IPv4, IPv6
    "#]],
    );
}
