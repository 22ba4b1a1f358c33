//! The `kapelle` command as people use it.

use crate::{
    cluster::{Cluster, http_get},
    patience::wait_until,
};

#[test]
fn from_an_image_to_an_answer_and_away_again() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.kapelle("run web --image=hello-http:v1 --port=8080 --replicas=2").ok();
    let url = cluster.service_url("web");
    wait_until("an answer", || match http_get(&url)? {
        (200, _) => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });

    assert!(cluster.kapelle("get deployments").ok().contains("2/2"));
    assert!(cluster.kapelle("get deploy/web -o yaml").ok().starts_with("apiVersion: apps/v1\nkind: Deployment\n"));
    assert_eq!(cluster.kapelle("get deploy web -o name").ok(), "deployment.apps/web\n");
    assert!(cluster.kapelle("get pods -o wide -A -l app=web").ok().contains("127."));
    assert!(cluster.kapelle("describe deployment web").ok().contains("Events:"));

    assert_eq!(cluster.kapelle("scale deployment/web --replicas=3").ok(), "deployment.apps/web scaled\n");
    cluster.wait_for_field("deployment/web", "/status/readyReplicas", "3");
    cluster.kapelle("rollout restart deployment/web").ok();
    assert!(cluster.kapelle("rollout status deployment/web").ok().contains("successfully rolled out"));
    assert!(cluster.kapelle("rollout history deployment/web").ok().contains("2"));
    cluster.kapelle("rollout undo deployment/web").ok();
    cluster.kapelle("rollout status deployment/web").ok();

    cluster.kapelle("delete deployment,service web").ok();
    wait_until("no Pods", || match cluster.kapelle("get pods -o name").printed()? {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    assert!(http_get(&url).is_err(), "the Service's address is gone");
}

#[test]
fn manifests_are_created_unchanged_and_configured() {
    let cluster = Cluster::start();
    let map = |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: '{value}'}}\n");
    assert_eq!(cluster.apply(&map("1")).ok(), "configmap/a created\n");
    assert_eq!(cluster.apply(&map("1")).ok(), "configmap/a unchanged\n");
    assert_eq!(cluster.apply(&map("2")).ok(), "configmap/a configured\n");
    assert_eq!(cluster.field("configmap/a", "/data/k"), "2");
    assert_eq!(cluster.kapelle("delete cm/a").ok(), "configmap \"a\" deleted\n");
    assert!(cluster.kapelle("get cm a").err().contains("configmaps \"a\" not found"));
}

#[test]
fn one_service_calls_another_by_name_and_containers_share_a_volume() {
    let cluster = Cluster::start();
    for sample in ["front", "kv-http", "hello-http", "log-sidecar"] {
        cluster.push(sample);
    }
    cluster.apply(include_str!("../../deploy/examples/shop.yaml")).ok();
    cluster.apply(include_str!("../../deploy/examples/sidecar.yaml")).ok();

    cluster.kapelle("rollout status deployment/front -n shop").ok();
    cluster.kapelle("rollout status deployment/kv -n shop").ok();
    let address = cluster.field("service/front -n shop", "/spec/clusterIP");
    wait_until("an answer through two Services", || match http_get(&format!("http://{address}:8080/"))? {
        (200, body) if !body.is_empty() => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });

    cluster.wait_for_field("pod/sidecar", "/status/phase", "Running");
    let ip = cluster.field("pod/sidecar", "/status/podIP");
    // A Pod runs as soon as one of its containers does; the others may still be compiling.
    wait_until("an answer of the Pod itself", || match http_get(&format!("http://{ip}:8080/"))? {
        (200, _) => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    });
    wait_until("what the sidecar saw", || match cluster.kapelle("logs sidecar -c tail").printed()? {
        log if !log.is_empty() => Ok(()),
        log => Err(log),
    });
}

#[test]
fn versions_and_completions_are_told() {
    let cluster = Cluster::start();
    assert!(cluster.kapelle("version").ok().contains("Server Version: v"));
    assert!(cluster.kapelle("completion bash").ok().contains("kapelle"));
}

#[test]
fn a_log_that_cannot_be_read_is_said_and_not_tried_for_ever() {
    let cluster = Cluster::start();
    cluster.push("echo-tcp");
    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: echo}, spec: {containers: [{name: main, image: 'echo-tcp:v1'}]}}").ok();
    wait_until("a log", || match cluster.kapelle("logs echo").printed()? {
        log if log.contains("listening") => Ok(()),
        log => Err(log),
    });
    let id = cluster.field("pod/echo", "/status/containerStatuses/0/containerID");
    let run = id.rsplit('/').next().unwrap();
    let uid = cluster.field("pod/echo", "/metadata/uid");
    let log = cluster.dir().join("node/pods").join(uid).join(format!("logs/main/{run}.log"));
    let mut follower = cluster.goes_on("logs echo --follow");

    // Who is root reads every file, but nobody reads a directory.
    std::fs::rename(&log, log.with_extension("aside")).unwrap();
    std::fs::create_dir(&log).unwrap();

    for line in ["logs echo", "logs echo --follow"] {
        let complaint = cluster.kapelle(line).err();
        let says = ["the log of container \"main\" cannot be read on node dev", "directory"];
        assert!(says.iter().all(|words| complaint.contains(words)), "{line}: {complaint}");
    }
    let ended = wait_until("the end of who follows", || follower.try_wait().unwrap().ok_or("it goes on".to_owned()));
    assert!(!ended.success(), "and not as if all were well");
}
