//! Manifests that are wrong are refused with the field and the remedy, and disturb nothing.

use std::fs;

use crate::{checklist::session, cluster::Cluster, kubectl::Kubectl, patience::wait_until, script::Script};

const DEPLOYMENT: &str = include_str!("../../deploy/examples/hello.yaml");

/// A module that imports `env::magic` and exports `_start`.
const IMPORTS: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x02\x0d\x01\x03env\x05magic\0\0\
    \x03\x02\x01\0\
    \x07\x0a\x01\x06_start\0\x01\
    \x0a\x04\x01\x02\0\x0b";

/// What an object may have, in bytes, and then some.
const TOO_LARGE: usize = 5 << 20;

/// The header of machine code that Wasmtime made ahead of time: an ELF file of its own kind of system, with the mark of a module.
fn precompiled() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\xc8");
    header[16] = 1;
    header[20] = 1;
    header[48] = 1;
    header
}

fn bomb() -> String {
    let mut bomb = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![before; 9].join(",")));
    }
    bomb
}

/// Pods whose images cannot be run.
fn pods(script: &Script<'_>) -> String {
    script.file("script", "#!/bin/sh\n");
    script.file("imports", IMPORTS);
    script.file("precompiled", precompiled());
    let file = |name: &str| (name.to_owned(), format!("file://{}", script.path(name).display()));
    [("missing".to_owned(), "nowhere:v1".to_owned()), file("script"), file("imports"), file("precompiled")]
        .map(|(name, image)| {
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: main, image: '{image}'}}]}}\n")
        })
        .join("---\n")
}

/// What is refused, and what to say about it, is in `scripts/bad_input.txt`.
fn is_named_to(client: &str) {
    let cluster = Cluster::start();
    let kubectl = Kubectl::find(&cluster);
    let script = Script::new("bad_input.txt", &cluster, kubectl.as_ref());
    let deployment = DEPLOYMENT.split("---").next().unwrap();
    for (file, from, to) in [
        ("replicas.yaml", "replicas: 3", "replicas: three"),
        ("selector.yaml", "matchLabels: {app: hello}", "matchLabels: {app: other}"),
        ("quantity.yaml", "memory: 32Mi", "memory: -1Gi"),
        ("host.yaml", "      containers:\n", "      hostNetwork: true\n      containers:\n"),
    ] {
        assert!(deployment.contains(from), "{from}");
        script.file(file, deployment.replacen(from, to, 1));
    }
    let large = "x".repeat(TOO_LARGE);
    script.file(
        "large.yaml",
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: large}}\ndata: {{a: {large}}}\n"),
    );
    script.file("bomb.yaml", bomb());
    script.file("pods.yaml", pods(&script));
    script.run(include_str!("scripts/bad_input.txt"), &[("client", client)]);
}

#[test]
fn what_is_wrong_is_named_to_users_of_kubectl() {
    is_named_to("kubectl");
}

#[test]
fn what_is_wrong_is_named_to_users_of_kapelle() {
    is_named_to("kapelle");
}

#[test]
fn what_stands_twice_is_named() {
    session("duplicates.txt", include_str!("scripts/duplicates.txt"));
}

#[test]
fn other_mistakes_in_a_manifest_are_named() {
    let cluster = Cluster::start();
    let refused = |from: &str, to: &str| {
        assert!(DEPLOYMENT.contains(from), "{from}");
        cluster.apply(&DEPLOYMENT.replacen(from, to, 1)).err()
    };
    let cases = [
        ("replicas: 3", "replicsa: 3", "unknown field \"spec.replicsa\""),
        ("replicas: 3", "replicas: -1", "spec.replicas"),
        ("memory: 1Mi", "memory: 1Gi", "spec.template.spec.containers[0].resources"),
        ("mountPath: /state}", "mountPath: /state}\n        - {name: nothing, mountPath: /x}", "nothing"),
    ];
    for (from, to, named) in cases {
        let message = refused(from, to);
        assert!(message.contains(named), "{to:?} should name {named:?}:\n{message}");
    }
    assert!(cluster.kapelle("get deployments").ok().is_empty(), "nothing was stored");
}

#[test]
fn a_port_that_may_not_be_bound_is_an_event_that_names_the_remedy() {
    let free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if free.trim() != "1024" {
        eprintln!("skipped: every user of this machine may bind ports from {free}");
        return;
    }
    let cluster = Cluster::start_unprivileged();
    cluster
        .apply(
            "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}",
        )
        .ok();
    wait_until("an Event about port 80", || {
        let told = cluster.kapelle("describe service web").stdout;
        let whole = ["ListenFailed", ":80", "net.ipv4.ip_unprivileged_port_start", "use a higher port"];
        if whole.iter().all(|part| told.contains(part)) { Ok(()) } else { Err(told) }
    });
    // Nobody chose the port of the Service `kubernetes`, so it makes no node look ill.
    let conditions =
        wait_until("a condition about port 80", || match cluster.field("node/dev", "/status/conditions") {
            told if told.contains("Service default/web") => Ok(told),
            told => Err(told),
        });
    assert!(!conditions.contains("default/kubernetes"), "{conditions}");
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

#[test]
fn a_second_cluster_on_the_same_addresses_is_refused() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let mut second = std::process::Command::new(crate::cluster::KAPELLE);
    second.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    // The other range is its own; a part of one of the first cluster's is enough.
    second.args(["--service-cidr", "127.250.0.0/16", "--pod-cidr", &cluster.pod_range().replace("/17", "/20")]);
    let message = crate::cluster::Answer::of(&mut second, "").err();
    assert!(message.contains("another `kapelle dev`") && message.contains("--pod-cidr"), "{message}");
}

#[test]
fn what_waits_or_has_no_effect_is_said() {
    let cluster = Cluster::start();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {schedulerName: mine, containers: [{name: c, image: x}]}\n";
    let told = cluster.apply(pod);
    assert!(told.stderr.contains("Warning: spec.schedulerName: no scheduler \"mine\""), "{told:?}");
    cluster.wait_for_field("pod/a", "/status/conditions/0/reason", "WaitingForScheduler");

    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {type: NodePort, ports: [{port: 80}]}\n";
    let told = cluster.apply(service);
    assert!(told.stderr.contains("Warning: spec.type: NodePort works as ClusterIP"), "{told:?}");
    assert_eq!(cluster.field("service/b", "/spec/ports/0/nodePort"), "");
    assert!(cluster.kapelle("get services").ok().contains(" 80/TCP "));

    // What is no part of `kapelle dev` says so, and never nothing.
    for verb in ["cluster members", "token create --role worker"] {
        let message = cluster.kapelle(verb).err();
        assert!(message.contains("kapelle master"), "{verb}: {message}");
    }
}
