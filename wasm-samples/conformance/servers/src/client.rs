//! A small HTTP/1 client: one request, one connection.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls;

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

/// What `https://host[:port]/path` answers to whoever shows a bearer token, if an authority of the file certified it.
pub async fn get_secretly(url: &str, authority: &str, token: &str) -> Result<String, String> {
    let within = tokio::time::timeout(PATIENCE, ask_secretly(url, authority, token)).await;
    within.unwrap_or_else(|_| Err("no answer in time".into())).map_err(|error| format!("{url}: {error}"))
}

async fn ask_secretly(url: &str, authority: &str, token: &str) -> Result<String, Box<dyn std::error::Error>> {
    let rest = url.strip_prefix("https://").ok_or("it does not begin with https://")?;
    let (host, path) = rest.split_once('/').ok_or("it has no path")?;
    let (name, server) = match host.split_once(':') {
        Some((name, _)) => (name, host.to_owned()),
        None => (host, format!("{host}:443")),
    };
    let stream = TcpStream::connect(address(&server)?).await?;
    let stream = tls::connector(authority)?.connect(name.to_owned().try_into()?, stream).await?;
    let request = hyper::Request::get(format!("/{path}")).header("Host", host);
    exchange(stream, request.header("Authorization", format!("Bearer {token}")).body(Empty::new())?).await
}

async fn ask(server: SocketAddr, path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let request = hyper::Request::get(format!("/{path}")).header("Host", server.to_string()).body(Empty::new())?;
    exchange(TcpStream::connect(server).await?, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: hyper::Request<Empty<Bytes>>,
) -> Result<String, Box<dyn std::error::Error>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
