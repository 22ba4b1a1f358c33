//! Who sent a request, and from where: the server notes it among the request's extensions, for whoever answers it.

use std::{net::IpAddr, sync::Arc};

use http::Extensions;
use registry::Caller;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
struct Address(IpAddr);

/// Notes who sent a request and from where.
pub(crate) fn note(extensions: &mut Extensions, caller: Arc<Caller>, from: IpAddr) {
    extensions.insert(Address(from));
    extensions.insert(caller);
}

/// Who sent a request; one of which nothing was noted is nobody's.
pub(crate) fn caller(extensions: &Extensions) -> Arc<Caller> {
    extensions.get::<Arc<Caller>>().cloned().unwrap_or_else(|| Arc::new(Caller::Nobody))
}

/// Where a request comes from, if that was noted.
pub(crate) fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Address>().map(|Address(from)| *from)
}
