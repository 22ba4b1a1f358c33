//! How processes talk: the gRPC services of `proto/`, a client that fails over between masters, and errors on the wire.
//!
//! This is the only crate with generated service code. It decides nothing: what a request means is the API server's.

#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod carried;
pub mod client;
mod clocks;
mod cluster;
pub mod connections;
pub mod convert;
pub mod forward;
mod heartbeats;
mod identities;
pub mod identity;
mod images;
mod incoming;
mod mirror;
pub mod node;
mod padding;
pub mod reception;
mod relay;
pub mod retry;
mod security;
pub mod status;
#[cfg(test)]
mod tests;
pub mod url;
mod watch;

/// The services and their messages, generated from `proto/`. Their documentation is that of the fields there.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated")]
pub mod services {
    tonic::include_proto!("kapelle.api.v1");
}

pub use carried::Carried;
pub use client::{Applied, ApplyOptions, Client, Deleted, List, Query, WINDOW_BYTES, Warned};
pub use clocks::{Explained, explained};
pub use cluster::join;
pub use heartbeats::BEAT_EVERY;
pub use incoming::{Calling, Incoming, incoming};
pub use mirror::Mirror;
pub use padding::{padding, window_for};
pub use relay::relay;
pub use retry::Retries;
pub use security::Security;
pub use watch::Update;

/// The services and their own messages (a `FileDescriptorSet`), for reflection. What they import is in
/// [`api::DESCRIPTORS`].
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));

/// The details of errors (a `FileDescriptorSet`), for reflection: tools show them by it.
pub use tonic_types::pb::FILE_DESCRIPTOR_SET as DETAIL_DESCRIPTORS;

/// The largest message that either side reads or sends, in bytes: some of the largest objects, or a page of usual ones.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The largest message of a push, in bytes: a piece of a module with the names.
pub const PUSH_BYTES_MAX: usize = 2 << 20;

/// The response header (UTF-8, one a warning) that carries what a writer should know, as REST's `Warning` does.
pub const WARNING_KEY: &str = "kapelle-warning-bin";

/// The most bytes of warnings in one answer, over gRPC and REST; clients refuse headers that are longer than some KiB.
pub const WARNING_BYTES_MAX: usize = 4 << 10;
