//! Runs one WebAssembly workload under limits.
//!
//! The only crate that knows Wasmtime, and it knows no Pods: callers hand over an image, a `Spec` of plain
//! values and callbacks, and get a `Container` that ends with an `Exit`. Two shapes are recognised from what
//! an image exports: *commands* (a WASI p1 module with `_start`, a component with `wasi:cli/run`) run once from
//! start to end; *HTTP handlers* (`wasi:http` p2 or p3) hold no instance while nobody calls, and get a fresh
//! one for each request.
//!
//! Guests are denied everything by default: no ambient network, files or environment. What they use is
//! bounded: memory, tables, handles, CPU time, output. A guest that loops, traps or allocates harms itself only.
//!
//! The modules stand on floors, and none looks up. On the ground: `grants` (what callers may grant), `errors`, `digest`, `meta`,
//! `cpu` (who may compute). Above them `books` keeps what one container may use and has used; `net`, `outgoing`, `log` and
//! `stdin` are what a guest sees of the world, and `guest` is the state beside an instance. `sniff`, `report`, `cache`,
//! `sockets`, `imports`, `engine`, `load`, `image` and `compile` lead from bytes to code that is linked. `drive`, `http` and
//! `command` run guests under a `spec`; `container` is what callers hold, and `sandbox` starts everything.

mod books;
mod cache;
mod command;
mod compile;
mod container;
mod cpu;
mod digest;
mod drive;
mod engine;
mod errors;
mod grants;
mod guest;
mod http;
mod image;
mod imports;
mod load;
mod log;
mod meta;
mod net;
mod outgoing;
mod report;
mod sandbox;
mod sniff;
mod sockets;
mod spec;
mod stdin;
mod trap;

pub use crate::http::HttpHandle;
pub use books::{Exit, ExitReason, Stats};
pub use compile::child::compile_if_asked;
pub use compile::{CompileLimits, SMALL_IMAGE_BYTES};
pub use container::Container;
pub use digest::Digest;
pub use errors::{ImageError, OpenError, StartError};
pub use grants::{
    Access, Body, BoxError, BoxFuture, Connect, DEFAULT_CONCURRENCY, DEFAULT_MEMORY_BYTES, DEFAULT_REQUEST_TIMEOUT,
    Host, HttpOptions, Limits, Listen, LogSink, MAX_MEMORY_BYTES, Mount, Name, Network, Refusal, Resolve, SendError,
    SendOptions, SendRequest, Stdin, Stream,
};
pub use image::{Image, Source};
pub use log::{LOG_BURST_BYTES, LOG_BYTES_PER_SECOND, LOG_PIECE_BYTES};
pub use meta::Shape;
pub use sandbox::{Config, Sandbox};
pub use sniff::MAX_IMAGE_BYTES;
pub use spec::Spec;
