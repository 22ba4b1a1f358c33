//! Serves a part of the API behind an APIService, with TLS.
//!
//! Takes connections on port `PORT` (8443 without it), one request each, and serves `metrics.k8s.io/v1beta1` with numbers that
//! never change. Its own certificate and key are `tls.crt` and `tls.key` in `/tls`; in `/masters` is what the cluster publishes as
//! the ConfigMap `kube-system/extension-apiserver-authentication`. Only masters are answered, and they are believed who asks.

use std::{
    error::Error,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How many events a watch tells before it ends: others wait meanwhile.
const EVENTS: usize = 3;

const ROOT: &str = "/apis/metrics.k8s.io/v1beta1";

const RESOURCES: &str = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[
{"name":"nodes","singularName":"","namespaced":false,"kind":"NodeMetrics","verbs":["get","list","watch"]},
{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}"#;

const NODE: &str = r#"{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"dev"},
"timestamp":"2026-01-01T00:00:00Z","window":"10s","usage":{"cpu":"250m","memory":"512Mi"}}"#;

/// By its paths clients find which schema is a resource's.
const SCHEMAS: &str = r#"{"openapi":"3.0.0","info":{"title":"metrics","version":"v1beta1"},"paths":{
"/apis/metrics.k8s.io/v1beta1/nodes":{"get":{"x-kubernetes-action":"list","responses":{"200":{"description":"OK"}},
"x-kubernetes-group-version-kind":{"group":"metrics.k8s.io","version":"v1beta1","kind":"NodeMetrics"}}}},"components":{"schemas":{
"io.k8s.metrics.v1beta1.NodeMetrics":{"type":"object","description":"What a node uses.","properties":{
"window":{"type":"string","description":"Over which time."}},
"x-kubernetes-group-version-kind":[{"group":"metrics.k8s.io","version":"v1beta1","kind":"NodeMetrics"}]}}}}"#;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8443);
    let config = Arc::new(config()?);
    let masters = fs::read_to_string("/masters/requestheader-allowed-names")?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("serving on {}", listener.local_addr()?);
    for connection in listener.incoming() {
        if let Err(error) = connection.map_err(Into::into).and_then(|connection| serve(connection, &config, &masters)) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

/// Shows the certificate in `/tls`, and asks for one that the masters' authority has signed.
fn config() -> Outcome<ServerConfig> {
    let provider = Arc::new(rustls_rustcrypto::provider());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter("/masters/requestheader-client-ca-file")? {
        roots.add(authority?)?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let chain = CertificateDer::pem_file_iter("/tls/tls.crt")?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file("/tls/tls.key")?;
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(config.with_client_cert_verifier(clients).with_single_cert(chain, key)?)
}

fn serve(connection: TcpStream, config: &Arc<ServerConfig>, masters: &str) -> Outcome<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config.clone())?, connection);
    let Some(head) = head(&mut stream)? else { return Ok(()) };
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
    if !shown.is_some_and(|certificate| names(masters).any(|name| is_called(certificate, name))) {
        return Err("somebody who is no master".into());
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (code, body) = match path.strip_prefix(ROOT) {
        Some("" | "/") => (200, RESOURCES.to_owned()),
        Some("/nodes") if query.contains("watch=") => return watch(&mut stream),
        Some("/nodes") => (200, list("NodeMetricsList", NODE)),
        Some("/nodes/dev") => (200, NODE.to_owned()),
        Some("/pods") => (200, list("PodMetricsList", "")),
        Some("/whoami") => (200, whoami(&head)),
        None if path == format!("/openapi/v3{ROOT}") => (200, SCHEMAS.to_owned()),
        Some(_) | None => {
            (404, r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#.to_owned())
        }
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
    end(stream)
}

/// Reads the head of a request; nothing if nobody asks.
fn head(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> Outcome<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err("the head is too long".into());
        }
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8(head)?))
}

fn end(mut stream: StreamOwned<ServerConnection, TcpStream>) -> Outcome<()> {
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}

/// The words of a list in JSON, none of which needs an escape.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split('"').skip(1).step_by(2)
}

/// Whether a certificate has a common name: that attribute, as it is encoded in its subject.
fn is_called(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(length) = u8::try_from(name.len()) else { return false };
    let attribute = [&[0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, length], name.as_bytes()].concat();
    certificate.as_ref().windows(attribute.len()).any(|window| window == attribute)
}

fn list(kind: &str, item: &str) -> String {
    format!(r#"{{"kind":"{kind}","apiVersion":"metrics.k8s.io/v1beta1","metadata":{{}},"items":[{item}]}}"#)
}

/// The headers in which masters say who asks.
fn whoami(head: &str) -> String {
    let told = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-remote-"));
    let told: Vec<String> = told.map(|line| format!("{line:?}")).collect();
    format!("[{}]", told.join(","))
}

/// Some events, each as soon as it is there.
fn watch(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> Outcome<()> {
    write!(stream, "HTTP/1.1 200 -\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let node = NODE.replace('\n', "");
    for _ in 0..EVENTS {
        let event = format!("{{\"type\":\"ADDED\",\"object\":{node}}}\n");
        write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
        stream.flush()?;
    }
    write!(stream, "0\r\n\r\n")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}
