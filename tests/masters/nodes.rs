//! Workers that die, fall silent, come back, or start while no master answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use api::{
    ChangeType, Kind,
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

/// How long a lost node's Pods may stay in the tables here. Users are promised one second after a kill and three after
/// silence, which the tests of `control` hold in virtual time; this is far below the forty seconds after which Pods are
/// replaced, however slow the machine is.
const FAR_BELOW_GRACE: Duration = Duration::from_secs(15);

/// How many endpoints of each node are ready.
type Ready = BTreeMap<String, usize>;

/// What the masters said of the endpoints, as it changed.
#[derive(Clone, Default)]
struct Tables(Arc<Mutex<Vec<(Instant, Ready)>>>);

impl Tables {
    /// Watches from a host until the process ends.
    fn watch(lab: &Lab, host: &str) -> Self {
        let tables = Self::default();
        let shared = tables.clone();
        let _ends_with_the_test = lab.client(host, &["m1", "m2", "m3"], move |client| async move {
            let mut updates = Box::pin(client.watch(rpc::Query::all(Kind::EndpointSlice), None));
            let mut slices = BTreeMap::new();
            while let Some(Ok(update)) = updates.next().await {
                let rpc::Update::Changes(changes) = update else { continue };
                for change in changes {
                    match change.change {
                        ChangeType::Deleted => drop(slices.remove(&change.object.key())),
                        _ => drop(slices.insert(change.object.key(), change.object)),
                    }
                }
                let all = slices.values().filter_map(|object| object.get::<EndpointSlice>());
                shared.0.lock().unwrap().push((Instant::now(), ready(all)));
            }
        });
        tables
    }

    /// Waits until so many of a node's endpoints are ready; answers when that was first so, from a time on.
    #[track_caller]
    fn until(&self, node: &str, from: Instant, holds: impl Fn(usize) -> bool) -> Duration {
        wait_until(&format!("the endpoints of {node}"), || {
            let seen = self.0.lock().unwrap();
            let found = seen.iter().find(|(at, ready)| *at >= from && holds(ready.get(node).copied().unwrap_or(0)));
            found.map(|(at, _)| at.duration_since(from)).ok_or_else(|| format!("{:?}", seen.last()))
        })
    }
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
        let gone = tables.until(worker, hurt_at, |ready| ready == 0);
        let heal_at = Instant::now();
        heal(lab);
        let back = tables.until(worker, heal_at, |ready| ready > 0);
        println!("{what}: gone after {} ms, back after {} ms", gone.as_millis(), back.as_millis());
        assert!(gone < FAR_BELOW_GRACE, "{what}: gone after {gone:?}");
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
