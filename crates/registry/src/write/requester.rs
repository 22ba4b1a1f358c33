//! Who asks for a certificate: that stands in the request, and only masters say it.

use std::borrow::Cow;

use api::{
    Object, Write,
    authentication_v1::ExtraValue,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestSpec},
};

use crate::access::{Caller, User};

/// A write, with the caller's name in it if it asks for a certificate.
pub(super) fn told<'a>(write: Cow<'a, Write>, caller: &Caller) -> Cow<'a, Write> {
    let Write::Create(Object::CertificateSigningRequest(request)) = &*write else { return write };
    let User { name: username, uid, groups, extra } = caller.described();
    let extra = extra.into_iter().map(|(name, items)| (name, ExtraValue { items })).collect();
    let spec = request.spec.clone().unwrap_or_default();
    let spec = Some(CertificateSigningRequestSpec { username, uid, groups, extra, ..spec });
    let named = CertificateSigningRequest { spec, ..CertificateSigningRequest::clone(request) };
    Cow::Owned(Write::Create(named.into()))
}
