//! What is said about fields without effect.

use expect_test::{Expect, expect};

use super::of;
use crate::{defaults, fixtures};

fn check(yaml: &str, expected: &Expect) {
    let mut object = fixtures::object(yaml);
    defaults::apply(&mut object);
    expected.assert_eq(&of(&object).iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn nothing_is_said_about_the_examples() {
    for example in fixtures::examples() {
        check(example, &expect![[r#""#]]);
    }
}

#[test]
fn every_field_without_effect_is_named() {
    check(
        "{kind: Pod, spec: {dnsPolicy: Default, hostAliases: [{ip: 127.0.0.1}], hostname: x, serviceAccountName: robot, imagePullSecrets: [{name: hub}],
          shareProcessNamespace: true, runtimeClassName: gvisor, schedulerName: mine, priorityClassName: high,
          topologySpreadConstraints: [{maxSkew: 1, minDomains: 2, nodeTaintsPolicy: Honor}], readinessGates: [{conditionType: x}],
          affinity: {nodeAffinity: {}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: k, matchLabelKeys: [a]}}]}}, securityContext: {runAsUser: 1, fsGroup: 2, sysctls: [{name: a}]},
          initContainers: [{name: i, image: i, tty: true}],
          containers: [{name: a, image: a, stdin: true, ports: [{containerPort: 1}, {containerPort: 2, hostPort: 2}],
            lifecycle: {preStop: {sleep: {seconds: 1}}}, volumeMounts: [{name: v, mountPropagation: HostToContainer}],
            securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: true, seccompProfile: {type: RuntimeDefault}}}]}}",
        &expect![[r#"
            spec.dnsPolicy: ignored: names are resolved by the sandbox itself: Services by name, all others as the node does
            spec.hostAliases: ignored: names are resolved by the sandbox itself: Services by name, all others as the node does
            spec.hostname: ignored: a sandbox has no host name
            spec.shareProcessNamespace: ignored: a sandbox has no processes
            spec.runtimeClassName: ignored: there is one runtime, the Wasm sandbox
            spec.schedulerName: no scheduler "mine" is part of the cluster: the Pod waits until one binds it to a node
            spec.readinessGates: ignored: readiness is what the containers' probes say
            spec.topologySpreadConstraints[0].minDomains: ignored: the scheduler does not consider it yet
            spec.topologySpreadConstraints[0].nodeTaintsPolicy: ignored: it is always Ignore
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys: ignored: name the labels in labelSelector
            spec.securityContext.runAsUser: ignored: a sandbox has no users and groups
            spec.securityContext.fsGroup: ignored: a sandbox has no users and groups
            spec.securityContext.sysctls: ignored: a sandbox sees nothing of the node's kernel, so there is nothing to confine
            spec.initContainers[0].tty: ignored: a sandbox has no terminal, and its input ends when it is asked to stop
            spec.containers[0].ports[1].hostPort: ignored: no port of the node is opened; reach the Pod through a Service
            spec.containers[0].lifecycle.preStop: ignored: life-cycle hooks are not run; handle start and stop in the program
            spec.containers[0].volumeMounts[0].mountPropagation: ignored: nothing is mounted below a volume
            spec.containers[0].securityContext.runAsNonRoot: ignored: a sandbox has no users and groups
            spec.containers[0].securityContext.allowPrivilegeEscalation: ignored: a sandbox has no privileges to gain
            spec.containers[0].securityContext.seccompProfile: ignored: a sandbox sees nothing of the node's kernel, so there is nothing to confine
        "#]],
    );
}

#[test]
fn what_a_sandbox_does_anyway_needs_no_word() {
    check("{kind: Pod, spec: {enableServiceLinks: false, containers: [{name: a, image: a}]}}", &expect![[r#""#]]);
    check(
        "{kind: Pod, spec: {serviceAccountName: default, automountServiceAccountToken: false, containers: [{name: a, image: a,
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}]}}",
        &expect![[r#""#]],
    );
}

#[test]
fn variables_for_services_are_not_promised() {
    check(
        "{kind: Pod, spec: {enableServiceLinks: true, containers: [{name: a, image: a}]}}",
        &expect![[r#"
            spec.enableServiceLinks: ignored: no variables are set for Services; find them by name, such as web or web.NAMESPACE
        "#]],
    );
}

#[test]
fn a_name_below_a_service_needs_both_its_halves() {
    check("{kind: Pod, spec: {hostname: a, subdomain: web, containers: [{name: a, image: a}]}}", &expect![[r#""#]]);
    check(
        "{kind: Pod, spec: {subdomain: web, containers: [{name: a, image: a}]}}",
        &expect![[r#"
            spec.subdomain: ignored: it names a Pod below a headless Service only together with hostname
        "#]],
    );
}

#[test]
fn templates_and_services_are_looked_over_too() {
    check(
        "{kind: Deployment, spec: {template: {spec: {containers: [{name: a, image: a, tty: true}]}}}}",
        &expect![[r#"
            spec.template.spec.containers[0].tty: ignored: a sandbox has no terminal, and its input ends when it is asked to stop
        "#]],
    );
    check(
        "{kind: Service, spec: {type: LoadBalancer, externalIPs: [1.2.3.4], loadBalancerIP: 1.2.3.4, ports: [{port: 1}]}}",
        &expect![[r#"
            spec.externalIPs: ignored: no outside addresses are taken over; use the Service's address
            spec.loadBalancerIP: ignored: no load balancer is set up; use the Service's address
            spec.type: LoadBalancer works as ClusterIP: no load balancer is set up yet
        "#]],
    );
    check(
        "{kind: Service, spec: {type: NodePort, ports: [{port: 1, nodePort: 30000}, {name: dns, port: 53, protocol: UDP}]}}",
        &expect![[r#"
            spec.ports[0].nodePort: ignored: no port of the nodes is opened; use the Service's address
            spec.ports[1]: ignored: only TCP is forwarded, not UDP
            spec.type: NodePort works as ClusterIP: no port of the nodes is opened; use the Service's address
        "#]],
    );
}
