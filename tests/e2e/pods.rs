//! What Pods say of themselves is true: statuses, probes, what they read, how they end.

use std::os::unix::fs::PermissionsExt as _;

use crate::{
    cluster::{Answer, Cluster, KAPELLE, http_get},
    patience::wait_until,
};

fn pod(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// A field of a container's status.
fn of(container: usize, field: &str) -> String {
    format!("/status/containerStatuses/{container}/{field}")
}

#[test]
fn only_ports_that_are_served_answer_and_each_by_one_container() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.push("echo-tcp");
    cluster
        .apply(&pod("twins", "{containers: [{name: a, image: 'hello-http:v1'}, {name: b, image: 'hello-http:v1'}]}"))
        .ok();
    let probes = "readinessProbe: {tcpSocket: {port: 9999}, periodSeconds: 1}, livenessProbe: {httpGet: {port: 8080}}";
    cluster.apply(&pod("deaf", &format!("{{containers: [{{name: c, image: 'hello-http:v1', {probes}}}]}}"))).ok();
    let probes = "readinessProbe: {tcpSocket: {port: web}}, startupProbe: {httpGet: {port: 81, path: /healthz}}";
    let ports = "ports: [{containerPort: 80}, {containerPort: 81, name: web}]";
    cluster
        .apply(&pod("good", &format!("{{containers: [{{name: c, image: 'hello-http:v1', {ports}, {probes}}}]}}")))
        .ok();

    // The handler waits for its variables until the program has the port.
    let program = "{name: a, image: 'echo-tcp:v1', env: [{name: PORT, value: '8080'}]}";
    let handler = "{name: b, image: 'hello-http:v1', envFrom: [{configMapRef: {name: late}}]}";
    cluster.apply(&pod("mixed", &format!("{{containers: [{program}, {handler}]}}"))).ok();
    cluster.wait_for_field("pod/mixed", &of(0, "ready"), "true");
    cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\n").ok();
    cluster.wait_for_field("pod/mixed", &of(1, "state/waiting/reason"), "RunContainerError");

    cluster.wait_for_field("pod/good", &of(0, "ready"), "true");
    wait_until("one twin that runs and one that says why it does not", || {
        let waiting = |at: usize| cluster.field("pod/twins", &of(at, "state/waiting/message"));
        let ready = |at: usize| cluster.field("pod/twins", &of(at, "ready"));
        let told = |at: usize, other: &str| waiting(at).contains(&format!("port 8080 is served by container {other}"));
        let one = ready(0) == "true" && told(1, "a") || ready(1) == "true" && told(0, "b");
        if one { Ok(()) } else { Err(format!("{} {:?}, {} {:?}", ready(0), waiting(0), ready(1), waiting(1))) }
    });
    assert_eq!(cluster.field("pod/twins", "/status/phase"), "Running");
    wait_until("a probe that is refused", || match cluster.kapelle("describe pod deaf").printed()? {
        text if text.contains("Readiness probe failed") && text.contains("serves port 8080 only") => Ok(()),
        text => Err(text),
    });
    assert_eq!(cluster.field("pod/deaf", &of(0, "ready")), "false");
}

#[test]
fn a_request_that_runs_out_of_memory_shows_in_the_status() {
    let cluster = Cluster::start();
    cluster.push("slow-start");
    cluster
        .apply(&pod("c", "{containers: [{name: c, image: 'slow-start:v1', resources: {limits: {memory: 32Mi}}}]}"))
        .ok();
    cluster.wait_for_field("pod/c", &of(0, "ready"), "true");
    let url = format!("http://{}:8080", cluster.field("pod/c", "/status/podIP"));
    assert_eq!(http_get(&format!("{url}/alloc")).unwrap().0, 500);

    cluster.wait_for_field("pod/c", &of(0, "lastState/terminated/reason"), "OOMKilled");
    assert_eq!(cluster.field("pod/c", &of(0, "restartCount")), "1");
    assert_eq!(http_get(&format!("{url}/?ms=0")).unwrap().0, 200, "others go on");
    wait_until("an event", || match cluster.kapelle("describe pod c").printed()? {
        text if text.contains("Container c: needed more than its memory limit of 33554432 bytes") => Ok(()),
        text => Err(text),
    });
    assert!(cluster.kapelle("logs c --previous").ok().contains("memory limit"), "it is the same log");
}

#[test]
fn what_a_pod_reads_about_itself_is_true() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    let amount = |name: &str, resource: &str, divisor: &str| {
        format!("{{name: {name}, valueFrom: {{resourceFieldRef: {{resource: {resource}, divisor: {divisor}}}}}}}")
    };
    let env = [
        amount("MIB", "limits.memory", "1Mi"),
        amount("MILLIS", "requests.cpu", "1m"),
        amount("CORES", "limits.cpu", "1"),
    ];
    let resources = "resources: {limits: {memory: 64Mi}, requests: {cpu: 250m}}";
    let container = format!("{{name: c, image: 'hello-http:v1', {resources}, env: [{}]}}", env.join(", "));
    cluster.apply(&pod("a", &format!("{{containers: [{container}]}}"))).ok();
    cluster.wait_for_field("pod/a", &of(0, "ready"), "true");
    let (_, read) = http_get(&format!("http://{}:8080/env", cluster.field("pod/a", "/status/podIP"))).unwrap();
    let cores = cluster.field("node/dev", "/status/allocatable/cpu");
    for line in ["MIB=64", "MILLIS=250", &format!("CORES={cores}")] {
        assert!(read.lines().any(|found| found == line), "{line} in:\n{read}");
    }

    let image = cluster.field("pod/a", &of(0, "imageID"));
    assert!(image.starts_with("hello-http@sha256:"), "{image}");
    cluster.apply(&pod("b", &format!("{{containers: [{{name: c, image: '{image}'}}]}}"))).ok();
    cluster.wait_for_field("pod/b", &of(0, "ready"), "true");
    assert_eq!(cluster.field("pod/b", &of(0, "imageID")), image);
}

#[test]
fn files_of_volumes_have_the_modes_that_they_are_given() {
    let cluster = Cluster::start();
    cluster.push("kv-http");
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: one, b: two}}";
    cluster.apply(secret).ok();
    let items = "items: [{key: a, path: a, mode: 288}, {key: b, path: b}]";
    let volumes = format!(
        "volumes: [{{name: given, secret: {{secretName: s, defaultMode: 256, {items}}}}}, \
         {{name: usual, secret: {{secretName: s}}}}]"
    );
    let mounts = "volumeMounts: [{name: given, mountPath: /given}, {name: usual, mountPath: /usual}]";
    let spec = format!("{{{volumes}, containers: [{{name: kv, image: 'kv-http:v1', {mounts}}}]}}");
    cluster.apply(&pod("modes", &spec)).ok();
    cluster.wait_until_ready("modes");
    let dir = cluster.dir().join("node/pods").join(cluster.field("pod/modes", "/metadata/uid")).join("volumes");
    let mode = |file: &str| std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("given/a"), mode("given/b"), mode("usual/a")], [0o440, 0o400, 0o644]);
    assert_eq!(mode("..") & 0o077, 0, "nobody else gets that far");
}

#[test]
fn a_token_in_a_pod_is_the_pods_account_as_long_as_the_pod_is_there() {
    let cluster = Cluster::start();
    cluster.push("kv-http");
    cluster.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: till}}").ok();
    let sources = "[{serviceAccountToken: {path: token, expirationSeconds: 600}}, \
                    {serviceAccountToken: {path: vault/token, audience: vault}}, \
                    {configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}}]";
    let volume = format!("{{name: t, projected: {{defaultMode: 288, sources: {sources}}}}}");
    let mounts = "volumeMounts: [{name: t, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]";
    let spec = format!(
        "{{serviceAccountName: till, volumes: [{volume}], containers: [{{name: kv, image: 'kv-http:v1', {mounts}}}]}}"
    );
    cluster.apply(&pod("teller", &spec)).ok();
    cluster.wait_until_ready("teller");
    let dir = cluster.dir().join("node/pods").join(cluster.field("pod/teller", "/metadata/uid")).join("volumes/t");
    let [token, other] = ["token", "vault/token"].map(|file| std::fs::read_to_string(dir.join(file)).unwrap());
    assert_eq!(std::fs::metadata(dir.join("token")).unwrap().permissions().mode() & 0o777, 0o440);
    let header = |token: &str| format!("Authorization: Bearer {token}");
    let asked = |token: &str| {
        let authority = dir.join("ca.crt");
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "--max-time", "20", "-H", &header(token), "-H", "Content-Type: application/json"]);
        command.arg("--cacert").arg(if authority.exists() { authority } else { cluster.dir().join("pki/ca.crt") });
        let path = "apis/authentication.k8s.io/v1/selfsubjectreviews";
        command.args(["-d", "{}"]).arg(format!("https://{}/{path}", cluster.contact()));
        Answer::of(&mut command, "").stdout
    };
    let told = asked(&token);
    assert!(told.contains("system:serviceaccount:default:till"), "{told}");
    assert!(told.contains("\"authentication.kubernetes.io/pod-name\":[\"teller\"]"), "{told}");
    assert!(told.contains("authentication.kubernetes.io/node-name"), "{told}");
    assert!(asked(&other).contains("another audience"), "that one is for others");
    cluster.kapelle("delete pod teller --grace-period=1").ok();
    let told = asked(&token);
    assert!(told.contains("Unauthorized") && told.contains("deleted"), "{told}");
}

#[test]
fn a_program_is_ready_once_it_works_and_ends_when_it_is_asked() {
    let cluster = Cluster::start();
    cluster.push("trap");
    cluster.push("log-sidecar");
    let template = "{metadata: {labels: {app: bad}}, spec: {containers: [{name: c, image: 'trap:v1'}]}}";
    cluster
        .apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bad}}\nspec: {{selector: {{matchLabels: {{app: bad}}}}, template: {template}}}\n"
        ))
        .ok();
    // It fails each time at its start: nothing may be told of it in between.
    let waited = cluster.kapelle("rollout status deployment/bad --timeout=5s").err();
    assert!(waited.contains("was not rolled out"), "{waited}");
    // Nobody ever asks it to stop but by ending it: an hour of grace would be waited for in vain.
    cluster
        .apply(&pod("good", "{terminationGracePeriodSeconds: 3600, containers: [{name: c, image: 'log-sidecar:v1'}]}"))
        .ok();
    cluster.wait_for_field("pod/good", &of(0, "ready"), "true");
    cluster.kapelle("delete pod good --wait=false").ok();
    wait_until("the end of the program", || match cluster.kapelle("get pod good").printed() {
        Err(error) if error.contains("not found") => Ok(()),
        other => Err(format!("{other:?}")),
    });

    wait_until("a program that keeps failing", || match cluster.kapelle("get pods").printed()? {
        pods if pods.contains("CrashLoopBackOff") => Ok(()),
        pods => Err(pods),
    });
    let available = cluster.field("deployment/bad", "/status/conditions").contains("MinimumReplicasAvailable");
    assert!(!available, "it was never available");
}

#[test]
fn output_that_nobody_takes_ends_quietly_or_with_an_error() {
    let cluster = Cluster::start();
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(KAPELLE);
        command.args(arguments).arg("--kubeconfig").arg(cluster.kubeconfig());
        command
    };
    for arguments in [&["get", "namespaces", "-o", "yaml"][..], &["describe", "node", "dev"], &["version"], &["--help"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output: No space left"), "{arguments:?}: {said}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(command(&["get", "pod", "nobody"]).stderr(full).output().unwrap().status.code(), Some(1));
    }
    assert!(Answer::of(&mut command(&["get", "pod", "nobody"]), "").err().starts_with("Error from server (NotFound)"));
}
