//! Roles, bindings, and the kinds that came before others.

use expect_test::expect;

use super::{check, create, lines, object, valid};
use crate::{core_v1::ReplicationController, limits::API_SERVICE_BUNDLE_BYTES_MAX, rbac_v1::RoleBinding};

#[test]
fn rules_say_what_may_be_done_with_what() {
    check(
        "{kind: Role, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: 'a/b%', namespace: b},
          rules: [{}, {verbs: [get], nonResourceURLs: [/healthz]}, {verbs: [get], apiGroups: [''], resources: [pods]}]}",
        &expect![[r#"
            metadata.name: Invalid value: "a/b%": may not contain '/'
            metadata.name: Invalid value: "a/b%": may not contain '%'
            rules[0].verbs: Required value: verbs must contain at least one value
            rules[0].apiGroups: Required value: resource rules must supply at least one api group
            rules[0].resources: Required value: resource rules must supply at least one resource
            rules[1].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource URLs
        "#]],
    );
    check(
        "{kind: ClusterRole, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: 'system:a'},
          rules: [{verbs: [get], nonResourceURLs: [/healthz], resources: [pods]}], aggregationRule: {}}",
        &expect![[r#"
            rules[0].nonResourceURLs: Invalid value: ["/healthz"]: rules cannot apply to both regular resources and non-resource URLs
            aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
        "#]],
    );
    valid(
        "{kind: ClusterRole, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: 'system:a'},
          rules: [{verbs: ['*'], nonResourceURLs: ['*']}]}",
    );
}

#[test]
fn bindings_say_whose_rights_are_given_to_whom() {
    check(
        "{kind: ClusterRoleBinding, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: a},
          roleRef: {kind: Role, name: ''}, subjects: [{kind: ServiceAccount, name: A}, {kind: User, apiGroup: x}, {kind: Robot, name: r}]}",
        &expect![[r#"
            roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"
            roleRef.name: Required value
            subjects[0].name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            subjects[0].namespace: Required value
            subjects[1].name: Required value
            subjects[1].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"
            subjects[2].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"
        "#]],
    );
    let binding = object(
        "{kind: RoleBinding, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: a, namespace: b},
          roleRef: {kind: ClusterRole, name: view}, subjects: [{kind: Group, name: g}, {kind: ServiceAccount, name: s, namespace: b}]}",
    );
    let binding: &RoleBinding = binding.get().expect("made as one");
    let groups: Vec<&str> = binding.subjects.iter().map(|subject| subject.api_group.as_str()).collect();
    assert_eq!(groups, ["rbac.authorization.k8s.io", ""]);
    assert_eq!(binding.role_ref.as_ref().expect("given").api_group, "rbac.authorization.k8s.io");
}

#[test]
fn a_replication_controller_takes_its_selector_from_its_template() {
    let controller = object(
        "{kind: ReplicationController, apiVersion: v1, metadata: {name: a, namespace: b}, spec: {template: {
          metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}}",
    );
    let controller: &ReplicationController = controller.get().expect("made as one");
    let spec = controller.spec.as_ref().expect("given");
    assert_eq!((spec.replicas, spec.selector["app"].as_str()), (Some(1), "web"));
    assert_eq!(controller.metadata.as_ref().expect("given").labels, spec.selector);
    check(
        "{kind: ReplicationController, apiVersion: v1, metadata: {name: a, namespace: b}, spec: {replicas: -1, selector: {app: api},
          template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}",
        &expect![[r#"
            spec.replicas: Invalid value: -1: must be greater than or equal to 0
            spec.template.metadata.labels: Invalid value: {"app": "web"}: `selector` does not match template `labels`; the selector is app=api
            spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        "#]],
    );
    check(
        "{kind: ReplicationController, apiVersion: v1, metadata: {name: a, namespace: b}, spec: {}}",
        &expect![[r#"
        spec.selector: Required value
        spec.template: Required value
    "#]],
    );
}

#[test]
fn endpoints_have_addresses_and_ports() {
    check(
        "{kind: Endpoints, apiVersion: v1, metadata: {name: a, namespace: b}, subsets: [{}, {addresses: [{ip: here, nodeName: 'N'}],
          ports: [{port: 0}, {name: b, port: 1, protocol: ICMP}]}]}",
        &expect![[r#"
            subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`
            subsets[1].addresses[0].ip: Invalid value: "here": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            subsets[1].addresses[0].nodeName: Invalid value: "N": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            subsets[1].ports[0].name: Required value
            subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            subsets[1].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
        "#]],
    );
}

#[test]
fn an_api_service_says_which_version_it_is_and_who_serves_it() {
    check(
        "{kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {name: a},
          spec: {group: apps, version: v1, service: {name: A}, caBundle: eA==, insecureSkipTLSVerify: true, groupPriorityMinimum: 1, versionPriority: 1001}}",
        &expect![[r#"
            metadata.name: Invalid value: "a": must be `spec.version+"."+spec.group`: "v1.apps"
            spec.versionPriority: Invalid value: 1001: must be between 1 and 1000, inclusive
            spec.service: Forbidden: the masters serve this version themselves; choose another group or version
            spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present
            spec.service.namespace: Required value
            spec.service.name: Invalid value: "A": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
        "#]],
    );
    check(
        "{kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {name: v2.}, spec: {version: v2, caBundle: eA==}}",
        &expect![[r#"
            spec.group: Required value: only v1 may have an empty group
            spec.groupPriorityMinimum: Invalid value: 0: must be between 1 and 20000, inclusive
            spec.versionPriority: Invalid value: 0: must be between 1 and 1000, inclusive
            spec.caBundle: Invalid value: "4 bytes": local APIServices may not have a caBundle
        "#]],
    );
    let bundle = "e".repeat(API_SERVICE_BUNDLE_BYTES_MAX + 1);
    check(
        &format!(
            "{{kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {{name: v1.example.org}},
              spec: {{group: example.org, version: v1, service: {{namespace: a, name: b}}, caBundle: {bundle}, groupPriorityMinimum: 1, versionPriority: 1}}}}"
        ),
        &expect![[r#"
            spec.caBundle: Too long: may not be more than 262144 bytes
        "#]],
    );
}

#[test]
fn the_rest_says_what_it_needs() {
    check(
        "{kind: ControllerRevision, apiVersion: apps/v1, metadata: {name: a, namespace: b}, revision: -1}",
        &expect![[r#"
            data: Required value: data is mandatory
            revision: Invalid value: -1: must be greater than or equal to 0
        "#]],
    );
    check(
        "{kind: StorageVersionMigration, apiVersion: storagemigration.k8s.io/v1, metadata: {name: a}}",
        &expect![[r#"
            spec.resource.resource: Required value: name the resource, such as deployments
        "#]],
    );
    check(
        "{kind: PodTemplate, apiVersion: v1, metadata: {name: a, namespace: b}}",
        &expect![[r#"
        template: Required value
    "#]],
    );
}

#[test]
fn quotas_limit_what_there_is_for_whom_there_is() {
    check(
        "{kind: ResourceQuota, metadata: {name: q, namespace: n}, spec: {hard: {gpus: 1, pods: 1500m, cpu: -1, example.com/x: 1,
          requests.example.com/x: 2, requests.hugepages-2Mi: 4Mi}, scopes: [BestEffort, NotBestEffort, Odd],
          scopeSelector: {matchExpressions: [{scopeName: Terminating, operator: In, values: [a]},
            {scopeName: PriorityClass, operator: NotIn}, {scopeName: PriorityClass, operator: Exists, values: [a]},
            {scopeName: PriorityClass, operator: Is}]}}}",
        &expect![[r#"
            spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0
            spec.hard[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified
            spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota
            spec.hard[pods]: Invalid value: "1500m": must be an integer
            spec.scopes: Invalid value: ["BestEffort", "NotBestEffort", "Odd"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort", "NotBestEffort", "Odd"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort", "NotBestEffort", "Odd"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort", "NotBestEffort", "Odd"]: unsupported scope
            spec.scopes: Invalid value: ["BestEffort", "NotBestEffort", "Odd"]: conflicting scopes
            spec.scopeSelector.matchExpressions: Invalid value: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
            spec.scopeSelector.matchExpressions: Invalid value: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
            spec.scopeSelector.matchExpressions: Invalid value: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector
            spec.scopeSelector.matchExpressions: Invalid value: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator
        "#]],
    );
}

#[test]
fn limits_must_leave_something() {
    check(
        "{kind: LimitRange, metadata: {name: l, namespace: n}, spec: {limits: [
          {type: Container, min: {cpu: 2, memory: 2}, max: {cpu: 1, memory: 4}, default: {cpu: 3, storage: 1},
            defaultRequest: {cpu: 4, a.b/c: 1}, maxLimitRequestRatio: {memory: 3}},
          {type: Pod, default: {cpu: 1}, defaultRequest: {cpu: 1}, maxLimitRequestRatio: {cpu: 500m}},
          {type: Pod}, {type: PersistentVolumeClaim}, {type: Node}]}}",
        &expect![[r#"
            spec.limits[0].default[storage]: Invalid value: "storage": must be a standard resource for containers
            spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard resource for containers
            spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
            spec.limits[0].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than max value 1
            spec.limits[0].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than default limit value 3
            spec.limits[0].default[cpu]: Invalid value: "1": default value 3 is greater than max value 1
            spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000
            spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[1].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1
            spec.limits[2].type: Duplicate value: "Pod"
            spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided
            spec.limits[4].type: Invalid value: "Node": must be a standard limit type or fully qualified
        "#]],
    );
}

#[test]
fn priorities_above_those_of_users_are_the_clusters_own() {
    for (class, expected) in [
        ("metadata: {name: a}, value: 1000000000", ""),
        (
            "metadata: {name: a}, value: 1000000001",
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000\n",
        ),
        (
            "metadata: {name: system-x}, value: 1",
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: \
             system-x is not a known system priority class\n",
        ),
        (
            "metadata: {name: system-node-critical}, value: 1",
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: \
             value of system-node-critical PriorityClass must be 2000001000\n",
        ),
        (
            "metadata: {name: a}, preemptionPolicy: Maybe",
            "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \"Never\"\n",
        ),
    ] {
        assert_eq!(lines(&create(&object(&format!("{{kind: PriorityClass, {class}}}")))), expected, "{class}");
    }
}
