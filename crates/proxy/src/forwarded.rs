//! What a request says about its client: `Forwarded` and the `X-Forwarded-` headers.
//!
//! A client outside is not believed: what it wrote is replaced. Another node's proxy has done so already. A Pod may pass on
//! what it was told, and its own address comes last, which is the one to trust.

use std::{cell::RefCell, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

use crate::body::Body;

const FORWARDED: HeaderName = header::FORWARDED;
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Who sends the requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Anybody.
    Client(IpAddr),
    /// A Pod of this node.
    Pod(IpAddr),
    /// Another node's proxy.
    Node,
}

/// Signs the requests of a connection. What is the same for all of them is made once.
pub(crate) struct Signature {
    origin: Origin,
    ip: HeaderValue,
    /// The element of `Forwarded` for the latest host.
    latest: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Signature {
    pub(crate) fn of(origin: Origin) -> Self {
        let ip = match origin {
            Origin::Client(ip) | Origin::Pod(ip) => HeaderValue::from_str(&ip.to_string()).ok(),
            Origin::Node => None,
        };
        Self { origin, ip: ip.unwrap_or(HeaderValue::from_static("unknown")), latest: RefCell::default() }
    }

    /// Says in a request for whom it is.
    pub(crate) fn sign(&self, request: &mut Request<Body>) {
        let ip = match self.origin {
            Origin::Node => return,
            Origin::Client(ip) | Origin::Pod(ip) => ip,
        };
        let authority = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let headers = request.headers_mut();
        let host = authority.or_else(|| headers.get(header::HOST).cloned());
        let element = self.element(ip, host.as_ref());
        headers.reserve(4);
        match self.origin {
            Origin::Client(_) => {
                headers.remove(PORT);
                headers.remove(REAL_IP);
                headers.insert(FOR, self.ip.clone());
                headers.insert(FORWARDED, element);
                headers.insert(PROTO, HTTP);
                match host {
                    Some(host) => headers.insert(HOST, host),
                    None => headers.remove(HOST),
                };
            }
            Origin::Pod(_) => {
                append(headers, FOR, &self.ip);
                append(headers, FORWARDED, &element);
                headers.entry(PROTO).or_insert(HTTP);
                if let Some(host) = host {
                    headers.entry(HOST).or_insert(host);
                }
            }
            Origin::Node => {}
        }
    }

    fn element(&self, ip: IpAddr, host: Option<&HeaderValue>) -> HeaderValue {
        match (&*self.latest.borrow(), host) {
            (Some((known, element)), Some(host)) if known == host => return element.clone(),
            _ => {}
        }
        let element = HeaderValue::from_str(&element(ip, host)).unwrap_or(HeaderValue::from_static("for=unknown"));
        *self.latest.borrow_mut() = host.map(|host| (host.clone(), element.clone()));
        element
    }
}

/// Adds to a list, which may stand in several headers; afterwards it stands in one.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, last.clone());
        return;
    }
    let before: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    let mut list = before.join(&b", "[..]);
    list.extend_from_slice(b", ");
    list.extend_from_slice(last.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(name, list);
    }
}

/// One element of `Forwarded`.
fn element(ip: IpAddr, host: Option<&HeaderValue>) -> String {
    let mut element = match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    let is_plain = |text: &&str| !text.contains(['"', '\\']);
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(is_plain) {
        element.push_str(&format!(";host=\"{host}\""));
    }
    element.push_str(";proto=http");
    element
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    fn signed(origin: Origin, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut request = Request::get("/").header("host", "web:80");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = request.body(body).expect("a request");
        Signature::of(origin).sign(&mut request);
        [FORWARDED, FOR, HOST, PROTO, REAL_IP]
            .iter()
            .map(|name| {
                let values: Vec<&str> =
                    request.headers().get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
                values.join(" | ")
            })
            .collect()
    }

    const FORGED: &[(&str, &str)] = &[
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-host", "other"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "1.1.1.1"),
    ];

    #[test]
    fn a_client_is_named_whatever_it_says() {
        let wanted = ["for=10.0.0.9;host=\"web:80\";proto=http", "10.0.0.9", "web:80", "http", ""];
        assert_eq!(signed(Origin::Client([10, 0, 0, 9].into()), &[]), wanted);
        assert_eq!(signed(Origin::Client([10, 0, 0, 9].into()), FORGED), wanted);
    }

    #[test]
    fn what_a_node_says_stays_and_a_pod_adds_itself_at_the_end() {
        let kept = ["for=1.1.1.1", "1.1.1.1 | 2.2.2.2", "other", "https", "1.1.1.1"];
        assert_eq!(signed(Origin::Node, FORGED), kept);
        let added = [
            "for=1.1.1.1, for=10.0.0.9;host=\"web:80\";proto=http",
            "1.1.1.1, 2.2.2.2, 10.0.0.9",
            "other",
            "https",
            "1.1.1.1",
        ];
        assert_eq!(signed(Origin::Pod([10, 0, 0, 9].into()), FORGED), added);
    }

    #[test]
    fn an_address_with_colons_is_quoted() {
        let ip: IpAddr = "2001:db8::1".parse().expect("an address");
        assert_eq!(element(ip, None), "for=\"[2001:db8::1]\";proto=http");
    }
}
