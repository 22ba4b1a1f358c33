//! How processes talk: the gRPC services of `proto/`, a client that fails over between masters, and errors on the wire.
//!
//! This is the only crate with generated service code. It decides nothing: what a request means is the API server's.

/// The services and their messages, generated from `proto/`. Their documentation is that of the fields there.
#[expect(missing_docs, reason = "generated")]
pub mod services {
    tonic::include_proto!("kapelle.api.v1");
}
