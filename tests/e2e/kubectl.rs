//! Unmodified `kubectl` against a cluster. Skipped, saying so, on machines without it, but never in CI.

use std::process::Command;

use crate::{
    cluster::{Answer, Cluster},
    script::words,
};

/// The client under test where several are installed; any other `kubectl` serves as well, and so does the one that the variable
/// `KUBECTL` names.
const NAMES: [&str; 2] = ["kubectl.1.32", "kubectl"];

/// A `kubectl` that talks to a cluster.
pub(crate) struct Kubectl<'a> {
    cluster: &'a Cluster,
    binary: String,
}

impl Kubectl<'_> {
    /// The `kubectl` of this machine.
    pub(crate) fn find(cluster: &Cluster) -> Option<Kubectl<'_>> {
        let runs = |name: &String| {
            Command::new(name).args(["version", "--client"]).output().is_ok_and(|out| out.status.success())
        };
        let named = std::env::var("KUBECTL").ok();
        let found = named.into_iter().chain(NAMES.map(str::to_owned)).find(runs);
        if found.is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI must have kubectl");
            eprintln!("skipped: no kubectl on this machine");
        }
        found.map(|binary| Kubectl { cluster, binary })
    }

    /// What it says of its version.
    pub(crate) fn version(&self) -> String {
        self.ok("version --client").lines().next().unwrap_or_default().to_owned()
    }

    /// A call of it, with a cache of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--kubeconfig").arg(self.cluster.kubeconfig());
        command.arg("--cache-dir").arg(self.cluster.dir().join("kubectl-cache"));
        command
    }

    pub(crate) fn run(&self, arguments: &str, input: &str) -> Answer {
        Answer::of(self.command().args(words(arguments)), input)
    }

    #[track_caller]
    pub(crate) fn ok(&self, arguments: &str) -> String {
        self.run(arguments, "").ok()
    }
}

#[test]
fn kubectl_drives_a_deployment_through_its_life() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    cluster.push("hello-http");
    let manifest = include_str!("../../deploy/examples/hello.yaml");

    assert!(kubectl.run("apply -f -", manifest).ok().contains("deployment.apps/hello created"));
    assert!(kubectl.run("apply -f -", manifest).ok().contains("deployment.apps/hello unchanged"));
    assert!(kubectl.ok("rollout status deploy/hello --timeout=180s").contains("successfully rolled out"));
    let changed = manifest.replace("value: v1", "value: v2");
    assert!(kubectl.run("diff -f -", &changed).stdout.contains("+"), "diff shows the change");
    assert!(kubectl.run("apply -f -", &changed).ok().contains("deployment.apps/hello configured"));
    assert!(kubectl.ok("rollout status deploy/hello --timeout=180s").contains("successfully rolled out"));

    let wide = kubectl.ok("get pods -o wide");
    assert!(wide.contains("READY") && wide.contains("NODE") && wide.contains("1/1"), "{wide}");
    assert!(kubectl.ok("get deploy hello -o yaml").contains("kind: Deployment"));
    assert!(kubectl.ok("get all").contains("service/hello"));
    assert!(kubectl.ok("describe deploy hello").contains("Events:"));
    assert!(kubectl.ok("describe svc hello").contains("Endpoints:"));
    assert!(kubectl.ok("describe nodes").contains("Non-terminated Pods"));
    assert!(kubectl.ok("describe pods").contains("Started"));
    assert!(kubectl.ok("rollout history deploy/hello").contains("2"));
    assert!(kubectl.ok("rollout undo deploy/hello").contains("rolled back"));
    assert!(kubectl.ok("rollout restart deploy/hello").contains("restarted"));
    assert!(kubectl.ok("scale deploy/hello --replicas=2").contains("scaled"));
    assert!(kubectl.ok("wait --for=condition=Available deploy/hello --timeout=180s").contains("condition met"));
    assert!(kubectl.ok("patch deploy hello -p '{\"spec\":{\"replicas\":1}}'").contains("patched"));
    assert!(kubectl.ok("patch deploy hello --type=merge -p '{\"spec\":{\"replicas\":2}}'").contains("patched"));
    let json = "patch deploy hello --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":1}]'";
    assert!(kubectl.ok(json).contains("patched"));
    assert!(kubectl.ok("label deploy hello z=1").contains("labeled"));
    assert!(kubectl.ok("delete deploy hello --cascade=foreground --timeout=180s").contains("deleted"));
    assert!(kubectl.ok("get pods -l app=hello").is_empty());
}

#[test]
fn kubectl_creates_what_it_sends_as_protobuf() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    for (line, object) in [
        ("create configmap c1 --from-literal=a=b", "configmap/c1"),
        ("create secret generic s1 --from-literal=a=b", "secret/s1"),
        ("create namespace n1", "namespace/n1"),
        ("create deployment d1 --image=hello-http:v1", "deployment.apps/d1"),
    ] {
        assert!(kubectl.ok(line).contains(&format!("{object} created")), "{line}");
        assert!(kubectl.ok(&format!("get {object} -o name")).contains(object), "{line}");
    }
    assert!(kubectl.ok("get configmap c1 -o 'jsonpath={.data.a}'").contains('b'));
    assert!(kubectl.ok("delete cm -l zz=1").contains("No resources found"));
    assert!(kubectl.ok("delete ns n1 --timeout=180s").contains("deleted"));
    assert!(kubectl.run("get ns n1", "").err().contains("NotFound"));
    assert!(kubectl.run("create configmap c1", "").err().contains("already exists"));
    let typo = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typo}\ndatta: {a: b}\n";
    assert!(kubectl.run("apply -f -", typo).err().contains("datta"));
}

#[test]
fn kubectl_reads_logs_and_follows_changes() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    cluster.push("batch");
    kubectl.run("apply -f -", include_str!("../../deploy/examples/batch.yaml")).ok();
    let done = "wait '--for=jsonpath={.status.phase}=Succeeded' pod/batch --timeout=180s";
    assert!(kubectl.ok(done).contains("condition met"));
    assert!(!kubectl.ok("logs batch").is_empty());
    assert_eq!(kubectl.ok("logs batch --tail=1").lines().count(), 1);
    assert!(kubectl.run("logs batch --previous", "").err().contains("previous terminated container"));
    assert!(kubectl.ok("get events").contains("Started"));
    assert!(kubectl.ok("delete pod batch").contains("deleted"));
}
