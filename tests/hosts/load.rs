//! Load: clients on several hosts that ask until they are told to stop, and what each of their requests came to.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    http::Client,
    lab::Lab,
    patience::{PATIENCE, wait_until},
};

/// Clients that keep their connection, on all hosts together.
const KEEPING: usize = 64;

/// Clients that open a connection for each request, on all hosts together.
const OPENING: usize = 8;

/// The most requests of one client, so that a test that hangs ends.
const REQUESTS_MAX: usize = 100_000;

/// So many requests in a row must be as wanted before something has settled; each host must have asked some of them.
const STRETCH: usize = 200;

/// So many of them must come from each host.
const STRETCH_EACH: usize = 10;

/// So many requests must fail before nothing better is waited for.
const FAILED_MAX: usize = 1000;

/// Some clients at work.
pub(crate) struct Load {
    hosts: Vec<&'static str>,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// What all clients know.
struct Shared {
    stop: AtomicBool,
    /// How long a client rests between two requests.
    rest: Duration,
    outcomes: Mutex<Vec<Outcome>>,
}

/// What a request came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Where the client is.
    pub(crate) host: &'static str,
    /// Which one it is.
    client: usize,
    pub(crate) began: Instant,
    ended: Instant,
    /// What the Pod said, or why nobody answered.
    pub(crate) answer: Result<String, String>,
}

/// What a load came to.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// The most that failed of one client.
    pub(crate) failed_of_one: usize,
    pub(crate) first_failure: String,
    /// The longest that any client waited for one answer.
    pub(crate) longest: Duration,
    /// The longest time in which nobody got an answer.
    pub(crate) gap: Duration,
}

impl Load {
    /// Clients on these hosts ask `http://ADDRESS/`.
    pub(crate) fn start(lab: &Lab, hosts: &[&'static str], address: SocketAddr, rest: Duration) -> Self {
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), rest, outcomes: Mutex::default() });
        let start = |(index, host): (usize, &&'static str)| {
            let (shared, host, hosts) = (shared.clone(), *host, hosts.len());
            lab.thread(host, move || async move {
                let mine = (0..KEEPING + OPENING).filter(|client| client % hosts == index);
                futures::future::join_all(mine.map(|client| shared.work(host, client, address))).await;
            })
        };
        let threads = hosts.iter().enumerate().map(start).collect();
        Self { hosts: hosts.to_vec(), shared, threads }
    }

    /// Waits until so many more requests have come to something.
    #[track_caller]
    pub(crate) fn go_on(&self, more: usize) {
        let count = || self.shared.outcomes().len();
        let before = count();
        wait_until("requests to go on", || match count() {
            now if now >= before + more => Ok(()),
            now => Err(format!("{now} requests, {before} before")),
        });
    }

    /// Waits until every host gets nothing but what is wanted; answers how long after `since` the last other thing came.
    #[track_caller]
    pub(crate) fn settles(&self, what: &str, since: Instant, wanted: impl Fn(&Outcome) -> bool) -> Duration {
        wait_until(what, || {
            let outcomes = self.shared.outcomes();
            let failed = outcomes.iter().filter(|outcome| outcome.answer.is_err()).count();
            assert!(failed < FAILED_MAX, "{what}: {failed} requests failed; {}", last_failure(&outcomes));
            let other = outcomes.iter().rposition(|outcome| outcome.began < since || !wanted(outcome));
            let stretch = &outcomes[other.map_or(0, |other| other + 1)..];
            let of = |host: &str| stretch.iter().filter(|outcome| outcome.host == host).count();
            if stretch.len() >= STRETCH && self.hosts.iter().all(|host| of(host) >= STRETCH_EACH) {
                return Ok(other.map_or(Duration::ZERO, |other| outcomes[other].ended.saturating_duration_since(since)));
            }
            Err(format!("{} requests are as wanted since {:?}", stretch.len(), other.map(|other| &outcomes[other])))
        })
    }

    /// Waits until each of these has answered.
    #[track_caller]
    pub(crate) fn hears(&self, what: &str, since: Instant, names: &[String]) {
        wait_until(what, || {
            let outcomes = self.shared.outcomes();
            let heard = |name: &&String| {
                outcomes.iter().rev().take_while(|outcome| outcome.began > since).any(|outcome| outcome.says(name))
            };
            let silent: Vec<&String> = names.iter().filter(|name| !heard(name)).collect();
            if silent.is_empty() {
                Ok(())
            } else {
                Err(format!("{silent:?} did not answer; {}", last_failure(&outcomes)))
            }
        });
    }

    /// Waits until every client that keeps its connection has been answered by more than one Pod.
    #[track_caller]
    pub(crate) fn is_balanced(&self, what: &str, since: Instant) {
        wait_until(what, || {
            let outcomes = self.shared.outcomes();
            let mut answers = vec![BTreeSet::new(); KEEPING];
            for outcome in outcomes.iter().rev().take_while(|outcome| outcome.began > since) {
                if let (Some(answers), Ok(text)) = (answers.get_mut(outcome.client), &outcome.answer) {
                    answers.insert(text);
                }
            }
            match answers.iter().filter(|answers| answers.len() < 2).count() {
                0 => Ok(()),
                stuck => Err(format!("{stuck} of {KEEPING} stay with one Pod")),
            }
        });
    }

    /// Lets every client end its last request.
    pub(crate) fn stop(self) -> Sum {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        Sum::of(&self.shared.outcomes())
    }
}

impl Shared {
    /// A test that gives up while it looks must not keep the clients from telling.
    fn outcomes(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, host: &'static str, client: usize, address: SocketAddr) {
        let mut http = Client::new(address, client < KEEPING);
        for _ in 0..REQUESTS_MAX {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, http.get("/")).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer at all".to_owned()));
            let outcome = Outcome { host, client, began, ended: Instant::now(), answer };
            self.outcomes().push(outcome);
            tokio::time::sleep(self.rest).await;
        }
    }
}

fn last_failure(outcomes: &[Outcome]) -> String {
    outcomes.iter().rev().find_map(|outcome| outcome.answer.clone().err()).unwrap_or_default()
}

impl Outcome {
    /// Whether a Pod answered, with this text in what it said.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.contains(text))
    }
}

impl Sum {
    fn of(outcomes: &[Outcome]) -> Self {
        let failed = |outcome: &&Outcome| outcome.answer.is_err();
        let of_one = |client| outcomes.iter().filter(failed).filter(|outcome| outcome.client == client).count();
        let mut answered: Vec<Instant> =
            outcomes.iter().filter(|outcome| outcome.answer.is_ok()).map(|outcome| outcome.ended).collect();
        answered.sort_unstable();
        Self {
            requests: outcomes.len(),
            failed: outcomes.iter().filter(failed).count(),
            failed_of_one: (0..KEEPING + OPENING).map(of_one).max().unwrap_or(0),
            first_failure: outcomes.iter().find_map(|outcome| outcome.answer.clone().err()).unwrap_or_default(),
            longest: outcomes.iter().map(|outcome| outcome.ended - outcome.began).max().unwrap_or_default(),
            gap: answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default(),
        }
    }
}
