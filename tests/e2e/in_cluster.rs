//! Programs in Pods and the API: who they are there, what they reach, and what they may.

use crate::{
    cluster::{Answer, Cluster},
    kubectl::Kubectl,
    patience::wait_until,
};

/// A Pod that shows the files of its identity over HTTP, and another one that wants none.
const PODS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: Pod
metadata: {name: shows}
spec:
  serviceAccountName: robot
  containers:
  - name: shows
    image: kv-http:v1
    ports: [{containerPort: 8080}]
    volumeMounts: [{name: kube-api-access-own, mountPath: /data}]
  volumes:
  - name: kube-api-access-own
    projected:
      sources:
      - serviceAccountToken: {path: token}
      - configMap: {name: kube-root-ca.crt}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: quiet}
spec:
  automountServiceAccountToken: false
  containers: [{name: quiet, image: 'kv-http:v1'}]
";

#[test]
fn a_pods_files_are_all_that_a_program_needs_to_be_its_account() {
    let cluster = Cluster::start();
    cluster.push("kv-http");
    cluster.apply(PODS).ok();
    ["shows", "quiet"].into_iter().for_each(|pod| cluster.wait_until_ready(pod));
    let mounted =
        |pod: &str| cluster.kapelle(&format!("get pod {pod} -o json")).ok().contains("kubernetes.io/serviceaccount");
    assert_eq!((mounted("shows"), mounted("quiet")), (true, false));

    let (token, authority) = (cluster.shown("shows", "token"), cluster.shown("shows", "ca.crt"));
    assert_eq!(cluster.shown("shows", "namespace"), "default");
    let file = cluster.dir().join("of-the-pod.crt");
    std::fs::write(&file, authority).unwrap();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    // As in the Pod: at the Service's address, with these files and nothing else.
    let server = format!("https://{}:443", cluster.field("service/kubernetes", "/spec/clusterIP"));
    let as_pod = |arguments: &str| {
        let mut command = kubectl.command();
        let fixed = ["--kubeconfig=/dev/null", "--server", &server, "--token", &token, "--certificate-authority"];
        command.args(fixed).arg(&file).args(arguments.split_whitespace());
        Answer::of(&mut command, "")
    };
    let me = as_pod("auth whoami -o json").ok();
    assert!(me.contains("\"system:serviceaccount:default:robot\"") && me.contains("pod-name"), "{me}");
    let refused = as_pod("get secrets -n kube-system").err();
    assert!(refused.contains("system:serviceaccount:default:robot"), "{refused}");
    kubectl.ok("create rolebinding robot --clusterrole=view --serviceaccount=default:robot");
    wait_until("the role", || as_pod("get pods").printed());
    assert!(as_pod("get secrets").err().contains("forbidden"), "a viewer sees no Secrets");

    kubectl.ok("delete pod shows --wait=true");
    wait_until("the end of the token", || match as_pod("get pods").printed() {
        Ok(told) => Err(told),
        Err(why) if why.contains("Unauthorized") || why.contains("must be logged in") => Ok(()),
        Err(other) => Err(other),
    });
}

#[test]
fn an_operator_works_with_nothing_but_its_role_and_another_instance_takes_over() {
    let cluster = Cluster::start();
    cluster.push("operator");
    let example = include_str!("../../deploy/examples/operator.yaml");
    cluster.apply(example).ok();
    let text = |name: &str| cluster.kapelle(&format!("get configmap {name} -o json")).printed();
    let holds = |name: &str, wanted: &str| {
        wait_until("the ConfigMap of a Greeting", || {
            let told = text(name)?;
            if told.contains(wanted) { Ok(()) } else { Err(told) }
        });
    };
    holds("hello", "Hello from an operator");
    cluster.wait_for_field("greetings.example.com/hello", "/status/configMap", "hello");

    // What changes is answered anew, what goes takes its ConfigMap along.
    let greeting = |name: &str, text: &str| {
        format!("{{apiVersion: example.com/v1, kind: Greeting, metadata: {{name: {name}}}, spec: {{text: {text}}}}}")
    };
    cluster.apply(&greeting("hello", "Changed")).ok();
    holds("hello", "Changed");
    cluster.apply(&greeting("second", "More")).ok();
    holds("second", "More");
    cluster.kapelle("delete greetings.example.com second").ok();
    wait_until("the end of its ConfigMap", || match text("second") {
        Ok(told) => Err(told),
        Err(_) => Ok(()),
    });

    // The other instance takes the Lease when the first one has gone.
    let holder = || cluster.field("lease/greeter", "/spec/holderIdentity");
    let first = holder();
    cluster.kapelle(&format!("delete pod {first}")).ok();
    wait_until("another holder of the Lease", || match holder() {
        same if same == first => Err(same),
        other => Ok(other),
    });
    cluster.apply(&greeting("hello", "Again")).ok();
    holds("hello", "Again");
}

#[test]
fn hundreds_of_pods_that_start_at_once_get_their_tokens() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    let many = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: many}, spec: {replicas: 300,
        selector: {matchLabels: {app: many}}, template: {metadata: {labels: {app: many}},
        spec: {containers: [{name: main, image: 'hello-http:v1'}]}}}}";
    cluster.apply(many).ok();
    cluster.wait_for_field("deployment/many", "/status/readyReplicas", "300");
    let events: serde_json::Value = serde_json::from_str(&cluster.kapelle("get events -o json").ok()).unwrap();
    let failed: Vec<_> =
        events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "Failed").collect();
    assert!(failed.is_empty(), "{} could not start at once: {}", failed.len(), failed[0]["message"]);
}
