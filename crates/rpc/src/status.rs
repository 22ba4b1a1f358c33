//! Errors on the wire: a gRPC status with the details that gRPC's libraries know, whose binary metadata carries Kubernetes'
//! `Status` as well, the same that REST answers.

mod details;

use std::error::Error as _;

use api::{
    Error, Key, Kind, Reason,
    error::{Aside, Cause, FIELD_MANAGER_CONFLICT},
    meta_v1,
};
use prost::Message as _;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

/// Where the `Status` travels.
pub const STATUS_KEY: &str = "kapelle-status-bin";

/// The largest `Status` that is sent, in bytes. HTTP/2 peers limit headers to 16 KiB, base64 adds a third, and the details
/// need room too.
const STATUS_BYTES_MAX: usize = 5 << 10;

/// The longest message that is sent, in bytes, for the same reason: percent escapes may triple it.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// The error as a gRPC server answers it. Causes that do not fit into a header are left out, the last first.
#[must_use]
pub fn to_tonic(error: &Error) -> Status {
    let message = &error.message[..error.message.floor_char_boundary(MESSAGE_BYTES_MAX)];
    let mut full = meta_v1::Status::from(error);
    full.message = message.to_owned();
    while full.encoded_len() > STATUS_BYTES_MAX {
        if full.details.as_mut().and_then(|details| details.causes.pop()).is_none() {
            break;
        }
    }
    let mut status = Status::with_error_details_vec(code(error.reason), message, details::of(error, message));
    status.metadata_mut().insert_bin(STATUS_KEY, MetadataValue::from_bytes(&full.encode_to_vec()));
    status
}

/// The error that a gRPC client was answered, or what kept the answer from coming.
#[must_use]
pub fn from_tonic(status: &Status) -> Error {
    let bytes = status.metadata().get_bin(STATUS_KEY).and_then(|value| value.to_bytes().ok());
    if let Some(full) = bytes.and_then(|bytes| meta_v1::Status::decode(bytes).ok()) {
        return from_status(&full);
    }
    if never_sent(status) {
        return Error::new(Reason::ServiceUnavailable, format!("cannot reach the cluster: {}", causes(status)));
    }
    Error::new(reason(status.code()), format!("{}{}", status.message(), sourced(status)))
}

/// The error that a `Status` tells of. Its object has no namespace there, nor here.
#[must_use]
pub fn from_status(status: &meta_v1::Status) -> Error {
    let details = status.details.clone().unwrap_or_default();
    let causes = details.causes.iter().map(|cause| Cause {
        reason: cause_reason(&cause.reason),
        field: cause.field.clone(),
        message: cause.message.clone(),
    });
    let continue_ = status.metadata.as_ref().and_then(|meta| told(&meta.r#continue)).map(str::to_owned);
    let reason = reason_of(&status.reason).unwrap_or_else(|| reason_of_code(status.code));
    Error {
        about: kind_of(&details).map(|kind| Key::cluster(kind, details.name.as_str())),
        causes: causes.collect(),
        retry_after_s: u16::try_from(details.retry_after_seconds.clamp(0, u16::MAX.into()))
            .ok()
            .filter(|seconds| *seconds > 0),
        aside: continue_.map(|token| Box::new(Aside { continue_: Some(token), ..Aside::default() })),
        ..Error::new(reason, &status.message)
    }
}

fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Why the body of a request was not read to its end: the server gave it up, or the client did.
#[must_use]
pub fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast() {
        Ok(refusal) => *refusal,
        Err(error) => Error::bad_request(format!("the body ended early: {error}")),
    }
}

/// The cluster that does not know the caller any more, if that is why it was refused.
#[must_use]
pub fn revoked_by(error: &Error) -> Option<&str> {
    error.causes.iter().find(|cause| cause.reason == REVOKED).map(|cause| cause.message.as_str())
}

/// Whether the request certainly did not reach anybody, so that it can be sent again whatever it asks.
#[must_use]
pub fn never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        // A connection that closes hands back what it has not begun to write, as canceled.
        let handed_back = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if handed_back || error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether the connection broke before the answer, so that nobody knows what became of the request. What a process answers
/// has no source on this side.
pub(crate) fn is_broken(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Internal) && status.source().is_some()
}

fn sourced(status: &Status) -> String {
    if status.source().is_some() { format!(": {}", causes(status)) } else { String::new() }
}

/// The innermost reason, which is the one that people understand.
fn causes(status: &Status) -> String {
    let mut innermost = status.source();
    while let Some(next) = innermost.and_then(|error| error.source()) {
        innermost = Some(next);
    }
    innermost.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn code(reason: Reason) -> Code {
    match reason {
        Reason::BadRequest | Reason::Invalid | Reason::NotAcceptable | Reason::UnsupportedMediaType => {
            Code::InvalidArgument
        }
        Reason::Unauthorized => Code::Unauthenticated,
        Reason::Forbidden => Code::PermissionDenied,
        Reason::NotFound => Code::NotFound,
        Reason::MethodNotAllowed => Code::Unimplemented,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::Conflict => Code::Aborted,
        Reason::Expired => Code::OutOfRange,
        Reason::RequestEntityTooLarge | Reason::TooManyRequests => Code::ResourceExhausted,
        Reason::InternalError => Code::Internal,
        Reason::ServiceUnavailable => Code::Unavailable,
        Reason::Timeout => Code::DeadlineExceeded,
    }
}

/// For answers without a `Status`: from something between the processes, or from tonic itself.
fn reason(code: Code) -> Reason {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => Reason::BadRequest,
        Code::Unauthenticated => Reason::Unauthorized,
        Code::PermissionDenied => Reason::Forbidden,
        Code::NotFound => Reason::NotFound,
        Code::Unimplemented => Reason::MethodNotAllowed,
        Code::AlreadyExists => Reason::AlreadyExists,
        Code::Aborted => Reason::Conflict,
        Code::OutOfRange => Reason::RequestEntityTooLarge,
        Code::ResourceExhausted => Reason::TooManyRequests,
        Code::Unavailable => Reason::ServiceUnavailable,
        Code::DeadlineExceeded | Code::Cancelled => Reason::Timeout,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Reason::InternalError,
    }
}

/// Every reason; the words are the variants' names.
const REASONS: [Reason; 16] = [
    Reason::BadRequest,
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Expired,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::Invalid,
    Reason::TooManyRequests,
    Reason::InternalError,
    Reason::ServiceUnavailable,
    Reason::Timeout,
];

fn reason_of(word: &str) -> Option<Reason> {
    REASONS.into_iter().find(|reason| reason.word() == word)
}

fn reason_of_code(code: i32) -> Reason {
    REASONS.into_iter().find(|reason| i32::from(reason.code()) == code).unwrap_or(Reason::InternalError)
}

/// The reason of the cause with which a master refuses whoever does not belong to the cluster any more. Its message is the
/// cluster's id.
pub const REVOKED: &str = "IdentityRevoked";

/// The words that causes use. Anything else is of a later version.
const CAUSE_REASONS: [&str; 15] = [
    FIELD_MANAGER_CONFLICT,
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueNotFound",
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
    REVOKED,
    "InternalError",
    "NamespaceTerminating",
    "ResourceVersionTooLarge",
    "UnexpectedServerResponse",
];

fn cause_reason(word: &str) -> &'static str {
    CAUSE_REASONS.into_iter().find(|known| *known == word).unwrap_or("FieldValueInvalid")
}

/// Details name the kind of an invalid object and the resource of all others.
fn kind_of(details: &meta_v1::StatusDetails) -> Option<Kind> {
    let is = |kind: &&Kind| {
        let info = kind.info();
        info.group == details.group && (info.kind == details.kind || info.plural == details.kind)
    };
    Kind::ALL.iter().find(is).copied()
}
