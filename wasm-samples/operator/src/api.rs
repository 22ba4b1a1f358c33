//! The API as a program in a Pod finds it: its address in the environment, and beside the token of the Pod's account the
//! certificate by which masters are known.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream as Socket};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Where every Pod has its identity, unless its manifest says otherwise.
const IDENTITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The longest answer, and the longest line of a watch, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How long a master may take to answer, and a watch to say anything: masters send a bookmark about once a minute.
const PATIENCE: Duration = Duration::from_secs(90);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The API. Requests go one after the other over one connection, each watch over one of its own.
pub struct Api {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
    /// The namespace of this Pod.
    pub namespace: String,
    connection: RefCell<Option<SendRequest<Full<Bytes>>>>,
}

impl Api {
    /// Finds the API from within a Pod.
    pub fn in_cluster() -> Result<Rc<Self>, Failure> {
        let of = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set: is this a Pod?"));
        let ip: IpAddr = of("KUBERNETES_SERVICE_HOST")?.parse()?;
        let port = of("KUBERNETES_SERVICE_PORT")?.parse()?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(Path::new(IDENTITY).join("ca.crt"))? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()));
        let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Rc::new(Self {
            address: SocketAddr::new(ip, port),
            name: ServerName::IpAddress(ip.into()),
            tls: Arc::new(config).into(),
            namespace: fs::read_to_string(Path::new(IDENTITY).join("namespace"))?,
            connection: RefCell::default(),
        }))
    }

    /// The answer to a request, whatever its status.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value), Failure> {
        // A connection that is kept may have ended meanwhile; a new one has not.
        let kept = self.connection.take().filter(|kept| !kept.is_closed());
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let request = self.request(method, path, body)?;
        let answer = tokio::time::timeout(PATIENCE, async {
            let response = connection.send_request(request).await?;
            let status = response.status();
            let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, Failure>((status, serde_json::from_slice(&bytes)?))
        });
        let answer = answer.await??;
        self.connection.replace(Some(connection));
        Ok(answer)
    }

    /// What happens to a collection from a revision on.
    pub async fn watch(&self, path: &str, revision: &str) -> Result<Watch, Failure> {
        let path = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={revision}");
        let mut connection = self.connect().await?;
        let response = connection.send_request(self.request(Method::GET, &path, None)?).await?;
        match response.status() {
            StatusCode::OK => Ok(Watch { response, rest: Vec::new(), _connection: connection }),
            status => Err(format!("the watch of {path} was answered with {status}").into()),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, Failure> {
        // The token is replaced while the Pod runs, so it is read anew.
        let token = fs::read_to_string(Path::new(IDENTITY).join("token"))?;
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, kind);
        Ok(request.body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default().into())?)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        // The standard library connects, and waits for it: tokio's own way asks for more than WASI's C library has.
        let socket = Socket::connect(self.address)?;
        socket.set_nonblocking(true)?;
        let stream = self.tls.connect(self.name.clone(), TcpStream::from_std(socket)?).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

/// A watch.
pub struct Watch {
    response: Response<Incoming>,
    /// What was read of a line that has not ended.
    rest: Vec<u8>,
    /// The connection ends with it.
    _connection: SendRequest<Full<Bytes>>,
}

impl Watch {
    /// The next event; `None` when the watch has ended, which happens to every watch.
    pub async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.rest.len() > ANSWER_BYTES_MAX {
                return Err("an event of the watch is too long".into());
            }
            match tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await? {
                Some(frame) => self.rest.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data)),
                None => return Ok(None),
            }
        }
    }
}
