//! What Pods that run see of ConfigMaps and Secrets that change.

use crate::{
    cluster::{Cluster, http_get},
    patience::wait_until,
};

/// Shows its volume over HTTP. `part` shows a part of the same ConfigMap.
const SHOWS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: shows}
spec:
  containers:
  - name: shows
    image: kv-http:v1
    ports: [{containerPort: 8080}]
    volumeMounts: [{name: all, mountPath: /data}]
  - name: part
    image: kv-http:v1
    ports: [{containerPort: 8081}]
    volumeMounts: [{name: all, mountPath: /data, subPath: sub}]
  volumes:
  - name: all
    projected:
      sources:
      - configMap: {name: settings, items: [{key: color, path: color}, {key: color, path: sub/color}]}
      - secret: {name: key}
      - configMap: {name: later, optional: true}
      - configMap: {name: fixed}
";

fn settings(color: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{color: {color}}}}}")
}

/// A file of the Pod, by one of its containers.
fn file(cluster: &Cluster, port: u16, name: &str) -> Result<String, String> {
    let address = cluster.field("pod/shows", "/status/podIP");
    match http_get(&format!("http://{address}:{port}/{name}"))? {
        (200, text) => Ok(text),
        (status, text) => Err(format!("{status} {text}")),
    }
}

fn wait_for(cluster: &Cluster, name: &str, expected: &str) {
    wait_until(&format!("{name} to be {expected}"), || match file(cluster, 8080, name)? {
        text if text == expected => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_pod_that_runs_sees_what_has_changed_and_a_killed_worker_loses_nothing() {
    let mut cluster = Cluster::start();
    cluster.push("kv-http");
    cluster.apply(&settings("red")).ok();
    cluster.apply("{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {word: one, old: one}}").ok();
    let fixed = "{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed}, immutable: true, data: {stays: 'yes'}}";
    cluster.apply(fixed).ok();
    cluster.apply(SHOWS).ok();
    cluster.wait_until_ready("shows");
    assert_eq!(cluster.shown("shows", "color"), "red");
    assert_eq!(file(&cluster, 8081, "color").unwrap(), "red");
    let restarts = || cluster.field("pod/shows", "/status/containerStatuses/0/restartCount");
    let before = restarts();

    cluster.apply(&settings("blue")).ok();
    cluster.kapelle("delete secret key").ok();
    cluster.apply("{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {word: two}}").ok();
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: later}, data: {new: here}}").ok();
    wait_for(&cluster, "color", "blue");
    wait_for(&cluster, "word", "two");
    wait_for(&cluster, "new", "here");
    assert!(file(&cluster, 8080, "old").is_err(), "a key that is gone");
    assert_eq!(file(&cluster, 8081, "color").unwrap(), "red", "a part stays as it is");
    assert_eq!(restarts(), before, "nothing was started anew");
    assert_eq!(cluster.shown("shows", ""), "color\nnew\nstays\nsub\nword\n");

    cluster.kapelle("delete configmap later").ok();
    wait_until("the file of what is gone to go", || match file(&cluster, 8080, "new") {
        Err(why) if why.starts_with("404") => Ok(()),
        other => Err(format!("{other:?}")),
    });

    cluster.apply(&settings("green")).ok();
    cluster.kill();
    cluster.start_again(&[]);
    wait_for(&cluster, "color", "green");
    assert_eq!(file(&cluster, 8081, "color").unwrap(), "green", "a container that starts has what is there");
    assert_eq!(cluster.shown("shows", "stays"), "yes");
    cluster.apply(&settings("black")).ok();
    wait_for(&cluster, "color", "black");
}
