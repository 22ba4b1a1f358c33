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

/// WebAssembly's number, section, and a module or component of one section.
fn wasm(header: &[u8; 8], sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for (id, content) in sections {
        bytes.push(*id);
        bytes.extend(leb(content.len()));
        bytes.extend(content);
    }
    bytes
}

fn leb(number: usize) -> Vec<u8> {
    let last = |at: usize| number >> (7 * at) == 0;
    let length = (1..).find(|at| last(*at)).unwrap_or(1);
    (0..length).map(|at| (number >> (7 * at) & 0x7f) as u8 | if at + 1 < length { 0x80 } else { 0 }).collect()
}

#[test]
fn an_image_that_would_cost_the_compiler_all_its_stack_is_told_and_costs_nobody_anything() {
    let mut cluster = Cluster::start();
    cluster.push("slow-start");
    cluster.apply(&pod("neighbour", "slow-start", "").replace("restartPolicy: Never", "restartPolicy: Always")).ok();
    cluster.wait_until_ready("neighbour");
    // A component type within a component type, 100,000 times.
    let types = [&[1][..], &[0x41, 1, 1].repeat(100_000), &[0x41, 0]].concat();
    let file = cluster.dir().join("nested.wasm");
    std::fs::write(&file, wasm(b"\0asm\x0d\0\x01\0", &[(7, types)])).unwrap();
    cluster.apply(&pod("nested", "nested", "").replace("nested:v1", &format!("file://{}", file.display()))).ok();
    let told = |cluster: &Cluster| {
        wait_until("the Pod says why", || {
            let message = cluster.field("pod/nested", "/status/containerStatuses/0/state/waiting/message");
            if message.contains("MiB of stack") { Ok(()) } else { Err(message) }
        });
    };
    told(&cluster);
    let neighbour = format!("http://{}:8080/healthz", cluster.field("pod/neighbour", "/status/podIP"));
    assert_eq!(http_get(&neighbour).unwrap().0, 200);

    cluster.kill();
    cluster.start_again(&[]);
    told(&cluster);
}

#[test]
fn compiling_ends_with_the_pod_that_it_is_for() {
    let cluster = Cluster::start();
    // Functions that compute for 64 KiB each: minutes for a compiler.
    let mut body = vec![0, 0x20, 0];
    body.extend([0x41, 3, 0x6c, 0x41, 7, 0x73].repeat(10_000));
    body.push(0x0b);
    let body = [leb(body.len()), body].concat();
    let (count, functions) = (leb(600), 600);
    let module = wasm(
        b"\0asm\x01\0\0\0",
        &[
            (1, vec![1, 0x60, 1, 0x7f, 1, 0x7f]),
            (3, [count.clone(), vec![0; functions]].concat()),
            (10, [count, body.repeat(functions)].concat()),
        ],
    );
    let file = cluster.dir().join("large.wasm");
    std::fs::write(&file, module).unwrap();
    cluster.apply(&pod("large", "large", "").replace("large:v1", &format!("file://{}", file.display()))).ok();
    let compilers = || {
        let of_ours = |entry: &std::fs::DirEntry| {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            status.lines().any(|line| line == format!("PPid:\t{}", cluster.pid()))
                && String::from_utf8_lossy(&line).contains("compile-one-image")
        };
        std::fs::read_dir("/proc").unwrap().flatten().filter(of_ours).count()
    };
    wait_until("a compiler runs", || if compilers() == 1 { Ok(()) } else { Err("none".to_owned()) });
    cluster.kapelle("delete pod large --grace-period=1").ok();
    wait_until("no compiler runs", || if compilers() == 0 { Ok(()) } else { Err("one".to_owned()) });
}

#[test]
fn a_link_that_a_guest_made_does_not_lead_out_of_its_volume() {
    let cluster = Cluster::start();
    ["links", "kv-http"].into_iter().for_each(|sample| cluster.push(sample));
    let outside = cluster.dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "of the host").unwrap();
    // The link lies in DIR/node/pods/UID/volumes/data.
    for (pod, target) in [("out", "../../../../../outside"), ("in", "below")] {
        cluster.apply(&linked(pod, target)).ok();
    }

    let waiting = |field: &str| cluster.field("pod/out", &format!("/status/containerStatuses/0/state/waiting/{field}"));
    wait_until("the container does not start", || {
        let (reason, message) = (waiting("reason"), waiting("message"));
        let told = reason == "CreateContainerConfigError" && message.contains("leads out of the volume");
        if told { Ok(()) } else { Err(format!("{reason}: {message}")) }
    });
    cluster.wait_until_ready("in");
    let url = format!("http://{}:8080/", cluster.field("pod/in", "/status/podIP"));
    assert_eq!(http_get(&url).unwrap(), (200, "x\n".to_owned()), "a link within the volume is followed");

    cluster.kapelle("delete pod in out --grace-period=1").ok();
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "of the host");
}

/// A Pod whose first container makes a link to `target`, and whose second one is given what the link leads to.
fn linked(name: &str, target: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  volumes: [{{name: data, emptyDir: {{}}}}]\n  \
         initContainers:\n  - {{name: below, image: 'links:v1', env: [{{name: NAME, value: x}}, {{name: TARGET, value: nowhere}}], \
         volumeMounts: [{{name: data, mountPath: /data, subPath: below}}]}}\n  - {{name: link, image: 'links:v1', \
         env: [{{name: NAME, value: link}}, {{name: TARGET, value: {target}}}], volumeMounts: [{{name: data, mountPath: /data}}]}}\n  \
         containers:\n  - {{name: kv, image: 'kv-http:v1', env: [{{name: PART, value: link}}], ports: [{{containerPort: 8080}}], \
         volumeMounts: [{{name: data, mountPath: /data, subPathExpr: $(PART)}}]}}\n"
    )
}

#[test]
fn an_image_that_is_pushed_ends_the_wait_for_it() {
    let cluster = Cluster::start();
    // The module is compiled beforehand: how long that takes depends on the machine.
    cluster.push("batch");
    cluster.apply(&pod("known", "batch", "")).ok();
    cluster.wait_for_field("pod/known", "/status/phase", "Succeeded");

    cluster.apply(&pod("early", "late", "")).ok();
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    cluster.wait_for_field("pod/early", reason, "ImagePullBackOff");
    // The next try is twenty seconds away.
    let pushed = std::time::Instant::now();
    cluster.push_as("batch", "late:v1");
    cluster.wait_for_field("pod/early", "/status/phase", "Succeeded");
    assert!(pushed.elapsed() < std::time::Duration::from_secs(15), "{:?}", pushed.elapsed());
}
