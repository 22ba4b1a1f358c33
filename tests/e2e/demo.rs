//! What a newcomer sees first.

use std::collections::BTreeSet;

use crate::{
    cluster::{Cluster, http_get},
    patience::wait_until,
};

#[test]
fn the_demo_answers_from_every_pod_through_the_services_address() {
    let mut cluster = Cluster::start_with(&["--demo"]);
    let line = cluster.wait_for_line("  url");
    let url = line.split_whitespace().last().unwrap().to_owned();

    let answers: BTreeSet<String> = (0..30)
        .map(|_| {
            let (status, body) = http_get(&url).unwrap();
            assert_eq!(status, 200, "{body}");
            body.split_whitespace().find(|word| word.starts_with("hello-")).unwrap_or_default().to_owned()
        })
        .collect();

    assert_eq!(answers.len(), 3, "three Pods in turn: {answers:?}");
    assert!(cluster.kubeconfig().exists());
}

/// How soon it must end is said where it is decided (`STOP_WITHIN`): here it is shown that nothing can hold it up.
#[test]
fn a_signal_stops_it_whatever_goes_on_and_everything_is_there_again() {
    let mut cluster = Cluster::start_with(&["--demo"]);
    cluster.wait_for_line("  url");
    let uid = cluster.field("deployment/hello", "/metadata/uid");

    let mut watch = cluster.goes_on("get pods --watch");
    assert!(cluster.terminate(), "{}", cluster.stderr());
    watch.kill().unwrap();
    watch.wait().unwrap();
    cluster.start_again(&[]);

    assert_eq!(cluster.field("deployment/hello", "/metadata/uid"), uid);
    let url = cluster.service_url("hello");
    wait_until("an answer after the restart", || match http_get(&url)? {
        (200, _) => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });
}
