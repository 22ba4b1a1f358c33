//! Threads on which compiled code is loaded: what a hostile image nests deeply needs more stack than others have.

use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::errors::ImageError;

/// The stack on which compiled code is loaded here, in bytes. The compiler has loaded it already, on a smaller one.
pub(crate) const LOAD_STACK_BYTES: usize = 64 << 20;

/// A thread that loads what is in the cache, which takes a millisecond, on a stack that bears it.
pub(crate) struct Loader {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Loader {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::Builder::new().name("sandbox-load".into()).stack_size(LOAD_STACK_BYTES);
        thread.spawn(move || inbox.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ImageError> {
        let (done, result) = oneshot::channel();
        // Nobody waits any more if the receiver is gone.
        self.jobs.send(Box::new(move || drop(done.send(work())))).map_err(|_| gone())?;
        result.await.map_err(|_| gone())
    }
}

/// Runs `work` on a thread with a stack for loading code, and waits for it.
pub(crate) fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(LOAD_STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "loading panicked".to_owned())
    })
}

/// Whoever does the work has ended.
pub(crate) fn gone() -> ImageError {
    ImageError::Internal("the process ends".into())
}
