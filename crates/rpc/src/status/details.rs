//! What gRPC's own libraries read of an error: the details that `google.rpc` defines, so that a client which knows nothing of
//! Kubernetes' `Status` still finds the wrong fields, the object, and when to ask again.

use std::{collections::HashMap, time::Duration};

use api::{Error, Key, Reason, error::Cause};
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, PreconditionFailure, PreconditionViolation, ResourceInfo,
    RetryInfo,
};

/// Within which the words of reasons have their meaning: the package of the services.
const DOMAIN: &str = "kapelle.api.v1";

/// The most bytes of the texts of causes; those that find no room are left out. The details travel in the same headers as the
/// `Status`.
pub(super) const CAUSE_BYTES_MAX: usize = 2 << 10;

/// What a cause takes beside its texts, about, in bytes.
const CAUSE_OVERHEAD_BYTES: usize = 16;

/// The details of an error, whose message may have been cut.
pub(super) fn of(error: &Error, message: &str) -> Vec<ErrorDetail> {
    let reason = constant(&error.reason.word());
    let causes = fitting(&error.causes);
    let mut details = Vec::new();
    if matches!(error.reason, Reason::Invalid | Reason::BadRequest) && !causes.is_empty() {
        details.push(BadRequest { field_violations: causes.into_iter().map(field_violation).collect() }.into());
    } else if !causes.is_empty() {
        let violations = causes.into_iter().map(|cause| unmet(error, cause)).collect();
        details.push(PreconditionFailure { violations }.into());
    } else if error.reason == Reason::Conflict {
        let violations = vec![PreconditionViolation::new(reason.as_str(), subject(error), message)];
        details.push(PreconditionFailure { violations }.into());
    }
    details.push(ErrorInfo { reason, domain: DOMAIN.to_owned(), metadata: HashMap::new() }.into());
    if let Some(key) = &error.about {
        details.push(ResourceInfo::new(key.kind.resource_name(), name(key), "", "").into());
    }
    if let Some(seconds) = error.retry_after_s {
        details.push(RetryInfo::new(Some(Duration::from_secs(seconds.into()))).into());
    }
    details
}

fn fitting(causes: &[Cause]) -> Vec<&Cause> {
    let mut bytes = 0;
    let fits = |cause: &&Cause| {
        bytes += 2 * cause.reason.len() + cause.field.len() + cause.message.len() + CAUSE_OVERHEAD_BYTES;
        bytes <= CAUSE_BYTES_MAX
    };
    causes.iter().take_while(fits).collect()
}

fn field_violation(cause: &Cause) -> FieldViolation {
    FieldViolation { reason: constant(cause.reason), ..FieldViolation::new(&cause.field, &cause.message) }
}

fn unmet(error: &Error, cause: &Cause) -> PreconditionViolation {
    let subject = if cause.field.is_empty() { subject(error) } else { cause.field.clone() };
    PreconditionViolation::new(constant(cause.reason), subject, &cause.message)
}

/// What a precondition is about: `configmaps/default/a`; empty if it is about no object.
fn subject(error: &Error) -> String {
    error.about.as_ref().map(|key| format!("{}/{}", key.kind.resource_name(), name(key))).unwrap_or_default()
}

fn name(key: &Key) -> String {
    if key.namespace.is_empty() { key.name.to_string() } else { format!("{}/{}", key.namespace, key.name) }
}

/// A word of Kubernetes as `google.rpc` writes it: `NOT_FOUND` for `NotFound`.
fn constant(word: &str) -> String {
    let mut constant = String::with_capacity(word.len() + 4);
    for letter in word.chars() {
        if letter.is_ascii_uppercase() && !constant.is_empty() {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}
