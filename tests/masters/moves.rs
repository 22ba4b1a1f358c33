//! Masters come back under other addresses, and clients that know one of them find the others.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    lab::{Lab, fed},
    patience::wait_until,
};

const MASTERS: [&str; 3] = ["m1", "m2", "m3"];

fn manifest(name: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: b}}}}")
}

/// What a master's kubeconfig says, for `kapelle`.
fn named(lab: &Lab, master: &str) -> Vec<String> {
    let mut named = kapelle_client::Config::from_kubeconfig(&lab.kubeconfig(master), None).unwrap().servers;
    named.sort();
    named
}

fn are_known_everywhere(lab: &Lab, masters: &[&str]) {
    let mut urls: Vec<String> = MASTERS.iter().map(|master| format!("https://{}", lab.contact(master))).collect();
    urls.sort();
    for master in masters {
        wait_until("a kubeconfig with all masters as they are now", || match named(lab, master) {
            found if found == urls => Ok(()),
            found => Err(format!("{master}: {found:?} instead of {urls:?}")),
        });
    }
}

/// Waits until the Service `kubernetes` leads to the masters as they are now, and asks one of them through it.
fn by_service(lab: &Lab, host: &str) {
    let contacts: BTreeSet<String> = MASTERS.iter().map(|master| lab.address(master)).collect();
    wait_until("the Service kubernetes to lead to all masters", || {
        let slice = lab.kapelle("m1", "get endpointslice kubernetes -o json").printed()?;
        let slice: serde_json::Value = serde_json::from_str(&slice).map_err(|error| error.to_string())?;
        let endpoints = slice["endpoints"].as_array().ok_or("no endpoints")?;
        let addresses = endpoints.iter().filter_map(|endpoint| endpoint["addresses"][0].as_str());
        let found: BTreeSet<String> = addresses.map(ToOwned::to_owned).collect();
        if found == contacts { Ok(()) } else { Err(format!("{found:?} instead of {contacts:?}")) }
    });
    wait_until("an answer by the Service kubernetes", || {
        match lab.asked_from(host, "m1", "https://10.96.0.1/api/v1/namespaces/default").as_str() {
            "200" => Ok(()),
            status => Err(status.to_owned()),
        }
    });
}

#[test]
fn a_master_that_moves_comes_back_and_clients_follow() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1"]) else { return };
    lab.three_masters();
    are_known_everywhere(&lab, &MASTERS);
    let token = lab.token("m1", "--role worker");
    lab.worker("w1", Some(&token));
    lab.ready("w1");
    by_service(&lab, "w1");

    // One that follows, and one that leads.
    let leader = wait_until("a leader", || lab.leader("m1"));
    let follower = *MASTERS.iter().find(|master| **master != leader).unwrap();
    for (number, mover) in [(50, follower), (51, leader)] {
        lab.signal(mover, "TERM");
        assert!(lab.ended(mover), "{}", lab.complaints(mover));
        lab.renumber(mover, number);
        lab.master(mover, None);
        lab.ready(mover);
        lab.apply(mover, &format!("{mover}.yaml"), &manifest(mover)).ok();
        are_known_everywhere(&lab, &MASTERS);
        by_service(&lab, "w1");
    }

    // Whoever has the kubeconfig of a master that is gone goes on with the others.
    lab.kill("m1");
    lab.kapelle("m1", "get configmap").ok();
    // Programs that know one address go through the worker's host, whichever master lives.
    let local = "https://127.0.0.1:6443/api/v1/namespaces/default/configmaps";
    assert_eq!(lab.asked_from("w1", "m1", local), "200", "{}", lab.complaints("w1"));
    // One whose process stands still takes connections, but does not answer.
    lab.signal("m2", "STOP");
    lab.master("m1", None);
    wait_until("an answer through the local way", || match lab.asked_from("w1", "m1", local).as_str() {
        "200" => Ok(()),
        status => Err(status.to_owned()),
    });
    lab.signal("m2", "CONT");
}

/// Each of the two finds where the group says only the one that stays, and it is not the one that leads.
#[test]
fn two_masters_of_three_move_at_once() {
    let Some(mut lab) = Lab::new(&MASTERS) else { return };
    lab.three_masters();
    let movers = ["m1", "m2"];
    for mover in movers {
        lab.kill(mover);
    }
    for (number, mover) in (70..).zip(movers) {
        lab.renumber(mover, number);
    }
    lab.master("m1", None);
    lab.ready("m1");
    let id = lab.id("m1", "m1");
    wait_until("the first that moved to lead", || {
        lab.kapelle("m3", &format!("cluster transfer-leader {id}")).printed()?;
        match lab.leader("m3")? {
            "m1" => Ok(()),
            other => Err(format!("{other} leads")),
        }
    });
    lab.master("m2", None);
    lab.ready("m2");
    lab.apply("m2", "moved.yaml", &manifest("moved")).ok();
    are_known_everywhere(&lab, &MASTERS);
}

#[test]
fn all_masters_move_at_once() {
    let Some(mut lab) = Lab::new(&MASTERS) else { return };
    lab.three_masters();
    for master in MASTERS {
        lab.kill(master);
    }
    for (number, master) in (60..).zip(MASTERS) {
        lab.renumber(master, number);
    }
    let contacts = MASTERS.map(|master| lab.contact(master)).join(",");
    for master in MASTERS {
        let (dir, contact) = (lab.dir(master), lab.contact(master));
        let dir = dir.to_str().unwrap().to_owned();
        lab.start(master, &["master", "--data-dir", &dir, "--listen", &contact, "--join", &contacts]);
    }
    MASTERS.iter().for_each(|master| lab.ready(master));
    lab.apply("m2", "moved.yaml", &manifest("moved")).ok();
    are_known_everywhere(&lab, &MASTERS);
}

#[test]
fn tokens_come_from_files_and_nothing_lies_open() {
    let Some(mut lab) = Lab::new(&["m1", "w1", "w2"]) else { return };
    lab.master("m1", None);
    lab.ready("m1");
    let contact = lab.contact("m1");
    let arguments = |dir: &Path, name: &'static str| {
        ["worker", "--data-dir", dir.to_str().unwrap(), "--node-name", name, "--join", &contact].map(str::to_owned)
    };

    let file = lab.file("token");
    let (dir, token) = (lab.dir("w1"), lab.token("m1", "--role worker"));
    fs::write(&file, format!("{token}\n")).unwrap();
    let mut from_file = arguments(&dir, "w1").to_vec();
    from_file.extend(["--token-file".to_owned(), file.display().to_string()]);
    lab.start("w1", &from_file.iter().map(String::as_str).collect::<Vec<_>>());
    lab.ready("w1");

    // A token that was used comes in by standard input, and is refused for that.
    let mut piped = arguments(&lab.dir("w2"), "w2").to_vec();
    piped.extend(["--token-file".to_owned(), "-".to_owned()]);
    let piped: Vec<&str> = piped.iter().map(String::as_str).collect();
    let refusal = fed(&lab.namespace("w2"), &piped, &token).err();
    assert!(refusal.contains("was used, has ended or was mistyped"), "{refusal}");
    let refusal = fed(&lab.namespace("w2"), &piped, "nonsense").err();
    assert!(refusal.contains("--token-file: - holds no token"), "{refusal}");

    let backup = lab.file("backup");
    lab.kapelle("m1", &format!("cluster backup {}", backup.display())).ok();
    for path in [lab.dir("m1"), lab.dir("w1"), backup] {
        is_closed(&path);
    }
}

/// Nobody else can read a file or what is in a directory.
fn is_closed(path: &Path) {
    let about = fs::symlink_metadata(path).unwrap();
    assert_eq!(about.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
    if about.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| is_closed(&entry.unwrap().path()));
    }
}
