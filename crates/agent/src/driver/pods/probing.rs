//! Asking a container how it is.

mod encrypted;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::core_v1::{Container, HttpGetAction, Pod, Probe};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use proxy::Body;
use sandbox::HttpHandle;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{manifest, runs::Runs};
use crate::{
    brain::{Event, ProbeKind, Run},
    driver::inbox::Inbox,
};

/// Who asks, unless the probe says otherwise.
const USER_AGENT: &str = "kapelle-probe";

/// What asks the containers of this node how they are.
pub(crate) struct Prober {
    pub(crate) runs: Arc<Runs<sandbox::Container>>,
    pub(crate) inbox: Inbox,
}

impl Prober {
    /// Carries a probe out and tells the brain.
    pub(crate) async fn probe(&self, run: Run, kind: ProbeKind, pod: &Pod, address: Ipv4Addr) {
        let result = if kind == ProbeKind::Settling {
            let settled = self.runs.look(&run, |running| running.container.has_settled()).unwrap_or(false);
            settled.then_some(()).ok_or_else(|| "the program has not begun its work yet".to_owned())
        } else {
            let Some(container) = manifest::container(pod, &run.container) else { return };
            let Some(probe) = kind.of(container) else { return };
            self.target(&run).ask(container, probe, address).await
        };
        self.inbox.say(Event::Probed(run, kind, result)).await;
    }

    fn target(&self, run: &Run) -> Target {
        let found = self.runs.look(run, |running| Target {
            handler: running.container.http(),
            ports: running.addresses.iter().map(SocketAddr::port).collect(),
        });
        found.unwrap_or_default()
    }
}

/// Whom a probe asks.
#[derive(Default)]
struct Target {
    /// A handler, which has no socket of its own.
    handler: Option<HttpHandle>,
    /// The ports under which it answers.
    ports: Vec<u16>,
}

impl Target {
    async fn ask(&self, container: &Container, probe: &Probe, address: Ipv4Addr) -> Result<(), String> {
        let timeout = Duration::from_secs(u64::try_from(probe.timeout_seconds).unwrap_or(1).max(1));
        let question = probe.handler.clone().unwrap_or_default();
        let at = |port| Ok::<_, String>(SocketAddr::from((address, manifest::port(container, port)?)));
        let asked = async {
            match (&question.http_get, &question.tcp_socket) {
                (Some(get), _) => self.http(get, at(get.port.as_ref())?).await,
                (None, Some(socket)) => self.tcp(at(socket.port.as_ref())?).await,
                (None, None) => Err("the probe asks nothing that this node understands".to_owned()),
            }
        };
        let asked = tokio::time::timeout(timeout, asked).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {} s", timeout.as_secs())))
    }

    async fn tcp(&self, address: SocketAddr) -> Result<(), String> {
        // A handler has no socket of its own: that it serves the port is all that a connection could tell.
        if self.handler.is_some() {
            return served(&self.ports, address);
        }
        dial(address).await.map(drop)
    }

    async fn http(&self, get: &HttpGetAction, address: SocketAddr) -> Result<(), String> {
        let is_encrypted = get.scheme == "HTTPS";
        let request = request(get, address)?;
        let url = format!("{}://{address}{}", if is_encrypted { "https" } else { "http" }, request.uri());
        let told = |why: String| format!("Get {url:?}: {why}");
        let status = match &self.handler {
            Some(_) if is_encrypted => {
                return Err(told("an HTTP handler is asked without TLS; use scheme HTTP".to_owned()));
            }
            Some(handle) => {
                served(&self.ports, address).map_err(told)?;
                handle.handle(request).await.status()
            }
            None => asked(request, address, is_encrypted).await.map_err(told)?,
        };
        let status = status.as_u16();
        if (200..400).contains(&status) { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {status}")) }
    }
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))
}

/// Whether a handler serves a port: whoever connects to another one is refused.
fn served(ports: &[u16], address: SocketAddr) -> Result<(), String> {
    if ports.contains(&address.port()) {
        return Ok(());
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    Err(format!(
        "dial tcp {address}: connection refused: the container serves port {} only; name the others in `ports`",
        ports.join(", ")
    ))
}

/// The request of a probe. What it says itself goes before what is said otherwise, `Host` too.
fn request(get: &HttpGetAction, address: SocketAddr) -> Result<Request<Body>, String> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| format!("the probe's {what} cannot be sent: {error}");
    let mut headers = HeaderMap::new();
    for header in &get.http_headers {
        let name: HeaderName = header.name.parse().map_err(|error| wrong(&header.name, &error))?;
        let value: HeaderValue = header.value.parse().map_err(|error| wrong(&header.name, &error))?;
        headers.append(name, value);
    }
    let host = HeaderValue::from_str(&address.to_string()).map_err(|error| wrong("Host", &error))?;
    headers.entry(header::HOST).or_insert(host);
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let body: Body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::get(&path).body(body).map_err(|error| wrong("path", &error))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Asks over a connection of its own: one that was kept would say nothing about whether the program still takes new ones.
async fn asked(request: Request<Body>, address: SocketAddr, is_encrypted: bool) -> Result<StatusCode, String> {
    let stream = dial(address).await?;
    if is_encrypted {
        over(encrypted::greet(stream, address.ip()).await?, request).await
    } else {
        over(stream, request).await
    }
}

async fn over<S>(stream: S, request: Request<Body>) -> Result<StatusCode, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request);
    tokio::pin!(response, connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut response => return answer.map(|answer| answer.status()).map_err(|error| error.to_string()),
            _ = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::{HttpHeader, ProbeHandler, TcpSocketAction},
        meta_v1::IntOrString,
    };
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A program that listens, and its port.
    async fn program() -> (TcpListener, Option<IntOrString>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let int_val = listener.local_addr().unwrap().port().into();
        (listener, Some(IntOrString { int_val, ..IntOrString::default() }))
    }

    async fn ask(handler: ProbeHandler) -> Result<(), String> {
        let probe = Probe { handler: Some(handler), timeout_seconds: 60, ..Probe::default() };
        Target::default().ask(&Container::default(), &probe, Ipv4Addr::LOCALHOST).await
    }

    /// Answers a request with a status; tells the request's head.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_program_may_ask_for_tls_with_a_certificate_of_its_own() {
        let own = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap();
        let (listener, port) = program().await;
        let serve = async {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            answer(acceptor.accept(listener.accept().await.unwrap().0).await.unwrap(), "200 OK").await
        };
        let get =
            HttpGetAction { path: "/readyz".to_owned(), scheme: "HTTPS".to_owned(), port, ..HttpGetAction::default() };
        let asked = ask(ProbeHandler { http_get: Some(get), ..ProbeHandler::default() });
        let (head, told) = tokio::join!(serve, asked);
        assert!(head.starts_with("GET /readyz HTTP/1.1\r\n"), "{head}");
        assert_eq!(told, Ok(()));
    }

    #[tokio::test]
    async fn a_program_is_well_if_it_takes_connections() {
        let (listener, port) = program().await;
        let socket = TcpSocketAction { port, ..TcpSocketAction::default() };
        let handler = ProbeHandler { tcp_socket: Some(socket), ..ProbeHandler::default() };
        assert_eq!(ask(handler.clone()).await, Ok(()));
        drop(listener);
        let refused = ask(handler).await.unwrap_err();
        assert!(refused.starts_with("dial tcp 127.0.0.1:"), "{refused}");
        assert!(ask(ProbeHandler::default()).await.unwrap_err().contains("asks nothing"));
    }

    #[tokio::test]
    async fn the_status_of_an_answer_says_how_a_program_is() {
        for (status, expected) in [
            ("204 No Content", Ok(())),
            ("302 Found", Ok(())),
            ("404 Not Found", Err("HTTP probe failed with statuscode: 404".to_owned())),
        ] {
            let (listener, port) = program().await;
            let serve = async { answer(listener.accept().await.unwrap().0, status).await };
            let get = HttpGetAction { path: "/healthz".to_owned(), port, ..HttpGetAction::default() };
            let asked = ask(ProbeHandler { http_get: Some(get), ..ProbeHandler::default() });
            let (head, told) = tokio::join!(serve, asked);
            assert!(head.starts_with("GET /healthz HTTP/1.1\r\n"), "{head}");
            assert_eq!(told, expected, "{status}");
        }
    }

    #[test]
    fn a_handler_is_connected_to_on_its_ports_only() {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(served(&[80, 81], at(81)), Ok(()));
        let refused = served(&[80, 81], at(82)).unwrap_err();
        assert!(refused.contains("connection refused: the container serves port 80, 81 only"), "{refused}");
    }

    #[test]
    fn what_a_probe_says_itself_goes_before_what_is_said_otherwise() {
        let header = |name: &str, value: &str| HttpHeader { name: name.into(), value: value.into() };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let get = HttpGetAction { path: "healthz?full=1".into(), ..HttpGetAction::default() };
        let plain = request(&get, address).unwrap();
        assert_eq!(
            (plain.uri().to_string(), &plain.headers()["host"]),
            ("/healthz?full=1".into(), &"127.0.0.1:80".parse().unwrap())
        );

        let http_headers =
            vec![header("host", "shop.example"), header("User-Agent", "me"), header("X-A", "1"), header("X-A", "2")];
        let own = request(&HttpGetAction { http_headers, ..get.clone() }, address).unwrap();
        let all =
            |name: &str| own.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((all("host"), all("user-agent"), all("x-a")), (vec!["shop.example"], vec!["me"], vec!["1", "2"]));

        let wrong = request(&HttpGetAction { http_headers: vec![header("X-A", "a\nb")], ..get }, address).unwrap_err();
        assert!(wrong.contains("X-A cannot be sent"), "{wrong}");
    }
}
