//! Asking a container how it is.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use api::core_v1::{Container, HttpGetAction, Pod};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use proxy::Body;
use tokio::net::TcpStream;

use super::{World, images};
use crate::brain::{Event, ProbeKind, Run};

/// The port of an HTTP handler whose probe names none.
const HTTP_PORT: u16 = 8080;

/// Carries a probe out and tells the brain.
pub(crate) async fn probe(world: &World, run: Run, kind: ProbeKind, pod: &Pod, address: Ipv4Addr) {
    let Some(container) = images::container(pod, &run.container) else { return };
    let Some(spec) = kind.of(container) else { return };
    let timeout = Duration::from_secs(u64::try_from(spec.timeout_seconds).unwrap_or(1).max(1));
    let handler = spec.handler.clone().unwrap_or_default();
    let asked = async {
        match (&handler.http_get, &handler.tcp_socket) {
            (Some(get), _) => http(world, &run, container, get, address).await,
            (None, Some(socket)) => tcp(world, &run, port(container, socket.port.as_ref())?, address).await,
            (None, None) => Ok(()),
        }
    };
    let result = tokio::time::timeout(timeout, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", timeout.as_secs())));
    world.say(Event::Probed(run, kind, result)).await;
}

/// The port by number or by the name that the container gives it.
fn port(container: &Container, port: Option<&api::meta_v1::IntOrString>) -> Result<u16, String> {
    let Some(port) = port else { return Ok(HTTP_PORT) };
    let number = if port.r#type == 0 {
        Some(port.int_val)
    } else {
        let named = container.ports.iter().find(|known| known.name == port.str_val).map(|known| known.container_port);
        named.or_else(|| port.str_val.parse().ok())
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("the container has no port {:?}", port.str_val))
}

async fn tcp(world: &World, run: &Run, port: u16, address: Ipv4Addr) -> Result<(), String> {
    // An HTTP handler has no socket of its own: that it runs is all that a connection could tell.
    if world.containers.http(run).is_some() {
        return Ok(());
    }
    let address = SocketAddr::from((address, port));
    TcpStream::connect(address).await.map(drop).map_err(|error| format!("dial tcp {address}: {error}"))
}

async fn http(
    world: &World,
    run: &Run,
    container: &Container,
    get: &HttpGetAction,
    address: Ipv4Addr,
) -> Result<(), String> {
    let port = port(container, get.port.as_ref())?;
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let url = format!("http://{address}:{port}{path}");
    let mut request =
        Request::get(&url).header("host", format!("{address}:{port}")).header("user-agent", "kapelle-probe");
    for header in &get.http_headers {
        request = request.header(&header.name, &header.value);
    }
    let body: Body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let request = request.body(body).map_err(|error| format!("the probe is no request: {error}"))?;
    let response = match world.containers.http(run) {
        Some(handle) => handle.handle(request).await,
        None => world
            .proxy
            .send(request, "", world.config.host.into())
            .await
            .map_err(|error| format!("Get {url:?}: {error}"))?,
    };
    let status = response.status().as_u16();
    if (200..400).contains(&status) { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {status}")) }
}
