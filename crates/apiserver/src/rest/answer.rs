//! HTTP answers: a status code with JSON, YAML or protobuf, warnings in headers, and errors as `metav1.Status`.

use std::convert::Infallible;

use api::{Error, cbor, meta_v1};
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use registry::Found;
use rpc::WARNING_BYTES_MAX;
use serde_json::{Value, json};

use super::{
    accept::{self, Encoding},
    compress::{self, Packed},
    etag,
    path::Target,
    protobuf,
    render::{self, Header, ListBody, View},
    yaml,
};

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";

/// An answer in JSON.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    self::value(code, Encoding::Json, value)
}

/// A value as the client wants it written.
pub(crate) fn value(code: StatusCode, encoding: Encoding, value: &Value) -> Response<Body> {
    let (content_type, body) = written(encoding, value);
    bytes(code, content_type, body)
}

/// The bytes of a value and their type.
pub(crate) fn written(encoding: Encoding, value: &Value) -> (&'static str, Vec<u8>) {
    let json = || value.to_string().into_bytes();
    match encoding {
        Encoding::Json => (JSON, json()),
        Encoding::Yaml => (yaml::TYPE, yaml::document(&json())),
        Encoding::Cbor => {
            let mut body = Vec::new();
            cbor::write(value, &mut body);
            (accept::CBOR, body)
        }
        Encoding::Protobuf => match protobuf::value(value) {
            Some(body) => (accept::PROTOBUF, body),
            None => (JSON, json()),
        },
    }
}

/// An object in the form that the client asked for.
pub(crate) fn object(code: StatusCode, found: &Found, view: View) -> Response<Body> {
    let mut body = Vec::new();
    render::object(found, view, Header::Shown, &mut body);
    let body = match view.encoding {
        Encoding::Json | Encoding::Protobuf => body,
        Encoding::Yaml => yaml::document(&body),
        Encoding::Cbor => render::cbor(&body),
    };
    bytes(code, view.content_type(), body)
}

/// A list in the form that the client asked for. What is short is sent whole, so that its length is known; of what is long only
/// the next piece is in memory.
pub(crate) fn list(mut list: ListBody) -> Response<Body> {
    let content_type = list.content_type();
    let (first, second) = (list.next().unwrap_or_default(), list.next());
    let Some(second) = second else { return bytes(StatusCode::OK, content_type, first) };
    let length = first.len() + second.len();
    let pieces = [first, second].into_iter().chain(list).map(Ok::<_, Infallible>);
    let response = self::stream(StatusCode::OK, content_type, Body::from_stream(stream::iter(pieces)));
    if compress::is_worth_it(length) { compress::allow(response) } else { response }
}

/// An answer of any type.
pub(crate) fn bytes(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    stream(code, content_type, Body::from(body.into()))
}

/// An answer whose body comes bit by bit.
pub(crate) fn stream(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A document that seldom changes: with an entity tag, and without the body if the client has it already.
pub(crate) fn document(content_type: &'static str, body: impl Into<Bytes>, headers: &HeaderMap) -> Response<Body> {
    let body = body.into();
    tagged(content_type, &etag::hash(&body), headers, || bytes(StatusCode::OK, content_type, body))
}

/// As [`document`], for one of discovery about one group or version.
pub(super) fn legacy(value: &Value, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    let (content_type, body) = written(accept::legacy_discovery(headers)?, value);
    Ok(document(content_type, body, headers))
}

/// As [`document`], for one that is kept compressed.
pub(crate) fn packed(content_type: &'static str, document: &Packed, headers: &HeaderMap) -> Response<Body> {
    let mut response = tagged(content_type, document.hash(), headers, || {
        if accept::gzip(headers) {
            compress::mark(bytes(StatusCode::OK, content_type, document.bytes()))
        } else {
            bytes(StatusCode::OK, content_type, document.unpacked())
        }
    });
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

/// Leads a client to another URL for good.
pub(crate) fn moved(url: &str) -> Response<Body> {
    let mut response = bytes(StatusCode::MOVED_PERMANENTLY, "text/plain; charset=utf-8", Bytes::new());
    if let Ok(url) = HeaderValue::from_str(url) {
        response.headers_mut().insert(header::LOCATION, url);
    }
    response
}

fn tagged(
    content_type: &'static str,
    hash: &str,
    headers: &HeaderMap,
    whole: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let mut response = if etag::is_known(&tag, headers) {
        bytes(StatusCode::NOT_MODIFIED, content_type, Bytes::new())
    } else {
        whole()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The error as Kubernetes' clients read it.
pub(crate) fn error(encoding: Encoding, error: &Error) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(code, encoding, &status(error));
    if let Some(seconds) = error.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    warn(&mut response, error.warnings());
    response
}

/// The error as a `Status`. Its `details` are never left out: `kubectl debug` reads them unasked and panics.
pub(crate) fn failure(error: &Error) -> meta_v1::Status {
    let mut status = meta_v1::Status::from(error);
    status.details.get_or_insert_default();
    status
}

/// As [`failure`], as JSON.
pub(crate) fn status(error: &Error) -> Value {
    let mut value = render::message("kapelle.meta.v1.Status", &failure(error));
    value["kind"] = "Status".into();
    value["apiVersion"] = "v1".into();
    value
}

/// The answer to a deletion after which the object is gone.
pub(crate) fn deleted(target: &Target, uid: &str) -> Value {
    let info = target.served.info();
    let details = json!({ "name": target.name, "group": info.group, "kind": info.plural, "uid": uid });
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// The answer to a write that leaves nothing to show, such as a binding.
pub(crate) fn success(code: StatusCode, encoding: Encoding) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16(),
    });
    value(code, encoding, &status)
}

/// Adds what the user should know, a header each.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    let mut left = WARNING_BYTES_MAX;
    for warning in warnings {
        let text = format!("299 - \"{}\"", quoted(warning));
        let Some(rest) = left.checked_sub(text.len()) else { break };
        left = rest;
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// What may stand between the quotes of a header: no line ends, and quotes and backslashes escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' '..='~' => quoted.push(letter),
            _ if letter.is_control() => quoted.push(' '),
            _ => quoted.push('?'),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_into_headers() {
        let mut response = json(StatusCode::OK, &Value::Null);
        warn(&mut response, &["unknown field \"spec.x\"\n".to_owned(), "ä".repeat(WARNING_BYTES_MAX)]);
        let sent: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(sent, ["299 - \"unknown field \\\"spec.x\\\" \""]);
    }
}
