//! Requests for certificates by REST, step by step as Kubernetes' own conformance suite asks.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rpc::identity::Authority;

use super::{Body, Server, TABLE, Value, json, start};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

const MERGE: &[&str] = &["content-type: application/merge-patch+json"];

/// The request of the kind's own sample, for a signer that is not the cluster's.
fn template() -> Value {
    let sample = api::yaml::documents(api::Kind::CertificateSigningRequest.sample()).unwrap().remove(0);
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "generateName": "e2e-example-csr-" },
        "spec": {
            "request": sample["spec"]["request"].as_str().unwrap().replace('\n', ""),
            "signerName": "example.com/e2e", "expirationSeconds": 3600,
            "usages": ["digital signature", "key encipherment", "server auth"],
        },
    })
}

async fn count(server: &Server) -> usize {
    let listed = server.get(&format!("{REQUESTS}?fieldSelector=spec.signerName=example.com/e2e")).await;
    listed.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_group_and_its_parts_are_discovered() {
    let server = start().await;
    let group = server.get("/apis/certificates.k8s.io").await.json();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let resources = server.get("/apis/certificates.k8s.io/v1").await.json();
    let resources = resources["resources"].as_array().unwrap();
    let verbs = |name: &str| resources.iter().find(|resource| resource["name"] == name).unwrap()["verbs"].to_string();
    let all = r#"["create","delete","deletecollection","get","list","patch","update","watch"]"#;
    assert_eq!(verbs("certificatesigningrequests"), all);
    for part in ["approval", "status"] {
        assert_eq!(verbs(&format!("certificatesigningrequests/{part}")), r#"["get","patch","update"]"#);
    }
}

#[tokio::test]
async fn a_request_is_made_approved_signed_and_deleted() {
    let server = start().await;
    server.post(REQUESTS, &template()).await;
    server.post(REQUESTS, &template()).await;
    let created = server.post(REQUESTS, &template()).await;
    assert_eq!(
        created.shows(&["/spec/expirationSeconds", "/spec/username"]),
        (201, vec![json!(3600), json!("tester")])
    );
    let (name, uid) = (created.json()["metadata"]["name"].clone(), created.json()["metadata"]["uid"].clone());
    let path = format!("{REQUESTS}/{}", name.as_str().unwrap());
    assert_eq!(server.get(&path).await.shows(&["/metadata/uid"]), (200, vec![uid.clone()]));
    assert_eq!(count(&server).await, 3);
    let mut watch =
        server.watch(&format!("{REQUESTS}?watch=1&fieldSelector=metadata.name={}", name.as_str().unwrap()), &[]).await;
    let patch = json!({ "metadata": { "annotations": { "patched": "true" } }, "spec": { "username": "root" } });
    let patched = server.ask(&format!("PATCH {path}"), MERGE, patch.to_string()).await;
    let shown = patched.shows(&["/metadata/annotations/patched", "/spec/username"]);
    assert_eq!(shown, (200, vec![json!("true"), json!("tester")]));
    while watch.next().await.unwrap()["object"]["metadata"]["annotations"]["patched"] != "true" {}

    let (approval, status) = (format!("{path}/approval"), format!("{path}/status"));
    let got = server.get(&approval).await;
    assert_eq!(got.shows(&["/kind", "/metadata/uid"]), (200, vec![json!("CertificateSigningRequest"), uid.clone()]));
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "E2E" });
    let patch = json!({
        "metadata": { "annotations": { "patchedapproval": "true" } },
        "status": { "conditions": [condition("ApprovalPatch")] },
    });
    let patched = server.ask(&format!("PATCH {approval}"), MERGE, patch.to_string()).await;
    let shown = patched.shows(&["/metadata/annotations/patchedapproval", "/status/conditions/0/type"]);
    assert_eq!(shown, (200, vec![json!("true"), json!("ApprovalPatch")]));
    let mut update = patched.json();
    update["status"]["conditions"].as_array_mut().unwrap().push(condition("Approved"));
    update["spec"]["signerName"] = "kubernetes.io/kube-apiserver-client".into();
    let updated = server.ask(&format!("PUT {approval}"), &[], update.to_string()).await;
    let shown = updated.shows(&["/status/conditions/1/type", "/spec/signerName"]);
    assert_eq!(shown, (200, vec![json!("Approved"), json!("example.com/e2e")]));

    assert_eq!(server.get(&status).await.shows(&["/metadata/uid"]), (200, vec![uid]));
    let certificate = BASE64_STANDARD.encode(Authority::found("e2e").unwrap().certificate_pem());
    let patch = json!({
        "metadata": { "annotations": { "patchedstatus": "true" } }, "status": { "certificate": certificate },
    });
    let patched = server.ask(&format!("PATCH {status}"), MERGE, patch.to_string()).await;
    let shown = patched.shows(&["/metadata/annotations/patchedstatus", "/status/certificate"]);
    assert_eq!(shown, (200, vec![json!("true"), json!(certificate)]));
    let mut update = patched.json();
    update["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
    let updated = server.ask(&format!("PUT {status}"), &[], update.to_string()).await;
    assert_eq!(updated.shows(&["/status/conditions/2/type"]), (200, vec![json!("StatusUpdate")]));
    let table = server.ask(&format!("GET {path}"), &[&format!("accept: {TABLE}")], Body::empty()).await.json();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[2..], [json!("example.com/e2e"), json!("tester"), json!("60m"), json!("Approved,Issued")]);

    assert_eq!(server.ask(&format!("DELETE {path}"), &[], Body::empty()).await.code, 200);
    assert_eq!(server.get(&path).await.code, 404);
    assert_eq!(count(&server).await, 2);
    let all = format!("DELETE {REQUESTS}?fieldSelector=spec.signerName=example.com/e2e");
    assert_eq!(server.ask(&all, &[], Body::empty()).await.code, 200);
    assert_eq!(count(&server).await, 0);
}

#[tokio::test]
async fn what_else_is_known_of_who_asks_is_a_list_of_texts() {
    let server = start().await;
    let mut sent = template();
    sent["spec"]["extra"] = json!({ "a": ["b", "c"] });
    let created = server.post(REQUESTS, &sent).await;
    assert_eq!(created.shows(&["/spec/extra"]), (201, vec![Value::Null]), "nothing is known of an administrator");
    sent["spec"]["extra"] = json!({ "a": "b" });
    assert_eq!(server.post(REQUESTS, &sent).await.code, 400);
}
