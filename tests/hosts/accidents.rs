//! What happens to hosts: they die, fall silent, come back, come anew, move, fill up, and run other things besides.

use std::{
    fs::File,
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    load::{Load, Outcome},
    patience::wait_until,
    stage::{MASTERS, Service, Stage, WORKERS},
};

/// The worker to which it happens.
const WORKER: &str = "w3";

/// By half the time after which a node is given up for want of heartbeats, somebody else must have told that it is gone.
/// What is promised is a twentieth of that; this much a test can demand of any machine.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// So often a worker comes anew.
const NEWCOMERS: usize = 5;

/// The most lines that a process may write about one full disk.
const COMPLAINTS_MAX: usize = 200;

/// A port on which a daemon of the host listens, and so does a Service.
const TAKEN_PORT: u16 = 8099;

/// A port on which only a daemon of the host listens.
const DAEMONS_PORT: u16 = 8098;

fn answered(outcome: &Outcome) -> bool {
    outcome.answer.is_ok()
}

/// Its Pods get nothing any more; answers after how long.
fn is_out(stage: &Stage, load: &Load, since: Instant, pods: &[String]) -> Duration {
    wait_until("the Pods of the lost worker to be out of the tables", || match stage.endpoints_on(WORKER)? {
        0 => Ok(()),
        left => Err(format!("{left} are listed as ready")),
    });
    let listed = since.elapsed();
    let asked = load.settles("answers from the other workers", since, |outcome| {
        answered(outcome) && !pods.iter().any(|pod| outcome.says(pod))
    });
    let out = listed.max(asked);
    assert!(out < TOLD_WITHIN, "nobody told of the lost worker: its Pods were asked for {out:?}");
    out
}

/// Its Pods are the same as before and answer, and its clients are answered.
fn is_back(stage: &Stage, load: &Load, pods: &[String]) {
    wait_until("the worker's Pods to be listed again", || match stage.endpoints_on(WORKER)? {
        now if now == pods.len() => Ok(()),
        now => Err(format!("{now} are listed as ready; {}", stage.lab.complaints(WORKER))),
    });
    assert_eq!(stage.pods_on(WORKER).unwrap(), pods, "nobody was replaced");
    answers_on(stage, WORKER);
    load.hears("the worker's Pods to answer", Instant::now(), pods);
    load.settles("answers", Instant::now(), answered);
}

fn answers_on(stage: &Stage, worker: &str) {
    for service in [Service::Web, Service::Sticky] {
        let url = stage.url(service);
        wait_until("an answer on the worker", || stage.lab.get(worker, &url));
    }
}

/// The process of a worker dies.
pub(crate) fn kill(stage: &mut Stage, load: &Load) -> Duration {
    let pods = stage.pods_on(WORKER).unwrap();
    let since = Instant::now();
    stage.lab.kill(WORKER);
    let out = is_out(stage, load, since, &pods);
    stage.lab.worker(WORKER, None);
    stage.lab.ready(WORKER);
    is_back(stage, load, &pods);
    out
}

/// A cable is pulled, and plugged in again.
pub(crate) fn cut_off(stage: &mut Stage, load: &Load) -> Duration {
    let pods = stage.pods_on(WORKER).unwrap();
    let since = Instant::now();
    stage.lab.cut(WORKER, true);
    let out = is_out(stage, load, since, &pods);
    stage.lab.cut(WORKER, false);
    is_back(stage, load, &pods);
    out
}

/// A worker is stopped as operators do it, and started again.
pub(crate) fn restart(stage: &mut Stage, load: &Load) -> Duration {
    let pods = stage.pods_on(WORKER).unwrap();
    let since = Instant::now();
    stage.lab.signal(WORKER, "TERM");
    assert!(stage.lab.ended(WORKER), "{}", stage.lab.complaints(WORKER));
    stage.lab.worker(WORKER, None);
    stage.lab.ready(WORKER);
    is_back(stage, load, &pods);
    since.elapsed()
}

/// The process is gone, and so are the routes of its host.
pub(crate) fn reboot(stage: &mut Stage, load: &Load) -> Duration {
    let pods = stage.pods_on(WORKER).unwrap();
    let since = Instant::now();
    stage.lab.kill(WORKER);
    stage.forgets_routes(WORKER);
    stage.lab.worker(WORKER, None);
    stage.lab.ready(WORKER);
    is_back(stage, load, &pods);
    since.elapsed()
}

/// Nobody is there to tell a worker what to run: it runs what it last knew.
pub(crate) fn restart_without_masters(stage: &mut Stage, load: &Load) -> Duration {
    let pods = stage.pods_on(WORKER).unwrap();
    let urls = [Service::Web, Service::Sticky].map(|service| stage.url(service));
    for master in MASTERS {
        stage.lab.kill(master);
    }
    let since = Instant::now();
    stage.lab.kill(WORKER);
    stage.forgets_routes(WORKER);
    stage.lab.worker(WORKER, None);
    for url in &urls {
        wait_until("an answer on the worker without any master", || stage.lab.get(WORKER, url));
    }
    load.hears("the worker's Pods to answer without any master", since, &pods);
    let settled = since.elapsed();
    for master in MASTERS {
        stage.lab.master(master, None);
    }
    for master in MASTERS {
        stage.lab.ready(master);
    }
    stage.lab.ready(WORKER);
    is_back(stage, load, &pods);
    settled
}

/// A worker that is new, or was rebooted, serves the Services that were there before it, although nothing of them changes.
/// Whether a worker learns of Services or of its routes first is chance, so it comes several times.
pub(crate) fn newcomer(stage: &mut Stage, load: &Load) -> Duration {
    let since = Instant::now();
    stage.joins("w4");
    answers_on(stage, "w4");
    let settled = since.elapsed();
    for _ in 0..NEWCOMERS {
        assert_eq!(stage.pods_on("w4").unwrap(), Vec::<String>::new(), "nothing changes");
        stage.lab.kill("w4");
        stage.forgets_routes("w4");
        stage.lab.worker("w4", None);
        answers_on(stage, "w4");
    }
    load.settles("answers", since, answered);
    stage.lab.kill("w4");
    stage.kapelle("delete node w4").ok();
    settled
}

/// A master gets another address, and is one of the group again.
pub(crate) fn master_moves(stage: &mut Stage, load: &Load) -> Duration {
    let since = Instant::now();
    stage.lab.signal("m3", "TERM");
    assert!(stage.lab.ended("m3"), "{}", stage.lab.complaints("m3"));
    stage.lab.renumber("m3", 103);
    stage.lab.master("m3", None);
    stage.lab.ready("m3");
    let contact = stage.lab.contact("m3");
    for asked in MASTERS {
        wait_until("the master under its new address", || {
            let status = stage.lab.status(asked)?;
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let is_there = |member: &&serde_json::Value| member["address"] == contact && member["reachable"] == true;
            if members.iter().any(|member| is_there(&member)) { Ok(()) } else { Err(status.to_string()) }
        });
    }
    let settled = since.elapsed();
    for worker in WORKERS {
        let known = stage.lab.dir(worker).join("cluster.json");
        wait_until("the workers to know", || match std::fs::read_to_string(&known).unwrap() {
            text if text.contains(&contact) => Ok(()),
            text => Err(text),
        });
    }
    load.settles("answers", since, answered);
    settled
}

/// A worker whose disk is full says so in its Node, not over and over in its log, and serves on.
pub(crate) fn full_disk(stage: &mut Stage, load: &Load) -> Duration {
    if !stage.has_disk {
        eprintln!("skipped: a small disk needs mkfs.ext4 and loop devices");
        return Duration::ZERO;
    }
    let pressure = |stage: &Stage, wanted: &str| {
        wait_until("the disk's condition", || match stage.condition(WORKER, "DiskPressure")? {
            now if now == wanted => Ok(()),
            now => Err(format!("DiskPressure is {now}, not {wanted}")),
        });
    };
    pressure(stage, "False");
    let ballast = stage.lab.dir(WORKER).join("ballast");
    fill(&ballast);
    let since = Instant::now();
    pressure(stage, "True");
    let settled = since.elapsed();
    load.settles("answers", since, answered);
    let lines = stage.lab.complaints(WORKER).lines().count();
    assert!(lines < COMPLAINTS_MAX, "{lines} lines about a full disk");
    std::fs::remove_file(&ballast).unwrap();
    pressure(stage, "False");
    settled
}

/// Leaves no room on a filesystem.
fn fill(ballast: &std::path::Path) {
    let mut file = File::create(ballast).unwrap();
    for piece in [1 << 20, 4096] {
        let bytes = vec![1; piece];
        assert!((0..1 << 16).any(|_| file.write_all(&bytes).and_then(|()| file.sync_data()).is_err()));
    }
}

/// A daemon that listens on every address of its host answers on none of the cluster's.
pub(crate) fn daemon(stage: &mut Stage, load: &Load) -> Duration {
    let daemons = [TAKEN_PORT, DAEMONS_PORT].map(|port| Daemon::start(stage, "w2", port));
    let since = Instant::now();
    let late = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: late}}, \
         spec: {{selector: {{app: web}}, ports: [{{port: {TAKEN_PORT}, targetPort: 8080}}]}}}}"
    );
    stage.lab.apply("m1", "late.yaml", &late).ok();
    let url = format!("http://{}/", stage.address_of("late"));
    wait_until("an answer where nothing is in the way", || stage.lab.get("w1", &url));
    wait_until("an answer of a Pod, or an Event", || is_served_or_told(stage, &url));
    let settled = since.elapsed();
    let pod = stage.pods().unwrap()[0]["status"]["podIP"].as_str().unwrap().to_owned();
    for address in [stage.address_of("late").ip().to_string(), pod] {
        let answer = stage.lab.get("w2", &format!("http://{address}:{DAEMONS_PORT}/"));
        assert!(answer.is_err(), "the host's daemon answers on {address}");
    }
    drop(daemons);
    wait_until("an answer of a Pod once nothing is in the way", || match stage.lab.get("w2", &url)? {
        text if text.contains("Hello from") => Ok(()),
        text => Err(text),
    });
    load.settles("answers", since, answered);
    stage.kapelle("delete service late").ok();
    settled
}

fn is_served_or_told(stage: &Stage, url: &str) -> Result<(), String> {
    let answer = stage.lab.get("w2", url);
    if answer.as_ref().is_ok_and(|text| text.contains("Hello from")) {
        return Ok(());
    }
    let told = stage.kapelle("describe service late").printed()?;
    let is_told = told.contains("ListenFailed") && told.contains(&TAKEN_PORT.to_string());
    match answer {
        Ok(text) => Err(format!("the daemon answers on the Service's address: {text}")),
        Err(_) if is_told => Ok(()),
        Err(error) => Err(format!("{error}; {told}")),
    }
}

/// Something of the host's own that answers on a port of every address.
struct Daemon {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    fn start(stage: &Stage, host: &str, port: u16) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (listens, is_listening) = std::sync::mpsc::channel();
        let thread = stage.lab.thread(host, move || async move {
            let listener = TcpListener::bind(("0.0.0.0", port)).await.unwrap();
            listens.send(()).unwrap();
            let serve = async {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndaemon")
                        .await;
                }
            };
            tokio::select! {
                () = serve => {}
                _ = stopped => {}
            }
        });
        is_listening.recv().unwrap();
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client that speaks HTTP/2 without asking is served, or told clearly that nobody does here.
pub(crate) fn http2(stage: &mut Stage, load: &Load) -> Duration {
    let since = Instant::now();
    for worker in WORKERS {
        let address = stage.address(Service::Web);
        let answer = stage.lab.thread(worker, move || http2_answer(address)).join().unwrap().unwrap();
        let is_http2 = answer.get(3) == Some(&4);
        let text = String::from_utf8_lossy(&answer);
        let is_told = text.starts_with("HTTP/1.1 ") && text.contains("HTTP/2");
        assert!(is_http2 || is_told, "HTTP/2 is answered with {text:?}");
    }
    load.settles("answers", since, answered);
    since.elapsed()
}

/// What comes back for the first bytes of HTTP/2: its preface and empty settings.
async fn http2_answer(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut answer = Vec::new();
    while answer.len() < 4 || answer.starts_with(b"HTTP") {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(answer)
}

/// A node takes no more Pods than its range has addresses.
pub(crate) fn ranges(stage: &mut Stage, load: &Load) -> Duration {
    let since = Instant::now();
    for worker in WORKERS {
        let node = stage.object(&format!("node {worker}")).unwrap();
        let range = node["spec"]["podCIDR"].as_str().unwrap();
        let prefix: u32 = range.split('/').nth(1).unwrap().parse().unwrap();
        let pods: u64 = node["status"]["allocatable"]["pods"].as_str().unwrap().parse().unwrap();
        let addresses = (1_u64 << (32 - prefix)) - 2;
        assert!(pods <= addresses, "{worker} takes {pods} Pods into {range}, which has {addresses} addresses");
    }
    load.settles("answers", since, answered);
    since.elapsed()
}
