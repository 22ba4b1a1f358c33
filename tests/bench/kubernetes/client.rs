//! One kept connection that asks in HTTP/1.1, and reads what is answered.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

/// The type of JSON bodies, and of answers unless another one is asked for.
pub(crate) const JSON: &str = "application/json";

/// A request.
pub(crate) struct Ask<'a> {
    method: Method,
    path: &'a str,
    accept: &'a str,
    content_type: &'a str,
    body: Bytes,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, accept: JSON, content_type: JSON, body: Bytes::new() }
    }

    pub(crate) fn accept(self, accept: &'a str) -> Self {
        Self { accept, ..self }
    }

    pub(crate) fn json(self, body: String) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(crate) fn merge_patch(self, body: String) -> Self {
        Self { content_type: "application/merge-patch+json", ..self.json(body) }
    }

    pub(crate) fn strategic_patch(self, body: String) -> Self {
        Self { content_type: "application/strategic-merge-patch+json", ..self.json(body) }
    }

    pub(crate) fn apply(self, body: String) -> Self {
        Self { content_type: "application/apply-patch+yaml", ..self.json(body) }
    }
}

/// What came of a request whose answer was not kept.
pub(crate) struct Answer {
    /// The form that was chosen.
    pub(crate) media: String,
    pub(crate) bytes: usize,
    pub(crate) first_byte_ms: f64,
    pub(crate) whole_ms: f64,
}

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    pub(crate) async fn connect(at: SocketAddr, tls: Arc<ClientConfig>) -> Result<Self> {
        let tcp = TcpStream::connect(at).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(tls).connect(ServerName::from(at.ip()), tcp).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(Self { sender, host: at.to_string() })
    }

    /// Asks, and answers as soon as the head of the answer is there. Everything but success is an error.
    pub(crate) async fn open(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        request = request.header(header::HOST, &self.host).header(header::ACCEPT, ask.accept);
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, ask.content_type);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(ask.body))?).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::bail!("{}: {status}: {}", ask.path, String::from_utf8_lossy(&body));
    }

    /// Asks for a WebSocket.
    pub(crate) async fn socket(&mut self, path: &str) -> Result<WebSocketStream<TokioIo<Upgraded>>> {
        let request = Request::get(path).header(header::HOST, &self.host).header(header::CONNECTION, "Upgrade");
        let request = request.header(header::UPGRADE, "websocket").header(header::SEC_WEBSOCKET_VERSION, "13");
        // Kubernetes takes nobody who does not say whose page it is; its own clients say so, too.
        let request = request.header(header::ORIGIN, format!("https://{}", self.host));
        // Whoever proves that it has read this need not be checked here.
        let request = request.header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::default())?).await?;
        ensure!(answer.status() == StatusCode::SWITCHING_PROTOCOLS, "{path}: {}", answer.status());
        let stream = TokioIo::new(hyper::upgrade::on(answer).await?);
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    /// Asks, and reads the whole answer without keeping it.
    pub(crate) async fn send(&mut self, ask: Ask<'_>) -> Result<Answer> {
        let start = Instant::now();
        let since = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
        let answer = self.open(ask).await?;
        let media = answer.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let (media, mut body) = (media.unwrap_or_default().to_owned(), answer.into_body());
        let (mut bytes, mut first_byte_ms) = (0, None);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                first_byte_ms.get_or_insert_with(|| since(start));
                bytes += data.len();
            }
        }
        ensure!(bytes > 0, "an answer without a body");
        Ok(Answer { media, bytes, first_byte_ms: first_byte_ms.unwrap_or(f64::NAN), whole_ms: since(start) })
    }

    /// Asks for an object, or for a list, and reads it.
    pub(crate) async fn read(&mut self, path: &str) -> Result<Value> {
        let body = self.open(Ask::new(Method::GET, path)).await?.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}
