//! From bytes to machine code: out of the cache, or from a compiler in a process of its own.
//!
//! Nothing in this process looks into the bytes of an image: a few kilobytes can be made to cost a compiler any stack, memory and
//! time, and a process that ends takes only itself along. What it wrote is loaded here if it says that it fits this program.

pub(crate) mod child;
mod process;

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cache::{Cache, Scratch};
use crate::digest::Digest;
use crate::engine::Engines;
use crate::errors::{ImageError, OpenError};
use crate::image::{Image, Source};
use crate::load::{LOAD_STACK_BYTES, Loader, gone};
use crate::meta::Meta;
use crate::report::Report;
use crate::sniff::MAX_IMAGE_BYTES;

/// Images up to this size, in bytes, never wait for larger ones: they are compiled in about a second.
pub const SMALL_IMAGE_BYTES: u64 = 1 << 20;

/// How many compilers may run at once beside the one that is kept for small images; each uses all processors where it can.
const COMPILERS_MAX: usize = 4;

/// How long the compiler may take to report, at least, whatever CPU time it has: where every processor is busy, a process of
/// its low priority gets a thirtieth of one or less.
const REPORT_WITHIN: Duration = Duration::from_secs(600);

/// What compiling one image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Stack, in bytes: whatever the languages' tools have produced so far was compiled on 2 MiB.
    pub stack_bytes: u64,
    /// Address space, in bytes: 18 MB of code, as much as a Python component has, were seen to need 1.4 GiB.
    pub memory_bytes: u64,
    /// CPU time over all threads, in seconds: `MAX_IMAGE_BYTES` take about three minutes.
    pub cpu_seconds: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = {
    assert!(LOAD_STACK_BYTES as u64 >= 4 * CompileLimits::DEFAULT.stack_bytes, "what loads there must load here");
    assert!(SMALL_IMAGE_BYTES < MAX_IMAGE_BYTES, "the permit for small images must leave some to wait");
};

impl CompileLimits {
    const DEFAULT: Self = Self { stack_bytes: 16 << 20, memory_bytes: 6 << 30, cpu_seconds: 900 };

    /// How long the report is waited for.
    fn wall(self) -> Duration {
        Duration::from_secs(self.cpu_seconds.saturating_mul(8)).max(REPORT_WITHIN)
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
    permits: Permits,
    program: PathBuf,
    limits: CompileLimits,
}

/// Permits to run a compiler.
struct Permits {
    any: Semaphore,
    small: Semaphore,
}

impl Permits {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { any: Semaphore::new((cores / 2).clamp(1, COMPILERS_MAX)), small: Semaphore::new(1) }
    }

    /// Waits for a permit, in the order in which images came; small ones may take the one that is kept for them.
    async fn take(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let taken = if bytes <= SMALL_IMAGE_BYTES {
            tokio::select! {
                biased;
                permit = self.any.acquire() => permit,
                permit = self.small.acquire() => permit,
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
        Ok(Self { engines, cache: Arc::new(cache), loader, permits: Permits::new(), program, limits })
    }

    /// Makes an image ready, from the cache or from its bytes.
    pub(crate) async fn make(&self, digest: Digest, source: Source) -> Result<Image, ImageError> {
        if let Some(known) = self.find(digest).await? {
            return known;
        }
        let image = blocking(move || open(digest, source)).await?;
        let Some(_permit) = self.permits.take(image.size).await else { return Err(gone()) };
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(gone()))
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
