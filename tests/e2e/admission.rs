//! Webhooks and policies, as users of `kubectl` and `kapelle` meet them.

use std::{convert::Infallible, process::Command, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rpc::identity::{Authority, Csr, Identity, KeyPair, Shared, Subject};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{cluster::Cluster, kubectl::Kubectl, patience::wait_until};

/// Serves a webhook that labels objects, from a thread of its own for as long as the tests run. Answers its port and the
/// authority that signed its certificate.
fn labelling_webhook() -> (u16, String) {
    let authority = Authority::found("webhooks").unwrap();
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let (subject, host) = (Subject::Master { member: 1 }, "127.0.0.1".to_owned());
    let chain = authority.issue(&request, &subject, &[host], Duration::from_secs(3600)).unwrap();
    let identity = Shared::new(Identity::new(&chain, &key, authority.certificate_pem()).unwrap()).unwrap();
    let acceptor = TlsAcceptor::from(identity.server(&[b"http/1.1"]).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service_fn(label)).await;
                });
            }
        });
    });
    (port, STANDARD.encode(authority.certificate_pem()))
}

async fn label(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]);
    let response = json!({
        "uid": review["request"]["uid"], "allowed": true, "warnings": ["labelled"],
        "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string()),
    });
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::from(answer.to_string())))
}

#[test]
fn a_webhook_changes_what_kubectl_and_kapelle_write() {
    let cluster = Cluster::start();
    let (port, ca_bundle) = labelling_webhook();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "label"},
        "webhooks": [{
            "name": "label.example.com", "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": ca_bundle},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    });
    cluster.apply(&configuration.to_string()).ok();
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: \"1\"}}").ok();
    assert_eq!(cluster.field("configmap/a", "/metadata/labels/seen"), "yes");
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let created = kubectl.run("create configmap b --from-literal=x=1", "");
    assert!(created.stderr.contains("Warning: labelled"), "{}", created.stderr);
    assert_eq!(kubectl.ok("get configmap b -o 'jsonpath={.metadata.labels.seen}'"), "yes");
}

#[test]
fn a_pod_of_the_cluster_serves_a_webhook() {
    let cluster = Cluster::start();
    cluster.push("webhook");
    cluster.apply(include_str!("../../deploy/examples/webhook.yaml")).ok();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples/webhook.sh");
    let made = Command::new(script).output().unwrap();
    if !made.status.success() {
        eprintln!("no certificate, so this is not tried: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    cluster.apply(std::str::from_utf8(&made.stdout).unwrap()).ok();
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: owned}}";
    // Until its Pod is ready nobody answers for it, and so nothing is let in.
    wait_until("an answer of the webhook", || cluster.apply(map).printed().map(drop));
    assert_eq!(cluster.field("configmap/a -n owned", "/metadata/labels/team"), "nobody");
    let service = |name: &str, labels: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: owned, labels: {labels}}}, spec: {{ports: [{{port: 80}}]}}}}"
        )
    };
    let refused = cluster.apply(&service("s", "{}")).err();
    let why = "admission webhook \"require.owners.example.com\" denied the request: set the label \"team\"";
    assert!(refused.contains(why), "{refused}");
    cluster.apply(&service("s", "{team: shop}")).ok();
    cluster.apply(&service("s", "{}").replace("owned", "default")).ok();
    assert!(cluster.kapelle("logs deployment/webhook").ok().contains("labelled a"));
    // Its TLS is spoken by the proxy of the API as well.
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let page = "get --raw /api/v1/namespaces/default/services/https:webhook:443/proxy/";
    assert!(kubectl.ok(page).contains("an admission webhook"));
    let plain = kubectl.run(&page.replace("https:", "http:"), "").err();
    assert!(plain.contains("error trying to reach"), "{plain}");
}

#[test]
fn a_policy_refuses_what_breaks_its_rules() {
    let cluster = Cluster::start();
    cluster.apply(include_str!("../../deploy/examples/policy.yaml")).ok();
    let many = include_str!("../../deploy/examples/hello.yaml").replace("replicas: 3", "replicas: 6");
    assert!(many.contains("replicas: 6"), "the example has as many replicas as is written here");
    let refused = cluster.apply(&many).err();
    let why =
        "ValidatingAdmissionPolicy 'deployments' with binding 'deployments' denied request: at most 5 replicas, not 6";
    assert!(refused.contains(why), "{refused}");
    cluster.apply(include_str!("../../deploy/examples/hello.yaml")).ok();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let refused = kubectl.run("create deployment other --image=example.com/hello:1", "").err();
    assert!(refused.contains("images come from the cluster's own registry"), "{refused}");
}
