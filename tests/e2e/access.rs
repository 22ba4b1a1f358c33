//! How tools that others wrote log in and act for their users, as sequences that were recorded from them: what they ask in which order, here by
//! `kubectl` and raw requests.

use crate::{
    cluster::{Answer, Cluster},
    kubectl::Kubectl,
    patience::wait_until,
};

/// `kubectl` with the address of the cluster and a token, and nothing else.
struct ByToken<'a> {
    kubectl: &'a Kubectl<'a>,
    server: String,
    authority: String,
    token: String,
}

impl<'a> ByToken<'a> {
    fn new(cluster: &Cluster, kubectl: &'a Kubectl<'a>, token: &str) -> Self {
        let authority = cluster.dir().join("authority.crt");
        let text = kubectl.ok("get configmap kube-root-ca.crt -o 'jsonpath={.data.ca\\.crt}'");
        std::fs::write(&authority, text).unwrap();
        let server = format!("https://{}", cluster.contact());
        Self { kubectl, server, authority: authority.display().to_string(), token: token.trim().to_owned() }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Answer {
        let mut command = self.kubectl.command();
        let fixed = ["--kubeconfig=/dev/null", "--server", &self.server, "--certificate-authority", &self.authority];
        Answer::of(command.args(fixed).args(["--token", &self.token]).args(arguments), input)
    }
}

/// What `argocd cluster add` makes, with its binding first gone and then the rest when the cluster is removed again.
const ARGO: &str = r#"---
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "argocd-manager", "namespace": "kube-system"}}
---
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "argocd-manager-role"},
 "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]}
---
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "argocd-manager-role-binding"},
 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "argocd-manager-role"},
 "subjects": [{"kind": "ServiceAccount", "name": "argocd-manager", "namespace": "kube-system"}]}
---
{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
 "metadata": {"name": "argocd-manager-token-x7k2p", "namespace": "kube-system",
  "annotations": {"kubernetes.io/service-account.name": "argocd-manager"}}}
"#;

#[test]
fn argo_cd_adds_a_cluster_by_a_secret_that_gets_a_token() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    kubectl.run("create -f -", ARGO).ok();
    kubectl.ok(
        "patch serviceaccount argocd-manager -n kube-system --type=merge -p '{\"secrets\":[{\"name\":\"argocd-manager-token-x7k2p\"}]}'",
    );
    let field = |path: &str| {
        kubectl
            .run(&format!("get secret argocd-manager-token-x7k2p -n kube-system -o 'jsonpath={{.data.{path}}}'"), "")
            .printed()
    };
    let token =
        wait_until("the token", || field("token").and_then(|text| if text.is_empty() { Err(text) } else { Ok(text) }));
    assert!(!field("ca\\.crt").unwrap().is_empty() && !field("namespace").unwrap().is_empty());
    let decoded = kubectl
        .ok("get secret argocd-manager-token-x7k2p -n kube-system -o 'go-template={{.data.token | base64decode}}'");
    assert!(decoded.split('.').count() == 3 && token != decoded);
    let argo = ByToken::new(&cluster, &kubectl, &decoded);
    assert!(argo.run(&["auth", "whoami"], "").ok().contains("system:serviceaccount:kube-system:argocd-manager"));
    for path in ["/version", "/apis", "/api/v1/nodes?limit=500", "/apis/apps/v1/deployments?limit=500"] {
        argo.run(&["get", "--raw", path], "").ok();
    }
    let synced = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: synced, namespace: default}}";
    argo.run(&["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"], synced).ok();

    kubectl.ok("delete clusterrolebinding argocd-manager-role-binding");
    wait_until("the end of its rights", || match argo.run(&["get", "nodes"], "").printed() {
        Ok(told) => Err(told),
        Err(why) if why.contains("forbidden") => Ok(()),
        Err(other) => Err(other),
    });
    kubectl.ok("delete clusterrole argocd-manager-role");
    kubectl.ok("delete serviceaccount argocd-manager -n kube-system");
    wait_until("the end of its token", || match argo.run(&["get", "nodes"], "").printed() {
        Ok(told) => Err(told),
        Err(why) if why.contains("logged in") || why.contains("Unauthorized") => Ok(()),
        Err(other) => Err(other),
    });
    wait_until("the end of its Secret", || match field("token") {
        Ok(told) => Err(told),
        Err(_) => Ok(()),
    });
}

/// A tenant of Flux: what is applied for it is applied as an account of its namespace.
const TENANT: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: flux-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tenant}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: kustomize-controller, namespace: flux-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: stranger, namespace: flux-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reconciler, namespace: tenant}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cluster-reconciler}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: kustomize-controller, namespace: flux-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reconciler, namespace: tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: reconciler, namespace: tenant}]
";

#[test]
fn flux_applies_for_a_tenant_as_the_tenants_account() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    cluster.apply(TENANT).ok();
    let token = |account: &str| kubectl.ok(&format!("create token {account} -n flux-system"));
    let tenant =
        ["--as=system:serviceaccount:tenant:reconciler", "--server-side", "--field-manager=kustomize-controller"];
    let map = |namespace: &str| {
        format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace}}}}}")
    };
    let flux = ByToken::new(&cluster, &kubectl, &token("kustomize-controller"));
    let apply =
        |by: &ByToken<'_>, namespace: &str| by.run(&[&["apply", "-f", "-"], &tenant[..]].concat(), &map(namespace));
    wait_until("the roles", || apply(&flux, "tenant").printed());
    let me = flux.run(&["auth", "whoami", tenant[0]], "").ok();
    assert!(me.contains("system:serviceaccounts:tenant"), "its groups follow from its name: {me}");
    let refused = apply(&flux, "default").err();
    assert!(refused.contains("User \"system:serviceaccount:tenant:reconciler\""), "{refused}");
    let more = "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: more},
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
        subjects: [{kind: ServiceAccount, name: reconciler, namespace: tenant}]}";
    assert!(flux.run(&[&["apply", "-f", "-"], &tenant[..]].concat(), more).err().contains("forbidden"));
    let stranger = ByToken::new(&cluster, &kubectl, &token("stranger"));
    let refused = stranger.run(&["get", "configmaps", "-n", "tenant", tenant[0]], "").err();
    assert!(refused.contains("cannot impersonate"), "{refused}");
}

#[test]
fn headlamp_logs_in_by_a_token_and_shows_what_it_may() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    kubectl.ok("create serviceaccount headlamp -n kube-system");
    let token = kubectl.ok("create token headlamp -n kube-system");
    let page = ByToken::new(&cluster, &kubectl, &token);
    // It knows by this whether the token is one.
    let rules = r#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}"#;
    let ask = |by: &ByToken<'_>| {
        by.run(&["create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "-f", "-"], rules)
    };
    assert!(!ask(&page).ok().contains("\"pods\""));
    let refused = page.run(&["get", "--raw", "/api/v1/namespaces?limit=1000"], "").err();
    assert!(refused.contains("forbidden") || refused.contains("cannot list"), "{refused}");
    kubectl.ok("create clusterrolebinding headlamp --clusterrole=view --serviceaccount=kube-system:headlamp");
    wait_until("the role", || page.run(&["get", "--raw", "/api/v1/namespaces?limit=1000"], "").printed());
    assert!(ask(&page).ok().contains("\"pods\""));
    // What it offers to change, it asks about first.
    let may = |verb: &str| {
        let review = format!(
            r#"{{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {{"resourceAttributes":
                {{"namespace": "default", "verb": "{verb}", "group": "apps", "resource": "deployments"}}}}}}"#
        );
        page.run(&["create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "-f", "-"], &review)
            .ok()
    };
    assert!(may("get").contains("\"allowed\":true") && may("delete").contains("\"allowed\":false"));
    let forged = format!("{}x", token.trim());
    let stranger = ByToken::new(&cluster, &kubectl, &forged);
    assert!(ask(&stranger).err().contains("nauthorized") || ask(&stranger).err().contains("logged in"));
}
