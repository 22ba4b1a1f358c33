//! Certificates of Pods: how they get them, what they are with them, and when they are nobody any more.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    cluster::{Answer, Cluster},
    kubectl::Kubectl,
    patience::wait_until,
};

/// A Pod that shows its files over HTTP.
const SHOWS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: Pod
metadata: {name: shows}
spec:
  serviceAccountName: robot
  automountServiceAccountToken: false
  containers:
  - name: shows
    image: kv-http:v1
    ports: [{containerPort: 8080}]
    volumeMounts: [{name: who, mountPath: /data}]
  volumes:
  - name: who
    projected:
      sources:
      - podCertificate: {signerName: kubernetes.io/kube-apiserver-client-pod, keyType: ECDSAP256, credentialBundlePath: bundle.pem}
      - podCertificate: {signerName: kubernetes.io/kube-apiserver-client-pod, keyType: ED25519, maxExpirationSeconds: 3600,
          keyPath: tls.key, certificateChainPath: tls.crt}
      - configMap: {name: kube-root-ca.crt}
";

/// A file of the Pod.
fn shown(cluster: &Cluster, file: &str) -> PathBuf {
    let path = cluster.dir().join(file);
    std::fs::write(&path, cluster.shown("shows", file)).unwrap();
    path
}

#[test]
fn a_pod_is_its_account_by_its_certificate_until_it_is_gone() {
    let cluster = Cluster::start();
    cluster.push("kv-http");
    cluster.apply(SHOWS).ok();
    cluster.wait_until_ready("shows");
    let [bundle, key, chain, authority] =
        ["bundle.pem", "tls.key", "tls.crt", "ca.crt"].map(|file| shown(&cluster, file));
    let text = std::fs::read_to_string(&bundle).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "the key comes first");
    assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), 1);
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let server = format!("https://{}:443", cluster.field("service/kubernetes", "/spec/clusterIP"));
    let with = |certificate: &PathBuf, key: &PathBuf, arguments: &str| {
        let mut command = kubectl.command();
        command.args(["--kubeconfig=/dev/null", "--server", &server, "--certificate-authority"]).arg(&authority);
        command.arg("--client-certificate").arg(certificate).arg("--client-key").arg(key);
        command.args(arguments.split_whitespace());
        Answer::of(&mut command, "")
    };
    for (certificate, key) in [(&bundle, &bundle), (&chain, &key)] {
        let me = with(certificate, key, "auth whoami -o json").ok();
        for word in [
            "\"system:serviceaccount:default:robot\"",
            "system:serviceaccounts:default",
            "authentication.kubernetes.io/pod-uid",
            "authentication.kubernetes.io/node-name",
            "X509SHA256=",
            &cluster.field("pod/shows", "/metadata/uid"),
            &cluster.field("serviceaccount/robot", "/metadata/uid"),
        ] {
            assert!(me.contains(word), "{word}: {me}");
        }
        assert!(with(certificate, key, "get secrets").err().contains("system:serviceaccount:default:robot"));
    }
    kubectl.ok("create rolebinding robot --clusterrole=view --serviceaccount=default:robot");
    wait_until("the role", || with(&bundle, &bundle, "get pods").printed());

    let requests = kubectl.ok("get podcertificaterequests");
    for word in ["PODNAME", "SIGNERNAME", "kubernetes.io/kube-apiserver-client-pod", "shows", "Issued"] {
        assert!(requests.contains(word), "{requests}");
    }
    assert_eq!(kubectl.ok("get podcertificaterequests -o name --field-selector spec.podName=shows").lines().count(), 2);
    assert_eq!(
        kubectl.ok("get podcertificaterequests -o name --field-selector spec.nodeName=other").lines().count(),
        0
    );

    kubectl.ok("delete pod shows --grace-period=0 --force --wait=true");
    let gone = Instant::now();
    wait_until("the end of the certificate", || match with(&bundle, &bundle, "get pods").printed() {
        Ok(told) => Err(told),
        Err(why) if why.contains("Unauthorized") || why.contains("must be logged in") => Ok(()),
        Err(other) => Err(other),
    });
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    wait_until("the end of the requests", || match kubectl.ok("get podcertificaterequests -o name") {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    });
}

#[test]
fn a_pod_waits_for_a_signer_and_is_told_when_it_denies() {
    let cluster = Cluster::start();
    cluster.push("kv-http");
    let pod = |name: &str, source: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: a, image: 'kv-http:v1', \
             volumeMounts: [{{name: who, mountPath: /data}}]}}], volumes: [{{name: who, projected: {{sources: [{{podCertificate: \
             {{signerName: example.org/house, credentialBundlePath: a, {source}}}}}]}}}}]}}}}"
        )
    };
    for key_type in ["RSA3072", "ECDSAP521"] {
        let refused = cluster.apply(&pod("a", &format!("keyType: {key_type}"))).err();
        let why = format!("nodes make no keys of type {key_type}; use one of ECDSAP256, ECDSAP384, ED25519");
        assert!(refused.contains(&why), "{refused}");
    }
    cluster.apply(&pod("a", "keyType: ECDSAP384, userAnnotations: {example.org/tier: front}")).ok();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let request = wait_until("the request", || match kubectl.ok("get podcertificaterequests -o name") {
        none if none.is_empty() => Err("none".to_owned()),
        some => Ok(some.trim().to_owned()),
    });
    assert!(kubectl.ok(&format!("get {request} -o yaml")).contains("example.org/tier: front"));
    assert_eq!(cluster.field("pod/a", "/status/phase"), "Pending");
    let denied = "--subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Denied\",\"status\":\"True\",\
                  \"reason\":\"UnsupportedKeyType\",\"message\":\"use-RSA\",\"lastTransitionTime\":\"2026-11-30T00:00:00Z\"}]}}";
    kubectl.ok(&format!("patch {request} {denied}"));
    wait_until("the event", || {
        let events = kubectl.ok("get events --field-selector involvedObject.name=a");
        let all = ["Denied", "was denied", "UnsupportedKeyType", "use-RSA"].iter().all(|word| events.contains(word));
        if all { Ok(()) } else { Err(events) }
    });
    assert_eq!(cluster.field("pod/a", "/status/phase"), "Pending");
    assert_eq!(kubectl.ok("get podcertificaterequests -o name").lines().count(), 1, "nobody asks again");
}
