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

mod container;
mod errors;
mod image;
mod spec;

pub use container::{Container, Exit, ExitReason, HttpHandle, Stats};
pub use errors::{ImageError, OpenError, StartError};
pub use image::{Config, Digest, Image, Sandbox, Shape, Source};
pub use spec::{
    Access, Body, BoxError, BoxFuture, Connect, DEFAULT_CONCURRENCY, DEFAULT_MEMORY_BYTES, DEFAULT_REQUEST_TIMEOUT,
    HttpOptions, Limits, LogSink, MAX_MEMORY_BYTES, Mount, Network, Resolve, SendError, SendOptions, SendRequest, Spec,
    Stdin, Stream,
};
