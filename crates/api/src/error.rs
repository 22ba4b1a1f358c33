//! Why a request failed, in Kubernetes' terms. One error type for REST, gRPC, command line and controllers.

use std::fmt;

use crate::{Key, Kind, meta_v1};

/// The decision that an error asks of its caller: `metav1.StatusReason` with its HTTP code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: nobody knows who asks.
    Unauthorized,
    /// 403: the asker may not do this, or not here and now.
    Forbidden,
    /// 404: no such object.
    NotFound,
    /// 405: the resource does not know the verb.
    MethodNotAllowed,
    /// 406: no representation that the client accepts.
    NotAcceptable,
    /// 409: the name is taken.
    AlreadyExists,
    /// 409: the object changed meanwhile. Read it again and retry.
    Conflict,
    /// 410: the revision or page token is too old. List again.
    Expired,
    /// 413: larger than the limit.
    RequestEntityTooLarge,
    /// 415: the body is of a type that is not read here.
    UnsupportedMediaType,
    /// 422: understood, but wrong; `causes` name the fields.
    Invalid,
    /// 429: try again later.
    TooManyRequests,
    /// 500: our fault.
    InternalError,
    /// 503: no leader at the moment. Try again in a second.
    ServiceUnavailable,
    /// 504: not done in time; the outcome is unknown.
    Timeout,
}

impl Reason {
    /// The HTTP status code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The word in `Status.reason`. It is the variant's name.
    #[must_use]
    pub fn word(self) -> String {
        format!("{self:?}")
    }

    /// What to say when nothing else is known: an error that tells nothing helps nobody.
    fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest => "the server did not understand the request",
            Self::Unauthorized => "the server does not know who asks",
            Self::Forbidden => "the server does not allow this",
            Self::NotFound => "the server has no such object",
            Self::MethodNotAllowed => "the server does not offer this",
            Self::NotAcceptable => "the server knows no representation that the client accepts",
            Self::AlreadyExists => "the name is taken",
            Self::Conflict => "the object was changed meanwhile; try again",
            Self::Expired => "what was asked for is too old; ask from the beginning",
            Self::RequestEntityTooLarge => "the request is too large",
            Self::UnsupportedMediaType => "the server does not read this type of content",
            Self::Invalid => "the object is not valid",
            Self::TooManyRequests => "the server has too much to do; try again later",
            Self::InternalError => "the server failed and did not say why",
            Self::ServiceUnavailable => "the server cannot answer at the moment; try again later",
            Self::Timeout => "no answer came in time; nobody knows whether it was done",
        }
    }

    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::ServiceUnavailable | Self::Timeout)
    }
}

/// The reason of a cause whose field somebody else owns, who applies or writes under another name.
pub const FIELD_MANAGER_CONFLICT: &str = "FieldManagerConflict";

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`, `FieldValueForbidden`, `FieldValueDuplicate`…
    pub reason: &'static str,
    /// The JSON path: `spec.containers[0].image`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What few errors tell beside their reason and message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// With which token a list goes on in the present state, if the state of its pages is gone.
    pub continue_: Option<String>,
    /// The words of somebody else who was asked and refused, told as they are.
    pub denial: Option<Denial>,
    /// What the asker should know, whoever said it.
    pub warnings: Vec<String>,
}

/// A refusal in the words of somebody else, who may use others than [`Reason`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The HTTP status code.
    pub code: u16,
    /// The word for programs; may be empty.
    pub reason: String,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller should do.
    pub reason: Reason,
    /// What people read.
    pub message: String,
    /// The object, where one is meant. The name may be empty.
    pub about: Option<Key>,
    /// The fields that are wrong.
    pub causes: Vec<Cause>,
    /// Seconds after which to try again, for [`Reason::retryable`] errors.
    pub retry_after_s: Option<u16>,
    /// What few errors have.
    pub aside: Option<Box<Aside>>,
}

impl Error {
    /// An error with a message and nothing else. Without a message, the reason is told in words.
    pub fn new(reason: Reason, message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if message.trim().is_empty() {
            reason.sentence().clone_into(&mut message);
        }
        let retry_after_s = reason.retryable().then_some(1);
        Self { reason, message, about: None, causes: Vec::new(), retry_after_s, aside: None }
    }

    /// 400.
    pub fn bad_request(message: impl fmt::Display) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 500.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Reason::InternalError, message)
    }

    /// 405: what is asked for can be done with other objects, not with these.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
    }

    /// 404: `pods "x" not found`.
    #[must_use]
    pub fn not_found(key: &Key) -> Self {
        let message = format!("{} \"{}\" not found", key.kind.resource_name(), key.name);
        Self::new(Reason::NotFound, message).about(key)
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(key: &Key) -> Self {
        let message = format!("{} \"{}\" already exists", key.kind.resource_name(), key.name);
        Self::new(Reason::AlreadyExists, message).about(key)
    }

    /// 409: changed meanwhile. `why` completes the sentence.
    pub fn conflict(key: &Key, why: impl fmt::Display) -> Self {
        let resource = key.kind.resource_name();
        let message = format!("Operation cannot be fulfilled on {resource} \"{}\": {why}", key.name);
        Self::new(Reason::Conflict, message).about(key)
    }

    /// 409: the resourceVersion is not the current one.
    #[must_use]
    pub fn modified(key: &Key) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(key, why)
    }

    /// 422: `Deployment.apps "x" is invalid: spec.replicas: …`.
    #[must_use]
    pub fn invalid(key: &Key, causes: Vec<Cause>) -> Self {
        Self::invalid_as(&format!("{} \"{}\"", key.kind.qualified_name(), key.name), causes).about(key)
    }

    /// 422: `ListOptions.meta.k8s.io "" is invalid: limit: …`. About what was asked behind the question mark.
    #[must_use]
    pub fn invalid_options(kind: &str, causes: Vec<Cause>) -> Self {
        Self::invalid_as(&format!("{kind}.meta.k8s.io \"\""), causes)
    }

    /// 422: `TokenRequest.authentication.k8s.io "" is invalid: …`. About a request that is no object which is kept.
    #[must_use]
    pub fn invalid_request(kind: &str, causes: Vec<Cause>) -> Self {
        Self::invalid_as(&format!("{kind} \"\""), causes)
    }

    fn invalid_as(what: &str, causes: Vec<Cause>) -> Self {
        let mut list: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = if list.len() == 1 { list.remove(0) } else { format!("[{}]", list.join(", ")) };
        Self { causes, ..Self::new(Reason::Invalid, format!("{what} is invalid: {list}")) }
    }

    /// Whether others own fields that would be changed: trying again does not help, taking them over does.
    #[must_use]
    pub fn is_owned_by_others(&self) -> bool {
        self.causes.iter().any(|cause| cause.reason == FIELD_MANAGER_CONFLICT)
    }

    /// Adds what the asker should know beside it.
    #[must_use]
    pub fn warning(mut self, warnings: Vec<String>) -> Self {
        if !warnings.is_empty() {
            self.aside.get_or_insert_default().warnings.extend(warnings);
        }
        self
    }

    /// What the asker should know beside it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.aside.as_ref().map_or(&[][..], |aside| aside.warnings.as_slice())
    }

    /// The HTTP status code: that of whoever refused, or that of the reason.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.denial().map_or_else(|| self.reason.code(), |denial| denial.code)
    }

    /// With which token a list goes on in the present state.
    #[must_use]
    pub fn continue_(&self) -> Option<&str> {
        self.aside.as_ref()?.continue_.as_deref()
    }

    fn denial(&self) -> Option<&Denial> {
        self.aside.as_ref()?.denial.as_ref()
    }

    /// Says which object is meant.
    #[must_use]
    pub fn about(mut self, key: &Key) -> Self {
        self.about = Some(key.clone());
        self
    }
}

impl From<&Error> for meta_v1::Status {
    fn from(error: &Error) -> Self {
        let causes = error.causes.iter().map(|cause| meta_v1::StatusCause {
            reason: cause.reason.to_owned(),
            message: cause.message.clone(),
            field: cause.field.clone(),
        });
        let about = error.about.as_ref();
        let details = meta_v1::StatusDetails {
            name: about.map(|key| key.name.to_string()).unwrap_or_default(),
            group: about.map(|key| key.kind.info().group.to_owned()).unwrap_or_default(),
            kind: about.map(|key| details_kind(error.reason, key.kind)).unwrap_or_default(),
            causes: causes.collect(),
            retry_after_seconds: error.retry_after_s.map_or(0, i32::from),
            ..Default::default()
        };
        Self {
            metadata: Some(meta_v1::ListMeta {
                r#continue: error.continue_().unwrap_or_default().to_owned(),
                ..meta_v1::ListMeta::default()
            }),
            status: "Failure".to_owned(),
            message: error.message.clone(),
            reason: error.denial().map_or_else(|| error.reason.word(), |denial| denial.reason.clone()),
            details: (details != meta_v1::StatusDetails::default()).then_some(details),
            code: i32::from(error.code()),
        }
    }
}

/// Kubernetes puts the kind into the details of an invalid object and the resource into all others.
fn details_kind(reason: Reason, kind: Kind) -> String {
    let info = kind.info();
    if reason == Reason::Invalid { info.kind } else { info.plural }.to_owned()
}
