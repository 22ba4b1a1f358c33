//! An admission webhook: what is created gets a label, and what has none is refused.
//!
//! Speaks HTTPS on port `PORT` (8443 without it) with the certificate and key of a Secret that is mounted at `/tls`; TLS ends in
//! the guest, so that nobody on the way sees what is asked. `POST /label` adds the label `LABEL` with the value `VALUE` to objects
//! that have none of the name; `POST /require` refuses objects without it. `GET /` says that it is there.

use std::convert::Infallible;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// How long a client may take to greet, or to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest review that is read, in bytes: an object before and after, as JSON.
const REVIEW_BYTES_MAX: usize = 8 << 20;

type Failure = Box<dyn std::error::Error>;

/// The label that everything should have.
struct Label {
    name: String,
    value: String,
}

fn main() -> Result<(), Failure> {
    let text = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let port = text("PORT", "8443").parse()?;
    let label = Label { name: text("LABEL", "team"), value: text("VALUE", "nobody") };
    let tls = acceptor(&text("TLS_DIR", "/tls"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(port, tls, label))
}

fn acceptor(dir: &str) -> Result<TlsAcceptor, Failure> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(format!("{dir}/tls.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{dir}/tls.key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(chain, key)?).into())
}

/// A socket on which connections come.
///
/// tokio's own listener cannot be used: it asks of an accepted socket not to block in a way that WASI's C library refuses. So the
/// standard library accepts, and tokio only says when there is something to accept. That it takes the socket which it watches for
/// a stream makes no difference, because only readiness is asked of it.
struct Listener {
    socket: std::net::TcpListener,
    watch: ManuallyDrop<TcpStream>,
}

impl Listener {
    fn bind(port: u16) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_nonblocking(true)?;
        // SAFETY: both own the same descriptor; the second is never dropped, and a listener lives as long as the program.
        let same = unsafe { std::net::TcpStream::from_raw_fd(socket.as_raw_fd()) };
        Ok(Self { socket, watch: ManuallyDrop::new(TcpStream::from_std(same)?) })
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            self.watch.readable().await?;
            match self.watch.try_io(Interest::READABLE, || self.socket.accept()) {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    return Ok((TcpStream::from_std(stream)?, peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn serve(port: u16, tls: TlsAcceptor, label: Label) -> Result<(), Failure> {
    let listener = Listener::bind(port)?;
    println!("listening on {}", listener.socket.local_addr()?);
    let label = Rc::new(label);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Whoever went before it was taken, such as a probe, ends nothing.
            Err(error) => {
                eprintln!("a connection was not taken: {error}");
                continue;
            }
        };
        let (tls, label) = (tls.clone(), label.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = connection(stream, tls, label).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, label: Rc<Label>) -> Result<(), Failure> {
    let stream = tokio::time::timeout(PATIENCE, tls.accept(stream)).await??;
    let service = service_fn(move |request| {
        let label = label.clone();
        async move { Ok::<_, Infallible>(answered(request, &label).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    Ok(http.serve_connection(TokioIo::new(stream), service).await?)
}

async fn answered(request: Request<Incoming>, label: &Label) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer: fn(&Value, &Label) -> Value = match (&method, path.as_str()) {
        (&Method::GET, "/") => return said(StatusCode::OK, "an admission webhook: POST /label or /require\n"),
        (&Method::POST, "/label") => labelled,
        (&Method::POST, "/require") => judged,
        _ => return said(StatusCode::NOT_FOUND, "no such path\n"),
    };
    let Ok(body) = Limited::new(request.into_body(), REVIEW_BYTES_MAX).collect().await else {
        return said(StatusCode::PAYLOAD_TOO_LARGE, "the review is too long\n");
    };
    match serde_json::from_slice::<Value>(&body.to_bytes()) {
        Ok(review) if review["request"].is_object() => reviewed(&review, answer(&review["request"], label)),
        _ => said(StatusCode::BAD_REQUEST, "no AdmissionReview\n"),
    }
}

/// The label that is missing, as an operation of a patch.
fn labelled(request: &Value, label: &Label) -> Value {
    let labels = &request["object"]["metadata"]["labels"];
    if labels.get(&label.name).is_some() {
        return json!({"allowed": true});
    }
    let name = label.name.replace('~', "~0").replace('/', "~1");
    let patch = if labels.is_object() {
        json!([{"op": "add", "path": format!("/metadata/labels/{name}"), "value": label.value}])
    } else {
        json!([{"op": "add", "path": "/metadata/labels", "value": {&label.name: label.value}}])
    };
    println!("labelled {}", request["name"].as_str().unwrap_or_default());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
}

/// Whether the label is there. What goes need not have it.
fn judged(request: &Value, label: &Label) -> Value {
    let object = &request["object"];
    if object.is_null() || object["metadata"]["labels"].get(&label.name).is_some() {
        return json!({"allowed": true});
    }
    let message = format!("set the label {:?}, so that everybody knows whose this is", label.name);
    json!({"allowed": false, "status": {"code": 403, "message": message}})
}

fn reviewed(review: &Value, mut response: Value) -> Response<Full<Bytes>> {
    response["uid"] = review["request"]["uid"].clone();
    let answer = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
    typed(StatusCode::OK, "application/json", answer.to_string())
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain", text)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a type of content"));
    answer
}
