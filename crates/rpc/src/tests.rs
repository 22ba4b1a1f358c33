//! Errors survive the wire.

use api::{Error, Key, Kind, Reason, error::Cause};
use tonic::{Code, Status};

use crate::{
    client::{Repeat, elsewhere},
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject},
    status::{STATUS_KEY, from_tonic, to_tonic},
};

fn cause(index: usize) -> Cause {
    let field = format!("spec.containers[{index}].image");
    Cause { reason: "FieldValueRequired", field, message: "Required value".to_owned() }
}

#[test]
fn an_error_arrives_as_it_was_sent_but_for_the_namespace() {
    let key = Key::cluster(Kind::Deployment, "web");
    for error in [
        Error::not_found(&key),
        Error::modified(&key),
        Error::invalid(&key, vec![cause(0)]),
        Error::new(Reason::ServiceUnavailable, "no leader"),
        Error::bad_request("ümläut \u{1F3BC}"),
    ] {
        assert_eq!(from_tonic(&to_tonic(&error)), error);
    }
}

#[test]
fn an_error_too_large_for_a_header_loses_causes_not_its_meaning() {
    let key = Key::namespaced(Kind::Pod, "default", "p");
    let error = Error::invalid(&key, (0..1000).map(cause).collect());
    let status = to_tonic(&error);
    let bytes = status.metadata().get_bin(STATUS_KEY).map_or(0, |value| value.as_encoded_bytes().len());
    assert!((1..16 << 10).contains(&bytes) && status.message().len() <= 1024, "{bytes}");
    let arrived = from_tonic(&status);
    assert_eq!((arrived.reason, arrived.causes.first()), (Reason::Invalid, Some(&cause(0))));
}

/// The names and values of an answer's headers, with what each takes in an index of HTTP/2, in bytes.
fn header_bytes(status: Status) -> usize {
    const ENTRY_BYTES: usize = 32;
    let headers = status.into_http::<()>().into_parts().0.headers;
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY_BYTES).sum()
}

#[test]
fn the_headers_of_the_largest_error_are_read_everywhere() {
    let key = Key::namespaced(Kind::Pod, "n".repeat(63), "p".repeat(253));
    for (field, message) in [("f".repeat(300), "ü".repeat(150)), ("f".to_owned(), "m".to_owned())] {
        let cause = Cause { reason: "FieldValueNotSupported", field, message };
        let error = Error::invalid(&key, vec![cause; 1000]);
        let bytes = header_bytes(to_tonic(&Error { message: "ü".repeat(1000), ..error }));
        assert!((8 << 10..16 << 10).contains(&bytes), "{bytes}");
    }
}

#[test]
fn the_details_of_an_error_are_those_that_grpc_defines() {
    use tonic_types::StatusExt as _;
    let key = Key::namespaced(Kind::Deployment, "default", "web");
    let told = |error: &Error| to_tonic(error).get_error_details();

    let missing = told(&Error::not_found(&key));
    let info = missing.error_info().expect("a reason");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("NOT_FOUND", "kapelle.api.v1"));
    let object = missing.resource_info().expect("an object");
    assert_eq!((object.resource_type.as_str(), object.resource_name.as_str()), ("deployments.apps", "default/web"));
    assert!(missing.bad_request().is_none() && missing.precondition_failure().is_none());

    let invalid = told(&Error::invalid(&key, vec![cause(0), cause(1)]));
    let fields = &invalid.bad_request().expect("fields").field_violations;
    let first = (fields[0].field.as_str(), fields[0].description.as_str(), fields[0].reason.as_str());
    assert_eq!(first, ("spec.containers[0].image", "Required value", "FIELD_VALUE_REQUIRED"));
    assert_eq!(fields.len(), 2);

    let stale = told(&Error::modified(&key));
    let unmet = &stale.precondition_failure().expect("a precondition").violations;
    assert_eq!((unmet[0].r#type.as_str(), unmet[0].subject.as_str()), ("CONFLICT", "deployments.apps/default/web"));

    let terminating = Cause { reason: "NamespaceTerminating", field: "metadata.namespace".into(), message: "?".into() };
    let forbidden = told(&Error { causes: vec![terminating], ..Error::new(Reason::Forbidden, "no") });
    let unmet = &forbidden.precondition_failure().expect("a precondition").violations;
    assert_eq!((unmet[0].r#type.as_str(), unmet[0].subject.as_str()), ("NAMESPACE_TERMINATING", "metadata.namespace"));

    let busy = told(&Error::new(Reason::TooManyRequests, "later"));
    let delay = busy.retry_info().and_then(|info| info.retry_delay);
    assert_eq!(delay, Some(std::time::Duration::from_secs(1)));
}

#[test]
fn an_answer_of_something_between_has_a_reason_too() {
    let told = |code| from_tonic(&Status::new(code, "?")).reason;
    assert_eq!(told(Code::Unavailable), Reason::ServiceUnavailable);
    assert_eq!(told(Code::Unimplemented), Reason::MethodNotAllowed);
    assert_eq!(told(Code::Unknown), Reason::InternalError);
}

#[test]
fn an_error_always_says_something() {
    for code in (0..=16).map(Code::from) {
        let error = from_tonic(&Status::new(code, ""));
        assert!(!error.to_string().trim().is_empty(), "{code:?}");
    }
    let error = crate::status::from_status(&api::meta_v1::Status { code: 404, ..Default::default() });
    assert_eq!(error.to_string(), "the server has no such object");
}

/// A master that loses its leader does not know what became of a write: an apply failed because another master was not
/// asked.
#[test]
fn an_unknown_outcome_is_asked_again_only_if_that_does_no_harm() {
    let said = |reason| to_tonic(&Error::new(reason, "the outcome of the write is unknown"));
    let silent = Status::new(Code::DeadlineExceeded, "Timeout expired");
    assert!(elsewhere(&said(Reason::Timeout), Repeat::Always));
    assert!(!elsewhere(&said(Reason::Timeout), Repeat::IfNotDone));
    assert!(!elsewhere(&silent, Repeat::Always));
    let broken = Status::from_error(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    assert!(elsewhere(&broken, Repeat::Always) && !elsewhere(&broken, Repeat::IfNotDone));
    assert!(!elsewhere(&Status::unknown("?"), Repeat::Always));
    assert!(elsewhere(&said(Reason::ServiceUnavailable), Repeat::IfNotDone));
    let of_a_pod = Error::new(Reason::ServiceUnavailable, "?").about(&Key::namespaced(Kind::Pod, "default", "a"));
    let of_a_pod = to_tonic(&of_a_pod);
    assert!(!elsewhere(&of_a_pod, Repeat::IfNotDone) && !elsewhere(&of_a_pod, Repeat::Always));
    assert!(!elsewhere(&said(Reason::Conflict), Repeat::Always));
}

/// A request that met a closing connection was taken for one whose outcome is unknown.
#[tokio::test]
async fn a_request_that_a_closed_connection_hands_back_goes_elsewhere() {
    let (near, far) = tokio::io::duplex(1024);
    let (executor, near) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(near));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, near).await.expect("a connection");
    drop((connection, far));
    let refusal = sender.send_request(http::Request::new(String::new())).await.expect_err("nobody there");
    assert!(elsewhere(&Status::from_error(refusal.into()), Repeat::IfNotDone));
}

/// How somebody of a cluster calls its masters.
fn security() -> crate::Security {
    let (authority, key) = (Authority::found("a").expect("an authority"), KeyPair::generate().expect("a key"));
    let request = Csr::from_der(&key.request().expect("a request")).expect("a request");
    let subject = Subject::Node { name: "w1".to_owned(), uid: "u1".to_owned() };
    let chain = authority.issue(&request, &subject, &[], std::time::Duration::from_secs(60)).expect("a certificate");
    let identity = Identity::new(&chain, &key, authority.certificate_pem()).expect("an identity");
    crate::Security::Tls(Shared::new(identity).expect("an identity"))
}

fn connect(url: &str) -> Result<crate::Client, Error> {
    crate::Client::connect_with(&[url.to_owned()], security())
}

#[tokio::test]
async fn a_master_that_is_not_there_is_named_as_the_reason() {
    // Port 1 is reserved and never listens.
    let client = connect("https://127.0.0.1:1").expect("a client");
    let error = client.list(&crate::Query::all(Kind::Pod)).await.expect_err("nobody there");
    assert_eq!(error.reason, Reason::ServiceUnavailable);
    assert!(error.message.starts_with("cannot reach the cluster: Connection refused"), "{error}");
    for wrong in ["http://host:1", "host", "https://"] {
        let error = connect(wrong).expect_err(wrong);
        assert!(error.message.contains("is not https://HOST:PORT"), "{error}");
    }
}

#[tokio::test]
async fn a_client_learns_of_other_masters() {
    let client = connect("https://127.0.0.1:1").expect("a client");
    for wrong in [vec![], vec!["http://host:1".to_owned()]] {
        client.learn(&wrong).expect_err("refused");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let (clone, query) = (client.clone(), crate::Query::all(Kind::Pod));
    client.learn(&[url]).expect("learned");
    let accept = async { listener.accept().await.map(drop).is_ok() };
    let (_, called) = tokio::join!(clone.list(&query), accept);
    assert!(called);
}
