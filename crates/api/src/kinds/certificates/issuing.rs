//! What becomes of the requests for certificates, of either sort, whose certificates were issued.

use super::{certificate_signing_request, pod_certificate_request};
use crate::{Key, Object, Timestamp, object::Resource as _, x509::Asked};

impl Asked {
    /// The key of the request.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Signing(request) => request.key(),
            Self::Pod(request) => request.key(),
        }
    }

    /// The request with the certificate that was issued for it.
    #[must_use]
    pub fn issued(&self, certificate: String, now: Timestamp) -> Object {
        match self {
            Self::Signing(request) => certificate_signing_request::issued(request, certificate.into()).into(),
            Self::Pod(request) => pod_certificate_request::issued(request, certificate, now).into(),
        }
    }
}
