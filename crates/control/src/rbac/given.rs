//! The roles and bindings that every cluster has: Kubernetes' own, by its names, so that manifests which refer to them work.
//!
//! Those of Kubernetes' single controllers are missing, since the controllers here are part of the masters.

/// A ClusterRole. Words stand apart by spaces.
pub(super) struct ClusterRoleGiven {
    pub(super) name: &'static str,
    /// The gathering role of which it is a part: `admin`, `edit` or `view`; or none.
    pub(super) part_of: &'static str,
    /// Of which gathering role it has the rules, if its own are those of others.
    pub(super) gathers: &'static str,
    pub(super) rules: &'static [Rule],
}

/// One rule.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) verbs: &'static str,
    pub(super) groups: &'static str,
    pub(super) resources: &'static str,
    pub(super) names: &'static str,
    pub(super) paths: &'static str,
}

/// A ClusterRoleBinding of the ClusterRole of the same name.
pub(super) struct BindingGiven {
    pub(super) name: &'static str,
    pub(super) to: &'static [To],
}

/// To whom.
#[derive(Clone, Copy)]
pub(super) enum To {
    User(&'static str),
    Group(&'static str),
    ServiceAccount { namespace: &'static str, name: &'static str },
}

/// How rules call the group that has no name.
pub(super) const CORE: &str = "core";

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
const READ_UPDATE: &str = "get list patch update watch";
const TELL: &str = "create patch update";

const fn rule(verbs: &'static str, groups: &'static str, resources: &'static str) -> Rule {
    Rule { verbs, groups, resources, names: "", paths: "" }
}

const fn paths(verbs: &'static str, paths: &'static str) -> Rule {
    Rule { verbs, groups: "", resources: "", names: "", paths }
}

impl Rule {
    const fn named(self, names: &'static str) -> Self {
        Self { names, ..self }
    }
}

/// The Role with which backends of the API learn by what they know masters.
pub(super) const AUTHENTICATION_READER: &str = "extension-apiserver-authentication-reader";
pub(super) const AUTHENTICATION_RULES: &[Rule] =
    &[rule(READ, CORE, "configmaps").named("extension-apiserver-authentication")];

pub(super) const CLUSTER_ROLE_BINDINGS: &[BindingGiven] = &[
    BindingGiven { name: "cluster-admin", to: &[To::Group("system:masters")] },
    BindingGiven { name: "system:basic-user", to: &[To::Group("system:authenticated")] },
    BindingGiven { name: "system:cluster-trust-bundle-discovery", to: &[To::Group("system:serviceaccounts")] },
    BindingGiven { name: "system:discovery", to: &[To::Group("system:authenticated")] },
    // Who wants images that not every account may run takes this away, and binds the role where it is to count.
    BindingGiven { name: "system:image-puller", to: &[To::Group("system:serviceaccounts")] },
    BindingGiven { name: "system:kube-controller-manager", to: &[To::User("system:kube-controller-manager")] },
    BindingGiven { name: "system:kube-dns", to: &[To::ServiceAccount { namespace: "kube-system", name: "kube-dns" }] },
    BindingGiven { name: "system:kube-scheduler", to: &[To::User("system:kube-scheduler")] },
    BindingGiven { name: "system:monitoring", to: &[To::Group("system:monitoring")] },
    // Nodes have what their Pods need, and not what this role gives.
    BindingGiven { name: "system:node", to: &[] },
    BindingGiven { name: "system:node-proxier", to: &[To::User("system:kube-proxy")] },
    BindingGiven {
        name: "system:public-info-viewer",
        to: &[To::Group("system:authenticated"), To::Group("system:unauthenticated")],
    },
    BindingGiven { name: "system:service-account-issuer-discovery", to: &[To::Group("system:serviceaccounts")] },
    BindingGiven { name: "system:volume-scheduler", to: &[To::User("system:kube-scheduler")] },
];

pub(super) const CLUSTER_ROLES: &[ClusterRoleGiven] = &[
    ClusterRoleGiven { name: "admin", part_of: "", gathers: "admin", rules: &[] },
    ClusterRoleGiven {
        name: "cluster-admin",
        part_of: "",
        gathers: "",
        rules: &[rule("*", "*", "*"), paths("*", "*")],
    },
    ClusterRoleGiven { name: "edit", part_of: "admin", gathers: "edit", rules: &[] },
    // Whoever may change what runs in a namespace pushes its images, and whoever sees it pulls them.
    ClusterRoleGiven {
        name: "system:aggregate-images-to-edit",
        part_of: "edit",
        gathers: "",
        rules: &[rule("create delete", "kapelle.dev", "images")],
    },
    ClusterRoleGiven {
        name: "system:aggregate-images-to-view",
        part_of: "view",
        gathers: "",
        rules: &[rule("get", "kapelle.dev", "images")],
    },
    ClusterRoleGiven {
        name: "system:aggregate-to-admin",
        part_of: "admin",
        gathers: "",
        rules: &[
            rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            rule(READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
        ],
    },
    ClusterRoleGiven {
        name: "system:aggregate-to-edit",
        part_of: "edit",
        gathers: "",
        rules: &[
            rule(READ, CORE, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
            rule("impersonate", CORE, "serviceaccounts"),
            rule(WRITE, CORE, "pods pods/attach pods/exec pods/portforward pods/proxy"),
            rule("create", CORE, "pods/eviction"),
            rule(
                WRITE,
                CORE,
                "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
                 serviceaccounts services services/proxy",
            ),
            rule("create", CORE, "serviceaccounts/token"),
            rule(WRITE, "core events.k8s.io", "events"),
            rule(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
                 statefulsets statefulsets/scale",
            ),
            rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
            rule(WRITE, "batch", "cronjobs jobs"),
            rule(
                WRITE,
                "extensions",
                "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies \
                 replicasets replicasets/scale replicationcontrollers/scale",
            ),
            rule(WRITE, "policy", "poddisruptionbudgets"),
            rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            rule(READ_WRITE, "coordination.k8s.io", "leases"),
            rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
        ],
    },
    ClusterRoleGiven {
        name: "system:aggregate-to-view",
        part_of: "view",
        gathers: "",
        rules: &[
            rule(
                READ,
                CORE,
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
                 replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
            ),
            rule(
                READ,
                CORE,
                "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
                 resourcequotas resourcequotas/status",
            ),
            rule(READ, CORE, "namespaces"),
            rule(READ, "core events.k8s.io", "events"),
            rule(READ, "discovery.k8s.io", "endpointslices"),
            rule(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
                 replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale \
                 statefulsets/status",
            ),
            rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            rule(
                READ,
                "extensions",
                "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses \
                 ingresses/status networkpolicies replicasets replicasets/scale replicasets/status \
                 replicationcontrollers/scale",
            ),
            rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
            rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
        ],
    },
    ClusterRoleGiven {
        name: "system:auth-delegator",
        part_of: "",
        gathers: "",
        rules: &[
            rule("create", "authentication.k8s.io", "tokenreviews"),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    },
    ClusterRoleGiven {
        name: "system:basic-user",
        part_of: "",
        gathers: "",
        rules: &[
            rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            rule("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        part_of: "",
        gathers: "",
        rules: &[rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        part_of: "",
        gathers: "",
        rules: &[rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:kube-apiserver-client-approver",
        part_of: "",
        gathers: "",
        rules: &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kube-apiserver-client")],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        part_of: "",
        gathers: "",
        rules: &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kube-apiserver-client-kubelet")],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:kubelet-serving-approver",
        part_of: "",
        gathers: "",
        rules: &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kubelet-serving")],
    },
    ClusterRoleGiven {
        name: "system:certificates.k8s.io:legacy-unknown-approver",
        part_of: "",
        gathers: "",
        rules: &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/legacy-unknown")],
    },
    ClusterRoleGiven {
        name: "system:cluster-trust-bundle-discovery",
        part_of: "",
        gathers: "",
        rules: &[rule(READ, "certificates.k8s.io", "clustertrustbundles")],
    },
    ClusterRoleGiven {
        name: "system:discovery",
        part_of: "",
        gathers: "",
        rules: &[paths(
            "get",
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    },
    ClusterRoleGiven {
        name: "system:image-puller",
        part_of: "",
        gathers: "",
        rules: &[rule("get", "kapelle.dev", "images")],
    },
    ClusterRoleGiven {
        name: "system:kube-aggregator",
        part_of: "",
        gathers: "",
        rules: &[rule(READ, CORE, "endpoints services")],
    },
    ClusterRoleGiven {
        name: "system:kube-controller-manager",
        part_of: "",
        gathers: "",
        rules: &[
            rule(TELL, "core events.k8s.io", "events"),
            rule("create", "coordination.k8s.io", "leases"),
            rule("get update", "coordination.k8s.io", "leases").named("kube-controller-manager"),
            rule("create", CORE, "secrets serviceaccounts"),
            rule("delete", CORE, "secrets"),
            rule("get", CORE, "configmaps namespaces secrets serviceaccounts"),
            rule("update", CORE, "secrets serviceaccounts"),
            rule("create", "authentication.k8s.io", "tokenreviews"),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
            rule("list watch", "*", "*"),
            rule("create", CORE, "serviceaccounts/token"),
        ],
    },
    ClusterRoleGiven {
        name: "system:kube-dns",
        part_of: "",
        gathers: "",
        rules: &[rule("list watch", CORE, "endpoints services")],
    },
    ClusterRoleGiven {
        name: "system:kube-scheduler",
        part_of: "",
        gathers: "",
        rules: &[
            rule(TELL, "core events.k8s.io", "events"),
            rule("create", "coordination.k8s.io", "leases"),
            rule("get list update watch", "coordination.k8s.io", "leases").named("kube-scheduler"),
            rule(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
            rule(READ, CORE, "nodes"),
            rule("delete get list watch", CORE, "pods"),
            rule("create", CORE, "bindings pods/binding"),
            rule("patch update", CORE, "pods/status"),
            rule(READ, CORE, "replicationcontrollers services"),
            rule(READ, "apps extensions", "replicasets"),
            rule(READ, "apps", "statefulsets"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule(READ, CORE, "persistentvolumeclaims persistentvolumes"),
            rule("create", "authentication.k8s.io", "tokenreviews"),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
            rule(READ, "storage.k8s.io", "csinodes"),
            rule(READ, "storage.k8s.io", "volumeattachments"),
            rule(READ, CORE, "namespaces"),
            rule(READ, "storage.k8s.io", "csidrivers"),
            rule(READ, "storage.k8s.io", "csistoragecapacities"),
            rule(READ, "resource.k8s.io", "deviceclasses"),
            rule(READ_UPDATE, "resource.k8s.io", "resourceclaims"),
            rule(READ_UPDATE, "resource.k8s.io", "resourceclaims/status"),
            rule("update", CORE, "pods/finalizers"),
            rule(READ, "resource.k8s.io", "resourceslices"),
            rule("create delete", "resource.k8s.io", "resourceclaims"),
            rule(READ, "resource.k8s.io", "devicetaintrules"),
            rule("patch update", "resource.k8s.io", "resourceclaims/binding"),
        ],
    },
    ClusterRoleGiven {
        name: "system:kubelet-api-admin",
        part_of: "",
        gathers: "",
        rules: &[
            rule(READ, CORE, "nodes"),
            rule("proxy", CORE, "nodes"),
            rule("*", CORE, "nodes/log nodes/metrics nodes/proxy nodes/stats"),
            rule("*", CORE, "nodes/configz nodes/healthz nodes/pods"),
        ],
    },
    ClusterRoleGiven {
        name: "system:monitoring",
        part_of: "",
        gathers: "",
        rules: &[
            paths(
                "get",
                "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz",
            ),
            rule("get", CORE, "nodes/metrics"),
        ],
    },
    ClusterRoleGiven {
        name: "system:node",
        part_of: "",
        gathers: "",
        rules: &[
            rule("create", "authentication.k8s.io", "tokenreviews"),
            rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
            rule(READ, CORE, "services"),
            rule("create get list watch", CORE, "nodes"),
            rule("patch update", CORE, "nodes/status"),
            rule("patch update", CORE, "nodes"),
            rule(TELL, "core events.k8s.io", "events"),
            rule(READ, CORE, "pods"),
            rule("create delete", CORE, "pods"),
            rule("patch update", CORE, "pods/status"),
            rule("create", CORE, "pods/eviction"),
            rule(READ, CORE, "configmaps secrets"),
            rule("get", CORE, "persistentvolumeclaims persistentvolumes"),
            rule("get", CORE, "endpoints"),
            rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
            rule("create delete get patch update", "coordination.k8s.io", "leases"),
            rule("get", "storage.k8s.io", "volumeattachments"),
            rule("create", CORE, "serviceaccounts/token"),
            rule("get patch update", CORE, "persistentvolumeclaims/status"),
            rule(READ, "storage.k8s.io", "csidrivers"),
            rule("create delete get patch update", "storage.k8s.io", "csinodes"),
            rule(READ, "node.k8s.io", "runtimeclasses"),
            rule("get", "resource.k8s.io", "resourceclaims"),
            rule("deletecollection", "resource.k8s.io", "resourceslices"),
            rule(READ, "certificates.k8s.io", "clustertrustbundles"),
            rule("get", CORE, "serviceaccounts"),
            rule("create get list watch", "certificates.k8s.io", "podcertificaterequests"),
        ],
    },
    ClusterRoleGiven {
        name: "system:node-bootstrapper",
        part_of: "",
        gathers: "",
        rules: &[rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests")],
    },
    ClusterRoleGiven {
        name: "system:node-problem-detector",
        part_of: "",
        gathers: "",
        rules: &[
            rule("get", CORE, "nodes"),
            rule("patch", CORE, "nodes/status"),
            rule(TELL, "core events.k8s.io", "events"),
        ],
    },
    ClusterRoleGiven {
        name: "system:node-proxier",
        part_of: "",
        gathers: "",
        rules: &[
            rule("list watch", CORE, "endpoints services"),
            rule(READ, CORE, "nodes"),
            rule(TELL, "core events.k8s.io", "events"),
            rule("list watch", "networking.k8s.io", "servicecidrs"),
            rule("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    },
    ClusterRoleGiven {
        name: "system:persistent-volume-provisioner",
        part_of: "",
        gathers: "",
        rules: &[
            rule("create delete get list watch", CORE, "persistentvolumes"),
            rule("get list update watch", CORE, "persistentvolumeclaims"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("watch", CORE, "events"),
            rule(TELL, "core events.k8s.io", "events"),
        ],
    },
    ClusterRoleGiven {
        name: "system:public-info-viewer",
        part_of: "",
        gathers: "",
        rules: &[paths("get", "/healthz /livez /readyz /version /version/")],
    },
    ClusterRoleGiven {
        name: "system:service-account-issuer-discovery",
        part_of: "",
        gathers: "",
        rules: &[paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks \
                 /openid/v1/jwks/",
        )],
    },
    ClusterRoleGiven {
        name: "system:volume-scheduler",
        part_of: "",
        gathers: "",
        rules: &[
            rule(READ_UPDATE, CORE, "persistentvolumes"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule(READ_UPDATE, CORE, "persistentvolumeclaims"),
        ],
    },
    ClusterRoleGiven { name: "view", part_of: "edit", gathers: "view", rules: &[] },
];
