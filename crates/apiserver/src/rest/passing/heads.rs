//! What changes in the heads of requests and answers that pass through a master.

use api::Error;
use axum::body::Body;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
};
use hyper::body::Incoming;

use crate::{
    rest::{Asked, path::behind_proxy},
    upgrade,
};

/// Headers that are about one connection and not about the message.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// With these a Pod would let pages of other sites read what comes from the API's own.
const OF_OTHER_ORIGINS: [HeaderName; 5] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
];

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The request for a path as whoever answers gets it.
///
/// # Errors
/// If the path is none.
pub(in crate::rest) fn request(asked: &Asked, path: &str, body: Body) -> Result<Request<Body>, Error> {
    let query = asked.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let target = PathAndQuery::try_from(format!("{path}{query}"));
    let mut request = Request::new(body);
    *request.method_mut() = asked.method.clone();
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from(target.map_err(|error| Error::bad_request(format!("the path: {error}")))?);
    let headers = request.headers_mut();
    headers.clone_from(&asked.headers);
    let upgrades: Vec<HeaderValue> = upgrades(&asked.headers);
    strip(headers);
    headers.remove(header::AUTHORIZATION);
    for protocol in upgrades {
        headers.append(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    told(headers, asked);
    Ok(request)
}

/// The protocols that a request asks to go on in.
fn upgrades(headers: &HeaderMap) -> Vec<HeaderValue> {
    let asks = upgrade::words(headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    headers.get_all(header::UPGRADE).iter().filter(|_| asks).cloned().collect()
}

/// Tells the Pod by which URL it was asked.
fn told(headers: &mut HeaderMap, asked: &Asked) {
    let host = asked.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let host = host.or_else(|| asked.headers.get(header::HOST).cloned());
    let host = host.unwrap_or_else(|| HeaderValue::from_static("localhost"));
    if let Ok(path) = HeaderValue::from_str(asked.uri.path()) {
        headers.insert(FORWARDED_URI, path);
    }
    headers.insert(header::HOST, host.clone());
    headers.insert(FORWARDED_HOST, host);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
}

/// The answer as the client gets it.
pub(super) fn answer(mut response: Response<Incoming>) -> Response<Incoming> {
    strip(response.headers_mut());
    for name in OF_OTHER_ORIGINS {
        response.headers_mut().remove(name);
    }
    response
}

/// The answer with its `Location` leading through the proxy, where it leads to the Pod itself.
pub(in crate::rest) fn located(mut response: Response<Body>, asked: &str) -> Response<Body> {
    let is_redirect = response.status().is_redirection() || response.status() == StatusCode::CREATED;
    let location = response.headers().get(header::LOCATION).filter(|_| is_redirect);
    let Some((through, location)) = behind_proxy(asked).map(|(through, _)| through).zip(location) else {
        return response;
    };
    // What begins with two slashes names another host.
    let is_path = location.as_bytes().starts_with(b"/") && !location.as_bytes().starts_with(b"//");
    let led = [through.as_bytes(), location.as_bytes()].concat();
    if let Ok(led) = HeaderValue::from_bytes(&led)
        && is_path
    {
        response.headers_mut().insert(header::LOCATION, led);
    }
    response
}

/// Takes away what is about one connection, also what a message itself names so.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = upgrade::words(headers, &header::CONNECTION)
        .filter_map(|word| HeaderName::from_bytes(word.as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use http::Method;

    use super::*;
    use crate::rest::query::Query;

    const POD: &str = "/api/v1/namespaces/default/pods/p/proxy";

    fn passed(rest: &str, headers: &[(&'static str, &'static str)]) -> Request<Body> {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let asked = Asked {
            method: Method::PUT,
            uri: format!("{POD}{rest}").parse().unwrap(),
            query: Query::default(),
            headers: headers.collect(),
        };
        request(&asked, behind_proxy(asked.uri.path()).unwrap().1, Body::empty()).unwrap()
    }

    #[test]
    fn a_pod_is_asked_for_the_rest_of_the_path_as_it_was_written() {
        for (rest, target) in [("", "/"), ("/", "/"), ("/a//%2fb/?x=%20&y", "/a//%2fb/?x=%20&y"), ("?q", "/?q")] {
            let request = passed(rest, &[]);
            assert_eq!((request.uri().to_string(), request.method()), (target.to_owned(), &Method::PUT));
        }
    }

    #[test]
    fn what_is_about_the_connection_or_shows_who_asks_stays_behind() {
        let headers = [
            ("host", "127.0.0.1:6443"),
            ("connection", "x-hop, keep-alive"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer x"),
            ("x-forwarded-host", "evil.example"),
            ("accept", "text/html"),
        ];
        let request = passed("/a", &headers);
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-uri"]);
        assert_eq!(request.headers()["x-forwarded-host"], "127.0.0.1:6443");
    }

    #[test]
    fn an_upgrade_is_asked_for_as_the_client_does() {
        let headers = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "k")];
        let request = passed("/", &headers);
        assert_eq!(request.headers()["connection"], "upgrade");
        assert_eq!(
            (&request.headers()["upgrade"], &request.headers()["sec-websocket-key"]),
            (&"websocket".parse().unwrap(), &"k".parse().unwrap())
        );
    }

    #[test]
    fn a_redirect_to_the_pod_leads_through_the_proxy() {
        let led = |status: u16, location: &'static str| {
            let response = Response::builder().status(status).header("location", location).body(Body::empty()).unwrap();
            located(response, &format!("{POD}/x")).headers()["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(led(302, "/y?z"), format!("{POD}/y?z"));
        for elsewhere in ["//evil.example/", "https://example.org/", "y"] {
            assert_eq!(led(302, elsewhere), elsewhere);
        }
        assert_eq!(led(200, "/y"), "/y");
    }
}
