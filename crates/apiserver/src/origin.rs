//! Whether a request is meant for this server, and not made by a web page in the browser of somebody who may use it.
//!
//! A page of another origin says so in `Origin`. A page whose name was made to lead here (DNS rebinding) has its own name in
//! `Host`; an address cannot be made to lead elsewhere. Our own processes know each other by their certificates and reach
//! masters under any name.

use api::{Error, Reason};
use http::{HeaderMap, Request, Uri, Version, header, uri::Authority};
use registry::Caller;

use crate::gate::Language;

/// Refuses a request that a web page made, or that names another host than this server. `hosts` are the server's names.
///
/// # Errors
/// Says which header is wrong and what to do.
pub(crate) fn check<B>(
    request: &Request<B>,
    caller: &Caller,
    language: Language,
    hosts: &[String],
) -> Result<(), Error> {
    let named = named(request.headers(), request.uri(), request.version())?;
    same_origin(request.headers(), &named)?;
    match caller {
        Caller::Cluster | Caller::Master { .. } | Caller::Newcomer { .. } | Caller::Node { .. } => return Ok(()),
        // Who joins verifies the master by its token, whatever its name.
        Caller::Nobody if language == Language::Grpc => return Ok(()),
        Caller::Admin { .. } | Caller::User(_) | Caller::Nobody => {}
    }
    match named.iter().flatten().find(|authority| !is_ours(authority, hosts)) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            Reason::Forbidden,
            format!(
                "Host: {:?} is no name of this server; use its address, or start it with --host for that name",
                other.host()
            ),
        )),
    }
}

/// The authorities that a request names, in its URL and in `Host`.
fn named(headers: &HeaderMap, uri: &Uri, version: Version) -> Result<[Option<Authority>; 2], Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return Err(Error::bad_request("Host: missing; HTTP/1.1 needs it")),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Error::bad_request("Host: given twice; give it once")),
        (Some(host), None) => {
            let authority = Authority::try_from(host.as_bytes());
            Some(authority.map_err(|_| Error::bad_request("Host: not HOST or HOST:PORT"))?)
        }
    };
    Ok([uri.authority().cloned(), host])
}

fn same_origin(headers: &HeaderMap, named: &[Option<Authority>]) -> Result<(), Error> {
    for origin in headers.get_all(header::ORIGIN) {
        let text = origin.to_str().unwrap_or_default();
        let authority = text.strip_prefix("https://").unwrap_or_default();
        let is_own = |named: &Authority| named.as_str().eq_ignore_ascii_case(authority);
        let mut named = named.iter().flatten().peekable();
        if named.peek().is_none() || !named.all(is_own) {
            let message =
                format!("Origin: a web page of {text:?} must not use this API; only one of the server itself may");
            return Err(Error::new(Reason::Forbidden, message));
        }
    }
    Ok(())
}

fn is_ours(authority: &Authority, hosts: &[String]) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    is_address || host.eq_ignore_ascii_case("localhost") || hosts.iter().any(|name| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn asked(caller: &Caller, language: Language, line: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        let mut request = Request::builder().uri(line);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let hosts = ["master.example".to_owned()];
        let checked = check(&request.body(()).unwrap(), caller, language, &hosts);
        checked.map_err(|error| crate::rest::refusal(&error).status().as_u16())
    }

    fn admin(line: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        asked(&Caller::Admin { name: "a".to_owned() }, Language::Rest, line, headers)
    }

    #[test]
    fn the_host_is_an_address_or_a_name_of_the_server() {
        for host in ["127.0.0.1:6443", "10.1.2.3", "[::1]:6443", "localhost:6443", "Master.Example.", "LOCALHOST"] {
            assert_eq!(admin("/api", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:6443", "127.0.0.1.evil.example", "master.example.evil", "a..b"] {
            assert_eq!(admin("/api", &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(admin("http://evil.example/api", &[("host", "127.0.0.1")]), Err(403), "the URL counts as well");
        assert_eq!(admin("/api", &[]), Err(400), "HTTP/1.1 without Host");
        assert_eq!(admin("/api", &[("host", "127.0.0.1"), ("host", "127.0.0.1")]), Err(400), "two of them");
        assert_eq!(admin("/api", &[("host", "a b")]), Err(400));
    }

    #[test]
    fn our_own_processes_reach_masters_under_any_name() {
        let headers = [("host", "m1.internal:6443")];
        let node = Caller::Node { name: "w1".to_owned(), uid: String::new(), from: None };
        assert_eq!(asked(&node, Language::Grpc, "/", &headers), Ok(()));
        assert_eq!(asked(&Caller::Nobody, Language::Grpc, "/", &headers), Ok(()), "somebody who joins");
        assert_eq!(asked(&Caller::Nobody, Language::Rest, "/", &headers), Err(403));
    }

    #[test]
    fn web_pages_of_other_origins_are_refused() {
        let from = |origin: &str| admin("/api", &[("host", "localhost:6443"), ("origin", origin)]);
        assert_eq!(from("https://localhost:6443"), Ok(()));
        for origin in ["http://localhost:6443", "https://localhost", "https://evil.example", "null", ""] {
            assert_eq!(from(origin), Err(403), "{origin}");
        }
        let node = Caller::Node { name: "w1".to_owned(), uid: String::new(), from: None };
        let headers = [("host", "m1:6443"), ("origin", "https://evil.example")];
        assert_eq!(asked(&node, Language::Grpc, "/", &headers), Err(403));
    }
}
