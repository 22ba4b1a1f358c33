//! A worker that was broken into, and says what it likes with a certificate that is good.

use std::path::{Path, PathBuf};

use api::{
    Error, Key, Kind, Object, Reason, Subresource, Write,
    core_v1::{Node, Pod, PodIp, Taint},
    kinds::Resource as _,
};
use rpc::{
    Client, Query, Security,
    identity::{Identity, Shared},
};
use serde_json::{Value, json};

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

/// A Pod on each worker, with a Secret that it uses.
fn pods() -> String {
    let on = |worker: &str| {
        format!(
            "---
{{apiVersion: v1, kind: Secret, metadata: {{name: {worker}}}, stringData: {{word: {worker}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {worker}, labels: {{app: web}}}}
spec:
  nodeName: {worker}
  containers:
  - name: main
    image: 'hello-http:v1'
    ports: [{{containerPort: 8080}}]
    env: [{{name: WORD, valueFrom: {{secretKeyRef: {{name: {worker}, key: word}}}}}}]
"
        )
    };
    let service = "---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 8080}]}}
";
    [&on("w1"), &on("w2"), service].concat()
}

/// What must not change: ranges, labels and taints of Nodes, addresses of Pods, and where Services lead.
fn facts(lab: &Lab) -> Value {
    let list = |what: &str| -> Value {
        serde_json::from_str(&lab.kapelle("m1", &format!("get {what} -o json")).ok()).unwrap()
    };
    let of = |what: &str, pointers: &[&str]| -> Vec<Value> {
        let all = list(what)["items"].as_array().unwrap().clone();
        all.iter().map(|item| pointers.iter().map(|pointer| item.pointer(pointer).cloned()).collect()).collect()
    };
    json!([
        of("nodes", &["/metadata/name", "/metadata/labels", "/spec", "/status/addresses"]),
        of("pods", &["/metadata/name", "/metadata/labels", "/status/podIP", "/status/podIPs", "/spec/nodeName"]),
        of(
            "endpointslices -l kubernetes.io/service-name=web",
            &["/endpoints/0/addresses", "/endpoints/1/addresses", "/endpoints/2/addresses"],
        ),
    ])
}

struct Story {
    lab: Lab,
    /// The certificate of the first worker.
    identity: PathBuf,
    /// The address of the other worker's Pod.
    foreign: String,
}

impl Story {
    fn begin() -> Option<Self> {
        let lab = Lab::of_one(&["w1", "w2"])?;
        lab.kapelle("m1", &format!("push {} hello-http:v1", sample("hello-http").display())).ok();
        lab.apply("m1", "pods.yaml", &pods()).ok();
        let known = wait_until("two endpoints", || match facts(&lab) {
            // Taints from the beginning go when the routes are there. Pods are looked at before their endpoints are, and may have
            // had no addresses then.
            known
                if known[2][0][1].is_array()
                    && [0, 1].iter().all(|pod| known[1][pod][2].is_string())
                    && !known[0].to_string().contains("taints") =>
            {
                Ok(known)
            }
            known => Err(known.to_string()),
        });
        let foreign = known[1][1][2].as_str().unwrap().to_owned();
        let identity = lab.dir("w1").join("identity");
        Some(Self { lab, identity, foreign })
    }

    /// What a master answers to the worker over REST.
    fn asks(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let file = |name: &str| path_text(&self.identity.join(name));
        let (cert, key, ca) = (file("tls.crt"), file("tls.key"), file("ca.crt"));
        let url = format!("https://{}{path}", self.lab.contact("m1"));
        let shows = ["-s", "--max-time", "15", "--cert", &cert, "--key", &key, "--cacert", &ca];
        let says = ["-X", method, "-H", "Content-Type: application/merge-patch+json", "-d", body];
        let says: &[&str] = if method == "GET" { &[] } else { &says };
        let answer = self.lab.on("w1", "curl", &[&shows[..], says, &["-w", "\n%{http_code}", &url]].concat()).stdout;
        let (text, status) = answer.rsplit_once('\n').unwrap();
        (status.to_owned(), text.to_owned())
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_worker_that_lies_over_rest_changes_nothing() {
    let Some(story) = Story::begin() else { return };
    let before = facts(&story.lab);
    let (pod, own, other) =
        ("/api/v1/namespaces/default/pods/w1/status", "/api/v1/nodes/w1", "/api/v1/nodes/w2/status");
    let foreign = json!({"status": {"podIP": story.foreign, "podIPs": [{"ip": story.foreign}]}}).to_string();
    let everything = r#"{"spec":{"podCIDR":"0.0.0.0/1","podCIDRs":["0.0.0.0/1"]}}"#;
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"w9"},"spec":{"podCIDR":"0.0.0.0/1"}}"#;
    for (method, path, body, status, word) in [
        ("PATCH", pod, r#"{"status":{"podIP":"127.0.0.1"}}"#, "403", "status.podIP: 127.0.0.1"),
        ("PATCH", pod, r#"{"status":{"podIPs":[{"ip":"127.0.0.1"}]}}"#, "403", "status.podIPs: 127.0.0.1"),
        ("PATCH", pod, r#"{"status":{"hostIP":"127.0.0.1"}}"#, "403", "status.hostIP: 127.0.0.1"),
        ("PATCH", pod, foreign.as_str(), "403", "not within this node's range"),
        ("PATCH", "/api/v1/namespaces/default/pods/w2/status", r#"{"status":{"phase":"Failed"}}"#, "404", "not found"),
        ("DELETE", "/api/v1/namespaces/default/pods/w2", "", "404", "not found"),
        ("PATCH", own, everything, "403", "labels, taints and ranges are administrators'"),
        ("PATCH", own, r#"{"metadata":{"labels":{"a":"b"}}}"#, "403", "labels, taints and ranges are administrators'"),
        ("PATCH", own, r#"{"spec":{"taints":[]}}"#, "403", "labels, taints and ranges are administrators'"),
        (
            "PATCH",
            "/api/v1/nodes/w1/status",
            r#"{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}]}}"#,
            "403",
            "InternalIP 127.0.0.1 is not where this node calls from",
        ),
        ("PATCH", other, r#"{"status":{"phase":"x"}}"#, "403", "a node may only change its own status"),
        ("POST", "/api/v1/nodes", node, "403", "masters make the Node of a worker"),
        ("GET", "/api/v1/namespaces/default/secrets/w2", "", "403", "no Pod of this node uses it"),
        ("GET", "/api/v1/namespaces/default/secrets/none", "", "403", "no Pod of this node uses it"),
        ("GET", "/api/v1/secrets", "", "403", "only get what its Pods use, by name"),
        ("GET", "/api/v1/namespaces/default/secrets/w1", "", "200", "data"),
        // What a status is sent along with is no part of it, and does not count.
        ("PATCH", "/api/v1/nodes/w1/status", everything, "200", "w1"),
        ("PATCH", "/api/v1/nodes/w1/status", r#"{"metadata":{"labels":{"a":"b"}}}"#, "200", "w1"),
    ] {
        let (answered, text) = story.asks(method, path, body);
        assert_eq!(answered, status, "{method} {path} {body}: {text}");
        assert!(text.contains(word), "{method} {path} {body}: {text}");
    }
    assert_eq!(facts(&story.lab), before);
}

/// The writes that a worker may not make, and what is said to each.
async fn lies(client: &Client, foreign: &str) -> Vec<(Write, Reason, &'static str)> {
    let pod = |name: &str| Key::namespaced(Kind::Pod, "default", name);
    let own: Pod = client.get(&pod("w1")).await.unwrap().get::<Pod>().unwrap().clone();
    let at = |ip: &str| {
        let mut pod = own.clone();
        pod.metadata_mut().resource_version.clear();
        let status = pod.status.get_or_insert_default();
        ip.clone_into(&mut status.pod_ip);
        status.pod_ips = vec![PodIp { ip: ip.to_owned() }];
        pod
    };
    let mut others = at("127.0.0.1");
    "w2".clone_into(&mut others.metadata_mut().name);
    let mut node: Node = client.get(&Key::cluster(Kind::Node, "w1")).await.unwrap().get::<Node>().unwrap().clone();
    node.metadata_mut().resource_version.clear();
    let (mut wide, mut tainted, mut labelled, mut other) = (node.clone(), node.clone(), node.clone(), node.clone());
    "0.0.0.0/1".clone_into(&mut wide.spec.get_or_insert_default().pod_cidr);
    wide.spec.get_or_insert_default().pod_cidrs = vec!["0.0.0.0/1".to_owned()];
    let taint = Taint { key: "a".to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
    tainted.spec.get_or_insert_default().taints.push(taint);
    labelled.metadata_mut().labels.insert("a".to_owned(), "b".to_owned());
    "w2".clone_into(&mut other.metadata_mut().name);
    let status = |object: Object| Write::Update(object, Subresource::Status);
    let whole = |node: Node| Write::Update(node.into(), Subresource::None);
    let (range, admins) = ("within this node's range", "labels, taints and ranges are administrators'");
    vec![
        (status(at("127.0.0.1").into()), Reason::Forbidden, range),
        (status(at(foreign).into()), Reason::Forbidden, range),
        (status(others.into()), Reason::NotFound, "not found"),
        (status(other.into()), Reason::Forbidden, "a node may only change its own status"),
        (whole(wide), Reason::Forbidden, admins),
        (whole(tainted), Reason::Forbidden, admins),
        (whole(labelled), Reason::Forbidden, admins),
    ]
}

fn check(write: &Write, answer: Result<(), Error>, (reason, word): (Reason, &str)) {
    let error = answer.expect_err(&format!("{write:?}"));
    assert_eq!(error.reason, reason, "{write:?}: {error}");
    assert!(error.message.contains(word), "{write:?}: {error}");
}

#[test]
fn a_worker_that_lies_over_grpc_changes_nothing() {
    let Some(story) = Story::begin() else { return };
    let before = facts(&story.lab);
    let identity = Identity::load(&story.identity).unwrap().unwrap();
    let (url, foreign) = (format!("https://{}", story.lab.contact("m1")), story.foreign.clone());
    let told = story.lab.thread("w1", move || async move {
        let client = Client::connect_with(&[url], Security::Tls(Shared::new(identity).unwrap())).unwrap();
        let lies = lies(&client, &foreign).await;
        for (write, reason, word) in &lies {
            let Write::Update(object, part) = write else { panic!("an update") };
            check(write, client.update(object.clone(), *part).await.map(drop), (*reason, word));
        }
        let all = client.batch(lies.iter().map(|(write, ..)| write.clone()).collect()).await.unwrap();
        for ((write, reason, word), outcome) in lies.iter().zip(all) {
            check(write, outcome.map(drop), (*reason, word));
        }
        let secret = |name: &str| Key::namespaced(Kind::Secret, "default", name);
        assert!(client.get(&secret("w1")).await.is_ok());
        assert_eq!(client.get(&secret("w2")).await.unwrap_err().reason, Reason::Forbidden);
        assert_eq!(client.list(&Query::all(Kind::Secret)).await.unwrap_err().reason, Reason::Forbidden);
    });
    told.join().unwrap();
    assert_eq!(facts(&story.lab), before);
}
