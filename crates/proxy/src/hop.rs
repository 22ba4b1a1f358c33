//! What changes in the heads of messages that pass through to a Pod behind a socket.

use std::{error::Error as _, io};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::{body::Body, replay::Upload};

/// By this a node tells another that its Pod has not seen the request, so that it may go to the next Pod, whatever it asks.
/// Handlers cannot say so themselves; a Pod that listens itself can, and so refuses a request to another one's benefit.
const NOT_TAKEN: HeaderName = HeaderName::from_static("kapelle-not-taken");

/// Headers that are about one connection and not about the message.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// The request as a Pod gets it.
pub(crate) fn request(parts: &Parts, body: Upload) -> Request<Upload> {
    let wants_trailers = values(&parts.headers, &header::TE).any(|word| word.eq_ignore_ascii_case("trailers"));
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.clone_from(&parts.headers);
    strip(headers);
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    // The name in the line of the request is the one that counts; Pods find it where they look.
    let named = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = named {
        headers.insert(header::HOST, host);
    }
    // HTTP/1.0 may leave it out, HTTP/1.1 may not; handlers of this node are told the same.
    headers.entry(header::HOST).or_insert_with(|| HeaderValue::from_static("localhost"));
    *request.uri_mut() = match (&parts.method, parts.uri.path_and_query()) {
        (&Method::CONNECT, _) => parts.uri.clone(),
        (_, Some(path)) => Uri::from(path.clone()),
        (_, None) => Uri::from(PathAndQuery::from_static("/")),
    };
    request
}

/// The same for a request that asks for another protocol.
pub(crate) fn upgrade(parts: &Parts, body: Upload) -> Request<Upload> {
    let mut request = request(parts, body);
    for protocol in parts.headers.get_all(header::UPGRADE) {
        request.headers_mut().append(header::UPGRADE, protocol.clone());
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    request
}

/// Whether a request asks for its connection to become another one.
pub(crate) fn wants_tunnel(parts: &Parts) -> bool {
    parts.method == Method::CONNECT
        || parts.headers.contains_key(header::UPGRADE)
            && values(&parts.headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"))
}

/// Whether an answer makes its connection a tunnel.
pub(crate) fn is_tunnel(is_connect: bool, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || is_connect && status.is_success()
}

/// The answer as the client gets it.
pub(crate) fn response(mut response: Response<Incoming>) -> Response<Incoming> {
    strip(response.headers_mut());
    response.headers_mut().remove(NOT_TAKEN);
    *response.version_mut() = Version::HTTP_11;
    response
}

/// What a Pod of this node answered, without what only its node may say.
pub(crate) fn of_pod(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().remove(NOT_TAKEN);
    response
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            values(headers, &header::CONNECTION).filter_map(|word| word.parse().ok()).collect();
        for name in named.iter().filter(|name| **name != header::HOST) {
            headers.remove(name);
        }
    }
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// The words of a header that lists words.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// Whether a Pod's node says that its Pod has not seen the request.
pub(crate) fn is_not_taken<B>(response: &Response<B>) -> bool {
    response.headers().contains_key(NOT_TAKEN)
}

/// Tells another node that the Pod takes no request any more.
pub(crate) fn not_taken() -> Response<Body> {
    let mut response = refusal((StatusCode::SERVICE_UNAVAILABLE, "the Pod takes no requests any more\n"));
    response.headers_mut().insert(NOT_TAKEN, HeaderValue::from_static("true"));
    response
}

/// An answer of the proxy's own. The connection ends, so that the next one finds whoever is there.
pub(crate) fn refusal((status, text): (StatusCode, &'static str)) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What the system said of a connection that broke.
pub(crate) fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}
