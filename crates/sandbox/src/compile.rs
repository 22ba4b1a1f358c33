//! From bytes to machine code: out of the cache, or from a compiler in a process of its own.
//!
//! Nothing in this process looks into the bytes of an image: a few kilobytes can be made to cost a compiler any stack, memory and
//! time, and a process that ends takes only itself along. What it wrote is loaded here if it says that it fits this program.

pub(crate) mod child;
mod process;

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::cache::{Cache, Meta, Scratch};
use crate::engine::Engines;
use crate::image::{Digest, Image, Source};
use crate::report::Report;
use crate::sniff::MAX_IMAGE_BYTES;
use crate::{ImageError, OpenError};

/// Images up to this size, in bytes, never wait for larger ones: they are compiled in about a second.
pub const SMALL_IMAGE_BYTES: u64 = 1 << 20;

/// How many compilers may run at once beside the one that is kept for small images; each uses all processors where it can.
const COMPILERS_MAX: usize = 4;

/// The stack on which compiled code is loaded here, in bytes. The compiler has loaded it already, on a smaller one.
pub(crate) const LOAD_STACK_BYTES: usize = 64 << 20;

/// How long the compiler may at least take to answer, whatever CPU time it has: where every processor is busy, a process of
/// its low priority gets a thirtieth of one or less.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);

/// What compiling one image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Stack, in bytes: what languages' tools produce was compiled on 2 MiB for long.
    pub stack_bytes: u64,
    /// Address space, in bytes: 18 MB of code, as much as a Python component has, were seen to need 1.4 GiB.
    pub memory_bytes: u64,
    /// CPU time over all threads, in seconds: `MAX_IMAGE_BYTES` take about three minutes.
    pub cpu_seconds: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { stack_bytes: 16 << 20, memory_bytes: 6 << 30, cpu_seconds: 900 }
    }
}

const _: () = assert!(LOAD_STACK_BYTES as u64 >= 4 * (16 << 20), "what loads there must load here");

impl CompileLimits {
    /// How long an answer is waited for.
    fn wall(self) -> Duration {
        Duration::from_secs(self.cpu_seconds.saturating_mul(8)).max(ANSWER_WITHIN)
    }

    fn words(self) -> [String; 3] {
        [self.stack_bytes, self.memory_bytes, self.cpu_seconds].map(|limit| limit.to_string())
    }

    fn from_words(words: impl Iterator<Item = String>) -> Option<Self> {
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let [stack_bytes, memory_bytes, cpu_seconds] = numbers.try_into().ok()?;
        Some(Self { stack_bytes, memory_bytes, cpu_seconds })
    }

    fn stack_text(self) -> String {
        format!("{} MiB of stack; something in it is nested too deeply", self.stack_bytes >> 20)
    }

    fn memory_text(self) -> String {
        format!("{} MiB of memory", self.memory_bytes >> 20)
    }

    fn cpu_text(self) -> String {
        format!("{} s of CPU time", self.cpu_seconds)
    }
}

/// Makes images of bytes.
pub(crate) struct Compiler {
    engines: Arc<Engines>,
    cache: Arc<Cache>,
    loader: Loader,
    places: Places,
    program: PathBuf,
    limits: CompileLimits,
}

/// Who may run a compiler.
struct Places {
    any: Semaphore,
    small: Semaphore,
}

impl Places {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { any: Semaphore::new((cores / 2).clamp(1, COMPILERS_MAX)), small: Semaphore::new(1) }
    }

    /// Waits for a place, in the order in which images came; small ones may take the place that is kept for them.
    async fn take(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let taken = if bytes <= SMALL_IMAGE_BYTES {
            tokio::select! {
                biased;
                place = self.any.acquire() => place,
                place = self.small.acquire() => place,
            }
        } else {
            self.any.acquire().await
        };
        taken.ok()
    }
}

impl Compiler {
    pub(crate) fn start(
        engines: Arc<Engines>,
        cache: Cache,
        program: PathBuf,
        limits: CompileLimits,
    ) -> Result<Self, OpenError> {
        let loader = Loader::start().map_err(OpenError::Thread)?;
        Ok(Self { engines, cache: Arc::new(cache), loader, places: Places::new(), program, limits })
    }

    /// Makes an image ready, from the cache or from its bytes.
    pub(crate) async fn make(&self, digest: Digest, source: Source) -> Result<Image, ImageError> {
        if let Some(known) = self.find(digest).await? {
            return known;
        }
        let image = blocking(move || open(digest, source)).await?;
        let Some(_place) = self.places.take(image.size).await else { return Err(gone()) };
        let cache = Arc::clone(&self.cache);
        let (scratch, code) = blocking(move || cache.scratch(digest).map_err(internal)).await?;
        match process::run(&self.program, self.limits, image.file, code).await {
            Report::Compiled(meta) => self.take_in(digest, meta, scratch).await,
            Report::Failed(why) => Err(ImageError::Internal(why)),
            Report::Refused(error) => {
                self.cache.remember(digest, &error);
                Err(error)
            }
        }
    }

    /// What is known of an image: its code, or why it has none.
    async fn find(&self, digest: Digest) -> Result<Option<Result<Image, ImageError>>, ImageError> {
        let (cache, engines) = (Arc::clone(&self.cache), Arc::clone(&self.engines));
        let look = move || match cache.find(digest) {
            None => cache.failure(digest).map(Err),
            Some(meta) => {
                let image = Image::load(digest, meta, cache.code_path(digest), engines);
                let told = |error: &ImageError| {
                    tracing::warn!(%digest, %error, "a compiled image does not load and is compiled again");
                };
                image.inspect_err(told).ok().map(Ok)
            }
        };
        self.loader.run(look).await
    }

    async fn take_in(&self, digest: Digest, meta: Meta, scratch: Scratch) -> Result<Image, ImageError> {
        let (cache, engines) = (Arc::clone(&self.cache), Arc::clone(&self.engines));
        let load = move || {
            cache.adopt(digest, meta, scratch).map_err(internal)?;
            Image::load(digest, meta, cache.code_path(digest), engines)
        };
        self.loader.run(load).await?
    }
}

/// A thread that loads what is in the cache, which takes a millisecond, on a stack that bears it.
struct Loader {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Loader {
    fn start() -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::Builder::new().name("sandbox-load".into()).stack_size(LOAD_STACK_BYTES);
        thread.spawn(move || inbox.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImageError> {
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(gone()))
}

fn gone() -> ImageError {
    ImageError::Internal("the process ends".into())
}

fn internal(error: std::io::Error) -> ImageError {
    ImageError::Internal(error.to_string())
}

/// An image as a file that holds what its digest says.
struct Opened {
    file: File,
    size: u64,
}

fn open(digest: Digest, source: Source) -> Result<Opened, ImageError> {
    let path = match &source {
        Source::Path(path) => path.clone(),
        Source::Bytes(_) => PathBuf::from("in memory"),
    };
    let failed = |error: std::io::Error| ImageError::Read { path: path.clone(), reason: error.to_string() };
    let opened = match &source {
        Source::Path(path) => File::open(path),
        Source::Bytes(bytes) => in_memory(bytes),
    };
    let mut file = opened.map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_IMAGE_BYTES {
        return Err(ImageError::TooLarge { bytes: size, limit: MAX_IMAGE_BYTES });
    }
    let actual = Digest::of_file(&mut file).map_err(failed)?;
    if actual != digest {
        return Err(ImageError::WrongDigest { expected: digest.to_string(), actual: actual.to_string() });
    }
    file.rewind().map_err(failed)?;
    Ok(Opened { file, size })
}

fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("image", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
