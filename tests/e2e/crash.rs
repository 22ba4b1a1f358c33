//! `kill -9` in the middle of things.

use crate::{
    cluster::{Cluster, http_get},
    patience::wait_until,
};

fn deployment(version: &str) -> String {
    include_str!("../../deploy/examples/hello.yaml").replace("value: v1", &format!("value: {version}"))
}

#[test]
fn killing_it_in_the_middle_of_a_rollout_loses_no_acknowledged_write() {
    let mut cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.apply(&deployment("v1")).ok();
    cluster.kapelle("rollout status deployment/hello").ok();

    // Writes until the process dies: what was acknowledged is what `apply` said.
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let manifest =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: before-{n}}}, data: {{n: '{n}'}}}}");
        cluster.apply(&manifest).ok();
        acknowledged.push(format!("configmap/before-{n}"));
    }
    cluster.apply(&deployment("v2")).ok();
    cluster.kill();
    cluster.start_again(&[]);

    for name in acknowledged {
        assert!(!cluster.field(&name, "/metadata/uid").is_empty(), "{name} was lost");
    }
    cluster.kapelle("rollout status deployment/hello --timeout=180s").ok();
    let url = cluster.service_url("hello");
    wait_until("the new version", || match http_get(&url)? {
        (200, body) if body.contains("v2") => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });
    cluster.wait_for_field("deployment/hello", "/status/readyReplicas", "3");
}
