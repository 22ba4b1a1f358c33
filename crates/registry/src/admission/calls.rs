//! How webhooks are called: the seam between the Registry, which decides whom to call, and whoever speaks HTTP.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Endpoint, Registry, limits::budget::BODY_BYTES_MAX};

/// The longest answer that is read, in bytes: an AdmissionReview holds a patch as base64, and the patch may hold a whole object
/// with all that JSON escapes in it.
pub const ANSWER_BYTES_MAX: usize = 6 << 20;

// Base64 adds a third, and JSON within JSON escapes.
const _: () = assert!(ANSWER_BYTES_MAX >= 2 * BODY_BYTES_MAX);

/// Calls webhooks for the Registry.
pub trait Calls: Send + Sync + fmt::Debug {
    /// Posts a body of JSON and answers that of the answer. No redirection is followed, no identity is shown, and nothing is
    /// sent to whoever does not show a certificate that the call believes.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// A webhook that is called.
#[derive(Clone)]
pub struct Call {
    /// Where, with the name for which its certificate must be: `https://host:port/path`.
    pub url: String,
    /// Where that name is: the endpoints of a Service. `None` for whatever the master's host finds under it.
    pub at: Option<Vec<Endpoint>>,
    /// Who knows the ways to Pods.
    pub ways: Registry,
    /// The authorities that are believed, as PEM; those of the system if there are none.
    pub ca_bundle: Bytes,
    /// What is sent.
    pub body: Bytes,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Why a webhook gave no answer. The texts are those that Kubernetes' users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It took too long.
    #[error("context deadline exceeded")]
    Timeout,
    /// It was not reached, is not who it should be, or broke off.
    #[error("{0}")]
    Broken(String),
    /// It answered with something other than success.
    #[error("{}", words(*.0))]
    Status(u16),
    /// Its answer is longer than [`ANSWER_BYTES_MAX`].
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

fn words(code: u16) -> String {
    match code {
        401 => "Unauthorized".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        500.. => format!("an error on the server (HTTP status {code}) has prevented the request from succeeding"),
        code => format!("the server rejected our request for an unknown reason (HTTP status {code})"),
    }
}
