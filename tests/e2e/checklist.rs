//! What people do with `kubectl` and `kapelle`, command by command: the sessions are in `scripts/`.

use std::thread;

use crate::{
    cluster::Cluster,
    kubectl::Kubectl,
    script::{Row, Script},
};

/// An object of a kind, and what is particular to the kind.
struct Sample {
    /// As the columns and messages of clients name it: `deployment.apps`.
    resource: &'static str,
    kind: &'static str,
    manifest: &'static str,
    /// What of the manifest becomes what.
    change: (&'static str, &'static str),
    /// Headings of `get`.
    columns: &'static [&'static str],
    /// Headings that `-o wide` has besides.
    wide: &'static str,
    /// Something that only `describe` of this kind says.
    describe: &'static str,
}

const SAMPLES: [Sample; 37] = [
    Sample {
        resource: "namespace",
        kind: "Namespace",
        manifest: "apiVersion: v1\nkind: Namespace\nmetadata: {name: sample, labels: {size: small}}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "STATUS", "AGE"],
        wide: "STATUS",
        describe: "Status:       Active",
    },
    Sample {
        resource: "node",
        kind: "Node",
        manifest: "apiVersion: v1\nkind: Node\nmetadata: {name: sample, labels: {size: small}}\nspec: {unschedulable: true}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
        wide: "INTERNAL-IP",
        describe: "Unschedulable:      true",
    },
    Sample {
        resource: "pod",
        kind: "Pod",
        manifest: "apiVersion: v1\nkind: Pod\nmetadata: {name: sample, labels: {size: small}}\nspec:\n  \
                   containers: [{name: main, image: 'hello-http:v1', ports: [{containerPort: 8080}]}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        wide: "NOMINATED NODE",
        describe: "Containers:",
    },
    Sample {
        resource: "service",
        kind: "Service",
        manifest: "apiVersion: v1\nkind: Service\nmetadata: {name: sample}\nspec:\n  selector: {app: nobody}\n  \
                   ports: [{name: http, port: 8081}]\n",
        change: ("port: 8081", "port: 8082"),
        columns: &["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        wide: "SELECTOR",
        describe: "Session Affinity:",
    },
    Sample {
        resource: "endpointslice.discovery.k8s.io",
        kind: "EndpointSlice",
        manifest: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: sample}\n\
                   addressType: IPv4\nports: [{name: http, port: 80, protocol: TCP}]\nendpoints: [{addresses: [10.0.0.7]}]\n",
        change: ("10.0.0.7", "10.0.0.8"),
        columns: &["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"],
        wide: "ENDPOINTS",
        describe: "AddressType:",
    },
    Sample {
        resource: "configmap",
        kind: "ConfigMap",
        manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sample}\ndata: {colour: red}\n",
        change: ("colour: red", "colour: blue"),
        columns: &["NAME", "DATA", "AGE"],
        wide: "DATA",
        describe: "colour:",
    },
    Sample {
        resource: "secret",
        kind: "Secret",
        manifest: "apiVersion: v1\nkind: Secret\nmetadata: {name: sample, labels: {size: small}}\ndata: {word: b3Blbg==}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "TYPE", "DATA", "AGE"],
        wide: "TYPE",
        describe: "word:  4 bytes",
    },
    Sample {
        resource: "event",
        kind: "Event",
        manifest: "apiVersion: v1\nkind: Event\nmetadata: {name: sample, namespace: default}\nreason: Noted\nmessage: something\n\
                   type: Normal\ninvolvedObject: {kind: Pod, namespace: default, name: somebody}\n",
        change: ("message: something", "message: otherwise"),
        columns: &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        wide: "SUBOBJECT",
        describe: "Involved Object:",
    },
    Sample {
        resource: "lease.coordination.k8s.io",
        kind: "Lease",
        manifest: "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: sample}\n\
                   spec: {holderIdentity: somebody, leaseDurationSeconds: 30}\n",
        change: ("holderIdentity: somebody", "holderIdentity: another"),
        columns: &["NAME", "HOLDER", "AGE"],
        wide: "HOLDER",
        describe: "Lease Duration Seconds:",
    },
    Sample {
        resource: "deployment.apps",
        kind: "Deployment",
        manifest: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: sample}\nspec:\n  replicas: 1\n  \
                   selector: {matchLabels: {app: sample-d}}\n  template:\n    metadata: {labels: {app: sample-d}}\n    \
                   spec: {containers: [{name: main, image: 'hello-http:v1'}]}\n",
        change: ("replicas: 1", "replicas: 2"),
        columns: &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        wide: "SELECTOR",
        describe: "StrategyType:",
    },
    Sample {
        resource: "replicaset.apps",
        kind: "ReplicaSet",
        manifest: "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: sample}\nspec:\n  replicas: 1\n  \
                   selector: {matchLabels: {app: sample-r}}\n  template:\n    metadata: {labels: {app: sample-r}}\n    \
                   spec: {containers: [{name: main, image: 'hello-http:v1'}]}\n",
        change: ("replicas: 1", "replicas: 2"),
        columns: &["NAME", "DESIRED", "CURRENT", "READY", "AGE"],
        wide: "SELECTOR",
        describe: "Pods Status:",
    },
    Sample {
        resource: "replicationcontroller",
        kind: "ReplicationController",
        manifest: "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: sample}\nspec:\n  replicas: 1\n  template:\n    metadata: {labels: {app: sample-c}}\n    spec: {containers: [{name: main, image: 'hello-http:v1'}]}\n",
        change: ("replicas: 1", "replicas: 2"),
        columns: &["NAME", "DESIRED", "CURRENT", "READY", "AGE"],
        wide: "SELECTOR",
        describe: "Pods Status:",
    },
    Sample {
        resource: "serviceaccount",
        kind: "ServiceAccount",
        manifest: "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sample, labels: {size: small}}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "SECRETS", "AGE"],
        wide: "SECRETS",
        describe: "Tokens:",
    },
    Sample {
        resource: "podtemplate",
        kind: "PodTemplate",
        manifest: "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: sample, labels: {size: small}}\ntemplate:\n  metadata: {labels: {app: sample-t}}\n  spec: {containers: [{name: main, image: 'hello-http:v1'}]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "CONTAINERS", "IMAGES", "POD LABELS"],
        wide: "IMAGES",
        describe: "Template:",
    },
    Sample {
        resource: "endpoints",
        kind: "Endpoints",
        manifest: "apiVersion: v1\nkind: Endpoints\nmetadata: {name: no-service, labels: {size: small}}\nsubsets:\n- addresses: [{ip: 10.1.2.3}]\n  ports: [{port: 80, protocol: TCP}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "ENDPOINTS", "AGE"],
        wide: "ENDPOINTS",
        describe: "10.1.2.3",
    },
    Sample {
        resource: "controllerrevision.apps",
        kind: "ControllerRevision",
        manifest: "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: sample}\ndata: {a: b}\nrevision: 1\n",
        change: ("revision: 1", "revision: 2"),
        columns: &["NAME", "CONTROLLER", "REVISION", "AGE"],
        wide: "CONTROLLER",
        describe: "Revision:",
    },
    Sample {
        resource: "role.rbac.authorization.k8s.io",
        kind: "Role",
        manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: sample, labels: {size: small}}\nrules:\n- {apiGroups: [''], resources: [pods], verbs: [get]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "CREATED AT"],
        wide: "CREATED AT",
        describe: "PolicyRule:",
    },
    Sample {
        resource: "clusterrole.rbac.authorization.k8s.io",
        kind: "ClusterRole",
        manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: sample, labels: {size: small}}\nrules:\n- {apiGroups: [''], resources: [pods], verbs: [get]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "CREATED AT"],
        wide: "CREATED AT",
        describe: "PolicyRule:",
    },
    Sample {
        resource: "rolebinding.rbac.authorization.k8s.io",
        kind: "RoleBinding",
        manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: sample, labels: {size: small}}\nroleRef: {kind: ClusterRole, name: view, apiGroup: rbac.authorization.k8s.io}\nsubjects: [{kind: Group, name: readers, apiGroup: rbac.authorization.k8s.io}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "ROLE", "AGE"],
        wide: "SERVICEACCOUNTS",
        describe: "readers",
    },
    Sample {
        resource: "clusterrolebinding.rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: sample, labels: {size: small}}\nroleRef: {kind: ClusterRole, name: view, apiGroup: rbac.authorization.k8s.io}\nsubjects: [{kind: Group, name: readers, apiGroup: rbac.authorization.k8s.io}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "ROLE", "AGE"],
        wide: "SERVICEACCOUNTS",
        describe: "readers",
    },
    Sample {
        resource: "storageversionmigration.storagemigration.k8s.io",
        kind: "StorageVersionMigration",
        manifest: "apiVersion: storagemigration.k8s.io/v1\nkind: StorageVersionMigration\nmetadata: {name: sample, labels: {size: small}}\nspec: {resource: {group: apps, resource: deployments}}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "CREATED AT"],
        wide: "CREATED AT",
        describe: "deployments",
    },
    Sample {
        resource: "flowschema.flowcontrol.apiserver.k8s.io",
        kind: "FlowSchema",
        manifest: "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: FlowSchema\nmetadata: {name: sample, labels: {size: small}}\nspec: {priorityLevelConfiguration: {name: workload-low}, matchingPrecedence: 700, rules: [{subjects: [{kind: User, user: {name: ann}}], nonResourceRules: [{verbs: [get], nonResourceURLs: [/a]}]}]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "PRIORITYLEVEL", "MATCHINGPRECEDENCE", "DISTINGUISHERMETHOD", "AGE", "MISSINGPL"],
        wide: "MISSINGPL",
        describe: "workload-low",
    },
    Sample {
        resource: "prioritylevelconfiguration.flowcontrol.apiserver.k8s.io",
        kind: "PriorityLevelConfiguration",
        manifest: "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: PriorityLevelConfiguration\nmetadata: {name: sample, labels: {size: small}}\nspec: {type: Limited, limited: {nominalConcurrencyShares: 0, limitResponse: {type: Reject}}}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "TYPE", "NOMINALCONCURRENCYSHARES", "QUEUES", "HANDSIZE", "QUEUELENGTHLIMIT", "AGE"],
        wide: "QUEUES",
        describe: "Reject",
    },
    Sample {
        resource: "resourcequota",
        kind: "ResourceQuota",
        manifest: "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: sample, labels: {size: small}}\nspec: {hard: {count/widgets.example.com: '5', limits.ephemeral-storage: 5Gi}}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "REQUEST", "LIMIT", "AGE"],
        wide: "LIMIT",
        describe: "count/widgets.example.com",
    },
    Sample {
        resource: "limitrange",
        kind: "LimitRange",
        manifest: "apiVersion: v1\nkind: LimitRange\nmetadata: {name: sample, labels: {size: small}}\nspec: {limits: [{type: PersistentVolumeClaim, max: {storage: 5Gi}}]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "CREATED AT"],
        wide: "CREATED AT",
        describe: "Max Limit/Request Ratio",
    },
    Sample {
        resource: "priorityclass.scheduling.k8s.io",
        kind: "PriorityClass",
        manifest: "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: sample, labels: {size: small}}\nvalue: 7\npreemptionPolicy: Never\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "VALUE", "GLOBAL-DEFAULT", "AGE"],
        wide: "PREEMPTIONPOLICY",
        describe: "Value:",
    },
    Sample {
        resource: "user.kapelle.dev",
        kind: "User",
        manifest: "apiVersion: kapelle.dev/v1\nkind: User\nmetadata: {name: sample, labels: {size: small}}\nspec: {groups: [devs]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "GROUPS", "EXPIRES", "AGE"],
        wide: "EXPIRES",
        describe: "devs",
    },
    Sample {
        resource: "validatingwebhookconfiguration.admissionregistration.k8s.io",
        kind: "ValidatingWebhookConfiguration",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: sample, labels: {size: small}}\nwebhooks: [{name: a.example.com, clientConfig: {url: \"https://hook.example.com/a\"}, sideEffects: None, admissionReviewVersions: [v1], rules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [widgets], scope: \"*\"}]}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "WEBHOOKS", "AGE"],
        wide: "AGE",
        describe: "a.example.com",
    },
    Sample {
        resource: "mutatingwebhookconfiguration.admissionregistration.k8s.io",
        kind: "MutatingWebhookConfiguration",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: sample, labels: {size: small}}\nwebhooks: [{name: a.example.com, clientConfig: {url: \"https://hook.example.com/a\"}, sideEffects: None, admissionReviewVersions: [v1], rules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [widgets], scope: \"*\"}]}]\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "WEBHOOKS", "AGE"],
        wide: "AGE",
        describe: "a.example.com",
    },
    Sample {
        resource: "validatingadmissionpolicy.admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicy",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: sample, labels: {size: small}}\nspec: {matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [widgets], scope: \"*\"}]}, validations: [{expression: object.spec.size < 5}]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "VALIDATIONS", "PARAMKIND", "AGE"],
        wide: "AGE",
        describe: "object.spec.size",
    },
    Sample {
        resource: "validatingadmissionpolicybinding.admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicyBinding",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: sample, labels: {size: small}}\nspec: {policyName: none, validationActions: [Deny]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "POLICYNAME", "PARAMREF", "AGE"],
        wide: "AGE",
        describe: "none",
    },
    Sample {
        resource: "mutatingadmissionpolicy.admissionregistration.k8s.io",
        kind: "MutatingAdmissionPolicy",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata: {name: sample, labels: {size: small}}\nspec: {matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [example.com], apiVersions: [v1], resources: [widgets], scope: \"*\"}]}, reinvocationPolicy: Never, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[]'}}]}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "MUTATIONS", "PARAMKIND", "AGE"],
        wide: "AGE",
        describe: "JSONPatch",
    },
    Sample {
        resource: "mutatingadmissionpolicybinding.admissionregistration.k8s.io",
        kind: "MutatingAdmissionPolicyBinding",
        manifest: "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicyBinding\nmetadata: {name: sample, labels: {size: small}}\nspec: {policyName: none}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "POLICYNAME", "PARAMREF", "AGE"],
        wide: "AGE",
        describe: "none",
    },
    Sample {
        resource: "apiservice.apiregistration.k8s.io",
        kind: "APIService",
        manifest: "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1.sample.example.org, labels: {size: small}}\nspec: {group: sample.example.org, version: v1, groupPriorityMinimum: 100, versionPriority: 15}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "SERVICE", "AVAILABLE", "AGE"],
        wide: "AVAILABLE",
        describe: "sample.example.org",
    },
    Sample {
        resource: "certificatesigningrequest.certificates.k8s.io",
        kind: "CertificateSigningRequest",
        manifest: "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: sample, labels: {size: small}}\nspec: {signerName: example.org/house, usages: [client auth], request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIYU1JR0NBZ0VBTUNBeEVEQU9CZ05WQkFvTUIzSmxZV1JsY25NeEREQUtCZ05WQkFNTUEyRmtZVEJaTUJNRwpCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQkRLSnB0K1htazZaenJ4eWdLYWFZd29aSGZ2SVpNL1BnaUdkCkZqTitmbkU5YWVWMU5nVG1jY2M4WDNrQXdKSW5vMkZGbDJ6bG1DTFIxci9ycjVoSkx0K2dBREFLQmdncWhrak8KUFFRREFnTkhBREJFQWlCSERPdGJqalo4c3FKek1FYVc5TS9SeS9rU1hzcGJZY3cwTUJrbVl3RDRpd0lnYnUzZApNUUoya3VGQWhjak9QRzVNdnpGME0wQjg3UmIxdE5DTzFGbU9uaTQ9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"],
        wide: "Pending",
        describe: "Requesting User:",
    },
    Sample {
        resource: "clustertrustbundle.certificates.k8s.io",
        kind: "ClusterTrustBundle",
        manifest: "apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata: {name: sample, labels: {size: small}}\nspec:\n  trustBundle: |\n    -----BEGIN CERTIFICATE-----\n    MIIBdzCCAR2gAwIBAgIUCttIYVojXxXKZCyPJ14QlRq+m3UwCgYIKoZIzj0EAwIw\n    EDEOMAwGA1UEAwwFaG91c2UwIBcNMjYxMTMwMTkwODI2WhgPMjEyNjExMDYxOTA4\n    MjZaMBAxDjAMBgNVBAMMBWhvdXNlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n    Momm35eaTpnOvHKApppjChkd+8hkz8+CIZ0WM35+cT1p5XU2BOZxxzxfeQDAkiej\n    YUWXbOWYItHWv+uvmEku36NTMFEwHQYDVR0OBBYEFFlQCI+1DJq+6GTF25dpX3KI\n    EEipMB8GA1UdIwQYMBaAFFlQCI+1DJq+6GTF25dpX3KIEEipMA8GA1UdEwEB/wQF\n    MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAPig7QOikSwSTssLlh5dx3RB0HzUGFHq\n    WpJ61X4Xd/LEAiAewDe9Cj+7uzDYwmi4kTCzLa5i6+c8vhjZJAjKcB+uwg==\n    -----END CERTIFICATE-----\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "SIGNERNAME"],
        wide: "SIGNERNAME",
        describe: "Trust Bundle",
    },
    Sample {
        resource: "podcertificaterequest.certificates.k8s.io",
        kind: "PodCertificateRequest",
        manifest: "apiVersion: certificates.k8s.io/v1\nkind: PodCertificateRequest\nmetadata: {name: sample, labels: {size: small}}\nspec: {signerName: example.org/house, podName: web, podUID: u1, serviceAccountName: default, serviceAccountUID: u2, nodeName: w1, nodeUID: u3, stubPKCS10Request: MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM5BPshj2woUyzofmM/CFCWBpDg/Jhw7JDE5Z7DSKcEsH2TMBsTy+xcDUkgR3DrNpAmLEME+RZ0tgAy6gc5nRNCgADAKBggqhkjOPQQDAgNIADBFAiBIlHeunV131vMWzBITo181ADZUoP+c7Spgx4xF7aJJGwIhAPkqkvAAsYndQSmladGNWT8QqprKsL8UoY3/Sm5lUtms}\n",
        change: ("size: small", "size: large"),
        columns: &["NAME", "PODNAME", "SERVICEACCOUNTNAME", "NODENAME", "SIGNERNAME", "STATE"],
        wide: "Pending",
        describe: "Signer Name",
    },
];

impl Sample {
    fn run(&self, cluster: &Cluster, kubectl: &Kubectl<'_>) {
        let script = Script::new(self.kind, cluster, Some(kubectl));
        let (from, to) = self.change;
        assert!(self.manifest.contains(from), "{from}");
        script.file("object.yaml", self.manifest);
        script.file("changed.yaml", self.manifest.replace(from, to));
        let columns = self.columns.join("\n  ");
        // A Service has Endpoints of its own name, so not all objects can be called alike.
        let named = self.manifest.split_once("metadata: {name: ").and_then(|(_, rest)| rest.split_once([',', '}']));
        let name = named.unwrap().0;
        let values = [
            ("resource", self.resource),
            ("plain", self.resource.split('.').next().unwrap()),
            ("kind", self.kind),
            ("name", name),
            ("object", &format!("{}/{name}", self.resource)),
            ("columns", &columns),
            ("wide", self.wide),
            ("changed", to),
            ("describe", self.describe),
        ];
        script.run(include_str!("scripts/kind.txt"), &values);
    }
}

/// Runs a session of `scripts/` against a cluster with the usual images; without `kubectl`, those of its commands are left out.
pub(crate) fn session(name: &str, text: &str) {
    let cluster = Cluster::start();
    let kubectl = Kubectl::find(&cluster);
    for image in ["hello-http", "batch", "trap"] {
        cluster.push(image);
    }
    cluster.push_as("hello-http", "hello-http:v2");
    Script::new(name, &cluster, kubectl.as_ref()).run(text, &[]);
}

#[test]
fn kubectl_does_what_people_do_with_it() {
    session("kubectl.txt", include_str!("scripts/kubectl.txt"));
}

#[test]
fn a_kind_that_a_user_defines_is_one_like_the_others() {
    session("custom.txt", include_str!("scripts/custom.txt"));
}

#[test]
fn roles_give_what_they_say_and_nobody_gives_more_than_it_has() {
    session("rights.txt", include_str!("scripts/rights.txt"));
}

#[test]
fn users_have_tokens_until_they_are_revoked() {
    session("users.txt", include_str!("scripts/users.txt"));
}

#[test]
fn questions_are_found_explained_and_asked_like_objects() {
    session("reviews.txt", include_str!("scripts/reviews.txt"));
}

#[test]
fn a_namespace_demands_of_its_pods_what_its_labels_say() {
    session("pod_security.txt", include_str!("scripts/pod_security.txt"));
}

#[test]
fn a_namespace_has_no_more_than_its_quotas_and_limits_allow() {
    session("quotas.txt", include_str!("scripts/quotas.txt"));
}

#[test]
fn a_pod_runs_only_images_that_its_account_may_read() {
    session("pulling.txt", include_str!("scripts/pulling.txt"));
}

#[test]
fn kapelle_does_what_its_options_say() {
    session("kapelle.txt", include_str!("scripts/kapelle.txt"));
}

#[test]
fn what_is_not_served_says_so() {
    session("not_served.txt", include_str!("scripts/not_served.txt"));
}

/// Prints how many of a hundred commands do what they do with Kubernetes: `--nocapture` shows it.
#[test]
fn of_a_hundred_commands_of_kubectl_only_those_fail_that_are_known_to() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    for image in ["hello-http", "batch", "log-sidecar"] {
        cluster.push(image);
    }
    cluster.push_as("hello-http", "hello-http:v2");
    let rows = Script::new("hundred.txt", &cluster, Some(&kubectl)).rows(include_str!("scripts/hundred.txt"));
    assert_eq!(rows.len(), 100);
    let open = rows.iter().filter(|row| row.open.is_some()).count();
    let promise = format!("{} do what they do with Kubernetes", rows.len() - open);
    assert!(include_str!("../../README.md").contains(&promise), "README must say that {promise}");
    let mut complaints = Vec::new();
    for Row { name, open, outcome } in &rows {
        match (open, outcome) {
            (None, Ok(())) => {}
            (None, Err(complaint)) => complaints.push(format!("{name}: {complaint}")),
            (Some(why), Err(_)) => eprintln!("open: {name}: {why}"),
            (Some(_), Ok(())) => eprintln!("no longer open: {name}; say so in hundred.txt"),
        }
    }
    let passed = rows.iter().filter(|row| row.outcome.is_ok()).count();
    eprintln!("{passed} of {} commands of kubectl ({})", rows.len(), kubectl.version());
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n----\n"));
}

#[test]
fn what_is_applied_has_owners_and_sets_are_pruned() {
    session("apply.txt", include_str!("scripts/apply.txt"));
}

#[test]
fn every_kind_lives_and_dies_by_kubectl() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    cluster.push("hello-http");
    thread::scope(|scope| {
        for sample in &SAMPLES {
            scope.spawn(|| sample.run(&cluster, &kubectl));
        }
    });
}
