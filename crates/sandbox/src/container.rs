//! A running workload.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Body;

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Returned, or exited with 0.
    Completed,
    /// Exited with another code, or trapped.
    Error,
    /// Was refused memory beyond its limit and did not survive that.
    OomKilled,
    /// Ended by `kill` or `stop`.
    Killed,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The guest's own code; 134 after a trap, 137 when killed or out of memory.
    pub code: i32,
    /// Why.
    pub reason: ExitReason,
    /// What happened, for people: a trap with the guest's function, the limit that was hit. Empty if there is nothing to say.
    pub message: String,
}

/// What a container has used and done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time of the guest and of its host calls.
    pub cpu: Duration,
    /// Linear memory now, in bytes, over all instances.
    pub memory_bytes: u64,
    /// The most linear memory at any moment, in bytes.
    pub memory_peak_bytes: u64,
    /// Requests that came to the guest.
    pub requests: u64,
    /// Requests or runs that trapped.
    pub traps: u64,
    /// Growths that were refused because of the memory limit.
    pub memory_refused: u64,
    /// Requests that got no answer in time.
    pub timeouts: u64,
}

/// A running workload. Clones are the same container; it goes on when all of them are dropped, until it ends or the sandbox does.
#[derive(Clone)]
pub struct Container {
    shared: Arc<()>,
}

impl Container {
    /// Waits until the container has ended and says how; at once if it already has. HTTP containers end by `stop` or `kill` only.
    pub async fn exited(&self) -> Exit {
        std::future::pending().await
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        None
    }

    /// Ends it now; a guest in a loop stops within a few milliseconds. Requests in flight get 503.
    pub fn kill(&self) {}

    /// Asks it to end, and ends it after `grace`. A command sees the end of its input (see `Stdin`);
    /// an HTTP container takes no new requests (503) and ends as `Completed` when the last one is answered.
    pub fn stop(&self, grace: Duration) {
        let _ = grace;
    }

    /// The way to send requests; `None` for commands.
    pub fn http(&self) -> Option<HttpHandle> {
        None
    }

    /// CPU time of the guest so far.
    pub fn cpu_used(&self) -> Duration {
        self.stats().cpu
    }

    /// What it used and did so far.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}

/// Sends requests into an HTTP container. Cheap to clone, to keep and to call from many threads.
#[derive(Clone)]
pub struct HttpHandle {
    _shared: Arc<()>,
}

impl HttpHandle {
    /// Lets the guest answer. Always gives a response: 500 when the guest trapped, 503 when the container has ended or stops,
    /// 504 when it gave no answer in time, and says so in the container's log.
    ///
    /// Must be called inside a Tokio runtime. Starts on the caller's thread, which costs a quick guest nothing;
    /// a guest that computes for longer is carried on by the guests' own threads.
    /// Dropping the future ends the guest's work on the request.
    pub fn handle(&self, request: http::Request<Body>) -> impl Future<Output = http::Response<Body>> + Send + 'static {
        let _ = request;
        async { http::Response::new(Body::default()) }
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = &self.shared;
        out.debug_struct("Container").field("exit", &self.exit()).finish_non_exhaustive()
    }
}
