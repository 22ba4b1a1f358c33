//! How a connection becomes a WebSocket, and which protocol is spoken within it.

use api::Error;
use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::upgrade;

/// The word in `Upgrade`.
const PROTOCOL: &str = "websocket";

/// The only version that there is.
const VERSION: &str = "13";

/// What the server adds to the client's key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The length of a key, in bytes.
const KEY_BYTES: usize = 16;

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    upgrade::is_asked(headers, PROTOCOL)
}

/// Grants a WebSocket, with the first protocol that the client names and that is offered. An empty name stands for a client that
/// names none.
///
/// # Errors
/// If the handshake is not one of version 13, or the client names only what is not offered.
pub(crate) fn accept<P: Copy>(headers: &HeaderMap, offers: &[(&'static str, P)]) -> Result<(P, Response<Body>), Error> {
    if one(headers, &header::SEC_WEBSOCKET_VERSION)? != VERSION {
        return Err(Error::bad_request("Sec-WebSocket-Version: only 13 is spoken here"));
    }
    let key = one(headers, &header::SEC_WEBSOCKET_KEY)?;
    if !BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == KEY_BYTES) {
        return Err(Error::bad_request("Sec-WebSocket-Key: not 16 bytes in base64"));
    }
    let (name, protocol) = chosen(headers, offers)?;
    let mut response = upgrade::granted(PROTOCOL);
    let proof = HeaderValue::from_str(&proof(key)).map_err(Error::internal)?;
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    if !name.is_empty() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    Ok((protocol, response))
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => Ok(value.trim()),
        _ => Err(Error::bad_request(format!("{name}: a WebSocket is asked for with exactly one"))),
    }
}

fn chosen<P: Copy>(headers: &HeaderMap, offers: &[(&'static str, P)]) -> Result<(&'static str, P), Error> {
    let find = |word: &str| offers.iter().find(|(name, _)| *name == word).copied();
    let mut wanted = upgrade::words(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
    let found = if wanted.peek().is_none() { find("") } else { wanted.find_map(find) };
    found.ok_or_else(|| {
        let names: Vec<&str> = offers.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
        Error::bad_request(format!("Sec-WebSocket-Protocol: name one of {}", names.join(", ")))
    })
}

/// What proves that the server has read the client's key.
fn proof(key: &str) -> String {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID);
    BASE64_STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<(u8, String, String), String> {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers: HeaderMap = headers.fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        });
        let (protocol, response) =
            accept(&headers, &[("", 0), ("a.k8s.io", 1), ("b.k8s.io", 2)]).map_err(|error| error.message)?;
        let header =
            |name: HeaderName| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        Ok((protocol, header(header::SEC_WEBSOCKET_ACCEPT), header(header::SEC_WEBSOCKET_PROTOCOL)))
    }

    #[test]
    fn the_proof_is_that_of_the_standard_and_the_first_offered_protocol_is_chosen() {
        let (version, key) = (("sec-websocket-version", "13"), ("sec-websocket-key", KEY));
        let proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        assert_eq!(asked(&[version, key]), Ok((0, proof.clone(), String::new())));
        let two = ("sec-websocket-protocol", "x, b.k8s.io,a.k8s.io");
        assert_eq!(asked(&[version, key, two]), Ok((2, proof, "b.k8s.io".to_owned())));
    }

    #[test]
    fn what_is_no_handshake_is_refused_with_the_header_that_is_wrong() {
        let (version, key) = (("sec-websocket-version", "13"), ("sec-websocket-key", KEY));
        let refused = |headers: &[(&'static str, &'static str)], why: &str| {
            let message = asked(headers).unwrap_err();
            assert!(message.to_lowercase().contains(why), "{message}");
        };
        refused(&[key], "sec-websocket-version");
        refused(&[key, ("sec-websocket-version", "8")], "sec-websocket-version");
        refused(&[version], "sec-websocket-key");
        refused(&[version, key, key], "sec-websocket-key");
        refused(&[version, ("sec-websocket-key", "c2hvcnQ=")], "sec-websocket-key");
        refused(&[version, key, ("sec-websocket-protocol", "x, y")], "name one of a.k8s.io, b.k8s.io");
    }
}
