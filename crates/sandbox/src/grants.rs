//! What a caller may grant a workload: files, limits, input, log, network.
//!
//! Plain values and callbacks only. Nothing here knows Wasmtime, so that the sandbox could
//! move into a process of its own without a change for its callers.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// Any error that a body or a hook may report.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of requests and responses on both sides of the sandbox.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Memory that a container may use when its `Limits` name none: 256 MiB, twice what the JavaScript
/// and Python guests measured so far touch.
pub const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;

/// The most linear memory one container may have: 4 GiB, the reach of 32-bit WebAssembly.
pub const MAX_MEMORY_BYTES: u64 = 4 << 30;

/// How long a request may take until its caller gets 504 when `HttpOptions` says nothing else.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests of one container that may run at the same time when `HttpOptions` says nothing else;
/// more wait in the order in which they came.
pub const DEFAULT_CONCURRENCY: u32 = 100;

/// A directory of the host, seen by the guest under a path of its own.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The directory; it must exist when the container starts.
    pub host: Host,
    /// Absolute path inside the guest, such as `/data`.
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
}

/// Which directory of the host.
#[derive(Clone, Debug)]
pub enum Host {
    /// The one at a path that no guest can have changed.
    Path(PathBuf),
    /// The one that is open here, whatever became of the path that led to it: guests may have made links on the way.
    Open(Arc<OwnedFd>),
}

impl From<&Path> for Host {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl Host {
    /// A path at which exactly this directory is, as long as `self` lives.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            // The kernel gives what is open there; nothing is looked up.
            Self::Open(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
        }
    }
}

/// What a guest may do with a mounted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Open, read, list.
    ReadOnly,
    /// Also create, write, rename, delete.
    ReadWrite,
}

/// What one container may use, all its instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory summed over all memories and instances, in bytes; at most `MAX_MEMORY_BYTES`.
    /// A command that is refused more ends as `ExitReason::OomKilled`.
    pub memory_bytes: u64,
    /// CPU time per wall time in thousandths of a core (`limits.cpu`); `None` is unlimited.
    pub cpu_millis: Option<u32>,
    /// Share of a busy machine relative to other containers, in thousandths of a core (`requests.cpu`).
    pub cpu_weight_millis: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: DEFAULT_MEMORY_BYTES, cpu_millis: None, cpu_weight_millis: 100 }
    }
}

/// How an HTTP container serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// From the call of `HttpHandle::handle` until the guest has given status and headers, queueing included.
    pub timeout: Duration,
    /// Requests that run at the same time; 0 counts as 1.
    pub concurrency: u32,
    /// How many requests, one after the other, an instance may answer before it is thrown away.
    /// 1 gives every request a fresh sandbox. More is faster but only right for guests that expect it
    /// (StarlingMonkey guests hang on their second request), so it is the owner's choice.
    pub reuse: u32,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: DEFAULT_REQUEST_TIMEOUT, concurrency: DEFAULT_CONCURRENCY, reuse: 1 }
    }
}

/// What a command finds on its standard input.
///
/// WASI has no signals. A command that wants to end in good order is started with `OpenUntilStop`
/// (a container's `stdin: true`) and reads its standard input: the end of it is the request to stop.
/// All others could not use a grace period, and are simply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// At its end from the start.
    Empty,
    /// Silent, and at its end as soon as `Container::stop` is called.
    OpenUntilStop,
}

/// Which output a piece of log came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output of the guest.
    Stdout,
    /// Standard error of the guest; also what the sandbox says about it: traps, refusals.
    Stderr,
}

/// Receives output as the guest writes it, in pieces of at most `LOG_PIECE_BYTES` that need not be whole lines.
///
/// It is called on the thread that runs the guest and must not block: the time it takes is the guest's own.
/// The sandbox slows a flooding guest down (see `LOG_BYTES_PER_SECOND`) before it calls.
pub type LogSink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// What a name means that the guest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// These addresses, best first.
    Known(Vec<IpAddr>),
    /// What this machine makes of a name, which may be another than the guest asked for.
    Outside(String),
    /// Nobody has it.
    Unknown,
}

/// Names that the guest asks for.
pub type Resolve = Arc<dyn Fn(&str) -> Name + Send + Sync>;

/// Decides on an address that the guest wants to connect to: returns the one to use instead, or the same. It is called again with
/// what it returned before the connection is made, and must then return the same.
pub type Connect = Arc<dyn Fn(SocketAddr) -> Result<SocketAddr, Refusal> + Send + Sync>;

/// Told that the guest listens on an address; what it returns is dropped when the guest no longer does.
pub type Listen = Arc<dyn Fn(SocketAddr) -> Box<dyn Send + Sync> + Send + Sync>;

/// Why the guest may not connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not the guest's to reach.
    Denied,
    /// It would be, but nobody is there.
    NobodyListens,
}

/// Requests that the guest sends through `wasi:http`: absolute URI, `host` header set.
pub type SendRequest =
    Arc<dyn Fn(http::Request<Body>, SendOptions) -> BoxFuture<Result<http::Response<Body>, SendError>> + Send + Sync>;

/// What a guest can reach. Nothing unless a hook allows it.
#[derive(Clone)]
pub struct Network {
    /// The address of the workload. Without one it can neither listen nor connect.
    /// What the guest binds to any address or to localhost is bound to this address, and what it connects to localhost goes to it.
    pub ip: Option<IpAddr>,
    /// Answers `wasi:sockets/ip-name-lookup`.
    pub resolve: Resolve,
    /// Decides on outgoing connections.
    pub connect: Connect,
    /// Hears of sockets that listen.
    pub listen: Listen,
    /// Sends outgoing `wasi:http` requests.
    pub send: SendRequest,
}

impl Network {
    /// No address, no names, no connections, no requests.
    pub fn denied() -> Self {
        Self {
            ip: None,
            resolve: Arc::new(|_| Name::Unknown),
            connect: Arc::new(|_| Err(Refusal::Denied)),
            listen: Arc::new(|_| Box::new(())),
            send: Arc::new(|_, _| Box::pin(async { Err(SendError::Denied) })),
        }
    }
}

/// What the guest asked for beside the request itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Time until a connection stands; the sender's default if `None`.
    pub connect_timeout: Option<Duration>,
    /// Time from the request until the response's headers; the sender's default if `None`.
    pub first_byte_timeout: Option<Duration>,
    /// Time between two pieces of the response's body; the sender's default if `None`.
    pub between_bytes_timeout: Option<Duration>,
}

/// Why an outgoing request got no response; the guest sees the matching `wasi:http` error code.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The workload has no leave to send there.
    #[error("the workload may not send requests there")]
    Denied,
    /// No such host.
    #[error("there is no host of the name {0}")]
    NameUnknown(String),
    /// Nobody listens there, or no endpoint is ready.
    #[error("no connection: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The other side broke the rules or hung up.
    #[error("the exchange failed")]
    Broken(#[source] BoxError),
}

impl fmt::Debug for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Network").field("ip", &self.ip).finish_non_exhaustive()
    }
}
