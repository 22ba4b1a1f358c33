//! Guests that misbehave harm themselves only, and say how they ended.

use crate::{
    cluster::{Cluster, http_get},
    patience::wait_until,
};

fn pod(name: &str, image: &str, extra: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - name: main\n    image: {image}:v1\n    resources: {{limits: {{cpu: 200m, memory: 16Mi}}}}\n{extra}"
    )
}

#[test]
fn bad_guests_end_with_a_reason_while_their_neighbour_keeps_answering() {
    let mut cluster = Cluster::start_with(&["--demo"]);
    let url = cluster.wait_for_line("  url").split_whitespace().last().unwrap().to_owned();
    for sample in ["spin", "trap", "alloc-bomb", "flood-logs", "batch"] {
        cluster.push(sample);
        cluster.apply(&pod(sample, sample, "")).ok();
    }

    cluster.wait_for_field("pod/batch", "/status/phase", "Succeeded");
    cluster.wait_for_field("pod/trap", "/status/containerStatuses/0/state/terminated/reason", "Error");
    cluster.wait_for_field("pod/trap", "/status/containerStatuses/0/state/terminated/exitCode", "134");
    cluster.wait_for_field("pod/alloc-bomb", "/status/containerStatuses/0/state/terminated/reason", "OOMKilled");
    cluster.wait_for_field("pod/spin", "/status/phase", "Running");
    for _ in 0..20 {
        assert_eq!(http_get(&url).unwrap().0, 200);
    }

    cluster.kapelle("delete pod spin flood-logs --grace-period=1").ok();
    assert!(cluster.kapelle("get pod spin").err().contains("pods \"spin\" not found"));
}

#[test]
fn a_guest_that_keeps_failing_is_restarted_ever_more_slowly() {
    let cluster = Cluster::start();
    cluster.push("trap");
    cluster.apply(&pod("trap", "trap", "").replace("restartPolicy: Never", "restartPolicy: Always")).ok();

    cluster.wait_for_field("pod/trap", "/status/containerStatuses/0/state/waiting/reason", "CrashLoopBackOff");
    assert!(cluster.kapelle("get pods").ok().contains("CrashLoopBackOff"));
    assert!(cluster.kapelle("describe pod trap").ok().contains("BackOff"));
    let log = cluster.kapelle("logs trap").ok();
    assert!(log.contains("unreachable") || log.contains("panicked") || log.contains("trap"), "{log}");
}

#[test]
fn images_that_cannot_run_say_why_in_the_pods_status() {
    let cluster = Cluster::start();
    cluster.apply(&pod("missing", "nowhere", "")).ok();
    let text = cluster.dir().join("not.wasm");
    std::fs::write(&text, "#!/bin/sh\n").unwrap();
    cluster.apply(&pod("script", "script", "").replace("script:v1", &format!("file://{}", text.display()))).ok();

    let waiting = |pod: &str| {
        let pointer = |field| format!("/status/containerStatuses/0/state/waiting/{field}");
        let reason = cluster.field(&format!("pod/{pod}"), &pointer("reason"));
        let message = cluster.field(&format!("pod/{pod}"), &pointer("message"));
        (reason, message)
    };
    wait_until("a reason for the missing image", || {
        let (reason, message) = waiting("missing");
        let told = ["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()) && message.contains("nowhere");
        if told { Ok(()) } else { Err(format!("{reason}: {message}")) }
    });
    wait_until("a reason for the script", || {
        let (reason, message) = waiting("script");
        let told = reason == "InvalidImage" && message.contains("not WebAssembly");
        if told { Ok(()) } else { Err(format!("{reason}: {message}")) }
    });
}

#[test]
fn variables_that_grow_without_end_say_so_and_cost_nothing() {
    let cluster = Cluster::start();
    cluster.push("batch");
    let value = "x".repeat(200_000);
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: long}}\ndata: {{value: {value}}}\n");
    cluster.apply(&map).ok();
    let from = "valueFrom: {configMapKeyRef: {name: long, key: value}}";
    let double = |n: usize| format!("{{name: E{n}, value: '$(E{m})$(E{m})'}}", m = n - 1);
    let doubles = (1..45).map(double).collect::<Vec<_>>().join(", ");
    cluster.apply(&pod("grows", "batch", &format!("    env: [{{name: E0, {from}}}, {doubles}]\n"))).ok();

    let waiting =
        |field: &str| cluster.field("pod/grows", &format!("/status/containerStatuses/0/state/waiting/{field}"));
    cluster.wait_for_field(
        "pod/grows",
        "/status/containerStatuses/0/state/waiting/reason",
        "CreateContainerConfigError",
    );
    assert!(waiting("message").contains("more than 1048576 bytes"), "{}", waiting("message"));
    // What can be known at once is refused at once.
    let known = format!("    env: [{{name: E0, value: x}}, {doubles}]\n");
    let refused = cluster.apply(&pod("known", "batch", &known)).err();
    assert!(refused.contains("spec.containers[0].env[19].value") && refused.contains("1048576 bytes"), "{refused}");
}
