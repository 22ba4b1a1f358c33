//! One client: asks over one connection for as long as that is open, as `curl` and most libraries do.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A client of one address.
pub(crate) struct Client {
    address: SocketAddr,
    open: Option<SendRequest<Full<Bytes>>>,
    /// Whether the connection serves more than one request.
    keeps: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, keeps: bool) -> Self {
        Self { address, open: None, keeps }
    }

    /// GET; anything but an answer with status 200 is a failure.
    pub(crate) async fn get(&mut self, path: &str) -> Result<String, String> {
        self.ask("GET", path, Bytes::new()).await
    }

    /// Asks. A connection that was closed since the last answer is opened again, as every client does it: a request of
    /// which nothing was sent has not failed.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> Result<String, String> {
        if let Some(mut open) = self.open.take()
            && open.ready().await.is_ok()
        {
            match self.send(open, method, path, body.clone()).await {
                Err(Failure::Unsent(_)) => {}
                Err(Failure::Sent(text)) => return Err(text),
                Ok(text) => return Ok(text),
            }
        }
        let open = self.connect().await.map_err(|error| format!("cannot connect: {error}"))?;
        self.send(open, method, path, body).await.map_err(|(Failure::Unsent(text) | Failure::Sent(text))| text)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn send(
        &mut self,
        mut open: SendRequest<Full<Bytes>>,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<String, Failure> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.address.to_string());
        let request = request.body(Full::new(body)).unwrap();
        let answer = open.try_send_request(request).await.map_err(|mut error| {
            let text = format!("no answer: {:?}", error.error());
            if error.take_message().is_some() { Failure::Unsent(text) } else { Failure::Sent(text) }
        })?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| Failure::Sent(format!("half an answer: {error:?}")))?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status != 200 {
            // What a client does with the connection after an error is its own affair: this one goes on with it.
            self.open = Some(open);
            return Err(Failure::Sent(format!("{status}: {}", text.trim())));
        }
        self.open = self.keeps.then_some(open);
        Ok(text)
    }
}

/// Why there was no good answer.
enum Failure {
    /// Nothing of the request was sent.
    Unsent(String),
    Sent(String),
}
