//! Workers that die, fall silent, come back, or start while no master answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use api::{
    Change, ChangeType, Key, Kind, Object, Revision,
    conditions::{self, ConditionStatus},
    core_v1::Node,
    discovery_v1::EndpointSlice,
    kinds::Resource as _,
};
use futures::StreamExt as _;

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

const HELLO: &str = include_str!("../../deploy/examples/hello.yaml");

/// How many endpoints of each node are ready.
type Ready = BTreeMap<String, usize>;

/// What the masters said, as it changed.
#[derive(Clone, Default)]
struct Tables(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The endpoints, and at which revision they were so.
    endpoints: Vec<(Instant, Revision, Ready)>,
    /// At which revision a node was first given up.
    given_up: BTreeMap<String, Revision>,
}

impl Tables {
    /// Watches from a host until the process ends.
    fn watch(lab: &Lab, host: &str) -> Self {
        let tables = Self::default();
        let shared = tables.clone();
        let _ends_with_the_test = lab.client(host, &["m1", "m2", "m3"], move |client| async move {
            let watch = |kind| client.watch(rpc::Query::all(kind), None).boxed();
            let mut updates = futures::stream::select(watch(Kind::EndpointSlice), watch(Kind::Node));
            let mut slices = BTreeMap::new();
            while let Some(Ok(update)) = updates.next().await {
                let rpc::Update::Changes(changes) = update else { continue };
                shared.0.lock().unwrap().take(&mut slices, &changes);
            }
        });
        tables
    }

    /// Waits until so many of a node's endpoints are ready; answers when that was first so, from a time on.
    #[track_caller]
    fn until(&self, node: &str, from: Instant, holds: impl Fn(usize) -> bool) -> (Duration, Revision) {
        wait_until(&format!("the endpoints of {node}"), || {
            let seen = self.0.lock().unwrap();
            let found = seen.endpoints.iter().find(|(at, _, ready)| *at >= from && holds(of(ready, node)));
            let found = found.map(|(at, revision, _)| (at.duration_since(from), *revision));
            found.ok_or_else(|| format!("{:?}", seen.endpoints.last()))
        })
    }

    /// Whether a node was given up before a revision.
    fn was_given_up(&self, node: &str, before: Revision) -> bool {
        self.0.lock().unwrap().given_up.get(node).is_some_and(|revision| *revision < before)
    }
}

impl Seen {
    fn take(&mut self, slices: &mut BTreeMap<Key, Arc<Object>>, changes: &[Change]) {
        for Change { change, object, revision } in changes {
            match (object.get::<Node>(), change) {
                (Some(node), _) if is_given_up(node) => {
                    self.given_up.entry(node.name().to_owned()).or_insert(*revision);
                }
                (Some(_), _) => {}
                (None, ChangeType::Deleted) => drop(slices.remove(&object.key())),
                (None, _) => drop(slices.insert(object.key(), object.clone())),
            }
            let all = slices.values().filter_map(|object| object.get::<EndpointSlice>());
            self.endpoints.push((Instant::now(), *revision, ready(all)));
        }
    }
}

/// Whether the Pods of a node are to go elsewhere.
fn is_given_up(node: &Node) -> bool {
    node.spec.iter().flat_map(|spec| &spec.taints).any(|taint| taint.effect == "NoExecute")
}

fn of(ready: &Ready, node: &str) -> usize {
    ready.get(node).copied().unwrap_or(0)
}

fn ready<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Ready {
    let mut count = BTreeMap::new();
    for endpoint in slices.flat_map(|slice| &slice.endpoints) {
        if endpoint.conditions.is_some_and(|conditions| conditions.ready()) {
            *count.entry(endpoint.node_name().to_owned()).or_default() += 1;
        }
    }
    count
}

/// Three masters, some workers, and a Service whose Pods are on all of them. Answers its URL.
fn cluster(lab: &mut Lab, workers: &[&str], replicas: usize) -> String {
    lab.three_masters();
    for worker in workers {
        let token = lab.token("m1", &format!("--role worker --node {worker}"));
        lab.worker(worker, Some(&token));
        lab.ready(worker);
    }
    lab.kapelle("m1", &format!("push {} hello-http:v1", sample("hello-http").display())).ok();
    lab.apply("m1", "hello.yaml", &HELLO.replace("replicas: 3", &format!("replicas: {replicas}"))).ok();
    lab.kapelle("m1", "rollout status deployment/hello --timeout=120s").ok();
    let service: serde_json::Value =
        serde_json::from_str(&lab.kapelle("m1", "get service hello -o json").ok()).unwrap();
    format!("http://{}:8080/", service["spec"]["clusterIP"].as_str().unwrap())
}

fn uids(lab: &Lab) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&lab.kapelle("m1", "get pods -o json").ok()).unwrap();
    list["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["uid"].to_string()).collect()
}

#[test]
fn a_dead_node_leaves_the_tables_at_once_and_a_silent_one_in_seconds() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "w2", "w3", "c1"]) else { return };
    cluster(&mut lab, &["w1", "w2", "w3"], 9);
    let before = uids(&lab);
    let tables = Tables::watch(&lab, "c1");
    let beginning = Instant::now();
    for worker in ["w1", "w2", "w3"] {
        tables.until(worker, beginning, |ready| ready > 0);
    }

    let measure = |lab: &mut Lab, worker: &str, what: &str, hurt: &dyn Fn(&mut Lab), heal: &dyn Fn(&mut Lab)| {
        let hurt_at = Instant::now();
        hurt(lab);
        let (gone, revision) = tables.until(worker, hurt_at, |ready| ready == 0);
        let heal_at = Instant::now();
        heal(lab);
        let (back, _) = tables.until(worker, heal_at, |ready| ready > 0);
        println!("{what}: gone after {} ms, back after {} ms", gone.as_millis(), back.as_millis());
        // Users are promised one second after a kill and three after silence, which the tests of `control` hold in virtual
        // time. Whatever the machine: long before the node is given up.
        assert!(!tables.was_given_up(worker, revision), "{what}: gone after {gone:?}");
    };
    measure(&mut lab, "w1", "killed", &|lab| lab.kill("w1"), &|lab| lab.worker("w1", None));
    measure(&mut lab, "w2", "cut off", &|lab| lab.cut("w2", true), &|lab| lab.cut("w2", false));
    measure(&mut lab, "w3", "stopped", &|lab| lab.signal("w3", "STOP"), &|lab| lab.signal("w3", "CONT"));
    assert_eq!(uids(&lab), before, "no Pod was replaced");
}

#[test]
fn a_leader_that_is_cut_off_and_the_one_after_it_give_up_nobody() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "w2", "c1"]) else { return };
    lab.three_masters();
    for worker in ["w1", "w2"] {
        let token = lab.token("m1", &format!("--role worker --node {worker}"));
        lab.worker(worker, Some(&token));
        lab.ready(worker);
    }
    let lost: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = lost.clone();
    let _ends_with_the_test = lab.client("c1", &["m1", "m2", "m3"], move |client| async move {
        let mut nodes = Box::pin(client.watch(rpc::Query::all(Kind::Node), None));
        while let Some(Ok(update)) = nodes.next().await {
            let rpc::Update::Changes(changes) = update else { continue };
            for node in changes.iter().filter_map(|change| change.object.get::<Node>()) {
                let ready = node.status.as_ref().and_then(|status| conditions::get(&status.conditions, "Ready"));
                if ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown.word()) {
                    shared.lock().unwrap().push(node.name().to_owned());
                }
            }
        }
    });
    let leader = wait_until("a leader", || lab.leader("m1"));
    let other = *["m1", "m2", "m3"].iter().find(|master| **master != leader).unwrap();

    lab.cut(leader, true);
    wait_until("another leader", || match lab.leader(other) {
        Ok(new) if new != leader => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    lab.cut(leader, false);
    wait_until("the old leader to follow", || match lab.leader(leader) {
        Ok(new) if new != leader => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    // A node that is really lost shows that somebody judges by now.
    lab.kill("w2");
    wait_until("the judgement", || lost.lock().unwrap().first().cloned().ok_or_else(|| "none".to_owned()));
    assert!(lost.lock().unwrap().iter().all(|node| node == "w2"), "{lost:?}");
}

/// The Service's Pods, whose version comes from a Secret.
fn from_secret() -> String {
    let literal = "          value: v1\n";
    assert!(HELLO.contains(literal), "the example says its version as before");
    let source = "          valueFrom: {secretKeyRef: {name: version, key: v}}\n";
    let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: version}, stringData: {v: kept}}\n";
    format!("{}{secret}", HELLO.replace(literal, source))
}

#[test]
fn a_worker_that_starts_without_masters_starts_what_it_last_knew() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "w2"]) else { return };
    let url = cluster(&mut lab, &["w1", "w2"], 4);
    lab.apply("m1", "secret.yaml", &from_secret().replace("replicas: 3", "replicas: 4")).ok();
    lab.kapelle("m1", "rollout status deployment/hello --timeout=120s").ok();
    let answers = |lab: &Lab| {
        for worker in ["w1", "w2"] {
            let answer = wait_until("an answer on every node", || lab.get(worker, &url));
            assert!(answer.contains("version kept"), "{answer}");
        }
    };
    answers(&lab);
    let before = uids(&lab);
    wait_until("what is known to be on disk", || {
        let kept = |worker: &str, what: &str| lab.dir(worker).join("node/memory").join(what).exists();
        let all = ["w1", "w2"].iter().all(|worker| kept(worker, "Pod") && kept(worker, "used/Secret.default.version"));
        if all { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let stamps = |lab: &Lab| {
        ["w1", "w2"]
            .map(|worker| std::fs::metadata(lab.dir(worker).join("node/memory/Pod")).unwrap().modified().unwrap())
    };
    let mut last = (stamps(&lab), Instant::now());
    wait_until("nothing more to be written", || {
        let now = stamps(&lab);
        if now != last.0 {
            last = (now, Instant::now());
        }
        if last.1.elapsed() > Duration::from_secs(3) { Ok(()) } else { Err("it is written still".to_owned()) }
    });

    for host in ["m1", "m2", "m3", "w1", "w2"] {
        lab.kill(host);
    }
    assert!(lab.get("w1", &url).is_err(), "nothing runs any more");
    for worker in ["w1", "w2"] {
        lab.worker(worker, None);
        lab.ready(worker);
    }
    answers(&lab);

    for master in ["m1", "m2", "m3"] {
        lab.master(master, None);
    }
    for master in ["m1", "m2", "m3"] {
        lab.ready(master);
    }
    assert_eq!(uids(&lab), before, "no Pod was replaced");
    lab.kapelle("m1", "delete deployment/hello").ok();
    wait_until("what was deleted to end", || match lab.get("w1", &url) {
        Err(_) => Ok(()),
        Ok(answer) => Err(answer),
    });
}

/// A condition of a node: its status, reason and message.
fn condition(lab: &Lab, node: &str, kind: &str) -> Result<String, String> {
    let node: serde_json::Value =
        serde_json::from_str(&lab.kapelle("m1", &format!("get node {node} -o json")).printed()?)
            .map_err(|error| error.to_string())?;
    let all = node["status"]["conditions"].as_array().ok_or("no conditions")?;
    let found = all.iter().find(|condition| condition["type"] == kind).ok_or("no such condition")?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok(format!("{} {}: {}", text("status"), text("reason"), text("message")))
}

#[track_caller]
fn until_condition(lab: &Lab, node: &str, kind: &str, wanted: &str) -> String {
    wait_until(&format!("{kind} of {node} to be {wanted}"), || match condition(lab, node, kind)? {
        told if told.starts_with(wanted) => Ok(told),
        other => Err(other),
    })
}

#[test]
fn a_worker_without_routes_says_so_and_so_does_one_that_others_do_not_reach() {
    let Some(mut lab) = Lab::new(&["m1", "w1", "w2", "w3", "w4"]) else { return };
    lab.master("m1", None);
    lab.ready("m1");
    for worker in ["w1", "w2"] {
        lab.worker_of_one(worker, &[], "");
    }
    for worker in ["w1", "w2"] {
        until_condition(&lab, worker, "NetworkUnavailable", "False");
    }

    let unprivileged = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    lab.worker_of_one("w3", &unprivileged, "");
    let told = until_condition(&lab, "w3", "NetworkUnavailable", "True RoutesFailed");
    assert!(told.contains("CAP_NET_ADMIN"), "{told}");

    // An address that is on no network of the others.
    lab.on("w4", "ip", &["addr", "add", "10.66.0.1/32", "dev", "lo"]).ok();
    lab.worker_of_one("w4", &[], "--address 10.66.0.1");
    // More than half of the others are enough for the condition, whichever look first; the rest say so later.
    let unreached = "True NoRouteFromNodes: w1, w2";
    until_condition(&lab, "w4", "NetworkUnavailable", unreached);
    assert!(condition(&lab, "w1", "NetworkUnavailable").unwrap().starts_with("False"), "one node is not all");
    let taints = lab.kapelle("m1", "get node w4 -o json").ok();
    assert!(taints.contains("node.kubernetes.io/network-unavailable"), "{taints}");

    // A route that somebody takes away comes back.
    let routes = |lab: &Lab| lab.on("w1", "ip", &["route", "show", "proto", "75"]).stdout;
    let before = routes(&lab);
    assert!(before.contains("via"), "{before}");
    lab.on("w1", "ip", &["route", "flush", "proto", "75"]).ok();
    wait_until("the routes", || if routes(&lab) == before { Ok(()) } else { Err(routes(&lab)) });
}

#[test]
fn ranges_that_overlap_are_refused() {
    let Some(mut lab) = Lab::new(&["m1", "w1"]) else { return };
    let (dir, contact) = (lab.dir("m1"), lab.contact("m1"));
    let start = ["master", "--data-dir", dir.to_str().unwrap(), "--listen", &contact];
    lab.start("m1", &[&start[..], &["--pod-cidr", "10.96.0.0/16"]].concat());
    assert!(!lab.ended("m1"));
    assert!(lab.complaints("m1").contains("overlap"), "{}", lab.complaints("m1"));

    // Another network of the worker's host lies within the range of Pods.
    lab.start("m1", &[&start[..], &["--pod-cidr", "10.64.0.0/14", "--node-cidr-mask-size", "22"]].concat());
    lab.ready("m1");
    lab.on("w1", "ip", &["addr", "add", "10.66.0.1/24", "dev", "eth0"]).ok();
    lab.worker_of_one("w1", &[], "");
    assert!(!lab.ended("w1"));
    assert!(lab.complaints("w1").contains("overlaps 10.66.0.0/24"), "{}", lab.complaints("w1"));
}

/// A Node whose Pods would have half of all addresses, and a Service that leads to the loopback of whoever asks.
fn astray(lab: &Lab) -> String {
    let address = lab.address("w2");
    format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: all}}
spec: {{podCIDR: 0.0.0.0/1, podCIDRs: [0.0.0.0/1]}}
status: {{addresses: [{{type: InternalIP, address: {address}}}]}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: own}}, spec: {{ports: [{{port: 80}}]}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: own-1, labels: {{kubernetes.io/service-name: own}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{port: 7777}}]
"
    )
}

#[test]
fn what_would_lead_a_host_astray_is_not_believed_and_is_told() {
    let Some(lab) = Lab::of_one(&["w1", "w2"]) else { return };
    let routes = |lab: &Lab| lab.on("w1", "ip", &["route", "show", "proto", "75"]).stdout;
    let before = wait_until("a route to the other node", || match routes(&lab) {
        found if found.contains("via") => Ok(found),
        found => Err(found),
    });
    let _ends_with_the_test = lab.thread("w1", || async {
        let daemon = tokio::net::TcpListener::bind("127.0.0.1:7777").await.unwrap();
        while let Ok((mut stream, _)) = daemon.accept().await {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhost";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });

    lab.apply("m1", "astray.yaml", &astray(&lab)).ok();

    for (reason, word) in [("RangeRefused", "0.0.0.0/1"), ("EndpointRefused", "127.0.0.1")] {
        wait_until(reason, || match lab.kapelle("m1", "get events -o json").printed()? {
            told if told.contains(reason) && told.contains(word) => Ok(()),
            told => Err(told),
        });
    }
    assert_eq!(routes(&lab), before);
    let complaints = lab.complaints("w1");
    assert!(complaints.contains("the range 0.0.0.0/1 of the node \"all\" is not used"), "{complaints}");
    let service: serde_json::Value = serde_json::from_str(&lab.kapelle("m1", "get service own -o json").ok()).unwrap();
    let url = format!("http://{}/", service["spec"]["clusterIP"].as_str().unwrap());
    assert!(lab.get("w1", &url).is_err(), "nobody answers for the Service");
}

const FLOOD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: flood}
spec: {containers: [{name: main, image: \"flood-logs:v1\"}]}
";

#[test]
fn a_full_disk_of_a_worker_is_told_and_what_it_says_has_an_end() {
    let Some(mut lab) = Lab::new(&["m1", "w1"]) else { return };
    if !lab.disk("w1", 96) {
        return;
    }
    lab.master("m1", None);
    lab.ready("m1");
    lab.worker_of_one("w1", &[], "");
    lab.ready("w1");
    until_condition(&lab, "w1", "DiskPressure", "False");
    lab.kapelle("m1", &format!("push {} flood-logs:v1", sample("flood-logs").display())).ok();
    lab.apply("m1", "flood.yaml", FLOOD).ok();
    wait_until("the guest to write", || match lab.kapelle("m1", "logs flood --tail=1").printed()? {
        none if none.is_empty() => Err("nothing yet".to_owned()),
        some => Ok(some),
    });

    let filler = lab.dir("w1").join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let full = wait_until("a full disk", || match std::io::Write::write_all(&mut file, &[0; 1 << 16]) {
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(error),
        answer => {
            // As fast as it goes: only what fills the disk is waited for.
            while std::io::Write::write_all(&mut file, &[0; 1 << 16]).is_ok() {}
            Err(format!("{answer:?}"))
        }
    });
    let told = until_condition(&lab, "w1", "DiskPressure", "True AgentHasDiskPressure");
    assert!(told.contains("MiB left"), "{told} {full}");
    let node = lab.kapelle("m1", "get node w1 -o json").ok();
    assert!(node.contains("node.kubernetes.io/disk-pressure"), "{node}");
    wait_until("the log to complain", || match lab.complaints("w1") {
        complaints if complaints.contains("a log could not be written") => Ok(()),
        complaints => Err(complaints),
    });
    let since = Instant::now();
    wait_until("the guest to write on", || {
        if since.elapsed() > Duration::from_secs(3) { Ok(()) } else { Err(String::new()) }
    });
    let lines = lab.complaints("w1").lines().count();
    assert!(lines < 100, "{lines} lines");

    drop(file);
    std::fs::remove_file(&filler).unwrap();
    until_condition(&lab, "w1", "DiskPressure", "False");
}
