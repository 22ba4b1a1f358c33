//! The handle that callers hold of a running workload.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::books::{Books, Exit, Stats};
use crate::http::{HttpHandle, Service};

/// A running workload. Clones are the same container; it goes on when all of them are dropped, until it ends or the process does.
#[derive(Clone)]
pub struct Container {
    books: Arc<Books>,
    service: Option<Arc<Service>>,
    runtime: Handle,
}

impl Container {
    pub(crate) fn new(books: Arc<Books>, service: Option<Arc<Service>>, runtime: Handle) -> Self {
        Self { books, service, runtime }
    }

    /// Waits until the container has ended and says how; at once if it already has. HTTP containers end by `stop` or `kill` only.
    pub async fn exited(&self) -> Exit {
        self.books.ended().await
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.books.exit()
    }

    /// Ends it now; a guest in a loop stops within a few milliseconds. Requests in flight get 503.
    pub fn kill(&self) {
        self.books.kill(Exit::killed());
        if self.service.is_some() {
            self.books.end(Exit::killed());
        }
    }

    /// Asks it to end, and ends it after `grace`. A command sees the end of its input if it was started with
    /// `Stdin::OpenUntilStop`, and is ended at once if not: it has no signals, so it could not use the time. An HTTP container
    /// takes no new requests (503) and ends as `Completed` when the last one is answered.
    pub fn stop(&self, grace: Duration) {
        if !self.books.ask_to_stop() {
            return;
        }
        if self.service.is_none() && !self.books.hears_stop() {
            return self.books.kill(Exit::terminated());
        }
        let container = self.clone();
        self.runtime.spawn(async move {
            let quiet = async {
                match &container.service {
                    Some(service) => {
                        service.drained().await;
                        container.books.end(Exit::with_code(0));
                    }
                    None => drop(container.books.ended().await),
                }
            };
            if tokio::time::timeout(grace, quiet).await.is_err() {
                container.kill();
            }
        });
    }

    /// Waits until a request has failed for want of memory, and says how. Later requests go on in fresh instances. One caller
    /// at a time; what happened while nobody waited is told once.
    pub async fn out_of_memory(&self) -> Exit {
        self.books.starved.notified().await;
        self.books.out_of_memory()
    }

    /// Whether a command that runs has come to wait for something outside, or has computed for a while: it has not failed at
    /// its very start, however slow the machine is.
    pub fn has_settled(&self) -> bool {
        self.books.meter.has_settled()
    }

    /// The way to send requests; `None` for commands.
    pub fn http(&self) -> Option<HttpHandle> {
        self.service.clone().map(HttpHandle::new)
    }

    /// CPU time of the guest so far.
    pub fn cpu_used(&self) -> Duration {
        self.books.meter.used()
    }

    /// What it used and did so far.
    pub fn stats(&self) -> Stats {
        self.books.stats()
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Container").field("exit", &self.exit()).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
