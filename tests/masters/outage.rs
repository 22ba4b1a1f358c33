//! What survives: the leader's death, the death of all masters, a cut link.

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

const HELLO: &str = include_str!("../../deploy/examples/hello.yaml");

fn config_map(name: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: b}}}}")
}

/// Names and uids of the Pods, and how often they were restarted.
fn pods(lab: &Lab, master: &str) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&lab.kapelle(master, "get pods -o json").ok()).unwrap();
    let pod = |pod: &serde_json::Value| {
        let status = &pod["status"]["containerStatuses"][0];
        format!("{} {} {}", pod["metadata"]["name"], pod["metadata"]["uid"], status["restartCount"])
    };
    list["items"].as_array().unwrap().iter().map(pod).collect()
}

#[test]
fn services_outlive_masters_and_nothing_restarts_needlessly() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "w2"]) else { return };
    lab.three_masters();
    for worker in ["w1", "w2"] {
        let token = lab.token("m1", &format!("--role worker --node-name {worker}"));
        lab.worker(worker, Some(&token));
        lab.ready(worker);
    }
    lab.kapelle("m3", &format!("push {} hello-http:v1", sample("hello-http").display())).ok();
    lab.apply("m2", "hello.yaml", HELLO).ok();
    lab.kapelle("m1", "rollout status deployment/hello --timeout=180s").ok();
    let service: serde_json::Value =
        serde_json::from_str(&lab.kapelle("m1", "get service hello -o json").ok()).unwrap();
    let url = format!("http://{}:8080/", service["spec"]["clusterIP"].as_str().unwrap());
    for worker in ["w1", "w2"] {
        wait_until("an answer on every node", || lab.get(worker, &url));
    }
    let before = pods(&lab, "m1");

    let leader = wait_until("a leader", || lab.leader("m1"));
    lab.kill(leader);
    let left = *["m1", "m2", "m3"].iter().find(|master| **master != leader).unwrap();
    wait_until("a write without the old leader", || lab.apply(left, "a.yaml", &config_map("after-leader")).printed());
    lab.get("w1", &url).unwrap();

    for master in ["m1", "m2", "m3"] {
        if master != leader {
            lab.kill(master);
        }
    }
    for worker in ["w1", "w2"] {
        lab.get(worker, &url).expect("the Service answers without any master");
    }
    for master in ["m1", "m2", "m3"] {
        lab.master(master, None);
    }
    for master in ["m1", "m2", "m3"] {
        lab.ready(master);
        assert!(lab.kapelle(master, "get configmap after-leader -o name").ok().contains("after-leader"));
    }
    lab.kapelle("m1", "scale deployment/hello --replicas=4").ok();
    lab.kapelle("m1", "rollout status deployment/hello --timeout=180s").ok();
    let after = pods(&lab, "m2");
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|pod| after.contains(pod)), "{before:?} {after:?}");
    wait_until("the log of a Pod through any master", || {
        lab.kapelle("m3", &format!("logs {}", before[0].split(' ').next().unwrap().trim_matches('"'))).printed()
    });
}

#[test]
fn a_master_that_is_cut_off_refuses_and_comes_back() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3"]) else { return };
    lab.three_masters();
    let leader = wait_until("a leader", || lab.leader("m1"));
    let others: Vec<&str> = ["m1", "m2", "m3"].into_iter().filter(|master| *master != leader).collect();

    lab.cut(leader, true);
    wait_until("a write by the majority", || lab.apply(others[0], "a.yaml", &config_map("by-majority")).printed());
    let refusal =
        wait_until("the minority to notice", || match lab.apply(leader, "b.yaml", &config_map("by-minority")) {
            answer if answer.ok => Err("a minority took a write".to_owned()),
            // Until it notices, it waits for the others' word; nobody knows then what becomes of the write.
            answer if answer.stderr.contains("unknown") => Err(answer.stderr),
            answer => Ok(answer.stderr),
        });
    assert!(refusal.contains("lead") || refusal.contains("agree"), "{refusal}");
    let stale = lab.kapelle(leader, "get configmap by-majority");
    assert!(!stale.ok && !stale.stderr.contains("NotFound"), "no old data: {}", stale.stderr);
    assert!(stale.stderr.contains("hears no majority of the masters"), "it says why: {}", stale.stderr);

    lab.cut(leader, false);
    wait_until("the old leader to catch up", || lab.kapelle(leader, "get configmap by-majority -o name").printed());

    lab.signal(others[0], "STOP");
    wait_until("a write beside a paused master", || {
        lab.apply(others[1], "c.yaml", &config_map("beside-pause")).printed()
    });
    lab.signal(others[0], "CONT");
    wait_until("the paused master to catch up", || {
        lab.kapelle(others[0], "get configmap beside-pause -o name").printed()
    });
}
