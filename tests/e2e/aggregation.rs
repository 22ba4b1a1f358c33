//! A part of the API that a Pod serves, and what a node tells of itself, as `kubectl` sees them.

use std::time::Duration;

use rpc::identity::{Authority, Csr, KeyPair, Subject};

use crate::{cluster::Cluster, kubectl::Kubectl, script::Script};

/// How the backend is called in the certificate.
const HOST: &str = "metrics.kube-system.svc";

/// A certificate for the backend with its key, and that of the authority that signed it, PEM.
fn certificate() -> [String; 3] {
    let (authority, key) = (Authority::found("backend").unwrap(), KeyPair::generate().unwrap());
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let (subject, hosts) = (Subject::Master { member: 1 }, [HOST.to_owned()]);
    let chain = authority.issue(&request, &subject, &hosts, Duration::from_secs(3600)).unwrap();
    [chain, key.to_pem(), authority.certificate_pem().to_owned()]
}

/// Text as it is indented in a manifest.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn kubectl_uses_a_part_of_the_api_that_a_pod_serves() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    cluster.push("metrics-api");
    let script = Script::new("aggregation.txt", &cluster, Some(&kubectl));
    let [chain, key, authority] = certificate();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: metrics, namespace: kube-system}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(&chain),
        indented(&key)
    );
    script.file("secret.yaml", secret);
    script.file("backend.yaml", include_str!("../../deploy/examples/metrics-api.yaml"));
    let bundle = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority);
    script.run(include_str!("scripts/aggregation.txt"), &[("bundle", &bundle), ("contact", &cluster.contact())]);
}
