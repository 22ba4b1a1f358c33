//! Two languages over one [`Registry`](registry::Registry): gRPC and the Kubernetes REST API, on one port with the registry
//! of images.
//!
//! `server` takes connections in, `gate` checks by the head of each request whether it is allowed, [`rest`] and `grpc`
//! translate; `websocket` is what a connection may go on with (`upgrade`); `webhooks` calls those whom the Registry asks. The law: nothing about an object is decided here, and neither the state nor its log is seen; `registry` and
//! `images` are asked.

mod asked;
mod basic;
mod bearer;
mod cork;
pub mod decoders;
mod gate;
mod grpc;
mod impersonate;
mod metered;
mod origin;
mod reply;
pub mod rest;
mod revocable;
mod rights;
mod seated;
mod sender;
mod server;
mod spdy;
#[cfg(test)]
mod tests;
mod upgrade;
mod webhooks;
mod websocket;

pub use bearer::Bearers;
pub use grpc::{BATCH_WRITES_MAX, Entrance, LEAF_LIFE};
pub use rest::aggregate::{Aggregator, Answers, BACKENDS_MAX};
pub use server::{Setup, serve};
pub use webhooks::Webhooks;
