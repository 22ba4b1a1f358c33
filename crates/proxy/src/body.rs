//! What a body is, in either direction.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// Whatever went wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
