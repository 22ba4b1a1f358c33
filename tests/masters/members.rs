//! Who belongs to the group: tokens, votes, removal, backup and the last resort.

use std::path::Path;

use crate::{lab::Lab, patience::wait_until};

const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

#[test]
fn tokens_let_in_once_and_only_whom_they_name() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1"]) else { return };
    lab.master("m1", None);
    lab.ready("m1");
    let refused = |lab: &mut Lab, token: &str, complaint: &str| {
        lab.worker("w1", Some(token));
        assert!(!lab.ended("w1"), "it must not be let in");
        assert!(lab.complaints("w1").contains(complaint), "{}", lab.complaints("w1"));
    };
    let other_node = lab.token("m1", "--role worker --node-name w9");
    refused(&mut lab, &other_node, "for the node \"w9\"");
    let master = lab.token("m1", "--role master");
    refused(&mut lab, &master, "as a master, not as a worker");
    let good = lab.token("m1", "--role worker");
    let pin = good.split('.').nth(1).unwrap().to_owned();
    refused(&mut lab, &good.replace(&pin, &"0".repeat(64)), "another cluster");
    lab.worker("w1", Some(&good));
    lab.ready("w1");
    lab.kill("w1");
    std::fs::remove_dir_all(lab.dir("w1")).unwrap();
    refused(&mut lab, &good, "was used, has ended or was mistyped");
    lab.worker("w1", None);
    assert!(!lab.ended("w1"));
    assert!(lab.complaints("w1").contains("give --token"), "{}", lab.complaints("w1"));
    assert!(lab.kapelle("m1", "token create --role worker --ttl 30d").err().contains("ttl"));
}

#[test]
fn the_group_changes_and_can_be_made_anew() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "m4"]) else { return };
    lab.three_masters();
    let warned = lab.kapelle("m1", "cluster members");
    assert!(!warned.stderr.contains("even number"), "{}", warned.stderr);
    let (gone, [stays, third]) = the_leader_leaves(&mut lab);
    a_new_master_leads(&mut lab, stays);

    // A change that would leave no majority that answers is refused.
    lab.kill(third);
    wait_until("the loss to be noticed", || {
        let status = lab.status("m4")?;
        let warnings = status["warnings"].to_string();
        if warnings.contains("does not answer") { Ok(()) } else { Err(warnings) }
    });
    let refusal = lab.kapelle("m4", &format!("cluster remove {}", lab.id("m4", stays))).err();
    assert!(refusal.contains("no majority"), "{refusal}");

    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}";
    lab.apply("m4", "kept.yaml", manifest).ok();
    let backup = lab.file("backup");
    lab.kapelle(stays, &format!("cluster backup {}", backup.display())).ok();
    let revision = lab.status("m4").unwrap()["revision"].as_u64().unwrap();

    // The last resort: one master alone, with everything it has.
    lab.kill("m4");
    lab.kill(stays);
    let dir = lab.dir("m4");
    lab.on("m4", KAPELLE, &["cluster", "force-new-cluster", "--data-dir", dir.to_str().unwrap()]).ok();
    lab.master("m4", None);
    lab.ready("m4");
    assert!(lab.kapelle("m4", "get configmap kept -o name").ok().contains("kept"));
    assert_eq!(lab.status("m4").unwrap()["members"].as_array().unwrap().len(), 1);
    a_backup_becomes_another_cluster(&mut lab, gone, &backup, revision);
}

/// Another one leads, and the removed process ends and says why.
fn the_leader_leaves(lab: &mut Lab) -> (&'static str, [&'static str; 2]) {
    let leader = wait_until("a leader", || lab.leader("m1"));
    let mut others = ["m1", "m2", "m3"].into_iter().filter(|master| *master != leader);
    let others = [others.next().unwrap(), others.next().unwrap()];
    let (id, stays) = (lab.id(others[0], leader), others[0]);
    lab.kapelle(stays, &format!("cluster remove {id}")).ok();
    assert!(!lab.ended(leader));
    assert!(lab.complaints(leader).contains("was removed from its group"), "{}", lab.complaints(leader));
    assert!(lab.kapelle(stays, "cluster members").stderr.contains("even number"));
    assert!(lab.kapelle(stays, &format!("cluster remove {id}")).err().contains("does not belong"));
    (leader, others)
}

/// A new one comes in the place of who left, and leads when told to.
fn a_new_master_leads(lab: &mut Lab, stays: &'static str) {
    let token = lab.token(stays, "--role master");
    lab.master("m4", Some((stays, &token)));
    lab.ready("m4");
    let id = lab.id(stays, "m4");
    lab.kapelle(stays, &format!("cluster transfer-leader {id}")).ok();
    assert_eq!(wait_until("the new leader", || lab.leader(stays)), "m4");
}

/// It has another identity, and its revisions are far ahead.
fn a_backup_becomes_another_cluster(lab: &mut Lab, on: &'static str, backup: &Path, revision: u64) {
    let restored = lab.dir(on).join("restored");
    let (file, target) = (backup.to_str().unwrap(), restored.to_str().unwrap());
    let restore = ["cluster", "restore", file, "--data-dir", target];
    lab.on(on, KAPELLE, &restore).ok();
    assert!(lab.on(on, KAPELLE, &restore).err().contains("restored"));
    let contact = lab.contact(on);
    lab.start(on, &["master", "--data-dir", target, "--listen", &contact]);
    lab.ready(on);
    let config = restored.join("kubeconfig");
    let config = config.to_str().unwrap();
    let status = lab.on(on, KAPELLE, &["cluster", "status", "-o", "json", "--kubeconfig", config]).ok();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["revision"].as_u64().unwrap() >= revision + 1_000_000_000, "{status}");
    assert_ne!(status["cluster"], lab.status("m4").unwrap()["cluster"]);
    lab.on(on, KAPELLE, &["get", "configmap", "kept", "-o", "name", "--kubeconfig", config]).ok();
}
