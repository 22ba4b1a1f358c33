//! The sandbox itself: threads, images, containers.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::books::Books;
use crate::cache::Cache;
use crate::command;
use crate::compile::{CompileLimits, Compiler};
use crate::container::Container;
use crate::cpu::{Ticker, be_nice};
use crate::digest::Digest;
use crate::engine::Engines;
use crate::errors::{ImageError, OpenError, StartError};
use crate::grants::MAX_MEMORY_BYTES;
use crate::http::Service;
use crate::image::{Image, Source};
use crate::meta::Shape;
use crate::spec::Spec;

/// Guests give way to the node's own work: API, consensus, proxy.
const GUEST_NICE: i32 = 10;

/// Threads on which file accesses of commands may block, at most.
const BLOCKING_THREADS: usize = 64;

/// Memory maps that a command needs: memory, guards, stack, code.
const MAPS_PER_COMMAND: u32 = 8;

/// Memory maps that are left to the pool, the code of images, files and everything else.
const MAPS_LEFT: u32 = 16_000;

/// Linux' default, for when the setting cannot be read.
const DEFAULT_MAX_MAPS: u32 = 65_530;

/// How a sandbox is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where compiled images are kept. Only this user may write there: what lies there is executed.
    pub cache_dir: PathBuf,
    /// Requests that find a free slot in the pool at the same time, over all containers. More are served, at three times the cost.
    pub http_instances: u32,
    /// How many commands may run at the same time; lowered if the system's `vm.max_map_count` does not allow as many.
    pub commands: u32,
    /// Threads that run commands and requests that take long.
    pub guest_threads: usize,
    /// The program that compiles images: one that calls [`compile_if_asked`](crate::compile_if_asked) first of all.
    pub compiler: PathBuf,
    /// What compiling one image may take.
    pub compile: CompileLimits,
}

impl Config {
    /// Sizes for one node: 256 requests at the same time, 4,000 commands, a thread for each processor. This very program compiles,
    /// even if another version has replaced it on disk meanwhile.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let guest_threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache_dir: cache_dir.into(),
            http_instances: 256,
            commands: 4_000,
            guest_threads,
            compiler: PathBuf::from("/proc/self/exe"),
            compile: CompileLimits::default(),
        }
    }
}

/// The engines, their threads and the cache; one per process. Clones share it. When the last is dropped, all its containers end.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    compiler: Arc<Compiler>,
    images: Mutex<HashMap<Digest, Arc<Entry>>>,
    ticker: Arc<Ticker>,
    runtime: Option<Runtime>,
    permits: Arc<Semaphore>,
    commands: u32,
}

/// One image by digest: whoever comes first makes it, the others wait for the same result.
#[derive(Default)]
struct Entry {
    image: Mutex<Weak<Image>>,
    flight: Mutex<Weak<Flight>>,
}

/// An image that is being made, for as long as anybody waits for it.
struct Flight {
    result: watch::Receiver<Option<Result<Arc<Image>, ImageError>>>,
    task: JoinHandle<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sandbox {
    /// Starts the threads and opens the cache.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let ticker = Ticker::start().map_err(OpenError::Thread)?;
        let engines = Arc::new(Engines::new(config.http_instances.max(1), Arc::clone(&ticker))?);
        let cache = Cache::open(&config.cache_dir, &engines.compatibility())
            .map_err(|source| OpenError::Cache { path: config.cache_dir.clone(), source })?;
        let compiler = Arc::new(Compiler::start(engines, cache, config.compiler.clone(), config.compile)?);
        let commands = config.commands.min(commands_that_fit());
        let inner = Inner {
            compiler,
            images: Mutex::new(HashMap::new()),
            ticker,
            runtime: Some(guest_runtime(config.guest_threads)?),
            permits: Arc::new(Semaphore::new(commands as usize)),
            commands,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes an image ready: from memory, from the cache on disk, or by compiling it (about 1.2 CPU seconds for a MiB, in a process
    /// of low priority; callers that ask for the same digest at once share the work). The work ends when nobody waits for it
    /// any more. Why an image cannot be run is remembered, and not found out again. Call it within a Tokio runtime.
    pub async fn prepare(&self, digest: Digest, source: Source) -> Result<Arc<Image>, ImageError> {
        let entry = self.entry(digest);
        if let Some(image) = entry.get() {
            return Ok(image);
        }
        let flight = entry.flight(|| self.begin(digest, source));
        let ended = || ImageError::Internal("the process ends".into());
        let result = flight.result.clone().wait_for(Option::is_some).await.map_err(|_| ended())?.clone();
        let image = result.unwrap_or_else(|| Err(ended()))?;
        *entry.image.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&image);
        Ok(image)
    }

    fn begin(&self, digest: Digest, source: Source) -> Flight {
        let (tell, result) = watch::channel(None);
        let compiler = Arc::clone(&self.inner.compiler);
        let task = tokio::spawn(async move {
            let made = compiler.make(digest, source).await.map(Arc::new);
            // Whoever waits keeps the receiver.
            let _ = tell.send(Some(made));
        });
        Flight { result, task }
    }

    /// Starts a container. A command begins to run at once on the guests' own threads; an HTTP handler waits for requests.
    pub fn start(&self, spec: Spec) -> Result<Container, StartError> {
        check(&spec)?;
        let Some(runtime) = &self.inner.runtime else {
            return Err(StartError::Full { limit: 0 });
        };
        let (log, ticker) = (Arc::clone(&spec.log), Arc::clone(&self.inner.ticker));
        let books = Books::open(spec.limits, log, spec.stdin, ticker);
        match spec.image.shape() {
            Shape::Command => {
                let permits = Arc::clone(&self.inner.permits);
                let permit =
                    permits.try_acquire_owned().map_err(|_| StartError::Full { limit: self.inner.commands })?;
                runtime.spawn(command::run(spec, Arc::clone(&books), permit));
                Ok(Container::new(books, None, runtime.handle().clone()))
            }
            Shape::Http => {
                let service = Service::new(spec, Arc::clone(&books), runtime.handle().clone());
                Ok(Container::new(books, Some(service), runtime.handle().clone()))
            }
        }
    }

    fn entry(&self, digest: Digest) -> Arc<Entry> {
        let mut images = self.inner.images.lock().unwrap_or_else(PoisonError::into_inner);
        // Images that nobody uses any more leave with the next question, so the map stays as small as what is in use.
        images.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.get().is_some());
        Arc::clone(images.entry(digest).or_default())
    }
}

impl Entry {
    /// What is under way, or what `begin` begins.
    fn flight(&self, begin: impl FnOnce() -> Flight) -> Arc<Flight> {
        let mut known = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let flight = Arc::new(begin());
            *known = Arc::downgrade(&flight);
            flight
        })
    }

    fn get(&self) -> Option<Arc<Image>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sandbox").field("commands", &self.inner.commands).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    /// Not waited for: a guest may be in the middle of a file access, and the last handle may be dropped in an async context.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.ticker.stop();
    }
}

fn check(spec: &Spec) -> Result<(), StartError> {
    if spec.limits.memory_bytes > MAX_MEMORY_BYTES {
        let reason = format!(
            "{} bytes are more than the {MAX_MEMORY_BYTES} that a container can have",
            spec.limits.memory_bytes
        );
        return Err(StartError::Limit { field: "memory", reason });
    }
    if spec.limits.cpu_millis == Some(0) {
        return Err(StartError::Limit { field: "cpu", reason: "must be at least 1m".into() });
    }
    for mount in &spec.mounts {
        let host = mount.host.path();
        let failed = |source| StartError::Mount { host: host.clone(), guest: mount.guest.clone(), source };
        std::fs::read_dir(&host).map_err(failed)?;
    }
    Ok(())
}

fn guest_runtime(threads: usize) -> Result<Runtime, OpenError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("sandbox-guest")
        .on_thread_start(|| be_nice(GUEST_NICE))
        .enable_all()
        .build()
        .map_err(OpenError::Thread)
}

/// How many commands the system has memory maps for.
fn commands_that_fit() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let maps = text.trim().parse().unwrap_or(DEFAULT_MAX_MAPS);
    (maps.saturating_sub(MAPS_LEFT) / MAPS_PER_COMMAND).max(1)
}
