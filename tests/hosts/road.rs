//! What operators do every day: roll out, drain, shrink, grow. No client may notice.

use std::{
    net::SocketAddr,
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
};

use crate::{
    http::Client,
    lab::sample,
    load::{Load, Outcome},
    patience::wait_until,
    stage::{Stage, WORKERS},
};

/// What the long form's clients rest between two requests.
pub(crate) const LONG_REST: Duration = Duration::from_millis(10);

/// The requests of the long form.
const LONG_REQUESTS: usize = 300_000;

/// Rollouts, drains, and one time smaller and larger.
const LONG_CHANGES: usize = 10 + 2 + 2;

/// A large body, in bytes: the most that the sample `kv-http` keeps.
const LARGE_BYTES: usize = 1 << 20;

/// An answer that takes longer than a rollout's steps, in milliseconds.
const SLOW_MS: u32 = 3000;

/// Rolls out new versions one after the other; answers how long the last one took to be the only one that answers.
pub(crate) fn rollouts(stage: &mut Stage, load: &Load, count: usize) -> Duration {
    let mut settled = Duration::ZERO;
    for _ in 0..count {
        let since = Instant::now();
        stage.rolls_out();
        let version = stage.version();
        settled = load.settles("the new version alone", since, |outcome| outcome.says(&version));
    }
    settled
}

/// Empties a node, and fills it again.
pub(crate) fn drain(stage: &mut Stage, load: &Load, node: &str) -> Duration {
    if !stage.has_kubectl() {
        return Duration::ZERO;
    }
    let pods = stage.pods_on(node).unwrap();
    assert!(!pods.is_empty(), "there is something to drain on {node}");
    let since = Instant::now();
    stage.kubectl(&format!("drain {node} --ignore-daemonsets --delete-emptydir-data --timeout=180s")).ok();
    assert_eq!(stage.pods_on(node).unwrap(), Vec::<String>::new(), "{node} is empty");
    let settled = load.settles("answers from the other nodes", since, |outcome| {
        outcome.answer.is_ok() && !pods.iter().any(|pod| outcome.says(pod))
    });
    stage.kubectl(&format!("uncordon {node}")).ok();
    rollouts(stage, load, 1);
    assert!(!stage.pods_on(node).unwrap().is_empty(), "{node} is used again");
    settled
}

/// Many Pods, then a single one.
pub(crate) fn shrink(stage: &mut Stage, load: &Load) -> Duration {
    stage.scales(50);
    load.settles("answers from many Pods", Instant::now(), answered);
    let since = Instant::now();
    stage.scales(1);
    let last = WORKERS.iter().find_map(|worker| stage.pods_on(worker).unwrap().pop()).unwrap();
    load.settles("answers from the last Pod", since, |outcome| outcome.says(&last))
}

/// A single Pod, then many, on all nodes: whoever was connected before is answered by more than one of them.
pub(crate) fn grow(stage: &mut Stage, load: &Load) -> Duration {
    stage.scales(1);
    load.settles("answers from a single Pod", Instant::now(), answered);
    let since = Instant::now();
    stage.scales(30);
    for worker in WORKERS {
        assert!(!stage.pods_on(worker).unwrap().is_empty(), "{worker} has Pods");
    }
    let settled = load.settles("answers", since, answered);
    load.is_balanced("every connection to be answered by several Pods", Instant::now());
    settled
}

fn answered(outcome: &Outcome) -> bool {
    outcome.answer.is_ok()
}

/// Everything under one load, which goes on for as many requests as it says.
pub(crate) fn long(stage: &mut Stage, load: &Load) -> Duration {
    let begin = Instant::now();
    let share = LONG_REQUESTS.div_ceil(LONG_CHANGES);
    for round in 0..10 {
        rollouts(stage, load, 1);
        load.go_on(share);
        match round {
            3 => drop(drain(stage, load, "w2")),
            5 => drop(shrink(stage, load)),
            6 => drop(grow(stage, load)),
            8 => drop(drain(stage, load, "w3")),
            _ => continue,
        }
        load.go_on(share);
    }
    begin.elapsed()
}

/// A large body that is half sent, and a slow answer that is half made, are not lost by a rollout of those who take them.
pub(crate) fn bodies(stage: &mut Stage, load: &Load) -> Duration {
    for image in ["kv-http", "slow-start"] {
        stage.kapelle(&format!("push {} {image}:v1", sample(image).display())).ok();
    }
    stage.lab.apply("m1", "bodies.yaml", BODIES).ok();
    let are_there = |stage: &Stage| {
        for name in ["kv", "slow"] {
            stage.kapelle(&format!("rollout status deployment/{name} --timeout=180s")).ok();
        }
    };
    are_there(stage);
    let (kv, slow) = (stage.address_of("kv"), stage.address_of("slow"));
    for worker in WORKERS {
        for name in ["kv", "slow"] {
            let url = format!("http://{}/healthz", stage.address_of(name));
            wait_until("an answer on every node", || stage.lab.get(worker, &url));
        }
        there_and_back(stage, worker, kv);
    }

    let (begun, has_begun) = mpsc::channel();
    let (mut uploads, mut answers) = (Vec::new(), Vec::new());
    for worker in WORKERS {
        let (go_on, may_go_on) = oneshot::channel();
        let begun = [begun.clone(), begun.clone()];
        let [upload, answer] = begun;
        uploads.push((go_on, stage.lab.thread(worker, move || halves(kv, upload, may_go_on))));
        answers.push(stage.lab.thread(worker, move || async move {
            answer.send(()).unwrap();
            Client::new(slow, true).get(&format!("/?ms={SLOW_MS}")).await
        }));
    }
    for _ in 0..2 * WORKERS.len() {
        has_begun.recv().unwrap();
    }
    let since = Instant::now();
    for name in ["kv", "slow"] {
        stage.kapelle(&format!("rollout restart deployment/{name}")).ok();
    }
    are_there(stage);
    for (go_on, upload) in uploads {
        go_on.send(()).unwrap();
        let answer = upload.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "half before the rollout, half after: {answer}");
    }
    for answer in answers {
        answer.join().unwrap().expect("an answer that was being made");
    }
    let settled = load.settles("answers", since, answered);
    stage.kapelle("delete deployment,service kv slow").ok();
    settled
}

/// What is sent comes back whole.
fn there_and_back(stage: &Stage, host: &str, kv: SocketAddr) {
    let value: String = (0..LARGE_BYTES).map(|place| char::from(b'a' + (place % 23) as u8)).collect();
    let sent = value.clone();
    let thread = stage.lab.thread(host, move || async move {
        let mut client = Client::new(kv, true);
        client.ask("PUT", "/large", sent.into()).await?;
        client.get("/large").await
    });
    let back = thread.join().unwrap().unwrap();
    assert!(back == value, "{} bytes went and {} came back, or others", value.len(), back.len());
}

/// Sends half a body, says so, and the other half when it is told to.
async fn halves(
    kv: SocketAddr,
    begun: mpsc::Sender<()>,
    may_go_on: oneshot::Receiver<()>,
) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect(kv).await?;
    let head = format!("PUT /half HTTP/1.1\r\nHost: kv\r\nContent-Length: {LARGE_BYTES}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let half = vec![b'h'; LARGE_BYTES / 2];
    stream.write_all(&half).await?;
    begun.send(()).unwrap();
    may_go_on.await.unwrap();
    stream.write_all(&half).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Whoever takes the bodies may take its time to end: that nothing is lost must not depend on how long a rollout takes here.
const BODIES: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: kv}
spec:
  selector: {matchLabels: {app: kv}}
  template:
    metadata: {labels: {app: kv}}
    spec:
      terminationGracePeriodSeconds: 600
      containers:
      - name: kv
        image: kv-http:v1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: slow}
spec:
  selector: {matchLabels: {app: slow}}
  template:
    metadata: {labels: {app: slow}}
    spec:
      terminationGracePeriodSeconds: 600
      containers:
      - name: slow
        image: slow-start:v1
        env: [{name: DELAY_MS, value: '1'}]
        ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: kv}
spec: {selector: {app: kv}, ports: [{port: 8090, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: slow}
spec: {selector: {app: slow}, ports: [{port: 8091, targetPort: 8080}]}
";
