//! How a connection comes to speak SPDY, and what is spoken over it.

use api::{Error, Reason};
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::upgrade;

/// The word in `Upgrade`.
const PROTOCOL: &str = "SPDY/3.1";

/// The header in which a client names what it wants to speak, and the server what is spoken.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Grants SPDY, with the first protocol that the client names and that is offered; very old clients name none.
///
/// # Errors
/// If the request does not ask for SPDY, or names only what is not offered.
pub(crate) fn accept<P: Copy>(
    headers: &HeaderMap,
    offers: &[(&'static str, P)],
    unnamed: P,
) -> Result<(P, Response<Body>), Error> {
    if !upgrade::is_asked(headers, PROTOCOL) {
        let message = format!("Upgrade: this is spoken over {PROTOCOL} or a WebSocket; ask for one of them");
        return Err(Error::bad_request(message));
    }
    let mut response = upgrade::granted(PROTOCOL);
    let mut wanted = upgrade::words(headers, &STREAM_PROTOCOL).peekable();
    if wanted.peek().is_none() {
        return Ok((unnamed, response));
    }
    let Some((name, protocol)) = wanted.find_map(|word| offers.iter().find(|(name, _)| *name == word)) else {
        let names: Vec<&str> = offers.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(Reason::Forbidden, format!("{STREAM_PROTOCOL}: name one of {}", names.join(", "))));
    };
    response.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(name));
    Ok((*protocol, response))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<(u8, String), String> {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let offers = [("v2.k8s.io", 2), ("k8s.io", 1)];
        let (protocol, response) = accept(&headers.collect(), &offers, 0).map_err(|error| error.message)?;
        assert_eq!(response.headers().get("upgrade").unwrap(), PROTOCOL);
        let named = response.headers().get(STREAM_PROTOCOL);
        Ok((protocol, named.map_or("", |value| value.to_str().unwrap()).to_owned()))
    }

    #[test]
    fn the_first_protocol_that_is_offered_is_spoken() {
        let (connection, upgrade) = (("connection", "Upgrade"), ("upgrade", "SPDY/3.1"));
        assert_eq!(asked(&[connection, upgrade]), Ok((0, String::new())));
        let wanted = |names| [connection, upgrade, ("x-stream-protocol-version", names)];
        assert_eq!(asked(&wanted("v9.k8s.io, k8s.io, v2.k8s.io")), Ok((1, "k8s.io".to_owned())));
        assert!(asked(&wanted("v9.k8s.io")).unwrap_err().ends_with("name one of v2.k8s.io, k8s.io"));
        assert!(asked(&[]).unwrap_err().starts_with("Upgrade: "));
        assert!(asked(&[connection, ("upgrade", "h2c")]).unwrap_err().starts_with("Upgrade: "));
    }
}
