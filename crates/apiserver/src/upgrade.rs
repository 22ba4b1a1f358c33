//! Connections that change to another protocol: whether a request asks for that, the answer that grants it, and what is
//! spoken afterwards.
//!
//! Only HTTP/1.1 knows this. A request was checked and authorised like any other before its answer is made, so what follows
//! needs no further leave. The server speaks it in the connection's own task (`server.rs`), so that it ends with the
//! connection: when its caller leaves the cluster, gives way to others, or the server stops.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

/// The bytes of a connection after its last answer in HTTP.
pub(crate) type Bytes = TokioIo<Upgraded>;

/// What is spoken over a connection once it has changed.
pub(crate) type Conversation = Box<dyn FnOnce(Bytes) -> BoxFuture<'static, ()> + Send>;

/// A [`Conversation`] among the extensions of an answer, which have to be shared.
#[derive(Clone)]
struct Next(Arc<Mutex<Option<Conversation>>>);

/// Whether a request asks to go on in a protocol.
pub(crate) fn is_asked(headers: &HeaderMap, protocol: &str) -> bool {
    let wanted = words(headers, &header::UPGRADE).any(|word| word.eq_ignore_ascii_case(protocol));
    wanted && words(headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"))
}

/// The words of a header that is a list.
pub(crate) fn words<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// The answer that grants a change of protocol.
pub(crate) fn granted(protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// Says what is spoken after an answer.
pub(crate) fn then<F>(
    mut response: Response<Body>,
    conversation: impl FnOnce(Bytes) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let conversation: Conversation = Box::new(move |bytes| Box::pin(conversation(bytes)));
    response.extensions_mut().insert(Next(Arc::new(Mutex::new(Some(conversation)))));
    response
}

/// What is spoken after an answer, if it changes the protocol.
pub(crate) fn take(response: &mut Response<Body>) -> Option<Conversation> {
    let Next(next) = response.extensions_mut().remove()?;
    // There is no body, and a length of none is not allowed here.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    next.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_asked_for_by_two_headers() {
        let asked = |connection: &'static str, upgrade: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
            headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
            is_asked(&headers, "websocket")
        };
        assert!(asked("Upgrade", "websocket") && asked("keep-alive, upgrade", "h2c, WebSocket"));
        assert!(!asked("keep-alive", "websocket") && !asked("Upgrade", "SPDY/3.1") && !asked("", ""));
    }
}
