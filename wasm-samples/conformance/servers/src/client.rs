//! A small HTTP/1 client: one request, one connection.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long an answer may take, as in upstream's programs.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first address of `host:port`. Names are asked for at once: there is no other thread that could.
pub fn address(server: &str) -> Result<SocketAddr, String> {
    let mut found = server.to_socket_addrs().map_err(|error| format!("{server}: {error}"))?;
    found.next().ok_or_else(|| format!("{server}: no address"))
}

/// What a server answers to a `GET` of a path without its first slash.
pub async fn get(server: SocketAddr, path: &str) -> Result<String, String> {
    let within = tokio::time::timeout(PATIENCE, ask(server, path)).await;
    within
        .unwrap_or_else(|_| Err("no answer in time".into()))
        .map_err(|error| format!("http://{server}/{path}: {error}"))
}

async fn ask(server: SocketAddr, path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let request =
        hyper::Request::get(format!("/{path}")).header("Host", server.to_string()).body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
