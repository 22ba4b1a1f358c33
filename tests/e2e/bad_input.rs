//! Manifests that are wrong are refused with the field and the remedy, and disturb nothing.

use crate::cluster::Cluster;

const DEPLOYMENT: &str = include_str!("../../deploy/examples/hello.yaml");

#[test]
fn what_is_wrong_in_a_manifest_is_named() {
    let cluster = Cluster::start();
    let refused = |from: &str, to: &str| {
        assert!(DEPLOYMENT.contains(from), "{from}");
        cluster.apply(&DEPLOYMENT.replacen(from, to, 1)).err()
    };
    let cases = [
        ("replicas: 3", "replicsa: 3", "unknown field \"spec.replicsa\""),
        ("replicas: 3", "replicas: three", "spec.replicas"),
        ("replicas: 3", "replicas: -1", "spec.replicas"),
        ("matchLabels: {app: hello}", "matchLabels: {app: other}", "selector"),
        ("memory: 1Mi", "memory: -1Gi", "spec.template.spec.containers[0].resources"),
        ("kind: Deployment", "kind: Deploymnt", "Deploymnt"),
        ("name: hello\n", "name: Hello_World\n", "metadata.name"),
        ("      containers:\n", "      hostNetwork: true\n      containers:\n", "hostNetwork"),
        ("mountPath: /state}", "mountPath: /state}\n        - {name: nothing, mountPath: /x}", "nothing"),
    ];
    for (from, to, named) in cases {
        let message = refused(from, to);
        assert!(message.contains(named), "{to:?} should name {named:?}:\n{message}");
    }
    assert!(cluster.kapelle("get deployments").ok().is_empty(), "nothing was stored");
}

#[test]
fn what_is_too_large_or_too_clever_is_refused() {
    let cluster = Cluster::start();
    let large =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: large}}\ndata: {{a: {}}}\n", "x".repeat(5 << 20));
    assert!(!cluster.apply(&large).err().is_empty());

    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![before; 9].join(",")));
    }
    let message = cluster.apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: bomb}}\n{bomb}")).err();
    assert!(message.contains("repetition limit") || message.contains("alias"), "{message}");

    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: fine}, data: {a: b}}").ok();
}

#[test]
fn options_that_are_not_understood_are_refused_not_ignored() {
    let cluster = Cluster::start();
    assert!(cluster.kapelle("get pods -l app=(x").err().contains("app=(x"));
    assert!(cluster.kapelle("get pods --field-selector spec.colour=red").err().contains("spec.colour"));
    assert!(cluster.kapelle("get gadgets").err().contains("gadgets"));
    assert!(cluster.kapelle("delete pods").err().contains("--all"));
}

#[test]
fn a_second_cluster_on_the_same_directory_is_refused() {
    let cluster = Cluster::start();
    let mut second = std::process::Command::new(crate::cluster::KAPELLE);
    second.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(cluster.dir());
    let message = crate::cluster::Answer::of(&mut second, "").err();
    assert!(message.contains("in use") || message.contains("lock"), "{message}");
}
