//! What can go wrong, each variant a different decision of the caller.

use std::path::PathBuf;

/// The sandbox itself cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The cache directory cannot be used.
    #[error("the cache directory {path} cannot be used")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine refuses its configuration; on a healthy machine a lack of address space.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// No thread can be started.
    #[error("a thread of the sandbox does not start")]
    Thread(#[source] std::io::Error),
}

/// An image that cannot be run. Trying again with the same bytes gives the same answer, except for `Read` and `Internal`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The bytes are something else.
    #[error("the image is not WebAssembly: {looks_like}; push a .wasm module or component")]
    NotWasm {
        /// What the first bytes look like.
        looks_like: String,
    },
    /// The bytes are machine code made ahead of time, which is never loaded.
    #[error("the image is precompiled machine code, which is never loaded; push the .wasm it was made from")]
    Precompiled,
    /// Larger than `MAX_IMAGE_BYTES`.
    #[error("the image has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// WebAssembly that breaks the rules, or uses a feature that this version lacks.
    #[error("the image is not valid: {0}")]
    Invalid(String),
    /// Compiling it needs more than one image may take.
    #[error("the image needs more to compile than {limit}; make it smaller or simpler")]
    TooDemanding {
        /// What it needs more of, with the limit.
        limit: String,
    },
    /// It asks for something that the sandbox does not offer.
    #[error("the image imports {import}, which is not offered{}", remedy(closest.as_ref()))]
    UnknownImport {
        /// The import as the image names it.
        import: String,
        /// The supported one that comes closest, if any does.
        closest: Option<String>,
    },
    /// Nothing in it can be called.
    #[error(
        "the image has no entry point: {exports}; a command exports _start or wasi:cli/run, a service wasi:http/incoming-handler or wasi:http/handler"
    )]
    NoEntry {
        /// What it exports instead.
        exports: String,
    },
    /// The bytes do not have the digest under which they were asked for.
    #[error("the image has the digest {actual}, expected {expected}")]
    WrongDigest {
        /// What was asked for.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The bytes cannot be read from `path`.
    #[error("the image {path} cannot be read: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The compiler or its cache failed; worth another try.
    #[error("the image could not be compiled: {0}")]
    Internal(String),
}

fn remedy(closest: Option<&String>) -> String {
    match closest {
        Some(closest) => format!("; the closest is {closest}"),
        None => "; build it for wasm32-wasip1 or wasm32-wasip2, and import nothing else".to_owned(),
    }
}

/// A container that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A mounted directory cannot be opened.
    #[error("the directory {host} for the mount {guest} cannot be opened")]
    Mount {
        /// Directory of the host.
        host: PathBuf,
        /// Path in the guest.
        guest: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A limit that cannot be kept.
    #[error("limits.{field}: {reason}")]
    Limit {
        /// Which.
        field: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// As many containers run as the sandbox was made for; worth another try later.
    #[error("all {limit} places for containers are taken")]
    Full {
        /// How many there are.
        limit: u32,
    },
}
