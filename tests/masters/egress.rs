//! What Pods reach where nodes and masters are hosts of their own.

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: dial}
spec:
  nodeName: w1
  containers: [{name: dial, image: 'dial:v1', ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: dial-p3}
spec:
  nodeName: w1
  containers: [{name: dial, image: 'dial-p3:v1', ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: far}
spec:
  nodeName: w2
  containers: [{name: dial, image: 'dial-p3:v1', ports: [{containerPort: 8080}]}]
";

fn pod_ip(lab: &Lab, pod: &str) -> String {
    let pod: serde_json::Value =
        serde_json::from_str(&lab.kapelle("m1", &format!("get pod {pod} -o json")).ok()).unwrap();
    pod["status"]["podIP"].as_str().unwrap().to_owned()
}

#[test]
fn pods_reach_each_other_the_api_and_outside_hosts_but_nothing_else_of_nodes_and_masters() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "w1", "w2", "out"]) else { return };
    lab.three_masters();
    for worker in ["w1", "w2"] {
        let token = lab.token("m1", &format!("--role worker --node {worker}"));
        lab.worker(worker, Some(&token));
        lab.ready(worker);
    }
    // More addresses of the worker's host, as other networks and container engines give them.
    for own in ["192.168.77.1/32", "169.254.7.7/32", "fd00:77::1/128"] {
        lab.on("w1", "ip", &["addr", "add", own, "dev", "lo"]).ok();
    }
    for image in ["dial", "dial-p3"] {
        lab.kapelle("m1", &format!("push {} {image}:v1", sample(image).display())).ok();
    }
    lab.apply("m1", "pods.yaml", PODS).ok();
    for pod in ["dial", "dial-p3", "far"] {
        wait_until("a Pod that runs", || {
            let told = lab.kapelle("m1", &format!("get pod {pod}")).printed()?;
            if told.contains("1/1") { Ok(()) } else { Err(told) }
        });
    }
    let (dial, dial_p3, far) = (pod_ip(&lab, "dial"), pod_ip(&lab, "dial-p3"), pod_ip(&lab, "far"));
    let ways = [(&dial, "p2"), (&dial, "p3"), (&dial, "http"), (&dial_p3, "connect"), (&dial_p3, "get")];
    let ask = |pod: &str, verb: &str, to: &str| lab.get("w1", &format!("http://{pod}:8080/?{verb}={to}")).unwrap();
    let is_denied = |answer: &str| {
        ["AccessDenied", "PermissionDenied", "HttpRequestDenied"].iter().any(|word| answer.contains(word))
    };

    let address = |host| lab.address(host);
    // The API is all that they reach of masters, and HTTP without TLS is nothing there.
    for to in [lab.contact("m1"), lab.contact("m3")] {
        for (pod, verb) in ways.into_iter().filter(|(_, verb)| *verb != "p3") {
            let answer = ask(pod, verb, &to);
            let is_tcp = !matches!(verb, "http" | "get");
            assert!(if is_tcp { answer == "connected" } else { is_denied(&answer) }, "{verb} {to}: {answer}");
        }
    }
    let hosts = [
        format!("{}:22", address("m1")),
        format!("{}:6442", address("m3")),
        format!("{}:22", address("w1")),
        format!("{}:22", address("w2")),
        format!("[::ffff:{}]:22", address("m1")),
        "192.168.77.1:80".to_owned(),
        "169.254.7.7:80".to_owned(),
        "[fd00:77::1]:80".to_owned(),
    ];
    for to in &hosts {
        for (pod, verb) in ways {
            let answer = ask(pod, verb, to);
            assert!(is_denied(&answer), "{verb} {to}: {answer}");
        }
    }
    for (pod, verb) in ways.into_iter().filter(|(_, verb)| *verb != "p3") {
        let answer = ask(pod, verb, &format!("{far}:8080"));
        assert!(answer == "connected" || answer == "200", "{verb}: {answer}");
        // Nobody listens out there, and that is what its host says.
        let answer = ask(pod, verb, &format!("{}:80", address("out")));
        assert!(answer.contains("Refused") || answer.contains("Terminated"), "{verb}: {answer}");
    }
    wait_until("a Pod of the other node", || lab.get("w2", &format!("http://{far}:8080/?get={dial_p3}:8080")));
}

/// A Service that leads to one address.
fn service_at(name: &str, address: &str, port: u16) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: [{{addresses: ['{address}']}}]
ports: [{{name: '', port: {port}}}]
---"
    )
}

/// Answers everybody alike.
async fn answers() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
    }
}

#[test]
fn the_api_leads_to_services_of_outside_hosts_and_to_no_node_and_no_master() {
    let Some(mut lab) = Lab::new(&["m1", "w1", "out"]) else { return };
    lab.master("m1", None);
    lab.ready("m1");
    lab.worker_of_one("w1", &[], "");
    lab.ready("w1");
    drop(lab.thread("out", answers));
    let asked = |name: &str| lab.asked("m1", &format!("/api/v1/namespaces/default/services/{name}/proxy/"));
    let hosts =
        [("out", lab.address("out"), 8080), ("master", lab.address("m1"), 6443), ("node", lab.address("w1"), 22)];
    let metadata = ("metadata", "169.254.169.254".to_owned(), 80);
    let hosts: Vec<_> = hosts.into_iter().chain([metadata]).collect();
    let manifest: String = hosts.iter().map(|(name, address, port)| service_at(name, address, *port)).collect();
    lab.apply("m1", "outside.yaml", &manifest).ok();
    wait_until("an answer from outside", || match asked("out").as_str() {
        "200" => Ok(()),
        other => Err(other.to_owned()),
    });
    for (name, ..) in &hosts[1..] {
        assert_eq!(asked(name), "403", "{name}");
    }
}
