//! Who is believed: impostors, and those who have left the cluster.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
};

use api::Reason;
use futures::StreamExt as _;
use rpc::{
    Security,
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject},
    services::LogRequest,
};
use serde_json::Value;

use crate::{
    lab::{Lab, sample},
    patience::{PATIENCE, wait_until},
};

const MASTERS: [&str; 3] = ["m1", "m2", "m3"];

/// The status with which a master answers whoever shows a certificate from a directory.
fn asked(lab: &Lab, dir: &Path, master: &str, path: &str) -> String {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (cert, key, ca) = (file("tls.crt"), file("tls.key"), file("ca.crt"));
    let url = format!("https://{}{path}", lab.contact(master));
    let shows = ["--cert", &cert, "--key", &key, "--cacert", &ca, "-o", "/dev/null", "-w", "%{http_code}"];
    lab.on(master, "curl", &[&["-s", "--max-time", "15"], &shows[..], &[url.as_str()]].concat()).stdout
}

/// Masters refuse what stands in a directory, each by itself.
fn all_refuse(lab: &Lab, dir: &Path, masters: &[&str]) {
    for master in masters {
        for path in ["/api/v1/nodes", "/api/v1/namespaces/kube-system/secrets"] {
            wait_until("a refusal", || match asked(lab, dir, master, path).as_str() {
                "401" => Ok(()),
                other => Err(format!("{master} answers {other}")),
            });
        }
    }
}

#[test]
fn nobody_takes_over_the_name_or_address_of_a_node_that_lives() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "x1"]) else { return };
    lab.master("m1", None);
    lab.ready("m1");
    let token = lab.token("m1", "--role worker");
    lab.worker("w1", Some(&token));
    lab.ready("w1");
    let address = lab.address("w1");
    let mut impostor = |token_for: &str, arguments: &[&str], complaint: &str| {
        let (token, dir, join) = (lab.token("m1", token_for), lab.dir("x1"), lab.contact("m1"));
        let dir = dir.to_str().unwrap();
        let fixed = ["worker", "--data-dir", dir, "--join", &join, "--token", &token];
        lab.start("x1", &[&fixed[..], arguments].concat());
        assert!(!lab.ended("x1"), "{complaint}");
        assert!(lab.complaints("x1").contains(complaint), "{}", lab.complaints("x1"));
    };
    impostor("--role worker", &["--node-name", "w1"], "the token is for new ones");
    impostor("--role worker --node-name w1", &["--node-name", "w1"], "is alive");
    impostor("--role worker", &["--node-name", "x1", "--address", &address], "connects from");
    let nodes = lab.kapelle("m1", "get nodes -o wide").ok();
    assert!(nodes.contains("w1") && nodes.contains(&address) && !nodes.contains("x1"), "{nodes}");
}

#[test]
fn a_deleted_node_is_refused_by_every_master_and_comes_back_by_joining_anew() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1"]) else { return };
    lab.three_masters();
    let token = lab.token("m2", "--role worker");
    lab.worker("w1", Some(&token));
    lab.ready("w1");
    let old = lab.file("stolen");
    copy(&lab.dir("w1").join("identity"), &old);
    for master in MASTERS {
        assert_eq!(asked(&lab, &old, master, "/api/v1/nodes"), "200", "{master}");
    }

    lab.kapelle("m3", "delete node w1").ok();

    all_refuse(&lab, &old, &MASTERS);
    assert!(!lab.ended("w1"));
    assert!(lab.complaints("w1").contains("must join anew"), "{}", lab.complaints("w1"));
    // It does not come back by itself.
    lab.worker("w1", None);
    assert!(!lab.ended("w1"));
    assert!(lab.complaints("w1").contains("--node-name w1"), "{}", lab.complaints("w1"));
    assert!(!lab.kapelle("m1", "get nodes").stdout.contains("w1"));
    // With a token it does, from the same directory, and the certificate from before stays worthless.
    let token = lab.token("m1", "--role worker --node-name w1");
    lab.worker("w1", Some(&token));
    lab.ready("w1");
    all_refuse(&lab, &old, &MASTERS);
    assert_eq!(asked(&lab, &lab.dir("w1").join("identity"), "m2", "/api/v1/nodes"), "200");
}

#[test]
fn a_removed_master_is_refused_by_those_who_stay() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3"]) else { return };
    lab.three_masters();
    let (id, leader) = (lab.id("m1", "m3"), wait_until("a leader", || lab.leader("m1")));
    let stays = if leader == "m3" { "m1" } else { leader };
    let dir = masters_identity(&lab, &id);
    for master in MASTERS {
        assert_eq!(asked(&lab, &dir, master, "/api/v1/secrets"), "200", "{master}");
    }

    lab.kapelle(stays, &format!("cluster remove {id}")).ok();

    all_refuse(&lab, &dir, &["m1", "m2"]);
    assert!(!lab.ended("m3"));
}

/// A Pod that says something and lives on.
const ECHO: &str = "
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec: {containers: [{name: echo, image: 'echo-tcp:v1'}]}
";

/// Where a node's agent answers, and who it must be.
fn agent(lab: &Lab, node: &str) -> (String, Subject) {
    let found: Value = serde_json::from_str(&lab.kapelle("m1", &format!("get node {node} -o json")).ok()).unwrap();
    let port = &found["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
    let uid = found["metadata"]["uid"].as_str().unwrap().to_owned();
    (format!("https://{}:{port}", lab.address(node)), Subject::Node { name: node.to_owned(), uid })
}

#[test]
fn a_worker_tells_a_removed_master_nothing() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1"]) else { return };
    lab.three_masters();
    let token = lab.token("m1", "--role worker");
    lab.worker("w1", Some(&token));
    lab.ready("w1");
    lab.kapelle("m1", &format!("push {} echo-tcp:v1", sample("echo-tcp").display())).ok();
    lab.apply("m1", "echo.yaml", ECHO).ok();
    wait_until("a log", || match lab.kapelle("m1", "logs echo").printed()? {
        text if text.contains("listening") => Ok(()),
        text => Err(text),
    });
    let (id, leader) = (lab.id("m1", "m3"), wait_until("a leader", || lab.leader("m1")));
    let stays = if leader == "m3" { "m1" } else { leader };
    let identity = Identity::load(&masters_identity(&lab, &id)).unwrap().unwrap();
    let (url, subject) = agent(&lab, "w1");
    let (told, reads) = mpsc::channel();
    let removed = lab.thread("m3", move || async move {
        let security = Security::TlsWith(Shared::new(identity).unwrap(), subject);
        // Each time over a connection of its own.
        let called = || rpc::node::Agent::at(&url, &security).unwrap();
        let (namespace, pod) = ("default".to_owned(), "echo".to_owned());
        let request = LogRequest { namespace, pod, follow: true, ..LogRequest::default() };
        let mut log = Box::pin(called().read_log(request.clone()).await.unwrap());
        let text = log.next().await.unwrap().unwrap().data;
        told.send(String::from_utf8_lossy(&text).into_owned()).unwrap();
        tokio::time::timeout(PATIENCE, async { while log.next().await.is_some() {} }).await.expect("the log ends");
        let again = async { called().read_log(request).await.map(drop) };
        tokio::time::timeout(PATIENCE, again).await.unwrap().unwrap_err()
    });
    assert!(reads.recv().unwrap().contains("listening"), "a member may read");

    lab.kapelle(stays, &format!("cluster remove {id}")).ok();

    let refused = removed.join().unwrap();
    assert_eq!(refused.reason, Reason::Forbidden, "{refused}");
    assert!(refused.message.contains(&format!("{id} does not belong to the group")), "{refused}");
    assert!(lab.kapelle(stays, "logs echo").ok().contains("listening"), "those who stay may read");
}

/// What a master shows: it makes that itself, with the authority's key.
fn masters_identity(lab: &Lab, id: &str) -> PathBuf {
    let authority = Authority::load(&lab.dir("m3").join("pki")).unwrap().unwrap();
    let member = u64::from_str_radix(id, 16).unwrap();
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let life = std::time::Duration::from_secs(3600);
    let chain = authority.issue(&request, &Subject::Master { member }, &[], life).unwrap();
    let dir = lab.file("master-identity");
    Identity::new(&chain, &key, authority.certificate_pem()).unwrap().store(&dir).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
