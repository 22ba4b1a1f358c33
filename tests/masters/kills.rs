//! `kill -9` over and over, while somebody writes: what was acknowledged must be there at the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::lab::{Lab, wait_until};

/// So many times a master is killed; `KAPELLE_KILLS` asks for another number, such as 10000.
const KILLS: u64 = 200;

/// So many writers write at the same time.
const WRITERS: u64 = 4;

#[test]
fn no_acknowledged_write_is_lost_however_often_masters_are_killed() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3"]) else { return };
    lab.three_masters();
    let kills = std::env::var("KAPELLE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..WRITERS).map(|number| writer(&lab, number, stop.clone(), acknowledged.clone())).collect();

    let start = Instant::now();
    for kill in 0..kills {
        // In turn, so that leaders and followers are met; one is always back before the next goes.
        let host = ["m1", "m2", "m3"][(kill % 3) as usize];
        let before = acknowledged.load(Ordering::Relaxed);
        lab.kill(host);
        lab.master(host, None);
        lab.ready(host);
        wait_until("writes to go on", || match acknowledged.load(Ordering::Relaxed) {
            now if now > before => Ok(()),
            now => Err(format!("{now} acknowledged; {}", lab.complaints(host))),
        });
    }
    stop.store(true, Ordering::Relaxed);
    let names: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();

    let list = wait_until("the list", || lab.kapelle("m2", "get configmaps -o name").printed());
    let there: std::collections::HashSet<&str> = list.lines().filter_map(|line| line.rsplit('/').next()).collect();
    let lost: Vec<&String> = names.iter().filter(|name| !there.contains(name.as_str())).collect();
    println!(
        "{kills} kills in {:.0} s: {} writes acknowledged, {} of them there",
        start.elapsed().as_secs_f64(),
        names.len(),
        names.len() - lost.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// Creates one ConfigMap after the other through all masters; answers the names whose creation was acknowledged.
fn writer(
    lab: &Lab,
    number: u64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> thread::JoinHandle<Vec<String>> {
    let masters: Vec<String> = ["m1", "m2", "m3"].map(|master| format!("https://{}", lab.contact(master))).to_vec();
    let servers = masters.join(",");
    let config = lab.kubeconfig("m1");
    let space = lab.namespace("m1");
    thread::spawn(move || {
        let mut names = Vec::new();
        for count in 0_u64.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("w{number}-{count}");
            let manifest = format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{name}\"}},\"data\":{{\"a\":\"b\"}}}}"
            );
            let arguments = ["apply", "-f", "-", "--server", &servers, "--kubeconfig", config.to_str().unwrap()];
            if crate::lab::fed(&space, &arguments, &manifest) {
                names.push(name);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                thread::park_timeout(Duration::from_millis(20));
            }
        }
        names
    })
}
