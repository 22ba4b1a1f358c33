//! Writers: clients that write for as long as a test goes on, and remember what was acknowledged.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    lab::{Lab, fed},
    patience::wait_until,
};

/// How long a writer rests after a command that failed.
const REST: Duration = Duration::from_millis(20);

/// Some writers at work.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

/// What all writers know.
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// When the last write was acknowledged, and the longest time without one.
    last: Mutex<(Instant, Duration)>,
    /// What commands that failed said.
    failures: Mutex<Vec<String>>,
}

/// What writers did.
pub(crate) struct Written {
    /// What was created, and acknowledged.
    pub(crate) names: Vec<String>,
    /// What commands that failed said.
    pub(crate) failures: Vec<String>,
    /// The longest time in which nobody's write was acknowledged.
    pub(crate) longest_gap: Duration,
}

impl Writers {
    /// So many writers on one host. Each knows all the masters, and begins with another one.
    pub(crate) fn start(lab: &Lab, host: &str, masters: &[&str], writers: usize) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            last: Mutex::new((Instant::now(), Duration::ZERO)),
            failures: Mutex::default(),
        });
        let start = |number: usize| {
            let mut servers: Vec<String> =
                masters.iter().map(|master| format!("https://{}", lab.contact(master))).collect();
            servers.rotate_left(number % masters.len());
            let (servers, space, shared) = (servers.join(","), lab.namespace(host), shared.clone());
            let config = lab.kubeconfig(masters[0]).to_str().unwrap().to_owned();
            thread::spawn(move || shared.write(number, &space, &["--server", &servers, "--kubeconfig", &config]))
        };
        Self { threads: (0..writers).map(start).collect(), shared }
    }

    /// Waits until so many more writes are acknowledged.
    #[track_caller]
    pub(crate) fn go_on(&self, more: u64, hint: impl Fn() -> String) {
        let before = self.shared.acknowledged.load(Ordering::Relaxed);
        wait_until("writes to go on", || match self.shared.acknowledged.load(Ordering::Relaxed) {
            now if now >= before + more => Ok(()),
            now => Err(format!("{now} acknowledged, {before} before; {}", hint())),
        });
    }

    /// Lets every writer end its last command.
    pub(crate) fn stop(self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        let names = self.threads.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap());
        let longest_gap = self.shared.last.lock().unwrap().1;
        Written { names, failures, longest_gap }
    }
}

impl Shared {
    /// Creates one ConfigMap after the other; answers the names whose creation was acknowledged.
    fn write(&self, number: usize, space: &str, connection: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        for count in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("w{number}-{count}");
            let manifest = format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{name}\"}},\"data\":{{\"a\":\"b\"}}}}"
            );
            let answer = fed(space, &[&["apply", "-f", "-"], connection].concat(), &manifest);
            if answer.ok {
                names.push(name);
                self.acknowledge();
            } else {
                self.failures.lock().unwrap().push(format!("{name}: {}", answer.stderr));
                thread::park_timeout(REST);
            }
        }
        names
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let (now, mut last) = (Instant::now(), self.last.lock().unwrap());
        last.1 = last.1.max(now.duration_since(last.0));
        last.0 = now;
    }
}

impl Written {
    /// Everything that was acknowledged is known on a master.
    #[track_caller]
    pub(crate) fn is_all_on(&self, lab: &Lab, master: &str) {
        let list = wait_until("the list", || lab.kapelle(master, "get configmaps -o name").printed());
        let there: HashSet<&str> = list.lines().filter_map(|line| line.rsplit('/').next()).collect();
        let lost: Vec<&String> = self.names.iter().filter(|name| !there.contains(name.as_str())).collect();
        assert!(lost.is_empty(), "of {} acknowledged writes {master} lost: {lost:?}", self.names.len());
    }

    /// What happened, in a line.
    pub(crate) fn story(&self) -> String {
        format!(
            "{} writes acknowledged, {} commands failed, at most {} ms without a write",
            self.names.len(),
            self.failures.len(),
            self.longest_gap.as_millis()
        )
    }
}
