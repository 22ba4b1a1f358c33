//! The API by its Service.

use std::{net::TcpListener, process::Command};

use crate::{
    cluster::{Answer, Cluster},
    patience::wait_until,
};

/// Asks the server behind an address for its version, and verifies that it is who a name means.
fn version(cluster: &Cluster, address: &str, name: &str) -> Result<(), String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail", "--max-time", "20", "--cacert"]).arg(cluster.dir().join("pki/ca.crt"));
    command.arg("--connect-to").arg(format!("::{address}:443")).arg(format!("https://{name}/version"));
    Answer::of(&mut command, "").printed().map(drop)
}

#[test]
fn the_api_is_reached_by_its_service_and_what_is_deleted_of_it_comes_back() {
    let cluster = Cluster::start();
    cluster.wait_for_field("endpointslice/kubernetes", "/ports/0/port", "6443");
    let address = cluster.field("service/kubernetes", "/spec/clusterIP");
    assert_eq!(address, cluster.service_range().replace(".0/17", ".1"), "the first one");
    assert!(cluster.contact().starts_with(&cluster.field("endpoints/kubernetes", "/subsets/0/addresses/0/ip")));
    let uid = cluster.field("service/kubernetes", "/metadata/uid");
    cluster.kapelle("delete service kubernetes").ok();
    cluster.kapelle("delete endpointslice kubernetes").ok();
    wait_until("the Service to be there again", || match cluster.field("service/kubernetes", "/metadata/uid") {
        same_or_none if same_or_none.is_empty() || same_or_none == uid => Err(same_or_none),
        _ => Ok(()),
    });
    assert_eq!(cluster.field("service/kubernetes", "/spec/clusterIP"), address);

    if TcpListener::bind("127.255.255.1:443").is_err() {
        return eprintln!("skipped: no port below 1024 may be bound here");
    }
    for domain in ["", ".default", ".default.svc", ".default.svc.cluster.local"] {
        let name = format!("kubernetes{domain}");
        wait_until(&format!("an answer as {name}"), || version(&cluster, &address, &name));
    }
    wait_until("an answer at the address", || version(&cluster, &address, &address));
    assert!(version(&cluster, &address, "kubernetes.shop").is_err(), "nobody is called so");
}
